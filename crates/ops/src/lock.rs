//! Locks: one commit denies a subject everything, without deleting a relationship.
//!
//! A locked subject has no permission on anything, whatever snapshot is asked, and may not call. That holds on every node from the
//! commit on, as far as the node has taken it in. What it had, it has again when it is unlocked.

use std::collections::BTreeMap;

use identity::Caller;
use model::{DefinitionName, ObjectRef, SubjectId, SubjectRef, Token};
use store::{ChangeRequest, RecordKey};

use crate::access::{self, Action, Permit, Target};
use crate::consistency::Consistency;
use crate::decisions::LockSeen;
use crate::error::{Error, Kind};
use crate::node::Node;
use crate::write;

/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 1_024;
/// Subjects that can be locked at once.
const LOCKS_MAX: usize = 10_000;

/// A locked subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Who is locked.
    pub subject: ObjectRef,
    /// Why.
    pub reason: String,
}

/// Locks a subject, durably. One that is locked already gets the new reason.
///
/// # Errors
/// [`Kind::Forbidden`] for a caller that may not lock, or may not lock an administrator; [`Error`] for a reason that is empty or too
/// long, and past 10,000 locks.
pub async fn lock(
    node: &Node,
    caller: &Caller,
    subject: &ObjectRef,
    reason: &str,
) -> Result<Token, Error> {
    let bytes = reason.len();
    if !(1..=REASON_BYTES_MAX).contains(&bytes) {
        let message =
            format!("a lock has a reason of 1 to {REASON_BYTES_MAX} bytes, this has {bytes}");
        return Err(Error::new(Kind::InvalidArgument, message));
    }
    change(node, caller, subject, Some(reason)).await
}

/// Unlocks a subject, durably.
///
/// # Errors
/// [`Kind::Forbidden`] for a caller that may not lock, [`Kind::NotFound`] for a subject that is not locked.
pub async fn unlock(node: &Node, caller: &Caller, subject: &ObjectRef) -> Result<Token, Error> {
    change(node, caller, subject, None).await
}

/// Who is locked, in the order of the subjects, and the token of the snapshot.
///
/// # Errors
/// [`Kind::Forbidden`] for a caller that may not lock; the errors of [`Node::view`].
pub async fn list(
    node: &Node,
    caller: &Caller,
    consistency: Consistency,
) -> Result<(Vec<Lock>, Token), Error> {
    // What was asked for, or newer: who is locked now is what counts.
    let (_, permit) = Permit::with_view(node, caller, consistency).await?;
    permit.require(Action::Lock, Target::System)?;
    let (view, records) = node.view_with_records();
    let locks = records.access.locks.iter().map(|(subject, reason)| Lock {
        subject: subject.clone(),
        reason: reason.clone(),
    });
    Ok((locks.collect(), view.token))
}

async fn change(
    node: &Node,
    caller: &Caller,
    subject: &ObjectRef,
    reason: Option<&str>,
) -> Result<Token, Error> {
    let key = RecordKey::new(access::LOCK_KIND, &subject.to_string())
        .map_err(|error| Error::new(Kind::InvalidArgument, error.to_string()))?;
    let more = (Vec::new(), None);
    let committed = write::commit_at_head(node, caller, more, |head| {
        let permit = Permit::at(node, caller, head.clone())?;
        permit.require(Action::Lock, Target::System)?;
        let locks = &head.records.access.locks;
        if reason.is_none() && !locks.contains_key(subject) {
            let message = format!("`{subject}` is not locked");
            return Err(Error::new(Kind::NotFound, message));
        }
        if reason.is_some() && locks.len() >= LOCKS_MAX && !locks.contains_key(subject) {
            let message = format!("{LOCKS_MAX} subjects are locked already");
            return Err(Error::new(Kind::LimitExceeded, message));
        }
        // Who may lock is not to take the system from those who administer it.
        permit.require_power_over(subject)?;
        Ok(vec![ChangeRequest::Record {
            key: key.clone(),
            value: reason.map(|reason| reason.as_bytes().to_vec()),
        }])
    })
    .await?;
    node.published(committed.revision, committed.hash).await
}

impl Node {
    /// Why a subject is locked; none if it is not.
    pub(crate) fn locked(&self, subject: &SubjectRef) -> Option<String> {
        let current = self.current.load();
        reason(&current.records.access.locks, subject).cloned()
    }

    /// Whether a subject is locked, and as of when that is known.
    pub(crate) fn lock_seen(&self, subject: &SubjectRef) -> LockSeen {
        let current = self.current.load();
        LockSeen {
            is_locked: reason(&current.records.access.locks, subject).is_some(),
            at: current.snapshot.revision(),
            schema: current.schema_revision,
        }
    }

    /// The ids of the objects of a definition that are locked.
    pub(crate) fn locked_of(&self, definition: &DefinitionName) -> Vec<model::ObjectId> {
        let current = self.current.load();
        let locks = current.records.access.locks.keys();
        locks
            .filter(|subject| subject.definition == *definition)
            .map(|subject| subject.id.clone())
            .collect()
    }
}

fn reason<'l>(locks: &'l BTreeMap<ObjectRef, String>, subject: &SubjectRef) -> Option<&'l String> {
    if locks.is_empty() {
        return None;
    }
    let SubjectId::Object(id) = &subject.id else {
        return None;
    };
    locks.get(&ObjectRef {
        definition: subject.definition.clone(),
        id: id.clone(),
    })
}
