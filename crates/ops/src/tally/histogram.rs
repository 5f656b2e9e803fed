//! How long things took, as a histogram without a lock.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};

use super::Tallies;

/// The upper bounds of the buckets of a histogram, in microseconds, rising.
pub type Bounds = &'static [u64];

/// Durations, counted by bucket.
#[derive(Debug)]
pub struct Durations {
    bounds: Bounds,
    /// One for each bound, one for what is over all of them, and the sum in nanoseconds.
    tallies: Tallies,
}

impl Durations {
    /// A histogram with those buckets and one for all that is longer.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            tallies: Tallies::new(bounds.len() + 2),
        }
    }

    /// Takes in one duration.
    pub fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let micros = nanos.div_ceil(1_000);
        let bucket = self.bounds.partition_point(|bound| *bound < micros);
        self.tallies.add(bucket, 1);
        self.tallies.add(self.bounds.len() + 1, nanos);
    }

    /// How many were taken in.
    #[must_use]
    pub fn count(&self) -> u64 {
        (0..=self.bounds.len()).map(|it| self.tallies.sum(it)).sum()
    }

    /// Writes the histogram down, in seconds.
    ///
    /// # Errors
    /// As the encoder.
    pub fn encode(&self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        let mut buckets = Vec::with_capacity(self.bounds.len() + 1);
        for (place, bound) in self.bounds.iter().enumerate() {
            buckets.push((*bound as f64 / 1e6, self.tallies.sum(place)));
        }
        buckets.push((f64::MAX, self.tallies.sum(self.bounds.len())));
        let count = buckets.iter().map(|(_, count)| count).sum();
        let seconds = self.tallies.sum(self.bounds.len() + 1) as f64 / 1e9;
        encoder.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_has_room_for_it() {
        let durations = Durations::new(&[10, 100]);
        for nanos in [1, 10_000, 10_001, 100_000, 100_001] {
            durations.observe(Duration::from_nanos(nanos));
        }
        let counts = [0, 1, 2].map(|place| durations.tallies.sum(place));
        assert_eq!(counts, [2, 2, 1]);
        assert_eq!(durations.count(), 5);
    }
}
