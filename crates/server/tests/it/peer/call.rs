//! The calls that a case makes, and how either server is asked.

use std::collections::BTreeSet;
use std::fmt;

use prost::Message;
use remit_client::proto::authzed::api::v1 as wire;
use server::convert;
use testkit::rng::Rng;
use testkit::{Case, Question};
use wire::CheckBulkPermissionsRequestItem as Item;
use wire::consistency::Requirement;
use wire::relationship_update::Operation;

use super::outcome::Outcome;
use super::process::Peer;
use crate::wire::{Answer, Failure, RemitWire};

const PERMISSIONS: &str = "/authzed.api.v1.PermissionsService";
const SCHEMA: &str = "/authzed.api.v1.SchemaService";

/// One call of a case.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Call {
    WriteSchema,
    WriteRelationships,
    Check(Item),
    /// One item of the bulk check of all of them.
    CheckInBulk(Item),
    LookupResources(wire::LookupResourcesRequest),
    LookupSubjects(wire::LookupSubjectsRequest),
    Expand(wire::ExpandPermissionTreeRequest),
}

/// A server under comparison, empty.
pub(super) enum Server<'a> {
    Remit(RemitWire),
    Peer(&'a mut Peer),
}

/// Puts the data of `case` to a server and asks everything.
pub(super) async fn ask(server: &mut Server<'_>, case: &Case, seed: u64) -> Vec<(Call, Outcome)> {
    let mut asked = Vec::new();
    let schema = wire::WriteSchemaRequest {
        schema: case.schema_text.clone(),
    };
    let written: Result<wire::WriteSchemaResponse, _> =
        server.one(SCHEMA, "WriteSchema", &schema).await;
    let is_written = written.is_ok();
    asked.push((Call::WriteSchema, Outcome::done(written)));
    if !is_written {
        return asked;
    }
    let rows = write(case);
    let written: Result<wire::WriteRelationshipsResponse, _> =
        server.one(PERMISSIONS, "WriteRelationships", &rows).await;
    asked.push((Call::WriteRelationships, Outcome::done(written)));
    let mut items: Vec<Item> = case.questions.iter().map(item).collect();
    items.extend(faulty(items.first(), seed));
    for item in &items {
        asked.push((Call::Check(item.clone()), server.check(item).await));
    }
    asked.extend(server.check_bulk(&items).await);
    for request in lookups_of_resources(case) {
        let (answers, failure) = server.many(PERMISSIONS, "LookupResources", &request).await;
        let outcome = failure.map_or_else(|| Outcome::resources(answers), Outcome::Failed);
        asked.push((Call::LookupResources(request), outcome));
    }
    for request in lookups_of_subjects(case) {
        let (answers, failure) = server.many(PERMISSIONS, "LookupSubjects", &request).await;
        let outcome = failure.map_or_else(|| Outcome::subjects(answers), Outcome::Failed);
        asked.push((Call::LookupSubjects(request), outcome));
    }
    for request in expansions(case) {
        let answer = server
            .one(PERMISSIONS, "ExpandPermissionTree", &request)
            .await;
        asked.push((Call::Expand(request), Outcome::tree(answer)));
    }
    asked
}

