//! Histories: what clients asked and were told, and whether one order of commits explains all of it.
//!
//! Clients record each call with the instants at which it began and ended, all on one clock; [`check()`] holds the calls to
//! the log that the store had in the end. It is pure: where the calls came from, a simulation or machines that were
//! really cut off, is nothing to it.
//!
//! A store may have had several logs: where a standby that lagged took over, the end of the log was lost and its revisions
//! were given out again. Each is a [`Branch`]; that a commit is lost with one is no fault of a node, that a node goes on
//! with it is.

mod check;
pub mod draw;
mod fold;
mod logs;
mod text;

use std::time::Duration;

use model::{
    CommitHash, Decision, HistoryId, ObjectRef, RelationName, Relationship, RelationshipKey,
    RelationshipUpdate, Revision, StoreId, SubjectRef, Timestamp, Token,
};

pub use check::check;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The store and its history, which every token names.
    pub identity: (StoreId, HistoryId),
    /// The calls, in any order.
    pub operations: Vec<Operation>,
    /// The logs that the store had, the first one first. Usually there is one.
    pub branches: Vec<Branch>,
    /// Clocks that were off by more than nodes promise.
    pub jumps: Vec<Jump>,
    /// What the nodes promise.
    pub bounds: Bounds,
}

/// The clock of a node jumped. Until the node has to know, what it answers is judged by where the clock may be; then it has
/// to be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    /// Whose.
    pub node: usize,
    /// How far.
    pub by: Duration,
    /// When.
    pub at: Timestamp,
    /// From when on the node has to know.
    pub noticed: Timestamp,
    /// When the clock was set again.
    pub back: Timestamp,
}

/// What nodes promise about time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How far the clock of a node may be from the one that calls are recorded with.
    pub clock_offset_max: Duration,
    /// How long a node may answer without knowing what was committed.
    pub staleness_max: Duration,
    /// How long a derivation may be.
    pub depth_max: u16,
}

/// One log of the store, from its first entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// Since when it was the store's; until the next one is.
    pub since: Timestamp,
    /// Its entries.
    pub entries: Vec<Entry>,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The revision of the commit.
    pub revision: Revision,
    /// The time of the commit.
    pub time: Timestamp,
    /// The hash of the commit before it, as the entry has it.
    pub previous: CommitHash,
    /// The hash of the commit, as the entry has it.
    pub hash: CommitHash,
    /// The hash that its contents have.
    pub computed_hash: CommitHash,
    /// The name of the write, where it was one of the recorded ones; those of schemas are not.
    pub name: Option<String>,
    /// What changed: each relationship before and after.
    pub changes: Vec<(Option<Relationship>, Option<Relationship>)>,
    /// The schema's text, if it changed.
    pub schema: Option<String>,
}

/// One call of a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// A name of its own.
    pub name: String,
    /// Who asked; none for a write that was made at the store itself.
    pub node: Option<Serving>,
    /// When it was asked.
    pub begun: Timestamp,
    /// When it was answered, or given up.
    pub ended: Timestamp,
    /// What was asked and answered.
    pub call: Call,
}

/// A node, from one of its starts to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serving {
    /// Which node.
    pub node: usize,
    /// How many times it had been started before.
    pub starts: usize,
}

/// What was asked, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// Changes.
    Write {
        /// Those asked for, each of another relationship.
        updates: Vec<RelationshipUpdate>,
        /// What came of it.
        result: Written,
    },
    /// A question without conditions.
    Check {
        /// What is asked about.
        question: Question,
        /// On which snapshot.
        freshness: Freshness,
        /// What came of it.
        result: Checked,
    },
}

/// What is asked in a check.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What is to be accessed.
    pub resource: ObjectRef,
    /// The permission or relation.
    pub member: RelationName,
    /// Who is to access it.
    pub subject: SubjectRef,
}

/// On which snapshot a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// The newest that the node has.
    MinimizeLatency,
    /// That of the token, or a later one.
    AtLeastAsFresh(Token),
    /// That of the token.
    AtExactSnapshot(Token),
    /// All that was committed when the question was asked, or later.
    FullyConsistent,
}

