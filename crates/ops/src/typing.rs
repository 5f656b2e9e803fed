//! Whether relationships and filters fit the schema.

use model::{
    Operation, Relationship, RelationshipFilter, SubjectFilter, SubjectId, SubjectRef,
    SubjectRelationFilter,
};
use schema::{AllowedSubject, DefinitionIx, MemberIx, MemberKind, Schema, SubjectKind};

use crate::error::{Error, Kind, Reason};

/// Checks that `relationship` may be written (or, without regard to its traits, deleted).
pub(crate) fn relationship(
    schema: &Schema,
    relationship: &Relationship,
    operation: Operation,
) -> Result<(), Error> {
    let definition = definition(schema, relationship.resource.definition.as_str())?;
    let relation = member(schema, definition, relationship.relation.as_str())?;
    let allowed = match &schema.member(relation).kind {
        MemberKind::Relation(allowed) => allowed,
        MemberKind::Permission(_) => return Err(cannot_update(relationship)),
    };
    let (subject_definition, kind) = subject_kind(schema, &relationship.subject)?;
    let same_kind: Vec<&AllowedSubject> = allowed
        .iter()
        .filter(|allowed| allowed.definition == subject_definition && allowed.kind == kind)
        .collect();
    if operation == Operation::Delete {
        return if same_kind.is_empty() {
            Err(not_allowed(relationship))
        } else {
            Ok(())
        };
    }
    let caveat_name = relationship
        .caveat
        .as_ref()
        .map(|caveat| caveat.name.as_str());
    let fits = |allowed: &&AllowedSubject| {
        allowed.caveat.map(|ix| schema.caveat(ix).name.as_str()) == caveat_name
            && allowed.expiration == relationship.expires_at.is_some()
    };
    let Some(allowed) = same_kind.iter().copied().find(fits) else {
        return Err(traits_not_allowed(schema, relationship, &same_kind));
    };
    match (allowed.caveat, &relationship.caveat) {
        (Some(ix), Some(caveat)) => schema
            .caveat(ix)
            .program
            .check_written(&caveat.context)
            .map_err(|error| {
                Error::invalid(Reason::CaveatParameterTypeError, error.to_string())
                    .with("caveat_name", &caveat.name)
                    .with("relationship", relationship.key())
            }),
        _ => Ok(()),
    }
}

/// Refuses a filter without a field.
pub(crate) fn not_empty(filter: &RelationshipFilter) -> Result<(), Error> {
    if !filter.is_empty() {
        return Ok(());
    }
    let message = "the relationship filter provided is not valid: at least one field must be set";
    Err(Error::invalid(Reason::InvalidFilter, message).with("filter", ""))
}

/// Checks that the names of `filter` are in the schema. A filter without a field is refused.
pub(crate) fn filter(schema: &Schema, filter: &RelationshipFilter) -> Result<(), Error> {
    not_empty(filter)?;
    if let Some(name) = &filter.definition {
        let ix = definition(schema, name.as_str())?;
        if let Some(relation) = &filter.relation {
            let relation_ix = member(schema, ix, relation.as_str())?;
            match schema.member(relation_ix).kind {
                MemberKind::Relation(_) => {}
                MemberKind::Permission(_) => {
                    let message = format!("relation `{relation}` does not have type information");
                    return Err(Error::new(Kind::FailedPrecondition, message)
                        .with_reason(Reason::SchemaTypeError));
                }
            }
        }
    }
    filter
        .subject
        .as_ref()
        .map_or(Ok(()), |subject| subject_filter(schema, subject))
}

fn subject_filter(schema: &Schema, filter: &SubjectFilter) -> Result<(), Error> {
    let ix = definition(schema, filter.definition.as_str())?;
    match &filter.relation {
        SubjectRelationFilter::Relation(relation) => {
            member(schema, ix, relation.as_str()).map(|_| ())
        }
        SubjectRelationFilter::Any | SubjectRelationFilter::None => Ok(()),
    }
}

fn definition(schema: &Schema, name: &str) -> Result<DefinitionIx, Error> {
    schema
        .definition_ix(name)
        .ok_or_else(|| Error::unknown_definition(name))
}

fn member(schema: &Schema, definition: DefinitionIx, name: &str) -> Result<MemberIx, Error> {
    schema
        .member_ix(definition, name)
        .ok_or_else(|| Error::unknown_member(schema.definition(definition).name.as_str(), name))
}

fn subject_kind(
    schema: &Schema,
    subject: &SubjectRef,
) -> Result<(DefinitionIx, SubjectKind), Error> {
    let ix = definition(schema, subject.definition.as_str())?;
    let kind = match (&subject.id, &subject.relation) {
        (SubjectId::Wildcard, _) => SubjectKind::Wildcard,
        (SubjectId::Object(_), None) => SubjectKind::Object,
        (SubjectId::Object(_), Some(relation)) => {
            SubjectKind::Set(member(schema, ix, relation.as_str())?)
        }
    };
    Ok((ix, kind))
}

fn cannot_update(relationship: &Relationship) -> Error {
    let (definition, permission) = (&relationship.resource.definition, &relationship.relation);
    let message = format!(
        "cannot write a relationship to permission `{permission}` under definition `{definition}`"
    );
    Error::invalid(Reason::CannotUpdatePermission, message)
        .with("definition_name", definition)
        .with("permission_name", permission)
}

fn not_allowed(relationship: &Relationship) -> Error {
    refused(relationship, &subject_type(relationship), "")
}

fn traits_not_allowed(
    schema: &Schema,
    relationship: &Relationship,
    same_kind: &[&AllowedSubject],
) -> Error {
    let caveats: Vec<&str> = same_kind
        .iter()
        .filter_map(|allowed| allowed.caveat)
        .map(|ix| schema.caveat(ix).name.as_str())
        .collect();
    if relationship.caveat.is_some() || caveats.is_empty() {
        return not_allowed(relationship);
    }
    let caveats = caveats.join(", ");
    let hint = format!(" without one of the following caveats: {caveats}");
    refused(relationship, &subject_type(relationship), &hint).with("allowed_caveats", caveats)
}

fn refused(relationship: &Relationship, subject_type: &str, hint: &str) -> Error {
    let (definition, relation) = (&relationship.resource.definition, &relationship.relation);
    let message = format!(
        "subjects of type `{subject_type}` are not allowed on relation `{definition}#{relation}`{hint}"
    );
    Error::invalid(Reason::InvalidSubjectType, message)
        .with("definition_name", definition)
        .with("relation_name", relation)
        .with("subject_type", subject_type)
}

/// The kind of the relationship's subject as a schema writes it: `user:* with office_hours and expiration`.
fn subject_type(relationship: &Relationship) -> String {
    let subject = &relationship.subject;
    let mut text = subject.definition.to_string();
    match (&subject.id, &subject.relation) {
        (SubjectId::Wildcard, _) => text.push_str(":*"),
        (SubjectId::Object(_), Some(relation)) => {
            text.push('#');
            text.push_str(relation.as_str());
        }
        (SubjectId::Object(_), None) => {}
    }
    match (&relationship.caveat, relationship.expires_at) {
        (None, None) => {}
        (None, Some(_)) => text.push_str(" with expiration"),
        (Some(caveat), None) => {
            text.push_str(" with ");
            text.push_str(caveat.name.as_str());
        }
        (Some(caveat), Some(_)) => {
            text.push_str(" with ");
            text.push_str(caveat.name.as_str());
            text.push_str(" and expiration");
        }
    }
    text
}
