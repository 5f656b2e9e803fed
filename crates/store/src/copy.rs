//! Moving to another store: all that one holds, written to a new one while the first is in use.
//!
//! The copy has the relationships with the revisions that wrote them, the records, the schemas, and the log as far as it is kept,
//! so that what is on record of a grant stays so; and the whole audit log, as it is. It is the same store with a history of its own: tokens of the original are
//! not good for it. Idempotency keys are not copied.

use model::Revision;

use self::audit::AuditCopy;
use crate::audit::erasures::StillErasing;
use crate::audit::{AuditQuery, AuditState, Entry, Hash, Place, StoredCheckpoint};
use crate::commit::LogEntry;
use crate::digest::Digest;
use crate::error::{LogError, Source as Cause, StoreError};
use crate::sqlite::OpenError;
use crate::store::{LogQuery, ScanHeader, ScanRow, StoreIdentity, StoredSchema};

mod audit;

/// Entries, and bytes of them, that are copied together.
const ENTRIES_MAX: usize = 1_000;
const BYTES_MAX: usize = 16 << 20;

/// What is copied from. Calls block.
pub trait Source {
    /// Which store it is.
    fn identity(&self) -> StoreIdentity;

    /// As [`crate::Store::scan`].
    ///
    /// # Errors
    /// [`StoreError`]
    fn scan(
        &self,
        sink: &mut dyn FnMut(&ScanHeader, ScanRow<'_>) -> std::ops::ControlFlow<()>,
    ) -> Result<ScanHeader, StoreError>;

    /// As [`crate::Store::log`].
    ///
    /// # Errors
    /// [`LogError`]
    fn log(&self, query: LogQuery) -> Result<Vec<LogEntry>, LogError>;

    /// As [`crate::Store::schema`].
    ///
    /// # Errors
    /// [`LogError`]
    fn schema(&self, at: Revision) -> Result<Option<StoredSchema>, LogError>;

    /// As [`crate::AuditLog::state`]; none for a store that has none yet, since a version before made it.
    ///
    /// # Errors
    /// [`StoreError`]
    fn audit_state(&self) -> Result<Option<AuditState>, StoreError>;

    /// As [`crate::AuditLog::entries`].
    ///
    /// # Errors
    /// [`StoreError`]
    fn audit_entries(&self, query: AuditQuery) -> Result<Vec<Entry>, StoreError>;

    /// As [`crate::AuditLog::hashes`].
    ///
    /// # Errors
    /// [`StoreError`]
    fn audit_hashes(&self, places: Vec<Place>) -> Result<Vec<Hash>, StoreError>;

    /// As [`crate::AuditLog::checkpoints`].
    ///
    /// # Errors
    /// [`StoreError`]
    fn audit_checkpoints(
        &self,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<StoredCheckpoint>, StoreError>;
}

/// A store in the making: nobody sees it before it is finished. Calls block.
pub trait Target {
    /// Takes a row of the state that is copied first.
    ///
    /// # Errors
    /// [`CopyError`]
    fn row(&mut self, row: &ScanRow<'_>) -> Result<(), CopyError>;

    /// Takes what belongs to that state besides, and `before`, the schema that was in force before the log begins.
    ///
    /// # Errors
    /// [`CopyError`]
    fn state(
        &mut self,
        header: &ScanHeader,
        before: Option<&StoredSchema>,
    ) -> Result<(), CopyError>;

    /// Takes an entry of the log, the next one. `is_past` says that the state has its changes already.
    ///
    /// # Errors
    /// [`CopyError`]
    fn entry(&mut self, entry: &LogEntry, is_past: bool) -> Result<(), CopyError>;

    /// Takes where the audit log begins, before any of it.
    ///
    /// # Errors
    /// [`CopyError`]
    fn audit_begin(&mut self, begin: u64) -> Result<(), CopyError>;

    /// Takes the next entries of the audit log, as they are.
    ///
    /// # Errors
    /// [`CopyError`]
    fn audit_entries(&mut self, entries: &[Entry]) -> Result<(), CopyError>;

    /// Takes what is left of an entry of the audit log that it took already.
    ///
    /// # Errors
    /// [`CopyError`]
    fn audit_erased(&mut self, entry: &Entry) -> Result<(), CopyError>;

    /// Takes checkpoints of the audit log.
    ///
    /// # Errors
    /// [`CopyError`]
    fn audit_checkpoints(&mut self, checkpoints: &[StoredCheckpoint]) -> Result<(), CopyError>;

    /// Takes no more: it is the store of `source` from here on, in a history of its own.
    ///
    /// # Errors
    /// [`CopyError`]
    fn finish(&mut self, source: StoreIdentity) -> Result<StoreIdentity, CopyError>;

    /// The digest of what it holds.
    ///
    /// # Errors
    /// [`CopyError`]
    fn digest(&mut self) -> Result<Digest, CopyError>;

    /// Lets others see it.
    ///
    /// # Errors
    /// [`CopyError`]
    fn publish(&mut self) -> Result<(), CopyError>;
}

/// Why a store could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The original cannot be read.
    #[error("the original cannot be read")]
    Source(#[source] LogError),
    /// The log was trimmed while it was copied; copy again.
    #[error("the log of the original was trimmed while it was copied; copy it again")]
    Trimmed,
    /// The log has another commit than the one that was copied, as after a failover to a standby that lagged; copy again.
    #[error(
        "the log of the original has another commit at revision {revision} than was copied, as after a failover; copy it again"
    )]
    Forked {
        /// The revision.
        revision: Revision,
    },
    /// Its audit log was erased from all the while; copy again.
    #[error("the audit log of the original cannot be copied yet")]
    Erasing(#[source] StillErasing),
    /// The copy holds something already.
    #[error("`{place}` is there, and a copy overwrites nothing")]
    Exists {
        /// Where it was to be.
        place: String,
    },
    /// There is the log of a file that is not there any more.
    #[error(transparent)]
    LeftOver(OpenError),
    /// The copy cannot be written.
    #[error("the copy cannot be written")]
    Target(#[source] Cause),
    /// The copy does not hold what was read; it is of no use.
    #[error(
        "the copy has {found} relationships with digest {found_digest}, {expected} with {expected_digest} were copied"
    )]
    Differs {
        /// How many were copied.
        expected: u64,
        /// The digest of those.
        expected_digest: Digest,
        /// How many it has.
        found: u64,
        /// The digest of those.
        found_digest: Digest,
    },
}

impl From<StoreError> for CopyError {
    fn from(error: StoreError) -> Self {
        Self::Source(error.into())
    }
}

/// A finished copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Which store it is, and its history.
    pub identity: StoreIdentity,
    /// The newest commit that it has.
    pub head: Revision,
    /// What it holds; verified by reading it again.
    pub digest: Digest,
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyProgress {
    /// So many relationships of the state were copied.
    Rows(u64),
    /// The log was copied up to here.
    Log(Revision),
    /// So many entries of the audit log were copied.
    Audit(u64),
    /// All that the original had was copied.
    CaughtUp(Revision),
}

/// What to do once all is copied that the original had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Ask for more, at once: who is told waits as long as it likes.
    Follow,
    /// Finish; more is copied first if parts of the audit log were erased meanwhile.
    Finish,
}

