//! What writes cost over gRPC: one relationship in each, written and then deleted, by several writers at once.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::calls::Calls;
use super::load::Measured;
use super::setup::Setup;
use crate::results::{Entry, Results};
use crate::workload::{Draw, Popularity, Workload};

/// How writes are sent.
#[derive(Debug, Clone, Args)]
pub(crate) struct WriteArguments {
    #[command(flatten)]
    setup: Setup,
    /// Writers, each with one write under way.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64", value_parser = clap::value_parser!(u16).range(1..))]
    writers: Vec<u16>,
}

/// The result for one number of writers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Writes {
    pub(crate) workload: String,
    pub(crate) relationships: u64,
    pub(crate) writers: u16,
    /// Every call is a commit of its own.
    #[serde(flatten)]
    pub(crate) measured: Measured,
}

/// Writes to Remit.
///
/// # Errors
/// When the server does not start, or all calls of a round fail.
pub(crate) async fn run(
    workload: &dyn Workload,
    seed: u64,
    arguments: &WriteArguments,
    results: &mut Results<'_>,
) -> anyhow::Result<()> {
    let setup = &arguments.setup;
    let calls = Calls::writes(&mut Draw::new(seed, Popularity::Uniform), workload);
    let (remit, relationships) = setup.remit(workload).await?;
    for &writers in &arguments.writers {
        let load = setup.load(calls.clone(), writers, None);
        results(Entry::Writes(Writes {
            workload: workload.name().to_owned(),
            relationships,
            writers,
            measured: setup.measure(&load, &remit).await?,
        }))?;
    }
    Ok(())
}
