//! Rules as operators write them: what is refused when they are read, and what becomes of requests.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod faults;
mod random;
mod request;
mod verdicts;
