//! The client against real servers, against one that fails on purpose, and over connections that stall and break.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod batches;
mod closed;
mod credentials;
mod faults;
mod fixed;
mod hedges;
mod layers;
mod proxy;
mod retries;
mod running;
mod sessions;
mod streams;
mod traces;
