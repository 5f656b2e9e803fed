//! The file of entitlements: YAML, read whole with every fault that it has, or not at all.

use std::collections::{BTreeMap, BTreeSet};

use schema::Schema;

use super::reader::{Entries, Part, Reader};
use super::tree::{self, Node, Value};
use super::{
    Activation, BreakGlass, ENTITLEMENTS_MAX, Entitlement, Escalation, Extension, FILE_BYTES_MAX,
    Ids, Risk, Step, Ticket, against_schema, rules,
};
use crate::authority::Authority;
use crate::fault::{Fault, Position};
use crate::span::Span;

const FILE_KEYS: [&str; 2] = ["entitlements", "version"];
const KEYS: [&str; 23] = [
    "activation",
    "ahead",
    "break_glass",
    "description",
    "duration",
    "eligible",
    "escalate",
    "extensions",
    "for_others",
    "ids",
    "name",
    "owners",
    "pending",
    "permission",
    "reason",
    "relations",
    "remind",
    "resource",
    "risk",
    "steps",
    "subjects",
    "ticket",
    "warn",
];
const RISKS: [(&str, Risk); 4] = [
    ("low", Risk::Low),
    ("medium", Risk::Medium),
    ("high", Risk::High),
    ("critical", Risk::Critical),
];
const DAY: Span = Span::of_hours(24);
const DURATION: Span = Span::of_hours(8);
const BREAK_GLASS: Span = Span::of_hours(1);
const REVIEW: Span = Span::of_hours(72);

/// Reads the entitlements, by name; every fault otherwise.
pub(super) fn entitlements(text: &str, schema: &Schema) -> Result<Vec<Entitlement>, Vec<Fault>> {
    if text.len() > FILE_BYTES_MAX {
        let position = Position { line: 1, column: 1 };
        let bytes = text.len();
        let message = format!("the file has {bytes} bytes, at most {FILE_BYTES_MAX} are read");
        return Err(vec![Fault { position, message }]);
    }
    let document = tree::read(text).map_err(|fault| vec![fault])?;
    let mut reader = Reader::default();
    let read = file(&document, schema, &mut reader).unwrap_or_default();
    match reader.fault_count() {
        0 => Ok(read),
        _ => Err(reader.into_faults()),
    }
}

fn file(document: &Node, schema: &Schema, reader: &mut Reader) -> Option<Vec<Entitlement>> {
    let whole = Part {
        node: document,
        path: "the file".to_owned(),
    };
    let entries = reader.entries(&whole, &FILE_KEYS)?;
    if let Some(version) = entries.need(reader, "version")
        && reader.count(&version).is_some_and(|version| version != 1)
    {
        reader.fault(version.node.at, "this program reads files of version 1");
    }
    let listed = entries.need(reader, "entitlements")?;
    let parts = reader.list(&listed)?;
    if parts.len() > ENTITLEMENTS_MAX {
        let count = parts.len();
        reader.fault(
            listed.node.at,
            format!("there are {count} entitlements, at most {ENTITLEMENTS_MAX} are read"),
        );
        return None;
    }
    let mut lines = BTreeMap::new();
    let mut read = Vec::with_capacity(parts.len());
    for Part { node, .. } in parts {
        reader.begin(node.at);
        let faults = reader.fault_count();
        let Some(entitlement) = one(node, reader) else {
            continue;
        };
        if let Some(line) = lines.insert(entitlement.name.clone(), node.at.line) {
            let name = &entitlement.name;
            reader.fault(
                node.at,
                format!("there is an entitlement `{name}` in line {line}"),
            );
        }
        // What would only follow from a fault that is told already is not told.
        if reader.fault_count() == faults {
            let found = rules::faults(&entitlement).into_iter();
            for (part, message) in found.chain(against_schema::faults(&entitlement, schema)) {
                reader.fault_of(&part, message);
            }
        }
        read.push(entitlement);
    }
    read.sort_by(|left, right| left.name.cmp(&right.name));
    Some(read)
}

fn one(node: &Node, reader: &mut Reader) -> Option<Entitlement> {
    let path = String::new();
    let entries = reader.entries(&Part { node, path }, &KEYS)?;
    let name = parsed(&entries, "name", reader);
    let definition = parsed(&entries, "resource", reader);
    let ids = entries
        .need(reader, "ids")
        .and_then(|part| ids(&part, reader));
    let durations = entries
        .need(reader, "duration")
        .and_then(|part| durations(&part, reader));
    let description = entries
        .get(reader, "description")
        .and_then(|part| reader.text(&part));
    let steps = entries
        .need(reader, "steps")
        .and_then(|part| steps(&part, reader));
    let relations = set(&entries, "relations", reader);
    let subjects = set(&entries, "subjects", reader);
    let eligible = set(&entries, "eligible", reader);
    let owners = set(&entries, "owners", reader);
    let entitlement = Entitlement {
        description: description.unwrap_or_default().to_owned(),
        risk: entries
            .get(reader, "risk")
            .and_then(|part| reader.word(&part, &RISKS))
            .unwrap_or(Risk::Medium),
        permission: entries
            .get(reader, "permission")
            .and_then(|part| reader.parsed(&part)),
        relations,
        subjects,
        eligible,
        for_others: entries
            .get(reader, "for_others")
            .and_then(|part| reader.truth(&part))
            .unwrap_or(false),
        owners,
        reason_required: required(&entries, "reason", reader).unwrap_or(true),
        ticket: entries
            .get(reader, "ticket")
            .and_then(|part| ticket(&part, reader)),
        pending: span(&entries, "pending", reader).unwrap_or(DAY),
        ahead: span(&entries, "ahead", reader),
        activation: activation(&entries, reader),
        extension: entries
            .get(reader, "extensions")
            .and_then(|part| extension(&part, reader)),
        reminders: entries
            .get(reader, "remind")
            .map(|part| reader.all(&part))
            .unwrap_or_default(),
        escalation: entries
            .get(reader, "escalate")
            .and_then(|part| escalation(&part, reader)),
        warning: span(&entries, "warn", reader),
        break_glass: entries
            .get(reader, "break_glass")
            .and_then(|part| break_glass(&part, reader)),
        name: name?,
        definition: definition?,
        ids: ids?,
        duration_default: durations?.0,
        duration_max: durations?.1,
        steps: steps?,
    };
    Some(entitlement)
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    entries: &Entries<'_>,
    name: &str,
    reader: &mut Reader,
) -> Option<T> {
    let part = entries.need(reader, name)?;
    reader.parsed(&part)
}

