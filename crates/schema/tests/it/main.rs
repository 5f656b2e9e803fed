//! The schema language against what a live peer answered, and against itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod properties;
mod reflect;
mod rules;
mod shape;
mod wire;
