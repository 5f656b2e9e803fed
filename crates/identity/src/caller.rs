//! The proof that somebody was let in.

/// Somebody who was let in. Only this crate can make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    name: String,
}

impl Caller {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
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
