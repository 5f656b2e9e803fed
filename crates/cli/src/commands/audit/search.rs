//! `remit audit search`: a table for people, lines of JSON for programs.

use prost_types::Timestamp;
use remit_client::proto::remit::v1::{AuditEntry, AuditPart, SearchAuditRequest};
use serde_json::{Value, json};
use server::convert;
use store::audit::{Part, RecordValue};

use crate::arguments::AuditSearch;
use crate::client;
use crate::exit::Outcome;
use crate::output;

/// Entries of one page.
const PAGE: usize = 100;
/// Changes of one entry in the table.
const SHOWN_MAX: usize = 5;
/// Characters of one text in the table; `--json` has it whole.
const TEXT_MAX: usize = 100;

pub(super) async fn run(arguments: AuditSearch) -> anyhow::Result<Outcome> {
    let instant = |at: Option<jiff::Timestamp>| {
        at.map(|at| Timestamp {
            seconds: at.as_second(),
            nanos: at.subsec_nanosecond(),
        })
    };
    let mut request = SearchAuditRequest {
        actor: arguments.actor.unwrap_or_default(),
        object: arguments.object.as_ref().map(convert::object_to_wire),
        relation: arguments.relation.unwrap_or_default(),
        kind: arguments.kind.unwrap_or_default(),
        reason: arguments.reason.unwrap_or_default(),
        from: instant(arguments.from),
        until: instant(arguments.until),
        first_revision: arguments.first_revision,
        last_revision: arguments.last_revision,
        oldest_first: arguments.oldest_first,
        page_size: 0,
        page_token: String::new(),
    };
    let client = client::connect(&arguments.connection).await?;
    let (mut rows, mut left) = (Vec::new(), arguments.limit);
    while left > 0 {
        request.page_size = u32::try_from(left.min(PAGE)).unwrap_or(u32::MAX);
        let page = client.audit().search_audit(request.clone()).await;
        let page = page
            .map_err(|status| client::refused(&status))?
            .into_inner();
        left = left.saturating_sub(page.entries.len());
        for entry in page.entries {
            if arguments.connection.json {
                output::json(&to_json(&entry))?;
            } else {
                rows.push(row(&entry));
            }
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    if !arguments.connection.json {
        let headings = ["entry", "time", "kind", "who", "why", "what", "from"];
        output::table(&headings, rows)?;
    }
    Ok(Outcome::Success)
}

fn of<'e>(entry: &'e AuditEntry, kind: &str) -> &'e str {
    let part = entry.parts.iter().find(|part| part.kind == kind);
    part.map_or("", |part| part.after.as_str())
}

fn row(entry: &AuditEntry) -> Vec<String> {
    let why = match of(entry, "reason") {
        "" => of(entry, "metadata"),
        reason => reason,
    };
    let is_change = |part: &&AuditPart| {
        ["schema", "record", "relationship", "erased"].contains(&part.kind.as_str())
    };
    let mut changes = entry.parts.iter().filter(is_change);
    let mut what: Vec<String> = changes.by_ref().take(SHOWN_MAX).map(change).collect();
    let shown = what.len() + 4;
    let more = (entry.part_count as usize).saturating_sub(shown + entry.erased_count as usize);
    if more > 0 {
        what.push(format!("and {more} more"));
    }
    if entry.erased_count > 0 {
        what.push(format!("{} parts were erased", entry.erased_count));
    }
    // What callers wrote is not to control a terminal.
    let plain = |text: &str| short(&text.escape_debug().to_string().replace("\\\"", "\""));
    vec![
        format!("{} (revision {})", entry.index, entry.revision),
        time(entry),
        entry.kind.clone(),
        plain(of(entry, "actor")),
        plain(why),
        what.iter()
            .map(|text| plain(text))
            .collect::<Vec<_>>()
            .join("\n"),
        plain(of(entry, "origin")),
    ]
}

/// The beginning of a long text, such as a schema.
fn short(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn time(entry: &AuditEntry) -> String {
    let at = entry.at.as_ref();
    let at = at.and_then(|at| jiff::Timestamp::new(at.seconds, at.nanos).ok());
    at.map(|at| at.to_string()).unwrap_or_default()
}

fn change(part: &AuditPart) -> String {
    let subject = match part.kind.as_str() {
        "relationship" => String::new(),
        "record" => format!("{} ", part.of),
        other => format!("{other} "),
    };
    match (part.before.as_str(), part.after.as_str()) {
        (before, "") => format!("{subject}- {before}"),
        ("", after) => format!("{subject}+ {after}"),
        (before, after) => format!("{subject}{before} -> {after}"),
    }
}

fn to_json(entry: &AuditEntry) -> Value {
    let parts = entry.parts.iter().map(|part| {
        json!({
            "number": part.number,
            "kind": part.kind,
            "of": part.of,
            "before": part.before,
            "after": part.after,
        })
    });
    json!({
        "index": entry.index,
        "revision": entry.revision,
        "time": time(entry),
        "kind": entry.kind,
        "part_count": entry.part_count,
        "erased_count": entry.erased_count,
        "parts": parts.collect::<Vec<_>>(),
    })
}

/// What a part says, on a line; none for one that says nothing.
pub(super) fn shown(part: &Part) -> Option<String> {
    let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".to_owned());
    let value = |value: &Option<RecordValue>| match value {
        None => "nothing".to_owned(),
        Some(RecordValue::Text(text)) => text.clone(),
        Some(RecordValue::Bytes(count)) => format!("{count} bytes"),
    };
    Some(match part {
        Part::Actor(actor) => format!("who: {actor}"),
        Part::Reason(text) => format!("why: {}", text.as_ref()?),
        Part::Metadata(text) => format!("said besides: {}", text.as_ref()?),
        Part::Origin(text) => format!("from: {}", text.as_ref()?),
        Part::Schema { before, after } => {
            format!("schema: {} -> {after}", side(before))
        }
        Part::Record {
            kind,
            key,
            before,
            after,
        } => format!("record {kind}:{key}: {} -> {}", value(before), value(after)),
        Part::Relationship { before, after } => {
            format!("relationship: {} -> {}", side(before), side(after))
        }
        Part::Erased(erased) => format!("erased parts of {} entries", erased.len()),
    })
}
