//! How long what is read of a connection has waited to be read.
//!
//! The system tells how many bytes wait, not since when. So their number is noted whenever the connection waits for its turn: bytes that
//! were not there at one look and are at the next came between the two. Pure: instants come in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Looks that are remembered; bytes that come after so many are counted with those of a later look, and so as younger than they are.
const LOOKS_MAX: usize = 1_024;
/// Looks are at least so far apart.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// What waits on one connection.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Bytes that were read.
    read: u64,
    /// By when so many bytes had come, of which some were not read yet.
    looks: VecDeque<(u64, Instant)>,
    looked: Option<Instant>,
}

impl Backlog {
    /// So many bytes wait now.
    pub(super) fn note(&mut self, unread: u64, now: Instant) {
        if self
            .looked
            .is_some_and(|looked| now.duration_since(looked) < LOOK_INTERVAL)
        {
            return;
        }
        let came = self.read.saturating_add(unread);
        let last = self.looks.back().map_or(self.read, |(came, _)| *came);
        if came > last && self.looks.len() < LOOKS_MAX {
            // Some came just after the last look, some just before this one.
            let between = self
                .looked
                .map_or(Duration::ZERO, |looked| now.duration_since(looked) / 2);
            self.looks
                .push_back((came, now.checked_sub(between).unwrap_or(now)));
        }
        self.looked = Some(now);
    }

    /// So many more bytes are read now; how long the first of them has waited.
    pub(super) fn take(&mut self, bytes: u64, now: Instant) -> Duration {
        while self
            .looks
            .front()
            .is_some_and(|(came, _)| *came <= self.read)
        {
            self.looks.pop_front();
        }
        let age = self
            .looks
            .front()
            .map_or(Duration::ZERO, |(_, at)| now.saturating_duration_since(*at));
        self.read = self.read.saturating_add(bytes);
        age
    }

    /// Nothing waits.
    pub(super) fn clear(&mut self) {
        self.looks.clear();
        self.looked = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn what_is_read_at_once_has_not_waited() {
        let mut backlog = Backlog::default();
        let start = Instant::now();
        for step in 0..10 {
            assert_eq!(backlog.take(100, start + MILLI * step), Duration::ZERO);
        }
    }

    /// 100 bytes come each 2 ms and 50 are read: what is read after a second came at half of that.
    #[test]
    fn a_backlog_that_grows_grows_older() {
        let mut backlog = Backlog::default();
        let start = Instant::now();
        let (mut came, mut read) = (0, 0);
        let mut age = Duration::ZERO;
        for step in 0..500_u64 {
            let now = start + MILLI * u32::try_from(step * 2).unwrap();
            came += 100;
            backlog.note(came - read, now);
            age = backlog.take(50, now);
            read += 50;
        }
        let wanted = MILLI * 500;
        assert!(age.abs_diff(wanted) < MILLI * 10, "{age:?}");
    }

    #[test]
    fn it_is_young_again_once_it_was_read() {
        let mut backlog = Backlog::default();
        let start = Instant::now();
        backlog.note(1_000, start);
        assert_eq!(backlog.take(1_000, start + MILLI * 40), MILLI * 40);
        backlog.note(10, start + MILLI * 41);
        assert!(backlog.take(10, start + MILLI * 42) < MILLI * 25);
        backlog.clear();
        backlog.note(10, start + MILLI * 90);
        assert_eq!(backlog.take(10, start + MILLI * 90), Duration::ZERO);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut backlog = Backlog::default();
        let start = Instant::now();
        for step in 0..10_000_u64 {
            let now = start + MILLI * 2 * u32::try_from(step).unwrap();
            backlog.note(step * 10, now);
        }
        assert_eq!(backlog.looks.len(), LOOKS_MAX);
    }
}
