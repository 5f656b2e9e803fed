//! Why a call to a store failed, in terms that tell the caller what to do next.

use model::{NameError, Precondition, RelationshipFilter, RelationshipKey, Revision};

use crate::commit::IdempotencyKey;
use crate::sqlite::OpenError;

/// What a store's own causes are kept as.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// The store could not do its work; nothing is wrong with the call.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The medium has no room for a commit. Reads go on, and commits too once there is room.
    #[error("the store has no room left")]
    Full,
    /// More commits wait than the store lets wait; ask again later.
    #[error("{waiting_max} commits wait already")]
    Overloaded {
        /// How many may wait.
        waiting_max: usize,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The store cannot be reached, or its medium failed. A commit that fails so may yet have become durable: ask
    /// again with the same idempotency key.
    #[error("the store is unavailable: {detail}")]
    Unavailable {
        /// What failed.
        detail: &'static str,
        /// The cause.
        #[source]
        source: Source,
    },
    /// The store is not the one that was opened, or has lost commits of it, as after a restore or the promotion of a standby
    /// that was behind. What this process knows of it is of no use any more: it has to be opened anew.
    #[error("the store is no longer the one that was opened: {detail}; restart this process")]
    Diverged {
        /// What differs.
        detail: String,
    },
    /// What the store holds is damaged; restore it from a backup.
    #[error("the store is damaged: {detail}")]
    Corrupt {
        /// What is wrong.
        detail: String,
    },
}

impl StoreError {
    /// It has not the commit of that revision which this process knows.
    pub(crate) fn lacks(revision: Revision) -> Self {
        Self::Diverged {
            detail: format!("it does not have revision {revision} as this node knows it"),
        }
    }
}

/// Why a commit was refused. It changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The base has moved: catch up, work the request out again, ask again.
    #[error(
        "the request was worked out from a state that has moved on; the head is now revision {head}"
    )]
    Conflict {
        /// The head that refused it.
        head: Revision,
    },
    /// A precondition does not hold.
    #[error("precondition {index} does not hold")]
    PreconditionFailed {
        /// Its place in the request.
        index: usize,
        /// The precondition.
        precondition: Box<Precondition>,
    },
    /// A relationship to be created is there.
    #[error("relationship `{0}` exists")]
    AlreadyExists(Box<RelationshipKey>),
    /// A deletion matches more than its limit, and may not be partial.
    #[error("more than {limit} relationships match the deletion")]
    TooManyToDelete {
        /// The pattern.
        filter: Box<RelationshipFilter>,
        /// The limit.
        limit: u32,
    },
    /// The idempotency key was used for another request.
    #[error("idempotency key `{key}` was used for another request")]
    IdempotencyKeyReused {
        /// The key.
        key: IdempotencyKey,
    },
    /// The changes take more bytes than one entry of the log may have.
    #[error("the commit has {bytes} bytes of changes, at most {bytes_max} are allowed")]
    TooLarge {
        /// The size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The audit log has no such part to be erased.
    #[error("entry {index} of the audit log cannot be erased in part: {detail}")]
    Erasure {
        /// The entry.
        index: u64,
        /// Why not.
        detail: String,
    },
    /// The store could not do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a part of the past cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log no longer reaches back that far.
    #[error("the log begins at revision {oldest}, earlier ones were trimmed")]
    Trimmed {
        /// The oldest revision that is kept.
        oldest: Revision,
    },
    /// The revision is not there yet.
    #[error("the head is revision {head}, the one asked for is later")]
    BeyondHead {
        /// The head.
        head: Revision,
    },
    /// The next entry was written by a later version; this one must not skip it.
    #[error("revision {revision} has format {version}, which this version does not know")]
    NewerFormat {
        /// The entry.
        revision: Revision,
        /// The number of its format.
        version: u8,
    },
    /// The store could not do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TokenRefused {
    /// It is of another store.
    #[error("the token is of another store")]
    OtherStore,
    /// It is of this store before a restore, or of a copy.
    #[error("the token is of another history of this store, as after a restore")]
    OtherHistory,
    /// It names a revision that does not exist.
    #[error("the token's revision is beyond the head, which is {head}")]
    BeyondHead {
        /// The head.
        head: Revision,
    },
    /// Its hash is not the hash of its revision: it was forged, or the log was altered.
    #[error("the token's hash is not that of its revision {revision}")]
    HashMismatch {
        /// The revision.
        revision: Revision,
    },
    /// The store could not do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// This kind of store is backed up by its own tools.
    #[error("this kind of store is backed up by its own tools")]
    Unsupported,
    /// There is a file already.
    #[error("`{path}` exists, a backup overwrites nothing")]
    Exists {
        /// The path.
        path: String,
    },
    /// There is the log of a file that is not there any more.
    #[error(transparent)]
    LeftOver(OpenError),
    /// The copy could not be written.
    #[error("cannot write the backup `{path}`")]
    Write {
        /// The path.
        path: String,
        /// The cause.
        #[source]
        source: Source,
    },
    /// The store could not do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a scanned row is no relationship: the store holds what it should not.
#[derive(Debug, thiserror::Error)]
pub enum ScanRowError {
    /// A part is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The caveat's context is wrong.
    #[error(transparent)]
    Context(#[from] model::ContextError),
}

impl From<ScanRowError> for StoreError {
    fn from(error: ScanRowError) -> Self {
        Self::Corrupt {
            detail: error.to_string(),
        }
    }
}
