//! Records: what is kept beside the relationships, in the same commits and in the same log.
//!
//! A store does not know what a record means. A node that meets a kind it does not know stops, as it does for a schema
//! that it cannot read.

use std::fmt;

/// The name of a record: its kind, and its key among those of the kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    kind: String,
    key: String,
}

/// Why two texts name no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a record's kind has 1 to {} bytes and its key 1 to {}; these have {kind_bytes} and {key_bytes}",
    RecordKey::KIND_BYTES_MAX,
    RecordKey::KEY_BYTES_MAX
)]
pub struct RecordKeyError {
    /// The length of the kind that was given.
    pub kind_bytes: usize,
    /// The length of the key that was given.
    pub key_bytes: usize,
}

impl RecordKey {
    /// The longest kind, in bytes.
    pub const KIND_BYTES_MAX: usize = 64;
    /// The longest key, in bytes.
    pub const KEY_BYTES_MAX: usize = 1_024;

    /// Checks both and keeps them.
    ///
    /// # Errors
    /// [`RecordKeyError`] if one is empty or too long.
    pub fn new(kind: &str, key: &str) -> Result<Self, RecordKeyError> {
        let fits = |text: &str, bytes_max| (1..=bytes_max).contains(&text.len());
        if !fits(kind, Self::KIND_BYTES_MAX) || !fits(key, Self::KEY_BYTES_MAX) {
            return Err(RecordKeyError {
                kind_bytes: kind.len(),
                key_bytes: key.len(),
            });
        }
        Ok(Self {
            kind: kind.to_owned(),
            key: key.to_owned(),
        })
    }

    /// What kind of record it is.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Its key among those of the kind.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.key)
    }
}

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub key: RecordKey,
    /// What it says.
    pub value: Vec<u8>,
}

/// What became of one record in a commit. At least one side is present, and they differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordChange {
    /// Its name.
    pub key: RecordKey,
    /// The value before the commit.
    pub before: Option<Vec<u8>>,
    /// The value after the commit.
    pub after: Option<Vec<u8>>,
}
