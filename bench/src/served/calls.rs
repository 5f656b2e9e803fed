//! The calls of a load: requests that are made before anything is measured, and how each is sent.

use std::sync::Arc;

use hyper::body::Bytes;
use prost_types::Struct;
use remit_proto::authzed::api::v1 as wire;
use remit_proto::envoy::service::auth::v3 as auth;
use tonic::metadata::MetadataMap;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Extensions, Request, Status, Streaming};
use wire::check_bulk_permissions_pair::Response as Item;
use wire::permissions_service_client::PermissionsServiceClient;
use wire::relationship_update::Operation;

use super::asking::Header;
use super::authzen::{self, Carrier};
use super::ext_authz;
#[cfg(feature = "peers")]
use crate::peers::cerbos;
use crate::workload::{Draw, Question, Workload};

/// Distinct questions of a load.
const REQUESTS: usize = 100_000;
/// In a mix, one call of so many is a write.
const CALLS_PER_WRITE: usize = 100;

/// Requests, sent one after the other and over again.
#[derive(Debug, Clone)]
pub(crate) enum Calls {
    Check(Arc<Vec<wire::CheckPermissionRequest>>),
    Bulk(Arc<Vec<wire::CheckBulkPermissionsRequest>>),
    Resources(Arc<Vec<LookUp<wire::LookupResourcesRequest>>>),
    Subjects(Arc<Vec<LookUp<wire::LookupSubjectsRequest>>>),
    #[cfg(feature = "peers")]
    Cerbos(Arc<Vec<cerbos::CheckResourcesRequest>>),
    /// The same questions as AuthZEN has them.
    Evaluations(Arc<Vec<Bytes>>, Carrier),
    /// The same questions as Envoy asks them.
    ExtAuthz(Arc<Vec<auth::CheckRequest>>),
    /// Rows, each of which a caller writes and then deletes.
    Write(Arc<Vec<wire::Relationship>>),
    /// Checks with writes among them.
    Mixed(
        Arc<Vec<wire::CheckPermissionRequest>>,
        Arc<Vec<wire::Relationship>>,
    ),
}

/// The client of the service of checks, which says who asks.
type Permissions = PermissionsServiceClient<InterceptedService<Channel, Header>>;

/// The clients of a caller, on one connection.
#[derive(Debug)]
pub(super) struct Clients {
    permissions: Permissions,
    authzen: authzen::Client,
    ext_authz: ext_authz::Client,
    #[cfg(feature = "peers")]
    cerbos: cerbos::Client,
}

impl Clients {
    /// Clients on `channel`, and on connections of their own to `address`.
    pub(super) fn new(address: String, channel: Channel, header: Header) -> Self {
        Self {
            authzen: authzen::Client::new(address, header.clone(), channel.clone()),
            ext_authz: ext_authz::client(channel.clone(), header.clone()),
            #[cfg(feature = "peers")]
            cerbos: cerbos::Client::new(channel.clone()),
            permissions: PermissionsServiceClient::with_interceptor(channel, header),
        }
    }
}

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Read,
    Write,
}

/// A look-up, and in its metadata what the floor is to answer.
#[derive(Debug, Clone)]
pub(crate) struct LookUp<R> {
    pub(super) request: R,
    pub(super) metadata: MetadataMap,
}

impl Calls {
    pub(crate) fn checks(questions: &[Question]) -> Self {
        Self::Check(Arc::new(checks(questions)))
    }

    /// Checks, so many in a call.
    pub(crate) fn bulk_checks(questions: &[Question], size: u16) -> Self {
        Self::Bulk(Arc::new(bulks(questions, size)))
    }

    pub(super) fn evaluations(questions: &[Question], carrier: Carrier) -> Self {
        Self::Evaluations(Arc::new(authzen::evaluations(questions)), carrier)
    }

    pub(super) fn ext_authz(questions: &[Question]) -> Self {
        Self::ExtAuthz(Arc::new(ext_authz::requests(questions)))
    }

    pub(super) fn writes(draw: &mut Draw, workload: &dyn Workload) -> Self {
        Self::Write(Arc::new(new_rows(draw, workload)))
    }

    pub(super) fn mixed(questions: &[Question], draw: &mut Draw, workload: &dyn Workload) -> Self {
        Self::Mixed(
            Arc::new(checks(questions)),
            Arc::new(new_rows(draw, workload)),
        )
    }

    pub(super) fn sort(&self, number: usize) -> Sort {
        match self {
            Self::Check(_)
            | Self::Bulk(_)
            | Self::Resources(_)
            | Self::Subjects(_)
            | Self::Evaluations(..)
            | Self::ExtAuthz(_) => Sort::Read,
            #[cfg(feature = "peers")]
            Self::Cerbos(_) => Sort::Read,
            Self::Write(_) => Sort::Write,
            Self::Mixed(..) if number.is_multiple_of(CALLS_PER_WRITE) => Sort::Write,
            Self::Mixed(..) => Sort::Read,
        }
    }

    /// Sends request `number` and waits for the whole answer; tells how many results it has.
    pub(super) async fn send(
        &self,
        number: usize,
        clients: &mut Clients,
        written: &mut Option<wire::Relationship>,
    ) -> Result<u64, Status> {
        let client = &mut clients.permissions;
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
            #[cfg(feature = "peers")]
            Self::Cerbos(requests) => {
                cerbos::check(&mut clients.cerbos, nth(requests, number)?).await?;
                Ok(1)
            }
            Self::Evaluations(bodies, carrier) => {
                let body = nth(bodies, number)?;
                clients.authzen.evaluate(*carrier, body).await?;
                Ok(1)
            }
            Self::ExtAuthz(requests) => {
                let request = nth(requests, number)?;
                ext_authz::ask(&mut clients.ext_authz, request).await?;
                Ok(1)
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
    client: &mut Permissions,
    request: wire::CheckPermissionRequest,
) -> Result<u64, Status> {
    client.check_permission(request).await?;
    Ok(1)
}

/// Deletes what the caller has written before, or else writes the row of this number.
async fn write(
    client: &mut Permissions,
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

/// Questions for a load, drawn before anything is measured.
pub(crate) fn questions(draw: &mut Draw, workload: &dyn Workload) -> Vec<Question> {
    (0..REQUESTS).map(|_| draw.question(workload)).collect()
}

/// The like of single relationships, if the workload has them.
pub(super) fn direct_questions(draw: &mut Draw, workload: &dyn Workload) -> Option<Vec<Question>> {
    (0..REQUESTS).map(|_| workload.direct(draw)).collect()
}

/// The questions, each by itself.
pub(super) fn checks(questions: &[Question]) -> Vec<wire::CheckPermissionRequest> {
    let requests = questions.iter().map(|question| {
        let item = item(question);
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

/// The questions, `size` in each request.
pub(super) fn bulks(questions: &[Question], size: u16) -> Vec<wire::CheckBulkPermissionsRequest> {
    let requests = questions.chunks_exact(size.into());
    let requests = requests.map(|questions| wire::CheckBulkPermissionsRequest {
        consistency: None,
        items: questions.iter().map(item).collect(),
        with_tracing: false,
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
        context: struct_of(&question.context),
    }
}

/// A context on the wire: the workloads use numbers and texts.
pub(crate) fn struct_of(context: &model::Context) -> Option<Struct> {
    use prost_types::value::Kind;
    let json: serde_json::Value = serde_json::from_str(&context.to_json()).ok()?;
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
