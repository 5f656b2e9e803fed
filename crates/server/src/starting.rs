//! What is told while a node loads: its addresses are listened on from the start, and say how far it is.
//!
//! Health, liveness and metrics are answered; every other call is refused as `UNAVAILABLE`, with the progress, so that a client goes
//! to another node or tries again. Once the node is there, connections of the wait are let end, and the same listeners are served as
//! usual: nobody is refused a connection in between.

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, Response, StatusCode};
use ops::{LoadProgress, Node};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::Service as _;

use crate::calls::Answer;
use crate::config::{Authentication, Config, HttpAddress, Tls};
use crate::connections::{self, Front, is_grpc};
use crate::edge::is_for_proxies;
use crate::metrics::{self, PATHS, told};
use crate::overload;
use crate::serve::{Ends, Guard, Listening, SERVICES, ServeError};
use crate::tls::{Protocols, TlsHandle};

/// The calls that are answered.
const HEALTH: &str = "/grpc.health.v1.Health/";
/// After how many seconds to ask again, where the protocol has a word for that.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Where to listen.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// The address of the gRPC service.
    pub grpc: SocketAddr,
    /// Where HTTP is served.
    pub http: HttpAddress,
    /// Where metrics and health are told; none for nowhere.
    pub metrics: Option<SocketAddr>,
}

/// Listeners that have their addresses. Shared, so that who waits and who serves can have them one after the other.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) grpc: (Arc<TcpListener>, SocketAddr),
    pub(crate) http: Option<Arc<TcpListener>>,
    pub(crate) http_address: Option<SocketAddr>,
    pub(crate) metrics: Option<(Arc<TcpListener>, SocketAddr)>,
}

impl Bound {
    pub(crate) async fn at(addresses: &Addresses) -> Result<Self, ServeError> {
        let grpc = bind(addresses.grpc).await?;
        let (http, http_address) = match addresses.http {
            HttpAddress::Off => (None, None),
            HttpAddress::WithGrpc => (None, Some(grpc.1)),
            HttpAddress::Own(wanted) => {
                let (listener, address) = bind(wanted).await?;
                (Some(listener), Some(address))
            }
        };
        let metrics = match addresses.metrics {
            None => None,
            Some(wanted) => Some(bind(wanted).await?),
        };
        Ok(Self {
            grpc,
            http,
            http_address,
            metrics,
        })
    }
}

async fn bind(wanted: SocketAddr) -> Result<(Arc<TcpListener>, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen {
        address: wanted,
        source,
    };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((Arc::new(listener), address))
}

/// A server whose node loads.
#[derive(Debug)]
pub struct Starting {
    bound: Bound,
    ends: Ends,
    health: HealthReporter,
}

/// Listens, and tells how far `progress` is until [`Starting::loaded`]. Callers' certificates are asked for as `tls` says; workloads
/// of trust domains are not known yet.
///
/// # Errors
/// [`ServeError::Listen`] if an address cannot be had, [`ServeError::Tls`] if the certificate cannot be used.
pub async fn start(
    addresses: &Addresses,
    tls: Option<&Tls>,
    progress: Arc<LoadProgress>,
) -> Result<Starting, ServeError> {
    let tls = tls.map(|tls| TlsHandle::new(tls, &Authentication::None));
    let tls = tls.transpose()?.map(Arc::new);
    let bound = Bound::at(addresses).await?;
    let (health, service) = tonic_health::server::health_reporter();
    for name in SERVICES {
        let status = ServingStatus::NotServing;
        health.set_service_status(name, status).await;
    }
    let waiting = Arc::new(Waiting::new(Routes::new(service), progress));
    let (guard, ends) = Guard::start(overload::Settings::default());
    let guard = Arc::new(guard);
    let of_grpc = match addresses.http {
        HttpAddress::WithGrpc => Protocols::GrpcAndHttp,
        HttpAddress::Own(_) | HttpAddress::Off => Protocols::Grpc,
    };
    let http = bound.http.as_ref();
    let metrics = bound.metrics.as_ref();
    let listeners = std::iter::once((&bound.grpc.0, of_grpc))
        .chain(http.map(|listener| (listener, Protocols::GrpcAndHttp)))
        .chain(metrics.map(|(listener, _)| (listener, Protocols::Metrics)));
    for (listener, protocols) in listeners {
        let front = Front::Waiting(Arc::clone(&waiting), protocols);
        let shared = match protocols {
            Protocols::Grpc | Protocols::GrpcAndHttp => guard.shared.clone(),
            Protocols::Metrics => guard.of_metrics(),
        };
        let serving = connections::serve(Arc::clone(listener), tls.clone(), front, shared);
        let guard = Arc::clone(&guard);
        tokio::spawn(async move {
            serving.await;
            drop(guard);
        });
    }
    Ok(Starting {
        bound,
        ends,
        health,
    })
}

