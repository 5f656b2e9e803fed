//! The calls of a load: requests that are made before anything is measured, and how each is sent.

use std::sync::Arc;

use prost_types::Struct;
use remit_proto::authzed::api::v1 as wire;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Extensions, Request, Status, Streaming};
use wire::check_bulk_permissions_pair::Response as Item;
use wire::permissions_service_client::PermissionsServiceClient;
use wire::relationship_update::Operation;

use crate::workload::{Draw, Question, Workload};

/// Distinct requests of a load.
const REQUESTS: usize = 100_000;
/// In a mix, one call of so many is a write.
const CALLS_PER_WRITE: usize = 100;

/// Requests, sent one after the other and over again.
#[derive(Debug, Clone)]
pub(super) enum Calls {
    Check(Arc<Vec<wire::CheckPermissionRequest>>),
    Bulk(Arc<Vec<wire::CheckBulkPermissionsRequest>>),
    Resources(Arc<Vec<LookUp<wire::LookupResourcesRequest>>>),
    Subjects(Arc<Vec<LookUp<wire::LookupSubjectsRequest>>>),
    /// Rows, each of which a caller writes and then deletes.
    Write(Arc<Vec<wire::Relationship>>),
    /// Checks with writes among them.
    Mixed(
        Arc<Vec<wire::CheckPermissionRequest>>,
        Arc<Vec<wire::Relationship>>,
    ),
}

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Read,
    Write,
}

/// A look-up, and in its metadata what the floor is to answer.
#[derive(Debug, Clone)]
pub(super) struct LookUp<R> {
    pub(super) request: R,
    pub(super) metadata: MetadataMap,
}

impl Calls {
    pub(super) fn checks(draw: &mut Draw, workload: &dyn Workload) -> Self {
        Self::Check(Arc::new(checks(draw, workload)))
    }

    /// Checks, so many in a call.
    pub(super) fn bulk_checks(draw: &mut Draw, workload: &dyn Workload, size: u16) -> Self {
        let requests = (0..REQUESTS / usize::from(size)).map(|_| {
            let items = (0..size).map(|_| item(&draw.question(workload)));
            wire::CheckBulkPermissionsRequest {
                consistency: None,
                items: items.collect(),
                with_tracing: false,
            }
        });
        Self::Bulk(Arc::new(requests.collect()))
    }

    pub(super) fn writes(draw: &mut Draw, workload: &dyn Workload) -> Self {
        Self::Write(Arc::new(new_rows(draw, workload)))
    }

    pub(super) fn mixed(draw: &mut Draw, workload: &dyn Workload) -> Self {
        let checks = checks(draw, workload);
        Self::Mixed(Arc::new(checks), Arc::new(new_rows(draw, workload)))
    }

    pub(super) fn sort(&self, number: usize) -> Sort {
        match self {
            Self::Check(_) | Self::Bulk(_) | Self::Resources(_) | Self::Subjects(_) => Sort::Read,
            Self::Write(_) => Sort::Write,
            Self::Mixed(..) if number.is_multiple_of(CALLS_PER_WRITE) => Sort::Write,
            Self::Mixed(..) => Sort::Read,
        }
    }

    /// Sends request `number` and waits for the whole answer; tells how many results it has.
    pub(super) async fn send(
        &self,
        number: usize,
        client: &mut PermissionsServiceClient<Channel>,
        written: &mut Option<wire::Relationship>,
    ) -> Result<u64, Status> {
        match self {
            Self::Check(requests) => check(client, nth(requests, number)?).await,
            Self::Bulk(requests) => {
                let answer = client.check_bulk_permissions(nth(requests, number)?);
                let pairs = answer.await?.into_inner().pairs;
                let failed = pairs.iter().find_map(|pair| match &pair.response {
                    Some(Item::Error(error)) => Some(&error.message),
                    Some(Item::Item(_)) | None => None,
                });
                match failed {
                    Some(message) => Err(Status::unknown(message)),
                    None => Ok(pairs.len() as u64),
                }
            }
            Self::Resources(requests) => {
                let request = nth(requests, number)?.into_request();
                count(client.lookup_resources(request).await?.into_inner()).await
            }
            Self::Subjects(requests) => {
                let request = nth(requests, number)?.into_request();
                count(client.lookup_subjects(request).await?.into_inner()).await
            }
            Self::Write(rows) => write(client, rows, number, written).await,
            Self::Mixed(requests, rows) => match self.sort(number) {
                Sort::Read => check(client, nth(requests, number)?).await,
                Sort::Write => write(client, rows, number / CALLS_PER_WRITE, written).await,
            },
        }
    }
}

