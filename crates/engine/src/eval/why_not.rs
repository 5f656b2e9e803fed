//! Why not: the smallest sets of changes that would turn a denial into an allow, and what each of them gives besides.
//!
//! What may change is noted for everything that the question reaches (`reach`, `variables`): relationships that could be
//! added, renewed or removed, and caveats that could come to something else. The question becomes equations over these
//! (`equations`), from which follow small sets of changes (`ways`, `solve`). Each set is then tried: the check has to allow
//! on the changed graph, and with no part of the set; where it does not, what the set spoils is sought (`trial`). What it gives besides is counted from two
//! snapshots (`gains`). docs/why-not.md says what is looked for and what is not.
//!
//! A viewer who may not see everything is told what follows from what he sees and from the decision, and from nothing
//! else ([`why_not_seen`]).

mod change;
mod equations;
mod gains;
mod holding;
mod reach;
mod rows;
mod sight;
mod solve;
#[cfg(test)]
mod tests;
mod trial;
mod variables;
mod ways;

use std::collections::BTreeSet;

use model::{Decision, ObjectRef, SubjectRef};
use schema::MemberIx;

use self::equations::Equations;
use self::gains::{Counter, Touched};
use self::holding::Holding;
use self::rows::{Asked, Rows};
use self::trial::Trial;
use self::variables::{Variable, Variables};
use self::ways::{Effort, Literal};
use super::query::{Query, QueryError};
use super::value::EvalError;
use super::{Environment, Interrupt};
use crate::graph::Snapshot;

pub use change::{AddedSubjects, ChangeSet, Changeable, Proposed, Relations, WhyNotLimits};
pub use gains::{Gained, Gains, Others, OthersGaining};
pub use sight::{Sight, WhyNotSeen, why_not_seen};

/// Why does `subject` not have `member` of `resource`?
#[derive(Debug, Clone, Copy)]
pub struct WhyNotQuery<'a> {
    /// What is asked about. Nothing is proposed of it if the graph has never seen it.
    pub resource: &'a ObjectRef,
    /// The relation or permission.
    pub member: &'a str,
    /// Who is asked about. The graph need not have seen it.
    pub subject: &'a SubjectRef,
    /// As for a check. The edges that may be visited are those of the walk, those of all trials together, and those of
    /// each look-up.
    pub environment: Environment<'a>,
    /// What may be proposed.
    pub changeable: &'a Changeable,
    /// How much is looked at and told.
    pub limits: WhyNotLimits,
}

