//! What was decided, told to whoever keeps a record of it.
//!
//! Every operation that answers questions tells each of its answers to the [`Recorder`] of the node, if there is one, before it
//! gives it. What is told is borrowed, and telling it must cost next to nothing: a recorder copies what it wants and waits for nobody.
//! Not told are look-ups, expansions and explanations, which answer no single question, and what is replayed.

use std::fmt;
use std::time::{Duration, Instant};

use identity::Caller;
use model::{Context, Decision, ObjectRef, Revision, SubjectRef, Timestamp, Token};

use crate::check::Question;
use crate::consistency::{Consistency, View};
use crate::error::Error;
use crate::node::Node;

/// Who keeps a record of decisions.
pub trait Recorder: fmt::Debug + Send + Sync {
    /// Takes note of a decision. It is called on the thread that answers, so it waits for nothing.
    fn record(&self, decided: &Decided<'_>);
}

/// One question, and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct Decided<'a> {
    /// Who asked, and by which way.
    pub caller: &'a Caller,
    /// What was asked.
    pub asked: Asked<'a>,
    /// How fresh the answer had to be.
    pub consistency: Consistency,
    /// What the answer was worked out from; none where it did not come to that.
    pub seen: Option<Seen>,
    /// The answer.
    pub outcome: Result<&'a Decision, &'a Error>,
    /// When.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
}

/// A question, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What is to be accessed.
    pub resource: &'a ObjectRef,
    /// The permission; any text.
    pub permission: &'a str,
    /// Who is to access it.
    pub subject: &'a SubjectRef,
    /// Values for the parameters of caveats.
    pub context: &'a Context,
}

/// What an answer was worked out from: with the question, all that it takes to come to it again.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// The snapshot.
    pub token: Token,
    /// The instant at which expirations were judged.
    pub now: Timestamp,
    /// The revision of the schema, if the node can tell.
    pub schema: Option<Revision>,
    /// Whether the subject was locked.
    pub lock: LockSeen,
}

/// Whether a subject was locked, by the newest that the node knew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockSeen {
    /// Whether it was.
    pub is_locked: bool,
    /// The revision of which that was known: that of the snapshot, or a later one.
    pub at: Revision,
    pub(crate) schema: Revision,
}

impl<'a> From<&'a Question> for Asked<'a> {
    fn from(question: &'a Question) -> Self {
        Self {
            resource: &question.resource,
            permission: &question.permission,
            subject: &question.subject,
            context: &question.context,
        }
    }
}

/// Tells the recorder of a node, if there is one, what one call decides.
#[derive(Clone, Copy)]
pub(crate) struct Noting<'a> {
    node: &'a Node,
    caller: &'a Caller,
    consistency: Consistency,
    recorder: Option<&'a dyn Recorder>,
}

impl<'a> Noting<'a> {
    pub(crate) fn of(node: &'a Node, caller: &'a Caller, consistency: Consistency) -> Self {
        Self {
            node,
            caller,
            consistency,
            recorder: node.settings().decisions.as_deref(),
        }
    }

    /// The start of what is timed; none if nobody wants to know.
    pub(crate) fn started(&self) -> Option<Instant> {
        self.recorder.map(|_| Instant::now())
    }

    /// Tells what was decided, or why it could not be evaluated.
    pub(crate) fn decided(
        &self,
        asked: Asked<'_>,
        (view, lock): (&View, LockSeen),
        outcome: Result<&Decision, &Error>,
        started: Option<Instant>,
    ) {
        let Some(recorder) = self.recorder else {
            return;
        };
        // Between the two there was no other schema.
        let is_of_schema = (lock.schema..=lock.at).contains(&view.token.revision);
        let seen = Seen {
            token: view.token,
            now: view.now,
            schema: is_of_schema.then_some(lock.schema),
            lock,
        };
        self.tell(recorder, asked, Some(seen), outcome, started);
    }

    /// Tells that a question was refused before it was looked at: by whom the caller is, or for want of a snapshot.
    pub(crate) fn refused<'q>(
        &self,
        asked: impl IntoIterator<Item = Asked<'q>>,
        error: &Error,
        started: Option<Instant>,
    ) {
        let Some(recorder) = self.recorder else {
            return;
        };
        for asked in asked {
            self.tell(recorder, asked, None, Err(error), started);
        }
    }

    fn tell(
        &self,
        recorder: &dyn Recorder,
        asked: Asked<'_>,
        seen: Option<Seen>,
        outcome: Result<&Decision, &Error>,
        started: Option<Instant>,
    ) {
        recorder.record(&Decided {
            caller: self.caller,
            asked,
            consistency: self.consistency,
            seen,
            outcome,
            at: self.node.clock().now(),
            took: started.map_or(Duration::ZERO, |started| started.elapsed()),
        });
    }
}
