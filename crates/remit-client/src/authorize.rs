//! A service behind checks: what a request needs is asked before its handler runs, and nothing but an allow lets it run.
//!
//! | what comes about | the handler | HTTP | gRPC |
//! |---|---|---|---|
//! | every check allows | runs | | |
//! | a check denies, or lacks context; or no check was named | does not run | 403 | `PERMISSION_DENIED` |
//! | nobody is named who asks | does not run | 401 | `UNAUTHENTICATED` |
//! | the request names what cannot be asked about | does not run | 400 | `INVALID_ARGUMENT` |
//! | no decision, for whatever cause | does not run | 503 | `UNAVAILABLE` |

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use tonic::Status;
use tower::{Layer, Service};

use crate::check::{Check, Denied};
use crate::client::Client;
use crate::error::{Error, UNDECIDED};
use crate::name::NameError;

/// Why there is nothing to ask for a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unasked {
    /// Nobody is named who asks.
    #[error("nobody is named who asks; say who you are")]
    NoSubject,
    /// What is named cannot be asked about.
    #[error("the request names what cannot be asked about")]
    Malformed(#[from] NameError),
}

/// Why a request does not go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// There is nothing to ask.
    #[error(transparent)]
    Unasked(#[from] Unasked),
    /// It is denied.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is no decision. Its cause is for the log, not for who asks.
    #[error("{UNDECIDED}")]
    Undecided(#[source] Error),
}

/// Puts checks before a service of HTTP or gRPC. What they are is said of the head of a request: a service of gRPC whose checks
/// depend on a message asks in its handler.
pub struct AuthorizeLayer<F> {
    client: Client,
    checks: Arc<F>,
}

/// A service behind checks.
pub struct Authorize<S, F> {
    inner: S,
    client: Client,
    checks: Arc<F>,
}

impl<F> AuthorizeLayer<F>
where
    F: Fn(&Parts) -> Result<Vec<Check>, Unasked>,
{
    /// Asks what `checks` says of a request; all of it has to be allowed.
    pub fn new(client: Client, checks: F) -> Self {
        Self {
            client,
            checks: Arc::new(checks),
        }
    }
}

impl Client {
    /// Asks all of `checks`, which have to be allowed, each of them, and one at least.
    ///
    /// # Errors
    /// [`Refusal`] otherwise. A denial goes before a failure: what is surely denied need not be asked again.
    pub async fn require_all(&self, checks: Vec<Check>) -> Result<(), Refusal> {
        if checks.is_empty() {
            return Err(Denied::NoPermission.into());
        }
        let mut undecided = None;
        for decision in self.check_all(checks).await {
            match decision {
                Ok(decision) => {
                    decision.require()?;
                }
                Err(error) => undecided = Some(error),
            }
        }
        match undecided {
            Some(error) => Err(Refusal::Undecided(error)),
            None => Ok(()),
        }
    }
}

impl Refusal {
    /// How HTTP says it.
    #[must_use]
    pub fn status_code(&self) -> StatusCode {
        match self {
            Self::Unasked(Unasked::NoSubject) => StatusCode::UNAUTHORIZED,
            Self::Unasked(Unasked::Malformed(_)) => StatusCode::BAD_REQUEST,
            Self::Denied(_) => StatusCode::FORBIDDEN,
            Self::Undecided(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The answer that a request of that kind gets.
    fn response<B: Default>(&self, is_grpc: bool) -> Response<B> {
        if is_grpc {
            return Status::from(self.clone()).into_http();
        }
        let mut response = Response::new(B::default());
        *response.status_mut() = self.status_code();
        response
    }
}

/// How gRPC says it.
impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::Unasked(Unasked::NoSubject) => Self::unauthenticated(text),
            Refusal::Unasked(Unasked::Malformed(_)) => Self::invalid_argument(text),
            Refusal::Denied(_) => Self::permission_denied(text),
            Refusal::Undecided(_) => Self::unavailable(text),
        }
    }
}

fn is_grpc(parts: &Parts) -> bool {
    let content_type = parts.headers.get(http::header::CONTENT_TYPE);
    content_type.is_some_and(|is: &HeaderValue| is.as_bytes().starts_with(b"application/grpc"))
}

impl<S, F, B, A> Service<Request<B>> for Authorize<S, F>
where
    S: Service<Request<B>, Response = Response<A>> + Clone + Send + 'static,
    S::Future: Send,
    F: Fn(&Parts) -> Result<Vec<Check>, Unasked>,
    B: Send + 'static,
    A: Default,
{
    type Response = Response<A>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<A>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was found ready is the one to call.
        let inner = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, inner);
        let client = self.client.clone();
        let (parts, body) = request.into_parts();
        let checks = (self.checks)(&parts);
        Box::pin(async move {
            let required = match checks {
                Ok(checks) => client.require_all(checks).await,
                Err(unasked) => Err(unasked.into()),
            };
            match required {
                Ok(()) => inner.call(Request::from_parts(parts, body)).await,
                Err(refusal) => Ok(refusal.response(is_grpc(&parts))),
            }
        })
    }
}

impl<S, F> Layer<S> for AuthorizeLayer<F> {
    type Service = Authorize<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        Authorize {
            inner,
            client: self.client.clone(),
            checks: Arc::clone(&self.checks),
        }
    }
}

impl<F> Clone for AuthorizeLayer<F> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            checks: Arc::clone(&self.checks),
        }
    }
}

impl<S: Clone, F> Clone for Authorize<S, F> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            client: self.client.clone(),
            checks: Arc::clone(&self.checks),
        }
    }
}

impl<F> fmt::Debug for AuthorizeLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeLayer").finish_non_exhaustive()
    }
}

impl<S, F> fmt::Debug for Authorize<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorize").finish_non_exhaustive()
    }
}

/// `tonic` names its services; one behind checks keeps its name.
impl<S: tonic::server::NamedService, F> tonic::server::NamedService for Authorize<S, F> {
    const NAME: &'static str = S::NAME;
}