fn set<T>(entries: &Entries<'_>, name: &str, reader: &mut Reader) -> BTreeSet<T>
where
    T: std::str::FromStr<Err: std::fmt::Display> + Ord + std::fmt::Display,
{
    let part = entries.need(reader, name);
    part.map(|part| reader.set(&part)).unwrap_or_default()
}

fn span(entries: &Entries<'_>, name: &str, reader: &mut Reader) -> Option<Span> {
    let part = entries.get(reader, name)?;
    reader.parsed(&part)
}

fn required(entries: &Entries<'_>, name: &str, reader: &mut Reader) -> Option<bool> {
    let part = entries.get(reader, name)?;
    reader.word(&part, &[("required", true), ("optional", false)])
}

fn ids(part: &Part<'_>, reader: &mut Reader) -> Option<Ids> {
    match &part.node.value {
        Value::Text(_) => reader.word(part, &[("all", ())]).map(|()| Ids::All),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
            Some(Ids::Among(reader.set(part)))
        }
    }
}

fn durations(part: &Part<'_>, reader: &mut Reader) -> Option<(Span, Span)> {
    let entries = reader.entries(part, &["default", "max"])?;
    let max = parsed(&entries, "max", reader);
    let default = span(&entries, "default", reader);
    max.map(|max| (default.unwrap_or(DURATION.min(max)), max))
}

fn ticket(part: &Part<'_>, reader: &mut Reader) -> Option<Ticket> {
    let entries = reader.entries(part, &["need", "pattern"])?;
    let pattern = entries.need(reader, "pattern");
    let pattern = pattern.and_then(|part| reader.text(&part));
    let required = required(&entries, "need", reader).unwrap_or(true);
    pattern.map(|pattern| Ticket {
        pattern: pattern.to_owned(),
        required,
    })
}

fn activation(entries: &Entries<'_>, reader: &mut Reader) -> Activation {
    let part = entries.get(reader, "activation");
    let entries = part.and_then(|part| reader.entries(&part, &["by", "window"]));
    let by = entries
        .as_ref()
        .and_then(|entries| entries.get(reader, "by"));
    let by_holder = by.and_then(|part| reader.word(&part, &[("clock", false), ("holder", true)]));
    let window = entries.and_then(|entries| span(&entries, "window", reader));
    Activation {
        by_holder: by_holder.unwrap_or(false),
        window: window.unwrap_or(DAY),
    }
}

fn extension(part: &Part<'_>, reader: &mut Reader) -> Option<Extension> {
    let entries = reader.entries(part, &["automatic", "each"])?;
    let automatic = entries.need(reader, "automatic");
    let automatic = automatic.and_then(|part| reader.count(&part));
    let each = parsed(&entries, "each", reader);
    Some(Extension {
        automatic: automatic?,
        each: each?,
    })
}

fn steps(part: &Part<'_>, reader: &mut Reader) -> Option<Vec<Step>> {
    let parts = reader.list(part)?;
    let read = parts.iter().filter_map(|part| {
        let entries = reader.entries(part, &["approvers", "name", "need"])?;
        let name = parsed(&entries, "name", reader);
        let approvers: BTreeSet<Authority> = set(&entries, "approvers", reader);
        let need = entries.get(reader, "need");
        let need = need.map_or(Some(1), |part| reader.count(&part));
        Some(Step {
            name: name?,
            approvers,
            need: need?,
        })
    });
    Some(read.collect())
}

fn escalation(part: &Part<'_>, reader: &mut Reader) -> Option<Escalation> {
    let entries = reader.entries(part, &["after", "to"])?;
    let after = parsed(&entries, "after", reader);
    let to = set(&entries, "to", reader);
    after.map(|after| Escalation { after, to })
}

fn break_glass(part: &Part<'_>, reader: &mut Reader) -> Option<BreakGlass> {
    let entries = reader.entries(part, &["holders", "max", "review"])?;
    let holders = set(&entries, "holders", reader);
    Some(BreakGlass {
        holders,
        duration_max: span(&entries, "max", reader).unwrap_or(BREAK_GLASS),
        review: span(&entries, "review", reader).unwrap_or(REVIEW),
    })
}
