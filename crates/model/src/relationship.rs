//! Relationships: the edges of the graph, and the changes made to them.

use std::fmt;
use std::str::FromStr;

use crate::context::Context;
use crate::name::{CaveatName, RelationName};
use crate::object::{ObjectRef, SubjectRef};
use crate::text::{self, TextError};
use crate::time::Timestamp;

/// One relationship: `subject` is in `relation` of `resource`, perhaps on a condition, perhaps until an instant.
///
/// Text form: `document:readme#viewer@user:ann[office_hours:{"zone":"CET"}][expiration:2027-01-31T00:00:00Z]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Relationship {
    /// What access is given to.
    pub resource: ObjectRef,
    /// The relation of the resource's definition.
    pub relation: RelationName,
    /// Who it is given to.
    pub subject: SubjectRef,
    /// The condition, if any.
    pub caveat: Option<CaveatRef>,
    /// The instant from which the relationship no longer counts, if any.
    pub expires_at: Option<Timestamp>,
}

/// A caveat with the values that were written with the relationship.
#[derive(Debug, Clone, PartialEq)]
pub struct CaveatRef {
    /// The caveat of the schema.
    pub name: CaveatName,
    /// Values for some of its parameters; they win over those of a request.
    pub context: Context,
}

/// What makes a relationship the same one: caveat and expiration are not part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationshipKey {
    /// What access is given to.
    pub resource: ObjectRef,
    /// The relation of the resource's definition.
    pub relation: RelationName,
    /// Who it is given to.
    pub subject: SubjectRef,
}

/// What an update does with its relationship.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Adds it, and fails if it is there.
    Create,
    /// Adds it, or replaces its caveat and expiration.
    Touch,
    /// Removes it if it is there, whatever its caveat and expiration.
    Delete,
}

/// One change of a write.
#[derive(Debug, Clone, PartialEq)]
pub struct RelationshipUpdate {
    /// What to do.
    pub operation: Operation,
    /// With which relationship.
    pub relationship: Relationship,
}

impl Relationship {
    /// The relationship without condition and end.
    #[must_use]
    pub fn new(resource: ObjectRef, relation: RelationName, subject: SubjectRef) -> Self {
        Self {
            resource,
            relation,
            subject,
            caveat: None,
            expires_at: None,
        }
    }

    /// What identifies the relationship.
    #[must_use]
    pub fn key(&self) -> RelationshipKey {
        RelationshipKey {
            resource: self.resource.clone(),
            relation: self.relation.clone(),
            subject: self.subject.clone(),
        }
    }

    /// Whether it no longer counts at `now`: an expiration is the first instant at which it is gone.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

impl fmt::Display for RelationshipKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}@{}", self.resource, self.relation, self.subject)
    }
}

impl fmt::Display for Relationship {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}@{}", self.resource, self.relation, self.subject)?;
        if let Some(caveat) = &self.caveat {
            if caveat.context.is_empty() {
                write!(f, "[{}]", caveat.name)?;
            } else {
                write!(f, "[{}:{}]", caveat.name, caveat.context.to_json())?;
            }
        }
        if let Some(expires_at) = self.expires_at {
            write!(f, "[expiration:{expires_at}]")?;
        }
        Ok(())
    }
}

impl FromStr for Relationship {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        text::relationship(text)
    }
}

impl FromStr for ObjectRef {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        text::object(text)
    }
}

impl FromStr for SubjectRef {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        text::subject(text)
    }
}
