//! Preshared keys: several, named, replaced while the server runs.
//!
//! A key is kept as its BLAKE3 hash, which is enough since keys are long and random: there is nothing to guess, so
//! nothing that a slow hash would protect. A presented key is hashed and compared in constant time with every key, so
//! that the time tells neither how much of a key was right nor which.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use blake3::Hash;

use crate::caller::Caller;
use crate::minted;
use crate::standing::Standing;

/// The keys that let callers in.
pub struct PresharedKeys {
    keys: ArcSwap<Vec<Key>>,
}

#[derive(Clone)]
struct Key {
    name: String,
    /// Whom the key lets in.
    caller: Caller,
    hash: Hash,
    is_short: bool,
    /// Which of the keys, or which line of a file, from 1.
    number: usize,
    standing: Standing,
}

/// Why a text is no list of keys. The key itself is never told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A key is empty.
    #[error("key {number} is empty")]
    Empty {
        /// Which of the keys, or which line of a file, from 1.
        number: usize,
    },
    /// What stands before the separator is no name, and may well be a part of a key: so it is not told.
    #[error(
        "what key {number} has before its first `:` is no name of 1 to {NAME_BYTES_MAX} letters, digits, `_`, `.` or `-`"
    )]
    Name {
        /// Which of the keys, or which line of a file, from 1.
        number: usize,
    },
    /// Two keys have the same name.
    #[error("key {number} has the name `{name}` of another")]
    SameName {
        /// Which of the keys, or which line of a file, from 1.
        number: usize,
        /// The name.
        name: String,
    },
    /// One key stands under two names, so that it would not tell who calls.
    #[error("key {number}, called `{name}`, is the same as the one called `{other}`")]
    SameKey {
        /// Which of the keys, or which line of a file, from 1.
        number: usize,
        /// Its name.
        name: String,
        /// The name that the key has already.
        other: String,
    },
    /// It would be taken for a token that the server minted.
    #[error(
        "key {number}, called `{name}`, begins with `{}`, as minted tokens do; take another",
        minted::PREFIX
    )]
    Minted {
        /// Which of the keys, or which line of a file, from 1.
        number: usize,
        /// Its name.
        name: String,
    },
    /// There is no key at all.
    #[error("there is no key")]
    None,
}

/// A name and a key, separated by this, or a key alone.
const SEPARATOR: char = ':';
const NAME_BYTES_MAX: usize = 64;
/// A random key of fewer bytes, each worth at most 8 bits, has less than the 128 bits that nobody can guess.
const SHORT_BYTES_MAX: usize = 15;

