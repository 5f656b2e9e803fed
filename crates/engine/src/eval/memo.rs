//! What one evaluation already knows about nodes it has met.

use hashbrown::HashMap;
use schema::MemberIx;
use smallvec::SmallVec;

use super::value::Value;
use crate::graph::ObjectIx;

/// An object with one of its relations or permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NodeKey {
    pub(super) member: MemberIx,
    pub(super) object: ObjectIx,
}

/// A value, and how many levels lie below it on the deepest way that was walked to find it.
pub(super) type Known = (Value, u16);

/// A map for one evaluation: most meet a handful of nodes, which a scan finds faster than a hash.
#[derive(Default)]
pub(super) struct Memo {
    few: SmallVec<[(NodeKey, Known); 12]>,
    many: HashMap<NodeKey, Known, foldhash::fast::FixedState>,
}

impl Memo {
    pub(super) fn known(&self, key: NodeKey) -> Option<&Known> {
        let few = self
            .few
            .iter()
            .find(|(met, _)| *met == key)
            .map(|(_, known)| known);
        few.or_else(|| {
            if self.many.is_empty() {
                None
            } else {
                self.many.get(&key)
            }
        })
    }

    pub(super) fn keep(&mut self, key: NodeKey, known: Known) {
        if self.few.len() < self.few.inline_size() {
            self.few.push((key, known));
        } else {
            self.many.insert(key, known);
        }
    }
}
