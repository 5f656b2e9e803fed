//! A client of Remit, and of any server of the authzed API: one connection, one key, every service.
//!
//! The services are those that [`remit_proto`] generates; what this crate adds is the connection.

use std::time::Duration;

use remit_proto::authzed::api::v1::experimental_service_client::ExperimentalServiceClient;
use remit_proto::authzed::api::v1::permissions_service_client::PermissionsServiceClient;
use remit_proto::authzed::api::v1::schema_service_client::SchemaServiceClient;
use remit_proto::authzed::api::v1::watch_service_client::WatchServiceClient;
use remit_proto::remit::v1::access_service_client::AccessServiceClient;
use remit_proto::remit::v1::explain_service_client::ExplainServiceClient;
use remit_proto::remit::v1::node_service_client::NodeServiceClient;
use remit_proto::remit::v1::permissions_service_client::PermissionsServiceClient as RemitPermissionsClient;
use remit_proto::remit::v1::schema_plan_service_client::SchemaPlanServiceClient;
use remit_proto::remit::v1::token_service_client::TokenServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

pub use remit_proto as proto;

/// The largest message that is accepted from a server, in bytes: an export sends large pages.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Where a server is and how to reach it.
#[derive(Clone)]
pub struct Connection {
    /// Host and port: `127.0.0.1:50051`.
    pub endpoint: String,
    /// The preshared key, if the server asks for one.
    pub key: Option<String>,
    /// How the connection is protected.
    pub transport: Transport,
    /// How long to wait for the connection.
    pub connect_timeout: Duration,
}

/// How a connection is protected.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Not at all: for loopback, and where something else protects it.
    Plaintext,
    /// TLS, trusting these certificates (PEM).
    Tls {
        /// The certificates of the authorities to trust.
        authorities_pem: String,
    },
}

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The endpoint is no host and port.
    #[error("`{endpoint}` is not a host and port such as `127.0.0.1:50051`")]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// The key has characters that cannot be sent.
    #[error("the key has characters that a header cannot carry")]
    Key,
    /// Nobody answers there, or not as expected.
    #[error("cannot connect to `{endpoint}`")]
    Transport {
        /// Where to.
        endpoint: String,
        /// What went wrong.
        source: tonic::transport::Error,
    },
}

/// A connected client. A clone shares the connection.
#[derive(Debug, Clone)]
pub struct Client {
    channel: InterceptedService<Channel, Bearer>,
}

/// Adds the key to each request.
#[derive(Clone)]
pub struct Bearer {
    header: Option<MetadataValue<Ascii>>,
}

/// A channel that sends the key along.
pub type Authenticated = InterceptedService<Channel, Bearer>;

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`ConnectError`] if the connection is described wrongly or nobody answers.
    pub async fn connect(connection: &Connection) -> Result<Self, ConnectError> {
        let wrong = || ConnectError::Endpoint {
            endpoint: connection.endpoint.clone(),
        };
        let failed = |source| ConnectError::Transport {
            endpoint: connection.endpoint.clone(),
            source,
        };
        let scheme = match connection.transport {
            Transport::Plaintext => "http",
            Transport::Tls { .. } => "https",
        };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{}", connection.endpoint))
            .map_err(|_| wrong())?
            .connect_timeout(connection.connect_timeout)
            .tcp_nodelay(true);
        if let Transport::Tls { authorities_pem } = &connection.transport {
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authorities_pem));
            endpoint = endpoint.tls_config(tls).map_err(failed)?;
        }
        let header = match &connection.key {
            Some(key) => {
                let mut header: MetadataValue<Ascii> = format!("Bearer {key}")
                    .parse()
                    .map_err(|_| ConnectError::Key)?;
                header.set_sensitive(true);
                Some(header)
            }
            None => None,
        };
        let channel = endpoint.connect().await.map_err(failed)?;
        Ok(Self {
            channel: InterceptedService::new(channel, Bearer { header }),
        })
    }

    /// Checks, relationships, import and export.
    #[must_use]
    pub fn permissions(&self) -> PermissionsServiceClient<Authenticated> {
        PermissionsServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> SchemaServiceClient<Authenticated> {
        SchemaServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Changes as they happen.
    #[must_use]
    pub fn watch(&self) -> WatchServiceClient<Authenticated> {
        WatchServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Relationship counters, and the older names of other calls.
    #[must_use]
    pub fn experimental(&self) -> ExperimentalServiceClient<Authenticated> {
        ExperimentalServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// What Remit answers beyond checks and look-ups; only a Remit server has it.
    #[must_use]
    pub fn remit_permissions(&self) -> RemitPermissionsClient<Authenticated> {
        RemitPermissionsClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Locks and keys; only a Remit server has them.
    #[must_use]
    pub fn access(&self) -> AccessServiceClient<Authenticated> {
        AccessServiceClient::new(self.channel.clone())
    }

    /// Explanations; only a Remit server has them.
    #[must_use]
    pub fn explain(&self) -> ExplainServiceClient<Authenticated> {
        ExplainServiceClient::new(self.channel.clone())
    }

    /// What one node says of itself; only a Remit server has it.
    #[must_use]
    pub fn node(&self) -> NodeServiceClient<Authenticated> {
        NodeServiceClient::new(self.channel.clone())
    }

    /// Tokens that are minted; only a Remit server has them.
    #[must_use]
    pub fn token(&self) -> TokenServiceClient<Authenticated> {
        TokenServiceClient::new(self.channel.clone())
    }

    /// Whether the server says that it answers.
    ///
    /// # Errors
    /// [`Status`] if it does not say.
    pub async fn is_serving(&self) -> Result<bool, Status> {
        let mut health = HealthClient::new(self.channel.clone());
        let answer = health.check(HealthCheckRequest::default()).await?;
        Ok(answer.into_inner().status() == ServingStatus::Serving)
    }

    /// Plans of schema changes; only a Remit server has them.
    #[must_use]
    pub fn schema_plan(&self) -> SchemaPlanServiceClient<Authenticated> {
        SchemaPlanServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.header {
            request
                .metadata_mut()
                .insert("authorization", header.clone());
        }
        Ok(request)
    }
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer(..)")
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint", &self.endpoint)
            .field("has_key", &self.key.is_some())
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}
