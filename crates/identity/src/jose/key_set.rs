//! The keys of one issuer or trust domain (JWKS).

use std::sync::Arc;

use serde_json::Value;

use super::algorithm::Algorithm;
use super::key::{Use, VerificationKey};
use model::json::{self, JsonError, Object};

/// More keys than any issuer has.
const KEYS_MAX: usize = 256;

/// Public keys by which signatures are verified.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeySet {
    keys: Vec<Arc<VerificationKey>>,
}

/// Why bytes are no set of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// They are no JSON object.
    #[error("it {0}")]
    Json(#[from] JsonError),
    /// There is no list of objects called `keys`.
    #[error("it has no list of objects as `keys`")]
    NoKeys,
    /// There are too many.
    #[error("it has {count} keys, at most {KEYS_MAX} are read")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// None is of a kind and for a use that verifies signatures.
    #[error("none of its keys is a public key that verifies signatures")]
    Unusable,
}

/// Why no key was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No key has the name that the header gives, or the header gives none and there is not just one key that fits.
    #[error("no key of the issuer has the `kid` of the token")]
    Unknown,
    /// The key of that name is of another type or for another algorithm.
    #[error("the key that the token names is not for its algorithm")]
    Misfit,
    /// Several keys fit.
    #[error("several keys of the issuer have the `kid` of the token, or it has none")]
    Ambiguous,
}

impl KeySet {
    /// Reads a set; keys of other kinds and uses are passed over.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, KeySetError> {
        let set = Self::of(&members(&json::object(bytes)?)?, Use::Signature);
        if set.keys.is_empty() {
            return Err(KeySetError::Unusable);
        }
        Ok(set)
    }

    /// The keys of `members` that are for `wanted`.
    pub(crate) fn of(members: &[&Object], wanted: Use) -> Self {
        let keys = members.iter().copied();
        let keys = keys.filter_map(|members| VerificationKey::new(members, wanted));
        Self {
            keys: keys.map(Arc::new).collect(),
        }
    }

    /// Whether there is no key.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The one key that a token of `kid` and `algorithm` can have been signed by.
    pub(crate) fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<&Arc<VerificationKey>, LookupError> {
        let is_named = |key: &&Arc<VerificationKey>| kid.is_none() || key.kid() == kid;
        let mut named = self.keys.iter().filter(is_named).peekable();
        if named.peek().is_none() {
            return Err(LookupError::Unknown);
        }
        let mut fitting = named.filter(|key| key.fits(algorithm));
        let found = fitting.next().ok_or(LookupError::Misfit)?;
        match fitting.next() {
            None => Ok(found),
            Some(_) => Err(LookupError::Ambiguous),
        }
    }

    /// This set as the successor of `old`: keys that stay are the same keys, and those that are gone are withdrawn.
    pub(crate) fn succeeding(mut self, old: &Self) -> Self {
        for key in &mut self.keys {
            if let Some(same) = old.keys.iter().find(|it| it.is_same(key)) {
                *key = Arc::clone(same);
            }
        }
        for key in &old.keys {
            if !self.keys.iter().any(|it| Arc::ptr_eq(it, key)) {
                key.standing().withdraw();
            }
        }
        self
    }
}

/// The members of each key in a set.
pub(crate) fn members(set: &Object) -> Result<Vec<&Object>, KeySetError> {
    let keys = set.get("keys").and_then(Value::as_array);
    let keys = keys.ok_or(KeySetError::NoKeys)?;
    if keys.len() > KEYS_MAX {
        return Err(KeySetError::TooMany { count: keys.len() });
    }
    let objects: Option<Vec<&Object>> = keys.iter().map(Value::as_object).collect();
    objects.ok_or(KeySetError::NoKeys)
}
