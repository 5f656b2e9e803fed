//! Whether a task that goes round and round still does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind};

/// How long a round may take. Longer than any wait of a store and any commit that is taken in.
const ROUND_MAX: Duration = Duration::from_secs(10 * 60);

/// When a task last began a round.
#[derive(Debug)]
pub(crate) struct Pulse {
    begun: Instant,
    beat_after_millis: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            beat_after_millis: AtomicU64::new(0),
        }
    }
}

impl Pulse {
    pub(crate) fn beat(&self) {
        self.beat_after_millis
            .store(millis(self.begun.elapsed()), Ordering::Relaxed);
    }

    /// # Errors
    /// [`Kind::Unavailable`] if a round takes longer than any should.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.check_at(self.begun.elapsed())
    }

    fn check_at(&self, elapsed: Duration) -> Result<(), Error> {
        let beat = self.beat_after_millis.load(Ordering::Relaxed);
        let since = millis(elapsed).saturating_sub(beat);
        if since <= millis(ROUND_MAX) {
            return Ok(());
        }
        let message = format!(
            "what follows the store has not moved for {} s, {} s are allowed: restart this node",
            since / 1_000,
            ROUND_MAX.as_secs()
        );
        Err(Error::new(Kind::Unavailable, message))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_never_ends_is_noticed() {
        let pulse = Pulse::default();
        assert!(pulse.check_at(ROUND_MAX).is_ok());
        let told = pulse.check_at(ROUND_MAX + Duration::from_secs(1));
        assert_eq!(
            told.unwrap_err().message,
            "what follows the store has not moved for 601 s, 600 s are allowed: restart this node"
        );
        pulse.beat();
        assert!(pulse.check().is_ok());
    }
}
