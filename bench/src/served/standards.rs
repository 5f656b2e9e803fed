//! What a check costs by other protocols than gRPC: the same questions, asked of the same server, in turn.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::authzen::Carrier;
use super::calls::{self, Calls};
use super::load::Measured;
use super::setup::{Setup, middle};
use crate::results::{Entry, Results, ratio};
use crate::workload::{Draw, Popularity, Workload};

/// How checks are sent.
#[derive(Debug, Clone, Args)]
pub(crate) struct StandardArguments {
    #[command(flatten)]
    setup: Setup,
    /// Calls that are under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
    /// Which resources and subjects are asked about.
    #[arg(long, value_enum, default_value = "zipf")]
    popularity: Popularity,
}

/// A check by one protocol, beside the same over gRPC.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Standards {
    pub(crate) workload: String,
    pub(crate) relationships: u64,
    pub(crate) in_flight: u16,
    pub(crate) protocol: String,
    pub(crate) measured: Measured,
    pub(crate) grpc: Measured,
    /// Processor time of the server a call, by that protocol against gRPC.
    pub(crate) cpu_ratio: Option<f64>,
}

/// Asks by each protocol in turn.
///
/// # Errors
/// When a server does not start, or all calls of a round fail.
pub(crate) async fn run(
    workload: &dyn Workload,
    seed: u64,
    arguments: &StandardArguments,
    results: &mut Results<'_>,
) -> anyhow::Result<()> {
    let setup = &arguments.setup;
    let questions = calls::questions(&mut Draw::new(seed, arguments.popularity), workload);
    let (remit, relationships) = setup.remit_with_http(workload).await?;
    // Rules as they stand give no context: Envoy is asked about what needs none.
    let plain = questions.iter().any(|it| it.context.is_empty());
    let load = |calls| setup.load(calls, arguments.in_flight, None);
    let grpc = load(Calls::checks(&questions));
    let mut asked = vec![
        (
            "authzen, HTTP/1.1",
            Calls::evaluations(&questions, Carrier::Http1),
        ),
        (
            "authzen, HTTP/2",
            Calls::evaluations(&questions, Carrier::Http2),
        ),
    ];
    if plain {
        asked.push(("ext_authz, gRPC", Calls::ext_authz(&questions)));
    }
    for (protocol, calls) in asked {
        let other = load(calls);
        // Neither is measured cold.
        grpc.run(&remit).await?;
        other.run(&remit).await?;
        let (mut of_grpc, mut of_other) = (Vec::new(), Vec::new());
        for _ in 0..setup.rounds {
            of_grpc.push(grpc.run(&remit).await?);
            of_other.push(other.run(&remit).await?);
        }
        let (grpc, measured) = (middle(of_grpc)?, middle(of_other)?);
        results(Entry::Standards(Standards {
            workload: workload.name().to_owned(),
            relationships,
            in_flight: arguments.in_flight,
            protocol: protocol.to_owned(),
            cpu_ratio: ratio(
                measured.server_cpu_microseconds,
                grpc.server_cpu_microseconds,
            ),
            measured,
            grpc,
        }))?;
    }
    Ok(())
}
