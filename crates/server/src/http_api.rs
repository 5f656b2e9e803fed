//! APIs over HTTP that no descriptor annotates: open standards, and what proxies ask.
//!
//! An API serves the paths that are its own, behind all that a call passes: its id, who calls, its deadline. It reads a
//! request ([`body`]), calls operations, and writes what they return. A failure is a [`Status`], as everywhere, whether it comes
//! from the API or from what is before it; each API writes it down as its standard says. To add one: implement
//! [`HttpApi`], list it in `serve.rs`, and add a request for each of its paths to `tests/it/refusals.rs`.

pub(crate) mod body;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::header::WWW_AUTHENTICATE;
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use serde_json::{Map, Value};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::calls::Calls;
use crate::guard::Unknown;
use crate::metadata::REQUEST_ID;
use crate::observe::{CameBy, Protocol};
use crate::overload::RefusedOverHttp;

/// What a browser says of the page that asks.
const FETCH_SITE: &str = "sec-fetch-site";

/// One API over HTTP.
pub(crate) trait HttpApi: fmt::Debug + Send + Sync {
    /// Its paths, as OpenAPI describes them.
    fn paths(&self) -> Map<String, Value>;

    /// Whether a request of `path` is for this API.
    fn serves(&self, path: &str) -> bool;

    /// What a request of `path` is counted as.
    fn came_by(&self, _path: &str) -> CameBy {
        CameBy {
            protocol: Protocol::Http,
            method: None,
        }
    }

    /// The answer to what anybody may ask; none for what takes a caller.
    fn open(&self, _: &Parts) -> Option<Response<Body>> {
        None
    }

    /// Whether a proxy asks, with the headers of the request that it asks about. A browser's are not about this server then.
    fn is_asked_by_proxies(&self) -> bool {
        false
    }

    /// Puts a request in order before it is known who calls: where its credential stands, for one.
    fn arrange(&self, _: &mut Request<Body>) {}

    /// The answer to a request, whose caller is among its extensions.
    fn answer(
        self: Arc<Self>,
        request: Request<Body>,
    ) -> BoxFuture<'static, Result<Response<Body>, Status>>;

    /// A failure, as the standard has it. Its challenge and its request's id are added to it.
    fn failure(&self, status: &Status) -> Response<Body>;
}

/// Every API, by its paths.
#[derive(Debug)]
pub(crate) struct HttpApis {
    apis: Vec<Arc<dyn HttpApi>>,
    calls: Calls<Asked>,
}

/// Answers a call by the API that it is for.
#[derive(Debug, Clone)]
struct Asked;

impl HttpApis {
    /// `apis` behind all that is before `calls`.
    pub(crate) fn new(apis: Vec<Arc<dyn HttpApi>>, calls: &Calls) -> Self {
        Self {
            apis,
            calls: calls.before(Asked),
        }
    }

    /// The API that serves `path`.
    pub(crate) fn serving(&self, path: &str) -> Option<&Arc<dyn HttpApi>> {
        self.apis.iter().find(|api| api.serves(path))
    }

    /// The answer of `api` to one request.
    pub(crate) async fn answer(
        &self,
        api: &Arc<dyn HttpApi>,
        request: Request<Body>,
    ) -> Response<Body> {
        let (head, body) = request.into_parts();
        // As it was given: what stands for it in logs may be another.
        let id = head.headers.get(REQUEST_ID).cloned();
        let came_by = api.came_by(head.uri.path());
        let mut answer = if let Some(answer) = api.open(&head) {
            self.calls
                .observing()
                .note_answered(came_by.protocol, &answer);
            answer
        } else if !api.is_asked_by_proxies() && is_of_another_site(&head.headers) {
            let answer = api.failure(&another_site());
            self.calls
                .observing()
                .note_answered(came_by.protocol, &answer);
            answer
        } else {
            let mut request = Request::from_parts(head, body);
            api.arrange(&mut request);
            request.extensions_mut().insert(came_by);
            request.extensions_mut().insert(Arc::clone(api));
            let Ok(answer) = self.calls.clone().call(request).await;
            written(api.as_ref(), answer)
        };
        if let Some(id) = id {
            answer.headers_mut().insert(REQUEST_ID, id);
        }
        answer
    }
}

/// An answer in the form of the API, whoever gave it.
fn written(api: &dyn HttpApi, answer: Response<Body>) -> Response<Body> {
    let Some(status) = Status::from_header_map(answer.headers()) else {
        return answer;
    };
    let status = match answer.extensions().get::<Unknown>() {
        Some(Unknown) => Status::unauthenticated(status.message()),
        None => status,
    };
    let mut failure = api.failure(&status);
    let refused = answer.extensions().get::<RefusedOverHttp>();
    RefusedOverHttp::put(refused, &mut failure);
    if refused.is_some() && api.is_asked_by_proxies() {
        // Proxies know a 403 as a verdict and this as none; of a 429 they make what they like.
        *failure.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    for name in [REQUEST_ID, WWW_AUTHENTICATE] {
        if let Some(value) = answer.headers().get(&name) {
            failure.headers_mut().insert(name, value.clone());
        }
    }
    failure
}

/// Whether a browser asks for a page of another site. Such a page could not read the answer, but it could write, where no
/// key is asked for.
pub(crate) fn is_of_another_site(headers: &HeaderMap) -> bool {
    let site = headers.get(FETCH_SITE);
    site.is_some_and(|site| site != "same-origin" && site != "none")
}

/// What such a page is told.
pub(crate) fn another_site() -> Status {
    Status::permission_denied("a page of another site may not call this server")
}

impl Service<Request<Body>> for Asked {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let api = request.extensions_mut().remove::<Arc<dyn HttpApi>>();
        Box::pin(async move {
            let answered = match api {
                Some(api) => api.answer(request).await,
                None => Err(Status::unimplemented("no API serves that path")),
            };
            Ok(answered.unwrap_or_else(|status| status.into_http()))
        })
    }
}
