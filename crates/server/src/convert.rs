//! The border between messages and domain types. What passes it is checked, and nothing behind it checks again.
//!
//! The order is that of the API: consistency first, then every field's rule ([`rules`], all violations told together),
//! then what no rule of a field can say.

pub(crate) mod audit;
pub(crate) mod lookup;
pub(crate) mod reflection;
pub(crate) mod remit;
pub(crate) mod replica;
mod rules;
mod trace;
mod tree;
mod value;
mod violation;
mod watch;

use model::{
    CaveatName, CaveatRef, Context, DefinitionName, ObjectId, ObjectRef, Operation, Precondition,
    RelationName, Relationship, RelationshipFilter, RelationshipUpdate, ResourceIdFilter,
    SubjectFilter, SubjectId, SubjectRef, SubjectRelationFilter, Timestamp, Token,
};
use ops::check::Question;
use ops::write::{Deletion, IdempotencyKey, Write};
use ops::{Consistency, Error, Kind, Reason};
use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::consistency::Requirement;
use remit_proto::remit::v1::ExplainRequest;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::error;
use rules::Rules;
use violation::Path;

pub(crate) use trace::{TraceSource, debug_information, debug_text};
pub(crate) use tree::tree_to_wire;
pub(crate) use value::values_from_wire;
pub use value::{context_from_wire, context_to_wire};
pub use watch::WATCH_FROM;
pub(crate) use watch::{watch, watched_to_wire};

/// The consistency of a request; none asks for the newest that the node has.
///
/// # Errors
/// For a token that is none of this server's, a flag that is false, and a requirement that is not known.
pub(crate) fn consistency(consistency: Option<wire::Consistency>) -> Result<Consistency, Status> {
    let token = |token: wire::ZedToken| {
        token
            .token
            .parse()
            .map_err(|_| Status::invalid_argument("invalid revision requested"))
    };
    let unhandled =
        |case: &str| Status::internal(format!("missing handling of consistency case in {case}"));
    let Some(consistency) = consistency else {
        return Ok(Consistency::MinimizeLatency);
    };
    match consistency.requirement {
        // Perhaps one of a later version of the API: it must not be taken for a weaker one.
        None => Err(unhandled("")),
        Some(Requirement::MinimizeLatency(true)) => Ok(Consistency::MinimizeLatency),
        Some(Requirement::FullyConsistent(true)) => Ok(Consistency::FullyConsistent),
        Some(Requirement::AtLeastAsFresh(at)) => Ok(Consistency::AtLeastAsFresh(token(at)?)),
        Some(Requirement::AtExactSnapshot(at)) => Ok(Consistency::AtExactSnapshot(token(at)?)),
        Some(Requirement::MinimizeLatency(false)) => Err(unhandled("minimize_latency:false")),
        Some(Requirement::FullyConsistent(false)) => Err(unhandled("fully_consistent:false")),
    }
}

pub(crate) fn check(
    request: wire::CheckPermissionRequest,
) -> Result<(Consistency, Question), Status> {
    let consistency = consistency(request.consistency)?;
    let mut rules = Rules::default();
    rules.question(
        None,
        2,
        request.resource.as_ref(),
        &request.permission,
        request.subject.as_ref(),
    );
    rules.end()?;
    Ok((
        consistency,
        question(
            request.resource.as_ref(),
            &request.permission,
            request.subject.as_ref(),
            request.context,
        )?,
    ))
}

pub(crate) fn explain(request: ExplainRequest) -> Result<(Consistency, Question), Status> {
    check(wire::CheckPermissionRequest {
        consistency: request.consistency,
        resource: request.resource,
        permission: request.permission,
        subject: request.subject,
        context: request.context,
        with_tracing: false,
    })
}

/// Whose permission is to be expanded.
#[derive(Debug)]
pub(crate) struct Expand {
    pub(crate) consistency: Consistency,
    pub(crate) resource: ObjectRef,
    pub(crate) permission: String,
}

