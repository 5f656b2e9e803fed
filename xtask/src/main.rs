//! The project's chores: `cargo xtask check` runs what CI runs.
fn main() {}
