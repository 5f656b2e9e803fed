//! What calls cost over gRPC: a server is started, and beside it the floor, a server of empty calls; the same requests are
//! sent to both in turn, and the medians over several rounds are compared. This file has the checks.

mod asking;
mod authzen;
mod caller;
pub(crate) mod calls;
mod decision_log;
mod ext_authz;
mod floor;
pub(crate) mod load;
mod look_ups;
mod mixed;
mod observed;
mod overload;
mod setup;
mod standards;
pub(crate) mod target;
mod turns;
mod writes;

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::results::{Entry, Results};
use crate::workload::{Draw, Popularity, Workload};
use asking::Asking;
use calls::Calls;
use target::Target;

pub(crate) use caller::run as caller;
pub(crate) use decision_log::{DecisionLogArguments, DecisionLogs, run as decision_log};
pub(crate) use floor::serve_floor;
pub(crate) use load::{Latencies, Measured};
pub(crate) use look_ups::{LookUpArguments, LookUps, Wanted, run as look_ups};
pub(crate) use mixed::{Mixed, MixedArguments, run as mixed};
pub(crate) use observed::{Observed, ObservedArguments, run as observed};
pub(crate) use overload::{Overload, OverloadArguments, run as overload};
pub(crate) use setup::{Comparison, Setup};
pub(crate) use standards::{StandardArguments, Standards, run as standards};
pub(crate) use writes::{WriteArguments, Writes, run as writes};

/// How checks are sent.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    setup: Setup,
    /// Calls that are under way at once.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256", value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: Vec<u16>,
    /// Calls a second that are begun, answered or not; without it the next call begins when one is answered.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Items of a bulk check, up to 10,000; without it each call is a check of its own.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    bulk: Option<u16>,
    /// Ask for a relationship itself, and not for a permission; for documents.
    #[arg(long)]
    direct: bool,
    /// Which resources and subjects are asked about.
    #[arg(long, value_enum, default_value = "zipf")]
    popularity: Popularity,
    /// Start Remit again on the store that it has, and measure the first round too.
    #[arg(long)]
    cold: bool,
}

/// The result for one number of calls under way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ServedChecks {
    pub(crate) workload: String,
    popularity: Popularity,
    #[serde(default, skip_serializing_if = "Asking::is_nobody")]
    pub(crate) asking: Asking,
    pub(crate) relationships: u64,
    pub(crate) in_flight: u16,
    /// Calls a second that were begun, in an open loop.
    pub(crate) rate: Option<u32>,
    pub(crate) items_per_call: u16,
    #[serde(flatten)]
    pub(crate) comparison: Comparison,
    /// Remit's first round after its start on a store that was there.
    pub(crate) cold: Option<Measured>,
}

/// Sends the workload's questions to Remit and to the floor.
///
/// # Errors
/// When a server does not start, or all calls of a round fail.
pub(crate) async fn checks(
    workload: &dyn Workload,
    seed: u64,
    arguments: &CheckArguments,
    results: &mut Results<'_>,
) -> anyhow::Result<()> {
    let setup = &arguments.setup;
    let mut draw = Draw::new(seed, arguments.popularity);
    let mut name = workload.name().to_owned();
    let questions = if arguments.direct {
        let questions = calls::direct_questions(&mut draw, workload).with_context(|| {
            format!("{name} has no relation of single subjects; --direct is for documents")
        })?;
        name.push_str(", direct");
        questions
    } else {
        calls::questions(&mut draw, workload)
    };
    let calls = match arguments.bulk {
        None => Calls::checks(&questions),
        Some(size) => Calls::bulk_checks(&questions, size),
    };
    let (mut remit, relationships) = setup.remit(workload).await?;
    let floor = Target::floor().await?.asked_as(&remit);
    for &in_flight in &arguments.in_flight {
        let load = setup.load(calls.clone(), in_flight, arguments.rate);
        let cold = if arguments.cold {
            remit.restart().await?;
            Some(load.run(&remit).await?)
        } else {
            None
        };
        results(Entry::Served(ServedChecks {
            workload: name.clone(),
            popularity: arguments.popularity,
            asking: setup.asking,
            relationships,
            in_flight,
            rate: arguments.rate,
            items_per_call: arguments.bulk.unwrap_or(1),
            comparison: setup.compare(&load, &remit, &floor).await?,
            cold,
        }))?;
    }
    Ok(())
}
