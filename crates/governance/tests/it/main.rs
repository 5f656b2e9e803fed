//! Access requests as their users see them: files of entitlements, requests over time, what becomes of relationships.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "a test fails by panicking, and holds what it expects as text"
)]

mod entitlements;
mod grants;
mod offline;
mod random;
mod records;
mod rules;
mod table;
mod time;
mod world;
