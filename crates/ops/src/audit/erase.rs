//! Erasing somebody: all parts of all entries that name it go, and an entry says which.
//!
//! What still holds, a relationship or a lock, is not erased from under it: it is deleted first, which is an act of its own. The log of
//! commits keeps what it has until it is trimmed.

use std::sync::Arc;

use identity::Caller;
use model::{
    ObjectRef, RelationshipFilter, ResourceIdFilter, SubjectFilter, SubjectId,
    SubjectRelationFilter, Token,
};
use store::audit::{AuditQuery, Entry, ErasedParts, Part};
use store::{AuditLog, ChangeRequest};
use tokio::task::spawn_blocking;

use super::{log, unreadable};
use crate::access::{Action, Permit, Target};
use crate::error::{Error, Kind};
use crate::node::{Node, Published};
use crate::write;

/// Entries, and bytes of them, that are read at once.
const ENTRIES_MAX: usize = 1_000;
const BYTES_MAX: usize = 16 << 20;
/// Entries that one commit erases from, and parts of them.
const COMMIT_ENTRIES_MAX: usize = 1_000;
const COMMIT_PARTS_MAX: usize = 50_000;
/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 1_024;
/// The shortest text that is erased wherever it is, in bytes.
const TEXT_BYTES_MIN: usize = 3;
/// What still names the subject is told by so many examples.
const EXAMPLES_MAX: usize = 20;

/// Whom to erase.
#[derive(Debug, Clone)]
pub struct Erasure {
    /// Whoever is named as this object.
    pub subject: ObjectRef,
    /// A text that names it as well, such as a name; parts that hold it go too.
    pub text: Option<String>,
    /// Why. It may not name it.
    pub reason: String,
}

/// What is there to erase.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// How many entries name it.
    pub entries: u64,
    /// How many of their parts.
    pub parts: u64,
    /// What still names it and has to be deleted first: some of it.
    pub held: Vec<String>,
}

/// What was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// How many entries named it.
    pub entries: u64,
    /// How many of their parts.
    pub parts: u64,
    /// The last commit; none if there was nothing to erase.
    pub at: Option<Token>,
}

/// What an erasure would erase.
///
/// # Errors
/// [`Kind::Forbidden`] for a caller that may not erase; [`Kind::InvalidArgument`] if what stays on record of the erasure would name
/// whom it erases; as [`super::state`].
/// # Cost
/// All of the log is read.
pub async fn find(node: &Node, caller: &Caller, erasure: &Erasure) -> Result<Found, Error> {
    check(node, caller, erasure)?;
    let log = log(node)?;
    let mut found = Found {
        held: held(&node.current.load_full(), &erasure.subject),
        ..Found::default()
    };
    let until = log.state().await.map_err(unreadable)?.size;
    let erasure = Arc::new(erasure.clone());
    let mut from = 0;
    while let Some((batch, next)) = named(log, &erasure, (from, until)).await? {
        found.entries += batch.len() as u64;
        found.parts += parts(&batch);
        from = next;
    }
    Ok(found)
}

/// Erases, a part of the log with each commit: one that is interrupted is begun anew, and does what is left.
///
/// What is committed after it began is not looked at.
///
/// # Errors
/// As [`find`]; [`Kind::FailedPrecondition`] while a relationship or a lock names the subject.
pub async fn erase(node: &Node, caller: &Caller, erasure: &Erasure) -> Result<Erased, Error> {
    check(node, caller, erasure)?;
    let log = log(node)?;
    let mut erased = Erased {
        entries: 0,
        parts: 0,
        at: None,
    };
    // Not what comes meanwhile, its own entries among it.
    let until = log.state().await.map_err(unreadable)?.size;
    let erasure = Arc::new(erasure.clone());
    let mut from = 0;
    while let Some((batch, next)) = named(log, &erasure, (from, until)).await? {
        from = next;
        if batch.is_empty() {
            continue;
        }
        let metadata = Some(metadata(&erasure));
        let committed = write::commit_at_head(node, caller, (Vec::new(), metadata), |head| {
            let permit = Permit::at(node, caller, head.clone())?;
            permit.require(Action::Erase, Target::System)?;
            refuse_held(&held(head, &erasure.subject), &erasure.subject)?;
            Ok(vec![ChangeRequest::Erase(batch.clone())])
        });
        let committed = committed.await?;
        erased.entries += batch.len() as u64;
        erased.parts += parts(&batch);
        erased.at = Some(node.published(committed.revision, committed.hash).await?);
    }
    if erased.at.is_none() {
        refuse_held(
            &held(&node.current.load_full(), &erasure.subject),
            &erasure.subject,
        )?;
    }
    Ok(erased)
}

