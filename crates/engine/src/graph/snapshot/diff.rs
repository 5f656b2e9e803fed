//! What is different between two snapshots, found without looking at what they share.

use std::sync::Arc;

use model::Relationship;

use super::Snapshot;
use crate::graph::tree::{EdgeRef, EdgeTree};
use crate::graph::{Class, ClassIx, ObjectIx};

/// One relationship that is not the same in two snapshots. At least one side is present.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The relationship in the old snapshot.
    pub before: Option<Relationship>,
    /// The relationship in the new snapshot.
    pub after: Option<Relationship>,
}

static NO_EDGES: EdgeTree = EdgeTree::EMPTY;

impl Snapshot {
    /// The relationships that were added, removed or given another caveat or expiration between `self` and `new`, class
    /// by class. One of the two has to be made from the other, by whatever commits but without
    /// [`Self::without_dead_ids`].
    ///
    /// # Cost
    /// O(edge classes + nodes that the snapshots do not share).
    pub fn diff<'s>(&'s self, new: &'s Self) -> impl Iterator<Item = Difference> + 's {
        let kept = new
            .layout
            .classes()
            .map(|(after, key)| (new.counterpart(key, self), Some(after)));
        let gone = self
            .layout
            .classes()
            .filter(|(_, key)| self.counterpart(*key, new).is_none())
            .map(|(before, _)| (Some(before), None));
        kept.chain(gone)
            .flat_map(move |(before, after)| self.class_diff(new, before, after))
    }

    fn class_diff<'s>(
        &'s self,
        new: &'s Self,
        before_ix: Option<ClassIx>,
        after_ix: Option<ClassIx>,
    ) -> impl Iterator<Item = Difference> + 's {
        let old_class = before_ix.and_then(|ix| self.classes.get(ix.0 as usize));
        let new_class = after_ix.and_then(|ix| new.classes.get(ix.0 as usize));
        let is_shared = old_class
            .zip(new_class)
            .is_some_and(|(old, new)| Arc::ptr_eq(old, new));
        let edges =
            |class: Option<&'s Arc<Class>>| class.map_or(&NO_EDGES, |class| class.forward());
        let trees = (!is_shared).then(|| (edges(old_class), edges(new_class)));
        trees
            .into_iter()
            .flat_map(|(old, new)| old.diff(new))
            .map(move |diff| Difference {
                before: self.relationship_of(before_ix, (diff.key, diff.value), diff.before),
                after: new.relationship_of(after_ix, (diff.key, diff.value), diff.after),
            })
    }

    fn relationship_of(
        &self,
        class: Option<ClassIx>,
        (resource, subject): (u32, u32),
        edge: Option<EdgeRef<'_>>,
    ) -> Option<Relationship> {
        self.relationship(
            class?,
            ObjectIx(resource),
            ObjectIx(subject),
            edge?.annotation(),
        )
    }
}
