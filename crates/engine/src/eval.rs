//! The answers: may this subject do this to that resource, on one snapshot, at one instant, with this context?
//!
//! Two evaluators share the compiled [`Plan`]. [`check`] walks depth first, stops at the first branch that decides and
//! answers nearly everything. Where a walk cannot be exact (a condition inside a circle of relationships, a circle
//! through an exclusion, a walk deeper than the limit) it hands over to [`solve`], which writes down every equation that
//! the question can reach and solves them; it also knows enough to give a [`witness`] and to [`explain`].
//! [`why_not`] goes on from there: which changes would turn a denial.
//!
//! Values are four: yes, no, conditional and error ([`value`]). An error never hides behind the order of branches: `yes
//! or error` is yes, `no and error` is no, `no - error` is no, otherwise it is an error. The naive evaluator in testkit
//! states the same semantics, and property tests hold this one to it.

mod check;
mod climb;
mod components;
mod condition;
mod edge;
mod expand;
mod explain;
mod fetch;
mod formula;
mod lookup;
mod memo;
mod plan;
mod query;
mod solve;
mod trace;
mod value;
mod why_not;
mod witness;

use model::{Context, Decision, ObjectRef, Relationship, SubjectRef, Timestamp};

use crate::graph::Snapshot;

pub use condition::{Condition, ConditionResult};
pub use expand::{ExpandError, SetOperation, Tree, TreeContent};
pub use explain::{Explanation, Outcome, Step};
pub use fetch::{fetch, fetch_names};
pub use lookup::{
    Found, Interrupt, Membership, ResourcesQuery, SubjectsQuery, lookup_resources, lookup_subjects,
};
pub use plan::Plan;
pub use query::{Query, QueryError, Subject};
pub use trace::{Trace, TraceNode};
pub use value::EvalError;
pub use why_not::{
    AddedSubjects, ChangeSet, Changeable, Gained, Gains, Others, OthersGaining, Proposed,
    Relations, Sight, WhyNot, WhyNotError, WhyNotLimits, WhyNotQuery, WhyNotSeen, smallest_grants,
    why_not, why_not_seen,
};

/// What a question is answered with, besides the graph.
#[derive(Debug, Clone, Copy)]
pub struct Environment<'a> {
    /// Values for the parameters of caveats; those written with a relationship win over them.
    pub context: &'a Context,
    /// The instant at which expirations are judged.
    pub now: Timestamp,
    /// Longest derivation, in relations and permissions.
    pub depth_max: u16,
    /// Edges that may be visited before the answer is given up.
    pub edges_visited_max: u64,
}

/// How large an answer that is a tree may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeLimits {
    /// Nodes below each other.
    pub levels_max: u16,
    /// What its names take, with a little for each node and subject, in bytes.
    pub bytes_max: usize,
}

/// Answers `query` on `snapshot`.
///
/// # Errors
/// [`EvalError`] where no branch without an error decides; [`EvalError::WorkExceeded`] past the edges of `environment`.
/// # Cost
/// O(edges visited), at most `edges_visited_max`; no locks.
pub fn check(
    snapshot: &Snapshot,
    query: &Query,
    environment: Environment<'_>,
) -> Result<Decision, EvalError> {
    counted_check(snapshot, query, environment).0
}

/// As [`check`], with how many edges it visited.
fn counted_check(
    snapshot: &Snapshot,
    query: &Query,
    environment: Environment<'_>,
) -> (Result<Decision, EvalError>, u64) {
    let (walked, edges_visited) = check::check(snapshot, query, environment);
    match walked {
        Ok(value) => (value.into_decision(), edges_visited),
        Err(check::Stop::WorkExceeded) => {
            let edges_visited_max = environment.edges_visited_max;
            (
                Err(EvalError::WorkExceeded { edges_visited_max }),
                edges_visited,
            )
        }
        Err(check::Stop::Solve) => match solve::solve(snapshot, query, environment) {
            Ok(solution) => (
                solution.decision(),
                edges_visited.saturating_add(solution.edges_visited()),
            ),
            Err(error) => (Err(error), environment.edges_visited_max.saturating_add(1)),
        },
    }
}

/// Answers `query` as [`check`] does, with the relationships that alone reproduce the decision on an empty graph.
///
/// A denial that rests on nothing but absence has an empty witness.
///
/// # Errors
/// As [`check`].
/// # Cost
/// O(edges that the question can reach): nothing is left out once a branch decides.
pub fn witness(
    snapshot: &Snapshot,
    query: &Query,
    environment: Environment<'_>,
) -> Result<(Decision, Vec<Relationship>), EvalError> {
    let solution = solve::solve(snapshot, query, environment)?;
    let decision = solution.decision()?;
    let rows = witness::rows(&solution);
    Ok((
        decision,
        rows.into_iter()
            .filter_map(|row| row.relationship(snapshot))
            .collect(),
    ))
}

/// Answers as [`check`] does and says why: the way that grants, or for each branch what is missing.
///
/// `resource` and `subject` are those that `query` was resolved from.
///
/// # Errors
/// As [`check`], but an error that the evaluation itself came to is told within the explanation.
/// # Cost
/// As [`witness`].
pub fn explain(
    snapshot: &Snapshot,
    query: &Query,
    resource: &ObjectRef,
    subject: &SubjectRef,
    environment: Environment<'_>,
) -> Result<Explanation, EvalError> {
    let solution = solve::solve(snapshot, query, environment)?;
    let names = explain::Names { resource, subject };
    Ok(explain::explain(
        snapshot,
        query,
        &solution,
        names,
        environment,
    ))
}

/// Answers as [`check`] does and tells of every relation and permission that the answer came from.
///
/// `resource` and `subject` are those that `query` was resolved from. What is past `limits` is left out and said to be.
///
/// # Cost
/// As [`witness`]; where that visits too many edges, as [`check`], and only the question itself is told of.
#[must_use]
pub fn trace(
    snapshot: &Snapshot,
    query: &Query,
    (resource, subject): (&ObjectRef, &SubjectRef),
    environment: Environment<'_>,
    limits: TreeLimits,
) -> Trace {
    let names = explain::Names { resource, subject };
    match solve::solve(snapshot, query, environment) {
        Ok(solution) => trace::trace(snapshot, &solution, names, environment, limits),
        // Where too much can be reached, a check may still find its answer on the way.
        Err(_) => trace::only(snapshot, query, names, check(snapshot, query, environment)),
    }
}

/// Who has `member` of `resource`, as the schema writes it. The context of `environment` does not matter.
///
/// # Errors
/// [`ExpandError`] for a name that the schema lacks, a permission that depends on itself through an exclusion, and past a
/// limit.
/// # Cost
/// O(edges visited): what is reached in several ways is walked in each.
pub fn expand(
    snapshot: &Snapshot,
    resource: &ObjectRef,
    member: &str,
    environment: Environment<'_>,
    limits: TreeLimits,
) -> Result<Tree, ExpandError> {
    expand::expand(snapshot, resource, member, environment, limits)
}

#[cfg(test)]
mod tests;
