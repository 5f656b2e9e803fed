//! Why-not against an exhaustive search that the naive evaluator decides; and each construct of a schema by itself.

mod constructs;
mod exhaustive;
mod gaining;
mod limits;
mod seeing;
mod space;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use model::{Context, Relationship, Timestamp};
use schema::Schema;
use testkit::rng::Rng;
use testkit::{Case, Question};

use super::{ChangeSet, Changeable, WhyNot, WhyNotLimits, WhyNotQuery, smallest_grants, why_not};
use crate::eval::Environment;
use crate::eval::tests::{environment, snapshot};
use crate::graph::Snapshot;

/// A scene with one question, and what may be changed.
struct Scene {
    snapshot: Snapshot,
    asked: (&'static str, &'static str, &'static str),
    context: Context,
    changeable: Changeable,
    limits: WhyNotLimits,
}

/// The instant of every scene.
fn now() -> Timestamp {
    "2027-01-31T12:00:00Z".parse().unwrap()
}

impl Scene {
    fn new(schema: &str, rows: &[&str], asked: (&'static str, &'static str, &'static str)) -> Self {
        let schema = Arc::new(Schema::compile(schema).unwrap());
        let rows: Vec<Relationship> = rows.iter().map(|row| row.parse().unwrap()).collect();
        Self {
            snapshot: snapshot(&schema, &rows),
            asked,
            context: Context::default(),
            changeable: Changeable::everything(),
            limits: WhyNotLimits::default(),
        }
    }

    fn context(mut self, json: &str) -> Self {
        self.context = Context::from_json(json).unwrap();
        self
    }

    fn changeable(mut self, change: impl FnOnce(&mut Changeable)) -> Self {
        change(&mut self.changeable);
        self
    }

    fn limits(mut self, change: impl FnOnce(&mut WhyNotLimits)) -> Self {
        change(&mut self.limits);
        self
    }

    fn with_query<T>(&self, ask: impl FnOnce(&WhyNotQuery<'_>) -> T) -> T {
        let (resource, subject) = (self.asked.0.parse().unwrap(), self.asked.2.parse().unwrap());
        ask(&WhyNotQuery {
            resource: &resource,
            member: self.asked.1,
            subject: &subject,
            environment: Environment {
                context: &self.context,
                now: now(),
                depth_max: 50,
                edges_visited_max: 1_000_000,
            },
            changeable: &self.changeable,
            limits: self.limits,
        })
    }

    fn why_not(&self) -> WhyNot {
        self.with_query(|query| why_not(&self.snapshot, query, &AtomicBool::new(false)).unwrap())
    }

    fn grants(&self) -> WhyNot {
        let waiting = AtomicBool::new(false);
        self.with_query(|query| smallest_grants(&self.snapshot, query, &waiting).unwrap())
    }

    /// The sets, each as text, and that they are all.
    #[track_caller]
    fn is(&self, expected: &[&str]) {
        let told = self.why_not();
        assert_eq!(texts(&told), expected);
        assert!(told.is_complete);
    }
}

fn texts(told: &WhyNot) -> Vec<String> {
    told.sets.iter().map(ChangeSet::to_string).collect()
}

/// What each set gives besides: `permission of definition: gained (examples)`.
fn gains_texts(set: &ChangeSet) -> Vec<String> {
    let gains = set.gains.as_ref().unwrap();
    let permissions = gains.permissions.iter();
    permissions
        .map(|gained| {
            let examples: Vec<&str> = gained.examples.iter().map(|id| id.as_str()).collect();
            let (count, conditional) = (gained.gained_count, gained.conditional_count);
            let names = format!("{}#{}", gained.definition, gained.permission);
            let lost = gained.lost_count;
            format!(
                "{names} +{count} ?{conditional} -{lost} {}",
                examples.join(" ")
            )
        })
        .collect()
}

/// The random case of `seed` with some of its relationships, so that an exhaustive search is possible.
fn thin_case(seed: u64) -> (Case, Rng) {
    let mut case = testkit::case(seed);
    let mut rng = Rng::new(seed ^ 0x7468_696e);
    let percent = rng.between(15, 45);
    case.relationships.retain(|_| rng.chance(percent));
    (case, rng)
}

/// Without a limit that small cases meet.
fn generous(changes_max: usize) -> WhyNotLimits {
    WhyNotLimits {
        changes_max,
        sets_max: 100_000,
        candidates_max: 100_000,
        ways_max: 5_000,
        links_max: 1_000,
        additions_max: 100_000,
        combinations_max: 20_000_000,
        lookups_max: 0,
        examples_max: 3,
    }
}

fn query<'a>(
    case: &Case,
    question: &'a Question,
    changeable: &'a Changeable,
    limits: WhyNotLimits,
) -> WhyNotQuery<'a> {
    WhyNotQuery {
        resource: &question.resource,
        member: question.member.as_str(),
        subject: &question.subject,
        environment: environment(question, case.depth_max),
        changeable,
        limits,
    }
}

fn case_count(usual: u64) -> u64 {
    match std::env::var_os("RANDOM_CASES") {
        Some(count) => count.to_str().unwrap().parse().unwrap(),
        None if std::env::var_os("RUN_SLOW_TESTS").is_some() => usual * 20,
        None => usual,
    }
}
