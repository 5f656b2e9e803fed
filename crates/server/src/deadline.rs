//! How long a call may take: what the caller says in `grpc-timeout`, and at most what the server allows.
//!
//! The caller's deadline covers the whole answer, with every message of a stream. The server's bound covers what comes
//! before the answer's first byte, so that a stream that is watched for days is not cut. A call that is over time is
//! dropped, and answered DeadlineExceeded.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response};
use http_body::Frame;
use prost::bytes::Bytes;
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

/// The header with a caller's deadline: up to eight digits and a unit.
pub(crate) const TIMEOUT: &str = "grpc-timeout";
const TIMEOUT_DIGITS_MAX: usize = 8;

/// How long one call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    /// Until the answer begins.
    allowed: Duration,
    /// When the answer has to have ended, if the caller says so.
    ends: Option<Instant>,
}

impl Deadline {
    /// What the caller asks for in `headers`, and at most `call_max` until the answer begins.
    ///
    /// # Errors
    /// InvalidArgument for a header that is no duration.
    pub(crate) fn of(headers: &HeaderMap, call_max: Duration) -> Result<Self, Status> {
        let asked = headers.get(TIMEOUT).map(parse).transpose()?;
        Ok(Self {
            allowed: asked.map_or(call_max, |asked| asked.min(call_max)),
            // A deadline that no clock reaches is none.
            ends: asked.and_then(|asked| Instant::now().checked_add(asked)),
        })
    }

    /// The answer of `answering`, if it comes in time.
    pub(crate) async fn keep(
        self,
        answering: impl Future<Output = Result<Response<Body>, Infallible>>,
    ) -> Response<Body> {
        let Ok(answered) = tokio::time::timeout(self.allowed, answering).await else {
            return exceeded().into_http();
        };
        let Ok(response) = answered;
        match self.ends {
            Some(ends) => response.map(|body| Body::new(TimedBody::new(body, ends))),
            None => response,
        }
    }
}

fn exceeded() -> Status {
    Status::deadline_exceeded("the deadline of the call passed before it was answered")
}

fn parse(header: &HeaderValue) -> Result<Duration, Status> {
    let parsed = header.to_str().ok().and_then(|text| {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        if digits.len() > TIMEOUT_DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let count: u64 = digits.parse().ok()?;
        Some(match unit {
            "H" => Duration::from_secs(count * 3_600),
            "M" => Duration::from_secs(count * 60),
            "S" => Duration::from_secs(count),
            "m" => Duration::from_millis(count),
            "u" => Duration::from_micros(count),
            "n" => Duration::from_nanos(count),
            _ => return None,
        })
    });
    parsed.ok_or_else(|| {
        Status::invalid_argument(format!(
            "{header:?} is no `{TIMEOUT}`: expected 1 to {TIMEOUT_DIGITS_MAX} digits and a unit of H, M, S, m, u, n"
        ))
    })
}

/// A body that ends at its deadline, if not before.
struct TimedBody {
    body: Body,
    ends: Pin<Box<Sleep>>,
    is_cut: bool,
}

impl TimedBody {
    fn new(body: Body, ends: Instant) -> Self {
        Self {
            body,
            ends: Box::pin(tokio::time::sleep_until(ends)),
            is_cut: false,
        }
    }
}

impl http_body::Body for TimedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_cut {
            return Poll::Ready(None);
        }
        // First, since a body that always has something to send would never be late.
        if self.ends.as_mut().poll(context).is_pending() {
            return Pin::new(&mut self.body).poll_frame(context);
        }
        self.is_cut = true;
        // Dropping the body ends the work behind it.
        self.body = Body::empty();
        let mut trailers = HeaderMap::new();
        let told = exceeded().add_header(&mut trailers);
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
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        let read = |text: &'static str| parse(&HeaderValue::from_static(text)).ok();
        assert_eq!(read("3S"), Some(Duration::from_secs(3)));
        assert_eq!(
            read("99999999H"),
            Some(Duration::from_secs(359_999_996_400))
        );
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("7u"), Some(Duration::from_micros(7)));
        assert_eq!(read("0n"), Some(Duration::ZERO));
        for wrong in [
            "",
            "S",
            "3",
            "3s",
            "-3S",
            "+3S",
            "123456789S",
            "3.5S",
            "3 S",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert!(parse(&HeaderValue::from_bytes(b"3\xffS").unwrap()).is_err());
    }

    #[tokio::test]
    async fn a_stream_ends_at_its_deadline() {
        let endless = futures_util::stream::repeat_with(|| {
            Ok::<_, Status>(Frame::data(Bytes::from_static(b"x")))
        });
        let body = Body::new(http_body_util::StreamBody::new(endless));
        let ends = Instant::now()
            .checked_add(Duration::from_millis(5))
            .unwrap();
        let mut body = TimedBody::new(body, ends);
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
}
