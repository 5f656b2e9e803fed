//! Generated cases are valid, and a function of their seed.

use std::collections::BTreeSet;

use super::*;

const SEEDS: u64 = 2_000;

#[test]
fn every_schema_compiles_and_takes_its_rows() {
    for seed in 0..SEEDS {
        let (tree, _, relationships) = data(&mut Rng::new(seed));
        let text = tree.to_string();
        if let Err(error) = Schema::compile(&text) {
            panic!("seed {seed}: {error:?}\n{text}");
        }
        let mut keys = BTreeSet::new();
        for row in &relationships {
            assert!(tree.takes(row), "seed {seed}: {row}");
            assert!(keys.insert(row.key()), "seed {seed}: {row} twice");
        }
    }
}

#[test]
fn every_question_is_about_a_member() {
    for seed in 0..200 {
        let case = case(seed);
        assert!(!case.questions.is_empty(), "seed {seed}");
        for question in &case.questions {
            let definition = question.resource.definition.as_str();
            let member = case.tree.member(definition, question.member.as_str());
            assert!(member.is_some(), "seed {seed}: {question}");
        }
    }
}

#[test]
fn a_case_is_a_function_of_its_seed() {
    for seed in 0..50 {
        assert_eq!(case(seed), case(seed));
        assert_ne!(case(seed), case(seed + 1));
    }
}

#[test]
fn a_case_prints_as_a_validation_file() {
    let text = case(7).to_string();
    for part in [
        "now: 2030-01-01T12:00:00Z\n",
        "schema: |-\n",
        "relationships: |-\n",
        "assertions:\n",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}
