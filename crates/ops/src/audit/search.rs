//! Searching the log. There is no index but that of its order: a page looks at so many entries, and says where to go on.

use std::sync::Arc;

use identity::Caller;
use model::{ObjectRef, Relationship, Revision, SubjectId, Timestamp};
use store::AuditLog;
use store::audit::{AuditQuery, Body, Entry, Header, Kind as ActKind, Part};
use tokio::task::spawn_blocking;

use super::{log, require, unreadable};
use crate::error::{Error, Kind, Reason};
use crate::node::Node;

/// Entries of a page, if nothing is said, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;
/// Entries that are looked at for one page, and bytes of what it has.
const LOOKED_AT_MAX: u64 = 50_000;
const PAGE_BYTES_MAX: usize = 2 << 20;
/// Entries, and bytes of them, that are read at once.
const STEP: u64 = 500;
const STEP_BYTES_MAX: usize = 16 << 20;

/// What is searched for: what all that is given is true of.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Who did it, by the name that is on record.
    pub actor: Option<String>,
    /// What it names, as resource, subject, record or in a text.
    pub object: Option<ObjectRef>,
    /// The relation of a relationship that changed; of one that names the object, if that is given.
    pub relation: Option<String>,
    /// The kind of act.
    pub kind: Option<ActKind>,
    /// A text that the reason holds, or what the caller said besides.
    pub reason: Option<String>,
    /// From this instant on.
    pub from: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
    /// From this revision on.
    pub first: Option<Revision>,
    /// Up to this revision.
    pub last: Option<Revision>,
    /// Which come first.
    pub order: Order,
    /// How many at most; 0 for 100.
    pub page_size: usize,
    /// Where the page before says to go on.
    pub cursor: Option<String>,
}

/// Which entries come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The newest.
    #[default]
    NewestFirst,
    /// The oldest.
    OldestFirst,
}

/// Some of what was found.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The entries.
    pub entries: Vec<(Entry, Header, Body)>,
    /// Where to go on; none once all was looked at. A page may be empty and yet not be the last.
    pub next: Option<String>,
}

/// A page of the entries that match.
///
/// # Errors
/// As [`super::state`]; [`Reason::InvalidCursor`] for a cursor that is none.
pub async fn search(node: &Node, caller: &Caller, query: &Query) -> Result<Page, Error> {
    require(node, caller)?;
    let log = log(node)?;
    let (mut low, mut high) = range(log, query).await?;
    let page_size = match query.page_size {
        0 => PAGE,
        given => given.min(PAGE_MAX),
    };
    if let Some(cursor) = &query.cursor {
        let at = cursor.parse::<u64>().map_err(|_| {
            Error::new(Kind::InvalidArgument, "the cursor is none of a search")
                .with_reason(Reason::InvalidCursor)
        })?;
        match query.order {
            Order::NewestFirst => high = high.min(at),
            Order::OldestFirst => low = low.max(at),
        }
    }
    let query = Arc::new(query.clone());
    let mut page = Page::default();
    let (mut looked_at, mut bytes) = (0, 0);
    while low < high && looked_at < LOOKED_AT_MAX {
        let step = step(log, query.order, (low, high)).await?;
        looked_at += step.count;
        let room = Room {
            entries: page_size - page.entries.len(),
            bytes: PAGE_BYTES_MAX - bytes,
        };
        let found = {
            let query = Arc::clone(&query);
            // Entries may be large, and there are many.
            let looking = spawn_blocking(move || look(&query, step, room));
            looking.await.map_err(|error| {
                Error::new(Kind::Internal, "the search of the audit log failed").caused_by(error)
            })?
        };
        match query.order {
            Order::NewestFirst => high = found.at,
            Order::OldestFirst => low = found.at,
        }
        bytes += found.bytes;
        page.entries.extend(found.entries);
        if page.entries.len() >= page_size || bytes >= PAGE_BYTES_MAX {
            break;
        }
    }
    page.next = next(query.order, (low, high));
    Ok(page)
}

fn next(order: Order, (low, high): (u64, u64)) -> Option<String> {
    let at = match order {
        Order::NewestFirst => high,
        Order::OldestFirst => low,
    };
    (low < high).then(|| at.to_string())
}

/// Some of the range that is searched.
struct Step {
    /// Its entries, the one that comes first in front. What was taken from the log by force is not among them.
    entries: Vec<Entry>,
    /// How many indices it is.
    count: u64,
    /// What is left of the range once all of it was looked at: its end, or its beginning if the oldest come first.
    rest: u64,
}

/// How much may be found.
struct Room {
    entries: usize,
    bytes: usize,
}

/// What was found in a step.
struct Found {
    entries: Vec<(Entry, Header, Body)>,
    bytes: usize,
    /// What is left of the range.
    at: u64,
}

