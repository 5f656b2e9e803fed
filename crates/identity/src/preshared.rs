//! Preshared keys: several, named, replaced while the server runs.
//!
//! A key is kept as its BLAKE3 hash, which is enough since keys are long and random: there is nothing to guess, so
//! nothing that a slow hash would protect. A presented key is hashed and compared in constant time with every key, so
//! that the time tells neither how much of a key was right nor which.

use std::fmt;

use arc_swap::ArcSwap;
use blake3::Hash;

use crate::caller::Caller;

/// The keys that let callers in.
pub struct PresharedKeys {
    keys: ArcSwap<Vec<Key>>,
}

#[derive(Clone)]
struct Key {
    name: String,
    hash: Hash,
}

/// Why nobody was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticateError {
    /// There is no key.
    #[error("no key was presented")]
    Missing,
    /// The header is not `Bearer KEY`.
    #[error("the authorization header is not `Bearer KEY`")]
    Malformed,
    /// The key is not one of the server's.
    #[error("the key is not known")]
    UnknownKey,
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
    /// Two keys have the same name.
    #[error("two keys are called `{name}`")]
    SameName {
        /// The name.
        name: String,
    },
    /// There is no key at all.
    #[error("there is no key")]
    None,
}

/// A name and a key, separated by this, or a key alone.
const SEPARATOR: char = ':';

impl PresharedKeys {
    /// The keys of `texts`: each `NAME:KEY`, or a key alone, which is called `key-1` and so on.
    ///
    /// # Errors
    /// [`KeyError`] if there is none, one is empty, or two have one name.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, KeyError> {
        let keys = parse(
            texts
                .into_iter()
                .enumerate()
                .map(|(ix, text)| (ix + 1, text)),
        )?;
        Ok(Self {
            keys: ArcSwap::from_pointee(keys),
        })
    }

    /// The keys of a file: one a line, as in [`Self::new`]; blank lines and those that begin with `#` are passed over.
    ///
    /// # Errors
    /// As [`Self::new`], with the number of the line.
    pub fn from_file_text(text: &str) -> Result<Self, KeyError> {
        let lines = text
            .lines()
            .enumerate()
            .map(|(ix, line)| (ix + 1, line.trim()));
        let keys = parse(lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')))?;
        Ok(Self {
            keys: ArcSwap::from_pointee(keys),
        })
    }

    /// Takes the keys of `other` in place of these, at once for every caller after it.
    pub fn replace(&self, other: Self) {
        self.keys.store(other.keys.into_inner());
    }

    /// These keys and those of `other`.
    ///
    /// # Errors
    /// [`KeyError::SameName`] if two have one name.
    pub fn joined(self, other: &Self) -> Result<Self, KeyError> {
        let mut keys = self.keys.load().as_ref().clone();
        for key in other.keys.load().iter() {
            if keys.iter().any(|known| known.name == key.name) {
                return Err(KeyError::SameName {
                    name: key.name.clone(),
                });
            }
            keys.push(key.clone());
        }
        Ok(Self {
            keys: ArcSwap::from_pointee(keys),
        })
    }

    /// Lets a caller in by the value of an `authorization` header.
    ///
    /// # Errors
    /// [`AuthenticateError`] without a header, with one of another form, and with a key that is not one of these.
    /// # Cost
    /// One hash, and a comparison in constant time with every key.
    pub fn authenticate(&self, header: Option<&str>) -> Result<Caller, AuthenticateError> {
        let header = header.ok_or(AuthenticateError::Missing)?;
        let (scheme, key) = header.split_once(' ').ok_or(AuthenticateError::Malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") || key.is_empty() {
            return Err(AuthenticateError::Malformed);
        }
        let presented = blake3::hash(key.as_bytes());
        let mut found = None;
        for known in self.keys.load().iter() {
            // `Hash` compares in constant time; the loop goes on after a match.
            if known.hash == presented {
                found = Some(Caller::new(&known.name));
            }
        }
        found.ok_or(AuthenticateError::UnknownKey)
    }
}

fn parse<'a>(texts: impl Iterator<Item = (usize, &'a str)>) -> Result<Vec<Key>, KeyError> {
    let mut keys: Vec<Key> = Vec::new();
    for (number, text) in texts {
        let (name, key) = match text.split_once(SEPARATOR) {
            Some((name, key)) => (name.trim().to_owned(), key.trim()),
            None => (format!("key-{number}"), text.trim()),
        };
        if key.is_empty() || name.is_empty() {
            return Err(KeyError::Empty { number });
        }
        if keys.iter().any(|known| known.name == name) {
            return Err(KeyError::SameName { name });
        }
        keys.push(Key {
            name,
            hash: blake3::hash(key.as_bytes()),
        });
    }
    if keys.is_empty() {
        Err(KeyError::None)
    } else {
        Ok(keys)
    }
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

    #[test]
    fn every_key_lets_its_caller_in_and_nothing_else_does() {
        let keys = PresharedKeys::new(["billing:aaa", "bbb"]).unwrap();
        assert_eq!(
            keys.authenticate(Some("Bearer aaa")).unwrap().name(),
            "billing"
        );
        assert_eq!(
            keys.authenticate(Some("bearer bbb")).unwrap().name(),
            "key-2"
        );
        for (header, error) in [
            (None, AuthenticateError::Missing),
            (Some("aaa"), AuthenticateError::Malformed),
            (Some("Basic aaa"), AuthenticateError::Malformed),
            (Some("Bearer "), AuthenticateError::Malformed),
            (Some("Bearer aa"), AuthenticateError::UnknownKey),
            (Some("Bearer aaaa"), AuthenticateError::UnknownKey),
        ] {
            assert_eq!(keys.authenticate(header), Err(error), "{header:?}");
        }
    }

    #[test]
    fn keys_are_rotated_at_once() {
        let keys = PresharedKeys::new(["old"]).unwrap();
        keys.replace(PresharedKeys::from_file_text("# rotated\n\nnew\nops:other\n").unwrap());
        assert_eq!(
            keys.authenticate(Some("Bearer old")),
            Err(AuthenticateError::UnknownKey)
        );
        assert!(keys.authenticate(Some("Bearer new")).is_ok());
        assert_eq!(
            keys.authenticate(Some("Bearer other")).unwrap().name(),
            "ops"
        );
    }

    #[test]
    fn what_is_wrong_is_told_without_the_key() {
        assert_eq!(PresharedKeys::new([]).unwrap_err(), KeyError::None);
        assert_eq!(
            PresharedKeys::from_file_text("a:x\n\na:secret")
                .unwrap_err()
                .to_string(),
            "two keys are called `a`"
        );
        assert_eq!(
            PresharedKeys::from_file_text("\nname:").unwrap_err(),
            KeyError::Empty { number: 2 }
        );
        assert_eq!(
            format!("{:?}", PresharedKeys::new(["a:secret"]).unwrap()),
            r#"PresharedKeys { names: ["a"], .. }"#
        );
    }

    #[test]
    fn generated_keys_are_long_and_differ() {
        let (one, other) = (generate_key().unwrap(), generate_key().unwrap());
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
    }
}
