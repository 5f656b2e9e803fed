//! Commits: what a caller asks to be made durable, and what the log keeps of it.
//!
//! The rules that every store follows, each with a test in [`crate::contract`]:
//!
//! 1. A commit whose idempotency key is on record is answered with the first result, and nothing else is looked at.
//! 2. A base that has moved, or is of a branch that this log is not, refuses the commit before anything else does.
//! 3. The time of a commit is the larger of `now` and the time of the commit before it. A store with a clock of its own takes that
//!    for `now` where it is behind.
//! 4. Rows expired at that time count as absent, for preconditions, for `Create`, for deletions and their counts.
//!    Writing over one replaces it.
//! 5. Preconditions see the store as it was before the commit; changes apply in the order given, each after the one
//!    before it.
//! 6. The entry holds at most one change for each relationship, from what was there before the commit to what is there
//!    after it, in the order of first application. Where both are the same there is none.
//! 7. A deletion by pattern takes relationships in the order of their keys, compared as bytes, so that a limit means
//!    the same ones in every store.
//! 8. The entry holds at most one change for each record, by the same rule.
//! 9. A commit that changes nothing still gets a revision: its caller wants a token.

use std::fmt;

use model::{
    CommitHash, Precondition, Relationship, RelationshipFilter, RelationshipUpdate, Revision,
    Timestamp,
};

use crate::audit::ErasedParts;

pub mod canonical;
pub(crate) mod changes;
pub(crate) mod draft;
mod record;

pub use record::{Record, RecordChange, RecordKey, RecordKeyError};

/// What a caller wants done, all of it or nothing.
#[derive(Debug, Clone)]
pub struct CommitRequest {
    /// What the request was worked out from.
    pub base: Base,
    /// What must hold of the store before the changes.
    pub preconditions: Vec<Precondition>,
    /// What to change, in this order.
    pub changes: Vec<ChangeRequest>,
    /// Makes a repetition of the request give the first result again.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Who asks, and why.
    pub provenance: Provenance,
    /// The present instant, as the node believes it to be.
    pub now: Timestamp,
}

/// What a request was worked out from; the commit is refused where it has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The revision of the schema that the request was validated against; 0 for none yet.
    pub schema_revision: Revision,
    /// The newest commit that was known. A store that has another in its place lost it, and refuses with
    /// [`StoreError::Diverged`](crate::StoreError::Diverged).
    pub known: Position,
    /// Whether admission depended on evaluating the graph, so that what was known has to be the head still.
    pub is_evaluated: bool,
}

impl Base {
    /// Of a request that was validated against the schema of that revision, and knows of no commit.
    #[must_use]
    pub fn of_schema(schema_revision: Revision) -> Self {
        Self {
            schema_revision,
            known: Position::START,
            is_evaluated: false,
        }
    }
}

/// A commit, as a place in the log: where two logs have the same one, they are alike up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Its revision; 0 before the first commit.
    pub revision: Revision,
    /// Its hash; zero before the first commit.
    pub hash: CommitHash,
}

impl Position {
    /// The place before the first commit, which every log has.
    pub const START: Self = Self {
        revision: Revision(0),
        hash: CommitHash::ZERO,
    };
}

/// One part of a request.
#[derive(Debug, Clone)]
pub enum ChangeRequest {
    /// Creates, touches or deletes one relationship.
    Relationship(RelationshipUpdate),
    /// Deletes every relationship that matches.
    DeleteMatching {
        /// Which ones.
        filter: RelationshipFilter,
        /// How many at most; without one, all.
        limit: Option<u32>,
        /// Whether more may match than the limit: then the first ones go, otherwise the commit is refused.
        partial: bool,
    },
    /// Puts a record in place of the one that is there, or removes it.
    Record {
        /// Its name.
        key: RecordKey,
        /// What it says from now on; none removes it.
        value: Option<Vec<u8>>,
    },
    /// Replaces the schema by this text.
    Schema(String),
    /// Removes parts of earlier entries of the audit log, whose tree stays as it is.
    Erase(Vec<ErasedParts>),
    /// Removes rows that expired at `before` or earlier, and by the time of the commit. A commit of nothing else is
    /// housekeeping, which a watch does not report.
    RemoveExpired {
        /// The latest expiration that goes.
        before: Timestamp,
        /// How many rows at most, the longest expired first.
        limit: u32,
    },
}

