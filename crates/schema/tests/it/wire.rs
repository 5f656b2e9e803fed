//! Every recorded answer of a live peer that the schema alone decides: texts, classes and places of errors, and the text
//! that a schema is read back as. `probes.jsonl` and `rules.jsonl` hold one recorded answer a line.

use std::collections::BTreeMap;

use schema::{Schema, SchemaErrorClass};
use serde_json::Value as Json;

const PROBES: &str = include_str!("probes.jsonl");

/// Answers of the peer on the finer points, one a line; their metadata was not recorded.
const RULES: &str = include_str!("rules.jsonl");

/// Those whose answer differs on purpose, with the reason.
const DIFFERENT: [(&str, &str); 29] = [
    ("a self", "the subject of `self` is the object"),
    ("a two given", "the peer tells them in no order"),
    ("arrow left short", "told as an unknown name"),
    ("arrow target short", "told of the name itself"),
    ("arrow target upper", "told of the name itself"),
    ("bom", "a byte order mark is passed over"),
    ("caveat str esc", "a quote may be escaped"),
    ("caveat triple single", "the peer does not close '''"),
    ("cycle behind", "the peer misses a cycle"),
    (
        "cycle bridge",
        "every member that leads to a cycle is told, not some",
    ),
    ("def 129", "told as any other name"),
    (
        "def prefix long",
        "such a name is refused by every other call",
    ),
    ("err caveat + def same", "another order of checks"),
    ("err order caveat def2", "another order of checks"),
    ("err order dup rel2", "another order of checks"),
    ("err order dupname", "another order of checks"),
    ("err order splat", "another order of checks"),
    ("err order type2", "another order of checks"),
    (
        "own wild arrow2",
        "the wildcard is reached through a permission",
    ),
    ("p3", "the peer tells them in no order"),
    ("p4", "the peer tells them in no order"),
    ("p6", "a partial may have a prefix where it is taken in"),
    ("partial dup", "two partials of one name are ambiguous"),
    (
        "perm wild other",
        "the wildcard is reached through a permission",
    ),
    ("ref short", "told as an unknown name"),
    ("ref upper", "told as an unknown name"),
    ("root semis", "told where the first one is"),
    ("unterminated string root", "told with its quote"),
    (
        "with caveat and",
        "the peer takes an `and` with nothing behind it",
    ),
];

#[test]
fn recorded_answers() {
    let count = compare(PROBES, true);
    assert!(count > 80, "only {count} probes");
}

#[test]
fn answers_on_the_finer_points() {
    let count = compare(RULES, false);
    assert!(count > 250, "only {count} probes");
}

fn compare(probes: &str, has_metadata: bool) -> usize {
    let mut wrong = Vec::new();
    for line in probes.lines() {
        let probe: Json = serde_json::from_str(line).unwrap();
        let name = probe.get("name").and_then(Json::as_str).unwrap();
        let is_different = DIFFERENT.iter().any(|(different, _)| *different == name);
        let (expected, answered) = (expected(&probe), answer(&probe, has_metadata));
        if (expected == answered) == is_different {
            wrong.push(format!(
                "{name}\n  expected {expected}\n  answered {answered}"
            ));
        }
    }
    let count = probes.lines().count();
    assert!(
        wrong.is_empty(),
        "{} of {count} are not as said\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    count
}

fn expected(probe: &Json) -> String {
    if let Some(text) = probe["text"].as_str() {
        return format!("ok {text}");
    }
    let class = match (probe["code"].as_str().unwrap(), probe["reason"].as_str()) {
        (_, Some("ERROR_REASON_SCHEMA_PARSE_ERROR")) => SchemaErrorClass::Parse,
        (_, Some("ERROR_REASON_SCHEMA_TYPE_ERROR")) => SchemaErrorClass::Type,
        // Where no reason was recorded, the code tells it.
        ("INVALID_ARGUMENT", None) => SchemaErrorClass::Parse,
        ("FAILED_PRECONDITION", None) => SchemaErrorClass::Type,
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

fn answer(probe: &Json, has_metadata: bool) -> String {
    match Schema::compile(probe["source"].as_str().unwrap()) {
        Ok(schema) => format!("ok {}", schema.to_text()),
        Err(error) => {
            let metadata = error
                .metadata()
                .iter()
                .filter(|_| has_metadata)
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
