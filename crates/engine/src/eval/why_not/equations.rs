//! The question as equations over what can be changed: as [`crate::eval::formula`], but with a variable for each
//! relationship and condition that a change could touch.

use std::collections::HashMap;

use model::CaveatRef;
use schema::{MemberIx, Quantifier};

use super::rows::{Edge, Rows};
use super::variables::Variables;
use crate::eval::formula::Row;
use crate::eval::memo::NodeKey;
use crate::eval::plan::{ArrowStep, Node, RelationSteps, Steps};
use crate::eval::query::Subject;
use crate::eval::value::EvalError;
use crate::graph::{Annotation, ClassIx, ObjectIx};

/// What a node, or a part of it, is made of.
#[derive(Debug, Clone)]
pub(super) enum Formula {
    /// Nothing can change it; none where it is neither a yes nor a no.
    Known(Option<bool>),
    /// The relationship of that variable, which is there, is left as it is.
    Kept(u32),
    /// The relationship of that variable is written.
    Put(u32),
    /// The caveat of that variable holds.
    Holds(u32),
    /// The node of that number.
    Node(u32),
    Any(Vec<Formula>),
    All(Vec<Formula>),
    Not(Box<Formula>),
}

/// Every equation of a question.
pub(super) struct Equations {
    /// The first is that of the question itself.
    pub(super) formulas: Vec<Formula>,
    /// The relationships that carry a caveat which can be changed, by the variable of that.
    pub(super) carriers: Vec<(u32, Row)>,
}

/// Writes down the equations of a question.
///
/// # Errors
/// [`EvalError::WorkExceeded`] past the edges that may be visited.
pub(super) fn equations<'a>(
    rows: &mut Rows<'a>,
    variables: &Variables<'a>,
) -> Result<Equations, EvalError> {
    let query = rows.asked.query;
    let mut builder = Builder {
        rows,
        variables,
        nodes: Vec::new(),
        numbers: HashMap::new(),
        carriers: Vec::new(),
    };
    // Where the question is decided by its kinds alone there is no node.
    if let known @ Formula::Known(_) = builder.node(query.resource, query.member) {
        return Ok(Equations {
            formulas: vec![known],
            carriers: Vec::new(),
        });
    }
    let mut formulas: Vec<Formula> = Vec::new();
    while let Some(key) = builder.nodes.get(formulas.len()).copied() {
        let formula = builder.formula(key)?;
        formulas.push(formula);
    }
    Ok(Equations {
        formulas,
        carriers: builder.carriers,
    })
}

struct Builder<'r, 'a> {
    rows: &'r mut Rows<'a>,
    variables: &'r Variables<'a>,
    nodes: Vec<NodeKey>,
    numbers: HashMap<NodeKey, u32>,
    carriers: Vec<(u32, Row)>,
}

/// A relationship in a formula.
struct Written {
    /// That it is there.
    is_there: Formula,
    /// That it is there and its caveat holds.
    counts: Formula,
}