/// Copies `source` to `target`. Tells `progress`, whose answer counts when it is told that all is copied.
///
/// # Errors
/// [`CopyError`]; the target is no store then.
pub fn copy(
    source: &dyn Source,
    target: &mut dyn Target,
    progress: &mut dyn FnMut(CopyProgress) -> Next,
) -> Result<Copied, CopyError> {
    let mut digest = Digest::default();
    let mut failed = None;
    let header = source.scan(&mut |_, row| {
        digest.add_row(&row);
        if let Err(error) = target.row(&row) {
            failed = Some(error);
            return std::ops::ControlFlow::Break(());
        }
        if digest.count().is_multiple_of(10_000) {
            progress(CopyProgress::Rows(digest.count()));
        }
        std::ops::ControlFlow::Continue(())
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let header = header?;
    let first = beginning(source)?;
    let before = source.schema(first).map_err(of_source)?;
    target.state(&header, before.as_ref())?;
    let (mut at, mut hash) = (first, None);
    let mut audit = AuditCopy::begin(source, target)?;
    let mut is_over = false;
    loop {
        let entries = source.log(query(at)).map_err(of_source)?;
        for entry in &entries {
            let is_head = entry.revision == header.head.revision;
            let follows = hash.is_none_or(|hash| hash == entry.previous);
            if !follows || (is_head && entry.hash != header.head.hash) {
                let revision = entry.revision;
                return Err(CopyError::Forked { revision });
            }
            hash = Some(entry.hash);
            let is_past = entry.revision <= header.head.revision;
            target.entry(entry, is_past)?;
            if !is_past {
                for change in &entry.changes {
                    change.before.iter().for_each(|row| digest.remove(row));
                    change.after.iter().for_each(|row| digest.add(row));
                }
            }
            at = entry.revision;
        }
        if !entries.is_empty() {
            progress(CopyProgress::Log(at));
            continue;
        }
        audit.follow(source, target, at.max(header.head.revision), progress)?;
        is_over |= progress(CopyProgress::CaughtUp(at)) == Next::Finish;
        if is_over && !audit.goes_on()? {
            break;
        }
    }
    audit.finish(source, target)?;
    let identity = target.finish(source.identity())?;
    let found = target.digest()?;
    if found != digest {
        return Err(CopyError::Differs {
            expected: digest.count(),
            expected_digest: digest,
            found: found.count(),
            found_digest: found,
        });
    }
    target.publish()?;
    Ok(Copied {
        identity,
        head: at,
        digest,
    })
}

fn query(after: Revision) -> LogQuery {
    LogQuery {
        after,
        entries_max: ENTRIES_MAX,
        bytes_max: BYTES_MAX,
    }
}

/// The revision after which the log begins.
fn beginning(source: &dyn Source) -> Result<Revision, CopyError> {
    let query = LogQuery {
        entries_max: 1,
        ..query(Revision(0))
    };
    match source.log(query) {
        Ok(_) => Ok(Revision(0)),
        Err(LogError::Trimmed { oldest }) => Ok(Revision(oldest.0.saturating_sub(1))),
        Err(error) => Err(CopyError::Source(error)),
    }
}

fn of_source(error: LogError) -> CopyError {
    match error {
        LogError::Trimmed { .. } => CopyError::Trimmed,
        error @ (LogError::BeyondHead { .. }
        | LogError::NewerFormat { .. }
        | LogError::Store(_)) => CopyError::Source(error),
    }
}
