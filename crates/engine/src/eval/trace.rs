//! How a decision came about: every relation and permission that it rests on, with what each came to.
//!
//! Made of the same solution as the decision, so the two never differ, and neither do a node of the trace and a check of
//! that node. Of a grant the shortest way is told, of a denial each branch (but of an intersection only up to the one that
//! denies). A node that was told of before is not told of again.

use std::collections::{HashMap, HashSet};

use model::{Decision, ObjectRef, RelationName, Timestamp};
use schema::MemberKind;

use super::condition::{Applied, Clause, Condition};
use super::explain::Names;
use super::formula::{Formula, Row};
use super::memo::NodeKey;
use super::query::Query;
use super::solve::Solution;
use super::value::{EvalError, Value};
use super::{Environment, TreeLimits};
use crate::graph::{Annotation, Snapshot};

/// A decision with how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// What was decided, or why nothing could be.
    pub decision: Result<Decision, EvalError>,
    /// The question.
    pub root: TraceNode,
    /// What it takes, as [`TreeLimits::bytes_max`] counts.
    pub bytes: usize,
}

/// A relation or permission of an object that a decision rests on. The subject is that of the question.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceNode {
    /// The object.
    pub object: ObjectRef,
    /// The relation or permission.
    pub member: RelationName,
    /// Whether it is a permission.
    pub is_permission: bool,
    /// What it came to; also if it were the question.
    pub decision: Result<Decision, EvalError>,
    /// The caveats that it depends on.
    pub condition: Option<Condition>,
    /// When a relationship of this node that it rests on ends.
    pub expires_at: Option<Timestamp>,
    /// Tells this node from others in the trace; the same one always has the same number.
    pub number: u32,
    /// Whether what lies below was told of elsewhere in the trace.
    pub is_repeated: bool,
    /// Whether something below is left out because of a limit.
    pub is_cut: bool,
    /// What it rests on.
    pub below: Vec<TraceNode>,
}

/// What a node takes in a message besides its texts, at most, in bytes.
const NODE_BYTES: usize = 256;
/// How much longer a context can be in a message than as JSON: a number of one digit takes eleven bytes.
const CONTEXT_BYTES_FACTOR: usize = 6;

pub(super) fn trace(
    snapshot: &Snapshot,
    solution: &Solution,
    names: Names<'_>,
    environment: Environment<'_>,
    limits: TreeLimits,
) -> Trace {
    let mut teller = Teller {
        snapshot,
        solution,
        names,
        environment,
        limits,
        bytes: 0,
        applied: Applied::default(),
        told: HashSet::new(),
        clauses: HashMap::new(),
    };
    let root = teller.node(0, 1);
    Trace {
        decision: solution.decision(),
        root,
        bytes: teller.bytes,
    }
}

/// The trace that tells of the question alone.
pub(super) fn only(
    snapshot: &Snapshot,
    query: &Query,
    names: Names<'_>,
    decision: Result<Decision, EvalError>,
) -> Trace {
    let member = snapshot.schema().member(query.member);
    let root = TraceNode {
        object: names.resource.clone(),
        member: member.name.clone(),
        is_permission: matches!(member.kind, MemberKind::Permission(_)),
        decision: decision.clone(),
        condition: Applied::default().condition(&Clause::Elided, &decision),
        expires_at: None,
        number: 0,
        is_repeated: false,
        is_cut: true,
        below: Vec::new(),
    };
    Trace {
        decision,
        bytes: node_bytes(&root, names),
        root,
    }
}

struct Teller<'a> {
    snapshot: &'a Snapshot,
    solution: &'a Solution,
    names: Names<'a>,
    environment: Environment<'a>,
    limits: TreeLimits,
    bytes: usize,
    applied: Applied<'a>,
    told: HashSet<u32>,
    /// What the nodes that are told of whole depend on.
    clauses: HashMap<u32, Clause>,
}

impl<'a> Teller<'a> {
    fn node(&mut self, number: u32, level: u16) -> TraceNode {
        let solution: &'a Solution = self.solution;
        let formula = solution.formula(number);
        let is_repeated = !self.told.insert(number);
        let mut node = self.alone(number);
        node.is_repeated = is_repeated;
        self.bytes = self.bytes.saturating_add(node_bytes(&node, self.names));
        if !is_repeated {
            self.tell_below(&mut node, formula, level);
            let clause = self.clause(formula);
            self.clauses.insert(number, clause);
        }
        let unknown = Clause::Elided;
        let clause = self.clauses.get(&number).unwrap_or(&unknown);
        node.condition = self.applied.condition(clause, &node.decision);
        if let Some(condition) = &node.condition {
            let context_bytes = condition.context.to_json().len();
            let bytes = condition.expression.len() + CONTEXT_BYTES_FACTOR * context_bytes;
            self.bytes = self.bytes.saturating_add(bytes);
        }
        node
    }

    /// The node without what it rests on.
    fn alone(&self, number: u32) -> TraceNode {
        let schema = self.snapshot.schema();
        let key = self.solution.key(number);
        let member = schema.member(key.member);
        let decision = self.solution.decision_of(number);
        let expires_at = match decision {
            Ok(Decision::Denied) | Err(_) => None,
            Ok(Decision::Allowed | Decision::Conditional { .. }) => {
                self.expires_at(self.solution.formula(number))
            }
        };
        TraceNode {
            object: self.object(key),
            member: member.name.clone(),
            is_permission: matches!(member.kind, MemberKind::Permission(_)),
            decision,
            condition: None,
            expires_at,
            number,
            is_repeated: false,
            is_cut: false,
            below: Vec::new(),
        }
    }

