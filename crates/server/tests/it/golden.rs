//! Recorded answers of the peer: each file under `golden/` is a schema with relationships and calls upon them.
//!
//! A line is a call in the JSON of protobuf: its `requests` and the `messages`, the `error`, or both, that they are
//! answered with, tokens, cursors, durations and ids of operations left out. Where no more was recorded, `count` stands
//! for so many messages and `code` for how the call ended.
//! Messages count in any order, unless `in_order`. `before` are calls made first: a text `<afterResultCursor>` is that
//! field of the last message before. `repeat` stands for a list of one item many times, a text `x*5000` for so many letters.
//! Where `differs` says why, the answer is Remit's own and that of the peer stands in `peer`; once they agree, the row fails.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use model::SystemClock;
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, ReflectMessage as _,
};
use remit_client::proto::FILE_DESCRIPTOR_SET;
use remit_client::proto::google::rpc;
use serde_json::{Value, json};
use store::SqliteStore;
use tonic::Code;

use crate::running::start_on;
use crate::wire::{Failure, RemitWire};

/// Fields that tell when, not what.
const LEFT_OUT: &[&str] = &[
    "checkedAt",
    "writtenAt",
    "deletedAt",
    "readAt",
    "lookedUpAt",
    "expandedAt",
    "afterResultCursor",
    "duration",
    "traceOperationId",
    "source",
];

