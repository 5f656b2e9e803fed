//! Listening, and stopping.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ops::Node;
use remit_proto::FILE_DESCRIPTOR_SET;
use remit_proto::authzed::api::v1::experimental_service_server::ExperimentalServiceServer;
use remit_proto::authzed::api::v1::permissions_service_server::PermissionsServiceServer;
use remit_proto::authzed::api::v1::schema_service_server::SchemaServiceServer;
use remit_proto::authzed::api::v1::watch_service_server::WatchServiceServer;
use remit_proto::envoy::service::auth::v3::authorization_server::AuthorizationServer;
use remit_proto::remit::v1::access_service_server::AccessServiceServer;
use remit_proto::remit::v1::audit_service_server::AuditServiceServer;
use remit_proto::remit::v1::explain_service_server::ExplainServiceServer;
use remit_proto::remit::v1::node_service_server::NodeServiceServer;
use remit_proto::remit::v1::permissions_service_server::PermissionsServiceServer as RemitPermissionsServer;
use remit_proto::remit::v1::replica_service_server::ReplicaServiceServer;
use remit_proto::remit::v1::schema_plan_service_server::SchemaPlanServiceServer;
use remit_proto::remit::v1::token_service_server::TokenServiceServer;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;

use crate::audit_tiles::AuditTiles;
use crate::authzed::{ExperimentalApi, PermissionsApi, SchemaApi, WatchApi};
use crate::authzen::{AuthZen, PublicUrl};
use crate::calls::Calls;
use crate::config::{Config, HttpAddress};
use crate::connections::{self, Front, Giving, Handshakes, Pacer, Places, Shared};
use crate::edge::{ExtAuthz, Judge, ProxyApi};
use crate::gateway::{Gateway, RoutesError};
use crate::http_api::HttpApi;
use crate::kubernetes::Kubernetes;
use crate::metrics::Metrics;
use crate::observe::{Observing, TracesError};
use crate::overload::{self, Overload, Tending};
use crate::remit::{
    AccessApi, AuditApi, ExplainApi, NodeApi, RemitPermissionsApi, ReplicaApi, SchemaPlanApi,
    TokenApi,
};
use crate::starting::{Addresses, Bound};
use crate::tls::{TlsError, TlsHandle};

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not this machine's.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The certificate or the key is wrong.
    #[error("the TLS certificate or its key cannot be used")]
    Tls(#[from] TlsError),
    /// Traces cannot be sent where they are to go.
    #[error("there can be no traces")]
    Traces(#[from] TracesError),
    /// What the server describes of itself cannot be read.
    #[error("the descriptors for reflection cannot be read")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// What the server describes of itself has no form in HTTP.
    #[error("the routes of HTTP cannot be had from the descriptors")]
    Routes(#[from] RoutesError),
}

/// How often health is brought up to date.
const HEALTH_INTERVAL: Duration = Duration::from_millis(250);

/// The services whose health is told; the first stands for all.
pub(crate) const SERVICES: [&str; 14] = [
    "",
    "authzed.api.v1.PermissionsService",
    "authzed.api.v1.SchemaService",
    "authzed.api.v1.WatchService",
    "authzed.api.v1.ExperimentalService",
    "envoy.service.auth.v3.Authorization",
    "remit.v1.AccessService",
    "remit.v1.AuditService",
    "remit.v1.ExplainService",
    "remit.v1.NodeService",
    "remit.v1.PermissionsService",
    "remit.v1.ReplicaService",
    "remit.v1.SchemaPlanService",
    "remit.v1.TokenService",
];

/// A server that listens and is not yet serving.
#[derive(Debug)]
pub struct Listening {
    node: Arc<Node>,
    config: Config,
    bound: Bound,
    tls: Option<Arc<TlsHandle>>,
    observing: Arc<Observing>,
}

/// Begins to listen; calls wait until [`Listening::serve`].
///
/// # Errors
/// [`ServeError::Listen`] if an address cannot be had, [`ServeError::Tls`] if the certificate cannot be used.
pub async fn listen(node: Arc<Node>, config: Config) -> Result<Listening, ServeError> {
    let addresses = Addresses {
        grpc: config.grpc_addr,
        http: config.http_addr,
        metrics: config.metrics_addr,
    };
    let bound = Bound::at(&addresses).await?;
    Listening::on(bound, node, config)
}

impl Listening {
    /// A server on addresses that were listened on before its node was loaded.
    pub(crate) fn on(bound: Bound, node: Arc<Node>, config: Config) -> Result<Self, ServeError> {
        let tls = config.tls.as_ref();
        let tls = tls.map(|tls| TlsHandle::new(tls, &config.authentication));
        let tls = tls.transpose()?.map(Arc::new);
        let observing = Arc::new(Observing::new(config.traces.clone())?);
        Ok(Self {
            node,
            config,
            bound,
            tls,
            observing,
        })
    }

    /// The address that gRPC is served on; with the port that was chosen, if 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.bound.grpc.1
    }

    /// The address that HTTP is served on, which may be that of gRPC; none if it is not served.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.bound.http_address
    }

    /// The address that metrics are told on; none if they are not.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.bound.metrics.as_ref().map(|(_, address)| *address)
    }

    /// What replaces the certificate while the server runs; none without TLS.
    #[must_use]
    pub fn tls(&self) -> Option<Arc<TlsHandle>> {
        self.tls.clone()
    }

    /// Serves until `stop` is done, then lets the calls that are under way end within the grace.
    ///
    /// # Errors
    /// [`ServeError`] if what the server describes of itself cannot be used.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self {
            node,
            config,
            bound,
            tls,
            observing,
        } = self;
        let (grace, drain) = (config.shutdown_grace, config.overload.drain);
        let (guard, stop_drain) = Guard::start(config.overload.clone());
        let (health, health_service) = tonic_health::server::health_reporter();
        let judge = Judge::new(
            Arc::clone(&node),
            config.edge.clone(),
            config.authentication.clone(),
        );
        let routes = own_routes(&node, &config, (&judge, health_service));
        let services = services(&node, config.request_bytes_max, routes)?;
        let draining = guard.shared.draining.clone();
        tokio::spawn(keep_health(Arc::clone(&node), health, draining.clone()));
        let bytes_max = config.request_bytes_max;
        let overload = &guard.shared.overload;
        let watched = (Arc::clone(&observing), Arc::clone(overload));
        let calls = Calls::new(services, config.authentication, config.call_max, watched);
        let calls = calls.telling_origins(node.settings().decisions.is_some());
        let apis = http_apis(&node, config.public_url, judge, bytes_max);
        let gateway =
            |calls: &Calls| Gateway::new(calls.clone(), apis.clone(), bytes_max).map(Arc::new);
        let mut fronts = Vec::new();
        let shared = &guard.shared;
        if let Some(listener) = bound.http {
            fronts.push((listener, Front::Http(gateway(&calls)?), shared.clone()));
        }
        let front = match config.http_addr {
            HttpAddress::WithGrpc => Front::Both(calls.clone(), gateway(&calls)?),
            HttpAddress::Own(_) | HttpAddress::Off => Front::Grpc(calls),
        };
        fronts.push((bound.grpc.0, front, shared.clone()));
        if let Some((listener, _)) = bound.metrics {
            let edge = config.edge.as_deref();
            let counted = (&observing, overload);
            let metrics = Metrics::new(Arc::clone(&node), edge, counted, draining, tls.clone());
            let metrics = metrics.beside(config.decision_log.as_deref());
            let front = Front::Metrics(Arc::new(metrics));
            fronts.push((listener, front, guard.of_metrics()));
        }
        let mut serving = Vec::new();
        for (listener, front, shared) in fronts {
            serving.push(connections::serve(listener, tls.clone(), front, shared));
        }
        let mut serving = futures_util::future::join_all(serving);
        tokio::select! {
            _ended = &mut serving => return Ok(()),
            () = stop => {}
        }
        // Whoever sends callers here is told first, while those that come are still answered.
        stop_drain.draining.send_replace(true);
        if !drain.is_zero() {
            tokio::select! {
                _ended = &mut serving => return Ok(()),
                () = tokio::time::sleep(drain) => {}
            }
        }
        stop_drain.stopping.send_replace(true);
        // They would go on for the whole grace.
        node.end_watches();
        if tokio::time::timeout(grace, serving).await.is_err() {
            tracing::warn!("calls were still under way when the grace ended");
        }
        observing.close().await;
        Ok(())
    }
}

