//! What every call passes before its handler: who calls, and what happens should the handler panic.
//!
//! A call without a valid key does not reach a handler. A handler that panics is answered Internal, so never with an
//! allow, and the server goes on.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::FutureExt as _;
use http::{HeaderMap, Request, Response};
use identity::{AuthenticateError, Caller};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::config::Authentication;
use crate::metadata;

/// Services that anybody may ask: whether the server is up, and what it speaks.
const OPEN_SERVICES: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// Puts a [`Guarded`] before a service.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    authentication: Authentication,
}

impl Guard {
    pub(crate) fn new(authentication: Authentication) -> Self {
        Self { authentication }
    }

    fn admit(&self, path: &str, headers: &HeaderMap) -> Result<Caller, Status> {
        let keys = match &self.authentication {
            Authentication::None => return Ok(Caller::without_authentication()),
            Authentication::PresharedKeys(keys) => keys,
        };
        if OPEN_SERVICES.iter().any(|open| path.starts_with(open)) {
            return Ok(Caller::without_authentication());
        }
        let header = headers
            .get(http::header::AUTHORIZATION)
            .and_then(|header| header.to_str().ok());
        keys.authenticate(header).map_err(|error| match error {
            AuthenticateError::Missing | AuthenticateError::Malformed => {
                Status::unauthenticated(format!("Request unauthenticated with bearer: {error}"))
            }
            AuthenticateError::UnknownKey => {
                Status::permission_denied("invalid preshared key: invalid token")
            }
        })
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            inner,
            guard: self.clone(),
        }
    }
}

/// A service behind the guard.
#[derive(Debug, Clone)]
pub(crate) struct Guarded<S> {
    inner: S,
    guard: Guard,
}

type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let id = metadata::request_id(request.headers());
        let caller = match self.guard.admit(&path, request.headers()) {
            Ok(caller) => caller,
            Err(status) => {
                tracing::info!(call = path, request = id, code = ?status.code(), "refused a caller");
                return Box::pin(std::future::ready(Ok(status.into_http())));
            }
        };
        let name = caller.name().to_owned();
        request.extensions_mut().insert(caller);
        let started = Instant::now();
        let handled = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        Box::pin(async move {
            let response = handled.await.unwrap_or_else(|_| {
                tracing::error!(
                    call = path,
                    request = id,
                    caller = name,
                    "a handler panicked"
                );
                Ok(Status::internal("internal error").into_http())
            });
            let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            tracing::debug!(call = path, request = id, caller = name, micros, "answered");
            response
        })
    }
}