impl PresharedKeys {
    /// The keys of `texts`: each `NAME:KEY`, or a key alone, which is called `key-1` and so on. A key that holds a `:`
    /// of its own needs a name.
    ///
    /// # Errors
    /// [`KeyError`] if there is none, one is empty, a name is none, or two have one name or are one key.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, KeyError> {
        let keys = parse(
            texts
                .into_iter()
                .enumerate()
                .map(|(ix, text)| (ix + 1, text)),
            "key",
        )?;
        Ok(Self {
            keys: ArcSwap::from_pointee(keys),
        })
    }

    /// The keys of a file: one a line, as in [`Self::new`], but a key alone is called `line-1` and so on. Blank lines
    /// and those that begin with `#` are passed over.
    ///
    /// # Errors
    /// As [`Self::new`], with the number of the line.
    pub fn from_file_text(text: &str) -> Result<Self, KeyError> {
        let lines = text
            .lines()
            .enumerate()
            .map(|(ix, line)| (ix + 1, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let keys = parse(lines, "line")?;
        Ok(Self {
            keys: ArcSwap::from_pointee(keys),
        })
    }

    /// Takes the keys of `other` in place of these, at once for every caller after it. What was minted with a key that is not
    /// among them is no longer good.
    pub fn replace(&self, other: Self) {
        let mut keys = other.keys.into_inner().as_ref().clone();
        for old in self.keys.load().iter() {
            let is_same = |key: &&mut Key| key.name == old.name && key.hash == old.hash;
            match keys.iter_mut().find(is_same) {
                Some(same) => {
                    same.standing = old.standing.clone();
                    same.caller = old.caller.clone();
                }
                None => old.standing.withdraw(),
            }
        }
        self.keys.store(Arc::new(keys));
    }

    /// These keys and those of `other`.
    ///
    /// # Errors
    /// [`KeyError::SameName`] or [`KeyError::SameKey`] if two have one name or are one key.
    pub fn joined(self, other: &Self) -> Result<Self, KeyError> {
        let mut keys = self.keys.load().as_ref().clone();
        for key in other.keys.load().iter() {
            add(&mut keys, key.clone())?;
        }
        Ok(Self {
            keys: ArcSwap::from_pointee(keys),
        })
    }

    /// The names of the keys that are too short to withstand guessing, for a warning. They let callers in all the same.
    #[must_use]
    pub fn short(&self) -> Vec<String> {
        let keys = self.keys.load();
        let short = keys.iter().filter(|key| key.is_short);
        short.map(|key| key.name.clone()).collect()
    }

    /// The caller whose key has this hash, which [`hash`] makes.
    ///
    /// # Cost
    /// A comparison in constant time with every key.
    pub(crate) fn find(&self, presented: &Hash) -> Option<Caller> {
        let keys = self.keys.load();
        let mut found = None;
        for known in keys.iter() {
            // `Hash` compares in constant time; the loop goes on after a match.
            if known.hash == *presented {
                found = Some(&known.caller);
            }
        }
        found.cloned()
    }

    /// The hash of the key of that name, and what says whether it is still there.
    pub(crate) fn named(&self, name: &str) -> Option<(Hash, Standing)> {
        let keys = self.keys.load();
        let found = keys.iter().find(|key| key.name == name)?;
        Some((found.hash, found.standing.clone()))
    }
}

/// What is kept and compared instead of a key or a token.
pub(crate) fn hash(credential: &str) -> Hash {
    blake3::hash(credential.as_bytes())
}

fn parse<'a>(
    texts: impl Iterator<Item = (usize, &'a str)>,
    unnamed: &str,
) -> Result<Vec<Key>, KeyError> {
    let mut keys = Vec::new();
    for (number, text) in texts {
        let (name, key) = match text.split_once(SEPARATOR) {
            Some((name, key)) => (name.trim().to_owned(), key.trim()),
            None => (format!("{unnamed}-{number}"), text.trim()),
        };
        if !is_key_name(&name) {
            return Err(KeyError::Name { number });
        }
        if key.is_empty() {
            return Err(KeyError::Empty { number });
        }
        if key.starts_with(minted::PREFIX) {
            return Err(KeyError::Minted { number, name });
        }
        let standing = Standing::default();
        let key = Key {
            caller: Caller::of_key(&name, &standing),
            name,
            hash: hash(key),
            is_short: key.len() <= SHORT_BYTES_MAX,
            number,
            standing,
        };
        add(&mut keys, key)?;
    }
    if keys.is_empty() {
        Err(KeyError::None)
    } else {
        Ok(keys)
    }
}

fn add(keys: &mut Vec<Key>, key: Key) -> Result<(), KeyError> {
    let Key { number, name, .. } = key.clone();
    if keys.iter().any(|known| known.name == name) {
        return Err(KeyError::SameName { number, name });
    }
    if let Some(known) = keys.iter().find(|known| known.hash == key.hash) {
        let other = known.name.clone();
        return Err(KeyError::SameKey {
            number,
            name,
            other,
        });
    }
    keys.push(key);
    Ok(())
}

/// Whether a text can be the name of a key.
#[must_use]
pub fn is_key_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// The BLAKE3 hash of a key, which is all that is kept of it.
pub type KeyHash = [u8; 32];

/// What is kept of a key.
#[must_use]
pub fn hash_of_key(key: &str) -> KeyHash {
    *hash(key).as_bytes()
}

/// A fresh key of 32 random bytes, as hexadecimal text.
///
/// # Errors
/// If the operating system has no randomness to give.
pub fn generate_key() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl fmt::Debug for PresharedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.load();
        let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        f.debug_struct("PresharedKeys")
            .field("names", &names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(keys: &PresharedKeys, key: &str) -> Option<String> {
        let caller = keys.find(&hash(key));
        caller.map(|caller| caller.name().to_owned())
    }

    #[test]
    fn every_key_lets_its_caller_in_and_nothing_else_does() {
        let keys = PresharedKeys::new(["billing:aaa", "bbb"]).unwrap();
        assert_eq!(name(&keys, "aaa").unwrap(), "billing");
        assert_eq!(name(&keys, "bbb").unwrap(), "key-2");
        for key in ["", "aa", "aaaa", "billing", "billing:aaa", "AAA"] {
            assert_eq!(name(&keys, key), None, "{key}");
        }
    }

    #[test]
    fn keys_are_rotated_at_once() {
        let keys = PresharedKeys::new(["old"]).unwrap();
        keys.replace(PresharedKeys::from_file_text("# rotated\n\nnew\nops:other\n").unwrap());
        assert_eq!(name(&keys, "old"), None);
        assert!(name(&keys, "new").is_some());
        assert_eq!(name(&keys, "other").unwrap(), "ops");
    }

    #[test]
    fn what_is_wrong_is_told_without_the_key() {
        for (text, error) in [
            ("", "there is no key"),
            ("# none\n", "there is no key"),
            ("\nname:", "key 2 is empty"),
            ("a:x\n\na:secret", "key 3 has the name `a` of another"),
            (
                "a:secret\nb:secret",
                "key 2, called `b`, is the same as the one called `a`",
            ),
            (
                "sec/ret:secret",
                "what key 1 has before its first `:` is no name of 1 to 64 letters, digits, `_`, `.` or `-`",
            ),
        ] {
            let told = PresharedKeys::from_file_text(text).unwrap_err();
            assert_eq!(told.to_string(), error);
        }
        assert_eq!(
            PresharedKeys::new([""]).unwrap_err(),
            KeyError::Empty { number: 1 }
        );
        assert_eq!(
            format!("{:?}", PresharedKeys::new(["a:secret"]).unwrap()),
            r#"PresharedKeys { names: ["a"], .. }"#
        );
    }

    #[test]
    fn keys_of_a_file_join_those_given_beside_it() {
        let keys = PresharedKeys::new(["given"]).unwrap();
        let of_file = PresharedKeys::from_file_text("of-file\nops:of:ops\n").unwrap();
        let keys = keys.joined(&of_file).unwrap();
        for (key, called) in [("given", "key-1"), ("of-file", "line-1"), ("of:ops", "ops")] {
            assert_eq!(name(&keys, key).unwrap(), called);
        }
        let again = PresharedKeys::from_file_text("# twice\nx:given").unwrap();
        assert_eq!(
            keys.joined(&again).unwrap_err(),
            KeyError::SameKey {
                number: 2,
                name: "x".to_owned(),
                other: "key-1".to_owned()
            }
        );
    }

    #[test]
    fn short_keys_are_named_and_let_callers_in() {
        let keys = PresharedKeys::new(["weak:somerandomkey", "somerandomkeyhere"]).unwrap();
        assert_eq!(keys.short(), ["weak"]);
        assert!(name(&keys, "somerandomkey").is_some());
    }

    #[test]
    fn generated_keys_are_long_and_differ() {
        let (one, other) = (generate_key().unwrap(), generate_key().unwrap());
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
    }
}
