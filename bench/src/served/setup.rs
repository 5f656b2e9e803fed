//! What all loads on a server have in common: the program, the connections, the length and number of rounds.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::asking::Asking;
use super::calls::Calls;
use super::load::{Load, Measured};
use super::target::{Serving, Target};
use crate::results::{median, ratio};
use crate::workload::Workload;

/// How a server is measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct Setup {
    /// The program `remit`; without it the one beside this program.
    #[arg(long)]
    remit: Option<PathBuf>,
    /// Connections, which share the calls.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// As whom the load asks: `key` and `token` have to prove who they are, and may check and nothing else.
    #[arg(long = "as", value_enum, default_value = "nobody")]
    pub(crate) asking: Asking,
    /// Length of a round.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Rounds of each server, in turn; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,
}

/// Remit beside the floor under the same load.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Comparison {
    pub(crate) remit: Measured,
    pub(crate) floor: Measured,
    /// Processor time of the server a call, Remit's against the empty call's.
    pub(crate) cpu_ratio: Option<f64>,
    pub(crate) p50_ratio: Option<f64>,
}

impl Setup {
    /// Starts Remit with the workload in it, and tells how many relationships that are.
    pub(crate) async fn remit(&self, workload: &dyn Workload) -> anyhow::Result<(Target, u64)> {
        self.serving(workload, None, Serving::default()).await
    }

    /// As [`remit`](Self::remit), serving HTTP as well.
    pub(super) async fn remit_with_http(
        &self,
        workload: &dyn Workload,
    ) -> anyhow::Result<(Target, u64)> {
        let serving = Serving {
            serves_http: true,
            ..Serving::default()
        };
        self.serving(workload, None, serving).await
    }

    /// As [`remit`](Self::remit), of another program if one is given, with further flags of `remit serve`.
    pub(super) async fn remit_set(
        &self,
        workload: &dyn Workload,
        program: Option<PathBuf>,
        flags: &[String],
    ) -> anyhow::Result<(Target, u64)> {
        let serving = Serving {
            flags: flags.to_vec(),
            ..Serving::default()
        };
        self.serving(workload, program, serving).await
    }

    /// Starts Remit that way, asked as whoever the load asks as.
    pub(super) async fn started(
        &self,
        workload: &dyn Workload,
        serving: Serving,
    ) -> anyhow::Result<(Target, u64)> {
        self.serving(workload, None, serving).await
    }

    async fn serving(
        &self,
        workload: &dyn Workload,
        program: Option<PathBuf>,
        serving: Serving,
    ) -> anyhow::Result<(Target, u64)> {
        let program = match program.as_ref().or(self.remit.as_ref()) {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("remit"),
        };
        let serving = Serving {
            asking: self.asking,
            ..serving
        };
        Target::remit(program, workload, serving).await
    }

    pub(super) fn connections(&self) -> u16 {
        self.connections
    }

    pub(crate) fn round_length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    pub(crate) fn load(&self, calls: Calls, in_flight: u16, rate: Option<u32>) -> Load {
        Load {
            calls,
            in_flight,
            rate,
            connections: self.connections,
            duration: self.round_length(),
        }
    }

    /// Puts `load` on both servers, in turn.
    pub(super) async fn compare(
        &self,
        load: &Load,
        remit: &Target,
        floor: &Target,
    ) -> anyhow::Result<Comparison> {
        // Neither is measured cold.
        load.run(remit).await?;
        load.run(floor).await?;
        let (mut of_remit, mut of_floor) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            of_remit.push(load.run(remit).await?);
            of_floor.push(load.run(floor).await?);
        }
        let (remit, floor) = (middle(of_remit)?, middle(of_floor)?);
        Ok(Comparison {
            cpu_ratio: ratio(remit.server_cpu_microseconds, floor.server_cpu_microseconds),
            p50_ratio: ratio(
                remit.latencies.p50_microseconds,
                floor.latencies.p50_microseconds,
            ),
            remit,
            floor,
        })
    }

    /// Puts `load` on one server.
    pub(super) async fn measure(&self, load: &Load, target: &Target) -> anyhow::Result<Measured> {
        load.run(target).await?;
        let mut rounds = Vec::new();
        for _ in 0..self.rounds {
            rounds.push(load.run(target).await?);
        }
        middle(rounds)
    }
}

/// The round with the median throughput.
pub(super) fn middle(rounds: Vec<Measured>) -> anyhow::Result<Measured> {
    let middle = median(rounds, |round| round.latencies.calls_per_second);
    middle.context("no round was measured")
}
