//! The ids of a dictionary in the order of their texts: built when it is first asked for, and kept.
//!
//! A later version of the dictionary has all the ids of an earlier one and some more. So it sorts the new ones alone
//! and puts them into the list of the version before it, if that has one.

use std::sync::{Arc, OnceLock};

use super::forward::Forward;
use super::packed_id;

type Cell = Arc<OnceLock<Arc<[u32]>>>;

/// The list of one version, and where to find one that it can be made from.
#[derive(Debug, Clone, Default)]
pub(super) struct Sorted {
    own: Cell,
    earlier: Option<Cell>,
}

impl Sorted {
    /// The state for a version with more ids than this.
    pub(super) fn outgrown(&self) -> Self {
        let earlier = match &self.earlier {
            Some(earlier) if self.own.get().is_none() && earlier.get().is_some() => earlier,
            _ => &self.own,
        };
        Self {
            own: Cell::default(),
            earlier: Some(Arc::clone(earlier)),
        }
    }

    /// The list, if there is one, without what `is_live` is not true of and by other numbers.
    pub(super) fn renumbered(&self, is_live: impl Fn(u32) -> bool, numbers: &[u32]) -> Self {
        let renumbered = Self::default();
        if let Some(list) = self.own.get() {
            let live = list.iter().filter(|ix| is_live(**ix));
            let list = live.filter_map(|ix| numbers.get(*ix as usize).copied());
            renumbered.own.get_or_init(|| list.collect());
        }
        renumbered
    }

    /// Every number, in the order of the ids.
    pub(super) fn list(&self, ids: &Forward) -> Arc<[u32]> {
        let build = || match self.earlier.as_ref().and_then(|earlier| earlier.get()) {
            Some(earlier) => extended(earlier, ids),
            None => sorted(0..ids.len() as u32, ids).into(),
        };
        Arc::clone(self.own.get_or_init(build))
    }

    pub(super) fn resident_bytes(&self) -> usize {
        self.own.get().map_or(0, |list| 16 + list.len() * 4)
    }
}

/// The first place in `list` whose id is at least `id`.
pub(super) fn lower_bound(list: &[u32], ids: &Forward, id: &[u8]) -> usize {
    list.partition_point(|ix| packed_id::compare(ids.get(*ix).unwrap_or_default(), id).is_lt())
}

/// `numbers` in the order of their ids, each of which is looked at once, unless it begins as another does.
pub(super) fn sorted(numbers: impl Iterator<Item = u32>, ids: &Forward) -> Vec<u32> {
    let id = |ix| ids.get(ix).unwrap_or_default();
    let mut keyed: Vec<(u64, u32)> = numbers
        .map(|ix| (packed_id::unpack(id(ix)).prefix(), ix))
        .collect();
    keyed.sort_unstable_by(|left, right| {
        let by_prefix = left.0.cmp(&right.0);
        by_prefix.then_with(|| packed_id::compare(id(left.1), id(right.1)))
    });
    keyed.into_iter().map(|(_, ix)| ix).collect()
}

fn extended(earlier: &[u32], ids: &Forward) -> Arc<[u32]> {
    let mut list = Vec::with_capacity(ids.len());
    let mut rest = earlier;
    for ix in sorted(earlier.len() as u32..ids.len() as u32, ids) {
        let id = ids.get(ix).unwrap_or_default();
        let (before, after) = rest.split_at(lower_bound(rest, ids, id));
        list.extend_from_slice(before);
        list.push(ix);
        rest = after;
    }
    list.extend_from_slice(rest);
    list.into()
}
