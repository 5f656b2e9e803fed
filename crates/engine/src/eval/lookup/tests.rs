//! Look-ups against checks: whatever a look-up says of an object, a check of it says too.

mod answers;
mod costs;
mod sets;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use model::{Decision, ObjectId, ObjectRef, RelationName, Relationship, SubjectId, SubjectRef};
use schema::Schema;
use testkit::{Case, Question};

use super::{Found, Membership, ResourcesQuery, SubjectsQuery, lookup_resources, lookup_subjects};
use crate::eval::tests::{environment, limited, no_case_has, rows, snapshot};
use crate::eval::{EvalError, Query, check};
use crate::graph::Snapshot;

type Told = Result<Decision, EvalError>;

/// An id that no case has.
const NOBODY: &str = "nobody-in-particular";

fn by_check(
    case: &Case,
    snapshot: &Snapshot,
    question: &Question,
    resource: &ObjectRef,
    subject: &SubjectRef,
) -> Told {
    let query = Query::resolve(snapshot, resource, question.member.as_str(), subject).unwrap();
    check(snapshot, &query, environment(question, case.depth_max))
}

/// What a look-up says of `id`; nothing where it says that it does not know.
fn by_lookup(found: &Found, snapshot: &Snapshot, id: &ObjectId) -> Decision {
    let decision = |membership: Membership| match membership {
        Membership::Certain => Decision::Allowed,
        Membership::Conditional { missing } => Decision::Conditional { missing },
    };
    if let Some((_, own)) = found.members(snapshot).find(|(member, _)| member == id) {
        return decision(own);
    }
    let taken_out = found
        .excluded(snapshot)
        .into_iter()
        .find(|(member, _)| member == id);
    match (found.everybody(), taken_out) {
        (None, _) | (Some(_), Some((_, Membership::Certain))) => Decision::Denied,
        (Some(everybody), None) => decision(everybody),
        (Some(_), Some((_, conditional))) => decision(conditional),
    }
}

fn differs(found: &Found, snapshot: &Snapshot, id: &ObjectId, right: &Told) -> Option<String> {
    let told = by_lookup(found, snapshot, id);
    match right {
        Ok(right) if told == *right => None,
        Err(_) if told == Decision::Denied && found.error().is_some() => None,
        Ok(_) | Err(_) => Some(format!("`{id}` is {told:?}, but a check says {right:?}")),
    }
}

/// Order, and that every place to go on from leads to the rest.
fn pages_fault(found: &Found, snapshot: &Snapshot) -> Option<String> {
    let all: Vec<_> = found.members(snapshot).collect();
    if !all.is_sorted_by(|left, right| left.0.as_str() < right.0.as_str())
        || all.len() != found.count()
    {
        return Some(format!("not in order or not all: {all:?}"));
    }
    (0..all.len()).find_map(|at| {
        let place = found.place_after(snapshot, all[at].0.as_str());
        (place != at + 1).then(|| format!("after {} comes place {place}", all[at].0))
    })
}

fn ids(rows: &[Relationship], definition: &str, asked: [&ObjectId; 2]) -> BTreeSet<ObjectId> {
    let mut ids: BTreeSet<ObjectId> = asked.into_iter().cloned().collect();
    ids.insert(ObjectId::new(NOBODY).unwrap());
    for row in rows {
        if row.resource.definition.as_str() == definition {
            ids.insert(row.resource.id.clone());
        }
        if let (SubjectId::Object(id), true) = (
            &row.subject.id,
            row.subject.definition.as_str() == definition,
        ) {
            ids.insert(id.clone());
        }
    }
    ids
}

fn fault(case: &Case) -> Option<String> {
    let schema = Arc::new(Schema::compile(&case.schema_text).unwrap());
    let snapshot = snapshot(&schema, &case.relationships);
    case.questions.iter().find_map(|question| {
        resources_fault(case, &snapshot, question)
            .or_else(|| subjects_fault(case, &snapshot, question))
            .map(|fault| format!("{question}: {fault}"))
    })
}

fn resources_fault(case: &Case, snapshot: &Snapshot, question: &Question) -> Option<String> {
    let definition = &question.resource.definition;
    let query = ResourcesQuery::resolve(
        snapshot,
        definition.as_str(),
        question.member.as_str(),
        &question.subject,
    )
    .unwrap();
    let environment = environment(question, case.depth_max);
    let found = lookup_resources(snapshot, &query, environment, &AtomicBool::new(false)).unwrap();
    let SubjectId::Object(subject_id) = &question.subject.id else {
        return None;
    };
    let mut errors = BTreeSet::new();
    let asked = [&question.resource.id, subject_id];
    for id in ids(&case.relationships, definition.as_str(), asked) {
        let resource = ObjectRef {
            definition: definition.clone(),
            id: id.clone(),
        };
        let right = by_check(case, snapshot, question, &resource, &question.subject);
        errors.extend(right.clone().err());
        if let Some(fault) = differs(&found, snapshot, &id, &right) {
            return Some(format!("resources: {fault}"));
        }
    }
    if found.error() != errors.first() {
        return Some(format!(
            "resources: {:?} instead of {errors:?}",
            found.error()
        ));
    }
    pages_fault(&found, snapshot)
}

