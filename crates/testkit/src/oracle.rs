//! The naive evaluator: what a check means, in as few lines as possible. It decides every argument about an answer.
//!
//! A question becomes a system of equations, one for each *node* (an object with one of its relations or permissions)
//! that the question can reach; see [`equations`]. A value is an interval of truth: yes is (1, 1), no is (0, 0), and
//! whatever lacks context or failed is (0, 1), with the names or the errors beside it. [`Solution`] holds the bounds:
//! the well-founded model, by alternating fixpoint. [`undecided`] tells what is left of the nodes without an answer.
//!
//! The decisions, where they are not plain:
//! - A set is a member of itself; `self` is the object itself. Objects need not exist.
//! - A row is gone from the instant of its expiration on. Its caveat is ANDed to what it grants.
//! - `yes or error` is yes, `no and error` is no, `no - error` is no; else an error is an error, the least of them.
//! - A node that depends on itself through the right side of an exclusion, and is not decided otherwise, is an error.
//! - Height is the depth of the shallowest derivation of a yes, and of the whole of a conditional, where nodes that
//!   rest on each other count as one: a cycle in the data adds nothing. A no needs no derivation, and an error is
//!   never turned into a depth error.
//!
//! The rows are assumed to fit the schema, and the subject of a question not to be a wildcard.

mod equations;
mod solution;
mod undecided;

use std::fmt;

use model::{Context, Decision, ObjectRef, RelationName, Relationship, SubjectRef, Timestamp};
use schema::Schema;
use schema::caveat::EvaluationError;

use equations::Equations;
use solution::Solution;

/// May `subject` do this to `resource`?
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What is asked about.
    pub resource: ObjectRef,
    /// The relation or permission of its definition. One that the definition lacks grants nothing.
    pub member: RelationName,
    /// Who is asked about.
    pub subject: SubjectRef,
    /// Values for the parameters of caveats; those written with a row win over them.
    pub context: Context,
    /// The present instant.
    pub now: Timestamp,
}

/// Why there is no decision. The order is that in which one of several is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum OracleError {
    /// The decision rests on more nodes in a row than are allowed.
    DepthExceeded,
    /// The answer depends on its own opposite.
    CyclicExclusion,
    /// A caveat could not be evaluated.
    Caveat(EvaluationError),
}

/// Answers `question` on the rows `relationships` of `schema`.
///
/// # Errors
/// [`OracleError`], if no branch without an error decides.
pub fn check(
    schema: &Schema,
    relationships: &[Relationship],
    question: &Question,
    depth_max: u16,
) -> Result<Decision, OracleError> {
    let equations = Equations::new(schema, relationships, question);
    let solution = Solution::new(&equations);
    let root = Equations::ROOT;
    let (decision, height) = if !solution.upper(root) {
        return Ok(Decision::Denied);
    } else if solution.lower(root) {
        (Decision::Allowed, solution.height_allowed(root))
    } else {
        let undecided = undecided::Undecided::new(&equations, &solution);
        if let Some(error) = undecided.errors(root).into_iter().next() {
            return Err(error);
        }
        let missing = undecided.missing(root).into_iter().collect();
        (
            Decision::Conditional { missing },
            undecided.height_conditional(root),
        )
    };
    if height > u32::from(depth_max) {
        return Err(OracleError::DepthExceeded);
    }
    Ok(decision)
}

/// As in a validation file: `document:readme#view@user:ann with {"day":"friday"}`.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}@{}", self.resource, self.member, self.subject)?;
        if !self.context.is_empty() {
            write!(f, " with {}", self.context.to_json())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
