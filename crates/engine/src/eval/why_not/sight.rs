//! What a viewer may be told: what follows from the relationships that he may see and from the decision.
//!
//! Nothing hidden takes part. The search, the trials and their limits run on the graph without the hidden relationships, so
//! two graphs that differ only in those give the same answer, as long as a check comes to the same. The price is that what
//! is told may not be enough: something hidden may stand in the way. Whether a set is enough on the whole graph is not
//! told, nor how much it gives besides, since both depend on what is hidden; whoever decides about the change asks
//! [`super::why_not`] himself. For the same reason nothing is proposed that rests on what the subject holds elsewhere.

use model::{Decision, ObjectRef, Relationship, SubjectId};

use super::rows::Rows;
use super::{ChangeSet, Search, WhyNotError, WhyNotQuery, asked};
use crate::eval::value::EvalError;
use crate::eval::{Interrupt, counted_check};
use crate::graph::{Change, Snapshot};

/// What a viewer may see. A relationship is seen where both of its ends are, and itself.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// Whether he may know of the object.
    pub object: &'a dyn Fn(&ObjectRef) -> bool,
    /// Whether he may know of the relationship, given that he may know of its objects.
    pub relationship: &'a dyn Fn(&Relationship) -> bool,
}

/// Why a subject does not have a permission, as far as a viewer may know.
#[derive(Debug, Clone, PartialEq)]
pub struct WhyNotSeen {
    /// What a check comes to, on the whole graph.
    pub decision: Result<Decision, EvalError>,
    /// Sets of changes of which each would turn it into an allow if there were nothing but what the viewer sees. Without
    /// what they give besides.
    pub sets: Vec<ChangeSet>,
    /// Whether these are all such sets, of the changes that may be proposed.
    pub is_complete: bool,
    /// Whether what the viewer sees comes to another decision: something that he may not see takes part in this one.
    pub something_hidden: bool,
}

impl Sight<'_> {
    pub(super) fn sees(&self, relationship: &Relationship) -> bool {
        let subject = &relationship.subject;
        let sees_subject = match &subject.id {
            SubjectId::Wildcard => true,
            SubjectId::Object(id) => (self.object)(&ObjectRef {
                definition: subject.definition.clone(),
                id: id.clone(),
            }),
        };
        sees_subject && (self.object)(&relationship.resource) && (self.relationship)(relationship)
    }
}

/// As [`super::why_not`], for a viewer who may not see everything.
///
/// # Errors
/// [`WhyNotError`]. The work limit counts hidden relationships, too: it is the one thing that may tell of their number, and
/// is the same error whoever asks.
/// # Cost
/// As [`super::why_not`], without look-ups.
pub fn why_not_seen(
    snapshot: &Snapshot,
    query: &WhyNotQuery<'_>,
    sight: Sight<'_>,
    interrupt: &Interrupt,
) -> Result<WhyNotSeen, WhyNotError> {
    let asked = asked(snapshot, query)?;
    let (decision, _) = counted_check(snapshot, &asked.query, query.environment);
    if decision == Ok(Decision::Allowed) {
        return Ok(WhyNotSeen {
            decision,
            sets: Vec::new(),
            is_complete: true,
            something_hidden: false,
        });
    }
    let mut rows = Rows::new(asked, Some(sight));
    let search = Search::of(&mut rows, query, interrupt)?;
    let hidden = rows.hidden().into_iter();
    let hidden: Vec<Change> = hidden
        .filter_map(|row| search.variables.key(row).map(Change::Remove))
        .collect();
    let seen = snapshot.apply(snapshot.revision(), snapshot.time(), &hidden);
    // A relationship of the graph fits its schema; were it otherwise, nothing is told.
    let Ok(seen) = seen else {
        return Ok(WhyNotSeen {
            decision,
            sets: Vec::new(),
            is_complete: false,
            something_hidden: true,
        });
    };
    let mut trial = search.trial(asked, &seen, query);
    let seen_decision = trial.decision(&[]);
    let (proven, error) = trial.prove(
        &mut query.limits.effort(),
        query.limits.candidates_max,
        interrupt,
    );
    if let Some(error) = error {
        return Err(error.into());
    }
    let sets_max = query.limits.sets_max;
    let is_complete = search.is_all && proven.is_all && proven.sets.len() <= sets_max;
    let told = proven.sets.iter().take(sets_max);
    Ok(WhyNotSeen {
        something_hidden: seen_decision != decision,
        decision,
        sets: told.map(|takes| search.variables.set(takes)).collect(),
        is_complete,
    })
}
