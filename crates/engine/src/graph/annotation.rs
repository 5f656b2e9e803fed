//! What an edge carries besides its two ends: a caveat, an expiration, or both.
//!
//! Few edges carry any, so a leaf of the tree keeps annotations beside its packed edges, and an edge without one costs
//! nothing. INVARIANT: an annotation is never void; see [`Annotation::new`].

use std::sync::Arc;

use model::{CaveatRef, Timestamp};

/// The caveat and the expiration of one edge. A clone shares them.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation(Arc<Traits>);

#[derive(Debug, PartialEq)]
struct Traits {
    caveat: Option<CaveatRef>,
    expires_at: Option<Timestamp>,
}

impl Annotation {
    /// The annotation of an edge with these traits; none if it has neither.
    #[must_use]
    pub fn new(caveat: Option<CaveatRef>, expires_at: Option<Timestamp>) -> Option<Self> {
        if caveat.is_none() && expires_at.is_none() {
            return None;
        }
        Some(Self(Arc::new(Traits { caveat, expires_at })))
    }

    /// The caveat, with the context that was written with the relationship.
    #[must_use]
    pub fn caveat(&self) -> Option<&CaveatRef> {
        self.0.caveat.as_ref()
    }

    /// The first instant at which the edge no longer counts.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.0.expires_at
    }

    /// Whether the edge no longer counts at `now`.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at().is_some_and(|at| at <= now)
    }

    /// Whether both are the same allocation.
    pub(crate) fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
