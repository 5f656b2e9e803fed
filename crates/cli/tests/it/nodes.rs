//! Real nodes under real faults: every answer has to be explained by one order of commits that honours tokens.
//!
//! Three processes serve from a PostgreSQL with a standby, and clients write and check over gRPC. Meanwhile nodes are killed,
//! stand still and are cut off from the database, and PostgreSQL is killed and started again. Each run is about one thing more:
//! the standby takes over, clocks run off, nodes that are cut off fall silent, a network loses what is sent. Every call is
//! recorded, and `testkit::history` holds all of them to the log that is there in the end. Then all nodes must have what it has.
//!
//! What is to happen is drawn from a seed, and so is what each client asks; what comes of it is not the same twice, since
//! processes are not. `NODES_SEED=n` runs that plan, `RUN_SLOW_TESTS=1` runs plans for hours. What a run met is printed with
//! it; one that fails leaves its calls and what the nodes said in a file.

#![expect(
    clippy::disallowed_methods,
    reason = "what other processes do can only be asked for, again and again"
)]

mod clients;
pub(crate) mod clock;
mod cluster;
mod digests;
mod driver;
mod faults;
mod log;
mod measure;
mod network;
pub(crate) mod proxy;
pub(crate) mod wire;

use std::path::{Path, PathBuf};

use testkit::history;

use clock::Clock;
use driver::{Run, run};
use faults::{About, Plan, Replication};
pub(crate) use log::entry;
use network::Network;

#[test]
fn answers_are_explained_where_the_standby_has_each_commit_that_is_acknowledged() {
    run_all(About::FailOver(Replication::Synchronous), 1);
}

#[test]
fn answers_are_explained_where_the_standby_is_waited_for() {
    run_all(About::FailOver(Replication::Awaited), 2);
}

/// The nodes that know what was lost stop, and are started again.
#[test]
fn answers_are_explained_where_the_standby_lags() {
    run_all(About::FailOver(Replication::Lagging), 3);
}

/// A node whose clock is off further than it may be answers nothing, once it can know.
#[test]
fn answers_are_explained_where_clocks_run_off() {
    if Clock::is_there() {
        run_all(About::Clocks, 7);
    }
}

/// A node that is cut off answers for two seconds, and then no more.
#[test]
fn answers_are_explained_where_nodes_may_not_be_stale() {
    run_all(About::Staleness, 4);
}

/// Connections do not end, they hang.
#[test]
fn answers_are_explained_where_the_network_loses_what_is_sent() {
    if Network::is_there() {
        run_all(About::Network, 5);
    }
}

fn run_all(about: About, usual: u64) {
    for seed in seeds(usual) {
        let plan = Plan::draw(seed, about);
        hold(&plan, &run(&plan));
    }
}

/// The seeds to run: one that is asked for, or this one, or hundreds.
fn seeds(usual: u64) -> Vec<u64> {
    const MANY: u64 = 200;
    let asked = std::env::var_os("NODES_SEED");
    let asked = asked.map(|seed| seed.to_str().unwrap().parse().unwrap());
    let slow = std::env::var_os("RUN_SLOW_TESTS").is_some();
    match asked {
        Some(seed) => vec![seed],
        None => (usual..usual + if slow { MANY } else { 1 }).collect(),
    }
}

/// Commits are lost where a standby that lags takes over.
const LOSSY: About = About::FailOver(Replication::Lagging);

/// Fails with all that is needed to find out why.
fn hold(plan: &Plan, run: &Run) {
    eprintln!("NODES_SEED={}: {}", plan.seed, measure::summary(run));
    let violations = history::check(&run.history);
    let mut wrong: Vec<String> = violations.iter().map(ToString::to_string).collect();
    wrong.extend(
        run.silent
            .iter()
            .map(|node| format!("node {node} does not answer, or not write, although all is well")),
    );
    wrong.extend(run.wrong.iter().cloned());
    wrong.extend(met_too_little(plan, run));
    for (why, health) in &run.stopped {
        let is_told = health.as_ref().is_none_or(|line| line.contains("503"));
        let is_due = plan.about == LOSSY && why.contains("restart this");
        if !is_told || !is_due {
            wrong.push(format!("a node stopped: {why}; its health: {health:?}"));
        }
    }
    if !wrong.is_empty() {
        let file = leave(plan, run);
        panic!(
            "NODES_SEED={}: {} things are wrong; {} has the calls\n{}",
            plan.seed,
            wrong.len(),
            file.display(),
            wrong[..wrong.len().min(10)].join("\n")
        );
    }
}

/// A run in which nothing happens shows nothing.
fn met_too_little(plan: &Plan, run: &Run) -> Vec<String> {
    let mix = measure::mix(&run.history);
    let mut wrong = Vec::new();
    for (kind, count_min) in [
        ("acknowledged", 100),
        ("minimize latency", 50),
        ("at least as fresh", 50),
        ("exactly", 25),
        ("fully consistent", 25),
        ("unknown", 1),
        ("failed", 1),
    ] {
        let count = mix.get(kind).copied().unwrap_or_default();
        if count < count_min {
            wrong.push(format!("only {count} of {kind}: {mix:?}"));
        }
    }
    for fault in plan.about.faults() {
        if !run.faults.contains_key(&fault) {
            wrong.push(format!("no {fault:?}"));
        }
    }
    // Where the node is down at that moment there is none of a kind; the other runs are shorter, and have something else to meet.
    if matches!(plan.about, About::FailOver(_)) && run.in_doubt.is_empty() {
        wrong.push("no commit was in doubt".to_owned());
    }
    // Else the order of commits does not fork, and no node has anything to notice.
    if plan.about == LOSSY && run.stopped.is_empty() {
        wrong.push("no node stopped although commits were lost".to_owned());
    }
    let refused = measure::refused_as_stale(&run.history);
    if (plan.about == About::Staleness) != (refused > 0) {
        wrong.push(format!("{refused} calls were refused for staleness"));
    }
    wrong
}

/// Leaves what there is to read of a run in a file.
fn leave(plan: &Plan, run: &Run) -> PathBuf {
    // Such as `nodes-FailOver(Lagging)-3.txt`.
    let name = format!("nodes-{:?}-{}.txt", plan.about, plan.seed);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let said = run.said.iter().enumerate().map(|(node, said)| {
        let lines: String = said.iter().map(|line| format!("{line}\n")).collect();
        format!("\nnode {node}\n{lines}")
    });
    let said: String = said.collect();
    std::fs::write(&file, format!("{plan:#?}\n{}\n{said}", run.history)).unwrap();
    file
}
