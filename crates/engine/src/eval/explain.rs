//! Why a subject has a permission or not, in words: the way that grants, or for each branch what is missing.

use std::collections::HashSet;
use std::fmt;

use model::{Decision, ObjectRef, SubjectRef};

use super::Environment;
use super::formula::{Formula, Row};
use super::memo::NodeKey;
use super::plan::Steps;
use super::query::Query;
use super::solve::Solution;
use super::value::{EvalError, Flags, Value};
use crate::graph::{ClassIx, ObjectIx, Snapshot};

/// A decision with its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// What was decided, or why nothing could be.
    pub decision: Result<Decision, EvalError>,
    /// The question, and below it what it came from.
    pub root: Step,
}

/// One step of an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is looked at: `document:readme#view`, or a relationship.
    pub what: String,
    /// What it came to.
    pub outcome: Outcome,
    /// The reason that lies in this step itself, if any: a missing relationship, an expiry, a condition.
    pub reason: Option<String>,
    /// What it rests on.
    pub below: Vec<Step>,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It grants.
    Yes,
    /// It does not grant.
    No,
    /// It depends on missing context.
    Conditional,
    /// It failed.
    Error,
}

/// What the query was resolved from: the graph has no name for an id that it does not hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) resource: &'a ObjectRef,
    pub(super) subject: &'a SubjectRef,
}

/// Branches told of one step; the others are counted.
const BRANCHES_MAX: usize = 12;
/// Steps told below each other; deeper ones are cut.
const LEVELS_MAX: usize = 64;

pub(super) fn explain(
    snapshot: &Snapshot,
    query: &Query,
    solution: &Solution,
    names: Names<'_>,
    environment: Environment<'_>,
) -> Explanation {
    let mut teller = Teller {
        snapshot,
        query,
        solution,
        names,
        environment,
        told: HashSet::new(),
    };
    Explanation {
        decision: solution.decision(),
        root: teller.node(0, 0),
    }
}

struct Teller<'a> {
    snapshot: &'a Snapshot,
    query: &'a Query,
    solution: &'a Solution,
    names: Names<'a>,
    environment: Environment<'a>,
    told: HashSet<u32>,
}

impl<'a> Teller<'a> {
    fn node(&mut self, node: u32, level: usize) -> Step {
        let solution: &'a Solution = self.solution;
        let formula = solution.formula(node);
        let outcome = self.outcome(&Formula::Node(node));
        let Some(key) = solution.equations.nodes.get(node as usize).copied() else {
            return Step {
                what: String::new(),
                outcome,
                reason: None,
                below: Vec::new(),
            };
        };
        let what = self.node_name(key);
        if !self.told.insert(node) {
            return Step {
                what,
                outcome,
                reason: Some("told elsewhere".to_owned()),
                below: Vec::new(),
            };
        }
        let below = self.part(formula, level + 1);
        let reason = if matches!(formula, Formula::Known(Value::Yes)) {
            Some("a set is a member of itself".to_owned())
        } else if outcome == Outcome::No {
            self.absence(key, &below)
        } else {
            None
        };
        Step {
            what,
            outcome,
            reason,
            below,
        }
    }

    fn part(&mut self, formula: &'a Formula, level: usize) -> Vec<Step> {
        if level > LEVELS_MAX && !matches!(formula, Formula::Known(_)) {
            let what = "and further down".to_owned();
            return vec![Step {
                what,
                outcome: self.outcome(formula),
                reason: None,
                below: Vec::new(),
            }];
        }
        match formula {
            Formula::Known(_) => Vec::new(),
            Formula::Node(node) => vec![self.node(*node, level)],
            Formula::Edge { row, value, behind } => {
                vec![self.edge(formula, *row, value, behind, level)]
            }
            Formula::Any(operands) => self.any(operands, level),
            Formula::All(operands) => {
                let no = operands.iter().find(|operand| self.solution.is_no(operand));
                match no {
                    Some(operand) => self.part(operand, level),
                    None => self.each(operands.iter(), level),
                }
            }
            Formula::Without(sides) => self.without(&sides.0, &sides.1, level),
        }
    }

    fn any(&mut self, operands: &'a [Formula], level: usize) -> Vec<Step> {
        let yes = operands
            .iter()
            .filter(|operand| self.solution.is_yes(operand));
        match yes.min_by_key(|operand| self.solution.height(operand)) {
            Some(shortest) => self.part(shortest, level),
            None => self.each(operands.iter(), level),
        }
    }

    fn each(
        &mut self,
        operands: impl ExactSizeIterator<Item = &'a Formula>,
        level: usize,
    ) -> Vec<Step> {
        let count = operands.len();
        let mut steps: Vec<Step> = operands
            .take(BRANCHES_MAX)
            .flat_map(|operand| self.part(operand, level))
            .collect();
        if let Some(more) = count.checked_sub(BRANCHES_MAX).filter(|more| *more > 0) {
            steps.push(Step {
                what: format!("{more} more that do not decide"),
                outcome: Outcome::No,
                reason: None,
                below: Vec::new(),
            });
        }
        steps
    }

