//! The trait that every store implements, and what its calls give back.
//!
//! It assumes no SQL: a store is a durable, totally ordered log of commits that can also be scanned. Calls are boxed
//! futures so that an `Arc<dyn Store>` can be shared; a box a call is nothing beside a disk. [`Store::scan`] and
//! [`Store::backup`] block their caller instead, since they run for long and hand out borrowed data: give them a
//! thread.

use std::ops::ControlFlow;
use std::path::Path;
use std::pin::Pin;

use model::{
    CaveatName, CaveatRef, CommitHash, Context, DefinitionName, HistoryId, ObjectId, ObjectRef,
    RelationName, Relationship, Revision, StoreId, SubjectId, SubjectRef, Timestamp, Token,
};
use tokio::sync::watch;

use crate::audit::AuditLog;
use crate::commit::{CommitRequest, Committed, LogEntry, Position, Record};
use crate::error::{BackupError, CommitError, LogError, ScanRowError, StoreError, TokenRefused};

/// What a call of a [`Store`] returns.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Durable truth: an ordered log of commits and the relationships that it leaves.
pub trait Store: Send + Sync + 'static {
    /// Which store this is, and which history of it.
    fn identity(&self) -> StoreIdentity;

    /// Makes `request` durable as the next revision, or refuses it whole. [`crate::commit`] has the rules.
    ///
    /// Dropping the future does not take the request back.
    ///
    /// # Errors
    /// [`CommitError`]; the store is then as it was, but see [`StoreError::Unavailable`].
    fn commit(&self, request: CommitRequest) -> StoreFuture<'_, Result<Committed, CommitError>>;

    /// The newest commit: at least as new as any that was acknowledged, by any node, or told by [`Self::log`], before the
    /// call.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot tell.
    fn head(&self) -> StoreFuture<'_, Result<Head, StoreError>>;

    /// The present instant by the clock of the store, which all who share it share; none if it has no clock but this process's.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot tell.
    fn now(&self) -> StoreFuture<'_, Result<Option<Timestamp>, StoreError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// The newest head known to this process, advanced after each durable commit that it makes or hears of. A wake-up,
    /// not a promise: [`Self::head`] asks.
    fn head_watch(&self) -> watch::Receiver<Revision>;

    /// The schema as of `at`, or of the head; none before the first one.
    ///
    /// # Errors
    /// [`LogError::Trimmed`] for a revision before the log's beginning, [`LogError::BeyondHead`] past its end.
    fn schema(
        &self,
        at: Option<Revision>,
    ) -> StoreFuture<'_, Result<Option<StoredSchema>, LogError>>;

    /// The entries after a revision, in order and without a gap.
    ///
    /// # Errors
    /// [`LogError::Trimmed`] if some of them are gone, [`LogError::BeyondHead`] if the revision does not exist,
    /// [`LogError::NewerFormat`] if the first one cannot be understood.
    fn log(&self, query: LogQuery) -> StoreFuture<'_, Result<Vec<LogEntry>, LogError>>;

    /// The token of a revision.
    ///
    /// # Errors
    /// [`LogError::Trimmed`] or [`LogError::BeyondHead`] if the revision's hash is not there.
    fn token(&self, revision: Revision) -> StoreFuture<'_, Result<Token, LogError>>;

    /// Checks a token against the log.
    ///
    /// # Errors
    /// [`TokenRefused`]
    fn verify(&self, token: Token) -> StoreFuture<'_, Result<TokenVerdict, TokenRefused>>;

    /// Hands every row at one revision to `sink`, in the order that is quickest, until it breaks. Rows that have expired but
    /// are not removed yet are among them. Blocks; `sink` must not call the store.
    ///
    /// # Errors
    /// [`StoreError`] if the rows cannot be read.
    fn scan(
        &self,
        sink: &mut dyn FnMut(&ScanHeader, ScanRow<'_>) -> ControlFlow<()>,
    ) -> Result<ScanHeader, StoreError>;

    /// About how many relationships there are, for who waits for a scan to end; none where that is not to be had for less than
    /// the scan.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot tell.
    fn relationship_count(&self) -> StoreFuture<'_, Result<Option<u64>, StoreError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Forgets the log's entries older than `before`, in small steps between which commits go on. The newest entry
    /// stays, and so do all relationships.
    ///
    /// # Errors
    /// [`StoreError`] if a step fails; those before it are done.
    fn trim(&self, before: Timestamp) -> StoreFuture<'_, Result<Trimmed, StoreError>>;

    /// Writes a copy of the store to a new file while commits go on; the copy is a history of its own. Blocks.
    ///
    /// # Errors
    /// [`BackupError`]; the file is then not there.
    fn backup(
        &self,
        to: &Path,
        progress: &mut dyn FnMut(BackupProgress),
    ) -> Result<StoreIdentity, BackupError> {
        let _ = (to, progress);
        Err(BackupError::Unsupported)
    }

    /// Its audit log; none for what follows a store without being one, as a replica does. Ask the server then.
    fn audit(&self) -> Option<&dyn AuditLog> {
        None
    }

    /// Makes what waits durable, tidies up and lets go of the medium. Calls after it fail with
    /// [`StoreError::Closed`].
    ///
    /// # Errors
    /// [`StoreError`] if tidying up fails; what was acknowledged is durable all the same.
    fn close(&self) -> StoreFuture<'_, Result<(), StoreError>>;
}

