//! From being asked to being active.

use model::Timestamp;

use super::step::{Draft, Effect};
use super::submit::check;
use super::{AccessRequest, Grant, Kind, Outcome, Refusal, Round, State, Submission, recheck};
use crate::grant::ReasonEvent;
use crate::notice::NoticeKind;

/// Until when what is approved at `now` can be activated.
pub(super) fn approved_until(request: &AccessRequest, now: Timestamp) -> Timestamp {
    let start = request
        .granted
        .starts_at
        .map_or(now, |start| start.max(now));
    request.pinned.activation.window.after(start)
}

/// What a request becomes that begins, or begins anew.
pub(super) fn begin(draft: &mut Draft<'_>) {
    match (draft.request.kind, draft.request.pinned.steps.is_empty()) {
        (Kind::BreakGlass, _) => break_the_glass(draft),
        (Kind::Ordinary, true) => approved(draft),
        (Kind::Ordinary, false) => {
            draft.request.state = State::Pending;
            let approvers = draft.request.approvers(0);
            draft.notice(NoticeKind::Asked, approvers);
        }
    }
}

pub(super) fn approved(draft: &mut Draft<'_>) {
    let until = approved_until(&draft.request, draft.now);
    draft.request.state = State::Approved { until };
    draft.notice(NoticeKind::Approved, draft.request.parties());
}

/// Everything has been looked at: the clock of the grant begins.
fn activated(draft: &mut Draft<'_>) {
    let since = draft.now;
    let until = draft.request.granted.length.after(since);
    draft.request.state = State::Active(Grant {
        since,
        until,
        automatic: 0,
        by_decision: draft.request.granted.length < draft.request.asked.length,
        warned: false,
        extension: None,
    });
    let is_break_glass = draft.request.kind == Kind::BreakGlass;
    draft.reasons(&ReasonEvent::Begin {
        until,
        is_break_glass,
    });
}

/// At once; and everybody hears of it who was not asked.
fn break_the_glass(draft: &mut Draft<'_>) {
    activated(draft);
    let (skipped, owners) = (draft.request.all_approvers(), draft.request.owners());
    draft.notice(
        NoticeKind::GlassBroken,
        skipped.union(&owners).cloned().collect(),
    );
    if let Some(break_glass) = &draft.request.pinned.break_glass {
        let by = break_glass.review.after(draft.now);
        draft.effects.push(Effect::ReviewDue {
            request: draft.request.id.clone(),
            by,
            reviewers: owners,
        });
    }
}

pub(super) fn activate(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    match recheck::everything(&draft.request, draft.facts) {
        Ok(()) => {
            activated(draft);
            draft.notice(NoticeKind::Activated, draft.request.parties());
        }
        // What is not known is asked again; what is known to be wrong is the end.
        Err(unanswered @ Refusal::Unanswered(_)) => return Err(unanswered),
        Err(refusal) => failed(draft, refusal.to_string()),
    }
    Ok(())
}

/// Never silently.
pub(super) fn failed(draft: &mut Draft<'_>, why: String) {
    draft.note = why;
    let told = draft
        .request
        .parties()
        .union(&draft.request.owners())
        .cloned()
        .collect();
    draft.notice(NoticeKind::ActivationFailed, told);
    draft.close(Outcome::ActivationFailed);
}

/// By the entitlement as it is now; what approvers did is undone.
pub(super) fn restart(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let (request, now) = (&draft.request, draft.now);
    let submission = Submission {
        id: request.id.clone(),
        requester: request.requester.clone(),
        beneficiary: request.beneficiary.clone(),
        entitlement: request.pinned.name.clone(),
        access: request.asked.access.clone(),
        length: Some(request.asked.length),
        // A start that has passed is as soon as can be.
        starts_at: request.asked.starts_at.filter(|start| *start >= now),
        reason: request.reason.clone(),
        ticket: request.ticket.clone(),
        break_glass: false,
    };
    let checked = check(&submission, now, draft.facts);
    let (entitlement, terms) = checked.map_err(first)?;
    draft.request.pinned = entitlement.clone();
    draft.request.granted = terms;
    draft.request.approval = Round::open(now, entitlement.pending.after(now));
    draft.notice(NoticeKind::Restarted, draft.request.parties());
    begin(draft);
    Ok(())
}

/// The first of some refusals.
pub(super) fn first(refusals: Vec<Refusal>) -> Refusal {
    refusals
        .into_iter()
        .next()
        .unwrap_or(Refusal::EntitlementGone)
}