    fn without(&mut self, left: &'a Formula, right: &'a Formula, level: usize) -> Vec<Step> {
        let mut steps = self.part(left, level);
        if self.solution.is_no(left) {
            return steps;
        }
        let outcome = self.outcome(right);
        let what = if outcome == Outcome::No {
            "not excluded"
        } else {
            "excluded"
        };
        let below = if outcome == Outcome::No {
            Vec::new()
        } else {
            self.part(right, level + 1)
        };
        let outcome = match outcome {
            Outcome::Yes => Outcome::No,
            Outcome::No => Outcome::Yes,
            Outcome::Conditional | Outcome::Error => outcome,
        };
        steps.push(Step {
            what: what.to_owned(),
            outcome,
            reason: None,
            below,
        });
        steps
    }

    fn edge(
        &mut self,
        formula: &'a Formula,
        row: Row,
        value: &Value,
        behind: &'a Formula,
        level: usize,
    ) -> Step {
        let relationship = row.relationship(self.snapshot);
        let caveat = relationship
            .as_ref()
            .and_then(|relationship| relationship.caveat.as_ref());
        let caveat = caveat.map(|caveat| caveat.name.as_str());
        let reason = match (caveat, value) {
            (None, _) => None,
            (Some(name), Value::Yes) => Some(format!("caveat `{name}` holds")),
            (Some(name), Value::No) => Some(format!("caveat `{name}` does not hold")),
            (Some(_), Value::Undecided(flags)) => Some(words(flags)),
        };
        let below = if *value == Value::No {
            Vec::new()
        } else {
            self.part(behind, level + 1)
        };
        let what = relationship
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        Step {
            what,
            outcome: self.outcome(formula),
            reason,
            below,
        }
    }

    /// What a denied relation lacks.
    fn absence(&self, key: NodeKey, below: &[Step]) -> Option<String> {
        let plan = self.snapshot.plan().member(key.member);
        let subject = self.query.subject;
        let steps = match &plan.steps {
            Steps::Relation(steps) => steps,
            Steps::Permission(_) if below.is_empty() => {
                return Some(format!(
                    "nothing that it is made of leads to {}",
                    self.names.subject
                ));
            }
            Steps::Permission(_) => return None,
        };
        let ends = steps
            .objects
            .iter()
            .map(|class| (class, subject.object))
            .chain(
                steps
                    .wildcards
                    .iter()
                    .map(|class| (class, ObjectIx::WILDCARD_SUBJECT)),
            );
        for ((definition, class), end) in ends {
            if subject.set.is_none()
                && *definition == subject.definition
                && let Some(expired) = self.expired(*class, key.object, end)
            {
                return Some(expired);
            }
        }
        let through = if below.is_empty() {
            ""
        } else {
            ", and none of its sets helps"
        };
        Some(format!(
            "no relationship with {}{through}",
            self.names.subject
        ))
    }

    fn expired(&self, class: ClassIx, resource: ObjectIx, subject: ObjectIx) -> Option<String> {
        let edge = self.snapshot.class(class).edge(resource, subject)?;
        let expires_at = edge.annotation()?.expires_at()?;
        let relationship = Row {
            class,
            resource,
            subject,
        }
        .relationship(self.snapshot)?;
        (expires_at <= self.environment.now)
            .then(|| format!("{} expired at {expires_at}", relationship.key()))
    }

    fn node_name(&self, key: NodeKey) -> String {
        let schema = self.snapshot.schema();
        let member = schema.member(key.member);
        match self.snapshot.object_id(member.definition, key.object) {
            Some(id) => format!(
                "{}:{id}#{}",
                schema.definition(member.definition).name,
                member.name
            ),
            None => format!("{}#{}", self.names.resource, member.name),
        }
    }

    fn outcome(&self, formula: &Formula) -> Outcome {
        if self.solution.is_yes(formula) {
            return Outcome::Yes;
        }
        if self.solution.is_no(formula) {
            return Outcome::No;
        }
        match self.solution.has_errors(formula) {
            true => Outcome::Error,
            false => Outcome::Conditional,
        }
    }
}

fn words(flags: &Flags) -> String {
    match flags.errors.iter().next() {
        Some(error) => error.to_string(),
        None => {
            let names: Vec<String> = flags
                .missing
                .iter()
                .map(|name| format!("`{name}`"))
                .collect();
            format!("the context lacks {}", names.join(", "))
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Conditional => "conditional",
            Self::Error => "error",
        })
    }
}

/// As an indented tree, one step a line.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.decision {
            Ok(Decision::Allowed) => writeln!(f, "allowed")?,
            Ok(Decision::Denied) => writeln!(f, "denied")?,
            Ok(Decision::Conditional { missing }) => {
                writeln!(f, "conditional: the context lacks {}", missing.join(", "))?;
            }
            Err(error) => writeln!(f, "error: {error}")?,
        }
        self.root.write(f, 0)
    }
}

impl Step {
    fn write(&self, f: &mut fmt::Formatter<'_>, level: usize) -> fmt::Result {
        write!(f, "{}{}: {}", "  ".repeat(level), self.what, self.outcome)?;
        match &self.reason {
            Some(reason) => writeln!(f, " ({reason})")?,
            None => writeln!(f)?,
        }
        self.below
            .iter()
            .try_for_each(|step| step.write(f, level + 1))
    }
}
