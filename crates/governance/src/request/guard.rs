//! Who may do what, and when: asked before anything changes, by [`step`](super::step()) and [`allowed_actions`](super::allowed_actions()) alike.

use std::collections::BTreeSet;

use model::{ObjectRef, Timestamp};

use super::recheck::{self, basis, eligibility, is_approver, is_eligible};
use super::table::leads_to;
use super::{
    AccessRequest, Actor, DECISIONS_MAX, EventKind, Facts, Grant, HISTORY_MAX, Kind, LockedRole,
    Refusal, Round, State,
};
use crate::authority::Authority;
use crate::names::Access;
use crate::span::Span;

/// What somebody may approve.
pub(super) struct ApproveOffer {
    /// The step that waits.
    pub(super) step: usize,
    /// Of what is granted, what they may approve.
    pub(super) access: BTreeSet<Access>,
    /// At most for so long.
    pub(super) length: Span,
    /// Whether it is an extension.
    pub(super) is_extension: bool,
    /// Approvals that no longer count.
    pub(super) fallen: Vec<usize>,
}

/// What holds for every event: the table, its time, locks, and room in the record.
pub(super) fn common(
    request: &AccessRequest,
    event: EventKind,
    by: Option<&ObjectRef>,
    now: Timestamp,
    facts: &Facts<'_>,
) -> Result<(), Refusal> {
    let state = request.state.kind();
    leads_to(Some(state), event).ok_or(Refusal::NotInState { state, event })?;
    if event != EventKind::Expire
        && let Some(limit) = request.limit().filter(|limit| now >= *limit)
    {
        return Err(Refusal::TooLate { limit });
    }
    if by.is_some_and(|by| facts.locked.contains(by)) {
        return Err(Refusal::Locked(LockedRole::Actor));
    }
    let lasts = match event {
        EventKind::Approve | EventKind::Extend | EventKind::Resume | EventKind::Restart => true,
        EventKind::Submit
        | EventKind::Deny
        | EventKind::Cancel
        | EventKind::Return
        | EventKind::Revoke
        | EventKind::Expire
        | EventKind::Activate
        | EventKind::Suspend
        | EventKind::Fail
        | EventKind::Remind
        | EventKind::Escalate => false,
    };
    if lasts && request.history.len() >= HISTORY_MAX {
        return Err(Refusal::TooMuch);
    }
    Ok(())
}

/// The round that waits, and how much may be approved at most.
fn waiting(request: &AccessRequest, now: Timestamp) -> Result<(&Round, Span, bool), Refusal> {
    match &request.state {
        State::Pending => Ok((&request.approval, request.granted.length, false)),
        State::Active(Grant {
            extension: Some(wish),
            ..
        }) if now < wish.round.until => Ok((&wish.round, wish.length, true)),
        State::Active(Grant {
            extension: Some(wish),
            ..
        }) => Err(Refusal::TooLate {
            limit: wish.round.until,
        }),
        State::Active(Grant {
            extension: None, ..
        })
        | State::Approved { .. }
        | State::Suspended(_)
        | State::Closed { .. } => Err(Refusal::NothingToDecide),
    }
}

pub(super) fn approve(
    request: &AccessRequest,
    by: &ObjectRef,
    now: Timestamp,
    facts: &Facts<'_>,
) -> Result<ApproveOffer, Refusal> {
    common(request, EventKind::Approve, Some(by), now, facts)?;
    let (round, length, is_extension) = waiting(request, now)?;
    if let Some(role) = facts.own_role(request, by)? {
        return Err(Refusal::OwnRequest(role));
    }
    basis(request, facts)?;
    let standing = recheck::standing(request, round, facts)?;
    let counts = |(ix, decision): (usize, &super::Decision)| {
        decision.by == *by && decision.fallen_at.is_none() && !standing.fallen.contains(&ix)
    };
    if round.decisions.iter().enumerate().any(counts) {
        return Err(Refusal::AlreadyApproved);
    }
    if round.decisions.len() >= DECISIONS_MAX {
        return Err(Refusal::TooMuch);
    }
    let step = standing.next.ok_or(Refusal::NothingToDecide)?;
    let mut access = BTreeSet::new();
    let mut refusal = None;
    for each in &request.granted.access {
        if !is_approver(request, step, by, each, facts)? {
            refusal = refusal.or(Some(Refusal::NotApproverOf {
                access: each.clone(),
            }));
        } else if !is_eligible(request, each, facts)? {
            refusal = refusal.or(Some(Refusal::NotEligible));
        } else {
            access.insert(each.clone());
        }
    }
    match refusal {
        Some(Refusal::NotEligible) if access.is_empty() => return Err(Refusal::NotEligible),
        Some(_) if access.is_empty() => return Err(Refusal::NotApprover),
        Some(refusal) if is_extension => return Err(refusal),
        Some(_) | None => {}
    }
    Ok(ApproveOffer {
        step,
        access,
        length,
        is_extension,
        fallen: standing.fallen,
    })
}

/// Whoever could be asked to approve some of it can say no.
pub(super) fn deny(
    request: &AccessRequest,
    by: &ObjectRef,
    now: Timestamp,
    facts: &Facts<'_>,
) -> Result<(), Refusal> {
    common(request, EventKind::Deny, Some(by), now, facts)?;
    waiting(request, now)?;
    if let Some(role) = facts.own_role(request, by)? {
        return Err(Refusal::OwnRequest(role));
    }
    approver_of_any(request, by, facts)?
        .then_some(())
        .ok_or(Refusal::NotApprover)
}