impl Server<'_> {
    async fn call(&mut self, service: &str, name: &str, request: &impl Message) -> Answer {
        let method = format!("{service}/{name}");
        let requests = vec![request.encode_to_vec()];
        match self {
            Self::Remit(wire) => wire.call(&method, requests).await,
            Self::Peer(peer) => peer.call(&method, &requests).await,
        }
    }

    async fn one<A: Message + Default>(
        &mut self,
        service: &str,
        name: &str,
        request: &impl Message,
    ) -> Result<A, Failure> {
        let (answers, failure) = self.many(service, name, request).await;
        failure.map_or_else(|| Ok(answers.into_iter().next().unwrap()), Err)
    }

    async fn many<A: Message + Default>(
        &mut self,
        service: &str,
        name: &str,
        request: &impl Message,
    ) -> (Vec<A>, Option<Failure>) {
        let answer = self.call(service, name, request).await;
        let answers = answer.messages.into_iter();
        (
            answers.map(|bytes| A::decode(bytes).unwrap()).collect(),
            answer.failure,
        )
    }

    pub(super) async fn check(&mut self, item: &Item) -> Outcome {
        let request = wire::CheckPermissionRequest {
            consistency: fully_consistent(),
            resource: item.resource.clone(),
            permission: item.permission.clone(),
            subject: item.subject.clone(),
            context: item.context.clone(),
            with_tracing: false,
        };
        let outcome = Outcome::check(self.one(PERMISSIONS, "CheckPermission", &request).await);
        let Outcome::Failed(failure) = &outcome else {
            return outcome;
        };
        if failure.reason.is_some() {
            return outcome;
        }
        // The peer tells reasons in a bulk answer only.
        let in_bulk = self.check_bulk(std::slice::from_ref(item)).await;
        match in_bulk.into_iter().next() {
            Some((_, Outcome::Failed(same))) if same.message == failure.message => {
                Outcome::Failed(same)
            }
            _ => outcome,
        }
    }

    async fn check_bulk(&mut self, items: &[Item]) -> Vec<(Call, Outcome)> {
        let request = wire::CheckBulkPermissionsRequest {
            consistency: fully_consistent(),
            items: items.to_vec(),
            with_tracing: false,
        };
        let answer: Result<wire::CheckBulkPermissionsResponse, _> = self
            .one(PERMISSIONS, "CheckBulkPermissions", &request)
            .await;
        let calls = items.iter().cloned().map(Call::CheckInBulk);
        match answer {
            Err(failure) => calls
                .map(|call| (call, Outcome::Failed(failure.clone())))
                .collect(),
            Ok(answer) => {
                assert_eq!(answer.pairs.len(), items.len());
                let pairs = answer.pairs.into_iter().zip(items).map(|(pair, item)| {
                    assert_eq!(pair.request.as_ref(), Some(item), "the order is kept");
                    Outcome::pair(pair)
                });
                calls.zip(pairs).collect()
            }
        }
    }
}

fn fully_consistent() -> Option<wire::Consistency> {
    Some(wire::Consistency {
        requirement: Some(Requirement::FullyConsistent(true)),
    })
}

fn write(case: &Case) -> wire::WriteRelationshipsRequest {
    let updates = case
        .relationships
        .iter()
        .map(|row| wire::RelationshipUpdate {
            operation: Operation::Create.into(),
            relationship: Some(convert::relationship_to_wire(row)),
        });
    wire::WriteRelationshipsRequest {
        updates: updates.collect(),
        ..Default::default()
    }
}

fn item(question: &Question) -> Item {
    Item {
        resource: Some(convert::object_to_wire(&question.resource)),
        permission: question.member.to_string(),
        subject: Some(convert::subject_to_wire(&question.subject)),
        context: (!question.context.is_empty())
            .then(|| convert::context_to_wire(&question.context)),
    }
}

/// `item` with one fault.
fn faulty(item: Option<&Item>, seed: u64) -> Option<Item> {
    let mut item = item?.clone();
    let subject = item.subject.as_mut()?;
    let mut rng = Rng::new(seed);
    match rng.below(5) {
        0 => item.permission = "nosuch".to_owned(),
        1 => item.resource.as_mut()?.object_type = "nosuch".to_owned(),
        2 => subject.optional_relation = "nosuch".to_owned(),
        3 => subject.object.as_mut()?.object_type = "nosuch".to_owned(),
        _ => {
            subject.object.as_mut()?.object_id = "*".to_owned();
            subject.optional_relation.clear();
        }
    }
    Some(item)
}

fn lookups_of_resources(case: &Case) -> Vec<wire::LookupResourcesRequest> {
    distinct(case, |question| wire::LookupResourcesRequest {
        consistency: fully_consistent(),
        resource_object_type: question.resource.definition.to_string(),
        permission: question.member.to_string(),
        subject: Some(convert::subject_to_wire(&question.subject)),
        context: item(question).context,
        ..Default::default()
    })
}

