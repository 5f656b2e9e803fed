//! Preshared keys that are on record in the store: known by their hashes, and changed by commits.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use blake3::Hash;

use crate::caller::Caller;
use crate::preshared::KeyHash;

/// Keys that are on record in the store, and change with it.
#[derive(Default)]
pub struct RecordedKeys {
    names: ArcSwap<HashMap<KeyHash, String>>,
}

impl RecordedKeys {
    /// Takes these keys in place of those before, at once for every caller after it.
    pub fn replace<'k>(&self, keys: impl Iterator<Item = (&'k String, &'k KeyHash)>) {
        let names = keys.map(|(name, hash)| (*hash, name.clone()));
        self.names.store(Arc::new(names.collect()));
    }

    /// The caller who has the key of that hash. What is looked for is a hash of what was presented, so the time that it takes tells
    /// nothing of any key.
    pub(crate) fn find(&self, hash: &Hash) -> Option<Caller> {
        let names = self.names.load();
        names.get(hash.as_bytes()).map(|name| Caller::of_key(name))
    }
}

impl fmt::Debug for RecordedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names.load();
        f.debug_struct("RecordedKeys")
            .field("count", &names.len())
            .finish_non_exhaustive()
    }
}
