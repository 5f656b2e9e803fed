//! How long a call may take: what the caller says in `grpc-timeout`, and at most what the server allows.
//!
//! The caller's deadline covers the whole answer, with every message of a stream. The server's bound covers what comes
//! before the answer's first byte, so that a stream that is watched for days is not cut. A call that is over time is
//! dropped, and answered DeadlineExceeded.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use crate::ending::{End, end_at};

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

    /// The deadline of a call that waited so long already before it was looked at.
    pub(crate) fn less(self, waited: Duration) -> Self {
        Self {
            allowed: self.allowed.saturating_sub(waited),
            ends: self.ends.and_then(|ends| ends.checked_sub(waited)),
        }
    }

    /// How long there is until the answer has to begin.
    pub(crate) fn left(self) -> Duration {
        self.allowed
    }

    /// The answer of `answering`, if it comes in time; nothing of it is begun once time is up.
    pub(crate) async fn keep(
        self,
        answering: impl Future<Output = Result<Response<Body>, Infallible>>,
    ) -> Response<Body> {
        if self.allowed.is_zero() {
            return End::Deadline.status().into_http();
        }
        let Ok(answered) = tokio::time::timeout(self.allowed, answering).await else {
            return End::Deadline.status().into_http();
        };
        let Ok(response) = answered;
        end_at(self.ends, End::Deadline, response)
    }
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

#[cfg(test)]
mod tests {
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
}
