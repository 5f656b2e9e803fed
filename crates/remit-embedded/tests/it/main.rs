//! Engines in the process of their caller: with a store of their own, and following servers over real connections.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod agreement;
mod cache;
mod examples;
mod following;
mod owned;
mod refusals;
mod running;
mod silence;
mod stopping;
