//! How far a node is with its first load: told by who asks for its health, by metrics, and to who waits at a terminal.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// The progress of one load. It is counted by who loads, and read by whoever wants to know.
#[derive(Debug)]
pub struct LoadProgress {
    begun: Instant,
    has_begun: AtomicBool,
    relationships: AtomicU64,
    /// 0 while it is not known.
    expected: AtomicU64,
    /// How long it took.
    took: OnceLock<Duration>,
}

impl Default for LoadProgress {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            has_begun: AtomicBool::new(false),
            relationships: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            took: OnceLock::new(),
        }
    }
}

impl LoadProgress {
    /// Relationships that were loaded so far.
    #[must_use]
    pub fn relationships(&self) -> u64 {
        self.relationships.load(Ordering::Relaxed)
    }

    /// How many there will be, as far as the store could tell: it may be an estimate, and none if it could not.
    #[must_use]
    pub fn expected(&self) -> Option<u64> {
        Some(self.expected.load(Ordering::Relaxed)).filter(|expected| *expected > 0)
    }

    /// How much of the expected was loaded, 99 at most: the end is told by nothing but the end.
    #[must_use]
    pub fn percent(&self) -> Option<u64> {
        let done = self.relationships().saturating_mul(100);
        let percent = self.expected().and_then(|all| done.checked_div(all));
        percent.map(|percent| percent.min(99))
    }

    /// Whether all is loaded.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.took.get().is_some()
    }

    /// Adds what can be measured of the load.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        registry.register_collector(Box::new(LoadCollector(Arc::clone(self))));
    }

    pub(crate) fn begin(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
    }

    pub(crate) fn expect(&self, count: u64) {
        self.expected.store(count, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, count: usize) {
        self.relationships
            .fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        // A load ends once; were it told twice, the first time would be right.
        let _told = self.took.set(self.begun.elapsed());
    }
}

/// `loading: 43%, 12.3 million relationships`
impl fmt::Display for LoadProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_over() {
            return f.write_str("loaded, and not yet ready");
        }
        if !self.has_begun.load(Ordering::Relaxed) {
            return f.write_str("loading: the store is being opened");
        }
        f.write_str("loading: ")?;
        if let Some(percent) = self.percent() {
            write!(f, "{percent}%, ")?;
        }
        write!(f, "{} relationships", Rounded(self.relationships()))
    }
}

/// A number of which people want to know how large it is.
struct Rounded(u64);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1_000_000 {
            return write!(f, "{}", self.0);
        }
        let tenths = self.0 / 100_000;
        write!(f, "{}.{} million", tenths / 10, tenths % 10)
    }
}

/// What is asked for when metrics are read.
#[derive(Debug)]
struct LoadCollector(Arc<LoadProgress>);

impl Collector for LoadCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let load = &self.0;
        let mut whole = |name, help, value: u64| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        whole(
            "remit_load_done",
            "1 once this node has loaded what its store had",
            u64::from(load.is_over()),
        )?;
        whole(
            "remit_load_relationships",
            "Relationships that the first load has taken in",
            load.relationships(),
        )?;
        whole(
            "remit_load_relationships_expected",
            "How many the store said that there are, which may be an estimate; 0 if it did not",
            load.expected().unwrap_or_default(),
        )?;
        let took = load.took.get().copied();
        let gauge = ConstGauge::new(took.unwrap_or_else(|| load.begun.elapsed()).as_secs_f64());
        let help =
            "How long the first load took, or takes so far, the opening of the store included";
        let unit = Some(&Unit::Seconds);
        gauge.encode(encoder.encode_descriptor("remit_load", help, unit, gauge.metric_type())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_it_is() {
        let load = LoadProgress::default();
        assert_eq!(load.to_string(), "loading: the store is being opened");
        load.begin();
        load.add(950_000);
        assert_eq!(load.to_string(), "loading: 950000 relationships");
        load.expect(28_000_000);
        load.add(11_350_000);
        assert_eq!(load.to_string(), "loading: 43%, 12.3 million relationships");
        // What was expected was an estimate, and too low.
        load.add(20_000_000);
        assert_eq!(load.percent(), Some(99));
        assert!(!load.is_over());
        load.end();
        assert_eq!(load.to_string(), "loaded, and not yet ready");
    }
}
