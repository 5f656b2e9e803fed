//! What is counted of the log itself. Labels are names of the file of rules and words of ours: nothing of the decisions.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::buffer::Refused;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDrop {
    reason: &'static str,
    /// Empty for what was dropped before it came to a sink.
    sink: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSink {
    sink: String,
}

/// Why events were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drop {
    /// The buffer was full.
    Full,
    /// It was too large.
    TooLarge,
    /// The buffer was in use by every thread.
    Busy,
    /// The queue of a sink was full.
    SinkFull,
    /// A sink refused it for good.
    Refused,
    /// The server stopped before a sink had taken it.
    Stopped,
}

#[derive(Debug)]
pub(crate) struct Counters {
    events: Family<OfOutcome, Counter>,
    dropped: Family<OfDrop, Counter>,
    delivered: Family<OfSink, Counter>,
    waiting: Family<OfSink, Gauge>,
    seconds: Family<OfSink, Histogram>,
    failures: Family<OfSink, Counter>,
    /// At hand for each decision.
    pub(crate) recorded: Counter<u64, AtomicU64>,
    pub(crate) unsampled: Counter<u64, AtomicU64>,
    full: Counter,
    too_large: Counter,
    busy: Counter,
}

impl Drop {
    fn word(self) -> &'static str {
        match self {
            Self::Full => "buffer_full",
            Self::TooLarge => "too_large",
            Self::Busy => "busy",
            Self::SinkFull => "sink_full",
            Self::Refused => "refused",
            Self::Stopped => "stopped",
        }
    }
}

impl Default for Counters {
    fn default() -> Self {
        let events: Family<OfOutcome, Counter> = Family::default();
        let of = |outcome| events.get_or_create(&OfOutcome { outcome }).clone();
        let (recorded, unsampled) = (of("recorded"), of("unsampled"));
        let dropped: Family<OfDrop, Counter> = Family::default();
        let of = |reason: Drop| {
            let (reason, sink) = (reason.word(), String::new());
            dropped.get_or_create(&OfDrop { reason, sink }).clone()
        };
        let (full, too_large, busy) = (of(Drop::Full), of(Drop::TooLarge), of(Drop::Busy));
        Self {
            events,
            dropped,
            delivered: Family::default(),
            waiting: Family::default(),
            seconds: Family::new_with_constructor(|| {
                Histogram::new([0.001, 0.004, 0.016, 0.064, 0.256, 1.0, 4.0, 16.0, 64.0])
            }),
            failures: Family::default(),
            recorded,
            unsampled,
            full,
            too_large,
            busy,
        }
    }
}

impl Counters {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "remit_decision_log_events",
            "Decisions that were noted down, and those that the rules leave out of the sample",
            self.events.clone(),
        );
        registry.register(
            "remit_decision_log_dropped",
            "Events that were lost, by reason and by the sink that they are missing from",
            self.dropped.clone(),
        );
        registry.register(
            "remit_decision_log_delivered",
            "Events that a sink has taken",
            self.delivered.clone(),
        );
        registry.register(
            "remit_decision_log_buffer_bytes",
            "What waits to be made into events (no sink), or for a sink",
            self.waiting.clone(),
        );
        registry.register(
            "remit_decision_log_sink_seconds",
            "How long a sink took for a batch",
            self.seconds.clone(),
        );
        registry.register(
            "remit_decision_log_sink_failures",
            "Batches that a sink did not take, and that were sent again",
            self.failures.clone(),
        );
    }

    /// Begins to count for a sink, so that an alarm sees the first loss as one.
    pub(crate) fn begin(&self, sink: &str) {
        for reason in [Drop::SinkFull, Drop::Refused, Drop::Stopped] {
            self.note_dropped(reason, sink, 0);
        }
        let of = OfSink {
            sink: sink.to_owned(),
        };
        drop(self.failures.get_or_create(&of));
        drop(self.delivered.get_or_create(&of));
        drop(self.waiting.get_or_create(&of));
    }

    /// What counts the decisions that the buffer refuses: at hand, since there may be many of them, and no time.
    pub(crate) fn refused(&self, refused: Refused) -> &Counter {
        match refused {
            Refused::Full => &self.full,
            Refused::TooLarge => &self.too_large,
            Refused::Busy => &self.busy,
        }
    }

    pub(crate) fn note_dropped(&self, reason: Drop, sink: &str, count: u64) {
        let reason = reason.word();
        let sink = sink.to_owned();
        self.dropped
            .get_or_create(&OfDrop { reason, sink })
            .inc_by(count);
    }

    pub(crate) fn dropped(&self, reason: Drop, sink: &str) -> u64 {
        let reason = reason.word();
        let sink = sink.to_owned();
        self.dropped.get_or_create(&OfDrop { reason, sink }).get()
    }

    pub(crate) fn note_waiting(&self, sink: &str, bytes: usize) {
        let sink = sink.to_owned();
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.waiting.get_or_create(&OfSink { sink }).set(bytes);
    }

    pub(crate) fn note_delivered(&self, sink: &str, count: u64, seconds: f64) {
        let of = OfSink {
            sink: sink.to_owned(),
        };
        self.delivered.get_or_create(&of).inc_by(count);
        self.seconds.get_or_create(&of).observe(seconds);
    }

    pub(crate) fn note_failed(&self, sink: &str) {
        let sink = sink.to_owned();
        self.failures.get_or_create(&OfSink { sink }).inc();
    }
}
