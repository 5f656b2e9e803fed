//! What tests ask over the wire, about documents of [`crate::SCHEMA`] that ann may view or not, and who asks it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use model::Timestamp;
use remit_client::proto::authzed::api::v1 as wire;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use tonic::{Request, Status};
use wire::check_permission_response::Permissionship;
use wire::consistency::Requirement;
use wire::permissions_service_client::PermissionsServiceClient;
use wire::relationship_update::Operation;

/// How long something may take to become true.
pub(crate) const EVENTUALLY: Duration = Duration::from_secs(60);

/// A client that tries nothing twice, on a connection of its own.
#[derive(Debug, Clone)]
pub(crate) struct Plain(PermissionsServiceClient<Channel>);

impl Plain {
    pub(crate) async fn connect(
        address: SocketAddr,
        authority_pem: Option<&str>,
    ) -> Result<Self, tonic::transport::Error> {
        let scheme = if authority_pem.is_some() {
            "https"
        } else {
            "http"
        };
        let endpoint = Channel::from_shared(format!("{scheme}://{address}")).unwrap();
        let endpoint = match authority_pem {
            None => endpoint,
            Some(pem) => endpoint.tls_config(
                ClientTlsConfig::new()
                    .ca_certificate(Certificate::from_pem(pem))
                    .domain_name("localhost"),
            )?,
        };
        let channel = endpoint.connect().await?;
        Ok(Self(PermissionsServiceClient::new(channel)))
    }

    pub(crate) async fn is_allowed(&mut self, doc: &str) -> Result<bool, Status> {
        let answered = self.check(may_view(doc, None)).await?;
        Ok(is_allow(&answered))
    }

    pub(crate) async fn write(&mut self, doc: &str) -> Result<(), Status> {
        self.commit(viewer(Operation::Touch, doc, None))
            .await
            .map(drop)
    }

    pub(crate) async fn check(
        &mut self,
        asked: wire::CheckPermissionRequest,
    ) -> Result<wire::CheckPermissionResponse, Status> {
        let answered = self.0.check_permission(with_key(asked)).await?;
        Ok(answered.into_inner())
    }

    /// Writes, and returns the token.
    pub(crate) async fn commit(
        &mut self,
        written: wire::WriteRelationshipsRequest,
    ) -> Result<wire::ZedToken, Status> {
        let answered = self.0.write_relationships(with_key(written)).await?;
        Ok(answered.into_inner().written_at.unwrap())
    }
}

fn with_key<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let key = MetadataValue::from_static("Bearer open-sesame");
    request.metadata_mut().insert("authorization", key);
    request
}

fn object(kind: &str, id: &str) -> wire::ObjectReference {
    wire::ObjectReference {
        object_type: kind.to_owned(),
        object_id: id.to_owned(),
    }
}

fn ann() -> wire::SubjectReference {
    wire::SubjectReference {
        object: Some(object("user", "ann")),
        ..wire::SubjectReference::default()
    }
}

/// Whether ann may view `doc`, as fresh as that.
pub(crate) fn may_view(doc: &str, freshness: Option<Requirement>) -> wire::CheckPermissionRequest {
    let requirement = |it| wire::Consistency {
        requirement: Some(it),
    };
    wire::CheckPermissionRequest {
        consistency: freshness.map(requirement),
        resource: Some(object("doc", doc)),
        permission: "view".to_owned(),
        subject: Some(ann()),
        ..wire::CheckPermissionRequest::default()
    }
}

pub(crate) fn is_allow(answered: &wire::CheckPermissionResponse) -> bool {
    answered.permissionship() == Permissionship::HasPermission
}

/// A change of `doc:DOC#viewer@user:ann`, which may expire.
pub(crate) fn viewer(
    operation: Operation,
    doc: &str,
    expires_at: Option<Timestamp>,
) -> wire::WriteRelationshipsRequest {
    let at = |at: Timestamp| prost_types::Timestamp {
        seconds: at.as_micros().div_euclid(1_000_000),
        nanos: i32::try_from(at.as_micros().rem_euclid(1_000_000) * 1_000).unwrap(),
    };
    let update = wire::RelationshipUpdate {
        operation: operation.into(),
        relationship: Some(wire::Relationship {
            resource: Some(object("doc", doc)),
            relation: "viewer".to_owned(),
            subject: Some(ann()),
            optional_expires_at: expires_at.map(at),
            ..wire::Relationship::default()
        }),
    };
    wire::WriteRelationshipsRequest {
        updates: vec![update],
        ..wire::WriteRelationshipsRequest::default()
    }
}

/// Where the server of a folder serves.
pub(crate) fn address_in(folder: &Path) -> SocketAddr {
    let file = std::fs::read_to_string(folder.join("remit.toml")).unwrap();
    let endpoint = file.split('"').nth(1).unwrap();
    endpoint.parse().unwrap()
}

pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < EVENTUALLY, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
