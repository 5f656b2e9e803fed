//! Connections: accepted, protected, served, and let end.
//!
//! Those that are too many are closed at once (`places`); handshakes have turns (`handshakes`); what the others bring is read in turns (`pace`); one that is silent, does not take what
//! it asked for, or has not asked for long, is ended (`line`, which knows what is said by `heard`); and what it began to send has to come (`incoming`).

mod backlog;
mod handshakes;
mod heard;
mod incoming;
mod line;
mod owing;
mod pace;
mod places;
mod unread;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use identity::PeerCertificate;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::task::coop::unconstrained;
use tokio::time::MissedTickBehavior;
use tonic::body::Body;
use tower::Service as _;

use crate::calls::{Answer, Calls};
use crate::edge::is_for_proxies;
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::overload::Overload;
use crate::starting::Waiting;
use crate::tls::{Protocols, TlsHandle};
use heard::Heard;
use line::Fault;
use pace::Paced;
use unread::Unread;

pub(crate) use handshakes::Handshakes;
pub(crate) use incoming::BodyBytes;
pub(crate) use line::{Arrival, Line, Patience};
pub(crate) use pace::{Giving, Pacer};
pub(crate) use places::Places;

/// Streams that may be cancelled before they are read: a client that gives up on many calls at once is no attack.
const PENDING_RESETS_MAX: usize = 1_024;
/// How often an idle connection is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long it may take to say so.
const KEEPALIVE_WAIT: Duration = Duration::from_secs(20);
/// The heads of one request, in bytes.
const HEADERS_BYTES_MAX: u32 = 16 << 10;
/// What is kept of an answer for a client that has not taken what came before it, in bytes.
const SEND_BYTES_MAX: usize = 128 << 10;
/// What is kept of a connection of HTTP/1, in bytes.
const BUFFER_BYTES_MAX: usize = 128 << 10;
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

/// What the connections of a listener have in common.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) overload: Arc<Overload>,
    pub(crate) places: Arc<Places>,
    pub(crate) handshakes: Arc<Handshakes>,
    /// None where what comes is read as it comes.
    pub(crate) pacer: Option<Arc<Pacer>>,
    /// Whether connections are to go elsewhere.
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) stopped: watch::Receiver<bool>,
}

/// Serves what comes to `listener` until it is stopped, and then what is under way.
pub(crate) async fn serve(
    listener: Arc<TcpListener>,
    tls: Option<Arc<TlsHandle>>,
    front: Front,
    shared: Shared,
) {
    let mut stopped = shared.stopped.clone();
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
            Ok(accepted) => take(&mut connections, accepted, (&tls, &front, &shared)),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Those that the system has taken already are not to be cut off; they are for who listens next, if anybody does.
    if let Some(listener) = Arc::into_inner(listener) {
        while let Some(Ok(accepted)) = unconstrained(listener.accept()).now_or_never() {
            take(&mut connections, accepted, (&tls, &front, &shared));
        }
    }
    while connections.join_next().await.is_some() {}
}

/// Serves a connection in a task of its own; closes it where there is no place for it.
fn take(
    connections: &mut JoinSet<()>,
    (stream, peer): (TcpStream, SocketAddr),
    (tls, front, shared): (&Option<Arc<TlsHandle>>, &Front, &Shared),
) {
    let place = match shared.places.take(peer.ip()) {
        Ok(place) => place,
        Err(why) => {
            shared.overload.note_connection(why.text());
            return;
        }
    };
    let (tls, front, shared) = (tls.clone(), front.clone(), shared.clone());
    connections.spawn(async move {
        connection(stream, peer, tls, front, shared).await;
        drop(place);
    });
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<TlsHandle>>,
    front: Front,
    shared: Shared,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "a connection ended at once");
        return;
    }
    let line = Line::new(shared.overload.settings().stall_max);
    if let Some(pacer) = &shared.pacer {
        line.comes_from(pacer.key_of(peer.ip()));
    }
    let stream = Paced::new(
        stream,
        unread_bytes,
        Arc::clone(&line),
        shared.pacer.clone(),
    );
    let Some(tls) = tls else {
        return speak(stream, (peer, line, None), front, shared).await;
    };
    let acceptor = tls.acceptor(front.protocols());
    let time_max = shared.overload.settings().greeting_max;
    let is_held_up = || line.turn().is_asked_for();
    let accepting = acceptor.accept(stream);
    let made = shared
        .handshakes
        .make(peer.ip(), time_max, is_held_up, accepting);
    match made.await {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates();
            let certificates = certificates.map(|it| it.iter().map(|it| it.clone().into_owned()));
            let certificate = certificates.and_then(|it| PeerCertificate::new(it.collect()));
            speak(stream, (peer, line, certificate), front, shared).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
        Err(why) => {
            shared.overload.note_connection(why.text());
            tracing::debug!(%peer, %why, "there was no TLS handshake");
        }
    }
}