/// Who made a commit, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The caller.
    pub actor: String,
    /// A ticket, a request, a sentence.
    pub reason: Option<String>,
    /// A JSON object of the caller's own.
    pub metadata: Option<String>,
    /// From where it was made, and by what the caller was known. For the audit log alone: what is read from the log has none.
    pub origin: Option<String>,
}

/// A caller's name for one request, up to 128 bytes. It is remembered for as long as the commit's entry is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

/// Why a text is no idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an idempotency key has 1 to {} bytes, this one has {bytes}",
    IdempotencyKey::BYTES_MAX
)]
pub struct IdempotencyKeyError {
    /// The length that was given.
    pub bytes: usize,
}

impl IdempotencyKey {
    /// The longest key, in bytes.
    pub const BYTES_MAX: usize = 128;

    /// Checks `text` and keeps it.
    ///
    /// # Errors
    /// [`IdempotencyKeyError`] if it is empty or longer than [`Self::BYTES_MAX`].
    pub fn new(text: &str) -> Result<Self, IdempotencyKeyError> {
        if text.is_empty() || text.len() > Self::BYTES_MAX {
            return Err(IdempotencyKeyError { bytes: text.len() });
        }
        Ok(Self(text.to_owned()))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What became of a request: it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The revision of the commit.
    pub revision: Revision,
    /// The time of the commit.
    pub time: Timestamp,
    /// The hash of the commit.
    pub hash: CommitHash,
    /// Relationships that `DeleteMatching` and `RemoveExpired` removed.
    pub deleted_count: u64,
    /// Whether each of them removed all it meant, rather than stopping at its limit.
    pub deletion_complete: bool,
    /// Whether this is the result of an earlier commit with the same idempotency key.
    pub replayed: bool,
}

impl Committed {
    /// Its place in the log.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            revision: self.revision,
            hash: self.hash,
        }
    }
}

/// One commit of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// The revision of the commit.
    pub revision: Revision,
    /// The time of the commit.
    pub time: Timestamp,
    /// The hash of the commit.
    pub hash: CommitHash,
    /// The hash of the commit before it.
    pub previous: CommitHash,
    /// Who made it, and why.
    pub provenance: Provenance,
    /// What changed: at most one change for each relationship.
    pub changes: Vec<Change>,
    /// What changed of the records: at most one change for each.
    pub records: Vec<RecordChange>,
    /// The change of the schema, if it changed.
    pub schema: Option<SchemaChange>,
    /// Whether it only removed expired rows.
    pub housekeeping: bool,
}

/// What became of one relationship. At least one side is present, and they differ.
///
/// `before` is the row that was there, even if it had expired: undoing the change must bring it back, since an earlier
/// `now` may still count it.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The row before the commit.
    pub before: Option<Relationship>,
    /// The row after the commit.
    pub after: Option<Relationship>,
}

impl Change {
    /// The relationship on whichever side it is present, the later one first. Key and names are the same on both.
    #[must_use]
    pub fn relationship(&self) -> Option<&Relationship> {
        self.after.as_ref().or(self.before.as_ref())
    }
}

/// A change of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaChange {
    /// The text before; none for the first schema.
    pub before: Option<String>,
    /// The text after.
    pub after: String,
}

impl LogEntry {
    /// The hash that the entry's contents have; it differs from `hash` if one of them was altered.
    #[must_use]
    pub fn computed_hash(&self) -> CommitHash {
        canonical::EntryHeader {
            previous: self.previous,
            revision: self.revision,
            time: self.time,
            housekeeping: self.housekeeping,
            provenance: &self.provenance,
            schema: self.schema.as_ref().map(|schema| schema.after.as_str()),
        }
        .hash(&canonical::encode_changes(&self.changes, &self.records))
    }
}
