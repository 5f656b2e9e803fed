//! A failure over HTTP: its code, and a `google.rpc.Status` as JSON.

use http::Response;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde::Serialize;
use tonic::Status;
use tonic::body::Body;

use super::json::Json;
use super::response::json;
use super::routes::RoutesError;
use crate::error::{http_code, to_rpc};

/// Writes failures.
#[derive(Debug, Clone)]
pub(super) struct Errors {
    descriptor: MessageDescriptor,
}

/// How a failure stands in a stream.
#[derive(Serialize)]
struct Line<'a> {
    error: Json<'a>,
}

impl Errors {
    pub(super) fn new(pool: &DescriptorPool) -> Result<Self, RoutesError> {
        const NAME: &str = "google.rpc.Status";
        let descriptor = pool
            .get_message_by_name(NAME)
            .ok_or(RoutesError::Undescribed { name: NAME })?;
        Ok(Self { descriptor })
    }

    /// The answer of a call that failed.
    pub(super) fn response(&self, status: &Status) -> Response<Body> {
        json(http_code(status.code()), text(&Json(&self.message(status))))
    }

    /// The answer of a stream that failed before its first message.
    pub(super) fn of_stream(&self, status: &Status) -> Response<Body> {
        json(http_code(status.code()), self.line(status))
    }

    /// The last line of a stream that failed.
    pub(super) fn line(&self, status: &Status) -> Vec<u8> {
        let error = self.message(status);
        let mut line = text(&Line {
            error: Json(&error),
        });
        line.push(b'\n');
        line
    }

    fn message(&self, status: &Status) -> DynamicMessage {
        let bytes = to_rpc(status).encode_to_vec();
        DynamicMessage::decode(self.descriptor.clone(), bytes.as_slice())
            .unwrap_or_else(|_| DynamicMessage::new(self.descriptor.clone()))
    }
}

/// A failure is told even if a detail of it cannot be.
fn text(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|_| {
        br#"{"code":13,"message":"the failure cannot be written as JSON","details":[]}"#.to_vec()
    })
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_detail_that_is_not_known_does_not_hide_the_failure() {
        let errors = Errors::new(&super::super::routes::descriptors().unwrap()).unwrap();
        let detail = |name: &str, value: &[u8]| prost_types::Any {
            type_url: format!("type.googleapis.com/{name}"),
            value: value.to_vec(),
        };
        let details = tonic_types::pb::Status {
            code: 9,
            message: "no".to_owned(),
            details: vec![
                detail("nobody.Knows", b"\x01"),
                detail(
                    "google.rpc.ErrorInfo",
                    b"\x0a\x01R\x1a\x06\x0a\x01k\x12\x01v",
                ),
                detail("google.protobuf.Duration", b"\x08\x03"),
            ],
        };
        let status = Status::with_details(
            Code::FailedPrecondition,
            "no",
            details.encode_to_vec().into(),
        );
        let line = String::from_utf8(errors.line(&status)).unwrap();
        let expected = r#"{"error":{"code":9,"message":"no","details":[{"@type":"type.googleapis.com/nobody.Knows","value":"AQ=="},{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R","domain":"","metadata":{"k":"v"}},{"@type":"type.googleapis.com/google.protobuf.Duration","value":"3s"}]}}"#;
        assert_eq!(line, format!("{expected}\n"));
    }
}
