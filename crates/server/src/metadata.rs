//! What every answer carries beside its message: the id of the request and the accounts that clients of the API read.
//!
//! The id is the caller's `x-request-id`, or one made here, and comes back as a header and as a trailer. The accounts are
//! trailers: one operation was dispatched, since one node evaluates the whole of it, and none came from a cache of answers.

use std::hash::{BuildHasher as _, RandomState};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use tonic::Status;
use tonic::body::Body;

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

/// What the answer to one request carries.
#[derive(Debug, Clone)]
pub(crate) struct Tag {
    id: HeaderValue,
    is_version_asked: bool,
}

impl Tag {
    /// The tag of `request`, whose id is put there, too, unless it has one.
    pub(crate) fn put(request: &mut Request<Body>) -> Self {
        let is_version_asked = request.headers().contains_key(VERSION_ASKED);
        let given = request.headers().get(REQUEST_ID).filter(|id| is_sane(id));
        let mut id = given.cloned().unwrap_or_else(made_id);
        // No two answers have the same: in the table of a connection's headers it would only push out those that stay.
        id.set_sensitive(true);
        request.headers_mut().insert(REQUEST_ID, id.clone());
        Self {
            id,
            is_version_asked,
        }
    }

    /// The id of the request.
    pub(crate) fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    /// The answer with all that it carries.
    pub(crate) fn tell(self, mut response: Response<Body>) -> Response<Body> {
        // An answer without a message has its status, and so its trailers, in the one block of headers.
        if response.headers().contains_key(Status::GRPC_STATUS) {
            self.add_trailers(response.headers_mut());
            return response;
        }
        response.headers_mut().insert(REQUEST_ID, self.id.clone());
        response.map(|body| {
            Body::new(body.map_frame(move |mut frame| {
                if let Some(trailers) = frame.trailers_mut() {
                    self.add_trailers(trailers);
                }
                frame
            }))
        })
    }

    fn add_trailers(&self, trailers: &mut HeaderMap) {
        trailers.insert(REQUEST_ID, self.id.clone());
        trailers.insert(OLD_REQUEST_ID, self.id.clone());
        trailers.insert(DISPATCHED, HeaderValue::from_static("1"));
        trailers.insert(CACHED, HeaderValue::from_static("0"));
        if self.is_version_asked {
            let version = HeaderValue::from_static(concat!("v", env!("CARGO_PKG_VERSION")));
            trailers.insert(VERSION, version);
        }
    }
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
