//! The floor: a server that reads the same requests and answers at once.
//!
//! To a look-up it sends as many equal messages as the request's metadata asks for.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use anyhow::Context as _;
use prost::Message;
use remit_proto::authzed::api::v1 as wire;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use wire::check_permission_response::Permissionship;

/// Of a look-up's metadata: how many messages to answer with.
const COUNT: &str = "x-count";
/// Of a look-up's metadata: the message, as it is encoded.
const MESSAGE: &str = "x-message-bin";

/// Answers calls of the checks' service without looking at them.
#[derive(Debug, Clone, Copy)]
struct Floor;

impl NamedService for Floor {
    const NAME: &'static str = "authzed.api.v1.PermissionsService";
}

impl Service<http::Request<Body>> for Floor {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let (_, method) = request.uri().path().rsplit_once('/').unwrap_or_default();
            Ok(match method {
                "CheckBulkPermissions" => {
                    let mut grpc = Grpc::new(ProstCodec::default());
                    grpc.unary(Bulk, request).await
                }
                "LookupResources" => {
                    let mut grpc = Grpc::new(ProstCodec::default());
                    grpc.server_streaming(Resources, request).await
                }
                "LookupSubjects" => {
                    let mut grpc = Grpc::new(ProstCodec::default());
                    grpc.server_streaming(Subjects, request).await
                }
                _ => {
                    let mut grpc = Grpc::new(ProstCodec::default());
                    grpc.unary(Check, request).await
                }
            })
        })
    }
}

struct Check;

impl UnaryService<wire::CheckPermissionRequest> for Check {
    type Response = wire::CheckPermissionResponse;
    type Future = Ready<Result<Response<Self::Response>, Status>>;

    fn call(&mut self, _request: Request<wire::CheckPermissionRequest>) -> Self::Future {
        ready(Ok(Response::new(wire::CheckPermissionResponse {
            permissionship: Permissionship::NoPermission.into(),
            ..Default::default()
        })))
    }
}

struct Bulk;

impl UnaryService<wire::CheckBulkPermissionsRequest> for Bulk {
    type Response = wire::CheckBulkPermissionsResponse;
    type Future = Ready<Result<Response<Self::Response>, Status>>;

    fn call(&mut self, _request: Request<wire::CheckBulkPermissionsRequest>) -> Self::Future {
        ready(Ok(Response::new(
            wire::CheckBulkPermissionsResponse::default(),
        )))
    }
}

struct Resources;

impl ServerStreamingService<wire::LookupResourcesRequest> for Resources {
    type Response = wire::LookupResourcesResponse;
    type ResponseStream = Equal<Self::Response>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<wire::LookupResourcesRequest>) -> Self::Future {
        ready(equal(request.metadata()))
    }
}

struct Subjects;

impl ServerStreamingService<wire::LookupSubjectsRequest> for Subjects {
    type Response = wire::LookupSubjectsResponse;
    type ResponseStream = Equal<Self::Response>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<wire::LookupSubjectsRequest>) -> Self::Future {
        ready(equal(request.metadata()))
    }
}

/// The same message over and over.
type Equal<M> = tokio_stream::Iter<std::iter::RepeatN<Result<M, Status>>>;

fn equal<M: Message + Default + Clone>(
    metadata: &MetadataMap,
) -> Result<Response<Equal<M>>, Status> {
    let count = metadata.get(COUNT).and_then(|value| value.to_str().ok());
    let count = count.and_then(|count| count.parse().ok());
    let message = metadata.get_bin(MESSAGE);
    let message = message.and_then(|value| value.to_bytes().ok());
    let message = message.and_then(|bytes| M::decode(bytes).ok());
    let (Some(count), Some(message)) = (count, message) else {
        return Err(Status::invalid_argument("nothing says what to answer"));
    };
    let messages = std::iter::repeat_n(Ok(message), count);
    Ok(Response::new(tokio_stream::iter(messages)))
}

/// The metadata that asks for `count` messages like `message`.
pub(super) fn asks_for(count: u64, message: &impl Message) -> anyhow::Result<MetadataMap> {
    let mut metadata = MetadataMap::new();
    let count = count.to_string().parse();
    metadata.insert(COUNT, count.context("a number is no value")?);
    let message = MetadataValue::from_bytes(&message.encode_to_vec());
    metadata.insert_bin(MESSAGE, message);
    Ok(metadata)
}

/// Serves until the process is killed; prints the address that it listens on.
///
/// # Errors
/// When no port can be listened on.
pub(crate) async fn serve_floor() -> anyhow::Result<()> {
    use std::io::Write as _;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", listener.local_addr()?)?;
    drop(out);
    // A connection is accepted as Remit does it, without the delay that gathers small packets.
    let incoming = TcpListenerStream::new(listener);
    let server = Server::builder().add_service(Floor);
    Ok(server.serve_with_incoming(NoDelay(incoming)).await?)
}

struct NoDelay(TcpListenerStream);

impl tokio_stream::Stream for NoDelay {
    type Item = std::io::Result<tokio::net::TcpStream>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        let next = std::pin::Pin::new(&mut self.0).poll_next(context);
        if let Poll::Ready(Some(Ok(stream))) = &next {
            let _is_set = stream.set_nodelay(true);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_look_up_is_answered_with_what_its_metadata_asks_for() {
        let message = wire::LookupResourcesResponse {
            resource_object_id: "3f2a".to_owned(),
            ..Default::default()
        };
        let asked = asks_for(3, &message).unwrap();
        let answers = equal::<wire::LookupResourcesResponse>(&asked).unwrap();
        let answers: Vec<_> = answers.into_inner().map(Result::unwrap).collect().await;
        assert_eq!(answers, [message.clone(), message.clone(), message]);
        assert!(equal::<wire::LookupResourcesResponse>(&MetadataMap::new()).is_err());
    }
}
