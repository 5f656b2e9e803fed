//! More checks than can be answered: goodput from saturation to a multiple of it, and what the storm of one caller does to another.
//!
//! Saturation is what a closed loop comes to. The open loops begin calls at a multiple of that, by a clock that waits for nobody: a call that
//! is not answered within its deadline, counted from when it was to begin, is no goodput, whether it was refused, late or not sent at all.
//! Each caller is a process of its own; with a processor for the server and another for them, what is measured is the server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::asking::{Asking, Header};
use super::caller::{Caller, Offered, encoded};
use super::calls;
use super::setup::Setup;
use crate::results::{Entry, Results, median, ratio};
use crate::workload::{Draw, Popularity, Question, Workload};

/// Calls of the closed loop under way.
const CLOSED_IN_FLIGHT: u16 = 32;
/// How long a call of the closed loop may take.
const CLOSED_DEADLINE: Duration = Duration::from_secs(10);
/// Calls of the polite caller under way.
const POLITE_IN_FLIGHT: u16 = 64;
const CHECK: &str = "/authzed.api.v1.PermissionsService/CheckPermission";
const CHECK_BULK: &str = "/authzed.api.v1.PermissionsService/CheckBulkPermissions";

/// How much is asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct OverloadArguments {
    #[command(flatten)]
    setup: Setup,
    /// Items of each call of the storm; 1 are checks by themselves. More of them leave the work to the server.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    bulk: u16,
    /// Multiples of saturation at which calls are begun.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3,5", value_parser = clap::value_parser!(u32).range(1..=20))]
    factor: Vec<u32>,
    /// Milliseconds within which a call has to be answered.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    deadline_ms: u64,
    /// Calls of the storm that may be under way at once; a call that finds none free waits at the client, and is late then.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
    /// Calls a second of the caller beside the storm.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    polite_rate: u32,
}

/// The result.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Overload {
    pub(crate) workload: String,
    pub(crate) relationships: u64,
    pub(crate) items_per_call: u16,
    pub(crate) deadline_ms: u64,
    /// Calls a second of a closed loop.
    pub(crate) saturation: f64,
    pub(crate) offered: Vec<Offered>,
    /// The least goodput of those beyond saturation, of saturation.
    pub(crate) goodput_ratio: Option<f64>,
    /// A caller at a low rate, without and with a storm of another at the largest multiple.
    pub(crate) polite_alone: Offered,
    pub(crate) polite_beside_storm: Offered,
    pub(crate) p50_ratio: Option<f64>,
    pub(crate) p99_ratio: Option<f64>,
}

/// Loads Remit beyond what it can do.
///
/// # Errors
/// When the server does not start, or no call of the closed loop is answered.
pub(crate) async fn run(
    workload: &dyn Workload,
    seed: u64,
    arguments: &OverloadArguments,
    results: &mut Results<'_>,
) -> anyhow::Result<()> {
    let mut setup = arguments.setup.clone();
    setup.asking = Asking::Key;
    let (remit, relationships) = setup.remit(workload).await?;
    let questions = calls::questions(&mut Draw::new(seed, Popularity::Zipf), workload);
    let folder = tempfile::tempdir()?;
    let (method, requests) = match arguments.bulk {
        1 => (CHECK, checks(&questions)),
        size => (CHECK_BULK, bulk_checks(&questions, size)),
    };
    let storm = Caller {
        address: remit.address().to_owned(),
        authorization: remit.header().as_str().map(str::to_owned),
        method: method.to_owned(),
        requests: written(folder.path(), "storm", requests)?,
        rate: None,
        connections: setup.connections(),
        in_flight: CLOSED_IN_FLIGHT,
        deadline: CLOSED_DEADLINE,
        duration: setup.round_length(),
    };
    // Not measured cold.
    storm.spawned(true).await?;
    let saturation = storm.spawned(true).await?.goodput;
    let storm = Caller {
        in_flight: arguments.in_flight,
        deadline: Duration::from_millis(arguments.deadline_ms),
        ..storm
    };
    let at = |factor: u32| Caller {
        rate: Some(times(saturation, factor)),
        ..storm.clone()
    };
    let mut offered = Vec::new();
    for factor in &arguments.factor {
        offered.push(at(*factor).spawned(true).await?);
    }
    let polite = Caller {
        authorization: Header::of_administrator()?.as_str().map(str::to_owned),
        method: CHECK.to_owned(),
        requests: written(folder.path(), "polite", checks(&questions))?,
        rate: Some(arguments.polite_rate),
        connections: 1,
        in_flight: POLITE_IN_FLIGHT,
        deadline: CLOSED_DEADLINE,
        ..storm.clone()
    };
    let most = at(arguments.factor.iter().copied().max().unwrap_or(1));
    let (alone, beside) = in_turn(&polite, &most, setup.rounds).await?;
    let least = offered.iter().map(|offered| offered.goodput);
    let least = least.min_by(f64::total_cmp).unwrap_or_default();
    results(Entry::Overload(Overload {
        workload: workload.name().to_owned(),
        relationships,
        items_per_call: arguments.bulk,
        deadline_ms: arguments.deadline_ms,
        saturation,
        goodput_ratio: ratio(least, saturation),
        offered,
        p50_ratio: ratio(beside.p50_microseconds, alone.p50_microseconds),
        p99_ratio: ratio(beside.p99_microseconds, alone.p99_microseconds),
        polite_alone: alone,
        polite_beside_storm: beside,
    }))
}

/// What becomes of the polite caller's calls by themselves, and beside a storm.
async fn in_turn(
    polite: &Caller,
    storm: &Caller,
    rounds: u16,
) -> anyhow::Result<(Offered, Offered)> {
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        alone.push(polite.spawned(false).await?);
        let both = tokio::try_join!(polite.spawned(false), storm.spawned(true));
        beside.push(both?.0);
    }
    let alone = median(alone, |round| round.p99_microseconds);
    let beside = median(beside, |round| round.p99_microseconds);
    alone.zip(beside).context("no round was measured")
}

fn checks(questions: &[Question]) -> Vec<u8> {
    encoded(&calls::checks(questions))
}

fn bulk_checks(questions: &[Question], size: u16) -> Vec<u8> {
    encoded(&calls::bulks(questions, size))
}

fn written(folder: &Path, name: &str, requests: Vec<u8>) -> anyhow::Result<std::path::PathBuf> {
    let file = folder.join(name);
    fs::write(&file, requests)?;
    Ok(file)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is a small positive number"
)]
fn times(saturation: f64, factor: u32) -> u32 {
    (saturation * f64::from(factor)).max(1.0) as u32
}
