//! Which event is taken in which state, and where it can lead: the whole of it.

use super::{EventKind, StateKind};

/// One row: in this state (none where there is no request yet), this event can lead to these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The state before.
    pub from: Option<StateKind>,
    /// The event.
    pub event: EventKind,
    /// The states after.
    pub to: &'static [StateKind],
}

const fn row(from: StateKind, event: EventKind, to: &'static [StateKind]) -> Row {
    Row {
        from: Some(from),
        event,
        to,
    }
}

use EventKind as E;
use StateKind as S;

/// All that can happen. What has no row is refused.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    Row { from: None, event: E::Submit, to: &[S::Pending, S::Approved, S::Active] },

    row(S::Pending,   E::Approve,  &[S::Pending, S::Approved]),
    row(S::Pending,   E::Deny,     &[S::Denied]),
    row(S::Pending,   E::Cancel,   &[S::Cancelled]),
    row(S::Pending,   E::Expire,   &[S::Expired]),
    row(S::Pending,   E::Restart,  &[S::Pending, S::Approved]),
    row(S::Pending,   E::Remind,   &[S::Pending]),
    row(S::Pending,   E::Escalate, &[S::Pending]),

    row(S::Approved,  E::Cancel,   &[S::Cancelled]),
    row(S::Approved,  E::Revoke,   &[S::Revoked]),
    row(S::Approved,  E::Expire,   &[S::Expired]),
    row(S::Approved,  E::Activate, &[S::Active, S::ActivationFailed]),
    row(S::Approved,  E::Fail,     &[S::ActivationFailed]),
    row(S::Approved,  E::Restart,  &[S::Pending, S::Approved]),

    row(S::Active,    E::Approve,  &[S::Active]),
    row(S::Active,    E::Deny,     &[S::Active]),
    row(S::Active,    E::Extend,   &[S::Active]),
    row(S::Active,    E::Return,   &[S::Returned]),
    row(S::Active,    E::Revoke,   &[S::Revoked]),
    row(S::Active,    E::Expire,   &[S::Ended]),
    row(S::Active,    E::Suspend,  &[S::Suspended]),
    row(S::Active,    E::Remind,   &[S::Active]),

    row(S::Suspended, E::Return,   &[S::Returned]),
    row(S::Suspended, E::Revoke,   &[S::Revoked]),
    row(S::Suspended, E::Expire,   &[S::Ended]),
    row(S::Suspended, E::Resume,   &[S::Active]),
];

/// Where an event can lead from a state; none where it is not taken.
pub(super) fn leads_to(from: Option<StateKind>, event: EventKind) -> Option<&'static [StateKind]> {
    let row = TABLE
        .iter()
        .find(|row| row.from == from && row.event == event);
    row.map(|row| row.to)
}