impl Starting {
    /// The address that gRPC is to be served on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.bound.grpc.1
    }

    /// The address that metrics and health are told on; none if they are not.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.bound.metrics.as_ref().map(|(_, address)| *address)
    }

    /// Goes on with a node that is loaded, on the same addresses. What `config` says of those is of no account. Connections of the wait
    /// are let end, and those who watch health are told to ask anew.
    ///
    /// # Errors
    /// [`ServeError::Tls`] if the certificate cannot be used.
    pub async fn loaded(
        mut self,
        node: Arc<Node>,
        config: Config,
    ) -> Result<Listening, ServeError> {
        let listening = Listening::on(self.bound, node, config)?;
        self.ends.stopping.send_replace(true);
        for name in SERVICES {
            // Or a watch of it would keep its connection, and go on saying what is not true any more.
            self.health.clear_service_status(name).await;
        }
        Ok(listening)
    }
}

/// What answers meanwhile.
#[derive(Debug)]
pub(crate) struct Waiting {
    health: Routes,
    progress: Arc<LoadProgress>,
    registry: Registry,
}

impl Waiting {
    fn new(health: Routes, progress: Arc<LoadProgress>) -> Self {
        let mut registry = metrics::registry();
        progress.register(&mut registry);
        registry.register(
            "remit_ready",
            "1 while this node answers, 0 while it does not; its log says why",
            Gauge::<i64>::default(),
        );
        Self {
            health,
            progress,
            registry,
        }
    }

    pub(crate) fn answer(&self, protocols: Protocols, request: Request<Body>) -> Answer {
        // At the port of gRPC, too: its failures have code 200, by which a proxy lets pass what it asks about.
        if is_for_proxies(request.uri().path()) {
            return Box::pin(std::future::ready(Ok(self.not_yet())));
        }
        let is_call = match protocols {
            Protocols::Grpc => true,
            Protocols::GrpcAndHttp => is_grpc(&request),
            Protocols::Metrics => false,
        };
        let path = request.uri().path();
        if is_call && path.starts_with(HEALTH) {
            let mut health = self.health.clone();
            return Box::pin(async move { health.call(request).await });
        }
        let answer = if is_call {
            Status::unavailable(self.progress.to_string()).into_http()
        } else {
            self.http_answer(protocols, path)
        };
        Box::pin(std::future::ready(Ok(answer)))
    }

    fn http_answer(&self, protocols: Protocols, path: &str) -> Response<Body> {
        let is_of_metrics = matches!(protocols, Protocols::Metrics);
        match path {
            "/livez" if is_of_metrics => told(StatusCode::OK, "alive\n".to_owned()),
            "/metrics" if is_of_metrics => metrics::written(&self.registry),
            "/healthz" | "/readyz" => self.not_yet(),
            _ if is_of_metrics => told(StatusCode::NOT_FOUND, PATHS.to_owned()),
            _ => self.not_yet(),
        }
    }

    fn not_yet(&self) -> Response<Body> {
        let text = format!("{}\n", self.progress);
        let mut answer = told(StatusCode::SERVICE_UNAVAILABLE, text);
        answer
            .headers_mut()
            .insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        answer
    }
}
