//! What is counted of overload, for Prometheus: by class and reason, and nothing of callers.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::class::Class;
use super::refusal::Refusal;
use super::{MemoryState, Overload};

const SECONDS: [f64; 12] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0,
];

/// The counters.
#[derive(Debug)]
pub(super) struct Counters {
    refused: Family<OfRefusal, Counter>,
    waits: Family<OfClass, Histogram, fn() -> Histogram>,
    connections: Family<OfConnection, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRefusal {
    class: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfClass {
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfConnection {
    reason: &'static str,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            refused: Family::default(),
            waits: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            connections: Family::default(),
        }
    }
}

impl Counters {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "remit_overload_refused",
            "Calls that were refused because there was too much to do, by class and reason",
            self.refused.clone(),
        );
        registry.register_with_unit(
            "remit_overload_wait",
            "How long calls waited that had to wait for their turn, by class",
            Unit::Seconds,
            self.waits.clone(),
        );
        registry.register(
            "remit_overload_connections_ended",
            "Connections that the server ended or did not take, by reason",
            self.connections.clone(),
        );
    }

    pub(super) fn note_refused(&self, class: Class, refusal: Refusal) {
        let of = OfRefusal {
            class: class.text(),
            reason: refusal.text(),
        };
        self.refused.get_or_create(&of).inc();
    }

    pub(super) fn note_wait(&self, class: Class, waited: Duration) {
        let of = OfClass {
            class: class.text(),
        };
        self.waits.get_or_create(&of).observe(waited.as_secs_f64());
    }

    pub(super) fn note_connection(&self, reason: &'static str) {
        self.connections
            .get_or_create(&OfConnection { reason })
            .inc();
    }
}

/// What is looked up when the metrics are read.
pub(super) struct OverloadCollector(pub(super) Weak<Overload>);

impl OverloadCollector {
    pub(super) fn of(overload: &Arc<Overload>) -> Self {
        Self(Arc::downgrade(overload))
    }
}

impl Collector for OverloadCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(overload) = self.0.upgrade() else {
            return Ok(());
        };
        let number = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let names = [
            (
                "remit_overload_in_flight",
                "Calls that run until their answer begins, by class",
            ),
            (
                "remit_overload_queue_length",
                "Calls that wait for their turn, by class",
            ),
            (
                "remit_overload_in_flight_limit",
                "Calls that may run at once, by class",
            ),
        ];
        for (place, (name, help)) in names.into_iter().enumerate() {
            let kind = ConstGauge::new(0_i64).metric_type();
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for (class, gate) in overload.gates() {
                let value = match place {
                    0 => gate.running(),
                    1 => gate.waiting(),
                    _ => gate.running_max(),
                };
                let labels = [("class", class.text())];
                ConstGauge::new(number(value)).encode(metric.encode_family(&labels)?)?;
            }
        }
        for (name, help, value) in totals(&overload) {
            let gauge = ConstGauge::new(number(value));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// What is no number of a class: name, meaning, value.
fn totals(overload: &Overload) -> [(&'static str, &'static str, usize); 7] {
    let (used, may) = overload.memory_bytes();
    let state = match overload.memory_state() {
        MemoryState::Enough => 0,
        MemoryState::Low => 1,
        MemoryState::Critical => 2,
    };
    let (under_way, waiting) = overload.handshakes().counts();
    let bytes = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    [
        (
            "remit_overload_connections",
            "Connections, those of metrics aside",
            overload.connections(),
        ),
        (
            "remit_overload_handshakes",
            "Handshakes of TLS under way, those of metrics aside",
            under_way,
        ),
        (
            "remit_overload_handshakes_waiting",
            "Handshakes of TLS that wait for one of those to end",
            waiting,
        ),
        (
            "remit_overload_callers",
            "Callers that an account is kept of",
            overload.callers(),
        ),
        (
            "remit_overload_memory_state",
            "0 with enough memory, 1 short of it, 2 with nearly none",
            state,
        ),
        (
            "remit_overload_memory_used_bytes",
            "Memory that this process has",
            bytes(used),
        ),
        (
            "remit_overload_memory_limit_bytes",
            "Memory that this process may have",
            bytes(may),
        ),
    ]
}

impl fmt::Debug for OverloadCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverloadCollector").finish_non_exhaustive()
    }
}
