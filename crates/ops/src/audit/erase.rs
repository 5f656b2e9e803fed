//! Erasing somebody: all parts of all entries that name it go, and an entry says which.
//!
//! What still holds, a relationship or a lock, is not erased from under it: it is deleted first, which is an act of its own. The log of
//! commits keeps what it has until it is trimmed.

use identity::Caller;
use model::{
    ObjectRef, RelationshipFilter, ResourceIdFilter, SubjectFilter, SubjectId,
    SubjectRelationFilter, Token,
};
use store::audit::{AuditQuery, ErasedParts};
use store::{AuditLog, ChangeRequest};

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
/// [`Kind::Forbidden`] for a caller that may not erase; as [`super::state`].
/// # Cost
/// All of the log is read.
pub async fn find(node: &Node, caller: &Caller, erasure: &Erasure) -> Result<Found, Error> {
    check(node, caller, erasure)?;
    let log = log(node)?;
    let mut found = Found {
        held: held(&node.current.load_full(), &erasure.subject),
        ..Found::default()
    };
    let mut from = 0;
    while let Some((batch, next)) = named(log, erasure, from).await? {
        found.entries += batch.len() as u64;
        found.parts += parts(&batch);
        from = next;
    }
    Ok(found)
}

/// Erases, a part of the log with each commit: one that is interrupted is begun anew, and does what is left.
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
    let mut from = 0;
    // What was committed meanwhile comes at the end, and names it no more once the last look found nothing.
    while let Some((batch, next)) = named(log, erasure, from).await? {
        from = next;
        if batch.is_empty() {
            continue;
        }
        let metadata = Some(format!("{{\"reason\":{}}}", quoted(&erasure.reason)));
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
    let names = |text: &str| erasure.reason.contains(text);
    if names(&erasure.subject.to_string()) || text.is_some_and(names) {
        return invalid(
            "the reason stays on record, so it may not name whom is erased; name a ticket"
                .to_owned(),
        );
    }
    Ok(())
}

/// The parts of the next entries from `from` on that name it, and where to go on; none at the end of the log.
async fn named(
    log: &dyn AuditLog,
    erasure: &Erasure,
    from: u64,
) -> Result<Option<(Vec<ErasedParts>, u64)>, Error> {
    let query = AuditQuery {
        from,
        entries_max: ENTRIES_MAX.min(COMMIT_ENTRIES_MAX),
        bytes_max: BYTES_MAX,
    };
    let entries = log.entries(query).await.map_err(unreadable)?;
    if entries.is_empty() {
        return Ok(None);
    }
    let (mut batch, mut next, mut count) = (Vec::new(), from, 0);
    for entry in entries {
        if count >= COMMIT_PARTS_MAX {
            break;
        }
        next = entry.index.saturating_add(1);
        let Ok(body) = entry.body() else {
            continue;
        };
        let text = erasure.text.as_deref();
        let named = body.parts().filter(|(_, part)| {
            part.names(&erasure.subject) || text.is_some_and(|text| part.holds(text))
        });
        let parts: Vec<u32> = named.map(|(number, _)| number).collect();
        count += parts.len();
        if !parts.is_empty() {
            batch.push(ErasedParts {
                index: entry.index,
                parts,
            });
        }
    }
    Ok(Some((batch, next)))
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
