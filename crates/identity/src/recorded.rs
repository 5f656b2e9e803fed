//! Preshared keys that are on record in the store: known by their hashes, and changed by commits.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use blake3::Hash;

use crate::caller::Caller;
use crate::preshared::KeyHash;
use crate::standing::Standing;

/// Keys that are on record in the store, and change with it.
#[derive(Default)]
pub struct RecordedKeys {
    keys: ArcSwap<HashMap<KeyHash, Recorded>>,
}

#[derive(Clone)]
struct Recorded {
    name: String,
    caller: Caller,
    standing: Standing,
}

impl RecordedKeys {
    /// Takes these keys in place of those before, at once for every caller after it. To be called by one at a time.
    pub fn replace<'k>(&self, keys: impl Iterator<Item = (&'k String, &'k KeyHash)>) {
        let old = self.keys.load();
        let keys = keys.map(|(name, hash)| {
            let same = old.get(hash).filter(|old| old.name == *name).cloned();
            let recorded = same.unwrap_or_else(|| {
                let standing = Standing::default();
                Recorded {
                    name: name.clone(),
                    caller: Caller::of_key(name, &standing),
                    standing,
                }
            });
            (*hash, recorded)
        });
        let new: HashMap<KeyHash, Recorded> = keys.collect();
        for (hash, gone) in old.iter() {
            if new.get(hash).is_none_or(|new| new.name != gone.name) {
                gone.standing.withdraw();
            }
        }
        self.keys.store(Arc::new(new));
    }

    /// The caller who has the key of that hash. What is looked for is a hash of what was presented, so the time that it takes tells
    /// nothing of any key.
    pub(crate) fn find(&self, hash: &Hash) -> Option<Caller> {
        let keys = self.keys.load();
        keys.get(hash.as_bytes()).map(|found| found.caller.clone())
    }

    /// The key of that name, and what says whether it still is one.
    pub(crate) fn named(&self, name: &str) -> Option<(Hash, Standing)> {
        let keys = self.keys.load();
        let (hash, found) = keys.iter().find(|(_, recorded)| recorded.name == name)?;
        Some((Hash::from_bytes(*hash), found.standing.clone()))
    }
}

impl fmt::Debug for RecordedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.load();
        f.debug_struct("RecordedKeys")
            .field("count", &keys.len())
            .finish_non_exhaustive()
    }
}
