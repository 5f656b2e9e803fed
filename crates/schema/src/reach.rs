//! Which kinds of subjects a relation or permission can have, whatever is written.

use std::collections::HashSet;

use crate::compiled::{DefinitionIx, Expression, MemberIx, MemberKind, Schema, SubjectKind};

/// A kind of subject: objects of a definition, or (if there is one) the subjects of a relation or permission of it.
pub type SubjectType = (DefinitionIx, Option<MemberIx>);

impl Schema {
    /// The kinds of subjects that a relation or permission can have, in the order in which they are met: those that
    /// its relations take, those that the sets among these have in turn, and what arrows lead to.
    ///
    /// The right side of an exclusion counts too. An arrow that leads nowhere adds nothing.
    ///
    /// # Cost
    /// O(members and allowed subjects that can be reached).
    #[must_use]
    pub fn subject_types(&self, member: MemberIx) -> Vec<SubjectType> {
        subject_types_within(self, member, &mut usize::MAX.clone()).unwrap_or_default()
    }
}

/// The kinds of subjects of `start`; none if that takes more than `steps`, from which the taken ones are subtracted.
pub(crate) fn subject_types_within(
    schema: &Schema,
    start: MemberIx,
    steps: &mut usize,
) -> Option<Vec<SubjectType>> {
    let mut found = Vec::new();
    let mut known = HashSet::new();
    let mut add = |ty: SubjectType| {
        if known.insert(ty) {
            found.push(ty);
        }
    };
    let mut seen = HashSet::from([start]);
    let mut open = vec![start];
    while let Some(ix) = open.pop() {
        let member = schema.member(ix);
        let mut next = Vec::new();
        let mut taken = 1;
        match &member.kind {
            MemberKind::Relation(allowed) => {
                taken += allowed.len();
                for subject in allowed {
                    match subject.kind {
                        SubjectKind::Object | SubjectKind::Wildcard => {
                            add((subject.definition, None));
                        }
                        SubjectKind::Set(set) => {
                            add((subject.definition, Some(set)));
                            next.push(set);
                        }
                    }
                }
            }
            MemberKind::Permission(expression) => {
                each_reference(schema, expression, &mut taken, &mut |reference| {
                    next.push(reference.target());
                });
                if expression.has_self() {
                    add((member.definition, None));
                }
            }
        }
        *steps = steps.checked_sub(taken)?;
        open.extend(next.into_iter().filter(|member| seen.insert(*member)));
    }
    Some(found)
}

/// What an expression refers to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reference {
    /// A member of the same object.
    Member(MemberIx),
    /// A member at the end of an arrow.
    Arrow {
        /// The relation that is walked over.
        over: MemberIx,
        /// What is asked of the objects there.
        target: MemberIx,
    },
}

impl Reference {
    /// The member whose subjects count.
    pub(crate) fn target(self) -> MemberIx {
        match self {
            Self::Member(target) | Self::Arrow { target, .. } => target,
        }
    }
}

/// Visits everything that an expression refers to, on this object and at the ends of its arrows; `taken` counts the steps.
pub(crate) fn each_reference(
    schema: &Schema,
    expression: &Expression,
    taken: &mut usize,
    visit: &mut dyn FnMut(Reference),
) {
    *taken += 1;
    match expression {
        Expression::Nil | Expression::SelfObject => {}
        Expression::Member(member) => visit(Reference::Member(*member)),
        Expression::Arrow(arrow) => {
            let over = arrow.relation;
            if let MemberKind::Relation(allowed) = &schema.member(over).kind {
                *taken += allowed.len();
                let targets = allowed
                    .iter()
                    .filter_map(|s| schema.member_ix(s.definition, arrow.target.as_str()));
                targets.for_each(|target| visit(Reference::Arrow { over, target }));
            }
        }
        Expression::Union(operands) | Expression::Intersection(operands) => {
            for operand in operands {
                each_reference(schema, operand, taken, visit);
            }
        }
        Expression::Exclusion(left, right) => {
            each_reference(schema, left, taken, visit);
            each_reference(schema, right, taken, visit);
        }
    }
}
