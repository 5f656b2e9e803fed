//! Resources and subjects: what a relationship joins.

use std::fmt;

use crate::name::{DefinitionName, ObjectId, RelationName};

/// One object: a resource, or the object part of a subject. Text form `document:readme`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// The definition that the object is of.
    pub definition: DefinitionName,
    /// The object's id within its definition.
    pub id: ObjectId,
}

/// Which objects of a definition a subject means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectId {
    /// The wildcard `*`: every object of the definition. Orders before every id, as its text does.
    Wildcard,
    /// One object.
    Object(ObjectId),
}

/// Who a relationship grants to: `user:ann`, everybody (`user:*`) or a subject set (`group:eng#member`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectRef {
    /// The definition that the subject is of.
    pub definition: DefinitionName,
    /// The object, or all of them.
    pub id: SubjectId,
    /// The relation or permission whose members are meant; none for the object itself. Never with a wildcard.
    pub relation: Option<RelationName>,
}

impl SubjectId {
    /// The id as text, `*` for the wildcard.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Wildcard => "*",
            Self::Object(id) => id.as_str(),
        }
    }
}

impl From<ObjectRef> for SubjectRef {
    fn from(object: ObjectRef) -> Self {
        Self {
            definition: object.definition,
            id: SubjectId::Object(object.id),
            relation: None,
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.definition, self.id)
    }
}

impl fmt::Display for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for SubjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.definition, self.id)?;
        match &self.relation {
            Some(relation) => write!(f, "#{relation}"),
            None => Ok(()),
        }
    }
}
