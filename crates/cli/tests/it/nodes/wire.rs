//! Calls as they go over the wire, and what their answers mean.

use std::time::Duration;

use model::{Decision, ObjectRef, Operation as Update, Relationship, RelationshipUpdate, Token};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use remit_client::Client;
use remit_client::proto::authzed::api::v1 as wire;
use testkit::history::{Call, Checked, Freshness, Question, Written};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;
use wire::check_permission_response::Permissionship;
use wire::consistency::Requirement;
use wire::relationship_update::Operation as WireUpdate;

/// What an answer that is given may come late by, before it is given up all the same.
const LATE_MAX: Duration = Duration::from_millis(100);

/// The call with what came of it.
pub(crate) async fn answer(client: &Client, name: &str, call: Call, deadline: Duration) -> Call {
    match call {
        Call::Write { updates, .. } => {
            let request = write(name, &updates);
            let mut service = client.permissions();
            let asked = service.write_relationships(timed(request, deadline));
            let result = within(deadline, asked).await.map_or_else(failed, |done| {
                Written::Acknowledged(token(done.into_inner().written_at))
            });
            Call::Write { updates, result }
        }
        Call::Check {
            question,
            freshness,
            ..
        } => {
            let request = check(&question, freshness);
            let mut service = client.permissions();
            let asked = service.check_permission(timed(request, deadline));
            let result = match within(deadline, asked).await {
                Ok(answered) => checked(answered.into_inner()),
                Err(status) => Checked::Failed(describe(&status)),
            };
            Call::Check {
                question,
                freshness,
                result,
            }
        }
    }
}

/// Writes a schema; whether it is acknowledged.
pub(crate) async fn write_schema(client: &Client, text: &str, deadline: Duration) -> bool {
    let request = wire::WriteSchemaRequest {
        schema: text.to_owned(),
    };
    let mut service = client.schema();
    let asked = service.write_schema(timed(request, deadline));
    within(deadline, asked).await.is_ok()
}

/// Whether a check failed because its token is of no commit of the log.
pub(super) fn is_of_lost_commit(why: &str) -> bool {
    why.starts_with("InvalidArgument") || why.starts_with("OutOfRange")
}

/// What a write is known by.
pub(super) fn name_of(metadata: Option<&str>) -> Option<String> {
    let metadata: serde_json::Value = serde_json::from_str(metadata?).ok()?;
    Some(metadata.get("name")?.as_str()?.to_owned())
}

fn timed<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

async fn within<T>(
    deadline: Duration,
    asked: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let answered = tokio::time::timeout(deadline + LATE_MAX, asked).await;
    answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("nobody answers")))
}

fn write(name: &str, updates: &[RelationshipUpdate]) -> wire::WriteRelationshipsRequest {
    let name = Value {
        kind: Some(Kind::StringValue(name.to_owned())),
    };
    wire::WriteRelationshipsRequest {
        updates: updates.iter().map(update).collect(),
        optional_preconditions: Vec::new(),
        optional_transaction_metadata: Some(Struct {
            fields: [("name".to_owned(), name)].into(),
        }),
    }
}

fn update(update: &RelationshipUpdate) -> wire::RelationshipUpdate {
    let operation = match update.operation {
        Update::Create => WireUpdate::Create,
        Update::Touch => WireUpdate::Touch,
        Update::Delete => WireUpdate::Delete,
    };
    let row = &update.relationship;
    let expires_at = row.expires_at.map(|at| at.as_micros());
    wire::RelationshipUpdate {
        operation: operation.into(),
        relationship: Some(wire::Relationship {
            resource: Some(object(&row.resource)),
            relation: row.relation.to_string(),
            subject: Some(subject(&row.subject)),
            optional_caveat: None,
            optional_expires_at: expires_at.map(|micros| prost_types::Timestamp {
                seconds: micros.div_euclid(1_000_000),
                nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap(),
            }),
        }),
    }
}

fn check(question: &Question, freshness: Freshness) -> wire::CheckPermissionRequest {
    let at = |token: Token| wire::ZedToken {
        token: token.to_string(),
    };
    let requirement = match freshness {
        Freshness::MinimizeLatency => Requirement::MinimizeLatency(true),
        Freshness::AtLeastAsFresh(token) => Requirement::AtLeastAsFresh(at(token)),
        Freshness::AtExactSnapshot(token) => Requirement::AtExactSnapshot(at(token)),
        Freshness::FullyConsistent => Requirement::FullyConsistent(true),
    };
    wire::CheckPermissionRequest {
        consistency: Some(wire::Consistency {
            requirement: Some(requirement),
        }),
        resource: Some(object(&question.resource)),
        permission: question.member.to_string(),
        subject: Some(subject(&question.subject)),
        ..wire::CheckPermissionRequest::default()
    }
}

fn object(object: &ObjectRef) -> wire::ObjectReference {
    wire::ObjectReference {
        object_type: object.definition.to_string(),
        object_id: object.id.to_string(),
    }
}

fn subject(subject: &model::SubjectRef) -> wire::SubjectReference {
    let relation = subject.relation.as_ref().map(ToString::to_string);
    wire::SubjectReference {
        object: Some(wire::ObjectReference {
            object_type: subject.definition.to_string(),
            object_id: subject.id.to_string(),
        }),
        optional_relation: relation.unwrap_or_default(),
    }
}

fn checked(answer: wire::CheckPermissionResponse) -> Checked {
    let decision = match answer.permissionship() {
        Permissionship::HasPermission => Decision::Allowed,
        Permissionship::NoPermission => Decision::Denied,
        other @ (Permissionship::ConditionalPermission | Permissionship::Unspecified) => {
            panic!("{other:?} of a question without conditions")
        }
    };
    Checked::Answered {
        decision,
        at: token(answer.checked_at),
    }
}

fn token(at: Option<wire::ZedToken>) -> Token {
    at.unwrap().token.parse().unwrap()
}

/// What a failed write means: where a connection or a deadline ended it, nobody knows.
fn failed(status: Status) -> Written {
    match status.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Internal
        | Code::Unknown => Written::Unknown,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => Written::Refused {
            existing: existing(&status).map(|row| row.key()),
            why: describe(&status),
        },
    }
}

/// The relationship that was to be created and is there.
fn existing(status: &Status) -> Option<Relationship> {
    let info = status.get_details_error_info()?;
    Some(info.metadata.get("relationship")?.parse().unwrap())
}

fn describe(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}
