//! Tokens that were verified, by their hashes, so that the next call with one costs a look.
//!
//! What was found out holds for as long as the token does and what it rests on is not withdrawn. A shard has two halves: when the young one is full
//! it becomes the old one, whose entries are forgotten unless they were asked for meanwhile.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use blake3::Hash;
use model::Timestamp;

use crate::caller::Caller;

/// Verified tokens that are remembered; at some 500 bytes each, 32 MiB.
const TOKENS_MAX: usize = 65_536;
const SHARDS: usize = 16;
const HALF_MAX: usize = TOKENS_MAX / SHARDS / 2;

/// Verified tokens.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    shards: [Mutex<Halves>; SHARDS],
}

#[derive(Debug, Default)]
struct Halves {
    young: HashMap<[u8; 32], Caller>,
    old: HashMap<[u8; 32], Caller>,
}

impl Cache {
    /// The caller of the token with this hash, if that still holds.
    ///
    /// # Cost
    /// The lock of one shard for one or two probes.
    pub(crate) fn get(&self, token: &Hash, now: Timestamp) -> Option<Caller> {
        let mut halves = self.shard(token)?;
        let hash = token.as_bytes();
        if let Some(caller) = halves.young.get(hash) {
            if caller.is_good(now) {
                return Some(caller.clone());
            }
            halves.young.remove(hash);
            return None;
        }
        let caller = halves.old.remove(hash).filter(|it| it.is_good(now))?;
        halves.put(*hash, caller.clone());
        Some(caller)
    }

    /// Remembers a token.
    pub(crate) fn put(&self, token: &Hash, caller: Caller) {
        if let Some(mut halves) = self.shard(token) {
            halves.put(*token.as_bytes(), caller);
        }
    }

    /// Forgets the tokens of the callers who are meant, and says how many they were.
    pub(crate) fn forget(&self, is_meant: impl Fn(&Caller) -> bool) -> usize {
        let mut forgotten = 0;
        for shard in &self.shards {
            let mut halves = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let Halves { young, old } = &mut *halves;
            for half in [young, old] {
                let before = half.len();
                half.retain(|_, caller| !is_meant(caller));
                forgotten += before - half.len();
            }
        }
        forgotten
    }

    fn shard(&self, token: &Hash) -> Option<MutexGuard<'_, Halves>> {
        let first = token.as_bytes().first()?;
        let shard = self.shards.get(usize::from(*first) % SHARDS)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Halves {
    fn put(&mut self, token: [u8; 32], caller: Caller) {
        if self.young.len() >= HALF_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, caller);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_tokens_are_remembered_than_may_be_and_those_in_use_stay() {
        let cache = Cache::default();
        let caller = Caller::of_key("x", &Default::default());
        let in_use = blake3::hash(b"in use");
        cache.put(&in_use, caller.clone());
        for number in 0..3 * TOKENS_MAX {
            cache.put(&blake3::hash(&number.to_le_bytes()), caller.clone());
            if number % 1_000 == 0 {
                assert!(cache.get(&in_use, Timestamp::EPOCH).is_some(), "{number}");
            }
        }
        let first = blake3::hash(&0_usize.to_le_bytes());
        assert!(cache.get(&first, Timestamp::EPOCH).is_none());
        let remembered = cache.forget(|_| true);
        assert!(
            (TOKENS_MAX / 3..=TOKENS_MAX).contains(&remembered),
            "{remembered}"
        );
        assert!(cache.get(&in_use, Timestamp::EPOCH).is_none());
    }
}
