//! A stream ends when the credential does that it was opened with.
//!
//! That is looked at only while there is nothing to send: an answer that is there is given whole, and a call that streams
//! nothing costs no timer.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, Response};
use http_body::Frame;
use prost::bytes::Bytes;
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

/// The answer, which goes on for `left` at most while it has nothing to send; none for a credential without an end.
pub(crate) fn with_credential(response: Response<Body>, left: Option<Duration>) -> Response<Body> {
    let ends = left.and_then(|left| Instant::now().checked_add(left));
    match ends {
        Some(ends) => response.map(|body| {
            Body::new(EndingBody {
                body,
                ends: Box::pin(tokio::time::sleep_until(ends)),
                is_cut: false,
            })
        }),
        None => response,
    }
}

struct EndingBody {
    body: Body,
    ends: Pin<Box<Sleep>>,
    is_cut: bool,
}

impl http_body::Body for EndingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_cut {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        ready!(self.ends.as_mut().poll(context));
        self.is_cut = true;
        // Dropping the body ends the work behind it.
        self.body = Body::empty();
        let told =
            "the credential that this stream was opened with ended; open it again with a new one";
        let mut trailers = HeaderMap::new();
        let told = Status::unauthenticated(told).add_header(&mut trailers);
        Poll::Ready(Some(told.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_cut || self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
