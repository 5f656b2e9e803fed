//! Counting where many threads count at once: each adds to a shard of its own, and whoever reads adds the shards up.
//!
//! One counter that all processors write costs each of them a trip to the memory of another. Here an addition is one instruction on
//! memory that this thread wrote last, so that counting does not show in the time of a check.

mod histogram;

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub use histogram::{Bounds, Durations};

/// Shards at most: more processors than that share them.
const SHARDS_MAX: usize = 16;
/// Numbers by which a shard is longer than it need be, so that two do not lie in one line of a cache.
const APART: usize = 16;

/// Numbers that only grow, or that are taken back by whoever added them; all are 0 at first.
#[derive(Debug)]
pub struct Tallies {
    shards: Box<[Box<[AtomicU64]>]>,
    count: usize,
}

impl Tallies {
    /// As many numbers as `count`.
    #[must_use]
    pub fn new(count: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = processors.next_power_of_two().min(SHARDS_MAX);
        let shard = || (0..count + APART).map(|_| AtomicU64::new(0)).collect();
        Self {
            shards: (0..shards).map(|_| shard()).collect(),
            count,
        }
    }

    /// How many numbers there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Adds to the number at `place`; nothing where there is none.
    pub fn add(&self, place: usize, more: u64) {
        if let Some(number) = self.own().get(place) {
            number.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Takes back what was added, by whichever thread.
    pub fn take_back(&self, place: usize, less: u64) {
        // Shards wrap around by themselves; their sum does not.
        self.add(place, less.wrapping_neg());
    }

    /// The number at `place`, summed up.
    #[must_use]
    pub fn sum(&self, place: usize) -> u64 {
        let of = |shard: &[AtomicU64]| shard.get(place).map_or(0, |it| it.load(Ordering::Relaxed));
        self.shards
            .iter()
            .fold(0, |sum, shard| sum.wrapping_add(of(shard)))
    }

    fn own(&self) -> &[AtomicU64] {
        let mask = self.shards.len().saturating_sub(1);
        self.shards
            .get(shard_of_thread() & mask)
            .map_or(&[], |it| it)
    }
}

/// The number of this thread; threads are numbered as they first count.
fn shard_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    OWN.with(|own| {
        if own.get() == usize::MAX {
            own.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        own.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_threads_add_is_summed_up() {
        let tallies = Tallies::new(3);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        tallies.add(0, 1);
                        tallies.add(1, 5);
                    }
                });
            }
        });
        let sums = [0, 1, 2].map(|place| tallies.sum(place));
        assert_eq!(sums, [80_000, 400_000, 0]);
    }

    #[test]
    fn what_one_thread_added_another_takes_back() {
        let tallies = Tallies::new(1);
        tallies.add(0, 3);
        std::thread::scope(|scope| {
            scope.spawn(|| tallies.take_back(0, 2));
        });
        assert_eq!(tallies.sum(0), 1);
    }

    #[test]
    fn a_place_that_is_not_there_counts_nothing() {
        let tallies = Tallies::new(1);
        tallies.add(usize::MAX, 1);
        assert_eq!(tallies.sum(usize::MAX), 0);
        assert_eq!(tallies.sum(0), 0);
    }
}
