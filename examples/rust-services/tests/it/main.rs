//! The binaries as they are run, before a real Remit.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod grpc;
mod running;
mod web;
