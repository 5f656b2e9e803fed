//! Who is next among those that wait: the callers in turn, and the calls of each in their order.
//!
//! Pure: instants come in. What a caller waits for is known by how fast calls left lately.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Those that wait.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    callers: VecDeque<u64>,
    of: HashMap<u64, VecDeque<(u64, T)>>,
    count: usize,
    ticket: u64,
    /// When one last left, or the first came; and the mean between two that left.
    left_at: Duration,
    between: Duration,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            callers: VecDeque::new(),
            of: HashMap::new(),
            count: 0,
            ticket: 0,
            left_at: Duration::ZERO,
            between: Duration::ZERO,
        }
    }
}

impl<T> Queue<T> {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// How many calls of that caller wait.
    pub(super) fn len_of(&self, caller: u64) -> usize {
        self.of.get(&caller).map_or(0, VecDeque::len)
    }

    /// How long one more call of `caller` is likely to wait.
    pub(super) fn estimate(&self, caller: u64) -> Duration {
        let rounds = self.len_of(caller).saturating_add(1);
        let ahead = self
            .count
            .min(rounds.saturating_mul(self.callers.len().max(1)));
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        self.between.saturating_mul(ahead)
    }

    /// How long one more call of `caller` would wait, if that is too long for one that may take `left`. What is served last is not to be
    /// late by a little, every time: others come between, and the call itself takes its time.
    pub(super) fn too_long(&self, caller: u64, left: Duration) -> Option<Duration> {
        let wait = self.estimate(caller);
        (wait.saturating_add(wait / 4) > left).then_some(wait)
    }

    /// Lets `item` wait; the ticket takes it out again.
    pub(crate) fn push(&mut self, caller: u64, item: T, now: Duration) -> u64 {
        if self.count == 0 {
            self.left_at = now;
        }
        self.ticket += 1;
        let items = self.of.entry(caller).or_default();
        if items.is_empty() {
            self.callers.push_back(caller);
        }
        items.push_back((self.ticket, item));
        self.count += 1;
        self.ticket
    }

    /// Whether any of those that are next of their callers `may`.
    pub(crate) fn has(&self, may: impl Fn(&T) -> bool) -> bool {
        let mut first = self.of.values().filter_map(|items| items.front());
        first.any(|(_, item)| may(item))
    }

    /// The next: of the first caller in turn that `may`.
    pub(crate) fn pop(&mut self, may: impl Fn(&T) -> bool, now: Duration) -> Option<T> {
        let is_next = |caller: &u64| {
            let first = self.of.get(caller).and_then(|items| items.front());
            first.is_some_and(|(_, item)| may(item))
        };
        let place = self.callers.iter().position(is_next)?;
        let caller = self.callers.remove(place)?;
        let items = self.of.get_mut(&caller)?;
        let item = items.pop_front();
        if items.is_empty() {
            self.of.remove(&caller);
        } else {
            self.callers.push_back(caller);
        }
        self.count -= usize::from(item.is_some());
        let since = now.saturating_sub(self.left_at);
        self.between = (self.between.saturating_mul(7) + since) / 8;
        self.left_at = now;
        item.map(|(_, item)| item)
    }

    /// Takes out who waits no longer; whether it was there.
    pub(crate) fn remove(&mut self, caller: u64, ticket: u64) -> bool {
        let Some(items) = self.of.get_mut(&caller) else {
            return false;
        };
        // Tickets come in order, and whoever gives up has mostly waited longest.
        let place = items.binary_search_by_key(&ticket, |(of, _)| *of);
        let is_removed = place.is_ok_and(|place| items.remove(place).is_some());
        if items.is_empty() {
            self.of.remove(&caller);
            self.callers.retain(|of| *of != caller);
        }
        self.count -= usize::from(is_removed);
        is_removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn callers_take_turns_however_many_calls_one_has() {
        let mut queue = Queue::default();
        for n in 0..1_000 {
            queue.push(1, (1, n), NOW);
        }
        for n in 0..3 {
            queue.push(2, (2, n), NOW);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop(|_| true, NOW)).collect();
        assert_eq!(order[..6], [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (2, 2)]);
        assert_eq!(order.len(), 1_003);
        assert_eq!(order.last(), Some(&(1, 999)));
    }

    #[test]
    fn who_has_its_share_lets_others_go_first() {
        let mut queue = Queue::default();
        queue.push(1, 1, NOW);
        queue.push(1, 1, NOW);
        queue.push(2, 2, NOW);
        let not_one = |item: &i32| *item != 1;
        assert_eq!(queue.pop(not_one, NOW), Some(2));
        assert!(!queue.has(not_one) && queue.has(|_| true));
        assert_eq!(queue.pop(not_one, NOW), None);
        assert_eq!(queue.pop(|_| true, NOW), Some(1));
    }

    #[test]
    fn who_gives_up_is_taken_out_once() {
        let mut queue = Queue::default();
        let first = queue.push(1, "first", NOW);
        let second = queue.push(1, "second", NOW);
        assert!(queue.remove(1, first));
        assert!(!queue.remove(1, first));
        assert_eq!(queue.pop(|_| true, NOW), Some("second"));
        assert!(!queue.remove(1, second));
        assert_eq!((queue.len(), queue.len_of(1)), (0, 0));
        assert_eq!(queue.pop(|_| true, NOW), None);
    }

    /// One leaves each 10 ms. A storm has 100 calls waiting, another caller none.
    #[test]
    fn a_wait_is_known_before_it_is_begun_and_is_shorter_for_who_asks_little() {
        let mut queue = Queue::default();
        for _ in 0..200 {
            queue.push(1, (), NOW);
        }
        for n in 1..=100 {
            queue.pop(|()| true, Duration::from_millis(n * 10));
        }
        let about = |wait: Duration, millis: u64| {
            let wait = u64::try_from(wait.as_millis()).unwrap();
            assert!(
                wait.abs_diff(millis) <= millis / 20 + 1,
                "{wait} ms, not {millis}"
            );
        };
        about(queue.estimate(1), 1_000);
        about(queue.estimate(2), 10);
        let now = Duration::from_millis(1_000);
        queue.push(2, (), now);
        about(queue.estimate(2), 40);
    }

    /// Calls come at five times what can be done, of one caller with much and one with little: in virtual time, goodput stays whole and
    /// the little one gets all that it asks for.
    #[test]
    fn a_storm_takes_nothing_from_who_asks_for_less_than_its_share() {
        let mut queue = Queue::default();
        let (mut done, mut late, mut refused) = ([0; 3], [0; 3], [0; 3]);
        let limit = Duration::from_millis(100);
        for milli in 0..10_000_u64 {
            let now = Duration::from_millis(milli);
            let storms = std::iter::repeat_n(1, 5);
            let polite = (milli % 10 == 0).then_some(2);
            for caller in storms.chain(polite) {
                if queue.too_long(caller, limit).is_some() {
                    refused[usize::try_from(caller).unwrap()] += 1;
                } else {
                    queue.push(caller, (caller, now), now);
                }
            }
            if let Some((caller, since)) = queue.pop(|_| true, now) {
                let counted = if now - since <= limit {
                    &mut done
                } else {
                    &mut late
                };
                counted[usize::try_from(caller).unwrap()] += 1;
            }
        }
        assert_eq!((refused[2], late[2]), (0, 0));
        assert!(done[2] >= 999, "{done:?}");
        assert!(
            done[1] + done[2] >= 9_500,
            "goodput: {done:?}, late {late:?}"
        );
        assert!(refused[1] > 39_000, "{refused:?}");
    }
}
