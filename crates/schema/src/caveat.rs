//! Caveat expressions (CEL): parse, check, evaluate. Pure, and total: no input panics or runs away.

/// A checked expression with its declared parameters.
#[derive(Debug, Clone)]
pub struct Program {}
