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

/// The newest measurement, in microseconds: how far the clock is off at least. Positive if it is behind that of the store.
#[derive(Debug, Default)]
pub(crate) struct ClockOffset(AtomicI64);

impl ClockOffset {
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
            return Ok(false);
        };
        let least = least_offset(before, there, clock.now());
        self.0.store(least, Ordering::Relaxed);
        Ok(true)
    }

    /// The newest measurement, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64 / 1e6
    }

    /// Whether the node may answer, as far as its clock goes.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if the clock is off too far.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let micros = self.0.load(Ordering::Relaxed);
        if u128::from(micros.unsigned_abs()) <= CLOCK_OFFSET_MAX.as_micros() {
            return Ok(());
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
                Ok(()) if was_off => tracing::info!("the clock is set again"),
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
