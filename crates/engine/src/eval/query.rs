//! A question, resolved against one snapshot: names and ids become indices, once.

use model::{ObjectRef, SubjectId, SubjectRef};
use schema::{DefinitionIx, MemberIx, Schema};

use crate::graph::{ObjectIx, Snapshot};

/// May `subject` have `member` of `resource`? Only good for the snapshot that it was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// The definition of the resource.
    pub definition: DefinitionIx,
    /// The resource.
    pub resource: ObjectIx,
    /// The relation or permission that is asked for.
    pub member: MemberIx,
    /// Who is asked about.
    pub subject: Subject,
}

/// Who is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// The definition of the subject.
    pub definition: DefinitionIx,
    /// The object.
    pub object: ObjectIx,
    /// The relation or permission whose members are meant, for a subject set.
    pub set: Option<MemberIx>,
}

/// Why a question cannot be asked of a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The schema lacks the definition.
    #[error("object definition `{definition}` not found")]
    UnknownDefinition {
        /// The name that was given.
        definition: String,
    },
    /// The definition lacks the relation or permission.
    #[error("relation/permission `{member}` not found under definition `{definition}`")]
    UnknownMember {
        /// The definition that was looked in.
        definition: String,
        /// The name that was given.
        member: String,
    },
    /// A wildcard is nobody in particular.
    #[error("cannot perform check on wildcard subject")]
    WildcardSubject,
}

impl Query {
    /// Resolves a question. Ids that the graph has never seen are valid: wildcards and `self` still apply to them.
    ///
    /// # Errors
    /// [`QueryError`] where the schema lacks a name, or the subject is a wildcard.
    /// # Cost
    /// Two look-ups in dictionaries; no allocation.
    pub fn resolve(
        snapshot: &Snapshot,
        resource: &ObjectRef,
        member: &str,
        subject: &SubjectRef,
    ) -> Result<Self, QueryError> {
        let SubjectId::Object(subject_id) = &subject.id else {
            return Err(QueryError::WildcardSubject);
        };
        let schema = snapshot.schema();
        let definition = definition_ix(schema, resource.definition.as_str())?;
        let member = member_ix(schema, definition, member)?;
        let subject_definition = definition_ix(schema, subject.definition.as_str())?;
        let set = match &subject.relation {
            Some(relation) => Some(member_ix(schema, subject_definition, relation.as_str())?),
            None => None,
        };
        let [resource_ix, subject_ix] = snapshot.object_ixs([
            (definition, resource.id.as_str()),
            (subject_definition, subject_id.as_str()),
        ]);
        let is_same = || subject_definition == definition && *subject_id == resource.id;
        let object = match subject_ix {
            Some(object) => object,
            None if is_same() => UNKNOWN_RESOURCE,
            None => UNKNOWN_SUBJECT,
        };
        Ok(Self {
            definition,
            resource: resource_ix.unwrap_or(UNKNOWN_RESOURCE),
            member,
            subject: Subject {
                definition: subject_definition,
                object,
                set,
            },
        })
    }
}

/// Stand-ins for ids that the graph does not hold. A dictionary never grows so far, so no edge has them as an end.
pub(super) const UNKNOWN_RESOURCE: ObjectIx = ObjectIx(u32::MAX);
pub(super) const UNKNOWN_SUBJECT: ObjectIx = ObjectIx(u32::MAX - 1);

pub(super) fn definition_ix(schema: &Schema, name: &str) -> Result<DefinitionIx, QueryError> {
    schema
        .definition_ix(name)
        .ok_or_else(|| QueryError::UnknownDefinition {
            definition: name.to_owned(),
        })
}

pub(super) fn member_ix(
    schema: &Schema,
    definition: DefinitionIx,
    name: &str,
) -> Result<MemberIx, QueryError> {
    schema
        .member_ix(definition, name)
        .ok_or_else(|| QueryError::UnknownMember {
            definition: schema.definition(definition).name.to_string(),
            member: name.to_owned(),
        })
}
