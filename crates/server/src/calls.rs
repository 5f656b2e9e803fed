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
use http::{HeaderMap, Request, Response};
use identity::{Caller, PeerCertificate, ResourceMetadata};
use ops::stages;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service;

use crate::config::Authentication;
use crate::connections::{Arrival, Peer};
use crate::deadline::Deadline;
use crate::ending::{End, end_at};
use crate::guard;
use crate::metadata::Tag;
use crate::observe::{Observed, Observing, Outcome};
use crate::origin;
use crate::overload::Overload;

/// Services behind all that a call passes: those of gRPC, or another. A clone shares them.
#[derive(Debug, Clone)]
pub(crate) struct Calls<S = Routes> {
    services: S,
    authentication: Arc<Authentication>,
    call_max: Duration,
    observing: Arc<Observing>,
    is_recorded: bool,
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
        (observing, overload): (Arc<Observing>, Arc<Overload>),
    ) -> Self {
        Self {
            services: services.prepare(),
            authentication: Arc::new(authentication),
            call_max,
            observing,
            overload,
            is_recorded: false,
        }
    }

    /// Tells with each caller by which way the call came, if somebody keeps a record of that.
    pub(crate) fn telling_origins(self, is_recorded: bool) -> Self {
        Self {
            is_recorded,
            ..self
        }
    }

    /// Puts the same before `services`.
    pub(crate) fn before<S>(&self, services: S) -> Calls<S> {
        Calls {
            services,
            authentication: Arc::clone(&self.authentication),
            call_max: self.call_max,
            observing: Arc::clone(&self.observing),
            is_recorded: self.is_recorded,
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

impl<S> Calls<S> {
    /// What calls are observed with.
    pub(crate) fn observing(&self) -> &Arc<Observing> {
        &self.observing
    }
}

impl<S> Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
    S::Future: Send,
{
    async fn answer(self, mut request: Request<Body>) -> Response<Body> {
        let tag = Tag::put(&mut request);
        let mut observed = self.observing.begin(&request);
        let response = if observed.is_sampled() {
            let passing = Box::pin(self.pass(request, &tag, &observed));
            let (response, record) = stages::recorded(passing).await;
            observed.take(record);
            response
        } else {
            self.pass(request, &tag, &observed).await
        };
        tag.tell(observed.answered(response))
    }

    async fn pass(
        mut self,
        mut request: Request<Body>,
        tag: &Tag,
        observed: &Observed,
    ) -> Response<Body> {
        let uri = request.uri().path_and_query().cloned();
        let path = uri.as_ref().map_or("", |uri| uri.path());
        let peer = request.extensions_mut().remove::<Peer>();
        let certificate = request.extensions_mut().remove::<Arc<PeerCertificate>>();
        let asked = (path, request.headers());
        let by = (&*self.authentication, &*self.observing);
        let caller = match let_in(by, asked, (peer, certificate), tag).await {
            Ok(caller) => caller,
            Err(refused) => return refused,
        };
        let arrival = request.extensions_mut().remove::<Arrival>();
        let (lag, unread_for) = arrival
            .as_ref()
            .map(|it| (it.at.elapsed(), it.unread_for))
            .unwrap_or_default();
        self.overload.note_lag(lag);
        let waited = lag.saturating_add(unread_for);
        let deadline = match Deadline::of(request.headers(), self.call_max) {
            Ok(deadline) => deadline.less(waited),
            Err(status) => {
                let (request, code) = (tag.id(), status.code());
                tracing::debug!(call = path, request, ?code, "no deadline can be read");
                return status.into_http();
            }
        };
        let mut known = caller.clone();
        if self.is_recorded {
            known = known.from_origin(origin::of(path, request.headers(), tag.id()));
        }
        request.extensions_mut().insert(known);
        let started = Instant::now();
        let handled = async {
            let asked = (path, caller.own_name());
            let room =
                self.overload
                    .admit(asked, arrival.as_ref(), (waited, deadline.left()), request);
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
        tracing::debug!(
            call = path,
            request = tag.id(),
            protocol = observed.protocol().text(),
            caller = caller.name(),
            code = Outcome::of(&response).text(),
            micros,
            trace = observed.trace_id(),
            "answered"
        );
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

/// Who calls, or what they are told who are not let in.
async fn let_in(
    (authentication, observing): (&Authentication, &Observing),
    (path, headers): (&str, &HeaderMap),
    (peer, certificate): (Option<Peer>, Option<Arc<PeerCertificate>>),
    tag: &Tag,
) -> Result<Caller, Response<Body>> {
    match guard::admit(authentication, path, headers, certificate).await {
        Ok(caller) => Ok(match peer {
            Some(Peer(peer)) => caller.from_peer(peer),
            None => caller,
        }),
        Err(refused) => {
            observing.note_refused(refused.why);
            let (code, reason) = (refused.status.code(), refused.status.message());
            tracing::info!(
                call = path,
                request = tag.id(),
                ?code,
                reason,
                "refused a caller"
            );
            Err(refused.into_http())
        }
    }
}