fn lookups_of_subjects(case: &Case) -> Vec<wire::LookupSubjectsRequest> {
    distinct(case, |question| wire::LookupSubjectsRequest {
        consistency: fully_consistent(),
        resource: Some(convert::object_to_wire(&question.resource)),
        permission: question.member.to_string(),
        subject_object_type: question.subject.definition.to_string(),
        optional_subject_relation: item(question).subject.unwrap().optional_relation,
        context: item(question).context,
        ..Default::default()
    })
}

fn expansions(case: &Case) -> Vec<wire::ExpandPermissionTreeRequest> {
    distinct(case, |question| wire::ExpandPermissionTreeRequest {
        consistency: fully_consistent(),
        resource: Some(convert::object_to_wire(&question.resource)),
        permission: question.member.to_string(),
    })
}

fn distinct<R: Message>(case: &Case, request: impl Fn(&Question) -> R) -> Vec<R> {
    let mut seen = BTreeSet::new();
    let requests = case.questions.iter().map(request);
    requests
        .filter(|request| seen.insert(request.encode_to_vec()))
        .collect()
}

impl Call {
    /// The check that a look-up says the answer of, for the object `id`.
    pub(super) fn check_of(&self, id: &str) -> Option<Item> {
        let object = |kind: &str| wire::ObjectReference {
            object_type: kind.to_owned(),
            object_id: id.to_owned(),
        };
        match self {
            Self::LookupResources(request) => Some(Item {
                resource: Some(object(&request.resource_object_type)),
                permission: request.permission.clone(),
                subject: request.subject.clone(),
                context: request.context.clone(),
            }),
            Self::LookupSubjects(request) => Some(Item {
                resource: request.resource.clone(),
                permission: request.permission.clone(),
                subject: Some(wire::SubjectReference {
                    object: Some(object(&request.subject_object_type)),
                    optional_relation: request.optional_subject_relation.clone(),
                }),
                context: request.context.clone(),
            }),
            Self::WriteSchema
            | Self::WriteRelationships
            | Self::Check(_)
            | Self::CheckInBulk(_)
            | Self::Expand(_) => None,
        }
    }

    /// The name of its method.
    pub(super) fn method(&self) -> &'static str {
        match self {
            Self::WriteSchema => "WriteSchema",
            Self::WriteRelationships => "WriteRelationships",
            Self::Check(_) => "CheckPermission",
            Self::CheckInBulk(_) => "CheckBulkPermissions",
            Self::LookupResources(_) => "LookupResources",
            Self::LookupSubjects(_) => "LookupSubjects",
            Self::Expand(_) => "ExpandPermissionTree",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.method())?;
        match self {
            Self::WriteSchema | Self::WriteRelationships => Ok(()),
            Self::Check(item) | Self::CheckInBulk(item) => write!(
                f,
                " {}#{}@{}{}",
                object_text(item.resource.as_ref()),
                item.permission,
                subject_text(item.subject.as_ref()),
                context_text(item.context.as_ref())
            ),
            Self::LookupResources(request) => write!(
                f,
                " {}:?#{}@{}{}",
                request.resource_object_type,
                request.permission,
                subject_text(request.subject.as_ref()),
                context_text(request.context.as_ref())
            ),
            Self::LookupSubjects(request) => write!(
                f,
                " {}#{}@{}:?#{}{}",
                object_text(request.resource.as_ref()),
                request.permission,
                request.subject_object_type,
                request.optional_subject_relation,
                context_text(request.context.as_ref())
            ),
            Self::Expand(request) => write!(
                f,
                " {}#{}",
                object_text(request.resource.as_ref()),
                request.permission
            ),
        }
    }
}

fn object_text(object: Option<&wire::ObjectReference>) -> String {
    object.map_or_else(String::new, |object| {
        format!("{}:{}", object.object_type, object.object_id)
    })
}

fn subject_text(subject: Option<&wire::SubjectReference>) -> String {
    subject.map_or_else(String::new, |subject| {
        let object = object_text(subject.object.as_ref());
        match subject.optional_relation.as_str() {
            "" => object,
            relation => format!("{object}#{relation}"),
        }
    })
}

fn context_text(context: Option<&prost_types::Struct>) -> String {
    context.map_or_else(String::new, |context| {
        let context = convert::context_from_wire(context.clone()).unwrap();
        format!(" with {}", context.to_json())
    })
}