/// What came of a write.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// It is committed.
    Acknowledged(Token),
    /// It changed nothing.
    Refused {
        /// The relationship that was to be created and is there, if that is why.
        existing: Option<RelationshipKey>,
        /// Why, in words.
        why: String,
    },
    /// Nobody told.
    Unknown,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq)]
pub enum Checked {
    /// It was decided.
    Answered {
        /// The decision.
        decision: Decision,
        /// The snapshot that it holds for.
        at: Token,
    },
    /// There is no answer.
    Failed(String),
}

/// What no order of commits explains, or what breaks a promise.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// The rule that is broken.
    pub rule: Rule,
    /// Why, in words.
    pub why: String,
    /// The calls that show it.
    pub operations: Vec<Operation>,
}

/// What has to hold of every history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The entries of a log follow each other: revisions, hashes, times, and what each one replaced.
    LogIsSound,
    /// An acknowledged write is in the log where its token says.
    AcknowledgedIsKept,
    /// A refused write is nowhere, and nothing is there that nobody wrote.
    OnlyWritesAreThere,
    /// A write is there once.
    WrittenOnce,
    /// A write changed what it was to change, by the relationships before it.
    WrittenAsAsked,
    /// A relationship that is said to exist did so meanwhile.
    RefusedForAReason,
    /// A write comes after every commit that was known when it began.
    WritesInOrder,
    /// A token is one of a commit.
    TokensAreOfCommits,
    /// No snapshot of a lost branch is answered from once the node can know.
    NoLostBranch,
    /// An answer is that of the naive evaluator on its snapshot.
    AnswersAreRight,
    /// Expirations are judged by the present instant, and commits are not ahead of it, to the bound of the clocks.
    ClocksAreNear,
    /// A node that has to know that its clock is off answers nothing.
    WrongClocksAreSilent,
    /// At least as fresh as a token: the token's commit is in the answer's past.
    AtLeastAsFresh,
    /// At an exact snapshot: that one.
    ExactSnapshot,
    /// Fully consistent: every commit that was known before is in the answer's past.
    FullyConsistent,
    /// Every answer knows what was committed up to the bound of staleness.
    NotStale,
    /// What a node showed or acknowledged is in the past of what it answers later.
    NodesNeverGoBack,
}

impl History {
    /// How far the clock of whoever was asked may have been off.
    fn clock_offset_max(&self, call: &Operation) -> Duration {
        let was_off = |jump: &&Jump| {
            call.node.is_some_and(|serving| serving.node == jump.node)
                && jump.at <= call.ended
                && call.begun <= jump.back
        };
        let jump = self.jumps.iter().find(was_off);
        self.bounds.clock_offset_max + jump.map_or(Duration::ZERO, |jump| jump.by)
    }
}

impl Operation {
    /// What became of it, in a word or two: of a check, how fresh it was asked to be.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.call {
            Call::Write { result, .. } => match result {
                Written::Acknowledged(_) => "acknowledged",
                Written::Refused { .. } => "refused",
                Written::Unknown => "unknown",
            },
            Call::Check {
                freshness, result, ..
            } => match (result, freshness) {
                (Checked::Failed(_), _) => "failed",
                (Checked::Answered { .. }, Freshness::MinimizeLatency) => "minimize latency",
                (Checked::Answered { .. }, Freshness::AtLeastAsFresh(_)) => "at least as fresh",
                (Checked::Answered { .. }, Freshness::AtExactSnapshot(_)) => "exactly",
                (Checked::Answered { .. }, Freshness::FullyConsistent) => "fully consistent",
            },
        }
    }

    /// The token that it ended with.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        match &self.call {
            Call::Write {
                result: Written::Acknowledged(at),
                ..
            }
            | Call::Check {
                result: Checked::Answered { at, .. },
                ..
            } => Some(*at),
            Call::Write {
                result: Written::Refused { .. } | Written::Unknown,
                ..
            }
            | Call::Check {
                result: Checked::Failed(_),
                ..
            } => None,
        }
    }
}

#[cfg(test)]
mod tests;
