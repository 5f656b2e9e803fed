//! A request whose body has begun to come; and how large a batch is before it is read, by what its first frame says of its message.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::Request;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use prost::bytes::Bytes;
use tonic::Status;
use tonic::body::Body;

use super::class::{Class, SMALL_BATCH_BYTES};

/// The bytes of a request that another stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Announced(pub(crate) u64);

/// A body of which the first frame was read.
struct Begun {
    first: Option<Result<Frame<Bytes>, Status>>,
    rest: Body,
}

/// The class of a batch of checks, and its request as it was.
pub(super) async fn class_of(request: Request<Body>) -> (Class, Request<Body>) {
    let of = |bytes: u64| match bytes <= SMALL_BATCH_BYTES {
        true => Class::Check,
        false => Class::Bulk,
    };
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let announced = request.extensions().get::<Announced>();
    if let Some(bytes) = length.or(announced.map(|it| it.0)) {
        return (of(bytes), request);
    }
    let (head, begun) = first_frame(request).await;
    let bytes = match &begun.first {
        Some(Ok(frame)) => frame.data_ref().and_then(|data| message_bytes(data)),
        Some(Err(_)) | None => Some(0),
    };
    // What does not say how large it is may be large.
    let class = of(bytes.unwrap_or(u64::MAX));
    (class, Request::from_parts(head, Body::new(begun)))
}

/// The request once its body has begun to come, if it has one: a head alone is to hold no place.
pub(super) async fn begun(request: Request<Body>) -> Request<Body> {
    if request.body().is_end_stream() {
        return request;
    }
    let (head, begun) = first_frame(request).await;
    Request::from_parts(head, Body::new(begun))
}

async fn first_frame(request: Request<Body>) -> (Parts, Begun) {
    let (head, mut rest) = request.into_parts();
    let first = rest.frame().await;
    (head, Begun { first, rest })
}

/// The length of the message that begins with these bytes: behind a byte of flags.
fn message_bytes(data: &[u8]) -> Option<u64> {
    let length = data.get(1..5)?.try_into().ok()?;
    Some(u64::from(u32::from_be_bytes(length)))
}

impl http_body::Body for Begun {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        Pin::new(&mut self.rest).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn class(frames: &'static [&'static [u8]]) -> (Class, usize) {
        let frames = frames
            .iter()
            .map(|it| Ok::<_, Status>(Frame::data(Bytes::from_static(it))));
        let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
        let (class, request) = class_of(Request::new(Body::new(body))).await;
        let read = request.into_body().collect().await.unwrap().to_bytes();
        (class, read.len())
    }

    #[tokio::test]
    async fn a_batch_tells_its_size_first_and_loses_nothing() {
        assert_eq!(class(&[b"\0\0\0\x20\0", b"abc"]).await, (Class::Check, 8));
        assert_eq!(class(&[b"\0\0\0\x20\x01abc"]).await, (Class::Bulk, 8));
        assert_eq!(class(&[b"\0\0", b"\0\x20\x01"]).await, (Class::Bulk, 5));
        assert_eq!(class(&[]).await, (Class::Check, 0));
        let said = |length| Request::builder().header(CONTENT_LENGTH, length);
        let (class, _) = class_of(said("8192").body(Body::empty()).unwrap()).await;
        assert_eq!(class, Class::Check);
        let (class, _) = class_of(said("8193").body(Body::empty()).unwrap()).await;
        assert_eq!(class, Class::Bulk);
    }
}
