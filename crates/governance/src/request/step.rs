//! One step: the record before and an event make the record after and what is to be done, or a refusal.

use std::collections::BTreeSet;

use model::{SubjectRef, Timestamp};

use super::due::{escalation_at, reminder_at};
use super::submit::{check, fresh};
use super::table::leads_to;
use super::{
    AccessRequest, Entry, Event, EventKind, Facts, Outcome, REASON_BYTES_MAX, Refusal, State,
    Submission, approve, guard, open, running,
};
use crate::authority::resolved;
use crate::grant::{ReasonChange, ReasonEvent};
use crate::names::RequestId;
use crate::notice::{Notice, NoticeKind};

/// What is to be done, in the commit that keeps the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A reason for a relationship changes: [`Holding::change`](crate::Holding::change) says what becomes of the relationship.
    Reason(ReasonChange),
    /// Somebody is to be told something.
    Notice(Notice),
    /// Somebody has to look at what was done in an emergency.
    ReviewDue {
        /// At what.
        request: RequestId,
        /// By when.
        by: Timestamp,
        /// Who.
        reviewers: BTreeSet<SubjectRef>,
    },
}

/// Makes of the request `before` (none where it is yet to be made) what `event` makes of it.
///
/// `now` is taken to be no earlier than the last change. The record that comes out has exactly one entry more in its history.
///
/// # Errors
/// [`Refusal`]: why the event is not taken. Nothing is to be kept then.
pub fn step(
    before: Option<&AccessRequest>,
    event: &Event,
    now: Timestamp,
    facts: &Facts<'_>,
) -> Result<(AccessRequest, Vec<Effect>), Refusal> {
    let bytes = event.note().len();
    if bytes > REASON_BYTES_MAX {
        return Err(Refusal::ReasonTooLong { bytes });
    }
    let from = before.map(|request| request.state.kind());
    let mut draft = match (before, event) {
        (None, Event::Submit(submission)) => submitted(submission, now, facts)?,
        (None, _) => return Err(Refusal::Absent),
        (Some(request), _) => {
            let now = now.max(request.changed_at);
            guard::common(request, event.kind(), event.by(), now, facts)?;
            let mut draft = Draft::new(request.clone(), event, now, facts);
            take(&mut draft, event)?;
            draft
        }
    };
    draft.enter(event);
    debug_assert!(
        leads_to(from, event.kind()).is_some_and(|to| to.contains(&draft.request.state.kind())),
        "the table has every step"
    );
    Ok((draft.request, draft.effects))
}

fn submitted<'f>(
    submission: &Submission,
    now: Timestamp,
    facts: &'f Facts<'f>,
) -> Result<Draft<'f>, Refusal> {
    let (entitlement, terms) = check(submission, now, facts).map_err(open::first)?;
    let request = fresh(submission, entitlement, terms, now);
    let mut draft = Draft {
        request,
        effects: Vec::new(),
        note: submission.reason.clone(),
        now,
        facts,
    };
    open::begin(&mut draft);
    Ok(draft)
}

fn take(draft: &mut Draft<'_>, event: &Event) -> Result<(), Refusal> {
    let (now, facts) = (draft.now, draft.facts);
    match event {
        // The table has no row for it; nor would a request be made over another.
        Event::Submit(_) => {
            return Err(Refusal::NotInState {
                state: draft.request.state.kind(),
                event: EventKind::Submit,
            });
        }
        Event::Approve { by, narrow, .. } => approve::approve(draft, by, narrow)?,
        Event::Deny { by, .. } => approve::deny(draft, by)?,
        Event::Cancel { by } => {
            guard::party(&draft.request, EventKind::Cancel, by, now, facts)?;
            running::end(draft, Outcome::Cancelled, NoticeKind::Cancelled);
        }
        Event::Extend { by, length, .. } => running::extend(draft, by, *length)?,
        Event::Return { by } => {
            guard::party(&draft.request, EventKind::Return, by, now, facts)?;
            running::end(draft, Outcome::Returned, NoticeKind::Returned);
        }
        Event::Revoke { by, .. } => {
            guard::revoke(&draft.request, by, now, facts)?;
            running::end(draft, Outcome::Revoked, NoticeKind::Revoked);
        }
        Event::Expire => expire(draft)?,
        Event::Activate { by } => {
            guard::activate(&draft.request, by, now, facts)?;
            open::activate(draft)?;
        }
        Event::Suspend { by, .. } => {
            guard::suspend(&draft.request, by, now, facts)?;
            running::suspend(draft);
        }
        Event::Resume { by } => {
            guard::resume(&draft.request, by, now, facts)?;
            running::resume(draft);
        }
        Event::Fail { reason } => open::failed(draft, reason.clone()),
        Event::Restart { by } => {
            guard::restart(&draft.request, by, now, facts)?;
            open::restart(draft)?;
        }
        Event::Remind => remind(draft)?,
        Event::Escalate => escalate(draft)?,
    }
    Ok(())
}

