//! What every answer carries beside its message: the id of the request and the accounts that clients of the API read.
//!
//! The id is the caller's `x-request-id`, or one made here, and comes back as a header and as a trailer. The accounts are
//! trailers: one operation was dispatched, since one node evaluates the whole of it, and none came from a cache of answers.

use std::convert::Infallible;
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// The id of a request, on its way in and out.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// An id that is longer is replaced.
const REQUEST_ID_BYTES_MAX: usize = 128;

const DISPATCHED: HeaderName =
    HeaderName::from_static("io.spicedb.respmeta.dispatchedoperationscount");
const CACHED: HeaderName = HeaderName::from_static("io.spicedb.respmeta.cachedoperationscount");
const OLD_REQUEST_ID: HeaderName = HeaderName::from_static("io.spicedb.respmeta.requestid");
/// Asks for the version of the server.
const VERSION_ASKED: HeaderName = HeaderName::from_static("io.spicedb.requestversion");
const VERSION: HeaderName = HeaderName::from_static("io.spicedb.debug.version");

/// Puts a [`Tagged`] before a service.
#[derive(Debug, Clone)]
pub(crate) struct Tag;

impl<S> Layer<S> for Tag {
    type Service = Tagged<S>;

    fn layer(&self, inner: S) -> Tagged<S> {
        Tagged { inner }
    }
}

/// A service whose answers carry their metadata, and whose requests an id.
#[derive(Debug, Clone)]
pub(crate) struct Tagged<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Tagged<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let given = request.headers().get(REQUEST_ID).filter(|id| is_sane(id));
        let id = given.cloned().unwrap_or_else(made_id);
        let trailers = trailers(&id, request.headers().contains_key(VERSION_ASKED));
        request.headers_mut().insert(REQUEST_ID, id.clone());
        let answered = self.inner.call(request);
        Box::pin(async move {
            let Ok(mut response) = answered.await;
            // An answer without a message has its status, and so its trailers, in the one block of headers.
            if response.headers().contains_key(Status::GRPC_STATUS) {
                response.headers_mut().extend(trailers);
                return Ok(response);
            }
            response.headers_mut().insert(REQUEST_ID, id);
            Ok(response.map(|body| {
                Body::new(body.map_frame(move |mut frame| {
                    if let Some(told) = frame.trailers_mut() {
                        told.extend(trailers.clone());
                    }
                    frame
                }))
            }))
        })
    }
}

/// The id of a request that passed a [`Tagged`].
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    let id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    id.unwrap_or_default().to_owned()
}

fn trailers(id: &HeaderValue, with_version: bool) -> HeaderMap {
    let mut trailers = HeaderMap::from_iter([
        (REQUEST_ID, id.clone()),
        (OLD_REQUEST_ID, id.clone()),
        (DISPATCHED, HeaderValue::from_static("1")),
        (CACHED, HeaderValue::from_static("0")),
    ]);
    if with_version {
        let version = HeaderValue::from_static(concat!("v", env!("CARGO_PKG_VERSION")));
        trailers.insert(VERSION, version);
    }
    trailers
}

/// Ids end up in logs and in other programs: visible characters alone, and not many.
fn is_sane(id: &HeaderValue) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// An id that no other request has. It is no secret: whoever asks is told.
fn made_id() -> HeaderValue {
    let random = || RandomState::new().hash_one(());
    HeaderValue::from_str(&format!("{:016x}{:016x}", random(), random()))
        .unwrap_or(HeaderValue::from_static("unknown"))
}
