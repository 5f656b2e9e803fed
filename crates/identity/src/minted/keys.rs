//! Token keys: the first mints, all verify, and each says itself when it is withdrawn.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use blake3::Hash;
use model::Timestamp;

use super::error::{MintedError, TokenKeyError};
use super::{MINTED_LIFE_MAX, MintedToken};
use crate::preshared::{self, generate_key};
use crate::standing::Standing;

/// The keys by which tokens are minted and verified. Every node of a store needs the same.
pub struct TokenKeys {
    /// INVARIANT: there is one, all have a name and a key of their own.
    keys: Vec<Arc<TokenKey>>,
}

pub(super) struct TokenKey {
    pub(super) name: String,
    /// Comparing it takes as long as it takes, since only files that the operator wrote are compared.
    pub(super) secret: [u8; 32],
    pub(super) standing: Standing,
}

impl TokenKeys {
    /// The keys of a file: one a line, `NAME:KEY` with a key of 64 hexadecimal digits. Blank lines and those that begin with `#`
    /// are passed over.
    ///
    /// # Errors
    /// [`TokenKeyError`] if there is none, or a line is no key, or one that was there already.
    pub fn from_file_text(text: &str) -> Result<Self, TokenKeyError> {
        let mut keys: Vec<Arc<TokenKey>> = Vec::new();
        for (ix, line) in text.lines().enumerate() {
            let (line, number) = (line.trim(), ix + 1);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = TokenKey::parse(line).ok_or(TokenKeyError::Line { line: number })?;
            if keys
                .iter()
                .any(|other| other.name == key.name || other.secret == key.secret)
            {
                return Err(TokenKeyError::Twice { line: number });
            }
            keys.push(Arc::new(key));
        }
        if keys.is_empty() {
            return Err(TokenKeyError::None);
        }
        Ok(Self { keys })
    }

    /// A line with a fresh key, for the file.
    ///
    /// # Errors
    /// If the operating system has no randomness to give.
    pub fn fresh_line(name: &str) -> Result<String, getrandom::Error> {
        Ok(format!("{name}:{}", generate_key()?))
    }

    /// Whether a key can have that name.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        preshared::is_key_name(name)
    }

    /// Keeps of `old` what is the same, and withdraws the rest of it.
    pub(crate) fn replacing(mut self, old: Option<&Self>) -> Self {
        for before in old.iter().flat_map(|old| &old.keys) {
            let is_same = |key: &&mut Arc<TokenKey>| {
                (&key.name, &key.secret) == (&before.name, &before.secret)
            };
            match self.keys.iter_mut().find(is_same) {
                Some(same) => *same = Arc::clone(before),
                None => before.standing.withdraw(),
            }
        }
        self
    }

    /// The key that mints.
    pub(super) fn minting(&self) -> Option<&TokenKey> {
        self.keys.first().map(Arc::as_ref)
    }

    /// Reads a token and proves what it says of itself; whether what it rests on is there, is for others to say.
    pub(super) fn verified(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<(MintedToken, &TokenKey), MintedError> {
        let token = MintedToken::parse(text)?;
        let mut keys = self.keys.iter();
        let key = keys.find(|key| key.name == token.header.key);
        let key = key.ok_or(MintedError::UnknownKey)?;
        if !token.is_made_by(&key.secret) {
            return Err(MintedError::Mac);
        }
        let at = token.until();
        if now >= at {
            return Err(MintedError::Expired { at });
        }
        let life = token.header.until.0.as_micros() - token.minted_at().as_micros();
        // A life below zero is over already.
        let life = Duration::from_micros(u64::try_from(life).unwrap_or(0));
        if life > MINTED_LIFE_MAX {
            return Err(MintedError::LivesTooLong);
        }
        Ok((token, key))
    }
}

impl TokenKey {
    fn parse(line: &str) -> Option<Self> {
        let (name, hex) = line.split_once(':')?;
        let (name, hex) = (name.trim(), hex.trim());
        if !preshared::is_key_name(name) {
            return None;
        }
        Some(Self {
            name: name.to_owned(),
            secret: *Hash::from_hex(hex).ok()?.as_bytes(),
            standing: Standing::default(),
        })
    }

    /// What tells a preshared key from another of its name: keyed, since a short key could be guessed from its hash.
    pub(super) fn mark(&self, key: &Hash) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(b"preshared key ").update(key.as_bytes());
        let mark = hasher.finalize().to_hex();
        mark.chars().take(32).collect()
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.keys.iter().map(|key| key.name.as_str()).collect();
        f.debug_struct("TokenKeys")
            .field("names", &names)
            .finish_non_exhaustive()
    }
}
