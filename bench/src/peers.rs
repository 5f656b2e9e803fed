//! Remit beside others, in one run and in turn, each on the nearest equivalent of the same workload: `bench peers`.
//!
//! Whoever is measured has first to answer as Remit does, or the run fails: that is what makes the equivalents honest.
//! Servers are compared by the processor time of their process, peers in this process with Remit's engine in it.

mod casbin;
mod cedar;
pub(crate) mod cerbos;
mod libraries;
mod servers;
mod slice;
mod spicedb;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum as _};
use engine::graph::Snapshot;
use model::Decision;

use crate::beside::{self, Beside, Cost};
use crate::in_process;
use crate::results::{Entry, Results, median};
use crate::served::{Measured, Setup, calls};
use crate::workload::{Draw, Kind, Popularity, Question, Workload};
use slice::Rows;

/// Who is measured, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct Peers {
    /// The kinds of companies.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::value_variants().to_vec())]
    workload: Vec<Kind>,
    /// About how many relationships; the least are some hundreds.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
    size: u64,
    /// The same seed makes the same data and questions.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Beside whom.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Peer::value_variants().to_vec())]
    peer: Vec<Peer>,
    #[command(flatten)]
    setup: Setup,
    /// Checks of a call, of Remit and SpiceDB; the others know no such call, and are left out then.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    bulk: Option<u16>,
    /// Calls under way at once on servers.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
    /// Threads that call SpiceDB in its process.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    spicedb_threads: u16,
    /// Which resources and subjects are asked about.
    #[arg(long, value_enum, default_value = "zipf")]
    popularity: Popularity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Peer {
    Spicedb,
    Cerbos,
    Cedar,
    Casbin,
}

/// What a round has shown of one side.
#[derive(Debug, Clone, Copy)]
struct Round {
    calls_per_second: f64,
    p50_microseconds: f64,
    /// Of the process that answers, a call.
    cpu_microseconds: f64,
}

impl From<Measured> for Round {
    fn from(measured: Measured) -> Self {
        Self {
            calls_per_second: measured.latencies.calls_per_second,
            p50_microseconds: measured.latencies.p50_microseconds,
            cpu_microseconds: measured.server_cpu_microseconds,
        }
    }
}

/// The round with the median throughput.
fn cost(rounds: Vec<Round>, checks_per_call: u16) -> anyhow::Result<Cost> {
    let middle = median(rounds, |round| round.calls_per_second);
    let middle = middle.context("no round was measured")?;
    let checks = f64::from(checks_per_call);
    Ok(Cost {
        checks_per_cpu_second: checks * 1e6 / middle.cpu_microseconds,
        checks_per_second: checks * middle.calls_per_second,
        p50_microseconds: middle.p50_microseconds,
    })
}

/// A workload with its questions, and Remit's engine to hold answers against.
struct Asked {
    workload: Box<dyn Workload>,
    size: u64,
    popularity: Popularity,
    snapshot: Snapshot,
    rows: Rows,
    questions: Vec<Question>,
}

/// Measures Remit beside each of the peers.
///
/// # Errors
/// When a peer does not start, answers otherwise than Remit, or a call fails.
pub(crate) async fn run(peers: &Peers, results: &mut Results<'_>) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for kind in &peers.workload {
        let asked = Asked::new(*kind, peers)?;
        let mut found = servers::measure(peers, &asked).await?;
        if peers.bulk.is_none() {
            found.extend(libraries::measure(peers, &asked).await?);
        }
        for beside in &found {
            results(Entry::Peers(beside.clone()))?;
        }
        all.extend(found);
    }
    eprint!("{}", beside::table(&all));
    Ok(())
}

impl Asked {
    fn new(kind: Kind, peers: &Peers) -> anyhow::Result<Self> {
        let workload = kind.of_size(peers.size, peers.seed);
        let mut draw = Draw::new(peers.seed, peers.popularity);
        Ok(Self {
            questions: calls::questions(&mut draw, workload.as_ref()),
            snapshot: in_process::load(workload.as_ref())?,
            rows: Rows::of(workload.as_ref()),
            popularity: peers.popularity,
            size: peers.size,
            workload,
        })
    }

    fn answer(&self, question: &Question) -> bool {
        in_process::answer(&self.snapshot, question) == Decision::Allowed
    }

    /// Holds `answers` to the first of `questions` against Remit's.
    ///
    /// # Errors
    /// When one is another, or there is none.
    fn agree<'a>(
        &self,
        peer: &str,
        questions: impl Iterator<Item = &'a Question>,
        answers: &[bool],
    ) -> anyhow::Result<()> {
        ensure!(!answers.is_empty(), "{peer} was asked nothing");
        for (question, answer) in questions.zip(answers) {
            let own = self.answer(question);
            ensure!(
                own == *answer,
                "{peer} answers {answer} where Remit answers {own}: {question:?}"
            );
        }
        Ok(())
    }

    fn beside(&self, peer: &'static str, how: &'static str, remit: Cost, other: Cost) -> Beside {
        Beside {
            workload: self.workload.name().to_owned(),
            size: self.size,
            relationships: self.rows.count,
            popularity: self.popularity,
            peer: peer.to_owned(),
            how: how.to_owned(),
            checks_per_call: 1,
            asked_share: 1.0,
            compared: 0,
            cpu_ratio: remit.checks_per_cpu_second / other.checks_per_cpu_second,
            throughput_ratio: remit.checks_per_second / other.checks_per_second,
            p50_ratio: other.p50_microseconds / remit.p50_microseconds,
            remit,
            other,
        }
    }
}

/// The folder of what the peers need: their packages, policies and models.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}
