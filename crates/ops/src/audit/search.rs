//! Searching the log. There is no index but that of its order: a page looks at so many entries, and says where to go on.

use identity::Caller;
use model::{ObjectRef, Relationship, Revision, SubjectId, Timestamp};
use store::AuditLog;
use store::audit::{AuditQuery, Body, Entry, Header, Kind as ActKind, Part};

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
    let mut page = Page::default();
    let (mut looked_at, mut bytes) = (0, 0);
    while low < high && looked_at < LOOKED_AT_MAX {
        let step = step(log, query.order, (low, high)).await?;
        if step.is_empty() {
            break;
        }
        for entry in step {
            match query.order {
                Order::NewestFirst => high = entry.index,
                Order::OldestFirst => low = entry.index.saturating_add(1),
            }
            looked_at += 1;
            // What cannot be read matches nothing here, and is found by verifying.
            let (Ok(header), Ok(body)) = (entry.header(), entry.body()) else {
                continue;
            };
            if matches(query, &header, &body) {
                bytes += entry.body.len();
                page.entries.push((entry, header, body));
            }
            if page.entries.len() >= page_size || bytes >= PAGE_BYTES_MAX {
                page.next = next(query.order, (low, high));
                return Ok(page);
            }
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

/// The next entries, the one that comes first in front.
async fn step(
    log: &dyn AuditLog,
    order: Order,
    (low, high): (u64, u64),
) -> Result<Vec<Entry>, Error> {
    let count = STEP.min(high - low);
    let read = |from: u64, count: u64| AuditQuery {
        from,
        entries_max: usize::try_from(count).unwrap_or(usize::MAX),
        bytes_max: STEP_BYTES_MAX,
    };
    match order {
        Order::OldestFirst => log.entries(read(low, count)).await.map_err(unreadable),
        Order::NewestFirst => {
            // Fewer come where they are large: then those before the last, one by one if need be.
            let mut count = count;
            loop {
                let entries = log.entries(read(high - count, count)).await;
                let mut entries = entries.map_err(unreadable)?;
                let is_whole = entries.len() as u64 == count || count == 1;
                if is_whole {
                    entries.reverse();
                    return Ok(entries);
                }
                count = count.div_ceil(2);
            }
        }
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