/// Those who asked, or whom it is for: to cancel, to return, and (with more) to extend and activate.
pub(super) fn party(
    request: &AccessRequest,
    event: EventKind,
    by: &ObjectRef,
    now: Timestamp,
    facts: &Facts<'_>,
) -> Result<(), Refusal> {
    common(request, event, Some(by), now, facts)?;
    request.is_party(by).then_some(()).ok_or(Refusal::NotParty)
}

/// By how much somebody may extend at most.
pub(super) fn extend(
    request: &AccessRequest,
    by: &ObjectRef,
    now: Timestamp,
    facts: &Facts<'_>,
) -> Result<Span, Refusal> {
    party(request, EventKind::Extend, by, now, facts)?;
    if request.kind == Kind::BreakGlass {
        return Err(Refusal::BreakGlassExtended);
    }
    let (State::Active(grant), max) = (&request.state, request.pinned.duration_max) else {
        return Err(Refusal::NothingToDecide);
    };
    if grant
        .extension
        .as_ref()
        .is_some_and(|wish| now < wish.round.until)
    {
        return Err(Refusal::ExtensionWaits);
    }
    basis(request, facts)?;
    eligibility(request, facts)?;
    let room = Span::between(grant.until, max.after(grant.since));
    room.ok_or_else(|| Refusal::Maximum {
        room: "nothing".to_owned(),
        max,
    })
}

pub(super) fn activate(
    request: &AccessRequest,
    by: &Actor,
    now: Timestamp,
    facts: &Facts<'_>,
) -> Result<(), Refusal> {
    common(request, EventKind::Activate, by.person(), now, facts)?;
    match (by, request.pinned.activation.by_holder) {
        (Actor::Remit, true) => return Err(Refusal::WaitsForHolder),
        (Actor::Person(_), false) => return Err(Refusal::ActivatesItself),
        (Actor::Person(person), true) if !request.is_party(person) => {
            return Err(Refusal::NotParty);
        }
        (Actor::Person(_), true) | (Actor::Remit, false) => {}
    }
    match request.granted.starts_at {
        Some(at) if now < at => Err(Refusal::NotYet { at }),
        Some(_) | None => Ok(()),
    }
}

/// Whoever owns, or could approve, some of it can take it away.
pub(super) fn revoke(
    request: &AccessRequest,
    by: &Actor,
    now: Timestamp,
    facts: &Facts<'_>,
) -> Result<(), Refusal> {
    common(request, EventKind::Revoke, by.person(), now, facts)?;
    let Actor::Person(person) = by else {
        return Ok(());
    };
    if owner_of_any(request, person, facts)? || approver_of_any(request, person, facts)? {
        return Ok(());
    }
    Err(Refusal::NotOwner)
}

pub(super) fn suspend(
    request: &AccessRequest,
    by: &Actor,
    now: Timestamp,
    facts: &Facts<'_>,
) -> Result<(), Refusal> {
    common(request, EventKind::Suspend, by.person(), now, facts)?;
    match by {
        Actor::Remit => Ok(()),
        Actor::Person(person) => owner_of_any(request, person, facts)?
            .then_some(())
            .ok_or(Refusal::NotOwner),
    }
}

/// An owner of all of it, who is not its holder; and everything holds that held when it began.
pub(super) fn resume(
    request: &AccessRequest,
    by: &Actor,
    now: Timestamp,
    facts: &Facts<'_>,
) -> Result<(), Refusal> {
    common(request, EventKind::Resume, by.person(), now, facts)?;
    if let Actor::Person(person) = by {
        if let Some(role) = facts.own_role(request, person)? {
            return Err(Refusal::OwnRequest(role));
        }
        owner_of_all(request, person, facts)?;
    }
    recheck::everything(request, facts)
}

/// An owner of all of it.
pub(super) fn restart(
    request: &AccessRequest,
    by: &ObjectRef,
    now: Timestamp,
    facts: &Facts<'_>,
) -> Result<(), Refusal> {
    common(request, EventKind::Restart, Some(by), now, facts)?;
    if request.kind == Kind::BreakGlass {
        return Err(Refusal::BreakGlassRestarted);
    }
    owner_of_all(request, by, facts)
}

fn owner_of_all(
    request: &AccessRequest,
    person: &ObjectRef,
    facts: &Facts<'_>,
) -> Result<(), Refusal> {
    for resource in request.granted.resources() {
        if !facts.holds(person, &request.pinned.owners, resource)? {
            return Err(Refusal::NotOwner);
        }
    }
    Ok(())
}

fn owner_of_any(
    request: &AccessRequest,
    person: &ObjectRef,
    facts: &Facts<'_>,
) -> Result<bool, Refusal> {
    any_of(request, person, facts, &request.pinned.owners)
}

fn approver_of_any(
    request: &AccessRequest,
    person: &ObjectRef,
    facts: &Facts<'_>,
) -> Result<bool, Refusal> {
    any_of(
        request,
        person,
        facts,
        request.pinned.steps.iter().flat_map(|step| &step.approvers),
    )
}

fn any_of<'a>(
    request: &AccessRequest,
    person: &ObjectRef,
    facts: &Facts<'_>,
    authorities: impl IntoIterator<Item = &'a Authority> + Clone,
) -> Result<bool, Refusal> {
    for resource in request.granted.resources() {
        if facts.holds(person, authorities.clone(), resource)? {
            return Ok(true);
        }
    }
    Ok(false)
}
