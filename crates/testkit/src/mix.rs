//! What random cases are made of: the share of every answer, which operators met, whether data went in circles.
//!
//! A property test is worth what its cases contain; [`Mix`] is how that is known rather than hoped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use model::{Decision, ObjectRef, SubjectId};
use schema::{Expression, MemberIx, MemberKind, Quantifier, Schema};

use crate::generate::Case;
use crate::oracle::{self, OracleError, Question};

/// An operator of the schema language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// `a + b`
    Union,
    /// `a & b`
    Intersection,
    /// `a - b`
    Exclusion,
    /// `a->b`
    ArrowAny,
    /// `a.all(b)`
    ArrowAll,
}

impl Operator {
    /// Every operator.
    pub const ALL: [Self; 5] = [
        Self::Union,
        Self::Intersection,
        Self::Exclusion,
        Self::ArrowAny,
        Self::ArrowAll,
    ];
}

/// Counts over cases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mix {
    /// Questions that were asked; the next six add up to it.
    pub questions: usize,
    /// Answered yes.
    pub allowed: usize,
    /// Answered no.
    pub denied: usize,
    /// Answered on a condition.
    pub conditional: usize,
    /// Failed for their depth.
    pub depth_exceeded: usize,
    /// Failed for a cycle through an exclusion.
    pub cyclic_exclusion: usize,
    /// Failed in a caveat.
    pub caveat_error: usize,
    /// Questions about a permission in which the second operator stands directly under the first, also through a
    /// permission that is named or walked to.
    pub nested: BTreeMap<(Operator, Operator), usize>,
    /// Questions about a permission with at least three operators under each other.
    pub nested_in_three: usize,
    /// Cases in which subject sets contain each other in a circle.
    pub set_cycles: usize,
    /// Cases in which objects are related to each other in a circle.
    pub object_cycles: usize,
}

impl Mix {
    /// Counts a case. `schema` is that of the case.
    pub fn add(&mut self, case: &Case, schema: &Schema) {
        for question in &case.questions {
            self.questions += 1;
            let answer = oracle::check(schema, &case.relationships, question, case.depth_max);
            *match answer {
                Ok(Decision::Allowed) => &mut self.allowed,
                Ok(Decision::Denied) => &mut self.denied,
                Ok(Decision::Conditional { .. }) => &mut self.conditional,
                Err(OracleError::DepthExceeded) => &mut self.depth_exceeded,
                Err(OracleError::CyclicExclusion) => &mut self.cyclic_exclusion,
                Err(OracleError::Caveat(_)) => &mut self.caveat_error,
            } += 1;
            self.add_nesting(question, schema);
        }
        let sets = case.relationships.iter().filter_map(|row| {
            let subject = row.subject.relation.clone()?;
            Some((
                (row.resource.clone(), row.relation.clone()),
                (
                    subject_object(&row.subject.id, &row.subject.definition)?,
                    subject,
                ),
            ))
        });
        self.set_cycles += usize::from(has_cycle(&sets.collect::<Vec<_>>()));
        let objects = case.relationships.iter().filter_map(|row| {
            let subject = subject_object(&row.subject.id, &row.subject.definition)?;
            Some((row.resource.clone(), subject))
        });
        self.object_cycles += usize::from(has_cycle(&objects.collect::<Vec<_>>()));
    }

    fn add_nesting(&mut self, question: &Question, schema: &Schema) {
        let definition = schema.definition_ix(question.resource.definition.as_str());
        let member = definition
            .and_then(|definition| schema.member_ix(definition, question.member.as_str()));
        let mut walk = Walk {
            schema,
            pairs: BTreeSet::new(),
            visited: BTreeSet::new(),
            depth_max: 0,
        };
        if let Some(member) = member {
            walk.member(member, None, 0);
        }
        self.nested_in_three += usize::from(walk.depth_max >= 3);
        for pair in walk.pairs {
            *self.nested.entry(pair).or_default() += 1;
        }
    }
}

fn subject_object(id: &SubjectId, definition: &model::DefinitionName) -> Option<ObjectRef> {
    match id {
        SubjectId::Wildcard => None,
        SubjectId::Object(id) => Some(ObjectRef {
            definition: definition.clone(),
            id: id.clone(),
        }),
    }
}

struct Walk<'a> {
    schema: &'a Schema,
    pairs: BTreeSet<(Operator, Operator)>,
    visited: BTreeSet<(MemberIx, Option<Operator>, usize)>,
    depth_max: usize,
}

