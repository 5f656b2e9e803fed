//! Asking: what is checked of a submission, and what it would come to.

use std::collections::BTreeSet;

use model::{ObjectRef, SubjectId, SubjectRef, Timestamp};

use super::{
    ACCESS_MAX, AccessRequest, Facts, Kind, LockedRole, REASON_BYTES_MAX, Refusal, Round, State,
    StateKind, Submission, TICKET_BYTES_MAX, Terms,
};
use crate::authority::{Authority, resolved};
use crate::entitlement::{Entitlement, Version, ticket_pattern};
use crate::names::EntitlementName;
use crate::span::Span;

/// What a submission would come to, if it were made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The version of the entitlement that it would pin.
    pub version: Version,
    /// What would be asked for, with what the entitlement says where nothing was said.
    pub terms: Terms,
    /// The state that it would be in.
    pub state: StateKind,
    /// Until when that lasts at most.
    pub until: Timestamp,
    /// Who would have to approve, step by step.
    pub steps: Vec<PreviewStep>,
}

/// A step of approval of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewStep {
    /// Its name.
    pub name: EntitlementName,
    /// How many have to approve.
    pub need: u16,
    /// Of whom: each is one of these for each resource.
    pub approvers: BTreeSet<SubjectRef>,
}

/// What a submission would come to.
///
/// # Errors
/// Every [`Refusal`] at once; [`step`](super::step()) tells the first of them.
pub fn preview(
    submission: &Submission,
    now: Timestamp,
    facts: &Facts<'_>,
) -> Result<Preview, Vec<Refusal>> {
    let (entitlement, terms) = check(submission, now, facts)?;
    let request = fresh(submission, entitlement, terms.clone(), now);
    let (state, until) = match (request.kind, entitlement.steps.is_empty()) {
        (Kind::BreakGlass, _) => (StateKind::Active, terms.length.after(now)),
        (Kind::Ordinary, true) => (
            StateKind::Approved,
            super::open::approved_until(&request, now),
        ),
        (Kind::Ordinary, false) => (StateKind::Pending, request.approval.until),
    };
    let resources = terms.resources();
    let steps = entitlement.steps.iter().map(|step| PreviewStep {
        name: step.name.clone(),
        need: step.need,
        approvers: resolved(&step.approvers, &resources),
    });
    Ok(Preview {
        version: entitlement.version(),
        steps: steps.collect(),
        state,
        until,
        terms,
    })
}

/// A request that was made this instant, before anything became of it.
pub(super) fn fresh(
    submission: &Submission,
    entitlement: &Entitlement,
    terms: Terms,
    now: Timestamp,
) -> AccessRequest {
    AccessRequest {
        id: submission.id.clone(),
        requester: submission.requester.clone(),
        beneficiary: submission.beneficiary.clone(),
        pinned: entitlement.clone(),
        kind: if submission.break_glass {
            Kind::BreakGlass
        } else {
            Kind::Ordinary
        },
        reason: submission.reason.clone(),
        ticket: submission.ticket.clone(),
        asked: terms.clone(),
        granted: terms,
        submitted_at: now,
        changed_at: now,
        approval: Round::open(now, entitlement.pending.after(now)),
        state: State::Pending,
        history: Vec::new(),
    }
}

impl Round {
    pub(super) fn open(now: Timestamp, until: Timestamp) -> Self {
        Self {
            opened_at: now,
            until,
            decisions: Vec::new(),
            reminded: 0,
            escalated: false,
        }
    }
}

struct Refusals(Vec<Refusal>);

impl Refusals {
    fn unless(&mut self, holds: bool, refusal: Refusal) {
        if !holds {
            self.0.push(refusal);
        }
    }
}

/// Checks a submission against the entitlement as it is now: the entitlement and what is asked for, or all that is wrong.
pub(super) fn check<'a>(
    submission: &Submission,
    now: Timestamp,
    facts: &Facts<'a>,
) -> Result<(&'a Entitlement, Terms), Vec<Refusal>> {
    let named = facts
        .entitlement
        .filter(|entitlement| entitlement.name == submission.entitlement);
    let Some(entitlement) = named else {
        return Err(vec![Refusal::EntitlementGone]);
    };
    let mut refusals = Refusals(Vec::new());
    people(submission, entitlement, facts, &mut refusals);
    what(submission, entitlement, &mut refusals);
    when(submission, entitlement, now, &mut refusals);
    why(submission, entitlement, &mut refusals);
    let max = longest(submission, entitlement);
    let terms = Terms {
        access: submission.access.clone(),
        length: submission
            .length
            .unwrap_or(entitlement.duration_default.min(max)),
        starts_at: submission.starts_at,
    };
    if refusals.0.is_empty() {
        Ok((entitlement, terms))
    } else {
        Err(refusals.0)
    }
}

