//! An access request, from being asked to the end of what it gave: the record, and the machine that changes it.
//!
//! [`step`] is the one way from one record to the next: the record before, an [`Event`], the instant and what the engine
//! says ([`Facts`], asked by [`questions`]) make the record after and [`Effect`]s, or a [`Refusal`]. Which event is taken in
//! which state stands in [`TABLE`] and nowhere else. `guard` says who may do what, and is what both `step` and
//! [`allowed_actions`] ask; `recheck` is what has to hold wherever something becomes active. [`due`] says what comes by time.
//!
//! INVARIANT: what was granted is within what was asked; a grant is never longer than the entitlement that is pinned lets it be;
//! a state that ends is final.

mod actions;
mod approve;
mod due;
mod event;
mod facts;
mod guard;
mod open;
mod questions;
mod recheck;
mod refusal;
mod running;
mod step;
mod submit;
mod table;

use std::collections::BTreeSet;

use model::{ObjectRef, SubjectId, SubjectRef, Timestamp};
use serde::{Deserialize, Serialize};

pub use actions::{Action, allowed_actions};
pub use due::{Due, due};
pub use event::{Actor, Event, EventKind, Narrowing, Submission};
pub use facts::Facts;
pub use questions::{questions, questions_of};
pub use refusal::{LockedRole, OwnRole, Refusal};
pub use step::{Effect, step};
pub use submit::{Preview, PreviewStep, preview};
pub use table::{Row, TABLE};

use crate::authority::resolved;
use crate::entitlement::{Entitlement, Version};
use crate::names::{Access, RequestId};
use crate::record::{self, RecordError};
use crate::span::Span;
use crate::text;

/// Most relations of resources that one request asks for.
pub const ACCESS_MAX: usize = 16;
/// Longest reason or note, in bytes.
pub const REASON_BYTES_MAX: usize = 2_000;
/// Longest name of a ticket, in bytes.
pub const TICKET_BYTES_MAX: usize = 256;
/// Most entries of a history. Past it a request takes no events but those that end or suspend it.
pub const HISTORY_MAX: usize = 256;
/// Most decisions of one round of approval, those that no longer count included.
pub const DECISIONS_MAX: usize = 64;

/// An access request with all that became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessRequest {
    #[serde(with = "text::one")]
    id: RequestId,
    #[serde(with = "text::one")]
    requester: ObjectRef,
    #[serde(with = "text::one")]
    beneficiary: SubjectRef,
    /// As it was when the request was made, or restarted.
    pinned: Entitlement,
    kind: Kind,
    reason: String,
    ticket: Option<String>,
    asked: Terms,
    granted: Terms,
    #[serde(with = "text::one")]
    submitted_at: Timestamp,
    #[serde(with = "text::one")]
    changed_at: Timestamp,
    approval: Round,
    state: State,
    history: Vec<Entry>,
}

/// By which way a request gets its grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// By approval.
    Ordinary,
    /// At once, in an emergency, for a short time; looked at afterwards.
    BreakGlass,
}

/// What is asked for, or granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// To what.
    #[serde(with = "text::set")]
    pub access: BTreeSet<Access>,
    /// For how long, from the activation on.
    #[serde(with = "text::one")]
    pub length: Span,
    /// Not before; none for as soon as can be.
    #[serde(with = "text::maybe")]
    pub starts_at: Option<Timestamp>,
}

/// A round of approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// Since when it waits.
    #[serde(with = "text::one")]
    pub opened_at: Timestamp,
    /// Until when.
    #[serde(with = "text::one")]
    pub until: Timestamp,
    /// The approvals.
    pub decisions: Vec<Decision>,
    /// How many reminders there were.
    pub reminded: u16,
    /// Whether others were told that it waits for long.
    pub escalated: bool,
}

/// An approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Whose.
    #[serde(with = "text::one")]
    pub by: ObjectRef,
    /// For which step, by number.
    pub step: u16,
    /// When.
    #[serde(with = "text::one")]
    pub at: Timestamp,
    /// What they left of what was asked for, where they narrowed it.
    pub narrowed: Option<Terms>,
    /// What they said.
    pub note: String,
    /// Since when it does not count, for they may no longer approve. That is for good.
    #[serde(with = "text::maybe")]
    pub fallen_at: Option<Timestamp>,
}