pub(crate) fn expand(request: wire::ExpandPermissionTreeRequest) -> Result<Expand, Status> {
    let consistency = consistency(request.consistency)?;
    let mut rules = Rules::default();
    rules.object_and_permission(None, 2, request.resource.as_ref(), &request.permission);
    rules.end()?;
    Ok(Expand {
        consistency,
        resource: object(request.resource.as_ref())?,
        permission: request.permission,
    })
}

/// The questions of a bulk check; one that is malformed beyond its rules fails alone.
pub(crate) fn check_bulk(
    consistency_wire: Option<wire::Consistency>,
    items: &[wire::CheckBulkPermissionsRequestItem],
) -> Result<(Consistency, Vec<Result<Question, Status>>), Status> {
    let consistency = consistency(consistency_wire)?;
    let mut rules = Rules::default();
    for (ix, item) in items.iter().enumerate() {
        let path = Path::message(None, 2, "items").at(ix);
        rules.question(
            Some(&path),
            1,
            item.resource.as_ref(),
            &item.permission,
            item.subject.as_ref(),
        );
    }
    rules.end()?;
    let questions = items.iter().map(|item| {
        question(
            item.resource.as_ref(),
            &item.permission,
            item.subject.as_ref(),
            item.context.clone(),
        )
    });
    Ok((consistency, questions.collect()))
}

fn question(
    resource: Option<&wire::ObjectReference>,
    permission: &str,
    subject: Option<&wire::SubjectReference>,
    context: Option<prost_types::Struct>,
) -> Result<Question, Status> {
    Ok(Question {
        resource: object(resource)?,
        permission: permission.to_owned(),
        subject: self::subject(subject)?,
        context: self::context(context)?,
    })
}

fn context(context: Option<prost_types::Struct>) -> Result<Context, Status> {
    Ok(context
        .map(context_from_wire)
        .transpose()?
        .unwrap_or_default())
}

/// The header with the key by which a write is known again.
pub(crate) const IDEMPOTENCY_KEY: &str = "remit-idempotency-key";

/// The key by which a write is known again, if it has one.
pub(crate) fn idempotency_key(metadata: &MetadataMap) -> Result<Option<IdempotencyKey>, Status> {
    let mut given = metadata.get_all(IDEMPOTENCY_KEY).iter();
    let key = match (given.next(), given.next()) {
        (None, _) => return Ok(None),
        (Some(key), None) => key
            .to_str()
            .ok()
            .and_then(|key| IdempotencyKey::new(key).ok()),
        (Some(_), Some(_)) => None,
    };
    match key {
        Some(key) => Ok(Some(key)),
        None => Err(Status::invalid_argument(format!(
            "`{IDEMPOTENCY_KEY}` is one key of 1 to {} bytes",
            IdempotencyKey::BYTES_MAX
        ))),
    }
}

/// Refuses such a key on a call that would not be known again by it.
pub(crate) fn no_idempotency_key(metadata: &MetadataMap) -> Result<(), Status> {
    if !metadata.contains_key(IDEMPOTENCY_KEY) {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "this call takes no idempotency key; send it without `{IDEMPOTENCY_KEY}`"
    )))
}

pub(crate) fn write(request: wire::WriteRelationshipsRequest) -> Result<Write, Status> {
    let mut rules = Rules::default();
    for (ix, update) in request.updates.iter().enumerate() {
        rules.update(&Path::message(None, 1, "updates").at(ix), update);
    }
    rules.preconditions(&request.optional_preconditions);
    rules.end()?;
    let updates = request.updates.into_iter().map(|update| {
        Ok(RelationshipUpdate {
            operation: match update.operation() {
                wire::relationship_update::Operation::Create => Operation::Create,
                wire::relationship_update::Operation::Delete => Operation::Delete,
                wire::relationship_update::Operation::Touch
                | wire::relationship_update::Operation::Unspecified => Operation::Touch,
            },
            relationship: relationship(update.relationship)?,
        })
    });
    Ok(Write {
        updates: updates.collect::<Result<_, Status>>()?,
        preconditions: preconditions(request.optional_preconditions)?,
        metadata: metadata(request.optional_transaction_metadata)?,
        idempotency_key: None,
    })
}

