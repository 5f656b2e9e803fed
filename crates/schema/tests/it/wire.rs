//! Every recorded answer of a live peer that the schema alone decides: texts, classes and places of errors, and the text
//! that a schema is read back as. `probes.jsonl` holds one recorded answer a line.

use std::collections::BTreeMap;

use schema::{Schema, SchemaErrorClass};
use serde_json::Value as Json;

const PROBES: &str = include_str!("probes.jsonl");

/// Probes whose answer differs on purpose, with the reason.
const DIFFERENT: [(&str, &str); 0] = [];

#[test]
fn recorded_answers() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in PROBES.lines() {
        let probe: Json = serde_json::from_str(line).unwrap();
        let name = probe["name"].as_str().unwrap();
        if DIFFERENT.iter().any(|(different, _)| *different == name) {
            continue;
        }
        count += 1;
        let (expected, answered) = (expected(&probe), answer(&probe));
        if expected != answered {
            wrong.push(format!(
                "{name}\n  expected {expected}\n  answered {answered}"
            ));
        }
    }
    assert!(count > 80, "only {count} probes");
    assert!(
        wrong.is_empty(),
        "{} of {count} differ\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn expected(probe: &Json) -> String {
    if let Some(text) = probe["text"].as_str() {
        return format!("ok {text}");
    }
    let class = match (probe["code"].as_str().unwrap(), probe["reason"].as_str()) {
        (_, Some("ERROR_REASON_SCHEMA_PARSE_ERROR")) => SchemaErrorClass::Parse,
        (_, Some("ERROR_REASON_SCHEMA_TYPE_ERROR")) => SchemaErrorClass::Type,
        _ => SchemaErrorClass::Other,
    };
    let metadata: BTreeMap<String, String> = probe["metadata"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
        .collect();
    told(class, probe["message"].as_str().unwrap(), &metadata)
}

fn answer(probe: &Json) -> String {
    match Schema::compile(probe["source"].as_str().unwrap()) {
        Ok(schema) => format!("ok {}", schema.to_text()),
        Err(error) => {
            let metadata = error
                .metadata()
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect();
            told(error.class(), &error.wire_message(), &metadata)
        }
    }
}

/// The detail of an error within an expression is the peer's compiler's own; the rest is compared to the letter.
fn told(class: SchemaErrorClass, message: &str, metadata: &BTreeMap<String, String>) -> String {
    let end = message.find("ERROR: ").unwrap_or(message.len());
    format!("{class:?} {} {metadata:?}", &message[..end])
}
