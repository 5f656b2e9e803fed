//! Callers who come with tokens and certificates, good ones and each kind of bad one.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod issuer;
mod minted;
mod rotation;
mod settings;
mod tokens;
mod withdrawal;
mod workloads;
