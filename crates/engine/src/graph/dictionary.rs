//! The ids of one definition: from the text outside to a dense number inside, and back.
//!
//! Persistent, as the trees are: a clone shares everything, and a version never sees an id that was added to a later
//! one. Ids are only ever added, so a number means the same in every version that has it. The way from text to number
//! is an [`EdgeTree`] of (half of the id's hash, number) whose hits are verified against the ids themselves: six bytes
//! an id, and no second tree to write. The hash is keyed at random, so nobody can choose ids that collide.

mod forward;
mod packed_id;
mod sorted;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use compact_str::CompactString;
use foldhash::quality::RandomState;
use hashbrown::HashTable;

use self::forward::Forward;
use self::sorted::Sorted;
use crate::graph::ObjectIx;
use crate::graph::tree::{EdgeAction, EdgeChange, EdgeTree};

/// The most ids of one definition; the last number is left over, so that a count of them fits 32 bits too.
const IDS_MAX: usize = u32::MAX as usize;

/// The ids of one definition.
#[derive(Debug, Clone, Default)]
pub struct Dictionary {
    ids: Forward,
    by_hash: EdgeTree,
    hasher: RandomState,
    sorted: Sorted,
}

/// A dictionary to which ids are being added.
#[derive(Debug)]
pub struct DictionaryWriter {
    dictionary: Dictionary,
    /// What is not in `by_hash` yet: the hash and the number of each new id.
    added: HashTable<(u64, u32)>,
}

/// A dictionary has as many ids as it can number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a definition has at most {IDS_MAX} object ids")]
pub struct DictionaryFull;

impl Dictionary {
    /// How many ids there are; their numbers are the ones below.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no id.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of `id`, if it is known.
    #[must_use]
    pub fn lookup(&self, id: &str) -> Option<ObjectIx> {
        let packed = packed_id::pack(id);
        self.find(&packed, self.hash(&packed))
    }

    /// The id of that number.
    #[must_use]
    pub fn id(&self, object: ObjectIx) -> Option<CompactString> {
        let packed = self.ids.get(object.0)?;
        Some(CompactString::new(packed_id::unpack(packed).as_str()))
    }

    /// Every number, in the byte order of the ids.
    ///
    /// # Cost
    /// O(n log n) for the first version that is asked, O(n) for one after it, O(1) when asked again.
    #[must_use]
    pub fn sorted(&self) -> Arc<[u32]> {
        self.sorted.list(&self.ids)
    }

    /// The first place in `sorted`, a part of [`Self::sorted`], whose id is not before `id`.
    #[must_use]
    pub fn lower_bound(&self, sorted: &[u32], id: &str) -> usize {
        sorted::lower_bound(sorted, &self.ids, &packed_id::pack(id))
    }

    /// Puts `objects` into the byte order of their ids.
    pub fn sort(&self, objects: &mut [ObjectIx]) {
        let id = |object: &ObjectIx| self.ids.get(object.0).unwrap_or_default();
        objects.sort_unstable_by(|left, right| packed_id::compare(id(left), id(right)));
    }

    /// Takes the dictionary to add ids to it.
    #[must_use]
    pub fn into_writer(self) -> DictionaryWriter {
        DictionaryWriter {
            dictionary: self,
            added: HashTable::new(),
        }
    }

    /// The bytes that the dictionary takes with all that it refers to, shared or not.
    ///
    /// # Cost
    /// Walks every leaf.
    #[must_use]
    pub fn resident_bytes(&self) -> usize {
        self.ids.resident_bytes() + self.by_hash.resident_bytes() + self.sorted.resident_bytes()
    }

    fn hash(&self, packed: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(packed);
        hasher.finish()
    }

    fn find(&self, packed: &[u8], hash: u64) -> Option<ObjectIx> {
        self.by_hash
            .values(hash_key(hash))
            .map(|(ix, _)| ix)
            .find(|ix| self.ids.get(*ix) == Some(packed))
            .map(ObjectIx)
    }
}

impl DictionaryWriter {
    /// How many ids there are by now.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.dictionary.len()
    }

    /// The number of `id`, if it is known by now.
    #[must_use]
    pub fn lookup(&self, id: &str) -> Option<ObjectIx> {
        let packed = packed_id::pack(id);
        self.find(&packed, self.dictionary.hash(&packed))
    }

    /// The number of `id`, which is added if it is not known.
    ///
    /// # Errors
    /// [`DictionaryFull`] if there is no number left.
    pub fn insert(&mut self, id: &str) -> Result<ObjectIx, DictionaryFull> {
        let packed = packed_id::pack(id);
        let hash = self.dictionary.hash(&packed);
        if let Some(object) = self.find(&packed, hash) {
            return Ok(object);
        }
        if self.dictionary.len() >= IDS_MAX {
            return Err(DictionaryFull);
        }
        let ix = self.dictionary.len() as u32;
        self.dictionary.ids.push(&packed);
        self.added
            .insert_unique(hash, (hash, ix), |(hash, _)| *hash);
        Ok(ObjectIx(ix))
    }

    /// The dictionary with the ids that were added.
    #[must_use]
    pub fn finish(self) -> Dictionary {
        let mut dictionary = self.dictionary;
        if self.added.is_empty() {
            return dictionary;
        }
        let mut changes: Vec<EdgeChange> = self
            .added
            .into_iter()
            .map(|(hash, ix)| EdgeChange {
                key: hash_key(hash),
                value: ix,
                action: EdgeAction::Insert(None),
            })
            .collect();
        changes.sort_unstable_by_key(EdgeChange::edge);
        dictionary.by_hash.apply(&changes);
        dictionary.sorted = dictionary.sorted.outgrown();
        dictionary
    }

    fn find(&self, packed: &[u8], hash: u64) -> Option<ObjectIx> {
        let is_it = |(_, ix): &(u64, u32)| self.dictionary.ids.get(*ix) == Some(packed);
        match self.added.find(hash, is_it) {
            Some((_, ix)) => Some(ObjectIx(*ix)),
            None => self.dictionary.find(packed, hash),
        }
    }
}

/// The half of a hash that the tree is ordered by; the other half picks the place in a writer's table.
fn hash_key(hash: u64) -> u32 {
    (hash >> 32) as u32
}
