//! How far the clock of a node is off that of its store.
//!
//! What expires does so by the clock of whoever is asked, so all nodes measure theirs against the one clock that they share, and
//! one that is off by more than [`CLOCK_OFFSET_MAX`] answers nothing.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use model::{Clock, Timestamp};
use store::{Store, StoreError};

use crate::error::{Error, Kind};
use crate::node::Node;

/// How far the clock of a node may be off that of its store.
const CLOCK_OFFSET_MAX: Duration = Duration::from_millis(500);
/// How far the clocks of two nodes may be apart: one is ahead, the other behind.
pub(crate) const NODES_APART_MAX: Duration = Duration::from_millis(1_000);
/// For so long a node may answer by a clock that has just been set wrong.
const POLL: Duration = Duration::from_secs(1);

/// In place of a measurement: the store has a clock, or may have one, and has not told it yet.
const UNKNOWN: i64 = i64::MIN;

/// The newest measurement, in microseconds: how far the clock is off at least. Positive if it is behind that of the store.
#[derive(Debug)]
pub(crate) struct ClockOffset(AtomicI64);

impl ClockOffset {
    /// Of a node that has not asked yet.
    pub(crate) fn unknown() -> Self {
        Self(AtomicI64::new(UNKNOWN))
    }

    /// Asks the store; whether it has a clock of its own.
    ///
    /// # Errors
    /// [`StoreError`]; the last measurement stays.
    pub(crate) async fn measure(
        &self,
        store: &dyn Store,
        clock: &dyn Clock,
    ) -> Result<bool, StoreError> {
        let before = clock.now();
        let Some(there) = store.now().await? else {
            self.0.store(0, Ordering::Relaxed);
            return Ok(false);
        };
        self.note(before, there, clock.now());
        Ok(true)
    }

    /// Takes a measurement, unless the clock was off too far and the answer was so slow that it does not show whether it still is.
    fn note(&self, before: Timestamp, there: Timestamp, after: Timestamp) {
        let took = after.as_micros().saturating_sub(before.as_micros());
        let is_quick = (0..=micros(CLOCK_OFFSET_MAX)).contains(&took);
        let last = self.0.load(Ordering::Relaxed);
        if is_quick || last == UNKNOWN || is_near(last) {
            let least = least_offset(before, there, after);
            self.0.store(least, Ordering::Relaxed);
        }
    }

    /// The newest measurement, in seconds; not a number if there is none.
    pub(crate) fn seconds(&self) -> f64 {
        match self.0.load(Ordering::Relaxed) {
            UNKNOWN => f64::NAN,
            micros => micros as f64 / 1e6,
        }
    }

    /// Whether the node may answer, as far as its clock goes.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if the clock is off too far, or that is not known.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let micros = self.0.load(Ordering::Relaxed);
        if is_near(micros) {
            return Ok(());
        }
        if micros == UNKNOWN {
            let message = "this node has not compared its clock with that of its store yet";
            return Err(Error::new(Kind::Unavailable, message));
        }
        let (millis, side) = (
            micros.unsigned_abs() / 1_000,
            if micros > 0 { "behind" } else { "ahead of" },
        );
        let message = format!(
            "the clock of this node is {millis} ms {side} that of its store, {} ms are allowed: set the clock",
            CLOCK_OFFSET_MAX.as_millis()
        );
        Err(Error::new(Kind::Unavailable, message))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Whether a node may answer that is off so far at least.
fn is_near(micros: i64) -> bool {
    u128::from(micros.unsigned_abs()) <= CLOCK_OFFSET_MAX.as_micros()
}

/// How far a clock is off at least that showed `before` and `after` around the instant at which the other showed `there`.
fn least_offset(before: Timestamp, there: Timestamp, after: Timestamp) -> i64 {
    let (before, there, after) = (before.as_micros(), there.as_micros(), after.as_micros());
    if there < before {
        there.saturating_sub(before)
    } else {
        there.saturating_sub(after).max(0)
    }
}

/// Measures for as long as the node lives, if its store has a clock of its own.
pub(crate) async fn run(node: Weak<Node>) {
    loop {
        let Some(node_now) = node.upgrade() else {
            return;
        };
        let store = Arc::clone(node_now.store());
        let was_off = node_now.clock_offset().check().is_err();
        match node_now
            .clock_offset()
            .measure(&*store, node_now.clock())
            .await
        {
            Ok(false) => return,
            Ok(true) => match node_now.clock_offset().check() {
                Err(error) if !was_off => tracing::error!(error = error.message, "no longer ready"),
                Ok(()) if was_off => {
                    tracing::info!("the clock is that of the store, as far as can be told")
                }
                Ok(()) | Err(_) => {}
            },
            // What follows the store tells of it.
            Err(_) => {}
        }
        drop((node_now, store));
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000).unwrap()
    }

    #[test]
    fn an_offset_is_what_no_delay_explains() {
        assert_eq!(least_offset(at(10), at(12), at(15)), 0);
        assert_eq!(least_offset(at(10), at(7), at(15)), -3_000);
        assert_eq!(least_offset(at(10), at(20), at(15)), 5_000);
        // The clock was set back meanwhile.
        assert_eq!(least_offset(at(10), at(20), at(5)), 15_000);
    }

    #[test]
    fn a_slow_answer_does_not_show_that_a_clock_is_right_again() {
        let offset = ClockOffset(AtomicI64::new(0));
        offset.note(at(10_000), at(8_000), at(10_010));
        assert!(offset.check().is_err());
        // The store may have told the time at any instant of those three seconds: the clock is ahead all the same.
        offset.note(at(20_000), at(20_100), at(23_000));
        assert!(offset.check().is_err());
        // Nor does an answer during which the clock was set back.
        offset.note(at(30_000), at(30_000), at(29_000));
        assert!(offset.check().is_err());
        offset.note(at(40_000), at(40_100), at(40_500));
        assert!(offset.check().is_ok());
        // A slow one takes nothing from a node that is right.
        offset.note(at(50_000), at(50_100), at(53_000));
        assert!(offset.check().is_ok());
        // And is the first measurement of one that had none.
        let offset = ClockOffset::unknown();
        assert!(offset.check().is_err());
        offset.note(at(60_000), at(60_100), at(63_000));
        assert!(offset.check().is_ok());
    }

    #[test]
    fn a_clock_is_off_beyond_the_bound() {
        for (micros, is_off) in [
            (0, false),
            (500_000, false),
            (500_001, true),
            (-500_001, true),
        ] {
            let offset = ClockOffset(AtomicI64::new(micros));
            assert_eq!(offset.check().is_err(), is_off, "{micros}");
        }
        let message = ClockOffset(AtomicI64::new(-2_000_000))
            .check()
            .unwrap_err()
            .message;
        assert_eq!(
            message,
            "the clock of this node is 2000 ms ahead of that of its store, 500 ms are allowed: set the clock"
        );
    }
}
