//! Tokens that were verified, by their hashes, so that the next call with one costs a look.
//!
//! An entry holds for as long as its token does and what it rests on is not withdrawn. A shard has two halves: when the young one is full
//! it becomes the old one, whose entries are forgotten unless they were asked for meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blake3::Hash;
use model::Timestamp;

use crate::caller::Caller;
use crate::jose::VerificationKey;
use crate::standing::Standing;
use crate::token::Confirmation;

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
    young: HashMap<[u8; 32], Entry>,
    old: HashMap<[u8; 32], Entry>,
}

/// A token that was verified.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) caller: Caller,
    pub(crate) valid_until: Timestamp,
    pub(crate) confirmation: Confirmation,
    pub(crate) rests_on: RestsOn,
}

/// What was verified rests on it, and is forgotten with it.
#[derive(Debug, Clone)]
pub(crate) enum RestsOn {
    /// The key that signed a token.
    Key(Arc<VerificationKey>),
    /// The key that minted a token, and the preshared key that it was minted with.
    Minted {
        key: Standing,
        preshared: Option<Standing>,
    },
}

impl Cache {
    /// What was found out about the token with this hash, if it still holds.
    ///
    /// # Cost
    /// The lock of one shard for one or two probes.
    pub(crate) fn get(&self, token: &Hash, now: Timestamp) -> Option<(Caller, Confirmation)> {
        let mut halves = self.shard(token)?;
        let hash = token.as_bytes();
        if let Some(entry) = halves.young.get(hash) {
            if entry.holds(now) {
                return Some((entry.caller.clone(), entry.confirmation));
            }
            halves.young.remove(hash);
            return None;
        }
        let entry = halves.old.remove(hash).filter(|entry| entry.holds(now))?;
        let found = (entry.caller.clone(), entry.confirmation);
        halves.put(*hash, entry);
        Some(found)
    }

    /// Remembers a token.
    pub(crate) fn put(&self, token: &Hash, entry: Entry) {
        if let Some(mut halves) = self.shard(token) {
            halves.put(*token.as_bytes(), entry);
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
                half.retain(|_, entry| !is_meant(&entry.caller));
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
    fn put(&mut self, token: [u8; 32], entry: Entry) {
        if self.young.len() >= HALF_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, entry);
    }
}

impl Entry {
    fn holds(&self, now: Timestamp) -> bool {
        now < self.valid_until && !self.rests_on.is_withdrawn()
    }
}

impl RestsOn {
    fn is_withdrawn(&self) -> bool {
        match self {
            Self::Key(key) => key.is_withdrawn(),
            Self::Minted { key, preshared } => {
                key.is_withdrawn() || preshared.as_ref().is_some_and(Standing::is_withdrawn)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jose::{Algorithm, KeySet};

    fn key() -> Arc<VerificationKey> {
        let x = "A".repeat(43);
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
        let set = KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap();
        Arc::clone(set.find(None, Algorithm::EdDsa).unwrap())
    }

    #[test]
    fn no_more_tokens_are_remembered_than_may_be_and_those_in_use_stay() {
        let cache = Cache::default();
        let entry = Entry {
            caller: Caller::of_key("x", &Default::default()),
            valid_until: Timestamp::MAX,
            confirmation: Confirmation::Bearer,
            rests_on: RestsOn::Key(key()),
        };
        let in_use = blake3::hash(b"in use");
        cache.put(&in_use, entry.clone());
        for number in 0..3 * TOKENS_MAX {
            cache.put(&blake3::hash(&number.to_le_bytes()), entry.clone());
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
