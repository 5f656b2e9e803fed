//! Answers that have to end at an instant, whatever there is still to send.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Response};
use http_body::Frame;
use prost::bytes::Bytes;
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

/// Why an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The caller waits no longer.
    Deadline,
    /// The credential ends that the call came with. That is looked at only while there is nothing to send: an answer that is
    /// there is given whole, and a call that streams nothing costs no timer.
    Credential,
}

impl End {
    /// What the caller is told.
    pub(crate) fn status(self) -> Status {
        match self {
            Self::Deadline => {
                Status::deadline_exceeded("the deadline of the call passed before it was answered")
            }
            Self::Credential => Status::unauthenticated(
                "the credential that this stream was opened with ended; open it again with a new one",
            ),
        }
    }
}

/// The answer, which goes on until then; for as long as it likes without an instant.
pub(crate) fn end_at(ends: Option<Instant>, why: End, response: Response<Body>) -> Response<Body> {
    match ends {
        Some(ends) => response.map(|body| Body::new(EndingBody::new(body, ends, why))),
        None => response,
    }
}

struct EndingBody {
    body: Body,
    ends: Pin<Box<Sleep>>,
    why: End,
    is_cut: bool,
}

impl EndingBody {
    fn new(body: Body, ends: Instant, why: End) -> Self {
        Self {
            body,
            ends: Box::pin(tokio::time::sleep_until(ends)),
            why,
            is_cut: false,
        }
    }
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
        // A deadline comes first, since a body that always has something to send would never be late.
        let is_late = self.why == End::Deadline && self.ends.as_mut().poll(context).is_ready();
        if !is_late {
            if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
                return Poll::Ready(frame);
            }
            ready!(self.ends.as_mut().poll(context));
        }
        self.is_cut = true;
        // Dropping the body ends the work behind it.
        self.body = Body::empty();
        let mut trailers = HeaderMap::new();
        let told = self.why.status().add_header(&mut trailers);
        Poll::Ready(Some(told.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_cut || self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_stream_ends_at_its_deadline() {
        let endless = futures_util::stream::repeat_with(|| {
            Ok::<_, Status>(Frame::data(Bytes::from_static(b"x")))
        });
        let body = Body::new(http_body_util::StreamBody::new(endless));
        let ends = Instant::now()
            .checked_add(Duration::from_millis(5))
            .unwrap();
        let mut body = EndingBody::new(body, ends, End::Deadline);
        let trailers = loop {
            let frame = body.frame().await.unwrap().unwrap();
            // Gives the timer its turn, as a connection that is written to does.
            tokio::task::yield_now().await;
            if let Ok(trailers) = frame.into_trailers() {
                break trailers;
            }
        };
        let status = Status::from_header_map(&trailers).unwrap();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn an_answer_that_is_there_is_given_whole_and_a_wait_ends_with_the_credential() {
        let there = futures_util::stream::iter([Ok::<_, Status>(Frame::data(Bytes::from("x")))]);
        let waits = futures_util::StreamExt::chain(there, futures_util::stream::pending());
        let body = Body::new(http_body_util::StreamBody::new(waits));
        let mut body = EndingBody::new(body, Instant::now(), End::Credential);
        let given = body.frame().await.unwrap().unwrap();
        assert_eq!(given.into_data().unwrap(), "x");
        let trailers = body.frame().await.unwrap().unwrap().into_trailers();
        let status = Status::from_header_map(&trailers.unwrap()).unwrap();
        assert_eq!(status.code(), tonic::Code::Unauthenticated);
        assert!(body.frame().await.is_none());
    }
}
