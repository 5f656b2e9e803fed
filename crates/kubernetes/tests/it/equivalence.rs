//! Random clusters and reviews: what RBAC says, the graph says, by the engine and by the naive evaluator.

use std::cell::Cell;

use kubernetes::question::Verdict;
use proptest::collection::vec;
use proptest::test_runner::{Config, TestRunner};

use crate::generated::{manifests, spec};
use crate::graph::Graph;
use crate::rbac::{self, Asked};

/// Clusters, and reviews of each.
const CLUSTERS: u32 = 500;
const REVIEWS: usize = 24;
/// The naive evaluator is asked about so many of these.
const REVIEWS_OF_ORACLE: usize = 2;

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
