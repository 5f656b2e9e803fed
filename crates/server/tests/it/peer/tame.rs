//! Takes from a case the circles in which the peer would not come to an end.
//!
//! The peer walks a circle until its depth limit, every branch at every turn: with two branches a turn it would take
//! longer than anyone waits. Rows that close such circles are taken away; circles that can be walked stay. So it is with
//! the last rows of chains whose permissions name each other again and again.

use std::collections::{BTreeMap, BTreeSet};

use model::{ObjectRef, Relationship, SubjectId};
use schema::{Expression, MemberIx, MemberKind, Schema};
use testkit::Case;

/// Steps that the peer may take for one answer, where circles lie on the way and where none do.
const STEPS_MAX: f64 = 400.0;
const STEPS_WITHOUT_CIRCLE_MAX: f64 = 4_000.0;

/// An object with one of its relations or permissions.
type Node = (ObjectRef, MemberIx);

/// Takes rows from `case` until no walk through it takes too many steps.
pub(super) fn tame(case: &mut Case) {
    let schema = Schema::compile(&case.schema_text).unwrap();
    loop {
        let steps = steps_max(&schema, case);
        let rows = &case.relationships;
        let row = match closing_row(rows) {
            Some(row) => (steps > STEPS_MAX).then_some(row),
            None if steps > STEPS_WITHOUT_CIRCLE_MAX => leading_row(rows),
            None => None,
        };
        let Some(row) = row else {
            return;
        };
        case.relationships.remove(row);
    }
}

/// The steps of the longest walk to the depth limit, from any node.
fn steps_max(schema: &Schema, case: &Case) -> f64 {
    let edges = edges(schema, &case.relationships);
    let numbers: BTreeMap<&Node, usize> = edges.keys().zip(0..).collect();
    let next: Vec<Vec<Option<usize>>> = edges
        .values()
        .map(|targets| targets.iter().map(|to| numbers.get(to).copied()).collect())
        .collect();
    let mut steps = vec![1.0; next.len()];
    for _ in 0..case.depth_max {
        let below = |target: &Option<usize>| target.map_or(1.0, |target| steps[target]);
        let longer = next
            .iter()
            .map(|to| 1.0 + to.iter().map(below).sum::<f64>());
        steps = longer.collect();
    }
    steps.into_iter().fold(0.0, f64::max)
}

fn edges(schema: &Schema, rows: &[Relationship]) -> BTreeMap<Node, Vec<Node>> {
    let mut objects = BTreeSet::new();
    for row in rows {
        objects.insert(row.resource.clone());
        objects.extend(subject(row));
    }
    let mut edges = BTreeMap::new();
    for object in objects {
        let Some(definition) = schema.definition_ix(object.definition.as_str()) else {
            continue;
        };
        for &member in &schema.definition(definition).members {
            let mut targets = Vec::new();
            match &schema.member(member).kind {
                MemberKind::Relation(_) => {
                    targets.extend(rows_of(schema, rows, &object, member).filter_map(|row| {
                        let subject = subject(row)?;
                        node(schema, subject, row.subject.relation.as_ref()?.as_str())
                    }));
                }
                MemberKind::Permission(expression) => {
                    add_targets(schema, rows, &object, expression, &mut targets);
                }
            }
            edges.insert((object.clone(), member), targets);
        }
    }
    edges
}

fn add_targets(
    schema: &Schema,
    rows: &[Relationship],
    object: &ObjectRef,
    expression: &Expression,
    targets: &mut Vec<Node>,
) {
    match expression {
        Expression::Nil | Expression::SelfObject => {}
        Expression::Member(member) => targets.push((object.clone(), *member)),
        Expression::Arrow(arrow) => {
            let rows = rows_of(schema, rows, object, arrow.relation);
            targets
                .extend(rows.filter_map(|row| node(schema, subject(row)?, arrow.target.as_str())));
        }
        Expression::Union(operands) | Expression::Intersection(operands) => {
            for operand in operands {
                add_targets(schema, rows, object, operand, targets);
            }
        }
        Expression::Exclusion(left, right) => {
            add_targets(schema, rows, object, left, targets);
            add_targets(schema, rows, object, right, targets);
        }
    }
}

fn rows_of<'a>(
    schema: &'a Schema,
    rows: &'a [Relationship],
    object: &'a ObjectRef,
    relation: MemberIx,
) -> impl Iterator<Item = &'a Relationship> {
    let name = &schema.member(relation).name;
    rows.iter()
        .filter(move |row| row.resource == *object && row.relation == *name)
}

fn node(schema: &Schema, object: ObjectRef, member: &str) -> Option<Node> {
    let definition = schema.definition_ix(object.definition.as_str())?;
    Some((object, schema.member_ix(definition, member)?))
}

/// The object of the subject of a row.
pub(super) fn subject(row: &Relationship) -> Option<ObjectRef> {
    match &row.subject.id {
        SubjectId::Wildcard => None,
        SubjectId::Object(id) => Some(ObjectRef {
            definition: row.subject.definition.clone(),
            id: id.clone(),
        }),
    }
}

/// Whether an object of `case` leads back to itself.
pub(super) fn has_circle(case: &Case) -> bool {
    closing_row(&case.relationships).is_some()
}

/// The last row by which an object leads back to itself.
fn closing_row(rows: &[Relationship]) -> Option<usize> {
    rows.iter().rposition(|row| {
        subject(row).is_some_and(|subject| reachable(rows, &subject).contains(&row.resource))
    })
}

/// The last row whose subject has rows of its own.
fn leading_row(rows: &[Relationship]) -> Option<usize> {
    rows.iter().rposition(|row| {
        subject(row).is_some_and(|subject| rows.iter().any(|next| next.resource == subject))
    })
}

/// The objects that rows lead to from `start`, itself included.
pub(super) fn reachable(rows: &[Relationship], start: &ObjectRef) -> BTreeSet<ObjectRef> {
    let mut found = BTreeSet::from([start.clone()]);
    let mut waiting = vec![start.clone()];
    while let Some(object) = waiting.pop() {
        for row in rows.iter().filter(|row| row.resource == object) {
            if let Some(next) = subject(row)
                && found.insert(next.clone())
            {
                waiting.push(next);
            }
        }
    }
    found
}
