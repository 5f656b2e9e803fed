//! What a node is set to, where some of it can be changed while it runs.
//!
//! A check reads its limits by one load of an index and no lock. Settings that were replaced stay where they are, since a call may go on by
//! them, so there is a place for each change, and a largest number of changes in the life of a process.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::Limits;

use crate::settings::Settings;

/// Changes that one process takes. Whoever changes its settings every minute has a day; nobody does.
const CHANGES_MAX: usize = 1_440;

/// Settings that can be replaced.
#[derive(Debug)]
pub(crate) struct LiveSettings {
    first: Settings,
    changed: Box<[OnceLock<Box<Settings>>]>,
    /// How many changes there were.
    changes: AtomicUsize,
}

/// A process takes no more changes of its settings; restart it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the settings were changed {CHANGES_MAX} times, which is as often as one process takes: restart it"
)]
pub struct TooManyChanges;

impl LiveSettings {
    pub(crate) fn new(first: Settings) -> Self {
        Self {
            first,
            changed: (0..CHANGES_MAX).map(|_| OnceLock::new()).collect(),
            changes: AtomicUsize::new(0),
        }
    }

    /// The newest.
    pub(crate) fn get(&self) -> &Settings {
        let newest = self.changes.load(Ordering::Acquire).checked_sub(1);
        let changed = newest.and_then(|at| self.changed.get(at)?.get());
        changed.map_or(&self.first, |changed| changed)
    }

    /// Replaces what can be: limits of requests, and for how long old answers are given. Who calls takes care that nobody else does
    /// meanwhile.
    pub(crate) fn replace(
        &self,
        limits: Limits,
        staleness_max: Duration,
    ) -> Result<(), TooManyChanges> {
        let new = Settings {
            limits,
            staleness_max,
            ..self.get().clone()
        };
        let at = self.changes.load(Ordering::Acquire);
        let place = self.changed.get(at).ok_or(TooManyChanges)?;
        place.set(Box::new(new)).map_err(|_| TooManyChanges)?;
        self.changes.store(at + 1, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_counts_and_the_older_stay_for_who_has_them() {
        let settings = LiveSettings::new(Settings::default());
        let first = settings.get();
        let limits = |depth_max| Limits {
            depth_max,
            ..Limits::default()
        };
        settings.replace(limits(7), Duration::from_secs(1)).unwrap();
        let second = settings.get();
        assert_eq!(first.limits.depth_max, 50);
        assert_eq!(second.limits.depth_max, 7);
        assert_eq!(second.staleness_max, Duration::from_secs(1));
        assert_eq!(second.wait_max, first.wait_max);
        for _ in 1..CHANGES_MAX {
            settings.replace(limits(8), Duration::ZERO).unwrap();
        }
        let refused = settings.replace(limits(9), Duration::ZERO);
        assert_eq!(refused, Err(TooManyChanges));
        assert_eq!(settings.get().limits.depth_max, 8);
    }
}
