//! Load on a server, in a closed loop (a call begins when one is answered) or an open one (calls begin at a rate).
//!
//! An open loop measures from the instant at which a call was to begin, so that the wait for its turn counts. A call that
//! fails is counted, and has no latency.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use hdrhistogram::Histogram;
use remit_proto::authzed::api::v1 as wire;
use serde::{Deserialize, Serialize};
use tonic::Status;

use super::calls::{Calls, Clients, Sort};
use super::target::Target;
use super::turns::Turns;

/// Longest latency that is told apart, in nanoseconds.
pub(crate) const LATENCY_MAX: u64 = 60_000_000_000;
/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// A load.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) calls: Calls,
    pub(crate) in_flight: u16,
    pub(crate) rate: Option<u32>,
    pub(crate) connections: u16,
    pub(crate) duration: Duration,
}

/// How calls of one sort were answered in a round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latencies {
    pub(crate) calls_per_second: f64,
    pub(crate) p50_microseconds: f64,
    pub(crate) p99_microseconds: f64,
    pub(crate) p999_microseconds: f64,
    pub(crate) p9999_microseconds: f64,
    /// Calls that failed.
    pub(crate) errors: u64,
}

/// What a round has shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    #[serde(flatten)]
    pub(crate) latencies: Latencies,
    /// Decisions, ids found or updates.
    pub(crate) results_per_second: f64,
    /// Processor time of the server a call.
    pub(crate) server_cpu_microseconds: f64,
    pub(crate) server_resident_mebibytes: f64,
}

/// A round, with reads and writes apart.
#[derive(Debug)]
pub(crate) struct Round {
    reads: Tally,
    writes: Tally,
    seconds: f64,
    server_cpu_seconds: f64,
    server_resident_bytes: u64,
}

/// What is counted of one sort of calls.
#[derive(Debug)]
struct Tally {
    latencies: Histogram<u64>,
    results: u64,
    errors: u64,
    first_error: Option<Status>,
}

impl Load {
    /// Loads `target` for the duration.
    ///
    /// # Errors
    /// When all calls fail: such a load measures nothing.
    pub(crate) async fn run(&self, target: &Target) -> anyhow::Result<Measured> {
        self.round(target).await?.measured()
    }

    /// As [`run`](Self::run), with reads and writes apart.
    pub(crate) async fn round(&self, target: &Target) -> anyhow::Result<Round> {
        let mut channels = Vec::new();
        for _ in 0..self.connections {
            channels.push(target.connect().await?);
        }
        let next = Arc::new(AtomicUsize::new(0));
        let before = target.process().cpu_seconds()?;
        let started = Instant::now();
        let turns = self
            .rate
            .map(|rate| Arc::new(Turns::new(rate, started, self.duration, self.in_flight)));
        let callers = (0..self.in_flight).zip(channels.iter().cycle());
        let callers: Vec<_> = callers
            .map(|(_, channel)| {
                let caller = Caller {
                    calls: self.calls.clone(),
                    clients: Clients::new(
                        target.address().to_owned(),
                        channel.clone(),
                        target.header(),
                    ),
                    next: Arc::clone(&next),
                    turns: turns.clone(),
                    written: None,
                };
                tokio::spawn(caller.call(started, self.duration))
            })
            .collect();
        let (mut reads, mut writes) = (Tally::new()?, Tally::new()?);
        for caller in callers {
            let (own_reads, own_writes) = caller.await??;
            reads.add(own_reads)?;
            writes.add(own_writes)?;
        }
        let round = Round {
            seconds: started.elapsed().as_secs_f64(),
            server_cpu_seconds: target.process().cpu_seconds()? - before,
            server_resident_bytes: target.process().resident_bytes()?,
            reads,
            writes,
        };
        round.tell_errors()?;
        Ok(round)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
impl Round {
    pub(crate) fn reads(&self) -> Latencies {
        self.reads.latencies(self.seconds)
    }

    pub(crate) fn writes(&self) -> Latencies {
        self.writes.latencies(self.seconds)
    }

    /// Processor time of the server a call, reads and writes together.
    pub(crate) fn server_cpu_microseconds(&self) -> f64 {
        let calls = self.reads.calls() + self.writes.calls();
        self.server_cpu_seconds * 1e6 / calls.max(1) as f64
    }

    fn measured(self) -> anyhow::Result<Measured> {
        let server_cpu_microseconds = self.server_cpu_microseconds();
        let mut all = self.reads;
        all.add(self.writes)?;
        Ok(Measured {
            latencies: all.latencies(self.seconds),
            results_per_second: all.results as f64 / self.seconds,
            server_cpu_microseconds,
            server_resident_mebibytes: self.server_resident_bytes as f64 / (1_u64 << 20) as f64,
        })
    }

    fn tell_errors(&self) -> anyhow::Result<()> {
        for tally in [&self.reads, &self.writes] {
            let Some(error) = &tally.first_error else {
                continue;
            };
            if tally.errors == tally.calls() {
                bail!("all {} calls failed, the first: {error}", tally.errors);
            }
            eprintln!(
                "{} of {} calls failed, the first: {error}",
                tally.errors,
                tally.calls()
            );
        }
        if self.reads.calls() + self.writes.calls() == 0 {
            bail!("no call was answered");
        }
        Ok(())
    }
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latencies: histogram()?,
            results: 0,
            errors: 0,
            first_error: None,
        })
    }

    fn count(&mut self, answered: Result<u64, Status>, since: Instant) -> anyhow::Result<()> {
        match answered {
            Ok(results) => {
                let nanoseconds = u64::try_from(since.elapsed().as_nanos())?;
                self.latencies.record(nanoseconds.min(LATENCY_MAX))?;
                self.results += results;
            }
            Err(error) => {
                self.errors += 1;
                self.first_error.get_or_insert(error);
            }
        }
        Ok(())
    }

    fn add(&mut self, other: Self) -> anyhow::Result<()> {
        self.latencies.add(other.latencies)?;
        self.results += other.results;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        Ok(())
    }

    fn calls(&self) -> u64 {
        self.latencies.len() + self.errors
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
    fn latencies(&self, seconds: f64) -> Latencies {
        let quantile = |share| self.latencies.value_at_quantile(share) as f64 / 1_000.0;
        Latencies {
            calls_per_second: self.latencies.len() as f64 / seconds,
            p50_microseconds: quantile(0.5),
            p99_microseconds: quantile(0.99),
            p999_microseconds: quantile(0.999),
            p9999_microseconds: quantile(0.9999),
            errors: self.errors,
        }
    }
}

