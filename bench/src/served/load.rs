//! Load on a server, in a closed loop (a call begins when one is answered) or an open one (calls begin at a rate).
//!
//! An open loop measures from the instant at which a call was to begin, so that the wait for its turn counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use hdrhistogram::Histogram;
use remit_proto::authzed::api::v1 as wire;
use serde::Serialize;
use tonic::transport::Channel;
use wire::permissions_service_client::PermissionsServiceClient;

use super::Calls;
use super::target::Target;

/// Longest latency that is told apart, in nanoseconds.
const LATENCY_MAX: u64 = 60_000_000_000;
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

/// What a round has shown.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Measured {
    pub(crate) calls_per_second: f64,
    pub(crate) p50_microseconds: f64,
    pub(crate) p99_microseconds: f64,
    pub(crate) p999_microseconds: f64,
    pub(crate) p9999_microseconds: f64,
    /// Processor time of the server a call.
    pub(crate) server_cpu_microseconds: f64,
    pub(crate) server_resident_mebibytes: f64,
}

impl Measured {
    /// The round with the median throughput.
    pub(crate) fn median(mut rounds: Vec<Self>) -> Option<Self> {
        rounds.sort_by(|one, other| one.calls_per_second.total_cmp(&other.calls_per_second));
        rounds.get(rounds.len() / 2).copied()
    }
}

impl Load {
    /// Loads `target` for the duration.
    ///
    /// # Errors
    /// When a call fails: a load whose calls fail measures nothing.
    #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
    pub(crate) async fn run(&self, target: &Target) -> anyhow::Result<Measured> {
        let mut channels = Vec::new();
        for _ in 0..self.connections {
            channels.push(target.connect().await?);
        }
        let next = Arc::new(AtomicUsize::new(0));
        let begun = Arc::new(AtomicU64::new(0));
        let before = target.process().cpu_seconds()?;
        let started = Instant::now();
        let callers = (0..self.in_flight).zip(channels.iter().cycle());
        let callers: Vec<_> = callers
            .map(|(_, channel)| {
                let caller = Caller {
                    load: self.clone(),
                    channel: channel.clone(),
                    next: Arc::clone(&next),
                    begun: Arc::clone(&begun),
                    started,
                };
                tokio::spawn(caller.call())
            })
            .collect();
        let mut latencies = histogram()?;
        for caller in callers {
            latencies.add(caller.await??)?;
        }
        let seconds = started.elapsed().as_secs_f64();
        let cpu = target.process().cpu_seconds()? - before;
        let count = latencies.len() as f64;
        ensure!(count > 0.0, "no call was answered");
        let quantile = |share| latencies.value_at_quantile(share) as f64 / 1_000.0;
        Ok(Measured {
            calls_per_second: count / seconds,
            p50_microseconds: quantile(0.5),
            p99_microseconds: quantile(0.99),
            p999_microseconds: quantile(0.999),
            p9999_microseconds: quantile(0.9999),
            server_cpu_microseconds: cpu * 1e6 / count,
            server_resident_mebibytes: target.process().resident_bytes()? as f64
                / (1_u64 << 20) as f64,
        })
    }
}

/// One of those who call at once.
struct Caller {
    load: Load,
    channel: Channel,
    /// The next request, shared.
    next: Arc<AtomicUsize>,
    /// Calls that have begun, shared.
    begun: Arc<AtomicU64>,
    started: Instant,
}

impl Caller {
    #[expect(clippy::cast_precision_loss, reason = "a count is below 2^53")]
    async fn call(self) -> anyhow::Result<Histogram<u64>> {
        let mut latencies = histogram()?;
        let mut client = PermissionsServiceClient::new(self.channel.clone());
        loop {
            let intended = match self.load.rate {
                None => Instant::now(),
                Some(rate) => {
                    let number = self.begun.fetch_add(1, Ordering::Relaxed);
                    let after = Duration::from_secs_f64(number as f64 / f64::from(rate));
                    let at = self.started + after;
                    tokio::time::sleep_until(at.into()).await;
                    at
                }
            };
            if intended.duration_since(self.started) >= self.load.duration {
                return Ok(latencies);
            }
            self.send(&mut client).await?;
            let nanoseconds = u64::try_from(intended.elapsed().as_nanos())?;
            latencies.record(nanoseconds.min(LATENCY_MAX))?;
        }
    }

    async fn send(&self, client: &mut PermissionsServiceClient<Channel>) -> anyhow::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        match &self.load.calls {
            Calls::Check(requests) => {
                if let Some(request) = requests.get(number % requests.len()) {
                    client.check_permission(request.clone()).await?;
                }
            }
            Calls::Bulk(requests) => {
                if let Some(request) = requests.get(number % requests.len()) {
                    client.check_bulk_permissions(request.clone()).await?;
                }
            }
        }
        Ok(())
    }
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LATENCY_MAX, DIGITS)?)
}
