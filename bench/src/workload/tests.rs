use std::collections::BTreeSet;
use std::sync::Arc;

use clap::ValueEnum as _;
use engine::graph::Loader;
use model::{Decision, Revision};
use schema::Schema;
use testkit::oracle;

use super::{Draw, Kind, Popularity, Question, relationship};
use crate::in_process;

const SIZE: u64 = 3_000;
const SEED: u64 = 7;
const QUESTIONS: usize = 150;

fn asked(question: &Question) -> oracle::Question {
    oracle::Question {
        resource: question.resource.clone(),
        member: question.permission.parse().unwrap(),
        subject: question.subject.clone(),
        context: question.context.clone(),
        now: *in_process::NOW,
    }
}

#[test]
fn rows_are_distinct_and_about_as_many_as_asked_for() {
    for kind in Kind::value_variants() {
        for size in [SIZE, 100_000] {
            let workload = kind.of_size(size, SEED);
            let mut keys = BTreeSet::new();
            let mut count = 0;
            workload.fill(&mut |row| {
                count += 1;
                keys.insert(relationship(&row).key().to_string());
            });
            assert_eq!(keys.len() as u64, count, "{kind:?} repeats rows");
            assert!(
                count.abs_diff(size) < size / 8,
                "{kind:?} has {count} rows instead of {size}"
            );
        }
    }
}

/// The naive evaluator, the engine and the construction agree on what is asked.
#[test]
fn questions_are_answered_as_they_were_made() {
    for kind in Kind::value_variants() {
        let workload = kind.of_size(SIZE, SEED);
        let schema = Arc::new(Schema::compile(workload.schema()).unwrap());
        let mut rows = Vec::new();
        let mut loader = Loader::new(Arc::clone(&schema));
        workload.fill(&mut |row| {
            rows.push(relationship(&row));
            loader.push(row).unwrap();
        });
        let snapshot = loader.finish(Revision(1), *in_process::NOW);
        for popularity in [Popularity::Uniform, Popularity::Zipf] {
            let mut draw = Draw::new(SEED, popularity);
            let mut allowed = 0;
            let mut owned = [0; 2];
            for _ in 0..QUESTIONS {
                let question = draw.question(workload.as_ref());
                let right = oracle::check(&schema, &rows, &asked(&question), 50).unwrap();
                assert_eq!(
                    in_process::answer(&snapshot, &question),
                    right,
                    "{question:?}"
                );
                allowed += usize::from(right == Decision::Allowed);
                if let Some(direct) = workload.direct(&mut draw) {
                    let right = oracle::check(&schema, &rows, &asked(&direct), 50).unwrap();
                    assert_eq!(in_process::answer(&snapshot, &direct), right, "{direct:?}");
                    owned[usize::from(right == Decision::Allowed)] += 1;
                }
                let certain = workload.allowed(&mut draw);
                assert_eq!(
                    in_process::answer(&snapshot, &certain),
                    Decision::Allowed,
                    "{certain:?}"
                );
            }
            assert!(
                (QUESTIONS * 40 / 100..QUESTIONS * 75 / 100).contains(&allowed),
                "{kind:?}, {popularity:?}: {allowed} of {QUESTIONS} are allowed"
            );
            let has_direct = *kind == Kind::Documents;
            assert!(
                owned
                    .iter()
                    .all(|count| (*count > QUESTIONS / 4) == has_direct),
                "{kind:?}, {popularity:?}: {owned:?} of a relationship itself"
            );
        }
    }
}
