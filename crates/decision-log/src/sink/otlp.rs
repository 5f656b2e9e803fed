//! Events as log records of OpenTelemetry, over HTTP: the event is the body of its record.
//!
//! # Source
//! OTLP 1.x, `opentelemetry/proto/logs/v1/logs.proto` and `opentelemetry/proto/collector/logs/v1/logs_service.proto`: the fields that
//! are sent, by their numbers, which are stable.

use std::io;

use prost::Message;

use super::http::{Poster, compressed};
use super::{Deliver, Made, SinkError};
use crate::rules::HttpSettings;

/// `SEVERITY_NUMBER_INFO`.
const INFO: i32 = 9;
/// The name of the event that each record is.
const EVENT_NAME: &str = "remit.decision";

#[derive(Clone, PartialEq, Message)]
pub(super) struct Export {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeLogs {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    log_records: Vec<LogRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct LogRecord {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    severity_number: i32,
    #[prost(message, optional, tag = "5")]
    body: Option<AnyValue>,
    #[prost(bytes = "vec", tag = "9")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "10")]
    span_id: Vec<u8>,
    #[prost(fixed64, tag = "11")]
    observed_time_unix_nano: u64,
    #[prost(string, tag = "12")]
    event_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    string_value: Option<String>,
}

/// What a collector answers.
#[derive(Clone, PartialEq, Message)]
struct Exported {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// That it took some, and refuses the rest for good: they are not to be sent again. Its message is another's text, and is not read.
#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_log_records: i64,
}

pub(super) struct OtlpSink(Poster);

impl OtlpSink {
    pub(super) fn new(settings: &HttpSettings) -> io::Result<Self> {
        Poster::new(settings).map(Self)
    }
}

fn text(text: &str) -> Option<AnyValue> {
    Some(AnyValue {
        string_value: Some(text.to_owned()),
    })
}

fn record(event: &Made) -> LogRecord {
    let micros = u64::try_from(event.at_micros).unwrap_or(0);
    let nanos = micros.saturating_mul(1_000);
    let line = String::from_utf8_lossy(&event.line);
    LogRecord {
        time_unix_nano: nanos,
        severity_number: INFO,
        body: text(line.trim_end()),
        trace_id: event.trace.map_or_else(Vec::new, |it| it.trace.to_vec()),
        span_id: event.trace.map_or_else(Vec::new, |it| it.span.to_vec()),
        observed_time_unix_nano: nanos,
        event_name: EVENT_NAME.to_owned(),
    }
}

impl Deliver for OtlpSink {
    fn deliver(&mut self, batch: &[Made]) -> Result<usize, SinkError> {
        let export = Export {
            resource_logs: vec![ResourceLogs {
                resource: Some(Resource {
                    attributes: vec![KeyValue {
                        key: "service.name".to_owned(),
                        value: text("remit"),
                    }],
                }),
                scope_logs: vec![ScopeLogs {
                    scope: Some(Scope {
                        name: "remit.decision_log".to_owned(),
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                    }),
                    log_records: batch.iter().map(record).collect(),
                }],
            }],
        };
        let body = compressed(&[&export.encode_to_vec()])?;
        let answer = self.0.post("application/x-protobuf", body)?;
        // An answer that is something else says nothing of records that are refused.
        let exported = Exported::decode(answer).unwrap_or_default();
        let refused = exported.partial_success.unwrap_or_default();
        Ok(usize::try_from(refused.rejected_log_records).unwrap_or(0))
    }
}