fn expire(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    match draft.request.limit() {
        Some(at) if draft.now < at => return Err(Refusal::NotYet { at }),
        Some(_) | None => {}
    }
    match draft.request.state.grant() {
        Some(_) => running::end(draft, Outcome::Ended, NoticeKind::Ended),
        None => running::end(draft, Outcome::Expired, NoticeKind::Expired),
    }
    Ok(())
}

fn remind(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let at = reminder_at(&draft.request).ok_or(Refusal::NothingToDecide)?;
    if draft.now < at {
        return Err(Refusal::NotYet { at });
    }
    if let State::Active(grant) = &mut draft.request.state {
        grant.warned = true;
        draft.notice(NoticeKind::EndsSoon, draft.request.parties());
        return Ok(());
    }
    draft.request.approval.reminded += 1;
    // Which step waits is for the engine to say, and a reminder too many does no harm.
    draft.notice(NoticeKind::Reminder, draft.request.all_approvers());
    Ok(())
}

fn escalate(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let at = escalation_at(&draft.request).ok_or(Refusal::NothingToDecide)?;
    if draft.now < at {
        return Err(Refusal::NotYet { at });
    }
    draft.request.approval.escalated = true;
    let escalation = draft.request.pinned.escalation.as_ref();
    let to = escalation.into_iter().flat_map(|escalation| &escalation.to);
    let to = resolved(to, &draft.request.granted.resources());
    draft.notice(NoticeKind::Escalated, to);
    Ok(())
}

/// A step under way.
pub(super) struct Draft<'f> {
    pub(super) request: AccessRequest,
    pub(super) effects: Vec<Effect>,
    /// What the history says of it.
    pub(super) note: String,
    pub(super) now: Timestamp,
    pub(super) facts: &'f Facts<'f>,
}

impl<'f> Draft<'f> {
    pub(super) fn new(
        request: AccessRequest,
        event: &Event,
        now: Timestamp,
        facts: &'f Facts<'f>,
    ) -> Self {
        Self {
            request,
            effects: Vec::new(),
            note: event.note().to_owned(),
            now,
            facts,
        }
    }

    /// Somebody is to be told. A step that is done twice tells it under the same id.
    pub(super) fn notice(&mut self, kind: NoticeKind, to: BTreeSet<SubjectRef>) {
        let entry = self.request.history.len();
        let notice = Notice::new(&self.request.id, entry, kind, (to, self.now));
        self.effects.push(Effect::Notice(notice));
    }

    /// Something becomes of the reason for each relationship of the grant.
    pub(super) fn reasons(&mut self, event: &ReasonEvent) {
        let request = &self.request;
        let changes = request.granted.access.iter().map(|access| {
            Effect::Reason(ReasonChange {
                relationship: access.of(&request.beneficiary),
                request: request.id.clone(),
                event: event.clone(),
            })
        });
        self.effects.extend(changes);
    }

    /// It is over.
    pub(super) fn close(&mut self, outcome: Outcome) {
        let grant = self.request.state.grant().cloned();
        self.request.state = State::Closed { outcome, grant };
    }

    /// Writes the step down.
    fn enter(&mut self, event: &Event) {
        self.request.changed_at = self.now;
        self.request.history.push(Entry {
            at: self.now,
            event: event.kind(),
            by: event.by().cloned(),
            state: self.request.state.kind(),
            note: std::mem::take(&mut self.note),
        });
    }
}
