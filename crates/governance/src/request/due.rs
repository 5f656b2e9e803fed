//! What comes by time, so that a scheduler needs no logic of its own.

use model::Timestamp;

use super::{AccessRequest, Actor, Event, State};

/// What is to be done next, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Not before.
    pub at: Timestamp,
    /// What [`step`](super::step()) is to be given then.
    pub event: Event,
}

impl Due {
    /// Whether its time has come.
    #[must_use]
    pub fn is_now(&self, now: Timestamp) -> bool {
        self.at <= now
    }
}

/// What a request is due to do next at `now`; none where it is over.
///
/// What is long over comes first: past its limit nothing is due but that it expires. The event is taken at that instant
/// and at any later one.
#[must_use]
pub fn due(request: &AccessRequest, now: Timestamp) -> Option<Due> {
    let limit = request.limit()?;
    let expire = Due {
        at: limit,
        event: Event::Expire,
    };
    if expire.is_now(now) {
        return Some(expire);
    }
    let remind = reminder_at(request).map(|at| Due {
        at,
        event: Event::Remind,
    });
    let escalate = escalation_at(request).map(|at| Due {
        at,
        event: Event::Escalate,
    });
    let activate = activation_at(request).map(|at| Due {
        at,
        event: Event::Activate { by: Actor::Remit },
    });
    let earlier = [remind, escalate, activate].into_iter().flatten();
    let next = earlier
        .filter(|due| due.at < limit)
        .min_by_key(|due| due.at);
    Some(next.unwrap_or(expire))
}

/// When approvers are reminded next, or the holder that it ends.
pub(super) fn reminder_at(request: &AccessRequest) -> Option<Timestamp> {
    match &request.state {
        State::Pending => {
            let after = request
                .pinned
                .reminders
                .get(usize::from(request.approval.reminded))?;
            Some(after.after(request.approval.opened_at))
        }
        State::Active(grant) if !grant.warned => {
            let at = request.pinned.warning?.before(grant.until);
            // Who was given no more than that was told when it began.
            (at > grant.since).then_some(at)
        }
        State::Active(_) | State::Approved { .. } | State::Suspended(_) | State::Closed { .. } => {
            None
        }
    }
}

/// When others are told that it waits for long.
pub(super) fn escalation_at(request: &AccessRequest) -> Option<Timestamp> {
    let escalation = request.pinned.escalation.as_ref()?;
    match &request.state {
        State::Pending if !request.approval.escalated => {
            Some(escalation.after.after(request.approval.opened_at))
        }
        State::Pending
        | State::Approved { .. }
        | State::Active(_)
        | State::Suspended(_)
        | State::Closed { .. } => None,
    }
}

/// When it becomes active by the clock.
fn activation_at(request: &AccessRequest) -> Option<Timestamp> {
    match &request.state {
        State::Approved { .. } if !request.pinned.activation.by_holder => {
            let start = request.granted.starts_at;
            Some(start.map_or(request.changed_at, |start| start.max(request.changed_at)))
        }
        State::Approved { .. }
        | State::Pending
        | State::Active(_)
        | State::Suspended(_)
        | State::Closed { .. } => None,
    }
}
