//! More checks than can be answered: goodput from saturation to a multiple of it, and what the storm of one caller does to another.
//!
//! Saturation is what a closed loop comes to. The open loops begin calls at a multiple of that, by a clock that waits for nobody: a call that
//! is not answered within its deadline, counted from when it was to begin, is no goodput, whether it was refused, late or not sent at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tonic::Code;

use super::asking::{Asking, Header};
use super::calls::{self, Calls, Clients};
use super::load::{LATENCY_MAX, histogram};
use super::setup::Setup;
use super::target::Target;
use super::turns::Turns;
use crate::results::{Entry, Results, median, ratio};
use crate::workload::{Draw, Popularity, Workload};

/// How much is asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct OverloadArguments {
    #[command(flatten)]
    setup: Setup,
    /// Items of each call; more of them leave the work to the server.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    bulk: u16,
    /// Multiples of saturation at which calls are begun.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3,5", value_parser = clap::value_parser!(u32).range(1..=20))]
    factor: Vec<u32>,
    /// Milliseconds within which a call has to be answered.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    deadline_ms: u64,
    /// Calls that may be under way at once; a call that finds none free waits at the client, and is late then.
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
    /// A caller at a low rate, without and with a storm of another at the largest multiple.
    pub(crate) polite_alone: Offered,
    pub(crate) polite_beside_storm: Offered,
    pub(crate) p50_ratio: Option<f64>,
    pub(crate) p99_ratio: Option<f64>,
}

/// What became of the calls of an open loop.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Offered {
    pub(crate) calls_per_second_begun: u32,
    /// Answered in time, a second.
    pub(crate) goodput: f64,
    pub(crate) p50_microseconds: f64,
    pub(crate) p99_microseconds: f64,
    /// Refused by the server, by name.
    pub(crate) refused: u64,
    /// Not answered in time.
    pub(crate) late: u64,
    pub(crate) failed: u64,
}

/// Calls of one caller.
#[derive(Clone)]
struct Storm {
    calls: Calls,
    header: Header,
    connections: u16,
    in_flight: u16,
    deadline: Duration,
    duration: Duration,
}

struct Tally {
    latencies: Histogram<u64>,
    refused: u64,
    late: u64,
    failed: u64,
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
    let calls = Calls::bulk_checks(&questions, arguments.bulk);
    let closed = setup.load(calls.clone(), 64, None);
    closed.run(&remit).await?;
    let saturation = closed.run(&remit).await?.latencies.calls_per_second;
    let storm = Storm {
        calls: calls.clone(),
        header: remit.header(),
        connections: closed.connections,
        in_flight: arguments.in_flight,
        deadline: Duration::from_millis(arguments.deadline_ms),
        duration: setup.round_length(),
    };
    let mut offered = Vec::new();
    for factor in &arguments.factor {
        offered.push(storm.offer(&remit, times(saturation, *factor)).await?);
    }
    let polite = Storm {
        calls: Calls::checks(&questions),
        header: Header::of_administrator()?,
        connections: 1,
        in_flight: 64,
        deadline: Duration::from_secs(10),
        ..storm.clone()
    };
    let most = arguments.factor.iter().copied().max().unwrap_or(1);
    let most = times(saturation, most);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..setup.rounds {
        alone.push(polite.offer(&remit, arguments.polite_rate).await?);
        let both = tokio::try_join!(
            polite.offer(&remit, arguments.polite_rate),
            storm.offer(&remit, most)
        );
        beside.push(both?.0);
    }
    let alone = median(alone, |round| round.p99_microseconds);
    let beside = median(beside, |round| round.p99_microseconds);
    let (alone, beside) = alone.zip(beside).context("no round was measured")?;
    results(Entry::Overload(Overload {
        workload: workload.name().to_owned(),
        relationships,
        items_per_call: arguments.bulk,
        deadline_ms: arguments.deadline_ms,
        saturation,
        offered,
        p50_ratio: ratio(beside.p50_microseconds, alone.p50_microseconds),
        p99_ratio: ratio(beside.p99_microseconds, alone.p99_microseconds),
        polite_alone: alone,
        polite_beside_storm: beside,
    }))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is a small positive number"
)]
fn times(saturation: f64, factor: u32) -> u32 {
    (saturation * f64::from(factor)).max(1.0) as u32
}

impl Storm {
    /// Begins calls at `rate`.
    async fn offer(&self, target: &Target, rate: u32) -> anyhow::Result<Offered> {
        let mut channels = Vec::new();
        for _ in 0..self.connections {
            channels.push(target.connect().await?);
        }
        let started = Instant::now();
        let turns = Turns::new(rate, started, self.duration, self.in_flight);
        let (turns, next) = (Arc::new(turns), Arc::new(AtomicUsize::new(0)));
        let callers = (0..self.in_flight).zip(channels.iter().cycle());
        let callers: Vec<_> = callers
            .map(|(_, channel)| {
                let address = target.address().to_owned();
                let clients = Clients::new(address, channel.clone(), self.header.clone());
                let (turns, next) = (Arc::clone(&turns), Arc::clone(&next));
                tokio::spawn(self.clone().call(clients, turns, next, started))
            })
            .collect();
        let mut all = Tally::new()?;
        for caller in callers {
            all.add(caller.await??)?;
        }
        Ok(all.offered(rate, started.elapsed()))
    }

    async fn call(
        self,
        mut clients: Clients,
        turns: Arc<Turns>,
        next: Arc<AtomicUsize>,
        started: Instant,
    ) -> anyhow::Result<Tally> {
        let mut tally = Tally::new()?;
        loop {
            let intended = turns.next().await;
            if intended.duration_since(started) >= self.duration {
                return Ok(tally);
            }
            let number = next.fetch_add(1, Ordering::Relaxed);
            let left = self.deadline.saturating_sub(intended.elapsed());
            if left.is_zero() {
                tally.late += 1;
                continue;
            }
            let mut written = None;
            let sending = self.calls.send(number, &mut clients, &mut written);
            match tokio::time::timeout(left, sending).await {
                Err(_) => tally.late += 1,
                Ok(Ok(_)) => {
                    let nanoseconds = u64::try_from(intended.elapsed().as_nanos())?;
                    tally.latencies.record(nanoseconds.min(LATENCY_MAX))?;
                }
                Ok(Err(status)) if status.code() == Code::ResourceExhausted => tally.refused += 1,
                Ok(Err(_)) => tally.failed += 1,
            }
        }
    }
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latencies: histogram()?,
            refused: 0,
            late: 0,
            failed: 0,
        })
    }

    fn add(&mut self, other: Self) -> anyhow::Result<()> {
        self.latencies.add(other.latencies)?;
        self.refused += other.refused;
        self.late += other.late;
        self.failed += other.failed;
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
    fn offered(&self, rate: u32, took: Duration) -> Offered {
        let quantile = |share| self.latencies.value_at_quantile(share) as f64 / 1_000.0;
        Offered {
            calls_per_second_begun: rate,
            goodput: self.latencies.len() as f64 / took.as_secs_f64(),
            p50_microseconds: quantile(0.5),
            p99_microseconds: quantile(0.99),
            refused: self.refused,
            late: self.late,
            failed: self.failed,
        }
    }
}