impl Walk<'_> {
    /// Walks a member that is named under the operator `above`, with `depth` operators above.
    fn member(&mut self, member: MemberIx, above: Option<Operator>, depth: usize) {
        // Arrows may lead in a circle; deeper than this there is nothing to learn.
        if depth > 3 || !self.visited.insert((member, above, depth)) {
            return;
        }
        let schema = self.schema;
        if let MemberKind::Permission(expression) = &schema.member(member).kind {
            self.expression(expression, above, depth);
        }
    }

    fn expression(&mut self, expression: &Expression, above: Option<Operator>, depth: usize) {
        match expression {
            Expression::Nil | Expression::SelfObject => {}
            Expression::Member(member) => self.member(*member, above, depth),
            Expression::Arrow(arrow) => {
                let operator = match arrow.quantifier {
                    Quantifier::Any => Operator::ArrowAny,
                    Quantifier::All => Operator::ArrowAll,
                };
                let depth = self.enter(operator, above, depth);
                let schema = self.schema;
                if let MemberKind::Relation(types) = &schema.member(arrow.relation).kind {
                    for accepted in types {
                        let target = schema.member_ix(accepted.definition, arrow.target.as_str());
                        if let Some(target) = target {
                            self.member(target, Some(operator), depth);
                        }
                    }
                }
            }
            Expression::Union(operands) => self.operands(Operator::Union, operands, above, depth),
            Expression::Intersection(operands) => {
                self.operands(Operator::Intersection, operands, above, depth);
            }
            Expression::Exclusion(left, right) => {
                let depth = self.enter(Operator::Exclusion, above, depth);
                self.expression(left, Some(Operator::Exclusion), depth);
                self.expression(right, Some(Operator::Exclusion), depth);
            }
        }
    }

    fn operands(
        &mut self,
        operator: Operator,
        operands: &[Expression],
        above: Option<Operator>,
        depth: usize,
    ) {
        let depth = self.enter(operator, above, depth);
        for operand in operands {
            self.expression(operand, Some(operator), depth);
        }
    }

    fn enter(&mut self, operator: Operator, above: Option<Operator>, depth: usize) -> usize {
        self.pairs.extend(above.map(|above| (above, operator)));
        self.depth_max = self.depth_max.max(depth + 1);
        depth + 1
    }
}

/// Whether the edges lead in a circle: whether something is left when what leads nowhere is taken away again and again.
fn has_cycle<T: Ord>(edges: &[(T, T)]) -> bool {
    let mut left: Vec<&(T, T)> = edges.iter().collect();
    loop {
        let sources: BTreeSet<&T> = left.iter().map(|(from, _)| from).collect();
        let count = left.len();
        left.retain(|(_, to)| sources.contains(to));
        if left.len() == count {
            return count > 0;
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            ("allowed", self.allowed),
            ("denied", self.denied),
            ("conditional", self.conditional),
            ("depth exceeded", self.depth_exceeded),
            ("cyclic exclusion", self.cyclic_exclusion),
            ("caveat error", self.caveat_error),
            ("nested in three", self.nested_in_three),
        ];
        writeln!(f, "{} questions", self.questions)?;
        for (name, count) in counts {
            let percent = 100.0 * count as f64 / self.questions.max(1) as f64;
            writeln!(f, "{name}: {count} ({percent:.1} %)")?;
        }
        writeln!(f, "cases with a cycle of sets: {}", self.set_cycles)?;
        writeln!(f, "cases with a cycle of objects: {}", self.object_cycles)?;
        for ((above, below), count) in &self.nested {
            writeln!(f, "{below:?} under {above:?}: {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate;

    #[test]
    fn what_is_hard_occurs_often_enough() {
        let mut mix = Mix::default();
        for seed in 0..600 {
            let case = generate::case(seed);
            let schema = Schema::compile(&case.schema_text).unwrap();
            mix.add(&case, &schema);
        }
        for share in [mix.allowed, mix.denied, mix.conditional] {
            assert!(share * 100 >= mix.questions * 15, "{mix}");
        }
        for above in Operator::ALL {
            for below in Operator::ALL {
                // A union takes in the operands of a union within it, so no schema keeps the pair; an intersection likewise.
                if above == below && matches!(above, Operator::Union | Operator::Intersection) {
                    continue;
                }
                let count = mix.nested.get(&(above, below)).copied().unwrap_or(0);
                assert!(count >= 100, "{below:?} under {above:?}: {mix}");
            }
        }
        assert!(mix.nested_in_three * 100 >= mix.questions * 15, "{mix}");
        assert!(mix.set_cycles >= 20, "{mix}");
        assert!(mix.object_cycles >= 100, "{mix}");
        assert!(mix.depth_exceeded >= 20, "{mix}");
        assert!(mix.cyclic_exclusion >= 20, "{mix}");
        assert!(mix.caveat_error >= 20, "{mix}");
    }
}