fn check(node: &Node, caller: &Caller, erasure: &Erasure) -> Result<(), Error> {
    Permit::of(node, caller)?.require(Action::Erase, Target::System)?;
    let invalid = |message: String| Err(Error::new(Kind::InvalidArgument, message));
    let bytes = erasure.reason.len();
    if !(1..=REASON_BYTES_MAX).contains(&bytes) {
        return invalid(format!(
            "an erasure has a reason of 1 to {REASON_BYTES_MAX} bytes, this has {bytes}"
        ));
    }
    let text = erasure.text.as_deref();
    if text.is_some_and(|text| text.len() < TEXT_BYTES_MIN) {
        return invalid(format!(
            "a text that is erased wherever it is has at least {TEXT_BYTES_MIN} bytes"
        ));
    }
    let has = |text: &str| erasure.reason.contains(text);
    if has(&erasure.subject.to_string()) || text.is_some_and(has) {
        return invalid(
            "the reason stays on record, so it may not name whom is erased; name a ticket"
                .to_owned(),
        );
    }
    let provenance = write::provenance(caller, Some(metadata(erasure)));
    for (part, called) in [
        (Part::Actor(provenance.actor), "who does it"),
        (Part::Reason(provenance.reason), "its reason"),
        (Part::Metadata(provenance.metadata), "its metadata"),
        (Part::Origin(provenance.origin), "where it comes from"),
    ] {
        if names(&part, erasure) {
            return invalid(format!(
                "the erasure stays on record, and {called} would name there whom is erased: erase as another, from elsewhere, or by another text"
            ));
        }
    }
    Ok(())
}

/// Why, as the entry of the erasure has it.
fn metadata(erasure: &Erasure) -> String {
    format!("{{\"reason\":{}}}", quoted(&erasure.reason))
}

fn names(part: &Part, erasure: &Erasure) -> bool {
    let text = erasure.text.as_deref();
    part.names(&erasure.subject) || text.is_some_and(|text| part.holds(text))
}

/// The parts of the next entries from `from` on that name it, and where to go on; none at the end.
async fn named(
    log: &dyn AuditLog,
    erasure: &Arc<Erasure>,
    (from, until): (u64, u64),
) -> Result<Option<(Vec<ErasedParts>, u64)>, Error> {
    let query = AuditQuery {
        from,
        entries_max: ENTRIES_MAX.min(COMMIT_ENTRIES_MAX),
        bytes_max: BYTES_MAX,
    };
    let mut entries = log.entries(query).await.map_err(unreadable)?;
    entries.retain(|entry| entry.index < until);
    if entries.is_empty() {
        return Ok(None);
    }
    let erasure = Arc::clone(erasure);
    // Entries may be large, and there are many.
    let looking = spawn_blocking(move || named_by(&entries, &erasure));
    let found = looking.await.map_err(|error| {
        Error::new(Kind::Internal, "the look through the audit log failed").caused_by(error)
    })?;
    Ok(Some(found))
}

/// The parts of these entries that name it, and the index after the last one that was looked at.
fn named_by(entries: &[Entry], erasure: &Erasure) -> (Vec<ErasedParts>, u64) {
    let (mut batch, mut next, mut count) = (Vec::new(), 0, 0);
    for entry in entries {
        if count >= COMMIT_PARTS_MAX {
            break;
        }
        next = entry.index.saturating_add(1);
        let Ok(body) = entry.body() else {
            continue;
        };
        let named = body.parts().filter(|(_, part)| names(part, erasure));
        let parts: Vec<u32> = named.map(|(number, _)| number).collect();
        count += parts.len();
        if !parts.is_empty() {
            batch.push(ErasedParts {
                index: entry.index,
                parts,
            });
        }
    }
    (batch, next)
}

fn parts(batch: &[ErasedParts]) -> u64 {
    batch
        .iter()
        .map(|of_entry| of_entry.parts.len() as u64)
        .sum()
}

/// What names the subject now.
fn held(current: &Published, subject: &ObjectRef) -> Vec<String> {
    let as_resource = RelationshipFilter {
        definition: Some(subject.definition.clone()),
        resource_id: Some(ResourceIdFilter::Exact(subject.id.clone())),
        ..RelationshipFilter::default()
    };
    let as_subject = RelationshipFilter {
        subject: Some(SubjectFilter {
            definition: subject.definition.clone(),
            id: Some(SubjectId::Object(subject.id.clone())),
            relation: SubjectRelationFilter::Any,
        }),
        ..RelationshipFilter::default()
    };
    let lock = current.records.access.locks.contains_key(subject);
    let lock = lock.then(|| format!("the lock of `{subject}`"));
    // Expired ones are there until housekeeping removes them, and the audit log says of that too.
    let rows = [&as_resource, &as_subject].map(|filter| current.snapshot.relationships(filter));
    let rows = rows.into_iter().flatten().map(|row| format!("`{row}`"));
    lock.into_iter().chain(rows).take(EXAMPLES_MAX).collect()
}

fn refuse_held(held: &[String], subject: &ObjectRef) -> Result<(), Error> {
    if held.is_empty() {
        return Ok(());
    }
    let message = format!(
        "`{subject}` is named still, by {}; delete that first",
        held.join(", ")
    );
    Err(Error::new(Kind::FailedPrecondition, message))
}

/// The text as JSON has it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_control() => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