/// Lists without an order.
const UNORDERED: &[&str] = &[
    "subjects",
    "missingRequiredContext",
    "excludedSubjects",
    "excludedSubjectIds",
    "diffs",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_answered_as_recorded() {
    run("api.jsonl").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_is_converted_as_recorded() {
    run("caveats.jsonl").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_kept_and_read_as_recorded() {
    run("rows.jsonl").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn depth_is_counted_as_recorded() {
    run("depth.jsonl").await;
}

async fn run(file: &str) {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    let text = std::fs::read_to_string(path.join(file)).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let fixture: Value = lines.next().unwrap();
    let (mut count, mut differing, mut wrong) = (0, 0, String::new());
    for call in lines {
        count += 1;
        let name = &call["name"];
        let (expected, answered) = (compared(&call, &call), ask(&pool, &fixture, &call).await);
        if expected != answered {
            let _written = writeln!(
                wrong,
                "{name}\n  expected {expected}\n  answered {answered}"
            );
        }
        assert_eq!(
            call.get("differs").is_some(),
            call.get("peer").is_some(),
            "{name}: a difference has its reason and the answer of the peer"
        );
        if let Some(peer) = call.get("peer") {
            differing += 1;
            if compared(&call, peer) == answered {
                let _written = writeln!(wrong, "{name}\n  no longer differs");
            }
        }
    }
    eprintln!("{file}: {count} calls, {differing} answered otherwise on purpose");
    assert!(count > 0, "{file} has no calls");
    assert!(wrong.is_empty(), "{wrong}");
}

/// Makes a call of a fresh server.
async fn ask(pool: &DescriptorPool, fixture: &Value, call: &Value) -> Value {
    let store = Arc::new(SqliteStore::memory().unwrap());
    let running = start_on(store, Arc::new(SystemClock), None).await;
    let wire = RemitWire::connect(&running).await;
    let rows = fixture["relationships"].as_array().unwrap().iter();
    let updates = rows.map(|row| json!({ "operation": "OPERATION_TOUCH", "relationship": row }));
    let prepared = [
        json!({
            "method": "authzed.api.v1.SchemaService/WriteSchema",
            "requests": [{ "schema": fixture["schema"] }],
        }),
        json!({
            "method": "authzed.api.v1.PermissionsService/WriteRelationships",
            "requests": [{ "updates": updates.collect::<Vec<_>>() }],
        }),
    ];
    for before in &prepared {
        let answer = made(pool, &wire, before, &Value::Null).await;
        assert_eq!(answer.get("error"), None, "{answer}");
    }
    let mut last = Value::Null;
    for before in call["before"].as_array().into_iter().flatten() {
        last = made(pool, &wire, before, &last).await;
    }
    let answer = made(pool, &wire, call, &last).await;
    drop(wire);
    running.stop().await;
    compared(call, &answer)
}

/// Makes a call, the `last` answer before it at hand, and tells all that it is answered with.
async fn made(pool: &DescriptorPool, wire: &RemitWire, call: &Value, last: &Value) -> Value {
    let name = call["method"].as_str().unwrap();
    let method = method(pool, name);
    let requests = call["requests"].as_array().unwrap().iter();
    let requests = requests.map(|request| encoded(method.input(), request, last));
    let answer = wire.call(&format!("/{name}"), requests.collect()).await;
    let messages = answer.messages.into_iter();
    let messages = messages
        .map(|bytes| decoded(DynamicMessage::decode(method.output(), bytes).unwrap()))
        .collect();
    told(messages, answer.failure.map(error))
}

/// An answer: no messages if there is but an error.
fn told(messages: Vec<Value>, error: Option<Value>) -> Value {
    let mut answer = json!({});
    if error.is_none() || !messages.is_empty() {
        answer["messages"] = Value::Array(messages);
    }
    if let Some(error) = error {
        answer["error"] = error;
    }
    answer
}

fn method(pool: &DescriptorPool, name: &str) -> MethodDescriptor {
    let (service, method) = name.split_once('/').unwrap();
    let service = pool.get_service_by_name(service).unwrap();
    let mut methods = service.methods();
    methods.find(|one| one.name() == method).unwrap()
}

fn encoded(kind: MessageDescriptor, request: &Value, last: &Value) -> Vec<u8> {
    let request = spelled_out(request.clone(), last);
    let message = DynamicMessage::deserialize(kind, request).unwrap();
    message.encode_to_vec()
}

/// A request with what stands for much, or for a field of the `last` answer, put in full.
fn spelled_out(value: Value, last: &Value) -> Value {
    match value {
        Value::Object(mut fields) => {
            if let Some(repeat) = fields.remove("repeat") {
                let count = usize::try_from(repeat[1].as_u64().unwrap()).unwrap();
                let items = vec![repeat[2].clone(); count];
                fields.insert(repeat[0].as_str().unwrap().to_owned(), Value::Array(items));
            }
            let fields = fields.into_iter();
            Value::Object(
                fields
                    .map(|(name, value)| (name, spelled_out(value, last)))
                    .collect(),
            )
        }
        Value::Array(items) => {
            let items = items.into_iter();
            Value::Array(items.map(|item| spelled_out(item, last)).collect())
        }
        Value::String(text) => {
            let field = text.strip_prefix('<').and_then(|t| t.strip_suffix('>'));
            if let Some(field) = field {
                let message = last["messages"].as_array().and_then(|all| all.last());
                return message.unwrap()[field]["token"].clone();
            }
            Value::String(match text.strip_prefix("x*") {
                Some(count) => "x".repeat(count.parse().unwrap()),
                None => text,
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// An answer as JSON; the errors of single items are told as those of whole calls.
fn decoded(mut message: DynamicMessage) -> Value {
    let mut errors = Vec::new();
    if let Some(pairs) = message.get_field_by_name_mut("pairs") {
        for pair in pairs.as_list_mut().unwrap() {
            let pair = pair.as_message_mut().unwrap();
            let field = pair.descriptor().get_field_by_name("error").unwrap();
            let is_error = pair.has_field(&field);
            errors.push(is_error.then(|| {
                let status = pair.get_field(&field);
                let bytes = status.as_message().unwrap().encode_to_vec();
                Failure::from_item(rpc::Status::decode(bytes.as_slice()).unwrap())
            }));
            pair.clear_field(&field);
        }
    }
    let mut json = serde_json::to_value(message).unwrap();
    for (ix, failure) in errors.into_iter().enumerate() {
        if let Some(failure) = failure {
            json["pairs"][ix]["error"] = error(failure);
        }
    }
    json
}

fn error(failure: Failure) -> Value {
    let mut error = json!({ "code": code(failure.code), "message": failure.message });
    let reason = failure.reason.unwrap_or_default();
    if !reason.name.is_empty() {
        error["reason"] = json!(reason.name);
    }
    if !reason.metadata.is_empty() {
        error["metadata"] = json!(reason.metadata);
    }
    error
}

/// The name of a code as the recordings have it.
fn code(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// What counts of an answer to `call`.
fn compared(call: &Value, answer: &Value) -> Value {
    let mut compared = json!({});
    let (error, messages) = (answer.get("error"), answer.get("messages"));
    if call.get("code").is_some() {
        compared["code"] = answer.get("code").cloned().unwrap_or_else(|| {
            let code = error.map(|error| error["code"].clone());
            code.unwrap_or_else(|| json!("OK"))
        });
        if call.get("count").is_some() {
            let count = messages.map_or(0, |messages| messages.as_array().unwrap().len());
            compared["count"] = answer.get("count").cloned().unwrap_or(json!(count));
        }
        return compared;
    }
    if let Some(error) = error {
        compared["error"] = error.clone();
    }
    if let Some(messages) = messages {
        let messages = messages.as_array().unwrap().iter();
        let mut messages: Vec<Value> = messages.cloned().map(normal).collect();
        if call.get("in_order").is_none() {
            messages.sort_by_key(Value::to_string);
        }
        compared["messages"] = Value::Array(messages);
    }
    compared
}

/// An answer without what does not count.
fn normal(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields
                .into_iter()
                .filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()));
            let kept = kept.map(|(name, value)| {
                let mut value = normal(value);
                if let Some(items) = value.as_array_mut()
                    && UNORDERED.contains(&name.as_str())
                {
                    items.sort_by_key(Value::to_string);
                }
                (name, value)
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(normal).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}
