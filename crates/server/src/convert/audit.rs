//! The audit log: what is searched for, and how its entries are told.

use model::{Revision, Timestamp};
use ops::audit::{Erasure, Order, Query};
use remit_proto::remit::v1 as wire;
use store::audit::tree::Question;
use store::audit::{Body, Entry, Header, Kind, Part, RecordValue};
use tonic::Status;

use super::rules::Rules;
use super::violation::Path;
use super::{object, timestamp_to_wire};

/// Parts of an entry that are told to who searches.
const PARTS_MAX: usize = 100;
/// The longest text of a part that is told to who searches, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;
/// Bytes of one message of an entry.
const PIECE_BYTES: usize = 1 << 20;

pub(crate) fn query(request: wire::SearchAuditRequest) -> Result<Query, Status> {
    let mut rules = Rules::default();
    if request.object.is_some() {
        rules.object(&Path::message(None, 2, "object"), request.object.as_ref());
    }
    rules.end()?;
    let given = |text: String| (!text.is_empty()).then_some(text);
    let revision = |number: u64| (number > 0).then_some(Revision(number));
    let kind = given(request.kind).map(|name| {
        Kind::of_name(&name).ok_or_else(|| {
            let known = Kind::ALL.map(Kind::name).join("`, `");
            Status::invalid_argument(format!("`{name}` is no kind of act; there are `{known}`"))
        })
    });
    Ok(Query {
        actor: given(request.actor),
        object: match &request.object {
            Some(named) => Some(object(Some(named))?),
            None => None,
        },
        relation: given(request.relation),
        kind: kind.transpose()?,
        reason: given(request.reason),
        from: request.from.map(|at| instant(&at)).transpose()?,
        until: request.until.map(|at| instant(&at)).transpose()?,
        first: revision(request.first_revision),
        last: revision(request.last_revision),
        order: if request.oldest_first {
            Order::OldestFirst
        } else {
            Order::NewestFirst
        },
        page_size: request.page_size as usize,
        cursor: given(request.page_token),
    })
}

fn instant(at: &prost_types::Timestamp) -> Result<Timestamp, Status> {
    Timestamp::from_seconds(at.seconds, at.nanos)
        .map_err(|error| Status::invalid_argument(error.to_string()))
}

pub(crate) fn question(
    what: Option<wire::prove_audit_request::What>,
    size: u64,
) -> Result<Question, Status> {
    use wire::prove_audit_request::What;
    match what {
        Some(What::Index(index)) => Ok(Question::Inclusion { index, size }),
        Some(What::OldSize(old)) => Ok(Question::Consistency { old, new: size }),
        None => Err(Status::invalid_argument(
            "say what to prove: `index`, or `old_size`",
        )),
    }
}

pub(crate) fn erasure(request: wire::EraseFromAuditRequest) -> Result<Erasure, Status> {
    let mut rules = Rules::default();
    rules.object(&Path::message(None, 1, "subject"), request.subject.as_ref());
    rules.end()?;
    Ok(Erasure {
        subject: object(request.subject.as_ref())?,
        text: (!request.text.is_empty()).then_some(request.text),
        reason: request.reason,
    })
}

/// The messages of an entry.
pub(crate) fn pieces(entry: Entry) -> Vec<wire::ReadAuditEntriesResponse> {
    let count = entry.body.len().div_ceil(PIECE_BYTES).max(1);
    let bodies = entry.body.chunks(PIECE_BYTES);
    let numbered = (1..).zip(bodies);
    numbered
        .map(|(number, body)| wire::ReadAuditEntriesResponse {
            index: entry.index,
            header: entry.header.clone(),
            leaf: entry.leaf.0.to_vec(),
            body: body.to_vec(),
            is_continued: number < count,
        })
        .collect()
}

pub(crate) fn entry_to_wire(header: &Header, body: &Body) -> wire::AuditEntry {
    let parts = body.parts().take(PARTS_MAX);
    wire::AuditEntry {
        index: header.index,
        revision: header.revision.0,
        at: Some(timestamp_to_wire(header.time)),
        kind: header.kind.name().to_owned(),
        part_count: header.part_count,
        parts: parts
            .map(|(number, part)| part_to_wire(number, part))
            .collect(),
        erased_count: u32::try_from(body.erased().count()).unwrap_or(u32::MAX),
    }
}

fn part_to_wire(number: u32, part: &Part) -> wire::AuditPart {
    let mut told = wire::AuditPart {
        number,
        ..wire::AuditPart::default()
    };
    let text = |text: &Option<String>| text.as_deref().map(cut).unwrap_or_default();
    let value = |value: &Option<RecordValue>| match value {
        None => String::new(),
        Some(RecordValue::Text(text)) => cut(text),
        Some(RecordValue::Bytes(count)) => format!("{count} bytes"),
    };
    let (kind, before, after) = match part {
        Part::Actor(actor) => ("actor", String::new(), actor.clone()),
        Part::Reason(reason) => ("reason", String::new(), text(reason)),
        Part::Metadata(metadata) => ("metadata", String::new(), text(metadata)),
        Part::Origin(origin) => ("origin", String::new(), text(origin)),
        Part::Schema { before, after } => ("schema", text(before), cut(after)),
        Part::Record {
            kind,
            key,
            before,
            after,
        } => {
            told.of = format!("{kind}:{key}");
            ("record", value(before), value(after))
        }
        Part::Relationship { before, after } => ("relationship", text(before), text(after)),
        Part::Erased(erased) => {
            let of_entry = |it: &store::audit::ErasedParts| {
                let parts: Vec<String> = it.parts.iter().map(ToString::to_string).collect();
                format!("{} of entry {}", parts.join(", "), it.index)
            };
            let all: Vec<String> = erased.iter().map(of_entry).collect();
            (
                "erased",
                String::new(),
                cut(&format!("parts {}", all.join("; "))),
            )
        }
    };
    kind.clone_into(&mut told.kind);
    told.before = before;
    told.after = after;
    told
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(TEXT_BYTES_MAX);
    match text.split_at_checked(end) {
        Some((begin, rest)) if !rest.is_empty() => format!("{begin}\u{2026}"),
        Some(_) | None => text.to_owned(),
    }
}
