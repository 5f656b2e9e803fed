//! Which parts of a log are gone, and which entries say so. A log is read in pages while it is in use: what is erased meanwhile is found
//! gone before the entry is read that says so, or is said to be gone after it was read as it was.
//!
//! So who reads a log goes on in rounds, each up to where the log was when the one before it had ended: what was gone by then was erased
//! by an entry that was there by then. What is still unexplained after that was torn out. What is said to be gone and was there is read
//! again: an entry is there only once its erasure is done.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::{Body, Part};

/// How often a log is read on because more was erased from it meanwhile.
const ROUNDS_MAX: u32 = 100;

/// A part, by the index of its entry and its number there.
pub type PartAt = (u64, u32);

/// What was erased of a log, as far as it was read.
#[derive(Debug, Clone, Default)]
pub struct Erasures {
    round: u32,
    /// Parts that are gone, and that no entry was met yet which says so, with the round in which they were met.
    unexplained: BTreeMap<PartAt, u32>,
    /// Parts that some entry says were erased.
    claimed: BTreeSet<PartAt>,
    /// Parts that some entry says were erased, and that were there when they were read.
    contradicted: BTreeMap<PartAt, Claim>,
    /// How many parts are gone.
    gone: u64,
}

/// That a part was erased which was there.
#[derive(Debug, Clone, Copy)]
struct Claim {
    /// The entry that says so.
    by: u64,
    /// Whether the part was there once more when it was read after that entry.
    is_false: bool,
}

/// A log was erased from all the while it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "parts of the audit log were erased each of the {ROUNDS_MAX} times that it was read on; do it again once the erasing is over"
)]
pub struct StillErasing;

impl Erasures {
    /// Takes in an entry that is read for the first time.
    pub fn meet(&mut self, index: u64, body: &Body) {
        for part in body.erased() {
            self.gone += 1;
            if !self.claimed.contains(&(index, part)) {
                self.unexplained.insert((index, part), self.round);
            }
        }
        for (_, part) in body.parts() {
            let Part::Erased(erased) = part else {
                continue;
            };
            for of_entry in erased {
                for part in &of_entry.parts {
                    self.claim((of_entry.index, *part), index);
                }
            }
        }
    }

    fn claim(&mut self, part: PartAt, by: u64) {
        let is_first = self.claimed.insert(part);
        let is_gone = self.unexplained.remove(&part).is_some();
        if is_first && !is_gone {
            // Nothing is erased from an entry by one that is before it.
            let is_false = part.0 >= by;
            self.contradicted.insert(part, Claim { by, is_false });
        }
    }

    /// The entries to be read again: parts of them were there, and are said to be erased.
    #[must_use]
    pub fn to_read_again(&self) -> BTreeSet<u64> {
        let open = self
            .contradicted
            .iter()
            .filter(|(_, claim)| !claim.is_false);
        open.map(|((index, _), _)| *index).collect()
    }

    /// Takes in an entry that was read again.
    pub fn meet_again(&mut self, index: u64, body: &Body) {
        for part in body.erased() {
            let part = (index, part);
            if self.contradicted.remove(&part).is_some() {
                self.gone += 1;
            } else if !self.claimed.contains(&part) && !self.unexplained.contains_key(&part) {
                self.gone += 1;
                self.unexplained.insert(part, self.round);
            }
        }
        let still_there = self.contradicted.range_mut((index, 0)..=(index, u32::MAX));
        still_there.for_each(|(_, claim)| claim.is_false = true);
    }

    /// Whether the log is to be read on, up to its end as it is now: parts are gone that an entry may explain which came meanwhile.
    ///
    /// # Errors
    /// [`StillErasing`] after so many rounds.
    pub fn read_on(&mut self) -> Result<bool, StillErasing> {
        if !self.unexplained.values().any(|round| *round == self.round) {
            return Ok(false);
        }
        self.round += 1;
        if self.round > ROUNDS_MAX {
            return Err(StillErasing);
        }
        Ok(true)
    }

    /// How many parts are gone.
    #[must_use]
    pub fn gone(&self) -> u64 {
        self.gone
    }

    /// The parts that are gone, and of which no entry says that they were erased.
    pub fn unexplained(&self) -> impl Iterator<Item = PartAt> {
        self.unexplained.keys().copied()
    }

    /// The parts that are there, each with an entry that says that it was erased.
    pub fn contradicted(&self) -> impl Iterator<Item = (PartAt, u64)> {
        self.contradicted
            .iter()
            .map(|(part, claim)| (*part, claim.by))
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::ErasedParts;
    use super::*;

    fn body(parts: usize, gone: &[u32]) -> Body {
        let body = Body::Whole {
            seed: [7; 32],
            parts: vec![Part::Reason(None); parts],
        };
        match gone {
            [] => body,
            gone => body.without(gone).unwrap(),
        }
    }

    fn erasing(index: u64, parts: &[u32]) -> Body {
        let erased = ErasedParts {
            index,
            parts: parts.to_vec(),
        };
        Body::Whole {
            seed: [7; 32],
            parts: vec![Part::Erased(vec![erased])],
        }
    }

    #[test]
    fn what_is_gone_is_explained_by_what_comes_later_and_no_round_is_in_vain() {
        let mut erasures = Erasures::default();
        erasures.meet(0, &body(3, &[1, 2]));
        assert_eq!(erasures.read_on(), Ok(true));
        erasures.meet(1, &erasing(0, &[1]));
        assert!(erasures.to_read_again().is_empty());
        // The other one is of the round before: who erased it would have been met.
        assert_eq!(erasures.read_on(), Ok(false));
        assert_eq!(erasures.unexplained().collect::<Vec<_>>(), [(0, 2)]);
        assert_eq!(erasures.gone(), 2);
    }

    #[test]
    fn what_was_there_is_read_again_and_may_be_there_still() {
        let mut erasures = Erasures::default();
        erasures.meet(0, &body(3, &[]));
        erasures.meet(1, &erasing(0, &[1, 2]));
        assert_eq!(erasures.to_read_again(), [0].into());
        // Of what else is gone by now, an entry says so that is still to come.
        erasures.meet_again(0, &body(3, &[0, 1]));
        assert_eq!(erasures.contradicted().collect::<Vec<_>>(), [((0, 2), 1)]);
        assert!(erasures.to_read_again().is_empty());
        assert_eq!(erasures.read_on(), Ok(true));
        erasures.meet(2, &erasing(0, &[0]));
        assert_eq!(erasures.read_on(), Ok(false));
        assert_eq!((erasures.unexplained().count(), erasures.gone()), (0, 2));
    }

    #[test]
    fn no_entry_erases_from_one_after_it() {
        let mut erasures = Erasures::default();
        erasures.meet(0, &erasing(1, &[0]));
        erasures.meet(1, &body(1, &[0]));
        assert!(erasures.to_read_again().is_empty());
        assert_eq!(erasures.contradicted().collect::<Vec<_>>(), [((1, 0), 0)]);
    }

    #[test]
    fn a_log_that_is_erased_from_for_ever_is_not_read_for_ever() {
        let mut erasures = Erasures::default();
        let rounds = (0_u64..).map(|index| {
            erasures.meet(index, &body(1, &[0]));
            erasures.read_on()
        });
        assert_eq!(rounds.take_while(Result::is_ok).count(), 100);
    }
}
