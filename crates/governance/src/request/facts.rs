//! What the machine is told of the world: nothing here is looked up.

use std::collections::{BTreeMap, BTreeSet};

use model::{ObjectRef, SubjectRef};

use super::{AccessRequest, OwnRole, Refusal};
use crate::authority::{Answer, Authority, Question};
use crate::entitlement::Entitlement;

/// What is so at the instant of an event, all of one snapshot.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The entitlement as it is now; none if it is gone.
    pub entitlement: Option<&'a Entitlement>,
    /// What the engine says. What it was not asked is refused, not taken for a no.
    pub answers: BTreeMap<Question, Answer>,
    /// Who is locked, of those who are in the request or do something.
    pub locked: BTreeSet<ObjectRef>,
    /// Who may act for the beneficiary.
    pub delegates: BTreeSet<ObjectRef>,
}

impl Facts<'_> {
    fn is_in(&self, person: &ObjectRef, set: &SubjectRef) -> Result<Answer, Refusal> {
        if set.relation.is_none() {
            let is_same = *set == SubjectRef::from(person.clone());
            return Ok(if is_same { Answer::Yes } else { Answer::No });
        }
        let question = Question {
            person: person.clone(),
            set: set.clone(),
        };
        let answer = self.answers.get(&question).copied();
        answer.ok_or_else(|| Refusal::unanswered(person, set))
    }

    /// Whether `person` is one of `authorities` on `resource`, and not because of a broken glass. Someone locked is not.
    pub(super) fn holds<'a>(
        &self,
        person: &ObjectRef,
        authorities: impl IntoIterator<Item = &'a Authority>,
        resource: &ObjectRef,
    ) -> Result<bool, Refusal> {
        if self.locked.contains(person) {
            return Ok(false);
        }
        let mut missing = None;
        for authority in authorities {
            match self.is_in(person, &authority.on(resource)) {
                Ok(Answer::Yes) => return Ok(true),
                Ok(Answer::No | Answer::ByBreakGlass) => {}
                Err(refusal) => missing = missing.or(Some(refusal)),
            }
        }
        missing.map_or(Ok(false), Err)
    }

    /// As what `person` would decide for themselves; none if they would not.
    pub(super) fn own_role(
        &self,
        request: &AccessRequest,
        person: &ObjectRef,
    ) -> Result<Option<OwnRole>, Refusal> {
        if request.requester == *person {
            return Ok(Some(OwnRole::Requester));
        }
        if self.delegates.contains(person) {
            return Ok(Some(OwnRole::DelegateOfBeneficiary));
        }
        // Whoever is in a group is given what the group is given, however they came into it.
        Ok(match self.is_in(person, &request.beneficiary)? {
            Answer::Yes | Answer::ByBreakGlass => Some(OwnRole::Beneficiary),
            Answer::No => None,
        })
    }
}
