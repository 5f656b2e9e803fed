//! Nodes under a simulated store, simulated time and seeded faults, with clients whose histories have to be explained.
//!
//! Three real nodes follow a naive store through links that are slow and lossy. Nodes crash, pause, are cut off and have
//! clocks of their own; notifications come late, out of order or not at all; a standby that lags may take over from the
//! store. Every call is recorded, and `testkit::history` says whether one order of commits explains what was answered.
//! A seed replays its run exactly: `SIMULATION_SEED=n` runs one, `RUN_SLOW_TESTS=1` runs thousands.

#![expect(
    clippy::indexing_slicing,
    reason = "places of nodes and clients are numbers below how many there are"
)]

mod clients;
mod driver;
mod link;
mod lost_branch;
mod model_store;
mod staleness;
mod world;

use std::collections::BTreeMap;

use testkit::history::{self, Rule, Violation};

use driver::{Run, run};
use world::{Broken, Plan};

/// Calls of each client in a run.
const STEPS: usize = 120;

fn plan(seed: u64) -> Plan {
    Plan {
        seed,
        steps: STEPS,
        has_forks: false,
        broken: None,
    }
}

/// The seeds to run: one that is asked for, or this many.
fn seeds(count: u64) -> Vec<u64> {
    let asked = std::env::var_os("SIMULATION_SEED");
    let asked = asked.map(|seed| seed.to_str().unwrap().parse().unwrap());
    let slow = std::env::var_os("RUN_SLOW_TESTS").is_some();
    match asked {
        Some(seed) => vec![seed],
        None => (0..if slow { count * 200 } else { count }).collect(),
    }
}

/// Fails with all that is needed to find out why.
fn hold(seed: u64, run: &Run) {
    let violations = history::check(&run.history);
    let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(
        texts.is_empty(),
        "SIMULATION_SEED={seed}: {} violations\n{}",
        texts.len(),
        texts[..texts.len().min(10)].join("\n")
    );
    assert!(
        run.silent.is_empty(),
        "SIMULATION_SEED={seed}: {:?}",
        run.silent
    );
}

#[test]
fn a_seed_replays_its_run() {
    for (seed, has_forks) in seeds(3).into_iter().zip([true, false].into_iter().cycle()) {
        let plan = Plan {
            has_forks,
            ..plan(seed)
        };
        let (one, other) = (run(plan).history, run(plan).history);
        // The first that differs says more than both.
        let (one, other) = (one.to_string(), other.to_string());
        for (one, other) in one.lines().zip(other.lines()) {
            assert_eq!(one, other, "SIMULATION_SEED={seed}");
        }
        assert_eq!(one, other, "SIMULATION_SEED={seed}");
    }
    assert_ne!(run(plan(7)), run(plan(8)));
}

#[test]
fn every_answer_is_explained() {
    let mut mix: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in seeds(8) {
        let run = run(plan(seed));
        hold(seed, &run);
        assert_eq!(run.stopped, [""; 0], "SIMULATION_SEED={seed}");
        for operation in &run.history.operations {
            *mix.entry(operation.kind()).or_default() += 1;
        }
        *mix.entry("crash").or_default() += run.crashes;
    }
    if std::env::var_os("SIMULATION_SEED").is_some() {
        return;
    }
    // A run in which nothing happens shows nothing.
    for (kind, count_min) in [
        ("acknowledged", 1_000),
        ("refused", 100),
        ("unknown", 50),
        ("minimize latency", 500),
        ("at least as fresh", 500),
        ("exactly", 300),
        ("fully consistent", 400),
        ("failed", 100),
        ("crash", 30),
    ] {
        let count = mix.get(kind).copied().unwrap_or_default();
        assert!(count >= count_min, "only {count} of {kind}: {mix:?}");
    }
}

#[test]
fn nodes_notice_that_a_standby_took_over() {
    let (mut forks, mut stopped) = (0, 0);
    for seed in seeds(8) {
        let run = run(Plan {
            has_forks: true,
            ..plan(seed)
        });
        hold(seed, &run);
        for why in &run.stopped {
            assert!(
                why.contains("restart this"),
                "SIMULATION_SEED={seed}: {why}"
            );
        }
        forks += run.forks;
        stopped += run.stopped.len();
    }
    assert!(
        forks > 0 && stopped > 0,
        "{forks} forks stopped {stopped} nodes"
    );
}

#[test]
fn a_node_stops_where_its_log_has_a_gap() {
    let run = run(Plan {
        broken: Some(Broken::LosesEntries),
        ..plan(0)
    });
    hold(0, &run);
    assert!(!run.stopped.is_empty());
}

/// Runs seeds with node 0 broken until the rule that it breaks is found broken.
fn catch(broken: Broken, has_forks: bool, rule: Rule) {
    const SEEDS: u64 = 20;
    let mut others = Vec::new();
    for seed in 0..SEEDS {
        let plan = Plan {
            has_forks,
            broken: Some(broken),
            ..plan(seed)
        };
        let violations = history::check(&run(plan).history);
        let is_its = |violation: &Violation| {
            let shown_by = violation.operations.last().and_then(|call| call.node);
            violation.rule == rule && shown_by.is_some_and(|serving| serving.node == 0)
        };
        if violations.iter().any(is_its) {
            return;
        }
        others.extend(violations);
    }
    let texts: Vec<String> = others.iter().take(10).map(ToString::to_string).collect();
    assert_eq!(texts, [""; 0], "{broken:?} breaks no {rule:?}");
    unreachable!("{broken:?} breaks nothing");
}

#[test]
fn a_node_that_ignores_tokens_is_caught() {
    catch(Broken::IgnoresTokens, false, Rule::AtLeastAsFresh);
    catch(Broken::IgnoresTokens, false, Rule::ExactSnapshot);
    catch(Broken::IgnoresTokens, false, Rule::FullyConsistent);
}

#[test]
fn a_node_that_skips_a_commit_is_caught() {
    catch(Broken::SkipsCommits, false, Rule::AnswersAreRight);
}

#[test]
fn a_node_that_applies_commits_out_of_order_is_caught() {
    catch(Broken::AppliesOutOfOrder, false, Rule::AnswersAreRight);
}

#[test]
fn a_node_that_joins_a_head_question_in_flight_is_caught() {
    catch(Broken::JoinsHeadQuestions, false, Rule::FullyConsistent);
}

#[test]
fn a_node_that_stays_with_a_lost_branch_is_caught() {
    catch(Broken::ServesLostBranch, true, Rule::NoLostBranch);
    catch(Broken::ServesLostBranch, true, Rule::AcknowledgedIsKept);
}

#[test]
fn a_node_whose_clock_runs_back_is_caught() {
    catch(Broken::ClockRunsBack, false, Rule::ClocksAreNear);
}
