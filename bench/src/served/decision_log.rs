//! What a decision log costs: the same checks asked of servers with none, with one of a hundredth and with a full one, in turn.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::calls::{self, Calls};
use super::load::Measured;
use super::setup::{Setup, middle};
use super::target::{Serving, Target};
use crate::results::{Entry, Results, ratio};
use crate::workload::{Draw, Popularity, Workload};

/// What is logged, and how the servers are told.
const LOGS: [(&str, Option<&str>); 3] = [
    ("none", None),
    (
        "1 in 100",
        Some("[defaults]\nsample = 0.01\n[[sink]]\nfile = \"decisions\"\n"),
    ),
    ("all", Some("[[sink]]\nfile = \"decisions\"\n")),
];

/// How checks are sent.
#[derive(Debug, Clone, Args)]
pub(crate) struct DecisionLogArguments {
    #[command(flatten)]
    setup: Setup,
    /// Calls that are under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
    /// Items of a bulk check; without it each call is a check of its own.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    bulk: Option<u16>,
}

/// Checks of a server with a decision log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DecisionLogs {
    workload: String,
    relationships: u64,
    in_flight: u16,
    items_per_call: u16,
    logged: String,
    measured: Measured,
    /// Checks a second, against a server that logs none; the median of the rounds' own ratios.
    throughput_ratio: Option<f64>,
    /// Processor time of the server a call, against that.
    cpu_ratio: Option<f64>,
}

/// Asks each server in turn.
///
/// # Errors
/// When a server does not start, or all calls of a round fail.
pub(crate) async fn run(
    workload: &dyn Workload,
    seed: u64,
    arguments: &DecisionLogArguments,
    results: &mut Results<'_>,
) -> anyhow::Result<()> {
    let setup = &arguments.setup;
    let questions = calls::questions(&mut Draw::new(seed, Popularity::Zipf), workload);
    let calls = match arguments.bulk {
        None => Calls::checks(&questions),
        Some(size) => Calls::bulk_checks(&questions, size),
    };
    let load = setup.load(calls, arguments.in_flight, None);
    let mut servers: Vec<(Target, Vec<Measured>)> = Vec::new();
    let mut relationships = 0;
    for (_, decision_log) in LOGS {
        let serving = Serving {
            decision_log,
            ..Serving::default()
        };
        let (target, count) = setup.started(workload, serving).await?;
        // None is measured cold.
        load.run(&target).await?;
        relationships = count;
        servers.push((target, Vec::new()));
    }
    for _ in 0..setup.rounds {
        for (target, rounds) in &mut servers {
            rounds.push(load.run(target).await?);
        }
    }
    let without: Vec<Measured> = servers.first().map_or(Vec::new(), |(_, it)| it.clone());
    for ((logged, _), (_, rounds)) in LOGS.into_iter().zip(servers) {
        let pairs = rounds.iter().zip(&without);
        let throughput = pairs.clone().filter_map(|(one, other)| {
            let rate = |round: &Measured| round.latencies.calls_per_second;
            ratio(rate(one), rate(other))
        });
        let cpu = pairs.filter_map(|(one, other)| {
            ratio(one.server_cpu_microseconds, other.server_cpu_microseconds)
        });
        results(Entry::DecisionLog(DecisionLogs {
            workload: workload.name().to_owned(),
            relationships,
            in_flight: arguments.in_flight,
            items_per_call: arguments.bulk.unwrap_or(1),
            logged: logged.to_owned(),
            throughput_ratio: crate::results::median(throughput.collect(), |it| *it),
            cpu_ratio: crate::results::median(cpu.collect(), |it| *it),
            measured: middle(rounds)?,
        }))?;
    }
    Ok(())
}
