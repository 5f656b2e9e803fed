//! What goes wrong around a server while it is asked: its disk, and its certificate. Checks go on, writes fail aloud or wait,
//! and what was acknowledged is there afterwards.

mod certificate;
mod disk;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use remit_client::proto::authzed::api::v1 as wire;
use tokio::task::JoinHandle;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use tonic::{Request, Status};
use wire::check_permission_response::Permissionship;
use wire::permissions_service_client::PermissionsServiceClient;

/// How long something may take to become true.
const EVENTUALLY: Duration = Duration::from_secs(60);

/// A client that tries nothing twice, on a connection of its own.
#[derive(Debug, Clone)]
struct Plain(PermissionsServiceClient<Channel>);

impl Plain {
    async fn connect(
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

    async fn is_allowed(&mut self, doc: &str) -> Result<bool, Status> {
        let asked = wire::CheckPermissionRequest {
            resource: Some(object("doc", doc)),
            permission: "view".to_owned(),
            subject: Some(ann()),
            ..wire::CheckPermissionRequest::default()
        };
        let answered = self.0.check_permission(with_key(asked)).await?.into_inner();
        Ok(answered.permissionship() == Permissionship::HasPermission)
    }

    async fn write(&mut self, doc: &str) -> Result<(), Status> {
        let update = wire::RelationshipUpdate {
            operation: wire::relationship_update::Operation::Touch.into(),
            relationship: Some(wire::Relationship {
                resource: Some(object("doc", doc)),
                relation: "viewer".to_owned(),
                subject: Some(ann()),
                ..wire::Relationship::default()
            }),
        };
        let request = wire::WriteRelationshipsRequest {
            updates: vec![update],
            ..wire::WriteRelationshipsRequest::default()
        };
        self.0.write_relationships(with_key(request)).await?;
        Ok(())
    }
}

/// Where the server of a folder serves.
fn address_in(folder: &Path) -> SocketAddr {
    let file = std::fs::read_to_string(folder.join("remit.toml")).unwrap();
    let endpoint = file.split('"').nth(1).unwrap();
    endpoint.parse().unwrap()
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

fn with_key<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let key = MetadataValue::from_static("Bearer open-sesame");
    request.metadata_mut().insert("authorization", key);
    request
}

/// One client after the other's answer, on one connection, until it is over: whether `doc:there` may be seen, which it may, and
/// `doc:elsewhere`, which it may not.
struct Traffic {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    asking: JoinHandle<()>,
}

impl Traffic {
    fn start(mut client: Plain) -> Self {
        let (is_over, answered) = <(Arc<AtomicBool>, Arc<AtomicUsize>)>::default();
        let (until, counted) = (Arc::clone(&is_over), Arc::clone(&answered));
        let asking = tokio::spawn(async move {
            while !until.load(Ordering::Relaxed) {
                assert!(client.is_allowed("there").await.unwrap());
                assert!(!client.is_allowed("elsewhere").await.unwrap());
                counted.fetch_add(2, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        Self {
            is_over,
            answered,
            asking,
        }
    }

    /// Waits for some more answers: none may have failed.
    async fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("checks go on", async || {
            assert!(!self.asking.is_finished(), "a check failed");
            self.answered.load(Ordering::Relaxed) > before + 20
        })
        .await;
    }

    async fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.asking.await.unwrap();
    }
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < EVENTUALLY, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
