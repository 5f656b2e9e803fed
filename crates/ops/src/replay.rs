//! What was decided, once more: on the snapshot, at the instant and by the locks that a record of it names.
//!
//! Whoever replays learns what held in the past: what has expired since, and who was locked. So it takes the right to see what the
//! permission rests on, as an explanation does. What the caller of then might do is not judged again.

use identity::Caller;
use model::{Decision, ObjectRef, Revision, SubjectId, SubjectRef, Timestamp};
use store::{LogError, LogQuery};

use crate::access::{LOCK_KIND, Permit};
use crate::check::{self, Answered, Question};
use crate::clock_offset::NODES_APART_MAX;
use crate::consistency::{Consistency, View, later};
use crate::decisions::LockSeen;
use crate::error::{Error, Kind};
use crate::node::Node;

/// Lock changes that are kept in memory for replaying; each is some hundred bytes.
const CHANGES_MAX: usize = 100_000;
/// A page of the log, in entries and in bytes.
const ENTRIES_MAX: usize = 1_000;
const BYTES_MAX: usize = 8 << 20;

/// What is to be decided once more.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The question.
    pub question: Question,
    /// The snapshot of the decision.
    pub at: model::Token,
    /// Its instant.
    pub now: Timestamp,
    /// The revision as of which it was known who is locked, not before that of the snapshot; that one, if it is not told.
    pub locks_at: Option<Revision>,
}

/// What it comes to.
#[derive(Debug)]
pub struct Replayed {
    /// The decision, or why it fails.
    pub decision: Result<Decision, Error>,
    /// Whether the subject was locked.
    pub is_locked: bool,
}

/// Decides once more what was decided.
///
/// # Errors
/// [`Kind::RevisionGone`] for a snapshot that is no longer retained, [`Kind::Forbidden`] as for [`check::explain`],
/// [`Kind::InvalidArgument`] for an instant before the snapshot or in the future and for locks of before the snapshot. A failure of the
/// evaluation is an answer.
/// # Cost
/// That of a check on an exact snapshot; the first one also reads the log from the snapshot on, for locks.
pub async fn replay(
    node: &Node,
    caller: &Caller,
    replay: &Replay,
) -> Result<Answered<Replayed>, Error> {
    let exactly = Consistency::AtExactSnapshot(replay.at);
    let (view, permit) = Permit::with_view(node, caller, exactly).await?;
    let question = &replay.question;
    check::admit_explanation(&permit, &view, question)?;
    if replay.now < view.snapshot.time() || replay.now > later(node.now(), NODES_APART_MAX) {
        let message = format!(
            "`now` has to be an instant from that of the snapshot's commit ({}) to the present",
            view.snapshot.time()
        );
        return Err(Error::new(Kind::InvalidArgument, message));
    }
    let at = replay.locks_at.unwrap_or(view.token.revision);
    if at < view.token.revision {
        let message = format!(
            "`locks_at` has to be the revision of the snapshot ({}) or a later one, this is {}",
            view.token.revision.0, at.0
        );
        return Err(Error::new(Kind::InvalidArgument, message));
    }
    let lock = LockSeen {
        is_locked: was_locked(node, &question.subject, at).await?,
        at,
        schema: view.token.revision,
    };
    let view = View {
        now: replay.now,
        ..view
    };
    let query = check::resolve(node, &view, question);
    let decided = |query| check::decide_resolved(node, &view, &query, (question, lock));
    Ok(Answered {
        answer: Replayed {
            decision: query.and_then(decided),
            is_locked: lock.is_locked,
        },
        at: view.token,
    })
}

/// Changes of locks that the log tells of, between two revisions.
#[derive(Debug, Default)]
pub(crate) struct LockLog {
    /// After which revision, and up to which, all are here.
    covered: Option<(Revision, Revision)>,
    /// Whose lock changed with which revision, and whether it was locked before; in order.
    changes: Vec<(Revision, ObjectRef, bool)>,
}

impl LockLog {
    /// Takes in the log after `after` up to `upto`, as far as that is not here.
    async fn cover(&mut self, node: &Node, after: Revision, upto: Revision) -> Result<(), Error> {
        let (begins, ends) = match self.covered {
            Some((begins, ends)) if after <= ends => (begins, ends),
            Some(_) | None => {
                self.changes.clear();
                self.covered = None;
                (upto, upto)
            }
        };
        let mut changes = Vec::new();
        if after < begins {
            changes = between(node, after, begins, CHANGES_MAX).await?;
        }
        let left = CHANGES_MAX.saturating_sub(changes.len() + self.changes.len());
        let newer = if ends < upto {
            between(node, ends, upto, left).await?
        } else {
            Vec::new()
        };
        changes.append(&mut self.changes);
        changes.extend(newer);
        self.changes = changes;
        self.covered = Some((begins.min(after), ends.max(upto)));
        Ok(())
    }

    /// What the first change of a subject's lock after `at` found.
    fn before_next(&self, subject: &ObjectRef, at: Revision, upto: Revision) -> Option<bool> {
        let begin = self.changes.partition_point(|(changed, ..)| *changed <= at);
        let mut later = self.changes.iter().skip(begin);
        let next = later.find(|(changed, of, _)| of == subject && *changed <= upto);
        next.map(|(.., before)| *before)
    }
}

/// Whether a subject was locked, as of a revision.
async fn was_locked(node: &Node, subject: &SubjectRef, at: Revision) -> Result<bool, Error> {
    let SubjectId::Object(id) = &subject.id else {
        return Ok(false);
    };
    node.reached(at).await?;
    let object = ObjectRef {
        definition: subject.definition.clone(),
        id: id.clone(),
    };
    let present = node.lock_seen(subject);
    let mut log = node.lock_log.lock().await;
    log.cover(node, at, present.at).await?;
    let then = log.before_next(&object, at, present.at);
    Ok(then.unwrap_or(present.is_locked))
}

/// The changes of locks in the log after one revision up to another.
async fn between(
    node: &Node,
    mut after: Revision,
    upto: Revision,
    changes_max: usize,
) -> Result<Vec<(Revision, ObjectRef, bool)>, Error> {
    let mut changes = Vec::new();
    while after < upto {
        let query = LogQuery {
            after,
            entries_max: ENTRIES_MAX,
            bytes_max: BYTES_MAX,
        };
        let page = node.store().log(query).await.map_err(unreadable)?;
        let Some(newest) = page.last() else {
            break;
        };
        after = newest.revision;
        for entry in page.iter().filter(|entry| entry.revision <= upto) {
            let of_locks = entry.records.iter();
            for change in of_locks.filter(|change| change.key.kind() == LOCK_KIND) {
                if let Ok(subject) = change.key.key().parse() {
                    changes.push((entry.revision, subject, change.before.is_some()));
                }
            }
        }
        if changes.len() > changes_max {
            let message = format!(
                "over {CHANGES_MAX} subjects were locked or unlocked since the snapshot, which is more than can be replayed over"
            );
            return Err(Error::new(Kind::LimitExceeded, message));
        }
    }
    Ok(changes)
}

fn unreadable(error: LogError) -> Error {
    match error {
        LogError::Trimmed { .. } => {
            let message = "the log of who was locked is no longer kept back to that revision";
            Error::new(Kind::RevisionGone, message).caused_by(error)
        }
        LogError::BeyondHead { .. } | LogError::NewerFormat { .. } | LogError::Store(_) => {
            let message = "the log of the store cannot be read";
            Error::new(Kind::Unavailable, message).caused_by(error)
        }
    }
}
