//! The engine against the naive evaluator, on random cases; and what only the engine has.

mod expanding;
mod explaining;
mod tracing;
mod walking;
mod witnessing;

use std::sync::Arc;

use model::{
    Context, Decision, ObjectRef, RelationName, Relationship, Revision, SubjectRef, Timestamp,
};
use proptest::prelude::*;
use schema::Schema;
use testkit::{Case, OracleError, Question, oracle};

use super::{Environment, EvalError, Query, check, explain, witness};
use crate::graph::{Change, Loader, RelationshipParts, Snapshot};

const EDGES_MAX: u64 = 1_000_000;

pub(super) fn snapshot(schema: &Arc<Schema>, relationships: &[Relationship]) -> Snapshot {
    let changes: Vec<Change> = relationships.iter().cloned().map(Change::Put).collect();
    Snapshot::empty(Arc::clone(schema))
        .apply(Revision(1), Timestamp::EPOCH, &changes)
        .unwrap()
}

fn loaded(schema: &Arc<Schema>, relationships: &[Relationship]) -> Snapshot {
    let mut loader = Loader::new(Arc::clone(schema));
    for relationship in relationships {
        let subject = &relationship.subject;
        loader
            .push(RelationshipParts {
                resource_definition: relationship.resource.definition.as_str(),
                resource_id: relationship.resource.id.as_str(),
                relation: relationship.relation.as_str(),
                subject_definition: subject.definition.as_str(),
                subject_id: subject.id.as_str(),
                subject_relation: subject.relation.as_ref().map(RelationName::as_str),
                caveat: relationship.caveat.clone(),
                expires_at: relationship.expires_at,
            })
            .unwrap();
    }
    loader.finish(Revision(1), Timestamp::EPOCH)
}

/// The same by way of a graph that had an edge more for each, with ids that are dead now and taken out.
fn rebuilt(schema: &Arc<Schema>, relationships: &[Relationship]) -> Snapshot {
    let gone = |(number, kept): (usize, &Relationship)| {
        let mut gone = kept.clone();
        gone.resource.id = format!("gone{number}").parse().unwrap();
        gone
    };
    let gone: Vec<Relationship> = relationships.iter().enumerate().map(gone).collect();
    let both: Vec<Change> = gone
        .iter()
        .zip(relationships)
        .flat_map(|(gone, kept)| [gone.clone(), kept.clone()])
        .map(Change::Put)
        .collect();
    let removed: Vec<Change> = gone.iter().map(|gone| Change::Remove(gone.key())).collect();
    let churned = Snapshot::empty(Arc::clone(schema))
        .apply(Revision(1), Timestamp::EPOCH, &both)
        .and_then(|both| both.apply(Revision(2), Timestamp::EPOCH, &removed))
        .unwrap();
    let definitions: Vec<_> = schema.definitions().map(|(ix, _)| ix).collect();
    churned.without_dead_ids(&definitions)
}

pub(super) fn environment(question: &Question, depth_max: u16) -> Environment<'_> {
    Environment {
        context: &question.context,
        now: question.now,
        depth_max,
        edges_visited_max: EDGES_MAX,
    }
}

/// An answer in a form that both evaluators have.
type Told = Result<Decision, String>;

fn by_oracle(schema: &Schema, rows: &[Relationship], question: &Question, depth_max: u16) -> Told {
    oracle::check(schema, rows, question, depth_max).map_err(|error| match error {
        OracleError::DepthExceeded => "depth".to_owned(),
        OracleError::CyclicExclusion => "cycle".to_owned(),
        OracleError::Caveat(error) => error.to_string(),
    })
}

fn by_engine(snapshot: &Snapshot, question: &Question, depth_max: u16) -> Told {
    let query = Query::resolve(
        snapshot,
        &question.resource,
        question.member.as_str(),
        &question.subject,
    )
    .unwrap();
    check(snapshot, &query, environment(question, depth_max)).map_err(tell)
}

