//! The rules of types: what a relation may take, what an arrow may walk, what a permission may refer to.

use std::collections::{BTreeSet, HashSet};

use super::{FAULTS_MAX, Written, note};
use crate::compiled::{
    AllowedSubject, Arrow, Expression, Member, MemberIx, MemberKind, Schema, SubjectKind,
};
use crate::diagnostic::SchemaError;
use crate::reach::subject_types_within;
use crate::syntax::Span;

/// Most steps from member to member that the annotations of a schema take to check.
const ANNOTATION_STEPS_MAX: usize = 10_000_000;

/// Checks every member of `schema`, in the order of the source; `written` has one entry for each. Annotations hold only
/// where the schema says `use typechecking`.
pub(super) fn check(
    schema: &Schema,
    written: &[Written],
    is_typechecked: bool,
) -> Result<(), Vec<SchemaError>> {
    let checker = Checker {
        schema,
        by_relations: Wildcards::find(schema, Through::Relations),
        by_permissions: Wildcards::find(schema, Through::Permissions),
    };
    let mut faults = Vec::new();
    for ((_, member), written) in schema.members().zip(written) {
        if faults.len() >= FAULTS_MAX {
            break;
        }
        let outcome = match &member.kind {
            MemberKind::Relation(allowed) => checker.relation(member, allowed, &written.name),
            MemberKind::Permission(expression) => {
                checker.permission(member, expression, &written.name)
            }
        };
        note(&mut faults, outcome);
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    check_circles(schema, written)?;
    if is_typechecked {
        let mut steps = ANNOTATION_STEPS_MAX;
        for ((ix, member), written) in schema.members().zip(written) {
            note(
                &mut faults,
                check_annotation(schema, ix, member, written, &mut steps),
            );
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

struct Checker<'a> {
    schema: &'a Schema,
    by_relations: Wildcards,
    by_permissions: Wildcards,
}

impl Checker<'_> {
    fn relation(
        &self,
        member: &Member,
        allowed: &[AllowedSubject],
        span: &Span,
    ) -> Result<(), SchemaError> {
        let schema = self.schema;
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
            // A set of the same definition may hold a wildcard, as with the peer: `user | user:* | group#member`.
            let is_foreign = subject.definition != member.definition;
            if is_foreign && let Some(wildcard) = self.by_relations.in_member(schema, set) {
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

    fn permission(
        &self,
        member: &Member,
        expression: &Expression,
        span: &Span,
    ) -> Result<(), SchemaError> {
        match expression {
            Expression::Nil | Expression::SelfObject | Expression::Member(_) => Ok(()),
            Expression::Arrow(arrow) => self.arrow(member, arrow, span),
            Expression::Union(operands) | Expression::Intersection(operands) => operands
                .iter()
                .try_for_each(|operand| self.permission(member, operand, span)),
            Expression::Exclusion(left, right) => {
                self.permission(member, left, span)?;
                self.permission(member, right, span)
            }
        }
    }

    fn arrow(&self, member: &Member, arrow: &Arrow, span: &Span) -> Result<(), SchemaError> {
        let schema = self.schema;
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
        let Some(wildcard) = self.by_permissions.in_member(schema, arrow.relation) else {
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

/// The members that include a wildcard, by themselves or through others. Members are told apart by index, never by name.
struct Wildcards {
    through: Through,
    /// One for each member.
    includes: Vec<bool>,
}

impl Wildcards {
    /// Goes from the wildcards backwards, so that a schema is walked once whatever it is like.
    fn find(schema: &Schema, through: Through) -> Self {
        let mut users: Vec<Vec<MemberIx>> = vec![Vec::new(); schema.members().len()];
        let mut includes = vec![false; schema.members().len()];
        let mut open = Vec::new();
        for (ix, _) in schema.members() {
            for part in parts(schema, ix, through) {
                if let Some(users) = users.get_mut(part.0 as usize) {
                    users.push(ix);
                }
            }
            if own_wildcard(schema, ix).is_some() {
                open.push(ix);
            }
        }
        while let Some(ix) = open.pop() {
            if let Some(known) = includes.get_mut(ix.0 as usize)
                && !std::mem::replace(known, true)
            {
                open.extend(users.get(ix.0 as usize).into_iter().flatten());
            }
        }
        Self { through, includes }
    }

    /// A wildcard that `start` includes.
    fn in_member(&self, schema: &Schema, start: MemberIx) -> Option<Wildcard> {
        if !self.includes.get(start.0 as usize).copied().unwrap_or(true) {
            return None;
        }
        let mut seen = HashSet::from([start]);
        let mut open = vec![start];
        while let Some(ix) = open.pop() {
            if let Some(ty) = own_wildcard(schema, ix) {
                return Some(Wildcard { ty, via: ix });
            }
            let parts = parts(schema, ix, self.through).into_iter();
            open.extend(parts.filter(|part| seen.insert(*part)));
        }
        None
    }
}

/// The definition of which a relation takes all objects at once.
fn own_wildcard(schema: &Schema, ix: MemberIx) -> Option<String> {
    let MemberKind::Relation(allowed) = &schema.member(ix).kind else {
        return None;
    };
    let wildcard = allowed
        .iter()
        .find(|subject| subject.kind == SubjectKind::Wildcard)?;
    Some(schema.definition(wildcard.definition).name.to_string())
}

/// The members whose subjects a member has too.
fn parts(schema: &Schema, ix: MemberIx, through: Through) -> BTreeSet<MemberIx> {
    match &schema.member(ix).kind {
        MemberKind::Relation(allowed) => allowed
            .iter()
            .filter_map(|subject| match subject.kind {
                SubjectKind::Object | SubjectKind::Wildcard => None,
                SubjectKind::Set(set) => Some(set),
            })
            .collect(),
        MemberKind::Permission(_) if through == Through::Permissions => same_object(schema, ix),
        MemberKind::Permission(_) => BTreeSet::new(),
    }
}

/// Refuses permissions of one definition that refer to each other in a circle.
fn check_circles(schema: &Schema, written: &[Written]) -> Result<(), Vec<SchemaError>> {
    // Members are taken away that refer to none that is left; those that stay are on a circle or lead to one.
    let mut users: Vec<Vec<MemberIx>> = vec![Vec::new(); schema.members().len()];
    let mut referred: Vec<usize> = Vec::with_capacity(schema.members().len());
    for (ix, _) in schema.members() {
        let members = same_object(schema, ix);
        referred.push(members.len());
        for member in members {
            if let Some(users) = users.get_mut(member.0 as usize) {
                users.push(ix);
            }
        }
    }
    let free = schema.members().map(|(ix, _)| ix);
    let mut free: Vec<MemberIx> = free
        .filter(|ix| referred.get(ix.0 as usize) == Some(&0))
        .collect();
    while let Some(ix) = free.pop() {
        for user in users.get(ix.0 as usize).into_iter().flatten() {
            if let Some(left) = referred.get_mut(user.0 as usize) {
                *left -= 1;
                free.extend(Some(*user).filter(|_| *left == 0));
            }
        }
    }
    let mut faults = Vec::new();
    for (_, definition) in schema.definitions() {
        let left = definition.members.iter();
        let left: Vec<MemberIx> = left
            .filter(|ix| referred.get(ix.0 as usize).is_some_and(|left| *left > 0))
            .copied()
            .collect();
        let Some(first) = left.first() else {
            continue;
        };
        let names = left.iter().map(|ix| schema.member(*ix).name.as_str());
        let names: BTreeSet<&str> = names.collect();
        let message = format!(
            "under definition `{}`, there exists a cycle in permissions: {}",
            definition.name,
            names.into_iter().collect::<Vec<_>>().join(", ")
        );
        let span = written
            .get(first.0 as usize)
            .map(|written| written.name.clone());
        note(&mut faults, Err(SchemaError::other(span, message)));
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
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
    steps: &mut usize,
) -> Result<(), SchemaError> {
    if written.annotation.is_empty() {
        return Ok(());
    }
    let Some(types) = subject_types_within(schema, ix, steps) else {
        *steps = 0;
        let message =
            format!("type annotations take more than {ANNOTATION_STEPS_MAX} steps to check");
        return Err(SchemaError::other(Some(written.name.clone()), message));
    };
    let given: HashSet<&str> = written.annotation.iter().map(String::as_str).collect();
    for (definition, relation) in types {
        let ty = &schema.definition(definition).name;
        if relation.is_none() && !given.contains(ty.as_str()) {
            let given = written.annotation.iter().map(|name| format!("`{name}`"));
            let message = format!(
                "incomplete type annotation on relation `{}` in definition `{}`: `{ty}` found as reachable type, but not \
                 contained in provided set [{}]",
                member.name,
                schema.definition(member.definition).name,
                given.collect::<Vec<_>>().join(" ")
            );
            return Err(SchemaError::typed(written.name.clone(), message));
        }
    }
    Ok(())
}

fn path(schema: &Schema, ix: MemberIx) -> String {
    let member = schema.member(ix);
    format!(
        "{}#{}",
        schema.definition(member.definition).name,
        member.name
    )
}
