//! The log: what a node tells of its decisions, and what a server starts and stops.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use ops::decisions::{Decided, Recorder};
use prometheus_client::registry::Registry;

use crate::buffer::{Buffer, Refused};
use crate::counters::Counters;
use crate::id;
use crate::pump::{Bell, Pump};
use crate::record;
use crate::rules::{Keep, Rules, SampleBy};
use crate::sink::Queue;

/// How often it is told that events are dropped, in microseconds.
const WARN_MICROS: i64 = 10_000_000;

/// Why a log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A sink cannot be used.
    #[error("the sink `{sink}` of the decision log cannot be used")]
    Sink {
        /// Its name.
        sink: String,
        /// Why.
        source: std::io::Error,
    },
    /// There is no thread to be had.
    #[error("no thread could be started for the decision log")]
    Thread(#[source] std::io::Error),
}

/// What was left when a log stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The sink.
    pub sink: String,
    /// How many events it had not taken.
    pub events: usize,
}

/// A decision log that runs.
#[derive(Debug)]
pub struct DecisionLog {
    rules: ArcSwap<Rules>,
    buffer: Arc<Buffer>,
    bell: Arc<Bell>,
    counters: Arc<Counters>,
    sinks: Vec<Arc<Queue>>,
    warned_micros: AtomicI64,
}

impl DecisionLog {
    /// Starts a log by `rules`, with what the server says of itself in every event.
    ///
    /// # Errors
    /// [`StartError`] if a file cannot be opened, or a thread not be started. A server that is away is none: it is tried again.
    pub fn start(rules: Rules, labels: BTreeMap<String, String>) -> Result<Arc<Self>, StartError> {
        let counters = Arc::new(Counters::default());
        let mut sinks = Vec::new();
        for settings in &rules.sinks {
            let sink = Queue::start(settings, &counters);
            sinks.push(sink.map_err(|source| StartError::Sink {
                sink: settings.name.clone(),
                source,
            })?);
        }
        let buffer = Arc::new(Buffer::new(rules.buffer.clone()));
        let bell = Arc::new(Bell::default());
        let pump = Pump {
            buffer: Arc::clone(&buffer),
            bell: Arc::clone(&bell),
            counters: Arc::clone(&counters),
            sinks: sinks.clone(),
            labels,
        };
        std::thread::Builder::new()
            .name("decision-log".to_owned())
            .spawn(move || pump.run())
            .map_err(StartError::Thread)?;
        Ok(Arc::new(Self {
            rules: ArcSwap::from_pointee(rules),
            buffer,
            bell,
            counters,
            sinks,
            warned_micros: AtomicI64::new(i64::MIN),
        }))
    }

    /// Takes other rules, at once for every decision after it. Whether its sinks and its buffer are what they were: they stay.
    pub fn replace(&self, rules: Rules) -> bool {
        let old = self.rules.load_full();
        let is_alike = old.sinks == rules.sinks && old.buffer == rules.buffer;
        let rules = Rules {
            // Masks of one process are alike for as long as it runs, unless a salt is given.
            salt: rules.salt.succeeding(&old.salt),
            sinks: old.sinks.clone(),
            buffer: old.buffer.clone(),
            ..rules
        };
        self.rules.store(Arc::new(rules));
        is_alike
    }

    /// The files that the rules in force were read from: that of the rules, and those that it names.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.rules.load().files().to_vec()
    }

    /// Adds what is counted of the log.
    pub fn register(&self, registry: &mut Registry) {
        self.counters.register(registry);
    }

    /// Makes the sinks take what waits, for at most `within`; what they have not taken then, which is counted as dropped. It waits, so it
    /// is not for a thread that answers.
    pub fn stop(&self, within: Duration) -> Vec<Left> {
        let until = Instant::now() + within;
        self.bell.stop(within);
        for sink in &self.sinks {
            sink.begin_stop(until);
        }
        let left = self.sinks.iter().map(|sink| Left {
            sink: sink.name().to_owned(),
            events: sink.stopped(until),
        });
        left.filter(|left| left.events > 0).collect()
    }

    fn refused(&self, refused: Refused, decided: &Decided<'_>) {
        let counter = self.counters.refused(refused);
        counter.inc();
        let (now, last) = (
            decided.at.as_micros(),
            self.warned_micros.load(Ordering::Relaxed),
        );
        let is_due = now.saturating_sub(last) >= WARN_MICROS;
        let order = Ordering::Relaxed;
        if is_due
            && self
                .warned_micros
                .compare_exchange(last, now, order, order)
                .is_ok()
        {
            let dropped = counter.get();
            tracing::warn!(?refused, dropped, "decisions are not in the decision log");
        }
    }
}

/// Whether a decision is among the sample.
fn is_sampled(keep: &Keep, rules: &Rules, decided: &Decided<'_>, id: [u8; 16]) -> bool {
    if keep.threshold > u64::from(u32::MAX) {
        return true;
    }
    let of_request = match keep.by {
        SampleBy::Decision => None,
        SampleBy::Request => decided.caller.origin().map(|origin| match origin.trace {
            Some(trace) => rules.salt.number(&trace.trace),
            None => rules.salt.number(origin.request_id.as_bytes()),
        }),
    };
    // The last half of an id is random.
    let number = of_request.unwrap_or_else(|| id::mixed(u128::from_be_bytes(id) as u64));
    (number & u64::from(u32::MAX)) < keep.threshold
}

impl Recorder for DecisionLog {
    fn record(&self, decided: &Decided<'_>) {
        let rules = self.rules.load();
        let (rule, keep) = rules.find(decided);
        if keep.threshold == 0 {
            self.counters.unsampled.inc();
            return;
        }
        let id = id::made(decided.at);
        if !is_sampled(keep, &rules, decided, id) {
            self.counters.unsampled.inc();
            return;
        }
        let write = |to: &mut Vec<u8>| record::write(to, decided, (rule, keep), id);
        match self.buffer.push(&rules, write) {
            Ok(()) => {
                self.counters.recorded.inc();
                if self.buffer.is_half_full() {
                    self.bell.ring();
                }
            }
            Err(refused) => self.refused(refused, decided),
        }
    }
}
