//! A server that answers what a test says, and tells what it was asked.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::Stream;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::check_bulk_permissions_pair::Response as Pair;
use remit_client::proto::authzed::api::v1::check_permission_response::Permissionship;
use remit_client::proto::authzed::api::v1::permissions_service_server::{
    PermissionsService, PermissionsServiceServer,
};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, Streaming};

/// One call as it came: what it asked, and some of its metadata.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) items: Vec<wire::CheckBulkPermissionsRequestItem>,
    pub(crate) consistency: Option<wire::Consistency>,
    pub(crate) principal: Option<String>,
    pub(crate) authorization: Option<String>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) traceparent: Option<String>,
    pub(crate) has_deadline: bool,
}

/// What the next calls are answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// With that permissionship, for every question.
    Says(i32),
    /// With that status.
    Fails(Code),
    /// As many failures, then an allow.
    FailsFirst(Code, usize),
    /// With one answer too few.
    Short,
    /// With the answers in another order.
    Turned,
    /// Without a token.
    Tokenless,
    /// Never.
    Hangs,
    /// Unless the caller shows that: allowed.
    Wants(&'static str),
    /// Refuses calls of several checks of which one is of that resource, and that one on its own.
    Chokes(&'static str),
}

#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) seen: Mutex<Vec<Seen>>,
    answer: Mutex<Answer>,
    /// Each call takes one before it is answered.
    pub(crate) turns: Semaphore,
}

/// The server. Dropped, it ends.
pub(crate) struct Fixed {
    pub(crate) address: SocketAddr,
    pub(crate) script: Arc<Script>,
    serving: JoinHandle<()>,
}

impl Fixed {
    pub(crate) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Script {
            seen: Mutex::default(),
            answer: Mutex::new(answer),
            turns: Semaphore::new(Semaphore::MAX_PERMITS),
        });
        let service = PermissionsServiceServer::new(Service(Arc::clone(&script)));
        let serving = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let serving = tokio::spawn(async move { serving.await.unwrap() });
        Self {
            address,
            script,
            serving,
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn answers(&self, answer: Answer) {
        *self.script.answer.lock().unwrap() = answer;
    }

    /// What was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.script.seen.lock().unwrap().clone()
    }

    /// Waits until so many calls have come.
    pub(crate) async fn has_seen(&self, count: usize) {
        let all = async {
            while self.script.seen.lock().unwrap().len() < count {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(10), all).await;
        waited.unwrap_or_else(|_| panic!("{count} calls did not come"));
    }
}

