//! When a node was last known to have all that its store has: by its clock, and by one that nobody sets.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::{Clock, Timestamp};

/// When the store was asked for its head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    at: Timestamp,
    since: Instant,
}

impl Asked {
    pub(crate) fn now(clock: &dyn Clock) -> Self {
        Self {
            at: clock.now(),
            since: Instant::now(),
        }
    }
}

/// Before any instant that a clock shows.
const NEVER: i64 = i64::MIN;

/// The newest question whose answer confirmed that the node was at the head.
#[derive(Debug)]
pub(crate) struct Confirmed {
    at_micros: AtomicI64,
    begun: Instant,
    since_begun_micros: AtomicU64,
}

impl Confirmed {
    pub(crate) fn at(asked: Asked) -> Self {
        Self {
            at_micros: AtomicI64::new(asked.at.as_micros()),
            begun: asked.since,
            since_begun_micros: AtomicU64::new(0),
        }
    }

    /// Of a node that does not know yet.
    pub(crate) fn never() -> Self {
        Self {
            at_micros: AtomicI64::new(NEVER),
            begun: Instant::now(),
            since_begun_micros: AtomicU64::new(0),
        }
    }

    pub(crate) fn note(&self, asked: Asked) {
        let since_begun = asked.since.saturating_duration_since(self.begun);
        let micros = u64::try_from(since_begun.as_micros()).unwrap_or(u64::MAX);
        self.since_begun_micros.store(micros, Ordering::Relaxed);
        self.at_micros
            .store(asked.at.as_micros(), Ordering::Relaxed);
    }

    /// How long ago that was, by the clock that says more, [`Duration::MAX`] if it never was: one that was set back says too little, and one that stood still while the
    /// machine slept as well.
    pub(crate) fn ago(&self, clock: &dyn Clock) -> Duration {
        let at = self.at_micros.load(Ordering::Relaxed);
        if at == NEVER {
            return Duration::MAX;
        }
        let micros = clock.now().as_micros().saturating_sub(at);
        let by_clock = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
        let since_begun = self.since_begun_micros.load(Ordering::Relaxed);
        let elapsed = self.begun.elapsed();
        by_clock.max(elapsed.saturating_sub(Duration::from_micros(since_begun)))
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "time has to pass by a clock that nobody sets"
)]
mod tests {
    use super::*;

    struct Fixed(i64);

    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0).unwrap()
        }
    }

    #[test]
    fn what_was_never_confirmed_is_older_than_anything() {
        let confirmed = Confirmed::never();
        assert_eq!(confirmed.ago(&Fixed(1)), Duration::MAX);
        confirmed.note(Asked::now(&Fixed(1)));
        assert!(confirmed.ago(&Fixed(1)) < Duration::from_secs(60));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_fresh() {
        let confirmed = Confirmed::at(Asked::now(&Fixed(10_000_000)));
        std::thread::sleep(Duration::from_millis(20));
        assert!(confirmed.ago(&Fixed(1)) >= Duration::from_millis(20));
        assert_eq!(confirmed.ago(&Fixed(70_000_000)), Duration::from_secs(60));
        confirmed.note(Asked::now(&Fixed(70_000_000)));
        assert!(confirmed.ago(&Fixed(70_000_000)) < Duration::from_millis(20));
    }
}