pub(crate) fn delete(request: wire::DeleteRelationshipsRequest) -> Result<Deletion, Status> {
    let mut rules = Rules::default();
    rules.filter(
        &Path::message(None, 1, "relationship_filter"),
        request.relationship_filter.as_ref(),
    );
    rules.preconditions(&request.optional_preconditions);
    rules.end()?;
    Ok(Deletion {
        filter: filter(request.relationship_filter.unwrap_or_default())?,
        preconditions: preconditions(request.optional_preconditions)?,
        limit: request.optional_limit,
        is_partial_allowed: request.optional_allow_partial_deletions,
        metadata: metadata(request.optional_transaction_metadata)?,
    })
}

/// A read of relationships.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) consistency: Consistency,
    pub(crate) filter: RelationshipFilter,
    pub(crate) limit: u32,
    pub(crate) cursor: Option<String>,
}

pub(crate) fn read(request: wire::ReadRelationshipsRequest) -> Result<Read, Status> {
    let consistency = consistency(request.consistency)?;
    let mut rules = Rules::default();
    rules.filter(
        &Path::message(None, 2, "relationship_filter"),
        request.relationship_filter.as_ref(),
    );
    rules.cursor(
        &Path::message(None, 4, "optional_cursor"),
        request.optional_cursor.as_ref(),
    );
    rules.end()?;
    Ok(Read {
        consistency,
        filter: filter(request.relationship_filter.unwrap_or_default())?,
        limit: request.optional_limit,
        cursor: request.optional_cursor.map(|cursor| cursor.token),
    })
}

/// An export of relationships.
#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) consistency: Consistency,
    pub(crate) filter: Option<RelationshipFilter>,
    pub(crate) page_size: u32,
    pub(crate) cursor: Option<String>,
}

pub(crate) fn export(request: wire::ExportBulkRelationshipsRequest) -> Result<Export, Status> {
    let consistency = consistency(request.consistency)?;
    let mut rules = Rules::default();
    rules.cursor(
        &Path::message(None, 3, "optional_cursor"),
        request.optional_cursor.as_ref(),
    );
    if let Some(filter) = &request.optional_relationship_filter {
        let path = Path::message(None, 4, "optional_relationship_filter");
        rules.filter(&path, Some(filter));
    }
    rules.end()?;
    Ok(Export {
        consistency,
        filter: request
            .optional_relationship_filter
            .map(filter)
            .transpose()?,
        page_size: request.optional_limit,
        cursor: request.optional_cursor.map(|cursor| cursor.token),
    })
}

/// The name and the pattern of a new counter.
pub(crate) fn register_counter(
    request: wire::ExperimentalRegisterRelationshipCounterRequest,
) -> Result<(String, RelationshipFilter), Status> {
    let mut rules = Rules::default();
    rules.counter_name(&request.name);
    rules.filter(
        &Path::message(None, 2, "relationship_filter"),
        request.relationship_filter.as_ref(),
    );
    rules.end()?;
    let filter = request.relationship_filter.unwrap_or_default();
    // An empty name is told before what no rule of a field can say of the pattern.
    if request.name.is_empty() {
        return Ok((request.name, RelationshipFilter::default()));
    }
    Ok((request.name, self::filter(filter)?))
}

/// The name of a counter.
pub(crate) fn counter_name(name: String) -> Result<String, Status> {
    let mut rules = Rules::default();
    rules.counter_name(&name);
    rules.end()?;
    Ok(name)
}

pub(crate) fn import(
    request: wire::ImportBulkRelationshipsRequest,
) -> Result<Vec<Relationship>, Status> {
    let mut rules = Rules::default();
    for (ix, relationship) in request.relationships.iter().enumerate() {
        let path = Path::message(None, 1, "relationships").at(ix);
        rules.relationship(&path, relationship);
    }
    rules.end()?;
    request
        .relationships
        .into_iter()
        .map(relationship_from_wire)
        .collect()
}