/// Where a request is, with what only such a request has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum State {
    /// It waits for approvals.
    Pending,
    /// It is approved and gives nothing yet: it waits for its start, or its holder, and for all to be looked at again.
    Approved {
        /// Until when it can be activated.
        #[serde(with = "text::one")]
        until: Timestamp,
    },
    /// It gives access.
    Active(Grant),
    /// It gives none for now, while its time goes on.
    Suspended(Grant),
    /// It is over.
    Closed {
        /// How.
        outcome: Outcome,
        /// What it had given, if it was ever active.
        grant: Option<Grant>,
    },
}

/// What an active request has given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Since when.
    #[serde(with = "text::one")]
    pub since: Timestamp,
    /// Until when.
    #[serde(with = "text::one")]
    pub until: Timestamp,
    /// Extensions without a decision.
    pub automatic: u16,
    /// Whether an approver has said how long, by leaving less or by a no: from then on each extension is a decision.
    pub by_decision: bool,
    /// Whether its holder was told that it ends soon.
    pub warned: bool,
    /// An extension that waits for a decision.
    pub extension: Option<Wish>,
}

/// An extension that waits for a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// By how much, as narrowed so far.
    #[serde(with = "text::one")]
    pub length: Span,
    /// Its approvals.
    pub round: Round,
}

/// How a request was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An approver said no.
    Denied,
    /// Nobody decided, or activated it, in time.
    Expired,
    /// Who asked no longer wants it.
    Cancelled,
    /// Its holder gave it back.
    Returned,
    /// Somebody took it away.
    Revoked,
    /// What was approved no longer held when it was to become active.
    ActivationFailed,
    /// Its time was over.
    Ended,
}

/// The name of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "see `State` and `Outcome`")]
pub enum StateKind {
    Pending,
    Approved,
    Active,
    Suspended,
    Denied,
    Expired,
    Cancelled,
    Returned,
    Revoked,
    ActivationFailed,
    Ended,
}

/// One event of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When.
    #[serde(with = "text::one")]
    pub at: Timestamp,
    /// What.
    pub event: EventKind,
    /// By whom; none for Remit itself.
    #[serde(with = "text::maybe")]
    pub by: Option<ObjectRef>,
    /// The state after it.
    pub state: StateKind,
    /// What they said, or why something failed.
    pub note: String,
}

impl StateKind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Pending,
        Self::Approved,
        Self::Active,
        Self::Suspended,
        Self::Denied,
        Self::Expired,
        Self::Cancelled,
        Self::Returned,
        Self::Revoked,
        Self::ActivationFailed,
        Self::Ended,
    ];
}

impl From<Outcome> for StateKind {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Denied => Self::Denied,
            Outcome::Expired => Self::Expired,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Returned => Self::Returned,
            Outcome::Revoked => Self::Revoked,
            Outcome::ActivationFailed => Self::ActivationFailed,
            Outcome::Ended => Self::Ended,
        }
    }
}

impl State {
    /// Its name.
    #[must_use]
    pub fn kind(&self) -> StateKind {
        match self {
            Self::Pending => StateKind::Pending,
            Self::Approved { .. } => StateKind::Approved,
            Self::Active(_) => StateKind::Active,
            Self::Suspended(_) => StateKind::Suspended,
            Self::Closed { outcome, .. } => (*outcome).into(),
        }
    }

    /// What it gives or gave.
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        match self {
            Self::Pending | Self::Approved { .. } => None,
            Self::Active(grant) | Self::Suspended(grant) => Some(grant),
            Self::Closed { grant, .. } => grant.as_ref(),
        }
    }
}

impl Terms {
    /// The resources.
    #[must_use]
    pub fn resources(&self) -> BTreeSet<&ObjectRef> {
        self.access.iter().map(|access| &access.resource).collect()
    }

    /// Whether all of it is in `other`.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.access.is_subset(&other.access) && self.length <= other.length
    }
}

/// What is to be read of a request.
impl AccessRequest {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &RequestId {
        &self.id
    }

    /// Who asked.
    #[must_use]
    pub fn requester(&self) -> &ObjectRef {
        &self.requester
    }

    /// Who is to be given access.
    #[must_use]
    pub fn beneficiary(&self) -> &SubjectRef {
        &self.beneficiary
    }

    /// The entitlement as it was when the request was made, or restarted.
    #[must_use]
    pub fn entitlement(&self) -> &Entitlement {
        &self.pinned
    }

    /// The version of it.
    #[must_use]
    pub fn version(&self) -> Version {
        self.pinned.version()
    }

    /// By which way it gets its grant.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Why access is asked for.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The ticket that it is for.
    #[must_use]
    pub fn ticket(&self) -> Option<&str> {
        self.ticket.as_deref()
    }

