//! Checks while others write: a closed loop with 1% writes in it, and an open loop of checks with and without commits
//! beside it.

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::calls::{self, Calls};
use super::load::{Latencies, Load};
use super::setup::Setup;
use super::target::Target;
use crate::results::{Entry, Results, median, ratio};
use crate::workload::{Draw, Popularity, Workload};

/// How checks and writes are sent.
#[derive(Debug, Clone, Args)]
pub(crate) struct MixedArguments {
    #[command(flatten)]
    setup: Setup,
    /// Checks a second of the open loop, answered or not.
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Commits a second beside them.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    commits: u32,
    /// Checks that are under way at once; of the open loop, at most.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
    /// Which resources and subjects are asked about.
    #[arg(long, value_enum, default_value = "zipf")]
    popularity: Popularity,
}

/// The result.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Mixed {
    pub(crate) workload: String,
    popularity: Popularity,
    pub(crate) relationships: u64,
    pub(crate) in_flight: u16,
    pub(crate) closed: Closed,
    pub(crate) checks_per_second_begun: u32,
    pub(crate) commits_per_second_begun: u32,
    pub(crate) open: Open,
}

/// A closed loop in which one call of a hundred writes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Closed {
    pub(crate) checks: Latencies,
    pub(crate) writes: Latencies,
    /// Processor time of the server a call of either sort.
    pub(crate) server_cpu_microseconds: f64,
}

/// An open loop of checks, without and with commits beside it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Open {
    pub(crate) quiet: Latencies,
    pub(crate) beside_commits: Latencies,
    /// What the commits have come to.
    pub(crate) commits: Latencies,
    pub(crate) p50_ratio: Option<f64>,
    pub(crate) p99_ratio: Option<f64>,
    pub(crate) p999_ratio: Option<f64>,
}

/// Checks and writes on Remit.
///
/// # Errors
/// When the server does not start, or all calls of a round fail.
pub(crate) async fn run(
    workload: &dyn Workload,
    seed: u64,
    arguments: &MixedArguments,
    results: &mut Results<'_>,
) -> anyhow::Result<()> {
    let setup = &arguments.setup;
    let (remit, relationships) = setup.remit(workload).await?;
    let mut draw = Draw::new(seed, arguments.popularity);
    let questions = calls::questions(&mut draw, workload);
    let checks = Calls::checks(&questions);
    let mixed = Calls::mixed(&questions, &mut draw, workload);
    // What is written is drawn from all.
    let writes = Calls::writes(&mut Draw::new(seed, Popularity::Uniform), workload);
    let in_flight = arguments.in_flight;
    let closed = closed(&setup.load(mixed, in_flight, None), setup.rounds, &remit).await?;
    let checks = setup.load(checks, in_flight, Some(arguments.rate));
    let writes = setup.load(writes, in_flight, Some(arguments.commits));
    results(Entry::Mixed(Mixed {
        workload: workload.name().to_owned(),
        popularity: arguments.popularity,
        relationships,
        in_flight,
        closed,
        checks_per_second_begun: arguments.rate,
        commits_per_second_begun: arguments.commits,
        open: open(&checks, &writes, setup.rounds, &remit).await?,
    }))
}

/// The round with the median number of checks.
async fn closed(load: &Load, rounds: u16, remit: &Target) -> anyhow::Result<Closed> {
    load.round(remit).await?;
    let mut measured = Vec::new();
    for _ in 0..rounds {
        measured.push(load.round(remit).await?);
    }
    let round = median(measured, |round| round.reads().calls_per_second);
    let round = round.context("no round was measured")?;
    Ok(Closed {
        checks: round.reads(),
        writes: round.writes(),
        server_cpu_microseconds: round.server_cpu_microseconds(),
    })
}

/// Rounds without and with commits in turn; of each the one with the median p99.
async fn open(checks: &Load, writes: &Load, rounds: u16, remit: &Target) -> anyhow::Result<Open> {
    checks.round(remit).await?;
    let (mut quiet, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        quiet.push(checks.round(remit).await?.reads());
        beside.push(tokio::try_join!(checks.round(remit), writes.round(remit))?);
    }
    let quiet = median(quiet, |round| round.p99_microseconds);
    let beside = median(beside, |(checks, _)| checks.reads().p99_microseconds);
    let (quiet, beside) = quiet.zip(beside).context("no round was measured")?;
    let [beside_commits, commits] = [beside.0.reads(), beside.1.writes()];
    Ok(Open {
        p50_ratio: ratio(beside_commits.p50_microseconds, quiet.p50_microseconds),
        p99_ratio: ratio(beside_commits.p99_microseconds, quiet.p99_microseconds),
        p999_ratio: ratio(beside_commits.p999_microseconds, quiet.p999_microseconds),
        quiet,
        beside_commits,
        commits,
    })
}
