//! Which relationships a read, a deletion or a precondition means.

use crate::name::{DefinitionName, ObjectId, RelationName};
use crate::object::SubjectId;
use crate::relationship::Relationship;

/// A pattern of relationships; a field that is absent matches everything. At least one is present.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RelationshipFilter {
    /// Only resources of this definition.
    pub definition: Option<DefinitionName>,
    /// Only these resource ids.
    pub resource_id: Option<ResourceIdFilter>,
    /// Only this relation.
    pub relation: Option<RelationName>,
    /// Only these subjects.
    pub subject: Option<SubjectFilter>,
}

/// One resource id, or all that begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceIdFilter {
    /// This id.
    Exact(ObjectId),
    /// Every id that begins with this text.
    Prefix(ObjectId),
}

/// A pattern of subjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectFilter {
    /// Only subjects of this definition.
    pub definition: DefinitionName,
    /// Only this id; the wildcard means the wildcard itself, not everything.
    pub id: Option<SubjectId>,
    /// Only subjects with this relation, or without one.
    pub relation: SubjectRelationFilter,
}

/// Which subject relations match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectRelationFilter {
    /// With or without a relation.
    Any,
    /// Only objects themselves.
    None,
    /// Only subject sets of this relation.
    Relation(RelationName),
}

/// What must hold of the store for a write or a deletion to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// At least one relationship matches.
    MustMatch(RelationshipFilter),
    /// No relationship matches.
    MustNotMatch(RelationshipFilter),
}

impl Precondition {
    /// The pattern that is looked for.
    #[must_use]
    pub fn filter(&self) -> &RelationshipFilter {
        match self {
            Self::MustMatch(filter) | Self::MustNotMatch(filter) => filter,
        }
    }
}

impl RelationshipFilter {
    /// Whether no field is present, which no call accepts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.definition.is_none()
            && self.resource_id.is_none()
            && self.relation.is_none()
            && self.subject.is_none()
    }

    /// Whether `relationship` is one of those meant.
    #[must_use]
    pub fn matches(&self, relationship: &Relationship) -> bool {
        let resource = &relationship.resource;
        self.definition
            .as_ref()
            .is_none_or(|name| *name == resource.definition)
            && self
                .resource_id
                .as_ref()
                .is_none_or(|ids| ids.matches(&resource.id))
            && self
                .relation
                .as_ref()
                .is_none_or(|name| *name == relationship.relation)
            && self
                .subject
                .as_ref()
                .is_none_or(|subject| subject.matches(&relationship.subject))
    }
}

impl ResourceIdFilter {
    /// Whether `id` is one of those meant.
    #[must_use]
    pub fn matches(&self, id: &ObjectId) -> bool {
        match self {
            Self::Exact(exact) => exact == id,
            Self::Prefix(prefix) => id.as_str().starts_with(prefix.as_str()),
        }
    }
}

impl SubjectFilter {
    /// Whether `subject` is one of those meant.
    #[must_use]
    pub fn matches(&self, subject: &crate::object::SubjectRef) -> bool {
        self.definition == subject.definition
            && self.id.as_ref().is_none_or(|id| *id == subject.id)
            && match &self.relation {
                SubjectRelationFilter::Any => true,
                SubjectRelationFilter::None => subject.relation.is_none(),
                SubjectRelationFilter::Relation(name) => subject.relation.as_ref() == Some(name),
            }
    }
}