impl Drop for Fixed {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

pub(crate) const ALLOWS: i32 = Permissionship::HasPermission as i32;

struct Service(Arc<Script>);

type Answered<T> = Result<Response<T>, Status>;
type Never<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Service {
    /// Notes the call, and what it is to be answered, when it is its turn.
    async fn take<T>(&self, request: &Request<T>, mut seen: Seen) -> Result<Answer, Status> {
        let text = |name: &str| {
            let value = request.metadata().get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        seen.principal = text("remit-on-behalf-of");
        seen.authorization = text("authorization");
        seen.idempotency_key = text("remit-idempotency-key");
        seen.traceparent = text("traceparent");
        seen.has_deadline = text("grpc-timeout").is_some();
        let authorization = seen.authorization.clone();
        let items: Vec<String> = seen.items.iter().map(id).collect();
        self.0.seen.lock().unwrap().push(seen);
        self.0.turns.acquire().await.unwrap().forget();
        let mut answer = self.0.answer.lock().unwrap();
        match &mut *answer {
            Answer::Fails(code) => Err(Status::new(*code, "on purpose")),
            Answer::FailsFirst(_, 0) => Ok(Answer::Says(ALLOWS)),
            Answer::FailsFirst(code, left) => {
                *left -= 1;
                Err(Status::new(*code, "on purpose"))
            }
            Answer::Wants(wanted) => match authorization.as_deref() == Some(*wanted) {
                true => Ok(Answer::Says(ALLOWS)),
                false => Err(Status::unauthenticated("show another")),
            },
            Answer::Chokes(on) => match items.iter().any(|id| id == on) {
                true => Err(Status::invalid_argument("one of them is wrong")),
                false => Ok(Answer::Says(ALLOWS)),
            },
            other @ (Answer::Says(_)
            | Answer::Short
            | Answer::Turned
            | Answer::Tokenless
            | Answer::Hangs) => Ok(other.clone()),
        }
    }
}

impl Answer {
    /// The permissionship; an allow where the fault lies elsewhere.
    async fn says(&self) -> i32 {
        if let Self::Says(number) = self {
            return *number;
        }
        if matches!(self, Self::Hangs) {
            std::future::pending::<()>().await;
        }
        ALLOWS
    }

    fn token(&self) -> Option<wire::ZedToken> {
        (!matches!(self, Self::Tokenless)).then(token).flatten()
    }
}

fn id(item: &wire::CheckBulkPermissionsRequestItem) -> String {
    item.resource.as_ref().unwrap().object_id.clone()
}

fn token() -> Option<wire::ZedToken> {
    Some(wire::ZedToken {
        token: "fixed".to_owned(),
    })
}

#[tonic::async_trait]
impl PermissionsService for Service {
    type ReadRelationshipsStream = Never<wire::ReadRelationshipsResponse>;
    type ExportBulkRelationshipsStream = Never<wire::ExportBulkRelationshipsResponse>;
    type LookupResourcesStream = Never<wire::LookupResourcesResponse>;
    type LookupSubjectsStream = Never<wire::LookupSubjectsResponse>;

    async fn check_permission(
        &self,
        request: Request<wire::CheckPermissionRequest>,
    ) -> Answered<wire::CheckPermissionResponse> {
        let asked = request.get_ref().clone();
        let seen = Seen {
            items: vec![wire::CheckBulkPermissionsRequestItem {
                resource: asked.resource,
                permission: asked.permission,
                subject: asked.subject,
                context: asked.context,
            }],
            consistency: asked.consistency,
            ..Seen::default()
        };
        let taken = self.take(&request, seen).await?;
        Ok(Response::new(wire::CheckPermissionResponse {
            checked_at: taken.token(),
            permissionship: taken.says().await,
            ..Default::default()
        }))
    }

    async fn check_bulk_permissions(
        &self,
        request: Request<wire::CheckBulkPermissionsRequest>,
    ) -> Answered<wire::CheckBulkPermissionsResponse> {
        let asked = request.get_ref().clone();
        let seen = Seen {
            items: asked.items.clone(),
            consistency: asked.consistency,
            ..Seen::default()
        };
        let answer = self.take(&request, seen).await?;
        let number = answer.says().await;
        let pair = |item: wire::CheckBulkPermissionsRequestItem| wire::CheckBulkPermissionsPair {
            request: Some(item),
            response: Some(Pair::Item(wire::CheckBulkPermissionsResponseItem {
                permissionship: number,
                ..Default::default()
            })),
        };
        let mut pairs: Vec<_> = asked.items.into_iter().map(pair).collect();
        if matches!(answer, Answer::Short) {
            pairs.pop();
        }
        if matches!(answer, Answer::Turned) {
            pairs.rotate_left(1);
        }
        Ok(Response::new(wire::CheckBulkPermissionsResponse {
            checked_at: answer.token(),
            pairs,
        }))
    }

    async fn write_relationships(
        &self,
        request: Request<wire::WriteRelationshipsRequest>,
    ) -> Answered<wire::WriteRelationshipsResponse> {
        if let Answer::Hangs = self.take(&request, Seen::default()).await? {
            std::future::pending::<()>().await;
        }
        let written_at = token();
        Ok(Response::new(wire::WriteRelationshipsResponse {
            written_at,
        }))
    }

    async fn delete_relationships(
        &self,
        _: Request<wire::DeleteRelationshipsRequest>,
    ) -> Answered<wire::DeleteRelationshipsResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn read_relationships(
        &self,
        _: Request<wire::ReadRelationshipsRequest>,
    ) -> Answered<Self::ReadRelationshipsStream> {
        Err(Status::unimplemented("not here"))
    }

    async fn expand_permission_tree(
        &self,
        _: Request<wire::ExpandPermissionTreeRequest>,
    ) -> Answered<wire::ExpandPermissionTreeResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn lookup_resources(
        &self,
        request: Request<wire::LookupResourcesRequest>,
    ) -> Answered<Self::LookupResourcesStream> {
        self.take(&request, Seen::default()).await?;
        Ok(Response::new(Box::pin(futures_util::stream::pending())))
    }

    async fn lookup_subjects(
        &self,
        _: Request<wire::LookupSubjectsRequest>,
    ) -> Answered<Self::LookupSubjectsStream> {
        Err(Status::unimplemented("not here"))
    }

    async fn import_bulk_relationships(
        &self,
        _: Request<Streaming<wire::ImportBulkRelationshipsRequest>>,
    ) -> Answered<wire::ImportBulkRelationshipsResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn export_bulk_relationships(
        &self,
        _: Request<wire::ExportBulkRelationshipsRequest>,
    ) -> Answered<Self::ExportBulkRelationshipsStream> {
        Err(Status::unimplemented("not here"))
    }
}
