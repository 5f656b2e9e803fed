//! The services as they are generated: each call is one attempt, at the next endpoint, with the credential; nothing more is
//! added. For what [`Client`] has no call of its own for.

use remit_proto::authzed::api::v1::experimental_service_client::ExperimentalServiceClient;
use remit_proto::authzed::api::v1::permissions_service_client::PermissionsServiceClient;
use remit_proto::authzed::api::v1::schema_service_client::SchemaServiceClient;
use remit_proto::authzed::api::v1::watch_service_client::WatchServiceClient;
use remit_proto::remit::v1::access_service_client::AccessServiceClient;
use remit_proto::remit::v1::audit_service_client::AuditServiceClient;
use remit_proto::remit::v1::explain_service_client::ExplainServiceClient;
use remit_proto::remit::v1::node_service_client::NodeServiceClient;
use remit_proto::remit::v1::permissions_service_client::PermissionsServiceClient as RemitPermissionsClient;
use remit_proto::remit::v1::schema_plan_service_client::SchemaPlanServiceClient;
use remit_proto::remit::v1::token_service_client::TokenServiceClient;
use tonic::Status;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::client::Client;
use crate::link::Link;

/// The largest message that is accepted from a server, in bytes: an export sends large pages.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// What sends the calls of the services.
pub type Authenticated = Link;

impl Client {
    /// Checks, relationships, import and export.
    #[must_use]
    pub fn permissions(&self) -> PermissionsServiceClient<Authenticated> {
        PermissionsServiceClient::new(self.link()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> SchemaServiceClient<Authenticated> {
        SchemaServiceClient::new(self.link()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Changes as they happen.
    #[must_use]
    pub fn watch(&self) -> WatchServiceClient<Authenticated> {
        WatchServiceClient::new(self.link()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Relationship counters, and the older names of other calls.
    #[must_use]
    pub fn experimental(&self) -> ExperimentalServiceClient<Authenticated> {
        ExperimentalServiceClient::new(self.link()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// What Remit answers beyond checks and look-ups; only a Remit server has it.
    #[must_use]
    pub fn remit_permissions(&self) -> RemitPermissionsClient<Authenticated> {
        RemitPermissionsClient::new(self.link()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Locks and keys; only a Remit server has them.
    #[must_use]
    pub fn access(&self) -> AccessServiceClient<Authenticated> {
        AccessServiceClient::new(self.link())
    }

    /// The audit log; only a Remit server has it.
    #[must_use]
    pub fn audit(&self) -> AuditServiceClient<Authenticated> {
        AuditServiceClient::new(self.link()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Explanations; only a Remit server has them.
    #[must_use]
    pub fn explain(&self) -> ExplainServiceClient<Authenticated> {
        ExplainServiceClient::new(self.link())
    }

    /// What one node says of itself; only a Remit server has it.
    #[must_use]
    pub fn node(&self) -> NodeServiceClient<Authenticated> {
        NodeServiceClient::new(self.link())
    }

    /// Tokens that are minted; only a Remit server has them.
    #[must_use]
    pub fn token(&self) -> TokenServiceClient<Authenticated> {
        TokenServiceClient::new(self.link())
    }

    /// Plans of schema changes; only a Remit server has them.
    #[must_use]
    pub fn schema_plan(&self) -> SchemaPlanServiceClient<Authenticated> {
        SchemaPlanServiceClient::new(self.link()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Whether the server says that it answers.
    ///
    /// # Errors
    /// [`Status`] if it does not say.
    pub async fn is_serving(&self) -> Result<bool, Status> {
        let mut health = HealthClient::new(self.link());
        let answer = health.check(HealthCheckRequest::default()).await?;
        Ok(answer.into_inner().status() == ServingStatus::Serving)
    }
}
