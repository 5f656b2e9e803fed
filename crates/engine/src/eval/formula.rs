//! A question as equations: every node that it can reach, with what the node is made of.

use hashbrown::HashMap;
use model::Relationship;
use schema::{MemberIx, Quantifier};

use super::Environment;
use super::edge;
use super::memo::NodeKey;
use super::plan::{ArrowStep, Node, RelationSteps, Steps};
use super::query::Subject;
use super::value::{EvalError, Value};
use crate::graph::{Annotation, ClassIx, ObjectIx, Snapshot};

/// What a node, or a part of it, is made of.
#[derive(Debug, Clone)]
pub(super) enum Formula {
    Known(Value),
    /// The node of that number.
    Node(u32),
    /// A relationship that counts as far as `value` says, and what lies behind it.
    Edge {
        row: Row,
        value: Value,
        behind: Box<Formula>,
    },
    /// One of these; no if there is none.
    Any(Vec<Formula>),
    /// Each of these; yes if there is none.
    All(Vec<Formula>),
    /// The first without the second.
    Without(Box<(Formula, Formula)>),
}

/// A relationship, by its place in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Row {
    pub(super) class: ClassIx,
    pub(super) resource: ObjectIx,
    pub(super) subject: ObjectIx,
}

/// The equations of a question. The first nodes are those that are asked, in their order.
pub(super) struct Equations {
    pub(super) nodes: Vec<NodeKey>,
    pub(super) formulas: Vec<Formula>,
    /// How many edges were visited for them.
    pub(super) edges_visited: u64,
}

impl Equations {
    /// Writes down every equation that the asked nodes, each another one, can reach.
    ///
    /// # Errors
    /// [`EvalError::WorkExceeded`] past `edges_visited_max` edges.
    pub(super) fn of(
        snapshot: &Snapshot,
        asked: &[NodeKey],
        subject: Subject,
        environment: Environment<'_>,
    ) -> Result<Self, EvalError> {
        let mut builder = Builder {
            snapshot,
            subject,
            environment,
            edges_visited: 0,
            nodes: Vec::new(),
            numbers: HashMap::default(),
        };
        for key in asked {
            builder.node(key.object, key.member);
        }
        let mut formulas: Vec<Formula> = Vec::new();
        while let Some(key) = builder.nodes.get(formulas.len()).copied() {
            let formula = builder.formula(key)?;
            formulas.push(formula);
        }
        Ok(Self {
            edges_visited: builder.edges_visited,
            nodes: builder.nodes,
            formulas,
        })
    }
}

struct Builder<'a> {
    snapshot: &'a Snapshot,
    subject: Subject,
    environment: Environment<'a>,
    edges_visited: u64,
    nodes: Vec<NodeKey>,
    numbers: HashMap<NodeKey, u32, foldhash::fast::FixedState>,
}

