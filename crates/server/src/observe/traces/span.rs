//! The spans of one call: itself, and below it the stages that it took its time for.
//!
//! Attributes follow the semantic conventions of OpenTelemetry for calls; what they do not know begins with `remit.`. Nothing names a
//! resource, a subject or a caller.

use std::time::Instant;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use ops::stages::{Record, Stage};

use super::{Sampled, made_span_id};
use crate::observe::{Outcome, Protocol};

/// A call that is over.
pub(in crate::observe) struct Call<'c> {
    pub(in crate::observe) method: &'c str,
    pub(in crate::observe) protocol: Protocol,
    pub(in crate::observe) outcome: Outcome,
    pub(in crate::observe) begun: Instant,
}

/// The bit of a span's flags that says that it is sampled.
const SAMPLED: u32 = 1;

/// The spans of a call, its own first.
pub(super) fn spans(sampled: &Sampled, call: &Call<'_>, record: Option<&Record>) -> Vec<Span> {
    let at = |instant: Instant| {
        let since = instant.saturating_duration_since(call.begun).as_nanos();
        let arrived = u64::try_from(sampled.arrived.as_micros()).unwrap_or(0) * 1_000;
        arrived.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    };
    let parent = sampled.parent.as_ref();
    let state = parent
        .map(|parent| parent.state.clone())
        .unwrap_or_default();
    let mut own = Span {
        trace_id: sampled.trace_id.to_vec(),
        span_id: sampled.span_id.to_vec(),
        parent_span_id: parent.map(|it| it.span_id.to_vec()).unwrap_or_default(),
        trace_state: state.clone(),
        flags: SAMPLED,
        name: call.method.to_owned(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: at(call.begun),
        end_time_unix_nano: at(Instant::now()),
        attributes: of_call(call),
        ..Span::default()
    };
    if call.outcome.is_fault() {
        own.status = Some(Status {
            code: StatusCode::Error.into(),
            message: String::new(),
        });
    }
    let Some(record) = record else {
        return vec![own];
    };
    own.attributes.extend(of_record(record));
    let stage = |stage: &Stage| Span {
        trace_id: sampled.trace_id.to_vec(),
        span_id: made_span_id().to_vec(),
        parent_span_id: sampled.span_id.to_vec(),
        trace_state: state.clone(),
        flags: SAMPLED,
        name: stage.name.to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: at(stage.begun),
        end_time_unix_nano: at(stage.ended),
        ..Span::default()
    };
    let stages = record.stages.iter().map(stage);
    std::iter::once(own)
        .chain(stages.collect::<Vec<_>>())
        .collect()
}

fn of_call(call: &Call<'_>) -> Vec<KeyValue> {
    let mut attributes = vec![text("remit.protocol", call.protocol.text())];
    match call.protocol {
        Protocol::Grpc | Protocol::ExtAuthz => {
            attributes.push(text("rpc.system.name", "grpc"));
            attributes.push(text("rpc.method", call.method));
            attributes.push(text("rpc.response.status_code", call.outcome.text()));
        }
        Protocol::Http | Protocol::AuthZen | Protocol::ForwardAuth | Protocol::Kubernetes => {
            attributes.push(text("remit.method", call.method));
            attributes.push(text("remit.outcome", call.outcome.text()));
        }
    }
    attributes
}

fn of_record(record: &Record) -> Vec<KeyValue> {
    let mut attributes = Vec::new();
    if let Some(revision) = record.revision {
        attributes.push(number("remit.revision", revision.0));
    }
    if record.decided > 0 {
        attributes.push(number("remit.decisions", u64::from(record.decided)));
    }
    if let Some(check) = &record.check {
        attributes.push(text("remit.resource.type", &check.definition));
        attributes.push(text("remit.permission", &check.permission));
        attributes.push(text("remit.decision", check.decision));
    }
    if record.left_out > 0 {
        attributes.push(number("remit.stages_left_out", u64::from(record.left_out)));
    }
    attributes
}

pub(super) fn text(key: &str, value: &str) -> KeyValue {
    of(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: u64) -> KeyValue {
    of(
        key,
        Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)),
    )
}

fn of(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