fn tell(error: EvalError) -> String {
    match error {
        EvalError::DepthExceeded { .. } => "depth".to_owned(),
        EvalError::CyclicExclusion => "cycle".to_owned(),
        EvalError::Caveat(error) => error.to_string(),
        EvalError::WorkExceeded { .. } => "work".to_owned(),
        EvalError::Interrupted => "interrupted".to_owned(),
    }
}

/// What is wrong with the engine's answers to a case, if anything.
fn fault(case: &Case) -> Option<String> {
    let schema = Arc::new(Schema::compile(&case.schema_text).unwrap());
    let snapshots = [
        snapshot(&schema, &case.relationships),
        loaded(&schema, &case.relationships),
        rebuilt(&schema, &case.relationships),
    ];
    for question in &case.questions {
        let right = by_oracle(&schema, &case.relationships, question, case.depth_max);
        for snapshot in &snapshots {
            let answer = by_engine(snapshot, question, case.depth_max);
            if answer != right {
                return Some(format!("{question}: {answer:?} instead of {right:?}"));
            }
        }
        if let Some(fault) = witness_fault(&schema, &snapshots[0], question, case.depth_max, &right)
        {
            return Some(format!("{question}: {fault}"));
        }
    }
    None
}

/// A witness is part of the data and leads to the same decision on its own; an explanation tells the same decision.
fn witness_fault(
    schema: &Arc<Schema>,
    full: &Snapshot,
    question: &Question,
    depth_max: u16,
    right: &Told,
) -> Option<String> {
    let query = Query::resolve(
        full,
        &question.resource,
        question.member.as_str(),
        &question.subject,
    )
    .unwrap();
    let environment = environment(question, depth_max);
    let told = explain(
        full,
        &query,
        &question.resource,
        &question.subject,
        environment,
    )
    .unwrap();
    if told.decision.clone().map_err(tell) != *right {
        return Some(format!(
            "explained as {:?} instead of {right:?}\n{told}",
            told.decision
        ));
    }
    let Ok((decision, rows)) = witness(full, &query, environment) else {
        return right.is_ok().then(|| "there is no witness".to_owned());
    };
    let alone = by_engine(&snapshot(schema, &rows), question, depth_max);
    let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
    (alone != Ok(decision.clone()))
        .then(|| format!("witness of {decision:?} leads to {alone:?}: {rows:?}"))
}

#[test]
fn engine_agrees_with_the_naive_evaluator() {
    no_case_has(fault);
}

