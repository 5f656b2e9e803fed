//! The rules of types: what a relation may take, what an arrow may walk, what a permission may refer to.

use std::collections::{BTreeSet, HashSet};

use super::Written;
use crate::compiled::{
    AllowedSubject, Arrow, Expression, Member, MemberIx, MemberKind, Schema, SubjectKind,
};
use crate::diagnostic::SchemaError;
use crate::syntax::Span;

/// Checks every member of `schema`, in the order of the source; `written` has one entry for each.
pub(super) fn check(schema: &Schema, written: &[Written]) -> Result<(), SchemaError> {
    for (_, definition) in schema.definitions() {
        for ix in &definition.members {
            let Some(written) = written.get(ix.0 as usize) else {
                continue;
            };
            let member = schema.member(*ix);
            match &member.kind {
                MemberKind::Relation(allowed) => {
                    check_relation(schema, member, allowed, &written.name)?
                }
                MemberKind::Permission(expression) => {
                    check_permission(schema, member, expression, &written.name)?;
                }
            }
        }
    }
    check_circles(schema, written)?;
    for ((ix, member), written) in schema.members().zip(written) {
        check_annotation(schema, ix, member, written)?;
    }
    Ok(())
}

fn check_relation(
    schema: &Schema,
    member: &Member,
    allowed: &[AllowedSubject],
    span: &Span,
) -> Result<(), SchemaError> {
    let definition = &schema.definition(member.definition).name;
    let mut seen = HashSet::new();
    for subject in allowed {
        if !seen.insert(*subject) {
            let text = subject.to_text(schema);
            let message = format!(
                "found duplicate allowed subject type `{text}` on relation `{}` under definition `{definition}`",
                member.name
            );
            return Err(SchemaError::typed(span.clone(), message)
                .with("allowed_relation", text)
                .with("definition_name", definition)
                .with("relation_name", &member.name));
        }
        let SubjectKind::Set(set) = subject.kind else {
            continue;
        };
        if let Some(wildcard) = wildcard_in(schema, set, Through::Relations) {
            let message = format!(
                "for relation `{}`: relation/permission `{}` includes wildcard type `{}` via relation `{}`: wildcard \
                 relations cannot be transitively included",
                member.name,
                path(schema, set),
                wildcard.ty,
                path(schema, wildcard.via)
            );
            return Err(SchemaError::typed(span.clone(), message)
                .with("definition_name", definition)
                .with("relation_name", &member.name));
        }
    }
    Ok(())
}

fn check_permission(
    schema: &Schema,
    member: &Member,
    expression: &Expression,
    span: &Span,
) -> Result<(), SchemaError> {
    match expression {
        Expression::Nil | Expression::SelfObject | Expression::Member(_) => Ok(()),
        Expression::Arrow(arrow) => check_arrow(schema, member, arrow, span),
        Expression::Union(operands) | Expression::Intersection(operands) => operands
            .iter()
            .try_for_each(|operand| check_permission(schema, member, operand, span)),
        Expression::Exclusion(left, right) => {
            check_permission(schema, member, left, span)?;
            check_permission(schema, member, right, span)
        }
    }
}

fn check_arrow(
    schema: &Schema,
    member: &Member,
    arrow: &Arrow,
    span: &Span,
) -> Result<(), SchemaError> {
    let definition = &schema.definition(member.definition).name;
    let left = schema.member(arrow.relation);
    if matches!(left.kind, MemberKind::Permission(_)) {
        let message = format!(
            "under permission `{}` under definition `{definition}`: permissions cannot be used on the left hand side of \
             an arrow (found `{}`)",
            member.name, left.name
        );
        return Err(SchemaError::typed(span.clone(), message)
            .with("definition_name", definition)
            .with("permission_name", &member.name)
            .with("used_permission_name", &left.name));
    }
    let Some(wildcard) = wildcard_in(schema, arrow.relation, Through::Permissions) else {
        return Ok(());
    };
    let message = format!(
        "for arrow under permission `{}`: relation `{}` includes wildcard type `{}` via relation `{}`: wildcard \
         relations cannot be used on the left side of arrows",
        member.name,
        path(schema, arrow.relation),
        wildcard.ty,
        path(schema, wildcard.via)
    );
    Err(SchemaError::typed(span.clone(), message)
        .with("definition_name", definition)
        .with("permission_name", &member.name)
        .with("accessed_relation_name", &left.name))
}

/// A wildcard that a member includes, and the relation that takes it.
struct Wildcard {
    ty: String,
    via: MemberIx,
}

/// What a search for wildcards walks through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Through {
    Relations,
    Permissions,
}

/// The first wildcard that `start` includes by itself or through sets. Members are told apart by index, never by name.
fn wildcard_in(schema: &Schema, start: MemberIx, through: Through) -> Option<Wildcard> {
    let mut seen = HashSet::from([start]);
    let mut open = vec![start];
    while let Some(ix) = open.pop() {
        match &schema.member(ix).kind {
            MemberKind::Relation(allowed) => {
                for subject in allowed {
                    match subject.kind {
                        SubjectKind::Object => {}
                        SubjectKind::Wildcard => {
                            let ty = schema.definition(subject.definition).name.to_string();
                            return Some(Wildcard { ty, via: ix });
                        }
                        SubjectKind::Set(set) => {
                            open.extend(Some(set).filter(|set| seen.insert(*set)))
                        }
                    }
                }
            }
            MemberKind::Permission(expression) if through == Through::Permissions => {
                let mut members = BTreeSet::new();
                same_object_in(expression, &mut members);
                open.extend(members.into_iter().filter(|member| seen.insert(*member)));
            }
            MemberKind::Permission(_) => {}
        }
    }
    None
}

