//! The turns of an open loop: calls begin at a rate, whatever becomes of those before them.
//!
//! A thread of its own gives them out: the timers of the runtime are a millisecond wide, which is more than a check takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// Turns that are given out from `started` on.
#[derive(Debug)]
pub(super) struct Turns {
    given: Arc<Semaphore>,
    taken: AtomicU64,
    started: Instant,
    rate: u32,
    /// Ends the thread with its drop.
    _stop: mpsc::Sender<()>,
}

impl Turns {
    /// Gives out turns for `duration`, and then one to each of the callers, to tell them that it is over.
    pub(super) fn new(rate: u32, started: Instant, duration: Duration, callers: u16) -> Self {
        let given = Arc::new(Semaphore::new(0));
        let (stop, stopped) = mpsc::channel();
        let giving = Arc::clone(&given);
        std::thread::spawn(move || {
            for number in 0.. {
                let after = after(number, rate);
                if after >= duration {
                    break;
                }
                let wait = (started + after).saturating_duration_since(Instant::now());
                if !wait.is_zero() && stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                giving.add_permits(1);
            }
            giving.add_permits(usize::from(callers));
        });
        Self {
            given,
            taken: AtomicU64::new(0),
            started,
            rate,
            _stop: stop,
        }
    }

    /// Waits for a turn, and tells the instant at which it was to be.
    pub(super) async fn next(&self) -> Instant {
        if let Ok(turn) = self.given.acquire().await {
            turn.forget();
        }
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        self.started + after(number, self.rate)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count is below 2^53")]
fn after(number: u64, rate: u32) -> Duration {
    Duration::from_secs_f64(number as f64 / f64::from(rate))
}
