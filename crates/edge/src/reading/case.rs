//! The cases of a file.

use std::collections::BTreeMap;

use model::{ObjectRef, Value as Json};

use super::reader::{Entries, Reader};
use super::route::json;
use super::tree::{Node, Value};
use crate::attributes::User;
use crate::cases::{Case, Cases, Described, Expected};
use crate::verdict::{Answer, Outcome};

const REQUEST_KEYS: [&str; 10] = [
    "address",
    "claims",
    "extensions",
    "headers",
    "host",
    "method",
    "path",
    "principal",
    "route_metadata",
    "user",
];
const EXPECTED_KEYS: [&str; 5] = ["checks", "route", "set", "status", "verdict"];

pub(super) fn read(document: &Node, reader: &mut Reader) -> Option<Cases> {
    let entries = reader.entries(document, "the cases", &["cases", "scenario"])?;
    let scenario = text(&entries, "scenario", reader);
    let listed = entries.need(reader, "cases")?;
    let at = listed.at;
    let listed = reader.list(listed, "`cases`")?;
    if listed.is_empty() {
        reader.fault(at, "there is no case");
    }
    let cases = listed
        .iter()
        .filter_map(|node| case(node, reader))
        .collect();
    Some(Cases { scenario, cases })
}

fn case(node: &Node, reader: &mut Reader) -> Option<Case> {
    let keys = ["answers", "expect", "name", "request"];
    let entries = reader.entries(node, "a case", &keys)?;
    let name = entries.need(reader, "name");
    let name = name.and_then(|node| reader.text(node, "`name`"));
    let request = entries.need(reader, "request");
    let request = request.and_then(|node| request_of(node, reader));
    let expected = entries.need(reader, "expect");
    let expected = expected.and_then(|node| expected_of(node, reader));
    let answers = entries.get("answers").map(|node| answers(node, reader));
    Some(Case {
        name: name?.to_owned(),
        position: node.at,
        request: request?,
        answers: answers.unwrap_or_default(),
        expected: expected?,
    })
}

fn request_of(node: &Node, reader: &mut Reader) -> Option<Described> {
    let entries = reader.entries(node, "a request", &REQUEST_KEYS)?;
    for name in ["method", "host", "path"] {
        entries.need(reader, name);
    }
    let map = |name: &str, reader: &mut Reader| match entries.get(name).map(|it| json(it, reader)) {
        Some(Some(value @ Json::Map(_))) => Some(value),
        Some(_) => {
            reader.fault(node.at, format!("`{name}` is a map"));
            None
        }
        None => None,
    };
    let (claims, extensions) = (map("claims", reader), map("extensions", reader));
    let route_metadata = map("route_metadata", reader);
    let headers = entries.get("headers").map(|node| texts(node, reader));
    Some(Described {
        method: text(&entries, "method", reader).unwrap_or_default(),
        host: text(&entries, "host", reader).unwrap_or_default(),
        path: text(&entries, "path", reader).unwrap_or_default(),
        headers: headers.unwrap_or_default(),
        address: text(&entries, "address", reader),
        principal: text(&entries, "principal", reader),
        claims,
        extensions,
        route_metadata,
        user: entries.get("user").and_then(|node| user(node, reader)),
    })
}

fn user(node: &Node, reader: &mut Reader) -> Option<User> {
    let entries = reader.entries(node, "a user", &["groups", "subject"])?;
    let subject = entries.need(reader, "subject")?;
    let groups = entries.get("groups");
    let groups = groups.and_then(|node| reader.list(node, "`groups`"));
    let mut objects = Vec::new();
    for node in groups.unwrap_or_default() {
        objects.extend(object(node, reader));
    }
    Some(User {
        subject: object(subject, reader)?,
        groups: objects,
    })
}

fn object(node: &Node, reader: &mut Reader) -> Option<ObjectRef> {
    let text = reader.text(node, "an object")?;
    match text.parse() {
        Ok(object) => Some(object),
        Err(error) => {
            reader.fault(node.at, format!("{error}"));
            None
        }
    }
}

fn expected_of(node: &Node, reader: &mut Reader) -> Option<Expected> {
    let entries = reader.entries(node, "what is expected", &EXPECTED_KEYS)?;
    let words = [
        Outcome::Allowed,
        Outcome::Denied,
        Outcome::WouldDeny,
        Outcome::Unmatched,
        Outcome::Error,
    ];
    let words = words.map(|outcome| (outcome.text(), outcome));
    let verdict = entries.need(reader, "verdict");
    let verdict = verdict.and_then(|node| reader.word(node, "verdict", &words));
    let status = entries.get("status").and_then(|node| match node.value {
        Value::Number(number) => Some(number as u16),
        Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
            reader.misfit(node, "`status`", "a number");
            None
        }
    });
    let checks = entries.get("checks").map(|node| {
        let listed = reader.list(node, "`checks`").unwrap_or_default();
        let texts = listed
            .iter()
            .filter_map(|node| reader.text(node, "a check"));
        texts.map(str::to_owned).collect()
    });
    Some(Expected {
        verdict: verdict?.text().to_owned(),
        route: text(&entries, "route", reader),
        status,
        checks,
        set: entries.get("set").map(|node| texts(node, reader)),
    })
}

fn answers(node: &Node, reader: &mut Reader) -> BTreeMap<String, Answer> {
    let words = [
        ("allowed", 0),
        ("denied", 1),
        ("conditional", 2),
        ("failed", 3),
    ];
    let mut answers = BTreeMap::new();
    for (_, question, node) in reader.pairs(node, "`answers`").unwrap_or_default() {
        let answer = match reader.word(node, "answer", &words) {
            Some(0) => Answer::Allowed,
            Some(1) => Answer::Denied,
            Some(2) => Answer::Conditional(Vec::new()),
            Some(_) => Answer::Failed,
            None => continue,
        };
        answers.insert(question.to_owned(), answer);
    }
    answers
}

fn texts(node: &Node, reader: &mut Reader) -> BTreeMap<String, String> {
    let pairs = reader.pairs(node, "a map of texts").unwrap_or_default();
    let mut texts = BTreeMap::new();
    for (_, name, node) in pairs {
        if let Some(text) = reader.text(node, "a value") {
            texts.insert(name.to_owned(), text.to_owned());
        }
    }
    texts
}

fn text(entries: &Entries<'_>, name: &str, reader: &mut Reader) -> Option<String> {
    let node = entries.get(name)?;
    reader.text(node, &format!("`{name}`")).map(str::to_owned)
}