fn subjects_fault(case: &Case, snapshot: &Snapshot, question: &Question) -> Option<String> {
    let definition = &question.subject.definition;
    let relation = question.subject.relation.as_ref();
    let query = SubjectsQuery::resolve(
        snapshot,
        &question.resource,
        question.member.as_str(),
        definition.as_str(),
        relation.map(RelationName::as_str),
    )
    .unwrap();
    let environment = environment(question, case.depth_max);
    let found = lookup_subjects(snapshot, &query, environment, &AtomicBool::new(false)).unwrap();
    let SubjectId::Object(subject_id) = &question.subject.id else {
        return None;
    };
    let mut errors = BTreeSet::new();
    let asked = [subject_id, &question.resource.id];
    for id in ids(&case.relationships, definition.as_str(), asked) {
        let subject = SubjectRef {
            id: SubjectId::Object(id.clone()),
            ..question.subject.clone()
        };
        let right = by_check(case, snapshot, question, &question.resource, &subject);
        errors.extend(right.clone().err());
        if let Some(fault) = differs(&found, snapshot, &id, &right) {
            return Some(format!("subjects: {fault}"));
        }
    }
    if found.error() != errors.first() {
        return Some(format!(
            "subjects: {:?} instead of {errors:?}",
            found.error()
        ));
    }
    pages_fault(&found, snapshot)
}

/// More than a look-up in one of the scenes visits.
const EDGES_MAX: u64 = 1_000;
/// Deeper than anything in the scenes.
const DEPTH_MAX: u16 = 50;

/// What a look-up finds, by id, and the fewest edges within which it does.
fn with_cost(look_up: impl Fn(u64) -> Result<Vec<String>, EvalError>) -> (Vec<String>, u64) {
    let found = look_up(EDGES_MAX).unwrap();
    let (mut least, mut most) = (0, EDGES_MAX);
    while least < most {
        let middle = (least + most) / 2;
        match look_up(middle) {
            Ok(_) => most = middle,
            Err(error) => {
                let edges_visited_max = middle;
                assert_eq!(error, EvalError::WorkExceeded { edges_visited_max });
                least = middle + 1;
            }
        }
    }
    (found, least)
}

fn parsed(schema: &str, rows: &[String]) -> Snapshot {
    let schema = Arc::new(Schema::compile(schema).unwrap());
    let rows: Vec<Relationship> = rows.iter().map(|row| row.parse().unwrap()).collect();
    snapshot(&schema, &rows)
}

fn ids_of(found: &Found, snapshot: &Snapshot) -> Vec<String> {
    let told = |(id, membership): (ObjectId, Membership)| match membership {
        Membership::Certain => id.to_string(),
        Membership::Conditional { .. } => format!("{id}?"),
    };
    found.members(snapshot).map(told).collect()
}

/// The resources of a definition on which a subject has a member, and what it costs to find them.
fn resources(
    (schema, rows): (&str, &[String]),
    (definition, member, subject): (&str, &str, &str),
    depth_max: u16,
) -> (Vec<String>, u64) {
    let snapshot = parsed(schema, rows);
    let subject = subject.parse().unwrap();
    let query = ResourcesQuery::resolve(&snapshot, definition, member, &subject).unwrap();
    with_cost(|edges_visited_max| {
        let environment = limited(depth_max, edges_visited_max);
        lookup_resources(&snapshot, &query, environment, &AtomicBool::new(false))
            .map(|found| ids_of(&found, &snapshot))
    })
}

/// The subjects of a definition that have a member on a resource, and what it costs to find them.
fn subjects(
    (schema, rows): (&str, &[String]),
    (resource, member, definition): (&str, &str, &str),
    depth_max: u16,
) -> (Vec<String>, u64) {
    let snapshot = parsed(schema, rows);
    let resource = resource.parse().unwrap();
    let query = SubjectsQuery::resolve(&snapshot, &resource, member, definition, None).unwrap();
    with_cost(|edges_visited_max| {
        let environment = limited(depth_max, edges_visited_max);
        lookup_subjects(&snapshot, &query, environment, &AtomicBool::new(false))
            .map(|found| ids_of(&found, &snapshot))
    })
}

#[test]
fn look_ups_agree_with_checks() {
    no_case_has(fault);
}

/// Where equations decide, the work of all candidates together is limited, and ends when nobody waits.
#[test]
fn exact_answers_share_one_limit() {
    let schema =
        "definition user {}\ndefinition group {\n relation member: user | group#member\n}\n";
    let schema = Arc::new(Schema::compile(schema).unwrap());
    let mut rows: Vec<Relationship> = (1..60)
        .map(|n| {
            format!("group:g{}#member@group:g{n}#member", n - 1)
                .parse()
                .unwrap()
        })
        .collect();
    rows.extend((0..40).map(|n| {
        format!("group:g59#member@user:u{n}")
            .parse::<Relationship>()
            .unwrap()
    }));
    let snapshot = snapshot(&schema, &rows);
    let context = model::Context::default();
    let environment = |edges_visited_max| crate::eval::Environment {
        context: &context,
        now: model::Timestamp::EPOCH,
        depth_max: 50,
        edges_visited_max,
    };
    let query = SubjectsQuery::resolve(
        &snapshot,
        &"group:g0".parse().unwrap(),
        "member",
        "user",
        None,
    )
    .unwrap();
    let enough = lookup_subjects(
        &snapshot,
        &query,
        environment(100_000),
        &AtomicBool::new(false),
    )
    .unwrap();
    assert_eq!(
        enough.error(),
        Some(&EvalError::DepthExceeded { depth_max: 50 })
    );
    // One check takes some 120 edges, the 40 of them more than this.
    let limited = lookup_subjects(
        &snapshot,
        &query,
        environment(1_000),
        &AtomicBool::new(false),
    );
    let edges_visited_max = 1_000;
    assert_eq!(
        limited.unwrap_err(),
        EvalError::WorkExceeded { edges_visited_max }
    );
    let gone = lookup_subjects(
        &snapshot,
        &query,
        environment(100_000),
        &AtomicBool::new(true),
    );
    assert!(matches!(gone, Err(EvalError::Interrupted)), "{gone:?}");
}
