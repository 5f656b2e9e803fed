//! Why an event is not taken. Messages name no people: they end up in logs.

use model::{ObjectRef, Timestamp};

use super::{
    ACCESS_MAX, DECISIONS_MAX, EventKind, HISTORY_MAX, REASON_BYTES_MAX, StateKind,
    TICKET_BYTES_MAX,
};
use crate::authority::Question;
use crate::entitlement::{NotCovered, Version};
use crate::names::Access;
use crate::span::Span;

/// Why an event is not taken; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such request.
    #[error("there is no such access request")]
    Absent,
    /// No event of that kind is taken in this state.
    #[error("an access request that is {state:?} takes no {event:?}")]
    NotInState {
        /// The state.
        state: StateKind,
        /// The event.
        event: EventKind,
    },
    /// The time for it is over.
    #[error("too late: the time for it was over at {limit}")]
    TooLate {
        /// When.
        limit: Timestamp,
    },
    /// The time for it has not come.
    #[error("too early: not before {at}")]
    NotYet {
        /// When it comes.
        at: Timestamp,
    },
    /// The engine was not asked something that it depends on ([`questions`](super::questions)).
    #[error("the answer to whether somebody is among `{}` is missing; ask again", .0.set)]
    Unanswered(Box<Question>),
    /// Somebody who has to be free is locked.
    #[error("{0} is locked")]
    Locked(LockedRole),
    /// Only who asked, or whom it is for, may.
    #[error("only who asked for the access, or whom it is for, may do that")]
    NotParty,
    /// Only who may approve may.
    #[error("only who may approve the step that waits may do that")]
    NotApprover,
    /// They may approve other parts of it.
    #[error("you may not approve `{access}`; leave it out, and approve the rest")]
    NotApproverOf {
        /// The part.
        access: Access,
    },
    /// Only an owner may.
    #[error("only an owner may do that")]
    NotOwner,
    /// Only Remit itself may.
    #[error("this becomes active by itself at its time")]
    ActivatesItself,
    /// Only its holder may.
    #[error("this becomes active by its holder alone")]
    WaitsForHolder,
    /// Nobody decides for themselves.
    #[error("nobody decides for themselves: you are {0} of this access")]
    OwnRequest(OwnRole),
    /// One person counts once, in all steps.
    #[error("you have approved this already, and count once over all steps")]
    AlreadyApproved,
    /// Nothing waits for an approval.
    #[error("nothing waits for a decision here")]
    NothingToDecide,
    /// More than there was.
    #[error("an approval may leave less of what was asked for, never more or nothing")]
    Widens,
    /// An extension is for all that is active.
    #[error("an extension is for all of the access; make it shorter, or deny it")]
    NarrowsExtension,
    /// The entitlement is no more.
    #[error("the entitlement is no longer there")]
    EntitlementGone,
    /// The entitlement is another than the one that was pinned.
    #[error("the entitlement was changed since this was asked for; an owner may restart it")]
    PolicyChanged {
        /// What was pinned.
        pinned: Box<Version>,
        /// What it is now.
        current: Box<Version>,
    },
    /// Who asked may not ask (any more).
    #[error("who asks is not eligible")]
    NotEligible,
    /// An approval that it rests on no longer counts.
    #[error("an approval of step {} no longer counts: who gave it may not approve any more", step + 1)]
    ApprovalFell {
        /// The step, by number.
        step: u16,
    },
    /// The grant is as long as any may be.
    #[error("the grant can be at most {room} longer; its maximum is {max}")]
    Maximum {
        /// How much longer it can be, in words.
        room: String,
        /// How long it may be.
        max: Span,
    },
    /// An extension waits already.
    #[error("an extension waits for a decision already")]
    ExtensionWaits,
    /// Break-glass access cannot be extended.
    #[error("break-glass access cannot be extended; ask for access in the ordinary way")]
    BreakGlassExtended,
    /// Break-glass access is one's own.
    #[error("break-glass access is for who asks, and nobody else")]
    BreakGlassForOthers,
    /// Break-glass access is now.
    #[error("break-glass access begins at once")]
    BreakGlassScheduled,
    /// The entitlement has no break-glass access.
    #[error("the entitlement has no break-glass access")]
    NoBreakGlass,
    /// Access for others cannot be asked for.
    #[error("the entitlement is for who asks, and nobody else")]
    NotForOthers,
    /// The entitlement does not take such a beneficiary.
    #[error("the entitlement is not for such a subject")]
    Beneficiary,
    /// Too little, or too much, is asked for.
    #[error("{count} relations of resources are asked for: expected 1 to {ACCESS_MAX}")]
    AccessCount {
        /// How many.
        count: usize,
    },
    /// Something is not of the entitlement.
    #[error("`{access}`: {why}")]
    NotCovered {
        /// What.
        access: Access,
        /// Why not.
        why: NotCovered,
    },
    /// It is asked for longer than it can be.
    #[error("access for {length} is asked for, at most {max} is given")]
    TooLong {
        /// How long.
        length: Span,
        /// How long it can be.
        max: Span,
    },
    /// It cannot be scheduled.
    #[error("the entitlement is not for a start in the future")]
    NotScheduled,
    /// The start lies in the past.
    #[error("the start lies in the past")]
    StartInThePast,
    /// The start lies too far ahead.
    #[error("the start lies more than {ahead} ahead")]
    StartTooFarAhead {
        /// How far it may.
        ahead: Span,
    },
    /// A reason is needed.
    #[error("a reason is needed")]
    ReasonMissing,
    /// The reason is too long.
    #[error("a reason or note has {bytes} bytes, at most {REASON_BYTES_MAX} are kept")]
    ReasonTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A ticket is needed.
    #[error("a ticket is needed")]
    TicketMissing,
    /// The ticket does not look like one.
    #[error("the ticket does not match `{pattern}`, or is longer than {TICKET_BYTES_MAX} bytes")]
    TicketWrong {
        /// What it looks like.
        pattern: String,
    },
    /// No ticket is kept.
    #[error("the entitlement takes no ticket")]
    NoTicket,
    /// Too much has become of it.
    #[error(
        "there were {HISTORY_MAX} events of this request, or {DECISIONS_MAX} decisions of its round; make a new one"
    )]
    TooMuch,
    /// A break-glass request is decided already.
    #[error("break-glass access has nothing to begin anew")]
    BreakGlassRestarted,
}

/// Who is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named by what it says")]
pub enum LockedRole {
    Actor,
    Requester,
    Beneficiary,
}

/// As what somebody would decide for themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named by what it says")]
pub enum OwnRole {
    Requester,
    Beneficiary,
    DelegateOfBeneficiary,
}

impl std::fmt::Display for LockedRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Actor => "who does this",
            Self::Requester => "who asked for the access",
            Self::Beneficiary => "whom the access is for",
        })
    }
}

impl std::fmt::Display for OwnRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Requester => "the requester",
            Self::Beneficiary => "a beneficiary",
            Self::DelegateOfBeneficiary => "a delegate of the beneficiary",
        })
    }
}

impl Refusal {
    pub(super) fn unanswered(person: &ObjectRef, set: &model::SubjectRef) -> Self {
        Self::Unanswered(Box::new(Question {
            person: person.clone(),
            set: set.clone(),
        }))
    }
}