    /// What was asked for.
    #[must_use]
    pub fn asked(&self) -> &Terms {
        &self.asked
    }

    /// What approvers left of it.
    #[must_use]
    pub fn granted(&self) -> &Terms {
        &self.granted
    }

    /// When it was made.
    #[must_use]
    pub fn submitted_at(&self) -> Timestamp {
        self.submitted_at
    }

    /// When something last became of it.
    #[must_use]
    pub fn changed_at(&self) -> Timestamp {
        self.changed_at
    }

    /// The round of approval.
    #[must_use]
    pub fn approval(&self) -> &Round {
        &self.approval
    }

    /// Where it is.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What became of it, from the first event on.
    #[must_use]
    pub fn history(&self) -> &[Entry] {
        &self.history
    }

    /// The instant from which it takes no event but [`Event::Expire`]; none where it is over.
    #[must_use]
    pub fn limit(&self) -> Option<Timestamp> {
        match &self.state {
            State::Pending => Some(self.approval.until),
            State::Approved { until } => Some(*until),
            State::Active(grant) | State::Suspended(grant) => Some(grant.until),
            State::Closed { .. } => None,
        }
    }

    /// Whether `person` is who asked, or whom it is for.
    fn is_party(&self, person: &ObjectRef) -> bool {
        self.requester == *person || self.beneficiary == SubjectRef::from(person.clone())
    }

    /// The object of the beneficiary. There always is one: no wildcard is given anything.
    fn beneficiary_object(&self) -> Option<ObjectRef> {
        match &self.beneficiary.id {
            SubjectId::Wildcard => None,
            SubjectId::Object(id) => Some(ObjectRef {
                definition: self.beneficiary.definition.clone(),
                id: id.clone(),
            }),
        }
    }

    fn parties(&self) -> BTreeSet<SubjectRef> {
        BTreeSet::from([self.requester.clone().into(), self.beneficiary.clone()])
    }

    fn owners(&self) -> BTreeSet<SubjectRef> {
        resolved(&self.pinned.owners, &self.granted.resources())
    }

    /// Who may approve step `ix`.
    fn approvers(&self, ix: usize) -> BTreeSet<SubjectRef> {
        let step = self.pinned.steps.get(ix);
        let approvers = step.into_iter().flat_map(|step| &step.approvers);
        resolved(approvers, &self.granted.resources())
    }

    fn all_approvers(&self) -> BTreeSet<SubjectRef> {
        let approvers = self.pinned.steps.iter().flat_map(|step| &step.approvers);
        resolved(approvers, &self.granted.resources())
    }
}

/// Records.
impl AccessRequest {
    /// The record of it: versioned JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        record::write("access_request", self)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`RecordError`] where it is none of this version, has a field that is not known, or breaks a rule.
    pub fn from_json(text: &str) -> Result<Self, RecordError> {
        let request: Self = record::read("access_request", text)?;
        let request = Self {
            pinned: request.pinned.clone().checked()?,
            ..request
        };
        match request.broken() {
            None => Ok(request),
            Some(rule) => Err(RecordError::Broken(rule.to_owned())),
        }
    }

    /// The rule that a record breaks.
    fn broken(&self) -> Option<&'static str> {
        let pinned = &self.pinned;
        let max = match (self.kind, &pinned.break_glass) {
            (Kind::Ordinary, _) => Some(pinned.duration_max),
            (Kind::BreakGlass, break_glass) => break_glass.as_ref().map(|it| it.duration_max),
        };
        let is_in_time =
            |grant: &Grant| max.is_some_and(|max| grant.until <= max.after(grant.since));
        let rules = [
            (
                !self.granted.access.is_empty(),
                "a request is for something",
            ),
            (
                self.granted.is_within(&self.asked),
                "what was granted is within what was asked",
            ),
            (
                self.asked
                    .access
                    .iter()
                    .all(|access| pinned.covers(access).is_ok()),
                "what was asked is of the entitlement",
            ),
            (
                pinned.takes(&self.beneficiary),
                "the beneficiary is one that the entitlement takes",
            ),
            (
                self.state.grant().is_none_or(is_in_time),
                "a grant is no longer than the entitlement lets it be",
            ),
            (
                max.is_some_and(|max| self.asked.length <= max),
                "nothing is asked for longer than the entitlement lets it be",
            ),
            (
                self.history
                    .last()
                    .is_some_and(|last| last.state == self.state.kind()),
                "the last entry of the history led to the state",
            ),
        ];
        let broken = rules.into_iter().find(|(holds, _)| !holds);
        broken.map(|(_, rule)| rule)
    }
}
