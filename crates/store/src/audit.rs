//! The audit log: every commit, for as long as the store lives, in a form that cannot be changed unseen.
//!
//! The log of commits is trimmed; this one is not. In the transaction of a commit its store appends one entry: who, what, when,
//! why and from where, what was before and what is after. The hashes of the entries are the leaves of a Merkle tree (RFC 6962), whose root is
//! signed from time to time ([`note`]): whoever keeps such a checkpoint finds any later change of what it covers.
//!
//! What names people is no part of the tree itself but of salted commitments in it ([`entry`]). So a part can be removed, and the
//! tree stays as it was; what removed it is an entry of its own, which tells an erased part from one that was torn out.
//!
//! | module | holds |
//! |---|---|
//! | [`entry`] | an entry: its header, its parts, their commitments, its leaf |
//! | [`tree`] | the tree: roots, proofs, tiles; pure |
//! | [`note`] | signed notes, checkpoints, keys |
//! | [`erasures`] | what was erased, told from what was torn out, while more is erased |
//! | [`verify`] | whether a log is whole: entry after entry, then what is found |
//! | [`export`] | a log as lines of JSON, and back |
//! | [`proof`] | one entry, proven to somebody who has nothing but a public key |

pub mod entry;
pub mod erasures;
pub mod export;
pub mod note;
pub mod proof;
pub mod tree;
pub mod verify;

pub(crate) mod text;
pub(crate) mod write;

pub use entry::{Body, Entry, EntryError, ErasedParts, Header, Kind, Part, RecordValue};
pub use note::{Checkpoint, NoteError, SignedNote, SigningKey, VerifyingKey};
pub use tree::{Hash, Place};

use crate::error::StoreError;
use crate::store::StoreFuture;

/// The audit log of a store.
///
/// INVARIANT: there is one entry for each commit since the log began, made in the commit's own transaction.
pub trait AuditLog: Send + Sync {
    /// How far the log is.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot tell.
    fn state(&self) -> StoreFuture<'_, Result<AuditState, StoreError>>;

    /// Entries in the order of their indices, as they are stored; none past the end.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    fn entries(&self, query: AuditQuery) -> StoreFuture<'_, Result<Vec<Entry>, StoreError>>;

    /// The hashes at these places of the tree, in the same order.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if one of them is not there.
    fn hashes(&self, places: Vec<Place>) -> StoreFuture<'_, Result<Vec<Hash>, StoreError>>;

    /// Signed checkpoints of more than `after` entries, the smallest first.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    fn checkpoints(
        &self,
        after: u64,
        count_max: usize,
    ) -> StoreFuture<'_, Result<Vec<StoredCheckpoint>, StoreError>>;

    /// The signed checkpoint of the most entries.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    fn last_checkpoint(&self) -> StoreFuture<'_, Result<Option<StoredCheckpoint>, StoreError>>;

    /// Keeps a checkpoint, unless there is one of as many entries; returns the one that is there in the end.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    fn keep_checkpoint(
        &self,
        checkpoint: StoredCheckpoint,
    ) -> StoreFuture<'_, Result<StoredCheckpoint, StoreError>>;
}

/// How far an audit log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditState {
    /// The revision after which it begins.
    pub begin: u64,
    /// How many entries it has.
    pub size: u64,
}

/// Which entries to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditQuery {
    /// The index of the first one.
    pub from: u64,
    /// How many at most.
    pub entries_max: usize,
    /// How many bytes at most, as the store keeps them; the first one comes however large it is.
    pub bytes_max: usize,
}

/// A checkpoint as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// How many entries it is of.
    pub size: u64,
    /// The signed note.
    pub note: String,
}
