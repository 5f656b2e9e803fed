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
                each_member(schema, expression, &mut taken, &mut |member| {
                    next.push(member)
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

/// Visits every member that an expression refers to, on this object and at the ends of its arrows.
fn each_member(
    schema: &Schema,
    expression: &Expression,
    taken: &mut usize,
    visit: &mut dyn FnMut(MemberIx),
) {
    *taken += 1;
    match expression {
        Expression::Nil | Expression::SelfObject => {}
        Expression::Member(member) => visit(*member),
        Expression::Arrow(arrow) => {
            if let MemberKind::Relation(allowed) = &schema.member(arrow.relation).kind {
                *taken += allowed.len();
                let ends = allowed
                    .iter()
                    .filter_map(|s| schema.member_ix(s.definition, arrow.target.as_str()));
                ends.for_each(visit);
            }
        }
        Expression::Union(operands) | Expression::Intersection(operands) => {
            for operand in operands {
                each_member(schema, operand, taken, visit);
            }
        }
        Expression::Exclusion(left, right) => {
            each_member(schema, left, taken, visit);
            each_member(schema, right, taken, visit);
        }
    }
}