/// Connections to the address of metrics: a place for each of those that look, however many call.
const METRICS_CONNECTIONS_MAX: usize = 64;

/// What guards a server while it serves.
pub(crate) struct Guard {
    pub(crate) shared: Shared,
    _giving: Giving,
    _tending: Tending,
}

/// What tells connections that the server stops: first to go elsewhere, then that it is time.
#[derive(Debug)]
pub(crate) struct Ends {
    draining: watch::Sender<bool>,
    pub(crate) stopping: watch::Sender<bool>,
}

impl Guard {
    pub(crate) fn start(settings: overload::Settings) -> (Self, Ends) {
        let overload = Overload::new(settings);
        let (pacer, giving) = Pacer::start();
        let (draining, is_draining) = watch::channel(false);
        let (stopping, stopped) = watch::channel(false);
        let tending = overload.tend();
        let shared = Shared {
            places: Arc::clone(overload.places()),
            handshakes: Arc::clone(overload.handshakes()),
            overload,
            pacer: Some(pacer),
            draining: is_draining,
            stopped,
        };
        let guard = Self {
            shared,
            _giving: giving,
            _tending: tending,
        };
        (guard, Ends { draining, stopping })
    }

    /// For those who look after the server: nobody who calls is in their way.
    pub(crate) fn of_metrics(&self) -> Shared {
        Shared {
            places: Places::new(METRICS_CONNECTIONS_MAX, None),
            handshakes: Handshakes::worked_on(METRICS_CONNECTIONS_MAX, 1),
            pacer: None,
            ..self.shared.clone()
        }
    }
}

