//! Answers that clients do not go on taking, counted without a list of them.
//!
//! Time is cut into generations of half of what a client may take. Each answer of which there is more is counted in the generation in which it last went
//! on; whatever is still counted three generations later has stood still for longer than that. Pure: milliseconds come in.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The answers that one connection owes.
#[derive(Debug)]
pub(super) struct Owing {
    generation_millis: u64,
    /// By their generation, modulo four: three that are under way and the one that is late.
    counts: [AtomicUsize; 4],
}

/// In which generation an answer is counted; none while its client has taken all that there is.
#[derive(Debug, Default)]
pub(super) struct Counted(Option<u64>);

impl Owing {
    /// For clients that may stand still for `stall_max`.
    pub(super) fn new(stall_max: Duration) -> Self {
        let millis = u64::try_from(stall_max.as_millis() / 2).unwrap_or(u64::MAX);
        Self {
            generation_millis: millis.max(1),
            counts: Default::default(),
        }
    }

    /// An answer has gone on at `now`, and there is more of it.
    pub(super) fn went_on(&self, counted: &mut Counted, now: u64) {
        let generation = now / self.generation_millis;
        if counted.0 == Some(generation) {
            return;
        }
        // Added before it is taken, so that it is seen to be owed throughout.
        self.count(generation).fetch_add(1, Ordering::Relaxed);
        self.is_taken(counted);
        *counted = Counted(Some(generation));
    }

    /// The client has taken all that there is.
    pub(super) fn is_taken(&self, counted: &mut Counted) {
        if let Some(generation) = counted.0.take() {
            self.count(generation).fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether an answer has stood still for too long, seen at `now`. Each is seen for a whole generation.
    pub(super) fn is_stalled(&self, now: u64) -> bool {
        let late = (now / self.generation_millis).wrapping_add(1);
        self.count(late).load(Ordering::Relaxed) > 0
    }

    fn count(&self, generation: u64) -> &AtomicUsize {
        let [a, b, c, d] = &self.counts;
        match generation & 3 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_stands_still_is_seen_whatever_others_do() {
        let owing = Owing::new(Duration::from_secs(30));
        let (mut still, mut goes) = (Counted::default(), Counted::default());
        owing.went_on(&mut still, 1_000);
        let seen: Vec<u64> = (1..100)
            .filter(|second| {
                let now = second * 1_000;
                owing.went_on(&mut goes, now);
                owing.is_stalled(now)
            })
            .collect();
        let (first, last) = (seen.first().unwrap(), seen.get(14).unwrap());
        assert!((31..=60).contains(first) && *last == first + 14, "{seen:?}");
        owing.is_taken(&mut still);
        owing.is_taken(&mut goes);
        assert!((0..100).all(|second| !owing.is_stalled(second * 1_000 + 100_000)));
    }

    #[test]
    fn answers_that_go_on_or_end_are_never_late() {
        let owing = Owing::new(Duration::from_secs(2));
        let mut counted = Counted::default();
        for now in (0..100_000).step_by(1_500) {
            owing.went_on(&mut counted, now);
            assert!((now..now + 1_500).all(|now| !owing.is_stalled(now)));
        }
        owing.is_taken(&mut counted);
        owing.is_taken(&mut counted);
        assert!((100_000..110_000).all(|now| !owing.is_stalled(now)));
    }
}