/// A token as the wire has it.
pub(crate) fn token_to_wire(token: Token) -> wire::ZedToken {
    wire::ZedToken {
        token: token.to_string(),
    }
}

/// A relationship as the wire has it.
#[must_use]
pub fn relationship_to_wire(relationship: &Relationship) -> wire::Relationship {
    wire::Relationship {
        resource: Some(object_to_wire(&relationship.resource)),
        relation: relationship.relation.to_string(),
        subject: Some(subject_to_wire(&relationship.subject)),
        optional_caveat: relationship
            .caveat
            .as_ref()
            .map(|caveat| wire::ContextualizedCaveat {
                caveat_name: caveat.name.to_string(),
                context: Some(context_to_wire(&caveat.context)),
            }),
        optional_expires_at: relationship.expires_at.map(timestamp_to_wire),
    }
}

pub(crate) fn timestamp_to_wire(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = at.as_seconds();
    prost_types::Timestamp { seconds, nanos }
}

/// An object as the wire has it.
#[must_use]
pub fn object_to_wire(object: &ObjectRef) -> wire::ObjectReference {
    wire::ObjectReference {
        object_type: object.definition.to_string(),
        object_id: object.id.to_string(),
    }
}

/// A subject as the wire has it.
#[must_use]
pub fn subject_to_wire(subject: &SubjectRef) -> wire::SubjectReference {
    wire::SubjectReference {
        object: Some(wire::ObjectReference {
            object_type: subject.definition.to_string(),
            object_id: subject.id.to_string(),
        }),
        optional_relation: subject
            .relation
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

/// A relationship from the wire.
///
/// # Errors
/// If a part is missing or no name of its kind.
pub fn relationship_from_wire(relationship: wire::Relationship) -> Result<Relationship, Status> {
    let caveat = relationship.optional_caveat.map(|caveat| {
        Ok::<_, Status>(CaveatRef {
            name: CaveatName::new(&caveat.caveat_name).map_err(invalid)?,
            context: caveat
                .context
                .map(context_from_wire)
                .transpose()?
                .unwrap_or_default(),
        })
    });
    let expires_at = relationship
        .optional_expires_at
        .map(|at| Timestamp::from_seconds(at.seconds, at.nanos));
    Ok(Relationship {
        resource: object(relationship.resource.as_ref())?,
        relation: RelationName::new(&relationship.relation).map_err(invalid)?,
        subject: subject(relationship.subject.as_ref())?,
        caveat: caveat.transpose()?,
        expires_at: expires_at.transpose().map_err(invalid)?,
    })
}

fn relationship(relationship: Option<wire::Relationship>) -> Result<Relationship, Status> {
    relationship_from_wire(relationship.ok_or_else(|| missing("relationship"))?)
}

fn object(object: Option<&wire::ObjectReference>) -> Result<ObjectRef, Status> {
    let object = object.ok_or_else(|| missing("object"))?;
    if object.object_id == "*" {
        let message = "invalid ObjectReference.ObjectId: alphanumeric value is required";
        return Err(Status::invalid_argument(message));
    }
    Ok(ObjectRef {
        definition: DefinitionName::new(&object.object_type).map_err(invalid)?,
        id: ObjectId::new(&object.object_id).map_err(invalid)?,
    })
}

fn subject(subject: Option<&wire::SubjectReference>) -> Result<SubjectRef, Status> {
    let subject = subject.ok_or_else(|| missing("subject"))?;
    let object = subject.object.as_ref();
    let object = object.ok_or_else(|| missing("subject.object"))?;
    let definition = DefinitionName::new(&object.object_type).map_err(invalid)?;
    let relation = Some(subject.optional_relation.as_str()).filter(|relation| !relation.is_empty());
    if object.object_id == "*" {
        if relation.is_some() {
            let message = "invalid SubjectReference.OptionalRelation: optionalrelation must be empty on subject if object \
                           ID is a wildcard";
            return Err(Status::invalid_argument(message));
        }
        return Ok(SubjectRef {
            definition,
            id: SubjectId::Wildcard,
            relation: None,
        });
    }
    Ok(SubjectRef {
        definition,
        id: SubjectId::Object(ObjectId::new(&object.object_id).map_err(invalid)?),
        relation: relation
            .map(RelationName::new)
            .transpose()
            .map_err(invalid)?,
    })
}

fn preconditions(preconditions: Vec<wire::Precondition>) -> Result<Vec<Precondition>, Status> {
    let each = preconditions.into_iter().map(|precondition| {
        let operation = precondition.operation();
        let filter = filter(precondition.filter.unwrap_or_default())?;
        Ok(match operation {
            wire::precondition::Operation::MustNotMatch => Precondition::MustNotMatch(filter),
            wire::precondition::Operation::MustMatch
            | wire::precondition::Operation::Unspecified => Precondition::MustMatch(filter),
        })
    });
    each.collect()
}

fn filter(filter: wire::RelationshipFilter) -> Result<RelationshipFilter, Status> {
    let (id, prefix) = (
        &filter.optional_resource_id,
        &filter.optional_resource_id_prefix,
    );
    if !id.is_empty() && !prefix.is_empty() {
        let message = "the relationship filter provided is not valid: resource_id and resource_id_prefix cannot be set at \
                       the same time";
        let given =
            format!("optional_resource_id:\"{id}\" optional_resource_id_prefix:\"{prefix}\"");
        let error = Error::new(Kind::InvalidArgument, message).with_reason(Reason::InvalidFilter);
        return Err(error::status(error.with("filter", given)));
    }
    let resource_id = if !id.is_empty() {
        Some(ResourceIdFilter::Exact(ObjectId::new(id).map_err(invalid)?))
    } else if !prefix.is_empty() {
        Some(ResourceIdFilter::Prefix(
            ObjectId::new(prefix).map_err(invalid)?,
        ))
    } else {
        None
    };
    let named = |text: &str| {
        Some(text)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    Ok(RelationshipFilter {
        definition: named(&filter.resource_type)
            .map(|name| DefinitionName::new(&name))
            .transpose()
            .map_err(invalid)?,
        resource_id,
        relation: named(&filter.optional_relation)
            .map(|name| RelationName::new(&name))
            .transpose()
            .map_err(invalid)?,
        subject: filter
            .optional_subject_filter
            .map(subject_filter)
            .transpose()?,
    })
}

fn subject_filter(filter: wire::SubjectFilter) -> Result<SubjectFilter, Status> {
    let id = match filter.optional_subject_id.as_str() {
        "" => None,
        "*" => Some(SubjectId::Wildcard),
        id => Some(SubjectId::Object(ObjectId::new(id).map_err(invalid)?)),
    };
    let relation = match filter.optional_relation {
        None => SubjectRelationFilter::Any,
        Some(relation) if relation.relation.is_empty() => SubjectRelationFilter::None,
        Some(relation) => {
            SubjectRelationFilter::Relation(RelationName::new(&relation.relation).map_err(invalid)?)
        }
    };
    Ok(SubjectFilter {
        definition: DefinitionName::new(&filter.subject_type).map_err(invalid)?,
        id,
        relation,
    })
}

fn metadata(metadata: Option<prost_types::Struct>) -> Result<Option<String>, Status> {
    let context: Option<Context> = metadata.map(context_from_wire).transpose()?;
    Ok(context.map(|context| context.to_json()))
}

/// A part that the rules let pass and that is none of its kind all the same: nothing gets by.
fn invalid(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

fn missing(field: &str) -> Status {
    Status::invalid_argument(format!("validation error: {field}: value is required"))
}

#[cfg(test)]
mod tests;
