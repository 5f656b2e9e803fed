//! Random clusters and reviews: what RBAC says, the graph says, by the engine and by the naive evaluator; and while
//! others are imported, nothing that neither say.

use std::cell::Cell;

use kubernetes::question::Verdict;
use proptest::collection::vec;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};

use crate::generated::{manifests, spec};
use crate::graph::Graph;
use crate::rbac::{self, Asked};

/// Clusters, and reviews of each.
const CLUSTERS: u32 = 500;
const REVIEWS: usize = 24;
/// The naive evaluator is asked about so many of these.
const REVIEWS_OF_ORACLE: usize = 2;
/// Imports over what was imported before.
const IMPORTS: u32 = 300;

#[test]
fn the_graph_answers_as_rbac_does() {
    let (allowed, left) = (Cell::new(0_u32), Cell::new(0_u32));
    let case = (manifests(), vec(spec(), REVIEWS));
    let mut runner = TestRunner::new(Config {
        cases: CLUSTERS,
        failure_persistence: None,
        ..Config::default()
    });
    let run = runner.run(&case, |(manifests, specs)| {
        let graph = Graph::of(&manifests, &[]);
        for (ix, spec) in specs.iter().enumerate() {
            let is_allowed = rbac::allows(&manifests, &Asked(spec));
            let expected = if is_allowed {
                allowed.set(allowed.get() + 1);
                Verdict::Allowed
            } else {
                left.set(left.get() + 1);
                Verdict::NoOpinion { failure: None }
            };
            assert_eq!(graph.ask(spec), expected, "{spec}");
            if ix < REVIEWS_OF_ORACLE {
                assert_eq!(graph.ask_oracle(spec), expected, "{spec}");
            }
        }
        Ok(())
    });
    run.unwrap();
    // Both answers come up often, or the test would show little.
    let (allowed, left) = (allowed.get(), left.get());
    assert!(
        allowed > 500 && left > 500,
        "{allowed} allowed, {left} left to others"
    );
}

#[test]
fn no_commit_of_an_import_grants_what_neither_the_old_nor_the_new_manifests_do() {
    let case = (manifests(), manifests(), vec(proptest::bool::ANY, 24)).prop_map(
        |(old, other, is_kept)| {
            // Some stay, some go, some come, and some change.
            let kept = old.iter().zip(is_kept);
            let kept = kept.filter_map(|(manifest, is_kept)| is_kept.then_some(manifest.clone()));
            let mut new: Vec<_> = kept.collect();
            for manifest in other {
                let is_same = |there: &serde_json::Value| {
                    ["/kind", "/metadata/name", "/metadata/namespace"]
                        .iter()
                        .all(|path| there.pointer(path) == manifest.pointer(path))
                };
                if !new.iter().any(is_same) {
                    new.push(manifest);
                }
            }
            (old, new)
        },
    );
    let (commits, asked) = (Cell::new(0_u32), Cell::new(0_u32));
    let mut runner = TestRunner::new(Config {
        cases: IMPORTS,
        failure_persistence: None,
        ..Config::default()
    });
    let run = runner.run(&(case, vec(spec(), REVIEWS)), |((old, new), specs)| {
        let is_neither = |spec: &&serde_json::Value| {
            !rbac::allows(&old, &Asked(spec)) && !rbac::allows(&new, &Asked(spec))
        };
        let specs: Vec<_> = specs.iter().filter(is_neither).collect();
        let mut graph = Graph::of(&old, &[]);
        // The smallest commits that there are: each of others is made of these.
        for update in graph.updates_to(&new) {
            graph.write(std::slice::from_ref(&update));
            commits.set(commits.get() + 1);
            for spec in &specs {
                asked.set(asked.get() + 1);
                let nothing = Verdict::NoOpinion { failure: None };
                assert_eq!(graph.ask(spec), nothing, "{spec} after {update:?}");
            }
        }
        Ok(())
    });
    run.unwrap();
    let (commits, asked) = (commits.get(), asked.get());
    assert!(
        commits > 5_000 && asked > 20_000,
        "{commits} commits, {asked} reviews"
    );
}
