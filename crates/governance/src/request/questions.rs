//! What the engine has to be asked before a step.

use std::collections::BTreeSet;

use model::{ObjectRef, SubjectRef};

use super::{AccessRequest, Kind, State, Submission};
use crate::authority::{Authority, Question};
use crate::entitlement::Entitlement;

/// Every question that any event of `actor` (none for Remit itself) can depend on, where the entitlement is `current` now.
/// With an answer to each, none is ever missing.
#[must_use]
pub fn questions(
    request: &AccessRequest,
    actor: Option<&ObjectRef>,
    current: Option<&Entitlement>,
) -> BTreeSet<Question> {
    let mut asked = Asked(BTreeSet::new());
    let pinned = &request.pinned;
    let resources: BTreeSet<&ObjectRef> = request
        .asked
        .access
        .iter()
        .map(|access| &access.resource)
        .collect();
    for entitlement in [Some(pinned), current].into_iter().flatten() {
        asked.all(
            &request.requester,
            may_ask(entitlement, request.kind == Kind::BreakGlass),
            &resources,
        );
    }
    let wish = match &request.state {
        State::Active(grant) => grant.extension.as_ref(),
        State::Pending | State::Approved { .. } | State::Suspended(_) | State::Closed { .. } => {
            None
        }
    };
    let decisions = request.approval.decisions.iter();
    for decision in decisions.chain(wish.into_iter().flat_map(|wish| &wish.round.decisions)) {
        asked.one(&decision.by, &request.beneficiary);
        if let Some(step) = pinned.steps.get(usize::from(decision.step)) {
            asked.all(&decision.by, &step.approvers, &resources);
        }
    }
    if let Some(actor) = actor {
        asked.one(actor, &request.beneficiary);
        asked.all(actor, &pinned.owners, &resources);
        asked.all(
            actor,
            pinned.steps.iter().flat_map(|step| &step.approvers),
            &resources,
        );
    }
    asked.0
}

/// Every question that a submission depends on.
#[must_use]
pub fn questions_of(submission: &Submission, entitlement: &Entitlement) -> BTreeSet<Question> {
    let mut asked = Asked(BTreeSet::new());
    let resources = submission.access.iter().map(|access| &access.resource);
    let may_ask = may_ask(entitlement, submission.break_glass);
    asked.all(&submission.requester, may_ask, &resources.collect());
    asked.0
}

fn may_ask(entitlement: &Entitlement, is_break_glass: bool) -> impl Iterator<Item = &Authority> {
    let holders = entitlement.break_glass.as_ref().filter(|_| is_break_glass);
    let eligible = (!is_break_glass).then_some(&entitlement.eligible);
    holders
        .map(|it| &it.holders)
        .or(eligible)
        .into_iter()
        .flatten()
}

struct Asked(BTreeSet<Question>);

impl Asked {
    fn one(&mut self, person: &ObjectRef, set: &SubjectRef) {
        // One object is told by its name.
        if set.relation.is_some() {
            self.0.insert(Question {
                person: person.clone(),
                set: set.clone(),
            });
        }
    }

    fn all<'a>(
        &mut self,
        person: &ObjectRef,
        authorities: impl IntoIterator<Item = &'a Authority>,
        resources: &BTreeSet<&ObjectRef>,
    ) {
        for authority in authorities {
            for resource in resources {
                self.one(person, &authority.on(resource));
            }
        }
    }
}
