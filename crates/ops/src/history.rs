//! Snapshots of the recent past: some are kept, the others are rebuilt from the nearest by the log.
//!
//! A snapshot shares nearly everything with its neighbours, but the paths that each commit copied add up; so only spaced
//! ones are held. The log holds what each commit replaced, so a rebuild goes forwards or backwards, and a node that has
//! just started, with nothing but the head, retains the same revisions as any other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use engine::graph::Snapshot;
use model::{CommitHash, Revision, Timestamp};

/// Commit time between two snapshots that are kept.
const SPACING: Duration = Duration::from_secs(1);
/// Commits between two snapshots that are kept, at most.
const REVISIONS_MAX: u64 = 1_000;

/// The kept snapshots, oldest first.
#[derive(Debug)]
pub(crate) struct History {
    retained: Duration,
    kept: VecDeque<(Arc<Snapshot>, CommitHash)>,
}

impl History {
    pub(crate) fn new(retained: Duration) -> Self {
        Self {
            retained,
            kept: VecDeque::new(),
        }
    }

    /// Keeps `snapshot`, that of the commit of `hash`, if it lies far enough from the last one, and drops what `now` has
    /// outgrown.
    pub(crate) fn note(&mut self, snapshot: &Arc<Snapshot>, hash: CommitHash, now: Timestamp) {
        let is_due = self.kept.back().is_none_or(|(last, _)| {
            elapsed(last.time(), snapshot.time()) >= SPACING
                || snapshot.revision().0.saturating_sub(last.revision().0) >= REVISIONS_MAX
        });
        if is_due {
            self.kept.push_back((Arc::clone(snapshot), hash));
        }
        // One older than the window stays: what lies behind it is rebuilt from it.
        while self
            .kept
            .get(1)
            .is_some_and(|(second, _)| self.is_past(second.time(), now))
        {
            self.kept.pop_front();
        }
    }

    /// The nearest kept snapshot and the hash of its commit: the last at or before `revision`, else the first after it.
    pub(crate) fn nearest(&self, revision: Revision) -> Option<(Arc<Snapshot>, CommitHash)> {
        let before = self
            .kept
            .iter()
            .rev()
            .find(|(snapshot, _)| snapshot.revision() <= revision);
        before.or_else(|| self.kept.front()).cloned()
    }

    /// How many snapshots are kept.
    pub(crate) fn count(&self) -> usize {
        self.kept.len()
    }

    /// The kept snapshots, oldest first.
    pub(crate) fn kept(&self) -> Vec<Arc<Snapshot>> {
        let kept = self.kept.iter();
        kept.map(|(snapshot, _)| Arc::clone(snapshot)).collect()
    }

    /// Whether a snapshot that was replaced at `replaced` is out of the window.
    pub(crate) fn is_past(&self, replaced: Timestamp, now: Timestamp) -> bool {
        elapsed(replaced, now) > self.retained
    }
}

fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    let micros = to.as_micros().saturating_sub(from.as_micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
