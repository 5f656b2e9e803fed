//! Operations over a node and a store, without a protocol.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod access;
mod agreement;
// The attribute tells the lints that everything below is test code, helpers included.
#[cfg(test)]
mod audit;
mod clock_offset;
mod digest;
mod load_progress;
mod pinned;
mod replay;
mod replica;
mod running;
mod simulation;
mod snapshots;
mod watch;
mod watch_ends;
