//! The server as its clients see it: over real connections, against real stores.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod bad_input;
mod golden;
mod life;
mod peer;
mod running;
mod scenarios;
mod wire;
