//! `remit.v1.NodeService`: what one node says of itself.

use std::sync::Arc;

use ops::Node;
use remit_proto::remit::v1::node_service_server::NodeService;
use remit_proto::remit::v1::{DigestRequest, DigestResponse};
use tonic::{Request, Response, Status};

use crate::{caller, convert, error};

/// The service.
#[derive(Debug)]
pub(crate) struct NodeApi {
    node: Arc<Node>,
}

impl NodeApi {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl NodeService for NodeApi {
    async fn digest(
        &self,
        request: Request<DigestRequest>,
    ) -> Result<Response<DigestResponse>, Status> {
        let caller = caller(&request)?;
        let consistency = convert::consistency(request.into_inner().consistency)?;
        let digested = ops::digest::digest(&self.node, &caller, consistency).await;
        let digested = digested.map_err(error::status)?;
        Ok(Response::new(DigestResponse {
            digested_at: Some(convert::token_to_wire(digested.at)),
            digest: digested.digest.to_string(),
            relationship_count: digested.digest.count(),
            revision: digested.at.revision.0,
        }))
    }
}
