//! Deciding: an approval with what it leaves, and a no.

use model::ObjectRef;

use super::guard::{self, ApproveOffer};
use super::recheck::{Standing, standing};
use super::step::Draft;
use super::{Decision, Narrowing, Outcome, Refusal, Round, State, Terms, open, running};
use crate::notice::NoticeKind;

pub(super) fn approve(
    draft: &mut Draft<'_>,
    by: &ObjectRef,
    narrow: &Narrowing,
) -> Result<(), Refusal> {
    let offer = guard::approve(&draft.request, by, draft.now, draft.facts)?;
    let left = narrowed(draft, &offer, narrow)?;
    let decision = Decision {
        by: by.clone(),
        step: u16::try_from(offer.step).unwrap_or(u16::MAX),
        at: draft.now,
        narrowed: left.clone(),
        note: draft.note.clone(),
        fallen_at: None,
    };
    let now = draft.now;
    let round = draft.waiting_round()?;
    for ix in &offer.fallen {
        if let Some(fallen) = round.decisions.get_mut(*ix) {
            fallen.fallen_at = Some(now);
        }
    }
    round.decisions.push(decision);
    let round = round.clone();
    if let Some(left) = left {
        draft.leave(left, offer.is_extension);
    }
    let Standing { next, .. } = standing(&draft.request, &round, draft.facts)?;
    match (next, offer.is_extension) {
        (None, false) => open::approved(draft),
        (None, true) => running::extension_approved(draft),
        (Some(step), _) if step != offer.step => {
            let approvers = draft.request.approvers(step);
            draft.notice(NoticeKind::Asked, approvers);
        }
        (Some(_), _) => {}
    }
    Ok(())
}

/// What an approver leaves; none where that is everything.
fn narrowed(
    draft: &Draft<'_>,
    offer: &ApproveOffer,
    narrow: &Narrowing,
) -> Result<Option<Terms>, Refusal> {
    let granted = &draft.request.granted;
    let access = narrow.access.as_ref().unwrap_or(&granted.access);
    let length = narrow.length.unwrap_or(offer.length);
    if access.is_empty() || !access.is_subset(&granted.access) || length > offer.length {
        return Err(Refusal::Widens);
    }
    if offer.is_extension && *access != granted.access {
        return Err(Refusal::NarrowsExtension);
    }
    if let Some(other) = access.iter().find(|access| !offer.access.contains(*access)) {
        return Err(Refusal::NotApproverOf {
            access: other.clone(),
        });
    }
    let is_less = length < offer.length || access.len() < granted.access.len();
    Ok(is_less.then(|| Terms {
        access: access.clone(),
        length,
        starts_at: granted.starts_at,
    }))
}

impl Draft<'_> {
    /// The round that waits.
    fn waiting_round(&mut self) -> Result<&mut Round, Refusal> {
        match &mut self.request.state {
            State::Pending => Ok(&mut self.request.approval),
            State::Active(grant) => {
                let wish = grant.extension.as_mut();
                wish.map(|wish| &mut wish.round)
                    .ok_or(Refusal::NothingToDecide)
            }
            State::Approved { .. } | State::Suspended(_) | State::Closed { .. } => {
                Err(Refusal::NothingToDecide)
            }
        }
    }

    /// Keeps what an approver left, and tells who asked what was changed.
    fn leave(&mut self, left: Terms, is_extension: bool) {
        match &mut self.request.state {
            State::Active(grant) if is_extension => {
                grant.by_decision = true;
                if let Some(wish) = &mut grant.extension {
                    wish.length = left.length;
                }
            }
            State::Pending
            | State::Active(_)
            | State::Approved { .. }
            | State::Suspended(_)
            | State::Closed { .. } => self.request.granted = left,
        }
        self.notice(NoticeKind::Narrowed, self.request.parties());
    }
}

pub(super) fn deny(draft: &mut Draft<'_>, by: &ObjectRef) -> Result<(), Refusal> {
    guard::deny(&draft.request, by, draft.now, draft.facts)?;
    if let State::Active(grant) = &mut draft.request.state {
        grant.extension = None;
        grant.by_decision = true;
        draft.notice(NoticeKind::ExtensionDenied, draft.request.parties());
        return Ok(());
    }
    draft.notice(NoticeKind::Denied, draft.request.parties());
    draft.close(Outcome::Denied);
    Ok(())
}