/// Looks at the entries of a step until there is no more room.
fn look(query: &Query, step: Step, room: Room) -> Found {
    let mut found = Found {
        entries: Vec::new(),
        bytes: 0,
        at: step.rest,
    };
    for entry in step.entries {
        let index = entry.index;
        // What cannot be read matches nothing here, and is found by verifying.
        let (Ok(header), Ok(body)) = (entry.header(), entry.body()) else {
            continue;
        };
        if !matches(query, &header, &body) {
            continue;
        }
        found.bytes += entry.body.len();
        found.entries.push((entry, header, body));
        if found.entries.len() >= room.entries || found.bytes >= room.bytes {
            found.at = match query.order {
                Order::NewestFirst => index,
                Order::OldestFirst => index.saturating_add(1),
            };
            break;
        }
    }
    found
}

/// The next step of what is left of the range, which is not empty.
async fn step(log: &dyn AuditLog, order: Order, (low, high): (u64, u64)) -> Result<Step, Error> {
    let mut count = STEP.min(high - low);
    let read = |from: u64, count: u64| AuditQuery {
        from,
        entries_max: usize::try_from(count).unwrap_or(usize::MAX),
        bytes_max: STEP_BYTES_MAX,
    };
    match order {
        Order::OldestFirst => {
            let mut entries = log.entries(read(low, count)).await.map_err(unreadable)?;
            let last = entries.last().map_or(high, |last| last.index);
            let rest = last.saturating_add(1).min(high);
            entries.retain(|entry| entry.index < high);
            Ok(Step {
                entries,
                count: rest - low,
                rest,
            })
        }
        Order::NewestFirst => loop {
            // Fewer come where they are large: then those before the last, one by one if need be.
            let from = high - count;
            let mut entries = log.entries(read(from, count)).await.map_err(unreadable)?;
            let is_up_to_high = entries.last().is_some_and(|last| last.index + 1 >= high);
            if is_up_to_high || entries.len() as u64 == count || count == 1 {
                // Where entries were taken from the log, others come that are not asked for.
                entries.retain(|entry| entry.index < high);
                entries.reverse();
                return Ok(Step {
                    entries,
                    count,
                    rest: from,
                });
            }
            count = count.div_ceil(2);
        },
    }
}

/// The indices from the first that can match up to the one after the last.
async fn range(log: &dyn AuditLog, query: &Query) -> Result<(u64, u64), Error> {
    let state = log.state().await.map_err(unreadable)?;
    let index_of = |revision: Revision| revision.0.saturating_sub(state.begin.saturating_add(1));
    let mut low = query.first.map_or(0, index_of);
    let mut high = state.size;
    if let Some(last) = query.last {
        let end = last.0.saturating_sub(state.begin);
        high = high.min(end);
    }
    if let Some(from) = query.from {
        low = low.max(first_at(log, state.size, from).await?);
    }
    if let Some(until) = query.until {
        high = high.min(first_at(log, state.size, until).await?);
    }
    Ok((low, high))
}

/// The first entry at an instant or later: times never decrease.
async fn first_at(log: &dyn AuditLog, size: u64, instant: Timestamp) -> Result<u64, Error> {
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low + (high - low) / 2;
        let query = AuditQuery {
            from: middle,
            entries_max: 1,
            bytes_max: 0,
        };
        let entries = log.entries(query).await.map_err(unreadable)?;
        let time = entries.first().and_then(|entry| entry.header().ok());
        match time {
            Some(header) if header.time < instant => low = middle + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

fn matches(query: &Query, header: &Header, body: &Body) -> bool {
    let has = |test: &dyn Fn(&Part) -> bool| body.parts().any(|(_, part)| test(part));
    let is_by = |actor: &String| has(&|part| matches!(part, Part::Actor(own) if own == actor));
    let is_for = |text: &String| {
        has(&|part| matches!(part, Part::Reason(_) | Part::Metadata(_)) && part.holds(text))
    };
    query.kind.is_none_or(|kind| header.kind == kind)
        && query.actor.as_ref().is_none_or(is_by)
        && query.reason.as_ref().is_none_or(is_for)
        && match (&query.object, &query.relation) {
            (None, None) => true,
            (Some(object), None) => has(&|part| part.names(object)),
            (object, Some(relation)) => {
                has(&|part| changes_relation(part, relation, object.as_ref()))
            }
        }
}

/// Whether a part is a change of a relationship of that relation, and of that object.
fn changes_relation(part: &Part, relation: &str, object: Option<&ObjectRef>) -> bool {
    let Part::Relationship { before, after } = part else {
        return false;
    };
    let mut sides = before.iter().chain(after);
    sides.any(|side| {
        side.parse::<Relationship>().is_ok_and(|row| {
            let is_subject = |object: &ObjectRef| {
                row.subject.definition == object.definition
                    && matches!(&row.subject.id, SubjectId::Object(id) if *id == object.id)
            };
            row.relation.as_str() == relation
                && object.is_none_or(|object| row.resource == *object || is_subject(object))
        })
    })
}
