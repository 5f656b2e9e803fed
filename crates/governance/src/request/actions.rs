//! What somebody may do with a request now: what [`step`](super::step()) would take from them.

use std::collections::BTreeSet;

use model::{ObjectRef, Timestamp};

use super::open::restart;
use super::step::Draft;
use super::{AccessRequest, Actor, Event, EventKind, Facts, guard};
use crate::names::Access;
use crate::span::Span;

/// Something that somebody may do, with how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Approve all of this, or less; for so long, or less.
    Approve {
        /// What they may approve. What else was asked for they have to leave out.
        access: BTreeSet<Access>,
        /// For how long; of an extension, by how much.
        length: Span,
    },
    /// Say no.
    Deny,
    /// Take back what they asked for.
    Cancel,
    /// Ask for more time.
    Extend {
        /// How much at most.
        length: Span,
    },
    /// Give it back.
    Return,
    /// Take it away.
    Revoke,
    /// Make it active.
    Activate,
    /// Let it give nothing for now.
    Suspend,
    /// Let it give access again.
    Resume,
    /// Let it begin anew by the entitlement as it is now.
    Restart,
}

/// What `who` may do with `request` at `now`: all that [`step`](super::step()) takes from them, and nothing else.
#[must_use]
pub fn allowed_actions(
    request: &AccessRequest,
    who: &ObjectRef,
    now: Timestamp,
    facts: &Facts<'_>,
) -> Vec<Action> {
    let now = now.max(request.changed_at);
    let actor = Actor::Person(who.clone());
    let party = |event| guard::party(request, event, who, now, facts).is_ok();
    let approve = guard::approve(request, who, now, facts).ok();
    let each = [
        approve.map(|offer| Action::Approve {
            access: offer.access,
            length: offer.length,
        }),
        guard::deny(request, who, now, facts)
            .is_ok()
            .then_some(Action::Deny),
        party(EventKind::Cancel).then_some(Action::Cancel),
        guard::extend(request, who, now, facts)
            .ok()
            .map(|length| Action::Extend { length }),
        party(EventKind::Return).then_some(Action::Return),
        guard::revoke(request, &actor, now, facts)
            .is_ok()
            .then_some(Action::Revoke),
        is_activation_taken(request, &actor, now, facts).then_some(Action::Activate),
        guard::suspend(request, &actor, now, facts)
            .is_ok()
            .then_some(Action::Suspend),
        guard::resume(request, &actor, now, facts)
            .is_ok()
            .then_some(Action::Resume),
        is_restart_taken(request, who, now, facts).then_some(Action::Restart),
    ];
    each.into_iter().flatten().collect()
}

/// One that fails is taken, too; one that depends on what is not known is not.
fn is_activation_taken(
    request: &AccessRequest,
    actor: &Actor,
    now: Timestamp,
    facts: &Facts<'_>,
) -> bool {
    let fails_to_tell = |refusal| matches!(refusal, super::Refusal::Unanswered(_));
    guard::activate(request, actor, now, facts).is_ok()
        && !super::recheck::everything(request, facts).is_err_and(fails_to_tell)
}

/// Whether the request as it was asked for fits the entitlement as it is now, only a trial tells.
fn is_restart_taken(
    request: &AccessRequest,
    who: &ObjectRef,
    now: Timestamp,
    facts: &Facts<'_>,
) -> bool {
    let event = Event::Restart { by: who.clone() };
    let trial = || restart(&mut Draft::new(request.clone(), &event, now, facts));
    guard::restart(request, who, now, facts).is_ok() && trial().is_ok()
}