impl<'a> Builder<'a> {
    fn node(&mut self, object: ObjectIx, member: MemberIx) -> Formula {
        let key = NodeKey { member, object };
        let next = self.nodes.len() as u32;
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.nodes.push(key);
        }
        Formula::Node(number)
    }

    fn formula(&mut self, key: NodeKey) -> Result<Formula, EvalError> {
        let subject = self.subject;
        if subject.set == Some(key.member) && subject.object == key.object {
            return Ok(Formula::Known(Value::Yes));
        }
        let snapshot: &'a Snapshot = self.snapshot;
        match &snapshot.plan().member(key.member).steps {
            Steps::Relation(steps) => self.relation(steps, key.object),
            Steps::Permission(node) => self.permission(node, key),
        }
    }

    fn relation(&mut self, steps: &RelationSteps, object: ObjectIx) -> Result<Formula, EvalError> {
        let subject = self.subject;
        let mut edges = Vec::new();
        if subject.set.is_none() {
            let ends = [
                (&steps.objects, subject.object),
                (&steps.wildcards, ObjectIx::WILDCARD_SUBJECT),
            ];
            for (classes, end) in ends {
                for (definition, class) in classes {
                    let edge = self.snapshot.class(*class).edge(object, end);
                    if let Some(edge) = edge.filter(|_| *definition == subject.definition) {
                        let row = Row {
                            class: *class,
                            resource: object,
                            subject: end,
                        };
                        edges.extend(self.edge(
                            row,
                            edge.annotation(),
                            Some(Formula::Known(Value::Yes)),
                        )?);
                    }
                }
            }
        }
        for set in &steps.sets {
            self.edges(set.class, Some(set.member), object, &mut edges)?;
        }
        Ok(Formula::Any(edges))
    }

    fn permission(&mut self, node: &Node, key: NodeKey) -> Result<Formula, EvalError> {
        let subject = self.subject;
        let mut each = |operands: &[Node]| -> Result<Vec<Formula>, EvalError> {
            operands
                .iter()
                .map(|operand| self.permission(operand, key))
                .collect()
        };
        Ok(match node {
            Node::Nil => Formula::Known(Value::No),
            Node::SelfObject(definition) => {
                let itself = Subject {
                    definition: *definition,
                    object: key.object,
                    set: None,
                };
                Formula::Known(if subject == itself {
                    Value::Yes
                } else {
                    Value::No
                })
            }
            Node::Member(member) => self.node(key.object, *member),
            Node::Arrow(quantifier, steps) => self.arrow(*quantifier, steps, key.object)?,
            Node::Union(operands) => Formula::Any(each(operands)?),
            Node::Intersection(operands) => Formula::All(each(operands)?),
            Node::Exclusion(left, right) => Formula::Without(Box::new((
                self.permission(left, key)?,
                self.permission(right, key)?,
            ))),
        })
    }

    fn arrow(
        &mut self,
        quantifier: Quantifier,
        steps: &[ArrowStep],
        object: ObjectIx,
    ) -> Result<Formula, EvalError> {
        let mut edges = Vec::new();
        for step in steps {
            self.edges(step.class, step.target, object, &mut edges)?;
        }
        Ok(match quantifier {
            Quantifier::Any => Formula::Any(edges),
            Quantifier::All if edges.is_empty() => Formula::Known(Value::No),
            Quantifier::All => Formula::All(edges),
        })
    }

    fn edges(
        &mut self,
        class: ClassIx,
        target: Option<MemberIx>,
        object: ObjectIx,
        edges: &mut Vec<Formula>,
    ) -> Result<(), EvalError> {
        let snapshot: &'a Snapshot = self.snapshot;
        for (subject, annotation) in snapshot.class(class).subjects(object) {
            let row = Row {
                class,
                resource: object,
                subject: ObjectIx(subject),
            };
            let behind = target.map(|target| self.node(row.subject, target));
            edges.extend(self.edge(row, annotation, behind)?);
        }
        Ok(())
    }

    /// The relationship as a formula; none if it has expired.
    fn edge(
        &mut self,
        row: Row,
        annotation: Option<&Annotation>,
        behind: Option<Formula>,
    ) -> Result<Option<Formula>, EvalError> {
        self.edges_visited += 1;
        if self.edges_visited > self.environment.edges_visited_max {
            return Err(EvalError::WorkExceeded {
                edges_visited_max: self.environment.edges_visited_max,
            });
        }
        if annotation.is_some_and(|annotation| annotation.is_expired(self.environment.now)) {
            return Ok(None);
        }
        let value = edge::value(self.snapshot.schema(), annotation, self.environment);
        let behind = Box::new(behind.unwrap_or(Formula::Known(Value::No)));
        Ok(Some(Formula::Edge { row, value, behind }))
    }
}

impl Row {
    /// The relationship with its names; none if it is not one of `snapshot`.
    pub(super) fn relationship(self, snapshot: &Snapshot) -> Option<Relationship> {
        let edge = snapshot
            .class(self.class)
            .edge(self.resource, self.subject)?;
        snapshot.relationship(self.class, self.resource, self.subject, edge.annotation())
    }
}