    fn object(&self, key: NodeKey) -> ObjectRef {
        let schema = self.snapshot.schema();
        let definition = schema.member(key.member).definition;
        match self.snapshot.object_id(definition, key.object) {
            Some(id) => ObjectRef {
                definition: schema.definition(definition).name.clone(),
                id,
            },
            // The graph has no name for an id that it does not hold: only the one that is asked about.
            None => self.names.resource.clone(),
        }
    }

    fn tell_below(&mut self, node: &mut TraceNode, formula: &'a Formula, level: u16) {
        let mut numbers = Vec::new();
        let mut seen = HashSet::new();
        self.each_deciding(formula, &mut |part| {
            if let Formula::Node(number) = part
                && seen.insert(*number)
            {
                numbers.push(*number);
            }
        });
        for number in numbers {
            if level >= self.limits.levels_max || self.bytes > self.limits.bytes_max {
                node.is_cut = true;
                return;
            }
            let below = self.node(number, level + 1);
            node.below.push(below);
        }
    }

    /// Visits the relationships and the nodes that a part rests on.
    fn each_deciding(&self, formula: &'a Formula, visit: &mut dyn FnMut(&'a Formula)) {
        match formula {
            Formula::Known(_) => {}
            Formula::Node(_) => visit(formula),
            Formula::Edge { behind, .. } => {
                visit(formula);
                self.each_deciding(behind, visit);
            }
            Formula::Any(_) | Formula::All(_) => {
                for operand in self.deciding(formula) {
                    self.each_deciding(operand, visit);
                }
            }
            Formula::Without(sides) => {
                self.each_deciding(&sides.0, visit);
                if !self.solution.is_no(&sides.0) {
                    self.each_deciding(&sides.1, visit);
                }
            }
        }
    }

    /// The operands that `formula` rests on.
    fn deciding(&self, formula: &'a Formula) -> &'a [Formula] {
        let solution: &'a Solution = self.solution;
        match formula {
            Formula::Any(operands) => {
                let granting = operands
                    .iter()
                    .enumerate()
                    .filter(|(_, operand)| solution.is_yes(operand))
                    .min_by_key(|(_, operand)| solution.height(operand));
                let only = granting.and_then(|(place, _)| operands.get(place..=place));
                only.unwrap_or(operands)
            }
            Formula::All(operands) => {
                let denying = operands.iter().position(|operand| solution.is_no(operand));
                let until = denying.and_then(|place| operands.get(..=place));
                until.unwrap_or(operands)
            }
            Formula::Known(_) | Formula::Node(_) | Formula::Edge { .. } | Formula::Without(_) => {
                std::slice::from_ref(formula)
            }
        }
    }

    fn clause(&mut self, formula: &'a Formula) -> Clause {
        match formula {
            Formula::Known(value) => Clause::Constant(*value == Value::Yes),
            Formula::Node(number) => match self.clauses.get(number) {
                Some(clause) => clause.clone(),
                // It is above, where a circle adds nothing, or it was left out.
                None if self.told.contains(number) => Clause::Constant(false),
                None => Clause::Elided,
            },
            Formula::Edge { row, behind, .. } => {
                let snapshot: &'a Snapshot = self.snapshot;
                let edge = snapshot.class(row.class).edge(row.resource, row.subject);
                let annotation: Option<&'a Annotation> = edge.and_then(|edge| edge.annotation());
                let caveat = match annotation.and_then(Annotation::caveat) {
                    Some(caveat) => {
                        let context = self.environment.context;
                        self.applied.clause(snapshot.schema(), caveat, context)
                    }
                    None => Clause::Constant(true),
                };
                let behind = self.clause(behind);
                Clause::all([caveat, behind])
            }
            Formula::Any(_) => {
                let operands = self.deciding(formula).iter();
                let clauses: Vec<Clause> = operands.map(|operand| self.clause(operand)).collect();
                Clause::any(clauses)
            }
            Formula::All(_) => {
                let operands = self.deciding(formula).iter();
                let clauses: Vec<Clause> = operands.map(|operand| self.clause(operand)).collect();
                Clause::all(clauses)
            }
            Formula::Without(sides) => {
                let left = self.clause(&sides.0);
                if self.solution.is_no(&sides.0) {
                    return left;
                }
                let right = self.clause(&sides.1);
                Clause::all([left, right.not()])
            }
        }
    }

    /// When the first of the relationships ends that a part rests on.
    fn expires_at(&self, formula: &'a Formula) -> Option<Timestamp> {
        let mut first: Option<Timestamp> = None;
        self.each_deciding(formula, &mut |part| {
            if let Formula::Edge { row, .. } = part
                && !self.solution.is_no(part)
                && let Some(at) = self.row_expires_at(*row)
            {
                first = Some(first.map_or(at, |known| known.min(at)));
            }
        });
        first
    }

    fn row_expires_at(&self, row: Row) -> Option<Timestamp> {
        let edge = self
            .snapshot
            .class(row.class)
            .edge(row.resource, row.subject)?;
        edge.annotation()?.expires_at()
    }
}

fn node_bytes(node: &TraceNode, names: Names<'_>) -> usize {
    let subject = names.subject;
    let texts = [
        node.object.definition.as_str(),
        node.object.id.as_str(),
        node.member.as_str(),
        subject.definition.as_str(),
        subject.id.as_str(),
        subject.relation.as_ref().map_or("", RelationName::as_str),
    ];
    NODE_BYTES + texts.iter().map(|text| text.len()).sum::<usize>()
}
