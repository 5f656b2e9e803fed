//! Ways to make something true or false: small sets of changes, of which only those are kept that no other is part of.
//!
//! A way takes changes and does not say what would undo it. A change that serves one side of an exclusion may spoil the
//! other; that shows when the way is tried, and what it then takes besides is sought with the way already taken
//! ([`super::trial`]). So ways stay small however wide an exclusion is.

use smallvec::SmallVec;

/// A change, by number: twice that of its variable, and one more for the second of the two changes that a variable has.
pub(super) type Literal = u32;

/// One way: changes, ascending.
pub(super) type Way = SmallVec<[Literal; 4]>;

/// The ways to one end, fewest changes first; none is part of another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Ways(Vec<Way>);

/// What combining may cost, and whether anything was left out for it.
#[derive(Debug)]
pub(super) struct Effort {
    pub(super) changes_max: usize,
    pub(super) ways_max: usize,
    pub(super) combinations_left: u64,
    pub(super) is_truncated: bool,
}

impl Ways {
    /// No way.
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// It is so already.
    pub(super) fn nothing_needed() -> Self {
        Self(vec![Way::new()])
    }

    /// By this change.
    pub(super) fn by(literal: Literal) -> Self {
        Self(vec![Way::from_slice(&[literal])])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Way> {
        self.0.iter()
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    fn needs_nothing(&self) -> bool {
        self.0.first().is_some_and(|way| way.is_empty())
    }

    /// Either.
    pub(super) fn or(mut self, other: Self, effort: &mut Effort) -> Self {
        if self.needs_nothing() || other.is_none() {
            return self;
        }
        if self.is_none() || other.needs_nothing() {
            return other;
        }
        for way in other.0 {
            self.add(way, effort);
        }
        self
    }

    /// Both.
    pub(super) fn and(self, other: Self, effort: &mut Effort) -> Self {
        if self.is_none() || other.needs_nothing() {
            return self;
        }
        if other.is_none() || self.needs_nothing() {
            return other;
        }
        let mut both = Self::none();
        for one in &self.0 {
            for two in &other.0 {
                if !effort.spend(1) {
                    return both;
                }
                let way = joined(one, two);
                if way.len() <= effort.changes_max && !is_torn(&way) {
                    both.add(way, effort);
                }
            }
        }
        both
    }

    fn add(&mut self, way: Way, effort: &mut Effort) {
        if !effort.spend(1 + self.0.len() as u64 / 16)
            || self.0.iter().any(|known| is_part(known, &way))
        {
            return;
        }
        self.0.retain(|known| !is_part(&way, known));
        let place = self
            .0
            .partition_point(|known| (known.len(), known) < (way.len(), &way));
        if place >= effort.ways_max {
            effort.is_truncated = true;
            return;
        }
        self.0.insert(place, way);
        if self.0.len() > effort.ways_max {
            self.0.pop();
            effort.is_truncated = true;
        }
    }
}

impl Effort {
    /// Whether that much may still be done.
    pub(super) fn spend(&mut self, combinations: u64) -> bool {
        match self.combinations_left.checked_sub(combinations) {
            Some(left) => {
                self.combinations_left = left;
                true
            }
            None => {
                self.combinations_left = 0;
                self.is_truncated = true;
                false
            }
        }
    }
}

/// Whether each of `part` is in `whole`; both ascend.
pub(super) fn is_part(part: &[Literal], whole: &[Literal]) -> bool {
    let mut rest = whole.iter();
    part.len() <= whole.len()
        && part
            .iter()
            .all(|literal| rest.by_ref().any(|other| other == literal))
}

/// Both, ascending.
pub(super) fn joined(one: &[Literal], other: &[Literal]) -> Way {
    let mut all: Way = one.iter().chain(other).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether both changes of one variable are among these.
pub(super) fn is_torn(way: &[Literal]) -> bool {
    way.windows(2)
        .any(|pair| matches!(pair, [one, next] if one / 2 == next / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effort(changes_max: usize, ways_max: usize) -> Effort {
        Effort {
            changes_max,
            ways_max,
            combinations_left: 1_000_000,
            is_truncated: false,
        }
    }

    fn all_of(literals: &[Literal]) -> Ways {
        let each = literals.iter().map(|literal| Ways::by(*literal));
        each.fold(Ways::nothing_needed(), |all, one| {
            all.and(one, &mut effort(9, 9))
        })
    }

    fn told(ways: &Ways) -> Vec<Vec<Literal>> {
        ways.iter().map(|way| way.to_vec()).collect()
    }

    #[test]
    fn a_way_that_another_is_part_of_is_not_kept() {
        let mut spent = effort(9, 9);
        let ways = all_of(&[2, 4])
            .or(all_of(&[6]), &mut spent)
            .or(all_of(&[4]), &mut spent);
        assert_eq!(told(&ways), [vec![4], vec![6]]);
        let ways = ways
            .or(all_of(&[4, 8]), &mut spent)
            .or(all_of(&[8, 10]), &mut spent);
        assert_eq!(told(&ways), [vec![4], vec![6], vec![8, 10]]);
        assert_eq!(
            told(&ways.or(Ways::nothing_needed(), &mut spent)),
            [Vec::<Literal>::new()]
        );
        assert!(!spent.is_truncated);
    }

    #[test]
    fn both_changes_of_one_thing_are_no_way() {
        let mut spent = effort(9, 9);
        assert!(all_of(&[2]).and(all_of(&[3]), &mut spent).is_none());
        assert_eq!(
            told(&all_of(&[4]).and(all_of(&[3]), &mut spent)),
            [vec![3, 4]]
        );
        assert!(all_of(&[4]).and(Ways::none(), &mut spent).is_none());
        assert!(Ways::none().and(all_of(&[4]), &mut spent).is_none());
    }

    #[test]
    fn limits_leave_out_the_longest_and_say_so() {
        let mut spent = effort(2, 2);
        assert!(all_of(&[0, 2]).and(all_of(&[4]), &mut spent).is_none());
        // Longer ways than asked for are not looked for: nothing was left out.
        assert!(!spent.is_truncated);
        let ways = all_of(&[2, 4])
            .or(all_of(&[6]), &mut spent)
            .or(all_of(&[6, 8]), &mut spent);
        assert!(!spent.is_truncated);
        let ways = ways.or(all_of(&[8]), &mut spent);
        assert_eq!(told(&ways), [vec![6], vec![8]]);
        assert!(spent.is_truncated);
        let mut spent = effort(2, 2);
        let full = all_of(&[2]).or(all_of(&[4]), &mut spent);
        assert!(!spent.is_truncated);
        let full = full.or(all_of(&[6]), &mut spent);
        assert_eq!(told(&full), [vec![2], vec![4]]);
        assert!(spent.is_truncated);
        let mut spent = Effort {
            combinations_left: 2,
            ..effort(9, 9)
        };
        let pairs = all_of(&[2]).or(all_of(&[4]), &mut effort(9, 9));
        let others = all_of(&[6]).or(all_of(&[8]), &mut effort(9, 9));
        let _ = pairs.and(others, &mut spent);
        assert!(spent.is_truncated);
    }
}
