//! Jitter, so that clients that failed together do not come back together. Nothing secret rests on it.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// Any number.
pub(crate) fn number() -> u64 {
    RandomState::new().hash_one(())
}

/// A number below `end`; 0 below nothing.
pub(crate) fn below(end: usize) -> usize {
    let number = usize::try_from(number() >> 1).unwrap_or(0);
    number.checked_rem(end).unwrap_or(0)
}

/// Between half of that time and all of it.
pub(crate) fn jittered(time: Duration) -> Duration {
    let half = time / 2;
    let micros = usize::try_from(half.as_micros()).unwrap_or(usize::MAX);
    half + Duration::from_micros(below(micros.saturating_add(1)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_its_bounds_and_differs() {
        let time = Duration::from_millis(100);
        let all: Vec<Duration> = (0..100).map(|_| jittered(time)).collect();
        assert!(all.iter().all(|one| *one >= time / 2 && *one <= time));
        assert!(all.iter().any(|one| Some(one) != all.first()));
        assert_eq!((jittered(Duration::ZERO), below(0)), (Duration::ZERO, 0));
    }
}