/// An empty one.
pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LATENCY_MAX, DIGITS)?)
}

/// One of those who call at once.
struct Caller {
    calls: Calls,
    clients: Clients,
    /// The next request, shared.
    next: Arc<AtomicUsize>,
    /// Of an open loop, shared.
    turns: Option<Arc<Turns>>,
    /// The row that it has written last, if it has not deleted it since.
    written: Option<wire::Relationship>,
}

impl Caller {
    async fn call(
        mut self,
        started: Instant,
        duration: Duration,
    ) -> anyhow::Result<(Tally, Tally)> {
        let (mut reads, mut writes) = (Tally::new()?, Tally::new()?);
        loop {
            let intended = match &self.turns {
                None => Instant::now(),
                Some(turns) => turns.next().await,
            };
            if intended.duration_since(started) >= duration {
                return Ok((reads, writes));
            }
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let answered = self
                .calls
                .send(number, &mut self.clients, &mut self.written)
                .await;
            match self.calls.sort(number) {
                Sort::Read => reads.count(answered, intended)?,
                Sort::Write => writes.count(answered, intended)?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(answers: [Result<u64, Status>; 2]) -> Round {
        let mut reads = Tally::new().unwrap();
        for answer in answers {
            reads.count(answer, Instant::now()).unwrap();
        }
        Round {
            reads,
            writes: Tally::new().unwrap(),
            seconds: 0.5,
            server_cpu_seconds: 0.001,
            server_resident_bytes: 1 << 20,
        }
    }

    #[test]
    fn a_call_that_fails_is_counted_and_has_no_latency() {
        let round = round([Ok(7), Err(Status::unavailable("closed"))]);
        round.tell_errors().unwrap();
        let measured = round.measured().unwrap();
        assert_eq!(measured.latencies.errors, 1);
        assert_eq!(measured.latencies.calls_per_second, 2.0);
        assert_eq!(measured.results_per_second, 14.0);
        assert_eq!(measured.server_cpu_microseconds, 500.0);
    }

    #[test]
    fn a_round_whose_calls_all_fail_is_an_error() {
        let round = round([(); 2].map(|()| Err(Status::unavailable("closed"))));
        let error = round.tell_errors().unwrap_err().to_string();
        assert!(error.starts_with("all 2 calls failed"), "{error}");
    }
}
