//! What has to hold wherever something becomes active or is approved: looked at again each time, never remembered.

use model::ObjectRef;
use std::collections::BTreeSet;

use super::{AccessRequest, Facts, Kind, LockedRole, Refusal, Round};
use crate::authority::Authority;
use crate::names::Access;

/// Which approvals of a round count.
pub(super) struct Standing {
    /// Those that counted so far, and do no longer; by number.
    pub(super) fallen: Vec<usize>,
    /// The first step that lacks approvals; none where all have theirs.
    pub(super) next: Option<usize>,
}

/// That the entitlement is the one that was pinned, and nobody is locked.
pub(super) fn basis(request: &AccessRequest, facts: &Facts<'_>) -> Result<(), Refusal> {
    let current = facts
        .entitlement
        .filter(|current| current.name == request.pinned.name);
    let current = current.ok_or(Refusal::EntitlementGone)?;
    if *current != request.pinned {
        return Err(Refusal::PolicyChanged {
            pinned: Box::new(request.pinned.version()),
            current: Box::new(current.version()),
        });
    }
    if facts.locked.contains(&request.requester) {
        return Err(Refusal::Locked(LockedRole::Requester));
    }
    let beneficiary = request.beneficiary_object();
    if beneficiary.is_none_or(|object| facts.locked.contains(&object)) {
        return Err(Refusal::Locked(LockedRole::Beneficiary));
    }
    Ok(())
}

/// Whether who asked may (still) ask for that.
pub(super) fn is_eligible(
    request: &AccessRequest,
    access: &Access,
    facts: &Facts<'_>,
) -> Result<bool, Refusal> {
    let may_ask: &BTreeSet<Authority> = match (request.kind, &request.pinned.break_glass) {
        (Kind::Ordinary, _) => &request.pinned.eligible,
        (Kind::BreakGlass, Some(break_glass)) => &break_glass.holders,
        (Kind::BreakGlass, None) => return Ok(false),
    };
    facts.holds(&request.requester, may_ask, &access.resource)
}

/// That who asked may still ask for all that is granted.
pub(super) fn eligibility(request: &AccessRequest, facts: &Facts<'_>) -> Result<(), Refusal> {
    for access in &request.granted.access {
        if !is_eligible(request, access, facts)? {
            return Err(Refusal::NotEligible);
        }
    }
    Ok(())
}

/// Whether `person` may approve step `step` for that.
pub(super) fn is_approver(
    request: &AccessRequest,
    step: usize,
    person: &ObjectRef,
    access: &Access,
    facts: &Facts<'_>,
) -> Result<bool, Refusal> {
    let Some(step) = request.pinned.steps.get(step) else {
        return Ok(false);
    };
    facts.holds(person, &step.approvers, &access.resource)
}

/// Which approvals of `round` count for all that is granted.
pub(super) fn standing(
    request: &AccessRequest,
    round: &Round,
    facts: &Facts<'_>,
) -> Result<Standing, Refusal> {
    let mut counted = vec![0_u16; request.pinned.steps.len()];
    let mut people = BTreeSet::new();
    let mut fallen = Vec::new();
    for (ix, decision) in round.decisions.iter().enumerate() {
        if decision.fallen_at.is_some() {
            continue;
        }
        let step = usize::from(decision.step);
        let mut counts = facts.own_role(request, &decision.by)?.is_none();
        for access in &request.granted.access {
            counts = counts && is_approver(request, step, &decision.by, access, facts)?;
        }
        // Once over all steps, whatever a record says.
        if !counts || !people.insert(&decision.by) {
            fallen.push(ix);
        } else if let Some(count) = counted.get_mut(step) {
            *count += 1;
        }
    }
    let steps = request.pinned.steps.iter().zip(counted);
    let next = steps
        .enumerate()
        .find(|(_, (step, count))| *count < step.need);
    Ok(Standing {
        fallen,
        next: next.map(|(ix, _)| ix),
    })
}

/// All of it: what has to hold at the instant at which access is given.
pub(super) fn everything(request: &AccessRequest, facts: &Facts<'_>) -> Result<(), Refusal> {
    basis(request, facts)?;
    eligibility(request, facts)?;
    if request.kind == Kind::BreakGlass {
        return Ok(());
    }
    match standing(request, &request.approval, facts)?.next {
        None => Ok(()),
        Some(step) => Err(Refusal::ApprovalFell {
            step: u16::try_from(step).unwrap_or(u16::MAX),
        }),
    }
}
