//! What can become of a request.

use std::collections::BTreeSet;

use model::{ObjectRef, SubjectRef, Timestamp};
use serde::{Deserialize, Serialize};

use crate::names::{Access, EntitlementName, RequestId};
use crate::span::Span;

/// Something that happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is made.
    Submit(Box<Submission>),
    /// Somebody approves it, or the extension that it waits for; perhaps with less.
    Approve {
        /// Who.
        by: ObjectRef,
        /// What they leave of it.
        narrow: Narrowing,
        /// What they say.
        note: String,
    },
    /// Somebody says no, to it or to the extension that it waits for.
    Deny {
        /// Who.
        by: ObjectRef,
        /// Why.
        reason: String,
    },
    /// Who asked no longer wants it.
    Cancel {
        /// Who.
        by: ObjectRef,
    },
    /// Its holder wants it for longer.
    Extend {
        /// Who.
        by: ObjectRef,
        /// By how much.
        length: Span,
        /// Why.
        reason: String,
    },
    /// Its holder gives it back.
    Return {
        /// Who.
        by: ObjectRef,
    },
    /// It is taken away.
    Revoke {
        /// By whom.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// Its time is over: to be decided, to be activated, or that of its grant.
    Expire,
    /// What was approved is to become active.
    Activate {
        /// By whom.
        by: Actor,
    },
    /// It is to give nothing for now.
    Suspend {
        /// By whom.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// It is to give access again.
    Resume {
        /// By whom.
        by: Actor,
    },
    /// Its relationships could not be written.
    Fail {
        /// Why.
        reason: String,
    },
    /// It begins anew, by the entitlement as it is now.
    Restart {
        /// Who, of the owners.
        by: ObjectRef,
    },
    /// Whoever it waits for is to be reminded; or its holder, of its end.
    Remind,
    /// Others are to be told that it waits for long.
    Escalate,
}

/// The name of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "see `Event`")]
pub enum EventKind {
    Submit,
    Approve,
    Deny,
    Cancel,
    Extend,
    Return,
    Revoke,
    Expire,
    Activate,
    Suspend,
    Resume,
    Fail,
    Restart,
    Remind,
    Escalate,
}

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// Remit itself: by the clock, or by a signal that it was sent.
    Remit,
    /// A person, or a service.
    Person(ObjectRef),
}

/// What an approver leaves. Nothing said leaves everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrowing {
    /// Of the access.
    pub access: Option<BTreeSet<Access>>,
    /// Of the length.
    pub length: Option<Span>,
}

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The id that the request gets.
    pub id: RequestId,
    /// Who asks.
    pub requester: ObjectRef,
    /// For whom.
    pub beneficiary: SubjectRef,
    /// By which entitlement.
    pub entitlement: EntitlementName,
    /// For what.
    pub access: BTreeSet<Access>,
    /// For how long; none for what the entitlement says.
    pub length: Option<Span>,
    /// From when on; none for as soon as can be.
    pub starts_at: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// For which ticket.
    pub ticket: Option<String>,
    /// Whether it is an emergency.
    pub break_glass: bool,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Submit,
        Self::Approve,
        Self::Deny,
        Self::Cancel,
        Self::Extend,
        Self::Return,
        Self::Revoke,
        Self::Expire,
        Self::Activate,
        Self::Suspend,
        Self::Resume,
        Self::Fail,
        Self::Restart,
        Self::Remind,
        Self::Escalate,
    ];
}

impl Actor {
    /// The person, if it is one.
    #[must_use]
    pub fn person(&self) -> Option<&ObjectRef> {
        match self {
            Self::Remit => None,
            Self::Person(person) => Some(person),
        }
    }
}

impl Event {
    /// Its name.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Submit(_) => EventKind::Submit,
            Self::Approve { .. } => EventKind::Approve,
            Self::Deny { .. } => EventKind::Deny,
            Self::Cancel { .. } => EventKind::Cancel,
            Self::Extend { .. } => EventKind::Extend,
            Self::Return { .. } => EventKind::Return,
            Self::Revoke { .. } => EventKind::Revoke,
            Self::Expire => EventKind::Expire,
            Self::Activate { .. } => EventKind::Activate,
            Self::Suspend { .. } => EventKind::Suspend,
            Self::Resume { .. } => EventKind::Resume,
            Self::Fail { .. } => EventKind::Fail,
            Self::Restart { .. } => EventKind::Restart,
            Self::Remind => EventKind::Remind,
            Self::Escalate => EventKind::Escalate,
        }
    }

    /// Who does it; none for Remit itself.
    #[must_use]
    pub fn by(&self) -> Option<&ObjectRef> {
        match self {
            Self::Submit(submission) => Some(&submission.requester),
            Self::Approve { by, .. }
            | Self::Deny { by, .. }
            | Self::Cancel { by }
            | Self::Extend { by, .. }
            | Self::Return { by }
            | Self::Restart { by } => Some(by),
            Self::Revoke { by, .. }
            | Self::Activate { by }
            | Self::Suspend { by, .. }
            | Self::Resume { by } => by.person(),
            Self::Expire | Self::Fail { .. } | Self::Remind | Self::Escalate => None,
        }
    }

    /// What is said with it.
    pub(crate) fn note(&self) -> &str {
        match self {
            Self::Submit(submission) => &submission.reason,
            Self::Approve { note, .. } => note,
            Self::Deny { reason, .. }
            | Self::Extend { reason, .. }
            | Self::Revoke { reason, .. }
            | Self::Suspend { reason, .. }
            | Self::Fail { reason } => reason,
            Self::Cancel { .. }
            | Self::Return { .. }
            | Self::Expire
            | Self::Activate { .. }
            | Self::Resume { .. }
            | Self::Restart { .. }
            | Self::Remind
            | Self::Escalate => "",
        }
    }
}
