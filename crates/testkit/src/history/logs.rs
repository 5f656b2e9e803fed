//! The logs of a history, and what was known of them when.

use model::{Revision, Timestamp, Token};

use super::{Branch, Entry, History};

/// The logs that the store had.
pub(super) struct Logs<'h> {
    history: &'h History,
}

impl<'h> Logs<'h> {
    pub(super) fn new(history: &'h History) -> Self {
        Self { history }
    }

    pub(super) fn branches(&self) -> impl Iterator<Item = (usize, &'h Branch)> {
        self.history.branches.iter().enumerate()
    }

    /// Whether `branch` has the commit of `token`.
    pub(super) fn holds(&self, branch: usize, token: Token) -> bool {
        if (token.store, token.history) != self.history.identity {
            return false;
        }
        match token.revision {
            Revision(0) => token.hash == [0; 8],
            at => {
                let entry = self.entry(branch, at);
                entry.is_some_and(|entry| entry.hash.short() == token.hash)
            }
        }
    }

    pub(super) fn entry(&self, branch: usize, at: Revision) -> Option<&'h Entry> {
        let place = usize::try_from(at.0.checked_sub(1)?).ok()?;
        self.history.branches.get(branch)?.entries.get(place)
    }

    /// The branches that have the commit of `token`.
    pub(super) fn holding(&self, token: Token) -> impl Iterator<Item = usize> {
        let branches = 0..self.history.branches.len();
        branches.filter(move |branch| self.holds(*branch, token))
    }

    /// Whether `earlier` is the commit of `later` or one before it.
    pub(super) fn is_past(&self, earlier: Token, later: Token) -> bool {
        let both = |branch| self.holds(branch, earlier) && self.holds(branch, later);
        earlier.revision <= later.revision && self.branches().any(|(branch, _)| both(branch))
    }

    /// Whether `branch` was the store's at some instant from `from` to `to`.
    pub(super) fn was_current(&self, branch: usize, from: Timestamp, to: Timestamp) -> bool {
        let since = |branch| {
            let branch: Option<&Branch> = self.history.branches.get(branch);
            branch.map(|branch| branch.since)
        };
        since(branch).is_some_and(|since| since <= to)
            && since(branch + 1).is_none_or(|end| end >= from)
    }
}

/// The newest revision of a branch that was known, by instant.
#[derive(Default)]
pub(super) struct Known {
    /// When a call ended, and which one had by then shown the newest revision.
    by_end: Vec<(Timestamp, Revision, usize)>,
}

impl Known {
    /// Of calls: when each ended, with which revision, and its place.
    pub(super) fn new(mut shown: Vec<(Timestamp, Revision, usize)>) -> Self {
        shown.sort_unstable();
        let mut newest = (Revision(0), 0);
        for (_, revision, place) in &mut shown {
            newest = newest.max((*revision, *place));
            (*revision, *place) = newest;
        }
        Self { by_end: shown }
    }

    /// The newest one that was known before `instant`, and the place of the call that showed it.
    pub(super) fn before(&self, instant: Timestamp) -> Option<(Revision, usize)> {
        let count = self.by_end.partition_point(|(ended, ..)| *ended < instant);
        let (_, revision, place) = self.by_end.get(count.checked_sub(1)?)?;
        Some((*revision, *place))
    }
}