/// Every member that an expression refers to, on this object and at the ends of its arrows.
fn each_member(schema: &Schema, expression: &Expression, visit: &mut dyn FnMut(MemberIx)) {
    match expression {
        Expression::Nil | Expression::SelfObject => {}
        Expression::Member(member) => visit(*member),
        Expression::Arrow(arrow) => {
            if let MemberKind::Relation(allowed) = &schema.member(arrow.relation).kind {
                let ends = allowed
                    .iter()
                    .filter_map(|s| schema.member_ix(s.definition, arrow.target.as_str()));
                ends.for_each(visit);
            }
        }
        Expression::Union(operands) | Expression::Intersection(operands) => {
            operands
                .iter()
                .for_each(|operand| each_member(schema, operand, visit));
        }
        Expression::Exclusion(left, right) => {
            each_member(schema, left, visit);
            each_member(schema, right, visit);
        }
    }
}

/// Refuses permissions of one definition that refer to each other in a circle.
fn check_circles(schema: &Schema, written: &[Written]) -> Result<(), SchemaError> {
    for (_, definition) in schema.definitions() {
        // Those that are left once each that refers to none of the left has been taken away.
        let mut left: BTreeSet<MemberIx> = definition.members.iter().copied().collect();
        loop {
            let before = left.len();
            let free: Vec<MemberIx> = left
                .iter()
                .copied()
                .filter(|ix| same_object(schema, *ix).is_disjoint(&left))
                .collect();
            free.iter().for_each(|ix| {
                left.remove(ix);
            });
            if left.len() == before {
                break;
            }
        }
        // Some of those only lead to a circle; those on one are referred to by another that is left.
        loop {
            let referred: BTreeSet<MemberIx> = left
                .iter()
                .flat_map(|ix| same_object(schema, *ix))
                .collect();
            let before = left.len();
            left.retain(|ix| referred.contains(ix));
            if left.len() == before {
                break;
            }
        }
        if let Some(first) = left.first() {
            let mut names: Vec<&str> = left
                .iter()
                .map(|ix| schema.member(*ix).name.as_str())
                .collect();
            names.sort_unstable();
            let message = format!(
                "under definition `{}`, there exists a cycle in permissions: {}",
                definition.name,
                names.join(", ")
            );
            let span = written
                .get(first.0 as usize)
                .map(|written| written.name.clone());
            return Err(SchemaError::other(span, message));
        }
    }
    Ok(())
}

/// The members of the same object that a member is computed from.
fn same_object(schema: &Schema, ix: MemberIx) -> BTreeSet<MemberIx> {
    let mut found = BTreeSet::new();
    match &schema.member(ix).kind {
        MemberKind::Relation(_) => {}
        MemberKind::Permission(expression) => same_object_in(expression, &mut found),
    }
    found
}

fn same_object_in(expression: &Expression, found: &mut BTreeSet<MemberIx>) {
    match expression {
        Expression::Nil | Expression::SelfObject | Expression::Arrow(_) => {}
        Expression::Member(member) => {
            found.insert(*member);
        }
        Expression::Union(operands) | Expression::Intersection(operands) => {
            operands
                .iter()
                .for_each(|operand| same_object_in(operand, found));
        }
        Expression::Exclusion(left, right) => {
            same_object_in(left, found);
            same_object_in(right, found);
        }
    }
}

fn check_annotation(
    schema: &Schema,
    ix: MemberIx,
    member: &Member,
    written: &Written,
) -> Result<(), SchemaError> {
    if written.annotation.is_empty() {
        return Ok(());
    }
    for ty in subject_types(schema, ix) {
        if !written.annotation.contains(&ty) {
            let given: Vec<String> = written
                .annotation
                .iter()
                .map(|name| format!("`{name}`"))
                .collect();
            let message = format!(
                "incomplete type annotation on relation `{}` in definition `{}`: `{ty}` found as reachable type, but not \
                 contained in provided set [{}]",
                member.name,
                schema.definition(member.definition).name,
                given.join(" ")
            );
            return Err(SchemaError::typed(written.name.clone(), message));
        }
    }
    Ok(())
}

/// The names of the definitions whose objects can be subjects of a member.
fn subject_types(schema: &Schema, start: MemberIx) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut seen = HashSet::from([start]);
    let mut open = vec![start];
    while let Some(ix) = open.pop() {
        let member = schema.member(ix);
        let mut next = Vec::new();
        match &member.kind {
            MemberKind::Relation(allowed) => {
                for subject in allowed {
                    match subject.kind {
                        SubjectKind::Object | SubjectKind::Wildcard => {
                            found.insert(schema.definition(subject.definition).name.to_string());
                        }
                        SubjectKind::Set(set) => next.push(set),
                    }
                }
            }
            MemberKind::Permission(expression) => {
                each_member(schema, expression, &mut |member| next.push(member));
                if expression.has_self() {
                    found.insert(schema.definition(member.definition).name.to_string());
                }
            }
        }
        open.extend(next.into_iter().filter(|member| seen.insert(*member)));
    }
    found
}

fn path(schema: &Schema, ix: MemberIx) -> String {
    let member = schema.member(ix);
    format!(
        "{}#{}",
        schema.definition(member.definition).name,
        member.name
    )
}