/// Services that are set to more than a node.
fn own_routes(
    node: &Arc<Node>,
    config: &Config,
    (judge, health): (&Judge, HealthServer<impl Health>),
) -> Routes {
    let bytes_max = config.request_bytes_max;
    let tokens = TokenApi::new(Arc::clone(node), &config.authentication);
    let tokens = TokenServiceServer::new(tokens).max_decoding_message_size(bytes_max);
    let ext_authz = AuthorizationServer::new(ExtAuthz::new(judge.clone()));
    let ext_authz = ext_authz.max_decoding_message_size(bytes_max);
    let routes = Routes::new(health).add_service(tokens);
    routes.add_service(ext_authz)
}

/// Every service, beside those that `routes` has. What is registered here is served over gRPC, and over HTTP if the
/// descriptors annotate it.
fn services(node: &Arc<Node>, bytes_max: usize, routes: Routes) -> Result<Routes, ServeError> {
    let permissions = PermissionsServiceServer::new(PermissionsApi::new(Arc::clone(node)));
    let schema = SchemaServiceServer::new(SchemaApi::new(Arc::clone(node)));
    let watch = WatchServiceServer::new(WatchApi::new(Arc::clone(node)));
    let experimental = ExperimentalServiceServer::new(ExperimentalApi::new(Arc::clone(node)));
    let access = AccessServiceServer::new(AccessApi::new(Arc::clone(node)));
    let audit = AuditServiceServer::new(AuditApi::new(Arc::clone(node)));
    let explain = ExplainServiceServer::new(ExplainApi::new(Arc::clone(node)));
    let node_service = NodeServiceServer::new(NodeApi::new(Arc::clone(node)));
    let remit_permissions = RemitPermissionsServer::new(RemitPermissionsApi::new(Arc::clone(node)));
    let replica = ReplicaServiceServer::new(ReplicaApi::new(Arc::clone(node)));
    let schema_plan = SchemaPlanServiceServer::new(SchemaPlanApi::new(Arc::clone(node)));
    Ok(routes
        .add_service(reflection()?.build_v1()?)
        .add_service(reflection()?.build_v1alpha()?)
        .add_service(permissions.max_decoding_message_size(bytes_max))
        .add_service(schema.max_decoding_message_size(bytes_max))
        .add_service(watch.max_decoding_message_size(bytes_max))
        .add_service(experimental.max_decoding_message_size(bytes_max))
        .add_service(access.max_decoding_message_size(bytes_max))
        .add_service(audit.max_decoding_message_size(bytes_max))
        .add_service(explain.max_decoding_message_size(bytes_max))
        .add_service(node_service.max_decoding_message_size(bytes_max))
        .add_service(remit_permissions.max_decoding_message_size(bytes_max))
        .add_service(replica.max_decoding_message_size(bytes_max))
        .add_service(schema_plan.max_decoding_message_size(bytes_max)))
}

/// Every API over HTTP that no descriptor annotates.
fn http_apis(
    node: &Arc<Node>,
    public_url: Option<PublicUrl>,
    judge: Judge,
    bytes_max: usize,
) -> Vec<Arc<dyn HttpApi>> {
    let authzen = AuthZen::new(Arc::clone(node), public_url, bytes_max);
    let kubernetes = Kubernetes::new(Arc::clone(node), bytes_max);
    let proxies = ProxyApi::new(judge);
    let tiles = AuditTiles::new(Arc::clone(node));
    vec![
        Arc::new(authzen),
        Arc::new(kubernetes),
        Arc::new(proxies),
        Arc::new(tiles),
    ]
}

fn reflection<'a>() -> Result<tonic_reflection::server::Builder<'a>, ServeError> {
    Ok(tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET))
}

/// Tells by the health service whether this node can answer; not once it stops.
async fn keep_health(node: Arc<Node>, health: HealthReporter, mut stopped: watch::Receiver<bool>) {
    let mut told = None;
    loop {
        let is_stopped = *stopped.borrow();
        let status = match node.ready() {
            Ok(()) if !is_stopped => ServingStatus::Serving,
            Ok(()) | Err(_) => ServingStatus::NotServing,
        };
        if told != Some(status) {
            for service in SERVICES {
                health.set_service_status(service, status).await;
            }
            told = Some(status);
        }
        if is_stopped {
            return;
        }
        // An error means that the server is gone.
        let _changed = tokio::time::timeout(HEALTH_INTERVAL, stopped.changed()).await;
    }
}
