//! Connections: accepted, protected, served, and let end.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use identity::PeerCertificate;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::body::Body;
use tower::Service as _;

use crate::calls::{Answer, Calls};
use crate::edge::is_for_proxies;
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::starting::Waiting;
use crate::tls::{Protocols, TlsHandle};

/// Streams that may be cancelled before they are read: a client that gives up on many calls at once is no attack.
const PENDING_RESETS_MAX: usize = 1_024;
/// Calls that one connection may have under way at once; more wait at the client.
const CALLS_MAX: u32 = 4_096;
/// How often an idle connection is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long a client may take to greet.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a client may take to send the head of a request of HTTP/1.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// How long to wait before accepting again once the process has no files left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// From where a request came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What a listener speaks.
#[derive(Debug, Clone)]
pub(crate) enum Front {
    /// gRPC alone.
    Grpc(Calls),
    /// JSON over HTTP alone.
    Http(Arc<Gateway>),
    /// Both, told apart by the type of the content.
    Both(Calls, Arc<Gateway>),
    /// Metrics and health.
    Metrics(Arc<Metrics>),
    /// What is told while the node loads, on a listener of these protocols.
    Waiting(Arc<Waiting>, Protocols),
}

impl Front {
    /// The protocols below.
    fn protocols(&self) -> Protocols {
        match self {
            Self::Grpc(_) => Protocols::Grpc,
            Self::Http(_) | Self::Both(..) => Protocols::GrpcAndHttp,
            Self::Metrics(_) => Protocols::Metrics,
            Self::Waiting(_, protocols) => *protocols,
        }
    }

    /// Boxed, since a connection moves what answers it a few times.
    fn answer(&mut self, request: Request<Body>) -> Answer {
        match self {
            Self::Grpc(_) if is_for_proxies(request.uri().path()) => {
                Box::pin(std::future::ready(Ok(no_http())))
            }
            Self::Grpc(calls) => calls.call(request),
            Self::Both(calls, _) if is_grpc(&request) => calls.call(request),
            Self::Http(gateway) | Self::Both(_, gateway) => {
                let gateway = Arc::clone(gateway);
                Box::pin(async move { Ok(gateway.answer(request).await) })
            }
            Self::Metrics(metrics) => {
                let answer = metrics.answer(&request);
                Box::pin(std::future::ready(Ok(answer)))
            }
            Self::Waiting(waiting, protocols) => waiting.answer(*protocols, request),
        }
    }
}

/// Whether a request is a call of gRPC. What a proxy asks about may well be one, but not what it asks itself.
pub(crate) fn is_grpc(request: &Request<Body>) -> bool {
    if is_for_proxies(request.uri().path()) {
        return false;
    }
    let content_type = request.headers().get(CONTENT_TYPE);
    content_type.is_some_and(|name| name.as_bytes().starts_with(b"application/grpc"))
}

/// What a proxy is told that asks over HTTP where gRPC alone is served: a failure of gRPC would look like success to it.
fn no_http() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
    response
}

/// Serves what comes to `listener` until `stopped`, and then what is under way.
pub(crate) async fn serve(
    listener: Arc<TcpListener>,
    tls: Option<Arc<TlsHandle>>,
    front: Front,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        // The end comes first: a connection that waits is for who listens next, if anybody does.
        let accepted = tokio::select! {
            biased;
            () = until(&mut stopped) => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let front = front.clone();
                connections.spawn(connection(
                    stream,
                    peer,
                    tls.clone(),
                    front,
                    stopped.clone(),
                ));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<TlsHandle>>,
    front: Front,
    stopped: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "a connection ended at once");
        return;
    }
    let Some(tls) = tls else {
        return speak(stream, (peer, None), front, stopped).await;
    };
    let acceptor = tls.acceptor(front.protocols());
    match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates();
            let certificates = certificates.map(|it| it.iter().map(|it| it.clone().into_owned()));
            let certificate = certificates.and_then(|it| PeerCertificate::new(it.collect()));
            speak(stream, (peer, certificate), front, stopped).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
}

/// Answers the requests of one connection until it ends, or the server does and they are answered.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    (peer, certificate): (SocketAddr, Option<Arc<PeerCertificate>>),
    front: Front,
    mut stopped: watch::Receiver<bool>,
) {
    let is_grpc_alone = matches!(front.protocols(), Protocols::Grpc);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(whole);
        if let Some(certificate) = &certificate {
            request.extensions_mut().insert(Arc::clone(certificate));
        }
        request.extensions_mut().insert(Peer(peer));
        front.clone().answer(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .max_concurrent_streams(CALLS_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX);
    if is_grpc_alone {
        builder = builder.http2_only();
    }
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = until(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "a connection broke");
    }
}

async fn until(stopped: &mut watch::Receiver<bool>) {
    // An error means that the server itself is gone, which is an end as well.
    let _gone = stopped.wait_for(|stopped| *stopped).await;
}

/// A body that breaks when its client goes away. A failure with the code Cancelled would pass for the end of the body,
/// and a part of an import for the whole.
fn whole(body: Incoming) -> Body {
    let cut = |error: hyper::Error| Status::unavailable(format!("the request was cut: {error}"));
    Body::new(body.map_err(cut))
}
