//! Trying sets of changes on the changed graph: does the check then allow, and does no part of the set do?

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use model::{CaveatName, CaveatRef, Decision};

use super::equations::Equations;
use super::rows::Asked;
use super::solve::Plan;
use super::variables::{Put, Variable, Variables};
use super::ways::{Effort, Literal, Way, is_part, joined};
use crate::eval::formula::Row;
use crate::eval::query::Query;
use crate::eval::value::EvalError;
use crate::eval::{Environment, Interrupt, counted_check};
use crate::graph::{Annotation, Change, Snapshot};

pub(super) struct Trial<'t, 'a> {
    pub(super) asked: Asked<'a>,
    /// The graph as it is, or as the viewer sees it.
    pub(super) base: &'t Snapshot,
    pub(super) variables: &'t Variables<'a>,
    pub(super) equations: &'t Equations,
    pub(super) member: &'t str,
    tried: HashMap<Vec<Literal>, Outcome>,
    edges_left: u64,
}

/// What the check comes to with a set of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Allowed,
    NotAllowed,
    /// It would allow if derivations could be longer. More changes do not make them shorter.
    TooDeep,
}

/// The sets that proved to be smallest.
pub(super) struct Proven {
    pub(super) sets: Vec<Vec<Literal>>,
    /// Whether every candidate was tried and did what it should.
    pub(super) is_all: bool,
}

impl Proven {
    /// The same, and not all.
    fn cut(mut self) -> Self {
        self.is_all = false;
        self
    }
}