/// Which store, and which history of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreIdentity {
    /// The store.
    pub store: StoreId,
    /// Its history.
    pub history: HistoryId,
}

impl StoreIdentity {
    /// The token of a commit of this history.
    #[must_use]
    pub fn token(&self, revision: Revision, hash: &CommitHash) -> Token {
        Token {
            store: self.store,
            history: self.history,
            revision,
            hash: hash.short(),
        }
    }
}

/// The newest commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its revision; 0 before the first commit.
    pub revision: Revision,
    /// Its time; the epoch before the first commit.
    pub time: Timestamp,
    /// Its hash; zero before the first commit.
    pub hash: CommitHash,
    /// The revision that set the schema; 0 before the first schema.
    pub schema_revision: Revision,
}

impl Head {
    /// Its place in the log.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            revision: self.revision,
            hash: self.hash,
        }
    }

    /// The head of a store without commits.
    pub const EMPTY: Self = Self {
        revision: Revision(0),
        time: Timestamp::EPOCH,
        hash: CommitHash::ZERO,
        schema_revision: Revision(0),
    };
}

/// A schema as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSchema {
    /// The revision that set it.
    pub revision: Revision,
    /// Its text.
    pub text: String,
}

/// Which part of the log to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogQuery {
    /// Only entries after this revision.
    pub after: Revision,
    /// How many entries at most.
    pub entries_max: usize,
    /// How many bytes at most, as the store keeps them; the first entry comes however large it is.
    pub bytes_max: usize,
}

/// What a scan is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanHeader {
    /// The commit whose rows they are.
    pub head: Head,
    /// Its schema.
    pub schema: Option<StoredSchema>,
    /// Its records, by kind and key.
    pub records: Vec<Record>,
}

/// One row, borrowed from the store for the length of a call. The texts were checked when they were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanRow<'a> {
    /// The definition of the resource.
    pub resource_definition: &'a str,
    /// The id of the resource.
    pub resource_id: &'a str,
    /// The relation.
    pub relation: &'a str,
    /// The definition of the subject.
    pub subject_definition: &'a str,
    /// The id of the subject, `*` for the wildcard.
    pub subject_id: &'a str,
    /// The relation of the subject, empty for none.
    pub subject_relation: &'a str,
    /// The name of the caveat and its context as a JSON object.
    pub caveat: Option<(&'a str, &'a str)>,
    /// The expiration.
    pub expires_at: Option<Timestamp>,
    /// The commit that wrote the row.
    pub revision: Revision,
}

impl ScanRow<'_> {
    /// The row as a relationship.
    ///
    /// # Errors
    /// [`ScanRowError`] if the store holds what it should not.
    pub fn to_relationship(&self) -> Result<Relationship, ScanRowError> {
        let resource = ObjectRef {
            definition: DefinitionName::new(self.resource_definition)?,
            id: ObjectId::new(self.resource_id)?,
        };
        let subject = SubjectRef {
            definition: DefinitionName::new(self.subject_definition)?,
            id: match self.subject_id {
                "*" => SubjectId::Wildcard,
                id => SubjectId::Object(ObjectId::new(id)?),
            },
            relation: match self.subject_relation {
                "" => None,
                name => Some(RelationName::new(name)?),
            },
        };
        let mut relationship =
            Relationship::new(resource, RelationName::new(self.relation)?, subject);
        if let Some((name, context)) = self.caveat {
            let context = Context::from_json(context)?;
            relationship.caveat = Some(CaveatRef {
                name: CaveatName::new(name)?,
                context,
            });
        }
        relationship.expires_at = self.expires_at;
        Ok(relationship)
    }
}

/// What the log says of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenVerdict {
    /// The token is of this commit.
    Known(Revision),
    /// The token is older than the log, so its hash cannot be checked. Good for "at least as fresh", for nothing else.
    Old(Revision),
}

/// What trimming did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trimmed {
    /// How many entries went.
    pub entries: u64,
    /// The oldest entry that is kept; 0 for an empty log.
    pub oldest: Revision,
}

/// How far a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupProgress {
    /// Pages written.
    pub pages_done: u64,
    /// Pages in all.
    pub pages: u64,
}
