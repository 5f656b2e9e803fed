//! Access over time: who may ask for what, who has to approve, what is given and until when. Pure: `now` and what the engine
//! says come in, what is to be done goes out as values. No I/O, no clock, no SQL, no protobuf.
//!
//! Owners write [`Entitlements`] as a file. A [`Submission`] becomes an [`AccessRequest`], which [`step`] changes, [`due`] drives
//! by time, and of which [`allowed_actions`] says what somebody may do. What it gives is kept per relationship in a [`Holding`]: each
//! request is a reason, and a relationship goes with the last of them. [`break_glass`] has what is prepared for the day on which
//! nothing else works, [`Notice`] what people are told.
//!
//! INVARIANT: nothing here decides who has a permission: the engine does. What it was not asked is refused, never taken for a no
//! or a yes.

pub mod break_glass;

mod authority;
mod entitlement;
mod fault;
mod grant;
mod names;
mod notice;
mod record;
mod request;
mod span;
mod text;

pub use authority::{Answer, Authority, AuthorityError, Question};
pub use entitlement::{
    Activation, BREAK_GLASS_MAX, BreakGlass, ENTITLEMENTS_MAX, Entitlement, Entitlements,
    Escalation, Extension, FILE_BYTES_MAX, Ids, NotCovered, Risk, Step, Ticket, Version,
    VersionError,
};
pub use fault::{Fault, Faults, Position};
pub use grant::{
    Change, Changed, Held, Holding, Present, REASONS_MAX, Reason, ReasonChange, ReasonError,
    ReasonEvent,
};
pub use names::{Access, EntitlementName, RequestId, SubjectType, WrongName};
pub use notice::{Notice, NoticeKind};
pub use record::{RECORD_BYTES_MAX, RecordError};
pub use request::{
    ACCESS_MAX, AccessRequest, Action, Actor, DECISIONS_MAX, Decision, Due, Effect, Entry, Event,
    EventKind, Facts, Grant, HISTORY_MAX, Kind, LockedRole, Narrowing, Outcome, OwnRole, Preview,
    PreviewStep, REASON_BYTES_MAX, Refusal, Round, Row, State, StateKind, Submission, TABLE,
    TICKET_BYTES_MAX, Terms, Wish, allowed_actions, due, preview, questions, questions_of, step,
};
pub use span::{Span, SpanError};