impl<'t, 'a> Trial<'t, 'a> {
    pub(super) fn new(
        asked: Asked<'a>,
        base: &'t Snapshot,
        (variables, equations): (&'t Variables<'a>, &'t Equations),
        member: &'t str,
    ) -> Self {
        Self {
            asked,
            base,
            variables,
            equations,
            member,
            tried: HashMap::new(),
            edges_left: asked.environment.edges_visited_max,
        }
    }

    /// What the check comes to on the graph that changes are made to.
    ///
    /// # Errors
    /// As the check; [`EvalError::WorkExceeded`] once all trials together visited too many edges.
    pub(super) fn decision(&mut self, takes: &[Literal]) -> Result<Decision, EvalError> {
        let changed = self.changed(takes);
        let changed = changed.as_ref().unwrap_or(self.base);
        let query = Query::resolve(
            changed,
            self.asked.resource,
            self.member,
            self.asked.subject,
        );
        let Ok(query) = query else {
            return Ok(Decision::Denied);
        };
        let environment = Environment {
            edges_visited_max: self.edges_left,
            ..self.asked.environment
        };
        let (decision, edges_visited) = counted_check(changed, &query, environment);
        self.edges_left = self.edges_left.saturating_sub(edges_visited);
        decision
    }

    /// Seeks the ways and tries them, fewest changes first; of those that are enough it keeps those of which no part is.
    ///
    /// A way that is not enough spoils something by what it takes. So with it taken, what it takes besides is sought: no set
    /// is missed, since of whatever is in the way some change is in the set.
    ///
    /// # Errors
    /// [`EvalError::WorkExceeded`] once all trials together visited too many edges, [`EvalError::Interrupted`]; with what was
    /// proven until then.
    pub(super) fn prove(
        &mut self,
        effort: &mut Effort,
        candidates_max: usize,
        interrupt: &Interrupt,
    ) -> (Proven, Option<EvalError>) {
        let plan = Plan::of(&self.equations.formulas);
        let mut proven = Proven {
            sets: Vec::new(),
            is_all: plan.is_exact(),
        };
        let first = plan.solve(self.variables, &[], effort);
        let mut open: BTreeSet<(usize, Way)> =
            first.iter().map(|way| (way.len(), way.clone())).collect();
        let mut tried_count = 0;
        while let Some((_, takes)) = open.pop_first() {
            if proven.sets.iter().any(|set| is_part(set, &takes)) {
                continue;
            }
            if takes.is_empty() {
                // What the equations take to be allowed already lies too deep, or is not allowed only by what is hidden.
                proven.is_all = false;
                continue;
            }
            if tried_count == candidates_max {
                proven.is_all = false;
                break;
            }
            if interrupt.load(Ordering::Relaxed) {
                return (proven.cut(), Some(EvalError::Interrupted));
            }
            tried_count += 1;
            match self.outcome(&takes) {
                Ok(Outcome::Allowed) => match self.smallest_part(&takes) {
                    Ok(part) if proven.sets.contains(&part) => {}
                    Ok(part) => proven.sets.push(part),
                    Err(error) => return (proven.cut(), Some(error)),
                },
                Ok(Outcome::NotAllowed) => {
                    let more = plan.solve(self.variables, &takes, effort);
                    // Where nothing more is needed it fails for something that the equations do not know.
                    proven.is_all &= more.iter().all(|way| !way.is_empty());
                    let sets = more.iter().map(|way| joined(&takes, way));
                    let sets = sets.filter(|set| set.len() <= effort.changes_max && *set != takes);
                    open.extend(sets.map(|set| (set.len(), set)));
                }
                Ok(Outcome::TooDeep) => proven.is_all = false,
                Err(error) => return (proven.cut(), Some(error)),
            }
        }
        proven.is_all &= !effort.is_truncated;
        (proven, None)
    }

    /// The smallest part of `takes`, which is enough, that is enough as well.
    fn smallest_part(&mut self, takes: &[Literal]) -> Result<Vec<Literal>, EvalError> {
        let mut parts: Vec<Vec<Literal>> = (1..1u32 << takes.len())
            .map(|mask| {
                let numbered = takes.iter().enumerate();
                let chosen = numbered.filter(|(at, _)| mask >> at & 1 == 1);
                chosen.map(|(_, literal)| *literal).collect()
            })
            .collect();
        parts.sort_by_key(Vec::len);
        for part in parts {
            if self.outcome(&part)? == Outcome::Allowed {
                return Ok(part);
            }
        }
        Ok(takes.to_vec())
    }

    fn outcome(&mut self, takes: &[Literal]) -> Result<Outcome, EvalError> {
        if let Some(known) = self.tried.get(takes) {
            return Ok(*known);
        }
        let outcome = match self.decision(takes) {
            Ok(Decision::Allowed) => Outcome::Allowed,
            Err(EvalError::DepthExceeded { .. }) => Outcome::TooDeep,
            Err(error @ (EvalError::WorkExceeded { .. } | EvalError::Interrupted)) => {
                return Err(error);
            }
            Ok(Decision::Denied | Decision::Conditional { .. })
            | Err(EvalError::CyclicExclusion | EvalError::Caveat(_)) => Outcome::NotAllowed,
        };
        self.tried.insert(takes.to_vec(), outcome);
        Ok(outcome)
    }

    /// The graph with these changes, where a caveat that is to hold is left out and one that is to fail is one that never
    /// holds; none if there is nothing to change.
    fn changed(&self, takes: &[Literal]) -> Option<Snapshot> {
        let mut changes = Vec::new();
        for literal in takes {
            let Some(Variable::Row(variable)) = self.variables.get(literal / 2) else {
                continue;
            };
            match (&variable.put, literal % 2) {
                (Some(put), 0) => changes.extend(self.put(variable.row, put, takes)),
                (Some(_) | None, _) => {
                    changes.extend(self.variables.key(variable.row).map(Change::Remove));
                }
            }
        }
        for (number, row) in &self.equations.carriers {
            let is_other = |literal: &Literal| {
                let variable = self.variables.get(literal / 2);
                matches!(variable, Some(Variable::Row(variable)) if variable.row == *row)
            };
            let wanted = takes.iter().find(|literal| *literal / 2 == *number);
            if let Some(wanted) = wanted.filter(|_| !takes.iter().any(is_other)) {
                changes.extend(self.rewritten(*row, wanted % 2 == 0));
            }
        }
        if changes.is_empty() {
            return None;
        }
        let (revision, time) = (self.base.revision(), self.base.time());
        self.base.apply(revision, time, &changes).ok()
    }

    fn put(&self, row: Row, put: &Put, takes: &[Literal]) -> Option<Change> {
        let mut caveat = put.caveat.clone();
        let number = caveat
            .as_ref()
            .and_then(|caveat| self.variables.condition(caveat).0);
        if let Some(wanted) = takes.iter().find(|literal| Some(*literal / 2) == number) {
            caveat = self.assumed(wanted % 2 == 0);
        }
        let relationship = self.asked.relationship(row, caveat, put.expires_at)?;
        Some(Change::Put(relationship))
    }

    /// The relationship at `row` with its caveat held to hold or to fail.
    fn rewritten(&self, row: Row, holds: bool) -> Option<Change> {
        let class = self.asked.snapshot.class(row.class);
        let edge = class.edge(row.resource, row.subject)?;
        let expires_at = edge.annotation().and_then(Annotation::expires_at);
        let relationship = self
            .asked
            .relationship(row, self.assumed(holds), expires_at)?;
        Some(Change::Put(relationship))
    }

    /// No caveat, or one that the schema lacks: such a one never holds.
    fn assumed(&self, holds: bool) -> Option<CaveatRef> {
        if holds {
            return None;
        }
        let schema = self.asked.snapshot.schema();
        let mut names = (0..=schema.caveats().len())
            .filter_map(|number| CaveatName::new(&format!("never_{number}")).ok());
        let name = names.find(|name| schema.caveat_ix(name.as_str()).is_none())?;
        Some(CaveatRef {
            name,
            context: model::Context::default(),
        })
    }
}