/// Why a subject does not have a permission.
#[derive(Debug, Clone, PartialEq)]
pub struct WhyNot {
    /// What a check comes to.
    pub decision: Result<Decision, EvalError>,
    /// Sets of changes of which each turns it into an allow; nothing less than the whole set does. None if it is one.
    pub sets: Vec<ChangeSet>,
    /// Whether these are all such sets, of the changes that may be proposed. If not, a limit was met, or the
    /// relationships make a permission depend on its own absence.
    pub is_complete: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhyNotError {
    /// It cannot be asked of the schema.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Too much is reached, or nobody waits any more.
    #[error(transparent)]
    Eval(#[from] EvalError),
}

/// The smallest sets of changes that turn the decision into an allow: fewest changes first, then those of fewest written
/// ones, then those that give the subject least besides, then those that give nothing to others.
///
/// # Errors
/// [`WhyNotError`]; where only the proposals are too many, there are fewer of them.
/// # Cost
/// O(edges that the question can reach), and for each set that is tried at most 2 to the power of its size checks. What
/// sets give besides takes a few look-ups for each, at most `lookups_max`.
pub fn why_not(
    snapshot: &Snapshot,
    query: &WhyNotQuery<'_>,
    interrupt: &Interrupt,
) -> Result<WhyNot, WhyNotError> {
    sets(snapshot, query, interrupt, |set, gains| {
        let size = set.changes.len() as u64;
        [
            size,
            writes(set),
            uncounted(gains),
            gains.pair_count(),
            others(gains),
        ]
    })
}

/// The same sets in the order in which they should be given: those first that give the subject least besides what is
/// asked for, then those that give nothing to others, then those of fewest changes. Only changes of relationships are
/// proposed.
///
/// # Errors
/// As [`why_not`].
/// # Cost
/// As [`why_not`].
pub fn smallest_grants(
    snapshot: &Snapshot,
    query: &WhyNotQuery<'_>,
    interrupt: &Interrupt,
) -> Result<WhyNot, WhyNotError> {
    let changeable = Changeable {
        context: false,
        ..query.changeable.clone()
    };
    let query = WhyNotQuery {
        changeable: &changeable,
        ..*query
    };
    sets(snapshot, &query, interrupt, |set, gains| {
        let size = set.changes.len() as u64;
        [
            uncounted(gains),
            gains.pair_count(),
            others(gains),
            size,
            writes(set),
        ]
    })
}

/// Other values in a request change nothing for good.
fn writes(set: &ChangeSet) -> u64 {
    set.graph_changes().len() as u64
}

/// Sets of which not everything was counted come last among their like.
fn uncounted(gains: &Gains) -> u64 {
    u64::from(gains.is_truncated)
}

fn others(gains: &Gains) -> u64 {
    u64::from(gains.others.may_gain)
}

/// Where a set stands among all: the least comes first.
type Rank = [u64; 5];

fn sets(
    snapshot: &Snapshot,
    query: &WhyNotQuery<'_>,
    interrupt: &Interrupt,
    rank: impl Fn(&ChangeSet, &Gains) -> Rank,
) -> Result<WhyNot, WhyNotError> {
    let asked = asked(snapshot, query)?;
    let (decision, _) = super::counted_check(snapshot, &asked.query, query.environment);
    if decision == Ok(Decision::Allowed) {
        return Ok(WhyNot {
            decision,
            sets: Vec::new(),
            is_complete: true,
        });
    }
    let search = Search::of(&mut Rows::new(asked, None), query, interrupt)?;
    let mut trial = search.trial(asked, snapshot, query);
    let (proven, error) = trial.prove(
        &mut query.limits.effort(),
        query.limits.candidates_max,
        interrupt,
    );
    if let Some(error @ EvalError::Interrupted) = error {
        return Err(error.into());
    }
    let mut counter = Counter::new(asked, query.member, query.limits, interrupt);
    let mut ranked: Vec<(Rank, ChangeSet)> = Vec::new();
    for takes in &proven.sets {
        let mut set = search.variables.set(takes);
        let after = snapshot.apply(snapshot.revision(), snapshot.time(), &set.graph_changes());
        let gains = match after {
            Ok(after) => counter.gains(&after, &search.touched(asked, takes))?,
            Err(_) => Gains {
                is_truncated: true,
                ..Gains::default()
            },
        };
        let rank = rank(&set, &gains);
        set.gains = Some(gains);
        ranked.push((rank, set));
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    let is_complete = search.is_all && proven.is_all && ranked.len() <= query.limits.sets_max;
    ranked.truncate(query.limits.sets_max);
    Ok(WhyNot {
        decision,
        sets: ranked.into_iter().map(|(_, set)| set).collect(),
        is_complete,
    })
}

fn asked<'a>(snapshot: &'a Snapshot, query: &WhyNotQuery<'a>) -> Result<Asked<'a>, QueryError> {
    Ok(Asked {
        snapshot,
        query: Query::resolve(snapshot, query.resource, query.member, query.subject)?,
        resource: query.resource,
        subject: query.subject,
        environment: query.environment,
    })
}

impl WhyNotLimits {
    fn effort(&self) -> Effort {
        Effort {
            changes_max: self.changes_max.min(Self::CHANGES_MAX),
            ways_max: self.ways_max,
            combinations_left: self.combinations_max,
            is_truncated: false,
        }
    }
}

/// Whether there can be data that makes the subject hold `member`.
fn may_hold(asked: &Asked<'_>, member: MemberIx) -> bool {
    let definition_count = asked.snapshot.schema().definitions().len();
    let plan = asked.snapshot.plan().member(member);
    plan.may_hold(asked.query.subject, definition_count)
}

/// What can be changed about a question, and how it depends on that.
struct Search<'a> {
    variables: Variables<'a>,
    equations: Equations,
    is_all: bool,
}

impl<'a> Search<'a> {
    fn of(
        rows: &mut Rows<'a>,
        query: &WhyNotQuery<'a>,
        interrupt: &'a Interrupt,
    ) -> Result<Self, EvalError> {
        let asked = rows.asked;
        let limits = query.limits;
        // What the subject holds elsewhere may be due to what a viewer does not see.
        let links_max = match query.changeable.subjects {
            AddedSubjects::AskedAndHolding if rows.is_open() => limits.links_max,
            AddedSubjects::AskedAndHolding | AddedSubjects::Asked => 0,
        };
        let mut holding = Holding::new(asked, interrupt, links_max);
        let mut variables = Variables::new(
            asked,
            query.changeable,
            rows.knows_resource(),
            limits.additions_max,
        );
        reach::reach(rows, &mut holding, &mut variables)?;
        let equations = equations::equations(rows, &variables)?;
        Ok(Self {
            is_all: !holding.is_truncated && !variables.is_truncated,
            variables,
            equations,
        })
    }

    fn trial<'t>(
        &'t self,
        asked: Asked<'a>,
        base: &'t Snapshot,
        query: &WhyNotQuery<'t>,
    ) -> Trial<'t, 'a> {
        Trial::new(
            asked,
            base,
            (&self.variables, &self.equations),
            query.member,
        )
    }

    /// The relationships that a set changes.
    fn touched(&self, asked: Asked<'_>, takes: &[Literal]) -> BTreeSet<Touched> {
        let changed = takes.iter().filter_map(|literal| {
            let Variable::Row(variable) = self.variables.get(literal / 2)? else {
                return None;
            };
            let key = asked.snapshot.layout().key(variable.row.class);
            Some(Touched {
                relation: key.relation,
                kind: key.kind,
                is_of_subject: asked.is_subject_of(variable.row),
            })
        });
        changed.collect()
    }
}
