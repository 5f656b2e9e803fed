//! Documents over gRPC: who may call at all is asked before every call, and what a message names in its handler.

use axum::http::HeaderMap;
use axum::http::request::Parts;
use remit_client::{Authorize, AuthorizeLayer, Check, Client, Unasked};
use tonic::{Request, Response, Status};

use crate::USER;
use crate::proto::documents_server::{Documents, DocumentsServer};
use crate::proto::{ReadRequest, ReadResponse};

/// The service behind its first check.
pub type Protected = Authorize<DocumentsServer<Service>, fn(&Parts) -> Result<Vec<Check>, Unasked>>;

/// The service.
#[derive(Debug, Clone)]
pub struct Service {
    client: Client,
}

/// The service, with `client` to ask.
#[must_use]
pub fn service(client: Client) -> Protected {
    use tower::Layer as _;
    let may_call: fn(&Parts) -> Result<Vec<Check>, Unasked> = may_call;
    let documents = DocumentsServer::new(Service {
        client: client.clone(),
    });
    AuthorizeLayer::new(client, may_call).layer(documents)
}

/// Only callers of this service come in.
fn may_call(parts: &Parts) -> Result<Vec<Check>, Unasked> {
    let user = user(&parts.headers).ok_or(Unasked::NoSubject)?;
    Ok(vec![Check::new("service:documents", "call", &user)?])
}

#[tonic::async_trait]
impl Documents for Service {
    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<ReadResponse>, Status> {
        let user = user(request.metadata().as_ref())
            .ok_or_else(|| Status::unauthenticated("nobody is named who asks"))?;
        let id = request.into_inner().id;
        let check = Check::new(&format!("document:{id}"), "view", &user)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        // Either `?` ends the handler: without a decision, or denied.
        let _allowed = self.client.check(check).await?.require()?;
        let text = format!("the text of {id}");
        Ok(Response::new(ReadResponse { text }))
    }
}

fn user(headers: &HeaderMap) -> Option<String> {
    let user = headers.get(USER)?.to_str().ok()?;
    Some(format!("user:{user}"))
}