/// What waits in the system for this node to read it; nothing where the system does not say.
fn unread_bytes(stream: &TcpStream) -> u64 {
    rustix::io::ioctl_fionread(stream).unwrap_or_default()
}

/// Answers the requests of one connection until it ends, or the server does and they are answered.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    (peer, line, certificate): (SocketAddr, Arc<Line>, Option<Arc<PeerCertificate>>),
    front: Front,
    shared: Shared,
) {
    let Shared {
        overload,
        draining,
        mut stopped,
        ..
    } = shared;
    let settings = overload.settings();
    let (patience, stall_max) = (settings.patience(), settings.stall_max);
    let is_grpc_alone = matches!(front.protocols(), Protocols::Grpc);
    let of_line = Arc::clone(&line);
    let service = service_fn(move |request: Request<Incoming>| {
        let has_streams = request.version() >= Version::HTTP_2;
        let is_last = !has_streams && *draining.borrow();
        let (arrival, unread) = (Arrival::now(&of_line), Unread::new());
        let mut request = request.map(|body| {
            let body = unread.keep(body);
            Body::new(incoming::Incoming::new(body, stall_max, &arrival.bytes))
        });
        request.extensions_mut().insert(arrival);
        if let Some(certificate) = &certificate {
            request.extensions_mut().insert(Arc::clone(certificate));
        }
        request.extensions_mut().insert(Peer(peer));
        let mut answer = front.clone().answer(request);
        if !has_streams {
            answer = unread.before(answer);
        }
        of_line.answering(answer, is_last)
    });
    let builder = builder(settings.connection_calls_max, is_grpc_alone);
    let stream = TokioIo::new(Heard::new(stream, Arc::clone(&line)));
    let mut connection = pin!(builder.serve_connection(stream, service));
    let mut looks = tokio::time::interval(patience.look_interval());
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_ending = false;
    let ended = loop {
        tokio::select! {
            // First what has come: a client is not to blame for what this node has not got round to.
            biased;
            ended = connection.as_mut() => break ended,
            () = until(&mut stopped), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
            _ = looks.tick() => match line.fault(&patience) {
                None => {}
                // It may not have said what it speaks: there is nobody to ask to go.
                Some(Fault::Idle) if !line.has_called() => {
                    overload.note_connection(Fault::Idle.text());
                    return;
                }
                Some(Fault::Idle) if is_ending => {}
                Some(Fault::Idle) => {
                    is_ending = true;
                    overload.note_connection(Fault::Idle.text());
                    connection.as_mut().graceful_shutdown();
                }
                Some(fault @ (Fault::Silent | Fault::Stalled)) => {
                    overload.note_connection(fault.text());
                    tracing::debug!(%peer, fault = fault.text(), "a connection was ended");
                    return;
                }
            },
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "a connection broke");
    }
}

/// What connections are held to, of which each may have `calls_max` calls under way.
fn builder(calls_max: u32, is_grpc_alone: bool) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .max_buf_size(BUFFER_BYTES_MAX)
        .header_read_timeout(HEAD_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_WAIT)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_send_buf_size(SEND_BYTES_MAX)
        .max_concurrent_streams(calls_max)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        // They are counted for as long as the connection lasts, and a call that is refused or given up while its body comes is one: nobody
        // would keep a connection. What a flood of them costs is its caller's own turns.
        .max_local_error_reset_streams(None);
    if is_grpc_alone {
        builder = builder.http2_only();
    }
    builder
}

async fn until(stopped: &mut watch::Receiver<bool>) {
    // An error means that the server itself is gone, which is an end as well.
    let _gone = stopped.wait_for(|stopped| *stopped).await;
}
