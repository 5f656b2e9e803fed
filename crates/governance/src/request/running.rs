//! What becomes of what is active: longer, suspended, over.

use model::ObjectRef;

use super::step::Draft;
use super::{Grant, Outcome, Refusal, Round, State, Wish, guard, recheck};
use crate::grant::ReasonEvent;
use crate::notice::NoticeKind;
use crate::span::Span;

pub(super) fn extend(draft: &mut Draft<'_>, by: &ObjectRef, length: Span) -> Result<(), Refusal> {
    let room = guard::extend(&draft.request, by, draft.now, draft.facts)?;
    if length > room {
        return Err(Refusal::Maximum {
            room: room.to_string(),
            max: draft.request.pinned.duration_max,
        });
    }
    if is_automatic(draft, length)? {
        if let State::Active(grant) = &mut draft.request.state {
            grant.automatic += 1;
        }
        longer(draft, length);
        return Ok(());
    }
    if draft.request.pinned.steps.is_empty() {
        longer(draft, length);
        return Ok(());
    }
    let until = draft.request.pinned.pending.after(draft.now);
    if let State::Active(grant) = &mut draft.request.state {
        let round = Round::open(draft.now, until.min(grant.until));
        grant.extension = Some(Wish { length, round });
    }
    let approvers = draft.request.approvers(0);
    draft.notice(NoticeKind::ExtensionAsked, approvers);
    Ok(())
}

/// Whether an extension needs no decision: one of those that the entitlement lets be, where no approver has said how
/// long, and all that was decided still holds.
fn is_automatic(draft: &Draft<'_>, length: Span) -> Result<bool, Refusal> {
    let (State::Active(grant), Some(extension)) =
        (&draft.request.state, &draft.request.pinned.extension)
    else {
        return Ok(false);
    };
    if grant.by_decision || grant.automatic >= extension.automatic || length > extension.each {
        return Ok(false);
    }
    match recheck::everything(&draft.request, draft.facts) {
        Ok(()) => Ok(true),
        Err(unanswered @ Refusal::Unanswered(_)) => Err(unanswered),
        Err(_) => Ok(false),
    }
}

pub(super) fn extension_approved(draft: &mut Draft<'_>) {
    let State::Active(grant) = &mut draft.request.state else {
        return;
    };
    if let Some(wish) = grant.extension.take() {
        longer(draft, wish.length);
    }
}

/// The one place in which a grant gets longer.
fn longer(draft: &mut Draft<'_>, length: Span) {
    let max = draft.request.pinned.duration_max;
    let State::Active(grant) = &mut draft.request.state else {
        return;
    };
    let until = length.after(grant.until).min(max.after(grant.since));
    grant.until = until;
    grant.warned = false;
    grant.extension = None;
    draft.reasons(&ReasonEvent::Extend { until });
    draft.notice(NoticeKind::Extended, draft.request.parties());
}

pub(super) fn suspend(draft: &mut Draft<'_>) {
    let State::Active(grant) = &draft.request.state else {
        return;
    };
    // Who wants it longer asks again when it gives access again.
    let extension = None;
    let grant = Grant {
        extension,
        ..grant.clone()
    };
    draft.request.state = State::Suspended(grant);
    draft.reasons(&ReasonEvent::Suspend);
    draft.notice(NoticeKind::Suspended, draft.request.parties());
}

pub(super) fn resume(draft: &mut Draft<'_>) {
    let State::Suspended(grant) = &draft.request.state else {
        return;
    };
    draft.request.state = State::Active(grant.clone());
    draft.reasons(&ReasonEvent::Resume);
    draft.notice(NoticeKind::Resumed, draft.request.parties());
}

/// It is over: what it gave goes with it.
pub(super) fn end(draft: &mut Draft<'_>, outcome: Outcome, kind: NoticeKind) {
    if draft.request.state.grant().is_some() {
        draft.reasons(&ReasonEvent::End);
    }
    let told = draft.request.parties();
    draft.notice(kind, told);
    draft.close(outcome);
}
