//! The way of a call, whichever protocol it came by: its metadata, who calls, its deadline, whether there is room for it, its service.
//!
//! One future, boxed once: what every call passes should cost little beside the call.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{Request, Response};
use identity::{PeerCertificate, ResourceMetadata};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service;

use crate::config::Authentication;
use crate::connections::CameBy;
use crate::deadline::Deadline;
use crate::ending::{End, end_at};
use crate::guard;
use crate::metadata::Tag;
use crate::overload::Overload;

/// Services behind all that a call passes: those of gRPC, or another. A clone shares them.
#[derive(Debug, Clone)]
pub(crate) struct Calls<S = Routes> {
    services: S,
    authentication: Arc<Authentication>,
    call_max: Duration,
    overload: Arc<Overload>,
}

/// The answer to one call, as it comes about.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Calls {
    /// Puts before the services of gRPC what every call passes; an answer has to begin within `call_max`.
    pub(crate) fn new(
        services: Routes,
        authentication: Authentication,
        call_max: Duration,
        overload: Arc<Overload>,
    ) -> Self {
        Self {
            services: services.prepare(),
            authentication: Arc::new(authentication),
            call_max,
            overload,
        }
    }

    /// Puts the same before `services`.
    pub(crate) fn before<S>(&self, services: S) -> Calls<S> {
        Calls {
            services,
            authentication: Arc::clone(&self.authentication),
            call_max: self.call_max,
            overload: Arc::clone(&self.overload),
        }
    }

    /// What says where to get a token, at a path of its own.
    pub(crate) fn resource_metadata(&self) -> Option<ResourceMetadata> {
        match &*self.authentication {
            Authentication::Required(authenticator) => authenticator.resource_metadata(),
            Authentication::None => None,
        }
    }
}

impl<S> Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
    S::Future: Send,
{
    async fn answer(self, mut request: Request<Body>) -> Response<Body> {
        let tag = Tag::put(&mut request);
        let response = self.pass(request, &tag).await;
        tag.tell(response)
    }

    async fn pass(mut self, mut request: Request<Body>, tag: &Tag) -> Response<Body> {
        let uri = request.uri().path_and_query().cloned();
        let path = uri.as_ref().map_or("", |uri| uri.path());
        let certificate = request.extensions_mut().remove::<Arc<PeerCertificate>>();
        let admitted =
            guard::admit(&self.authentication, path, request.headers(), certificate).await;
        let caller = match admitted {
            Ok(caller) => caller,
            Err(refused) => {
                let (code, reason) = (refused.status.code(), refused.status.message());
                tracing::info!(
                    call = path,
                    request = tag.id(),
                    ?code,
                    reason,
                    "refused a caller"
                );
                return refused.into_http();
            }
        };
        let came_by = request.extensions_mut().remove::<CameBy>();
        let waited = came_by
            .as_ref()
            .map(|it| it.at.elapsed())
            .unwrap_or_default();
        self.overload.note_lag(waited);
        let deadline = match Deadline::of(request.headers(), self.call_max) {
            Ok(deadline) => deadline.less(waited),
            Err(status) => return status.into_http(),
        };
        request.extensions_mut().insert(caller.clone());
        let started = Instant::now();
        let handled = async {
            let asked = (path, caller.name());
            let room = self
                .overload
                .admit(asked, came_by.as_ref(), deadline.left(), request);
            match room.await {
                // Held until the answer begins.
                Ok((_pass, request)) => self.services.call(request).await,
                Err(refused) => Ok(refused),
            }
        };
        let handled = AssertUnwindSafe(deadline.keep(handled));
        let response = handled.catch_unwind().await.unwrap_or_else(|_| {
            let caller = caller.name();
            tracing::error!(
                call = path,
                request = tag.id(),
                caller,
                "a handler panicked"
            );
            Status::internal("internal error").into_http()
        });
        let left = self.authentication.time_left(&caller);
        let ends = left.and_then(|left| Instant::now().checked_add(left));
        let response = end_at(ends, End::Credential, response);
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let caller = caller.name();
        tracing::debug!(call = path, request = tag.id(), caller, micros, "answered");
        response
    }
}

impl<S> Service<Request<Body>> for Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    /// At once: services are always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        Box::pin(self.clone().answer(request).map(Ok))
    }
}
