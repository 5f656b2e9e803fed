//! The floor: a server that reads the same requests and answers at once.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use remit_proto::authzed::api::v1 as wire;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use wire::check_permission_response::Permissionship;

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
            Ok(if request.uri().path().ends_with("/CheckBulkPermissions") {
                Grpc::new(ProstCodec::default()).unary(Bulk, request).await
            } else {
                Grpc::new(ProstCodec::default()).unary(Check, request).await
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
