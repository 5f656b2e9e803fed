//! `remit.v1.ReplicaService`: what a replica in another process needs to hold the graph and to follow it.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, stream};
use model::Revision;
use ops::{Node, Streaming, replica};
use remit_proto::remit::v1 as wire;
use remit_proto::remit::v1::replica_service_server::ReplicaService;
use tonic::{Request, Response, Status};

use crate::convert::replica as convert;
use crate::{caller, error};

/// The service.
#[derive(Debug)]
pub(crate) struct ReplicaApi {
    node: Arc<Node>,
}

impl ReplicaApi {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The messages of what is handed out, each made when the reader asks for it.
fn messages<I: Send + 'static, T: 'static>(
    mut items: Streaming<I>,
    message: impl Fn(I) -> T + Send + 'static,
) -> Messages<T> {
    Box::pin(stream::poll_fn(move |context| {
        let item = items.poll_next(context);
        item.map(|item| item.map(|item| item.map(&message).map_err(error::status)))
    }))
}

#[tonic::async_trait]
impl ReplicaService for ReplicaApi {
    type ReadStateStream = Messages<wire::ReadStateResponse>;
    type FollowHeadStream = Messages<wire::FollowHeadResponse>;
    type ReadLogStream = Messages<wire::ReadLogResponse>;

    async fn read_state(
        &self,
        request: Request<wire::ReadStateRequest>,
    ) -> Result<Response<Self::ReadStateStream>, Status> {
        let parts = replica::state(&self.node, &caller(&request)?).await;
        let parts = parts.map_err(error::status)?;
        Ok(Response::new(messages(parts, convert::part_to_wire)))
    }

    async fn follow_head(
        &self,
        request: Request<wire::FollowHeadRequest>,
    ) -> Result<Response<Self::FollowHeadStream>, Status> {
        let news = replica::news(&self.node, &caller(&request)?).await;
        let news = news.map_err(error::status)?;
        let identity = convert::identity_to_wire(self.node.store().identity());
        let message = move |news: replica::News| wire::FollowHeadResponse {
            identity: Some(identity.clone()),
            head: Some(convert::head_to_wire(&news.head)),
        };
        Ok(Response::new(messages(news, message)))
    }

    async fn read_log(
        &self,
        request: Request<wire::ReadLogRequest>,
    ) -> Result<Response<Self::ReadLogStream>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let entries_max = match request.entries_max {
            0 => usize::MAX,
            given => given as usize,
        };
        let after = Revision(request.after);
        let identity = self.node.store().identity();
        let pieces = move |page| convert::page_to_wire(identity, page);
        let range = (after, entries_max);
        let pieces = replica::log_pieces(&self.node, &caller, range, pieces).await;
        let pieces = pieces.map_err(error::status)?;
        Ok(Response::new(messages(pieces, |piece| piece)))
    }

    async fn ask_head(
        &self,
        request: Request<wire::AskHeadRequest>,
    ) -> Result<Response<wire::AskHeadResponse>, Status> {
        let head = replica::head(&self.node, &caller(&request)?).await;
        Ok(Response::new(wire::AskHeadResponse {
            identity: Some(convert::identity_to_wire(self.node.store().identity())),
            head: Some(convert::head_to_wire(&head.map_err(error::status)?)),
        }))
    }

    async fn ask_time(
        &self,
        request: Request<wire::AskTimeRequest>,
    ) -> Result<Response<wire::AskTimeResponse>, Status> {
        let now = replica::time(&self.node, &caller(&request)?).await;
        Ok(Response::new(wire::AskTimeResponse {
            now_micros: now.map_err(error::status)?.as_micros(),
        }))
    }

    async fn verify_token(
        &self,
        request: Request<wire::VerifyTokenRequest>,
    ) -> Result<Response<wire::VerifyTokenResponse>, Status> {
        let caller = caller(&request)?;
        let token = request.into_inner().token.unwrap_or_default().token;
        let token = token
            .parse()
            .map_err(|_| Status::invalid_argument("invalid revision requested"))?;
        let verdict = replica::verify(&self.node, &caller, token).await;
        let verdict = verdict.map_err(error::status)?;
        let identity = self.node.store().identity();
        Ok(Response::new(convert::verdict_to_wire(identity, &verdict)?))
    }
}
