//! The thread that makes events of what was noted down, and hands them to the queues of the sinks.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::buffer::{Buffer, Segment};
use crate::counters::Counters;
use crate::event::Maker;
use crate::record;
use crate::rules::Treatment;
use crate::sink::{Made, Queue};

/// How often it is looked for what waits, if nobody calls for it.
const INTERVAL: Duration = Duration::from_millis(20);
/// Events that are handed over at once.
const HANDED_OVER: usize = 256;

/// Calls the thread.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<Rung>,
    rung: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Rung {
    #[default]
    No,
    Yes,
    /// For the last time.
    ToStop,
    /// All is handed over.
    Stopped,
}

impl Bell {
    /// Calls for the thread; without a wait.
    pub(crate) fn ring(&self) {
        if let Ok(mut state) = self.state.try_lock()
            && *state == Rung::No
        {
            *state = Rung::Yes;
            self.rung.notify_all();
        }
    }

    /// Asks the thread to end, and waits until it has handed all over, for at most `within`.
    pub(crate) fn stop(&self, within: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state != Rung::Stopped {
            *state = Rung::ToStop;
        }
        self.rung.notify_all();
        let waited = self
            .rung
            .wait_timeout_while(state, within, |state| *state != Rung::Stopped);
        drop(waited);
    }

    /// Waits for a call, or for the interval; whether it is the last.
    fn wait(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .rung
            .wait_timeout_while(state, INTERVAL, |state| *state == Rung::No);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let is_last = *state == Rung::ToStop;
        if !is_last {
            *state = Rung::No;
        }
        is_last
    }

    fn stopped(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Rung::Stopped;
        self.rung.notify_all();
    }
}

/// What the thread has.
pub(crate) struct Pump {
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) sinks: Vec<Arc<Queue>>,
    /// What the server says of itself.
    pub(crate) labels: BTreeMap<String, String>,
}

impl Pump {
    pub(crate) fn run(self) {
        loop {
            let is_last = self.bell.wait();
            // Before it is drained: what is left then is next to nothing, however full it was.
            self.counters.note_waiting("", self.buffer.bytes());
            let drained = self.buffer.drain();
            for segment in &drained {
                self.hand_over(segment);
            }
            if is_last {
                self.bell.stopped();
                return;
            }
        }
    }

    fn hand_over(&self, segment: &Segment) {
        let mut labels = segment.rules.labels.clone();
        labels.extend(self.labels.clone());
        let maker = Maker {
            rules: &segment.rules,
            labels: &labels,
        };
        let mut made = Vec::with_capacity(HANDED_OVER);
        let mut bytes = segment.bytes.as_slice();
        let mut line = Vec::new();
        while let Some(record) = record::read(&mut bytes) {
            line.clear();
            if let Err(error) = maker.write(&record, &mut line) {
                tracing::error!(%error, "an event of the decision log cannot be written down");
                continue;
            }
            let is_traced = segment.rules.keep(record.rule).hides.trace == Treatment::Keep;
            made.push(Made {
                line: line.as_slice().into(),
                at_micros: record.at_micros,
                trace: record.trace.filter(|_| is_traced),
            });
            if made.len() == HANDED_OVER {
                self.push(&mut made);
            }
        }
        self.push(&mut made);
    }

    fn push(&self, made: &mut Vec<Made>) {
        for sink in &self.sinks {
            sink.push(made);
        }
        made.clear();
    }
}
