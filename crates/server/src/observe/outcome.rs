//! What came of a call, as a label: a code of gRPC, or a class of HTTP where a standard answers with that alone.

use http::{HeaderMap, Response};
use tonic::body::Body;
use tonic::{Code, Status};

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome(usize);

/// Every outcome: the codes of gRPC by their numbers, then the classes of HTTP.
const TEXTS: [&str; 19] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
    "http_4xx",
    "http_5xx",
];
const HTTP_4XX: usize = 17;
const HTTP_5XX: usize = 18;

impl Outcome {
    /// How many there are.
    pub(crate) const COUNT: usize = TEXTS.len();

    pub(crate) fn ok() -> Self {
        Self::of_code(Code::Ok)
    }

    pub(crate) fn cancelled() -> Self {
        Self::of_code(Code::Cancelled)
    }

    pub(crate) fn of_code(code: Code) -> Self {
        Self(usize::try_from(i32::from(code)).unwrap_or(Code::Unknown as usize))
    }

    /// Of the head of an answer.
    pub(crate) fn of(response: &Response<Body>) -> Self {
        let told = Self::of_headers(response.headers());
        if !told.is_ok()
            || !(response.status().is_client_error() || response.status().is_server_error())
        {
            return told;
        }
        Self(if response.status().is_server_error() {
            HTTP_5XX
        } else {
            HTTP_4XX
        })
    }

    /// Of headers or trailers; success where they say nothing.
    pub(crate) fn of_headers(headers: &HeaderMap) -> Self {
        let code = headers.get(Status::GRPC_STATUS);
        code.map_or(Self::ok(), |code| {
            Self::of_code(Code::from_bytes(code.as_bytes()))
        })
    }

    pub(crate) fn is_ok(self) -> bool {
        self == Self::ok()
    }

    /// Whether it is for the server to be ashamed of, rather than its caller.
    pub(crate) fn is_fault(self) -> bool {
        const FAULTS: [&str; 7] = [
            "UNKNOWN",
            "DEADLINE_EXCEEDED",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "http_5xx",
        ];
        FAULTS.contains(&self.text())
    }

    /// Its place among all.
    pub(crate) fn place(self) -> usize {
        self.0
    }

    pub(crate) fn text(self) -> &'static str {
        TEXTS.get(self.0).copied().unwrap_or("UNKNOWN")
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_what_came_of_it() {
        let of = |status: u16, code: Option<&str>| {
            let mut response = Response::builder().status(status);
            if let Some(code) = code {
                response = response.header(Status::GRPC_STATUS, code);
            }
            Outcome::of(&response.body(Body::empty()).unwrap()).text()
        };
        assert_eq!(of(200, None), "OK");
        assert_eq!(of(200, Some("0")), "OK");
        assert_eq!(of(200, Some("16")), "UNAUTHENTICATED");
        assert_eq!(of(200, Some("nonsense")), "UNKNOWN");
        assert_eq!(of(403, None), "http_4xx");
        assert_eq!(of(503, None), "http_5xx");
        assert_eq!(of(503, Some("14")), "UNAVAILABLE");
        for (number, text) in TEXTS.iter().enumerate().take(HTTP_4XX) {
            let code = Code::from_i32(i32::try_from(number).unwrap());
            assert_eq!(Outcome::of_code(code).text(), *text);
        }
    }
}
