//! Hedged reads: an answer that takes long is asked for a second time elsewhere, and the first of the two counts.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::retry::Budget;

/// When reads are asked for a second time. Off unless it is set.
#[derive(Debug, Clone, PartialEq)]
pub struct Hedge {
    /// After how long.
    pub delay: HedgeDelay,
    /// Second attempts as a share of calls, in the long run.
    pub share_max: f64,
    /// Second attempts in a row beyond the share, after a quiet time.
    pub burst_max: u32,
}

/// After how long a read is asked for a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HedgeDelay {
    /// After that long.
    Fixed(Duration),
    /// After what 95 of 100 calls lately took at most; not before a hundred calls were seen.
    P95,
}

impl Hedge {
    /// After that long, for 5 calls of 100.
    #[must_use]
    pub fn after(delay: Duration) -> Self {
        Self::of(HedgeDelay::Fixed(delay))
    }

    /// After what 95 of 100 calls lately took at most, for 5 calls of 100.
    #[must_use]
    pub fn after_p95() -> Self {
        Self::of(HedgeDelay::P95)
    }

    fn of(delay: HedgeDelay) -> Self {
        Self {
            delay,
            share_max: 0.05,
            burst_max: 10,
        }
    }
}

/// The hedging of one client.
#[derive(Debug)]
pub(crate) struct Hedging {
    delay: HedgeDelay,
    pub(crate) budget: Budget,
    seen: Seen,
}

impl Hedging {
    pub(crate) fn new(hedge: &Hedge) -> Self {
        Self {
            delay: hedge.delay,
            budget: Budget::new(hedge.share_max, hedge.burst_max),
            seen: Seen::new(),
        }
    }

    /// After how long a call that begins now is asked for again, if at all.
    pub(crate) fn delay(&self) -> Option<Duration> {
        match self.delay {
            HedgeDelay::Fixed(delay) => Some(delay),
            HedgeDelay::P95 => self.seen.p95(),
        }
    }

    /// An attempt was answered after that long.
    pub(crate) fn note(&self, took: Duration) {
        match self.delay {
            HedgeDelay::Fixed(_) => {}
            HedgeDelay::P95 => self.seen.note(took),
        }
    }
}

/// Four for each doubling, from a microsecond to beyond a minute.
const BUCKETS: usize = 108;
const COUNT_MIN: u32 = 100;
/// Then all counts are halved, so that what is long past fades.
const COUNT_MAX: u32 = 10_000;
/// The answer is worked out again after so many calls.
const EVERY: u32 = 50;

/// How long calls took lately.
#[derive(Debug)]
struct Seen {
    buckets: [AtomicU32; BUCKETS],
    count: AtomicU32,
    /// In microseconds; 0 while there is none.
    p95: AtomicU64,
}

impl Seen {
    fn new() -> Self {
        Self {
            buckets: [const { AtomicU32::new(0) }; BUCKETS],
            count: AtomicU32::new(0),
            p95: AtomicU64::new(0),
        }
    }

    fn note(&self, took: Duration) {
        if let Some(bucket) = self.buckets.get(bucket(took)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if count < COUNT_MIN || !count.is_multiple_of(EVERY) {
            return;
        }
        self.p95.store(self.work_out(), Ordering::Relaxed);
        if count >= COUNT_MAX {
            for bucket in &self.buckets {
                let half = bucket.load(Ordering::Relaxed) / 2;
                bucket.fetch_sub(half, Ordering::Relaxed);
            }
            self.count.store(COUNT_MAX / 2, Ordering::Relaxed);
        }
    }

    fn p95(&self) -> Option<Duration> {
        match self.p95.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    /// The upper end of the bucket below which 95 of 100 lie.
    fn work_out(&self) -> u64 {
        let counts = self
            .buckets
            .iter()
            .map(|one| u64::from(one.load(Ordering::Relaxed)));
        let counts: Vec<u64> = counts.collect();
        let below = counts.iter().sum::<u64>() * 95 / 100;
        let mut seen = 0;
        let ix = counts.iter().position(|count| {
            seen += count;
            seen > below
        });
        upper_end(ix.unwrap_or(BUCKETS))
    }
}

fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let doublings = micros.ilog2();
    // The two bits after the first say which quarter of the doubling.
    let quarter = match doublings {
        0 => 0,
        1 => (micros & 1) << 1,
        _ => (micros >> (doublings - 2)) & 3,
    };
    let ix = u64::from(doublings) * 4 + quarter;
    usize::try_from(ix).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

fn upper_end(ix: usize) -> u64 {
    let (doublings, quarter) = (ix / 4, (ix % 4) as u64);
    let first = 1_u64.checked_shl(doublings as u32).unwrap_or(u64::MAX);
    first.saturating_mul(5 + quarter) / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_lies_below_its_upper_end() {
        for micros in (1..5_000).chain([60_000_000]) {
            let ix = bucket(Duration::from_micros(micros));
            assert!(upper_end(ix) >= micros, "{micros}");
            assert!(ix == 0 || upper_end(ix) <= micros * 2, "{micros}");
        }
        assert_eq!(bucket(Duration::from_secs(1_000_000)), BUCKETS - 1);
    }

    #[test]
    fn p95_is_what_most_calls_took_lately() {
        let seen = Seen::new();
        for _ in 0..99 {
            seen.note(Duration::from_millis(1));
        }
        assert_eq!(seen.p95(), None);
        let note = |slow_ms: u64| {
            for number in 0..10_000 {
                let is_slow = number % 100 < 2;
                seen.note(Duration::from_millis(if is_slow { slow_ms } else { 1 }));
            }
        };
        note(500);
        let p95 = seen.p95().unwrap();
        assert!(
            p95 >= Duration::from_millis(1) && p95 < Duration::from_millis(2),
            "{p95:?}"
        );
        // All calls are slower now: that is seen before long.
        for _ in 0..20_000 {
            seen.note(Duration::from_millis(20));
        }
        let p95 = seen.p95().unwrap();
        assert!(
            p95 >= Duration::from_millis(20) && p95 < Duration::from_millis(30),
            "{p95:?}"
        );
    }
}
