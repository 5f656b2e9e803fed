//! The ids of one definition: from the text outside to a dense number inside, and back.
//!
//! Persistent, as the trees are: a clone shares everything, and a version never sees an id that was added to a later
//! one. Ids are only ever added, so a number means the same in every version that has it. The way from text to number
//! is a table ([`buckets`]) of half of the id's hash, whose hits are verified against the ids themselves. The hash is
//! keyed at random, so nobody can choose ids that collide.

mod buckets;
mod forward;
mod packed_id;
mod sorted;
#[cfg(test)]
mod tests;
mod vector;

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::quality::RandomState;
use model::ObjectId;
use smallvec::SmallVec;

use self::buckets::Buckets;
use self::forward::Forward;
use self::sorted::Sorted;
use crate::graph::ObjectIx;

/// The most ids of one definition; the last number is left over, so that a count of them fits 32 bits too.
const IDS_MAX: usize = u32::MAX as usize;

/// The ids of one definition.
#[derive(Debug, Clone, Default)]
pub struct Dictionary {
    ids: Forward,
    by_hash: Buckets,
    hasher: RandomState,
    sorted: Sorted,
}

/// A dictionary to which ids are being added.
#[derive(Debug)]
pub struct DictionaryWriter {
    dictionary: Dictionary,
    len_before: usize,
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
        let hash = self.hash(id);
        let guess = self.by_hash.guess(hash);
        self.verify(&packed_id::pack(id), hash, guess)
    }

    /// The numbers of two ids, each in its dictionary. One step is taken for both before the next, so that the cache
    /// misses of the one are waited for together with the other's.
    #[must_use]
    pub fn lookup_both([one, other]: [(&Self, &str); 2]) -> [Option<ObjectIx>; 2] {
        let hashes = [one.0.hash(one.1), other.0.hash(other.1)];
        let [one_guess, other_guess] = [
            one.0.by_hash.guess(hashes[0]),
            other.0.by_hash.guess(hashes[1]),
        ];
        let packed = [packed_id::pack(one.1), packed_id::pack(other.1)];
        [
            one.0.verify(&packed[0], hashes[0], one_guess),
            other.0.verify(&packed[1], hashes[1], other_guess),
        ]
    }

    /// Brings into the cache what [`Self::lookup`] of each of `ids` reads in its dictionary, one step of all before the next.
    pub(crate) fn fetch<'d>(ids: impl Iterator<Item = (&'d Self, &'d str)>) {
        const AT_ONCE: usize = 256;
        let guesses: SmallVec<[(&Self, Option<u32>); AT_ONCE]> = ids
            .map(|(dictionary, id)| (dictionary, dictionary.by_hash.guess(dictionary.hash(id))))
            .collect();
        for (dictionary, guess) in guesses {
            std::hint::black_box(guess.and_then(|ix| dictionary.ids.get(ix)?.first().copied()));
        }
    }

    /// The id of that number.
    #[must_use]
    pub fn id(&self, object: ObjectIx) -> Option<ObjectId> {
        let packed = self.ids.get(object.0)?;
        // A dictionary is only given ids.
        Some(ObjectId::from_validated(packed_id::unpack(packed).as_str()))
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
        let sorted = sorted::sorted(objects.iter().map(|object| object.0), &self.ids);
        for (object, ix) in objects.iter_mut().zip(sorted) {
            *object = ObjectIx(ix);
        }
    }

    /// A dictionary of the ids that `is_live` is true of, in the same order, and the number of each there, by the one it
    /// has here; that of an id which is left out means nothing.
    #[must_use]
    pub(in crate::graph) fn compacted(&self, is_live: impl Fn(u32) -> bool) -> (Self, Vec<u32>) {
        let mut compacted = Self::default();
        let mut numbers = Vec::with_capacity(self.len());
        for ix in 0..self.len() as u32 {
            let number = compacted.len() as u32;
            numbers.push(number);
            if is_live(ix)
                && let Some(packed) = self.ids.get(ix)
            {
                let hash = compacted.hash(packed_id::unpack(packed).as_str());
                compacted.ids.push(packed);
                compacted.by_hash.insert(hash, number);
            }
        }
        compacted.sorted = self.sorted.renumbered(is_live, &numbers);
        (compacted, numbers)
    }

    /// Takes the dictionary to add ids to it.
    #[must_use]
    pub fn into_writer(self) -> DictionaryWriter {
        DictionaryWriter {
            len_before: self.len(),
            dictionary: self,
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

    fn hash(&self, id: &str) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(id.as_bytes());
        hasher.finish() as u32
    }

    /// The number of an id, which is `guess` unless another id has the same hash.
    fn verify(&self, packed: &[u8], hash: u32, guess: Option<u32>) -> Option<ObjectIx> {
        let guess = guess?;
        let is_it = |ix: &u32| self.ids.get(*ix) == Some(packed);
        if is_it(&guess) {
            return Some(ObjectIx(guess));
        }
        self.by_hash.get(hash).find(is_it).map(ObjectIx)
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
        self.dictionary.lookup(id)
    }

    /// The dictionary with the ids that it has by now.
    pub(crate) fn so_far(&self) -> &Dictionary {
        &self.dictionary
    }

    /// The number of `id`, which is added if it is not known.
    ///
    /// # Errors
    /// [`DictionaryFull`] if there is no number left.
    pub fn insert(&mut self, id: &str) -> Result<ObjectIx, DictionaryFull> {
        let dictionary = &mut self.dictionary;
        let hash = dictionary.hash(id);
        let guess = dictionary.by_hash.guess(hash);
        let packed = packed_id::pack(id);
        if let Some(object) = dictionary.verify(&packed, hash, guess) {
            return Ok(object);
        }
        if dictionary.len() >= IDS_MAX {
            return Err(DictionaryFull);
        }
        let ix = dictionary.len() as u32;
        dictionary.ids.push(&packed);
        dictionary.by_hash.insert(hash, ix);
        Ok(ObjectIx(ix))
    }

    /// The dictionary with the ids that were added.
    #[must_use]
    pub fn finish(self) -> Dictionary {
        let mut dictionary = self.dictionary;
        if dictionary.len() > self.len_before {
            dictionary.sorted = dictionary.sorted.outgrown();
        }
        dictionary
    }
}