/// Who may ask: in an emergency the holders of the glass.
fn may_ask<'e>(
    submission: &Submission,
    entitlement: &'e Entitlement,
) -> Option<&'e BTreeSet<Authority>> {
    match (&entitlement.break_glass, submission.break_glass) {
        (_, false) => Some(&entitlement.eligible),
        (break_glass, true) => break_glass.as_ref().map(|it| &it.holders),
    }
}

fn longest(submission: &Submission, entitlement: &Entitlement) -> Span {
    match (&entitlement.break_glass, submission.break_glass) {
        (Some(break_glass), true) => break_glass.duration_max,
        (Some(_), false) | (None, _) => entitlement.duration_max,
    }
}

fn people(
    submission: &Submission,
    entitlement: &Entitlement,
    facts: &Facts<'_>,
    refusals: &mut Refusals,
) {
    let (requester, beneficiary) = (&submission.requester, &submission.beneficiary);
    refusals.unless(
        !facts.locked.contains(requester),
        Refusal::Locked(LockedRole::Actor),
    );
    let is_locked = match &beneficiary.id {
        SubjectId::Wildcard => false,
        SubjectId::Object(id) => facts.locked.contains(&ObjectRef {
            definition: beneficiary.definition.clone(),
            id: id.clone(),
        }),
    };
    let is_own = *beneficiary == SubjectRef::from(requester.clone());
    refusals.unless(
        is_own || !is_locked,
        Refusal::Locked(LockedRole::Beneficiary),
    );
    refusals.unless(entitlement.takes(beneficiary), Refusal::Beneficiary);
    if submission.break_glass {
        refusals.unless(is_own, Refusal::BreakGlassForOthers);
    } else {
        refusals.unless(is_own || entitlement.for_others, Refusal::NotForOthers);
    }
    let Some(may_ask) = may_ask(submission, entitlement) else {
        return refusals.0.push(Refusal::NoBreakGlass);
    };
    let resources: BTreeSet<&ObjectRef> = submission
        .access
        .iter()
        .map(|access| &access.resource)
        .collect();
    for resource in resources.into_iter().take(ACCESS_MAX) {
        match facts.holds(requester, may_ask, resource) {
            Ok(true) => {}
            Ok(false) => return refusals.0.push(Refusal::NotEligible),
            Err(refusal) => return refusals.0.push(refusal),
        }
    }
}

fn what(submission: &Submission, entitlement: &Entitlement, refusals: &mut Refusals) {
    let count = submission.access.len();
    refusals.unless(
        (1..=ACCESS_MAX).contains(&count),
        Refusal::AccessCount { count },
    );
    for access in submission.access.iter().take(ACCESS_MAX) {
        if let Err(why) = entitlement.covers(access) {
            let access = access.clone();
            refusals.0.push(Refusal::NotCovered { access, why });
        }
    }
}

fn when(
    submission: &Submission,
    entitlement: &Entitlement,
    now: Timestamp,
    refusals: &mut Refusals,
) {
    let max = longest(submission, entitlement);
    if let Some(length) = submission.length {
        refusals.unless(length <= max, Refusal::TooLong { length, max });
    }
    let Some(start) = submission.starts_at else {
        return;
    };
    refusals.unless(!submission.break_glass, Refusal::BreakGlassScheduled);
    refusals.unless(start >= now, Refusal::StartInThePast);
    match entitlement.ahead {
        None => refusals.0.push(Refusal::NotScheduled),
        Some(ahead) => refusals.unless(
            start <= ahead.after(now),
            Refusal::StartTooFarAhead { ahead },
        ),
    }
}

fn why(submission: &Submission, entitlement: &Entitlement, refusals: &mut Refusals) {
    let bytes = submission.reason.len();
    refusals.unless(bytes <= REASON_BYTES_MAX, Refusal::ReasonTooLong { bytes });
    // Whoever breaks a glass says why.
    let is_needed = entitlement.reason_required || submission.break_glass;
    refusals.unless(
        !is_needed || !submission.reason.trim().is_empty(),
        Refusal::ReasonMissing,
    );
    match (&entitlement.ticket, &submission.ticket) {
        (None, None) => {}
        (None, Some(_)) => refusals.0.push(Refusal::NoTicket),
        (Some(ticket), None) => refusals.unless(!ticket.required, Refusal::TicketMissing),
        (Some(ticket), Some(given)) => {
            let fits = ticket_pattern(&ticket.pattern).is_ok_and(|whole| whole.is_match(given));
            let pattern = ticket.pattern.clone();
            refusals.unless(
                fits && given.len() <= TICKET_BYTES_MAX,
                Refusal::TicketWrong { pattern },
            );
        }
    }
}
