//! A sink: a queue of its own, a thread of its own, and what takes the batches.
//!
//! Batches are taken from the head of the queue and stay there until the sink has them, so that order is kept and nothing is lost below
//! the bound, however long a sink is away. What comes while the queue is full is dropped: the newest, so that what is there stays whole.

mod file;
mod http;
mod otlp;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use identity::TraceContext;

use crate::counters::{Counters, Drop};
use crate::rules::{SinkKind, SinkSettings};

/// Between two attempts, at first and at most.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A failure that goes on is told this often.
const WARN_INTERVAL: Duration = Duration::from_secs(30);

/// An event, made.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    /// A line of JSON, with its end.
    pub(crate) line: Arc<[u8]>,
    pub(crate) at_micros: i64,
    /// None where it is hidden.
    pub(crate) trace: Option<TraceContext>,
}

/// Why a sink did not take a batch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SinkError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("HTTP failed: {0}")]
    Http(String),
    #[error("it answered with {0}; redirects are not followed")]
    Status(u16),
    /// The batch is too large for it; a smaller one may not be.
    #[error("the batch is too large for it")]
    TooLarge,
}

/// What takes batches, on a thread that may be held up.
pub(crate) trait Deliver: Send {
    /// Delivers a batch; how many of its events are refused for good.
    fn deliver(&mut self, batch: &[Made]) -> Result<usize, SinkError>;
}

/// How much is sent at once, and how long less is held back.
#[derive(Debug, Clone, Copy)]
struct Batching {
    bytes_max: usize,
    events_max: usize,
    flush: Duration,
}

/// What waits for a sink.
#[derive(Debug)]
pub(crate) struct Queue {
    settings: SinkSettings,
    batching: Batching,
    counters: Arc<Counters>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Made>,
    bytes: usize,
    /// When what waits first came.
    since: Option<Instant>,
    stopping: Option<Instant>,
    is_ended: bool,
}

