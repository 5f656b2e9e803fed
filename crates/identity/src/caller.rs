//! The proof that somebody was let in.

use std::sync::Arc;

/// Somebody who was let in; a clone is cheap. Only this crate can make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    name: Arc<str>,
}

impl Caller {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into() }
    }

    /// The caller of a server that asks nobody who they are. Such a server serves loopback addresses alone.
    #[must_use]
    pub fn without_authentication() -> Self {
        Self::new("anonymous")
    }

    /// The name under which records keep what the caller did. Never the key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}
