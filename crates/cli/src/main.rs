//! The one binary, `remit`.
fn main() {}