impl Queue {
    /// Starts a sink.
    ///
    /// # Errors
    /// Why it cannot be used at all: its file or what it names cannot be opened, or there is no thread for it.
    pub(crate) fn start(
        settings: &SinkSettings,
        counters: &Arc<Counters>,
    ) -> Result<Arc<Self>, std::io::Error> {
        let at_once = Batching {
            bytes_max: 1 << 20,
            events_max: usize::MAX,
            flush: Duration::ZERO,
        };
        let of = |http: &crate::rules::HttpSettings| Batching {
            bytes_max: http.batch_bytes_max,
            events_max: http.batch_events_max,
            flush: http.flush,
        };
        let (batching, deliver): (Batching, Box<dyn Deliver>) = match &settings.kind {
            SinkKind::File { .. } => (at_once, Box::new(file::FileSink::open(&settings.kind)?)),
            SinkKind::Http(http) => (of(http), Box::new(http::HttpSink::new(http)?)),
            SinkKind::Otlp(http) => (of(http), Box::new(otlp::OtlpSink::new(http)?)),
        };
        counters.begin(&settings.name);
        let queue = Arc::new(Self {
            settings: settings.clone(),
            batching,
            counters: Arc::clone(counters),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let of_thread = Arc::clone(&queue);
        std::thread::Builder::new()
            .name(format!("log-{}", settings.name))
            .spawn(move || of_thread.run(deliver))?;
        Ok(queue)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts events into the queue, as far as there is room.
    pub(crate) fn push(&self, events: &[Made]) {
        let mut refused = 0;
        let mut state = self.lock();
        for event in events {
            let is_full = state.waiting.len() >= self.settings.queue_events_max
                || state.bytes + event.line.len() > self.settings.queue_bytes_max;
            if is_full || state.is_ended {
                refused += 1;
                continue;
            }
            state.bytes += event.line.len();
            state.waiting.push_back(event.clone());
        }
        if !state.waiting.is_empty() {
            state.since.get_or_insert_with(Instant::now);
        }
        let bytes = state.bytes;
        drop(state);
        self.changed.notify_all();
        let name = &self.settings.name;
        self.counters.note_waiting(name, bytes);
        if refused > 0 {
            self.counters.note_dropped(Drop::SinkFull, name, refused);
        }
    }

    /// Asks the sink to take what waits at once, and to end.
    pub(crate) fn begin_stop(&self, until: Instant) {
        self.lock().stopping = Some(until);
        self.changed.notify_all();
    }

    /// Waits for that; how many events are left, which are counted as dropped.
    pub(crate) fn stopped(&self, until: Instant) -> usize {
        let mut state = self.lock();
        while !state.is_ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.is_ended = true;
        let left = state.waiting.len();
        state.waiting.clear();
        drop(state);
        if left > 0 {
            let count = left as u64;
            self.counters
                .note_dropped(Drop::Stopped, &self.settings.name, count);
        }
        left
    }

    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    fn run(&self, mut deliver: Box<dyn Deliver>) {
        let mut backoff = BACKOFF_MIN;
        let mut events_max = self.batching.events_max;
        let (mut told, mut told_refused) = (None, None);
        while let Some(batch) = self.next(events_max) {
            let started = Instant::now();
            let refused = match deliver.deliver(&batch) {
                Ok(refused) => {
                    let refused = refused.min(batch.len());
                    self.done(&batch, refused, Some(started.elapsed()));
                    if told.take().is_some() {
                        tracing::info!(
                            sink = self.name(),
                            "a sink of the decision log takes events again"
                        );
                    }
                    backoff = BACKOFF_MIN;
                    events_max = events_max.saturating_mul(2).min(self.batching.events_max);
                    refused
                }
                Err(SinkError::TooLarge) if batch.len() > 1 => {
                    events_max = batch.len() / 2;
                    0
                }
                Err(SinkError::TooLarge) => {
                    self.done(&batch, batch.len(), None);
                    batch.len()
                }
                Err(error) => {
                    self.counters.note_failed(self.name());
                    if is_to_be_told(&mut told) {
                        let (sink, dropped) = (
                            self.name(),
                            self.counters.dropped(Drop::SinkFull, self.name()),
                        );
                        tracing::warn!(sink, %error, dropped, "a sink of the decision log takes no events; trying again");
                    }
                    self.pause(jittered(backoff));
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                    0
                }
            };
            if refused > 0 && is_to_be_told(&mut told_refused) {
                let sink = self.name();
                tracing::warn!(
                    sink,
                    refused,
                    "a sink of the decision log refuses events for good; they are lost"
                );
            }
        }
        self.lock().is_ended = true;
        self.changed.notify_all();
    }

    /// The next batch, once there is enough for one or it has waited for long enough; none at the end.
    fn next(&self, events_max: usize) -> Option<Vec<Made>> {
        let Batching {
            bytes_max, flush, ..
        } = self.batching;
        let mut state = self.lock();
        loop {
            let is_over = state.stopping.is_some_and(|until| Instant::now() >= until);
            if state.is_ended || is_over || (state.stopping.is_some() && state.waiting.is_empty()) {
                return None;
            }
            let waited = state.since.map_or(Duration::ZERO, |since| since.elapsed());
            let is_enough = state.bytes >= bytes_max
                || state.waiting.len() >= events_max
                || waited >= flush
                || state.stopping.is_some();
            if !state.waiting.is_empty() && is_enough {
                break;
            }
            let wait = if state.waiting.is_empty() {
                Duration::from_secs(3_600)
            } else {
                flush.saturating_sub(waited)
            };
            let waited = self.changed.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut bytes = 0;
        let fits = |event: &&Made| {
            bytes += event.line.len();
            bytes <= bytes_max
        };
        let count = state
            .waiting
            .iter()
            .take(events_max)
            .take_while(fits)
            .count();
        Some(state.waiting.iter().take(count.max(1)).cloned().collect())
    }

    /// Takes a batch off the queue, so many of which are refused; the rest is delivered.
    fn done(&self, batch: &[Made], refused: usize, took: Option<Duration>) {
        let mut state = self.lock();
        if state.is_ended {
            // It was counted as dropped: better told twice than never.
            return;
        }
        let count = batch.len().min(state.waiting.len());
        state.waiting.drain(..count);
        state.bytes -= batch.iter().map(|event| event.line.len()).sum::<usize>();
        state.since = (!state.waiting.is_empty()).then(Instant::now);
        let bytes = state.bytes;
        drop(state);
        self.counters.note_waiting(self.name(), bytes);
        if refused > 0 {
            self.counters
                .note_dropped(Drop::Refused, self.name(), refused as u64);
        }
        if let Some(took) = took {
            let count = batch.len().saturating_sub(refused) as u64;
            self.counters
                .note_delivered(self.name(), count, took.as_secs_f64());
        }
    }

    /// Waits before the next attempt; not for longer than there is time.
    fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut state = self.lock();
        loop {
            let until = state.stopping.map_or(until, |stop| until.min(stop));
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.is_ended {
                return;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Whether what goes on is to be told once more.
fn is_to_be_told(told: &mut Option<Instant>) -> bool {
    let is_due = told.is_none_or(|told| told.elapsed() >= WARN_INTERVAL);
    if is_due {
        *told = Some(Instant::now());
    }
    is_due
}

/// From half of a wait to one and a half of it.
fn jittered(wait: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    wait / 2 + wait.mul_f64(f64::from(random) / f64::from(u32::MAX))
}
