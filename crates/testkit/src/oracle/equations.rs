//! A question as a system of equations: what each node that it can reach is made of.

use std::collections::HashMap;

use model::{CaveatRef, ObjectRef, RelationName, Relationship, SubjectId, SubjectRef};
use schema::caveat::Outcome;
use schema::{Arrow, Expression, MemberIx, MemberKind, Quantifier, Schema};

use super::{OracleError, Question};

/// What a node is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Formula {
    /// A value that needs no other node.
    Leaf(Leaf),
    /// The node at this place of [`Equations::formulas`].
    Node(usize),
    /// One of these; nothing if there is none.
    Any(Vec<Formula>),
    /// Each of these; everything if there is none.
    All(Vec<Formula>),
    /// The first without the second.
    Without(Box<Formula>, Box<Formula>),
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Leaf {
    Yes,
    No,
    Missing(Vec<String>),
    Failed(OracleError),
}

/// One formula for each node.
pub(super) struct Equations {
    pub(super) formulas: Vec<Formula>,
}

impl Equations {
    /// The node that is asked.
    pub(super) const ROOT: usize = 0;

    pub(super) fn new(schema: &Schema, rows: &[Relationship], question: &Question) -> Self {
        let mut builder = Builder {
            schema,
            rows: HashMap::new(),
            question,
            nodes: Vec::new(),
            node_ix: HashMap::new(),
        };
        for row in rows {
            let of_relation = builder.rows.entry((&row.resource, &row.relation));
            of_relation.or_default().push(row);
        }
        // The root takes the place 0. Formulas are then built in the order in which their nodes were first met.
        if builder.node(&question.resource, question.member.as_str()) == NOTHING {
            return Self {
                formulas: vec![NOTHING],
            };
        }
        let mut formulas = Vec::new();
        while let Some((object, member)) = builder.nodes.get(formulas.len()).cloned() {
            formulas.push(builder.formula(&object, member));
        }
        Self { formulas }
    }
}

const NOTHING: Formula = Formula::Leaf(Leaf::No);
const EVERYTHING: Formula = Formula::Leaf(Leaf::Yes);

struct Builder<'a> {
    schema: &'a Schema,
    rows: HashMap<(&'a ObjectRef, &'a RelationName), Vec<&'a Relationship>>,
    question: &'a Question,
    nodes: Vec<(ObjectRef, MemberIx)>,
    node_ix: HashMap<(ObjectRef, MemberIx), usize>,
}

impl<'a> Builder<'a> {
    /// The node of `object` and its member called `name`; nothing if its definition has none.
    fn node(&mut self, object: &ObjectRef, name: &str) -> Formula {
        let schema = self.schema;
        let definition = schema.definition_ix(object.definition.as_str());
        let member = definition.and_then(|definition| schema.member_ix(definition, name));
        let Some(member) = member else {
            return NOTHING;
        };
        let key = (object.clone(), member);
        let next = self.nodes.len();
        let ix = *self.node_ix.entry(key.clone()).or_insert(next);
        if ix == next {
            self.nodes.push(key);
        }
        Formula::Node(ix)
    }

    fn formula(&mut self, object: &ObjectRef, member: MemberIx) -> Formula {
        let schema = self.schema;
        let member = schema.member(member);
        let itself = SubjectRef {
            relation: Some(member.name.clone()),
            ..SubjectRef::from(object.clone())
        };
        if self.question.subject == itself {
            return EVERYTHING;
        }
        match &member.kind {
            MemberKind::Relation(_) => {
                let rows = self.unexpired(object, &member.name);
                Formula::Any(
                    rows.into_iter()
                        .map(|row| {
                            let granted = self.subject(&row.subject);
                            self.under_caveat(row, granted)
                        })
                        .collect(),
                )
            }
            MemberKind::Permission(expression) => self.expression(object, expression),
        }
    }

    /// Whether the asked subject is among those of a row.
    fn subject(&mut self, subject: &SubjectRef) -> Formula {
        let asked = &self.question.subject;
        match (&subject.id, &subject.relation) {
            (SubjectId::Object(id), Some(relation)) => {
                let object = ObjectRef {
                    definition: subject.definition.clone(),
                    id: id.clone(),
                };
                self.node(&object, relation.as_str())
            }
            (SubjectId::Object(_), None) => known(subject == asked),
            (SubjectId::Wildcard, _) => {
                known(subject.definition == asked.definition && asked.relation.is_none())
            }
        }
    }

    fn expression(&mut self, object: &ObjectRef, expression: &Expression) -> Formula {
        let mut each = |operands: &[Expression]| -> Vec<Formula> {
            operands
                .iter()
                .map(|operand| self.expression(object, operand))
                .collect()
        };
        match expression {
            Expression::Nil => NOTHING,
            Expression::SelfObject => {
                known(self.question.subject == SubjectRef::from(object.clone()))
            }
            Expression::Member(member) => {
                self.node(object, self.schema.member(*member).name.as_str())
            }
            Expression::Arrow(arrow) => self.arrow(object, arrow),
            Expression::Union(operands) => Formula::Any(each(operands)),
            Expression::Intersection(operands) => Formula::All(each(operands)),
            Expression::Exclusion(left, right) => Formula::Without(
                Box::new(self.expression(object, left)),
                Box::new(self.expression(object, right)),
            ),
        }
    }

    fn arrow(&mut self, object: &ObjectRef, arrow: &Arrow) -> Formula {
        let relation = &self.schema.member(arrow.relation).name;
        let operands: Vec<Formula> = self
            .unexpired(object, relation)
            .into_iter()
            .map(|row| {
                let SubjectId::Object(id) = row.subject.id.clone() else {
                    return NOTHING;
                };
                let walked_to = ObjectRef {
                    definition: row.subject.definition.clone(),
                    id,
                };
                let granted = self.node(&walked_to, arrow.target.as_str());
                self.under_caveat(row, granted)
            })
            .collect();
        match arrow.quantifier {
            Quantifier::Any => Formula::Any(operands),
            Quantifier::All if operands.is_empty() => NOTHING,
            Quantifier::All => Formula::All(operands),
        }
    }

    /// The rows of `relation` that count at the asked instant.
    fn unexpired(&self, object: &ObjectRef, relation: &RelationName) -> Vec<&'a Relationship> {
        let rows = self.rows.get(&(object, relation)).into_iter().flatten();
        rows.copied()
            .filter(|row| !row.is_expired(self.question.now))
            .collect()
    }

    /// `granted`, if the row's caveat holds.
    fn under_caveat(&self, row: &Relationship, granted: Formula) -> Formula {
        match &row.caveat {
            None => granted,
            Some(caveat) => Formula::All(vec![Formula::Leaf(self.caveat(caveat)), granted]),
        }
    }

    fn caveat(&self, caveat: &CaveatRef) -> Leaf {
        let Some(ix) = self.schema.caveat_ix(caveat.name.as_str()) else {
            return Leaf::No;
        };
        let program = &self.schema.caveat(ix).program;
        match program.evaluate(&caveat.context, &self.question.context) {
            Ok(Outcome::True) => Leaf::Yes,
            Ok(Outcome::False) => Leaf::No,
            Ok(Outcome::Missing(names)) => Leaf::Missing(names),
            Err(error) => Leaf::Failed(OracleError::Caveat(error)),
        }
    }
}

fn known(value: bool) -> Formula {
    Formula::Leaf(if value { Leaf::Yes } else { Leaf::No })
}