/// Fails with the smallest of the random cases in which `fault` finds something, if it does in any.
pub(super) fn no_case_has(fault: impl Fn(&Case) -> Option<String>) {
    let count = match std::env::var_os("RANDOM_CASES") {
        Some(count) => count.to_str().unwrap().parse().unwrap(),
        None if std::env::var_os("RUN_SLOW_TESTS").is_some() => 200_000,
        None => 4_000,
    };
    for seed in 0..count {
        let case = testkit::case(seed);
        if let Some(first) = fault(&case) {
            let small = testkit::shrink(case, |case| fault(case).is_some());
            panic!(
                "seed {seed}: {first}\nshrunk: {}\n{small}",
                fault(&small).unwrap()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn an_old_snapshot_answers_as_before(seed in any::<u64>(), other in any::<u64>()) {
        let case = testkit::case(seed);
        let schema = Arc::new(Schema::compile(&case.schema_text).unwrap());
        let old = snapshot(&schema, &case.relationships);
        let before: Vec<Told> = case.questions.iter().map(|q| by_engine(&old, q, case.depth_max)).collect();
        let mut newest = old.clone();
        for (at, relationship) in case.relationships.iter().enumerate() {
            let change = if (other >> (at % 64)) & 1 == 1 {
                Change::Remove(relationship.key())
            } else {
                Change::Put(Relationship { expires_at: None, ..relationship.clone() })
            };
            newest = newest.apply(Revision(2 + at as u64), Timestamp::EPOCH, &[change]).unwrap();
        }
        let after: Vec<Told> = case.questions.iter().map(|q| by_engine(&old, q, case.depth_max)).collect();
        prop_assert_eq!(before, after);
    }
}

/// A snapshot of `rows`, and a question of an object, a member and a subject, resolved.
fn resolved(schema: &str, rows: &[String], asked: (&str, &str, &str)) -> (Snapshot, Query) {
    let schema = Arc::new(Schema::compile(schema).unwrap());
    let rows: Vec<Relationship> = rows.iter().map(|row| row.parse().unwrap()).collect();
    let snapshot = snapshot(&schema, &rows);
    let (resource, member, subject) = asked;
    let (resource, subject) = (resource.parse().unwrap(), subject.parse().unwrap());
    let query = Query::resolve(&snapshot, &resource, member, &subject).unwrap();
    (snapshot, query)
}

pub(super) fn rows(rows: &[&str]) -> Vec<String> {
    rows.iter().map(|row| (*row).to_owned()).collect()
}

/// Without a context, at the epoch.
pub(super) fn limited(depth_max: u16, edges_visited_max: u64) -> Environment<'static> {
    static NOTHING: std::sync::LazyLock<Context> = std::sync::LazyLock::new(Context::default);
    Environment {
        context: &NOTHING,
        now: Timestamp::EPOCH,
        depth_max,
        edges_visited_max,
    }
}

fn ask(schema: &str, rows: &[String], resource: &str, member: &str, subject: &str) -> Told {
    let (snapshot, query) = resolved(schema, rows, (resource, member, subject));
    check(&snapshot, &query, limited(50, EDGES_MAX)).map_err(tell)
}

const GROUPS: &str = "definition user {}\ndefinition group {\n relation member: user | group#member\n}\n\
                      definition doc {\n relation viewer: user | group#member\n permission view = viewer\n}\n";

/// Many groups on the resource and few around the subject, so that the walk goes upwards; at every distance.
#[test]
fn climbing_counts_depth_as_walking_down_does() {
    for length in 1..60 {
        let mut rows: Vec<String> = (0..40)
            .map(|n| format!("doc:d#viewer@group:x{n}#member"))
            .collect();
        rows.push("doc:d#viewer@group:g0#member".to_owned());
        rows.extend((1..length).map(|n| format!("group:g{}#member@group:g{n}#member", n - 1)));
        rows.push(format!("group:g{}#member@user:ann", length - 1));
        // The document's view and viewer, then the groups.
        let expected = if length + 2 <= 50 {
            Ok(Decision::Allowed)
        } else {
            Err("depth".to_owned())
        };
        assert_eq!(
            ask(GROUPS, &rows, "doc:d", "view", "user:ann"),
            expected,
            "{length} groups"
        );
        assert_eq!(
            ask(GROUPS, &rows, "doc:d", "view", "user:bob"),
            Ok(Decision::Denied)
        );
        let set = format!("group:g{}#member", length - 1);
        assert_eq!(ask(GROUPS, &rows, "doc:d", "view", &set), expected, "{set}");
    }
}

#[test]
fn a_long_chain_overflows_nothing() {
    let mut rows: Vec<String> = (1..20_000)
        .map(|n| format!("group:g{}#member@group:g{n}#member", n - 1))
        .collect();
    assert_eq!(
        ask(GROUPS, &rows, "group:g0", "member", "user:ann"),
        Ok(Decision::Denied)
    );
    rows.push("group:g19999#member@user:ann".to_owned());
    assert_eq!(
        ask(GROUPS, &rows, "group:g0", "member", "user:ann"),
        Err("depth".to_owned())
    );
}

#[test]
fn work_is_limited() {
    let rows: Vec<String> = (0..20)
        .map(|n| format!("group:g{n}#member@group:g{}#member", n + 1))
        .collect();
    let (snapshot, query) = resolved(GROUPS, &rows, ("group:g0", "member", "user:ann"));
    assert_eq!(
        check(&snapshot, &query, limited(50, 10)),
        Err(EvalError::WorkExceeded {
            edges_visited_max: 10
        })
    );
}
