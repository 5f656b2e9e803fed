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
use remit_proto::remit::v1::explain_service_server::ExplainServiceServer;
use remit_proto::remit::v1::permissions_service_server::PermissionsServiceServer as RemitPermissionsServer;
use remit_proto::remit::v1::schema_plan_service_server::SchemaPlanServiceServer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::authzed::{ExperimentalApi, PermissionsApi, SchemaApi, WatchApi};
use crate::config::{Config, Tls};
use crate::explain::ExplainApi;
use crate::guard::Guard;
use crate::remit_permissions::RemitPermissionsApi;
use crate::schema_plan::SchemaPlanApi;

/// Why a server could not be started, or ended.
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
    Tls(#[source] tonic::transport::Error),
    /// What the server describes of itself cannot be read.
    #[error("the descriptors for reflection cannot be read")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// Serving failed.
    #[error("serving failed")]
    Serve(#[source] tonic::transport::Error),
}

/// Streams that may be cancelled before they are read: a client that gives up on many calls at once is no attack.
const PENDING_RESETS_MAX: usize = 1_024;
/// How often an idle connection is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How often health is brought up to date.
const HEALTH_INTERVAL: Duration = Duration::from_millis(250);

/// A server that listens and is not yet serving.
#[derive(Debug)]
pub struct Listening {
    node: Arc<Node>,
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
}

/// Begins to listen; calls wait until [`Listening::serve`].
///
/// # Errors
/// [`ServeError::Listen`] if the address cannot be had.
pub async fn listen(node: Arc<Node>, config: Config) -> Result<Listening, ServeError> {
    let wanted = config.grpc_addr;
    let failed = |source| ServeError::Listen {
        address: wanted,
        source,
    };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Listening {
        node,
        config,
        listener,
        address,
    })
}

impl Listening {
    /// The address that is listened on; with the port that was chosen, if 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is done, then lets the calls that are under way end within the grace.
    ///
    /// # Errors
    /// [`ServeError`] if the certificate cannot be used or serving fails.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self {
            node,
            config,
            listener,
            ..
        } = self;
        let (stopping, stopped) = watch::channel(false);
        let (health, health_service) = tonic_health::server::health_reporter();
        tokio::spawn(keep_health(Arc::clone(&node), health, stopped.clone()));
        let bytes_max = config.request_bytes_max;
        let mut builder = Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX));
        if let Some(tls) = &config.tls {
            builder = builder
                .tls_config(tls_config(tls))
                .map_err(ServeError::Tls)?;
        }
        let permissions = PermissionsServiceServer::new(PermissionsApi::new(Arc::clone(&node)));
        let schema = SchemaServiceServer::new(SchemaApi::new(Arc::clone(&node)));
        let watch = WatchServiceServer::new(WatchApi::new(Arc::clone(&node)));
        let experimental = ExperimentalServiceServer::new(ExperimentalApi::new(Arc::clone(&node)));
        let explain = ExplainServiceServer::new(ExplainApi::new(Arc::clone(&node)));
        let remit_permissions =
            RemitPermissionsServer::new(RemitPermissionsApi::new(Arc::clone(&node)));
        let schema_plan = SchemaPlanServiceServer::new(SchemaPlanApi::new(Arc::clone(&node)));
        let router = builder
            .layer(Guard::new(config.authentication))
            .add_service(health_service)
            .add_service(reflection()?.build_v1()?)
            .add_service(reflection()?.build_v1alpha()?)
            .add_service(permissions.max_decoding_message_size(bytes_max))
            .add_service(schema.max_decoding_message_size(bytes_max))
            .add_service(watch.max_decoding_message_size(bytes_max))
            .add_service(experimental.max_decoding_message_size(bytes_max))
            .add_service(explain.max_decoding_message_size(bytes_max))
            .add_service(remit_permissions.max_decoding_message_size(bytes_max))
            .add_service(schema_plan.max_decoding_message_size(bytes_max));
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let serving = router.serve_with_incoming_shutdown(incoming, until(stopped));
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => return ended.map_err(ServeError::Serve),
            () = stop => {}
        }
        stopping.send_replace(true);
        // They would go on for the whole grace.
        node.end_watches();
        match tokio::time::timeout(config.shutdown_grace, serving).await {
            Ok(ended) => ended.map_err(ServeError::Serve),
            Err(_) => {
                tracing::warn!("calls were still under way when the grace ended");
                Ok(())
            }
        }
    }
}

fn reflection<'a>() -> Result<tonic_reflection::server::Builder<'a>, ServeError> {
    Ok(tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET))
}

fn tls_config(tls: &Tls) -> ServerTlsConfig {
    let config =
        ServerTlsConfig::new().identity(Identity::from_pem(&tls.certificate_pem, &tls.key_pem));
    match &tls.client_authorities_pem {
        Some(authorities) => config.client_ca_root(Certificate::from_pem(authorities)),
        None => config,
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the server itself is gone, which is an end as well.
    let _gone = stopped.wait_for(|stopped| *stopped).await;
}

/// Tells by the health service whether this node can answer; not once it stops.
async fn keep_health(node: Arc<Node>, health: HealthReporter, stopped: watch::Receiver<bool>) {
    const SERVICES: [&str; 8] = [
        "",
        "authzed.api.v1.PermissionsService",
        "authzed.api.v1.SchemaService",
        "authzed.api.v1.WatchService",
        "authzed.api.v1.ExperimentalService",
        "remit.v1.ExplainService",
        "remit.v1.PermissionsService",
        "remit.v1.SchemaPlanService",
    ];
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
        tokio::time::sleep(HEALTH_INTERVAL).await;
    }
}
