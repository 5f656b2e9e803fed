//! The answer to a check.

/// What a check decided. A failure is never a decision: it is an error beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a decision that is not looked at protects nothing"]
pub enum Decision {
    /// The subject has the permission.
    Allowed,
    /// The subject does not have the permission.
    Denied,
    /// Whether the subject has it depends on values that the request's context lacks.
    Conditional {
        /// The missing caveat parameters: sorted, without repeats, never empty.
        missing: Vec<String>,
    },
}
