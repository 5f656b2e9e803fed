//! The decision log of a real node: what it writes, hides, drops and delivers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod collector;
mod files;
mod masks;
mod rules;
mod running;
mod servers;
mod shape;