impl Builder<'_, '_> {
    fn node(&mut self, object: ObjectIx, member: MemberIx) -> Formula {
        let asked = self.rows.asked;
        let subject = asked.query.subject;
        if subject.set == Some(member) && subject.object == object {
            return Formula::Known(Some(true));
        }
        if !super::may_hold(&asked, member) {
            return Formula::Known(Some(false));
        }
        let key = NodeKey { member, object };
        let next = self.nodes.len() as u32;
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.nodes.push(key);
        }
        Formula::Node(number)
    }

    fn formula(&mut self, key: NodeKey) -> Result<Formula, EvalError> {
        let snapshot = self.rows.asked.snapshot;
        match &snapshot.plan().member(key.member).steps {
            Steps::Relation(steps) => self.relation(steps, key.object),
            Steps::Permission(node) => self.permission(node, key.object),
        }
    }

    fn relation(&mut self, steps: &RelationSteps, object: ObjectIx) -> Result<Formula, EvalError> {
        let subject = self.rows.asked.query.subject;
        let mut grants = Vec::new();
        if subject.set.is_none() {
            let ends = [
                (&steps.objects, subject.object),
                (&steps.wildcards, ObjectIx::WILDCARD_SUBJECT),
            ];
            for (classes, end) in ends {
                for (definition, class) in classes {
                    if *definition == subject.definition {
                        let edge = self.rows.edge(*class, object, end)?;
                        let row = Row {
                            class: *class,
                            resource: object,
                            subject: end,
                        };
                        grants.push(self.written(row, edge).counts);
                    }
                }
            }
        }
        for set in &steps.sets {
            for (row, written) in self.all_written(set.class, object)? {
                let behind = self.node(row.subject, set.member);
                grants.push(Formula::All(vec![written.counts, behind]));
            }
        }
        Ok(Formula::Any(grants))
    }

    fn permission(&mut self, node: &Node, object: ObjectIx) -> Result<Formula, EvalError> {
        let subject = self.rows.asked.query.subject;
        let mut each = |operands: &[Node]| -> Result<Vec<Formula>, EvalError> {
            let operands = operands.iter();
            operands
                .map(|operand| self.permission(operand, object))
                .collect()
        };
        Ok(match node {
            Node::Nil => Formula::Known(Some(false)),
            Node::SelfObject(definition) => {
                let itself = Subject {
                    definition: *definition,
                    object,
                    set: None,
                };
                Formula::Known(Some(subject == itself))
            }
            Node::Member(member) => self.node(object, *member),
            Node::Arrow(quantifier, steps) => self.arrow(*quantifier, steps, object)?,
            Node::Union(operands) => Formula::Any(each(operands)?),
            Node::Intersection(operands) => Formula::All(each(operands)?),
            Node::Exclusion(left, right) => {
                let left = self.permission(left, object)?;
                let right = self.permission(right, object)?;
                Formula::All(vec![left, Formula::Not(Box::new(right))])
            }
        })
    }

    fn arrow(
        &mut self,
        quantifier: Quantifier,
        steps: &[ArrowStep],
        object: ObjectIx,
    ) -> Result<Formula, EvalError> {
        let mut are_there = Vec::new();
        let mut grants = Vec::new();
        for step in steps {
            for (row, written) in self.all_written(step.class, object)? {
                let behind = match step.target {
                    Some(target) => self.node(row.subject, target),
                    None => Formula::Known(Some(false)),
                };
                are_there.push(written.is_there);
                grants.push(Formula::All(vec![written.counts, behind]));
            }
        }
        Ok(match quantifier {
            Quantifier::Any => Formula::Any(grants),
            Quantifier::All => {
                let each = are_there.iter().cloned().zip(grants);
                let mut all: Vec<Formula> = each
                    .map(|(is_there, grants)| {
                        Formula::Any(vec![Formula::Not(Box::new(is_there)), grants])
                    })
                    .collect();
                all.push(Formula::Any(are_there));
                Formula::All(all)
            }
        })
    }

    /// The relationships of `object` in `class`, those that are there and those that could be.
    fn all_written(
        &mut self,
        class: ClassIx,
        object: ObjectIx,
    ) -> Result<Vec<(Row, Written)>, EvalError> {
        let mut all = Vec::new();
        for edge in self.rows.edges(class, object)? {
            all.push((edge.row, self.written(edge.row, Some(edge))));
        }
        for row in self.variables.added(class, object) {
            all.push((*row, self.written(*row, None)));
        }
        Ok(all)
    }

    fn written(&mut self, row: Row, edge: Option<Edge<'_>>) -> Written {
        let edge = edge.filter(|edge| !self.rows.asked.is_expired(edge.annotation));
        let variables = self.variables;
        let variable = variables.row(row);
        let mut is_there = Vec::new();
        let mut counts = Vec::new();
        if let Some(edge) = edge {
            let kept = match &variable {
                Some((number, _)) => Formula::Kept(*number),
                None => Formula::Known(Some(true)),
            };
            let caveat = edge.annotation.and_then(Annotation::caveat);
            is_there.push(kept.clone());
            if let Some((Some(number), _)) = caveat.map(|caveat| variables.condition(caveat)) {
                self.carriers.push((number, row));
            }
            counts.push(self.under(caveat, kept));
        }
        if let Some((number, variable)) = variable
            && let Some(put) = &variable.put
        {
            is_there.push(Formula::Put(number));
            counts.push(self.under(put.caveat.as_ref(), Formula::Put(number)));
        }
        Written {
            is_there: Formula::Any(is_there),
            counts: Formula::Any(counts),
        }
    }

    fn under(&self, caveat: Option<&CaveatRef>, formula: Formula) -> Formula {
        let Some(caveat) = caveat else {
            return formula;
        };
        let condition = match self.variables.condition(caveat) {
            (Some(number), _) => Formula::Holds(number),
            (None, value) => Formula::Known(value),
        };
        Formula::All(vec![formula, condition])
    }
}

impl Formula {
    /// Visits every node that it names, with whether it stands under an odd number of negations.
    pub(super) fn each_node(&self, is_negated: bool, visit: &mut dyn FnMut(u32, bool)) {
        match self {
            Self::Known(_) | Self::Kept(_) | Self::Put(_) | Self::Holds(_) => {}
            Self::Node(node) => visit(*node, is_negated),
            Self::Any(operands) | Self::All(operands) => operands
                .iter()
                .for_each(|operand| operand.each_node(is_negated, visit)),
            Self::Not(operand) => operand.each_node(!is_negated, visit),
        }
    }
}