impl<R> LookUp<R> {
    fn into_request(self) -> Request<R> {
        Request::from_parts(self.metadata, Extensions::default(), self.request)
    }
}

async fn check(
    client: &mut PermissionsServiceClient<Channel>,
    request: wire::CheckPermissionRequest,
) -> Result<u64, Status> {
    client.check_permission(request).await?;
    Ok(1)
}

/// Deletes what the caller has written before, or else writes the row of this number.
async fn write(
    client: &mut PermissionsServiceClient<Channel>,
    rows: &[wire::Relationship],
    number: usize,
    written: &mut Option<wire::Relationship>,
) -> Result<u64, Status> {
    let (operation, row) = match written.take() {
        Some(row) => (Operation::Delete, row),
        None => {
            let row = nth(rows, number)?;
            *written = Some(row.clone());
            (Operation::Touch, row)
        }
    };
    let request = wire::WriteRelationshipsRequest {
        updates: vec![wire::RelationshipUpdate {
            operation: operation.into(),
            relationship: Some(row),
        }],
        optional_preconditions: Vec::new(),
        optional_transaction_metadata: None,
    };
    client.write_relationships(request).await?;
    Ok(1)
}

async fn count<M>(mut answers: Streaming<M>) -> Result<u64, Status> {
    let mut results = 0;
    while answers.message().await?.is_some() {
        results += 1;
    }
    Ok(results)
}

fn nth<T: Clone>(requests: &[T], number: usize) -> Result<T, Status> {
    let request = requests.get(number % requests.len().max(1));
    request
        .cloned()
        .ok_or_else(|| Status::internal("a load without requests"))
}

fn checks(draw: &mut Draw, workload: &dyn Workload) -> Vec<wire::CheckPermissionRequest> {
    let requests = (0..REQUESTS).map(|_| {
        let item = item(&draw.question(workload));
        wire::CheckPermissionRequest {
            consistency: None,
            resource: item.resource,
            permission: item.permission,
            subject: item.subject,
            context: item.context,
            with_tracing: false,
        }
    });
    requests.collect()
}

/// Rows between a subject and a resource that are there. Hardly ever has one access to the other, so that the row is new.
fn new_rows(draw: &mut Draw, workload: &dyn Workload) -> Vec<wire::Relationship> {
    let rows = (0..REQUESTS).map(|_| {
        let item = item(&workload.any(draw));
        wire::Relationship {
            resource: item.resource,
            relation: workload.granting_relation().to_owned(),
            subject: item.subject,
            optional_caveat: None,
            optional_expires_at: None,
        }
    });
    rows.collect()
}

pub(super) fn item(question: &Question) -> wire::CheckBulkPermissionsRequestItem {
    let object = |definition: &str, id: String| wire::ObjectReference {
        object_type: definition.to_owned(),
        object_id: id,
    };
    let resource = &question.resource;
    let subject = &question.subject;
    wire::CheckBulkPermissionsRequestItem {
        resource: Some(object(
            resource.definition.as_str(),
            resource.id.to_string(),
        )),
        permission: question.permission.to_owned(),
        subject: Some(wire::SubjectReference {
            object: Some(object(subject.definition.as_str(), subject.id.to_string())),
            optional_relation: String::new(),
        }),
        context: context(question),
    }
}

/// The context of a question: the workloads use numbers and texts.
fn context(question: &Question) -> Option<Struct> {
    use prost_types::value::Kind;
    let json: serde_json::Value = serde_json::from_str(&question.context.to_json()).ok()?;
    let fields = json.as_object()?.iter().map(|(name, value)| {
        let kind = value.as_f64().map_or_else(
            || Kind::StringValue(value.as_str().unwrap_or_default().to_owned()),
            Kind::NumberValue,
        );
        (name.clone(), prost_types::Value { kind: Some(kind) })
    });
    let fields: std::collections::BTreeMap<_, _> = fields.collect();
    (!fields.is_empty()).then_some(Struct { fields })
}
