//! `authzed.api.v1.WatchService`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use ops::Node;
use ops::watch::Watching;
use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::watch_service_server::WatchService;
use tonic::{Request, Response, Status};

use crate::{caller, convert, error};

/// The service.
#[derive(Debug)]
pub(crate) struct WatchApi {
    node: Arc<Node>,
}

impl WatchApi {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl WatchService for WatchApi {
    type WatchStream = Messages;

    async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<Messages>, Status> {
        let caller = caller(&request)?;
        let (headers, _, request) = request.into_parts();
        let request = convert::watch(request, &headers)?;
        let watching = ops::watch::watch(&self.node, &caller, request).await;
        Ok(Response::new(Messages {
            watching: watching.map_err(error::status)?,
        }))
    }
}

/// What a watch tells, as messages. The reader's pace is the stream's: nothing is encoded before it is asked for.
#[derive(Debug)]
pub(crate) struct Messages {
    watching: Watching,
}

impl Stream for Messages {
    type Item = Result<wire::WatchResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.watching.poll_next(context).map(|event| {
            event.map(|event| {
                let event = event.map_err(error::status)?;
                convert::watched_to_wire(&event)
            })
        })
    }
}
