//! The one thread that writes.
//!
//! It takes whatever commits wait, applies each within a savepoint of one transaction, makes that durable with one
//! sync, and answers them all: while the disk syncs the next group gathers. A refused commit goes back to its
//! savepoint. If the transaction itself fails, each commit of the group is tried alone, so that one that does not fit
//! on the disk takes no other with it.
//!
//! INVARIANT: a commit is answered only after the sync that made it durable, and the head is published before that. A
//! reader may see the commit between the two, for it is durable then; it publishes the head first where the writer has
//! not yet.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::{Revision, Timestamp};
use rusqlite::{Connection, params};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use super::apply::apply;
use super::codec::{revision, revision_sql};
use super::file_lock::FileLock;
use super::open::BUSY_TIMEOUT;
use super::{audit, lock};
use crate::audit::StoredCheckpoint;
use crate::audit::write::Log;
use crate::commit::{ChangeRequest, CommitRequest, Committed};
use crate::error::{CommitError, StoreError};
use crate::store::{Head, Trimmed};

/// Commits in one transaction.
const GROUP_COMMITS_MAX: usize = 1_024;
/// Parts of requests in one transaction; past it the group takes no more, so that a small commit does not wait for
/// several large ones.
const GROUP_CHANGES_MAX: usize = 50_000;
/// Entries that one step of trimming removes.
const TRIM_STEP_ENTRIES: i64 = 256;
/// How long commits wait for those who read the write-ahead log when it is to be emptied, and after how long that is tried again.
const FORGET_WAIT_MAX: Duration = Duration::from_millis(50);
const FORGET_AGAIN: Duration = Duration::from_secs(5);

/// What the writer is asked.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every command is a commit"
)]
pub(super) enum Command {
    Commit(CommitJob),
    TrimStep {
        before: Timestamp,
        answer: oneshot::Sender<Result<TrimStep, StoreError>>,
    },
    /// Keeps a checkpoint of the audit log.
    Keep {
        checkpoint: StoredCheckpoint,
        answer: oneshot::Sender<Result<StoredCheckpoint, StoreError>>,
    },
    Close {
        answer: oneshot::Sender<Result<(), StoreError>>,
    },
}

/// One waiting commit.
pub(super) struct CommitJob {
    pub(super) request: CommitRequest,
    pub(super) answer: oneshot::Sender<Result<Committed, CommitError>>,
    /// Its place among those that may wait; given back when it is answered.
    pub(super) place: OwnedSemaphorePermit,
}

/// What one step of trimming did.
pub(super) struct TrimStep {
    pub(super) trimmed: Trimmed,
    pub(super) is_done: bool,
}

/// What the writer publishes.
pub(super) struct Published {
    pub(super) head: Mutex<Head>,
    pub(super) revision: watch::Sender<Revision>,
}

impl Published {
    /// Makes `head` the published one if it is newer.
    pub(super) fn raise(&self, head: Head) {
        let mut published = lock(&self.head);
        if published.revision < head.revision {
            *published = head;
        }
    }
}

/// The writer's state; it lives on its own thread.
pub(super) struct Writer {
    pub(super) connection: Arc<Mutex<Connection>>,
    pub(super) head: Head,
    pub(super) audit: Log,
    pub(super) published: Arc<Published>,
    /// A sync failed: what the disk holds beyond the last commit is unknown until the file is opened anew.
    pub(super) has_failed: bool,
    /// Something was erased or trimmed, and the write-ahead log, or the file below it, may have it still: when that is to be
    /// mended.
    pub(super) forget_at: Option<Instant>,
    /// Joined before the end, so that the file is let go of last.
    pub(super) readers: Vec<JoinHandle<()>>,
    /// Keeps other processes out of the file.
    pub(super) file_lock: Option<FileLock>,
}

impl Writer {
    /// Works until it is closed or every sender is gone.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        let mut next = None;
        while let Some(command) = next.take().or_else(|| self.wait(commands)) {
            match command {
                Command::Commit(job) => {
                    let group;
                    (group, next) = gather(job, commands);
                    self.commit_group(group);
                }
                Command::TrimStep { before, answer } => {
                    let step = self.trim_step(before);
                    self.has_failed |= step.as_ref().err().is_some_and(is_sync_failure);
                    if step.as_ref().is_ok_and(|step| step.is_done) {
                        self.forget();
                    }
                    // Nobody waits any more: the step is done all the same.
                    let _ = answer.send(step);
                }
                Command::Keep { checkpoint, answer } => {
                    let kept = self.keep(&checkpoint);
                    self.has_failed |= kept.as_ref().err().is_some_and(is_sync_failure);
                    let _ = answer.send(kept);
                }
                Command::Close { answer } => {
                    let closed = self.close();
                    let _ = answer.send(closed);
                    return;
                }
            }
        }
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the store was not tidied up; it will be when it is next opened");
        }
    }

    /// The next command, or none once nobody can give one.
    fn wait(&mut self, commands: &Receiver<Command>) -> Option<Command> {
        while let Some(at) = self.forget_at.filter(|_| !self.has_failed) {
            match commands.recv_timeout(at.saturating_duration_since(Instant::now())) {
                Ok(command) => return Some(command),
                Err(RecvTimeoutError::Timeout) => self.forget(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        commands.recv().ok()
    }

    fn commit_group(&mut self, group: Vec<CommitJob>) {
        match self.try_group(&group) {
            Ok(results) => answer_all(group, results),
            Err(error) => self.commit_each(group, error),
        }
    }

    /// Tries each of a group that failed together alone, so that it fails, if it must, with its own error. On a full
    /// disk even a lone one gets a second try, once the write-ahead log has given back its room.
    fn commit_each(&mut self, group: Vec<CommitJob>, error: StoreError) {
        if let ([_], false) = (group.as_slice(), matches!(error, StoreError::Full)) {
            return answer_all(group, vec![Err(error.into())]);
        }
        for job in group {
            if matches!(error, StoreError::Full) {
                self.make_room();
            }
            let results = self.try_group(std::slice::from_ref(&job));
            answer_all(
                vec![job],
                results.unwrap_or_else(|error| vec![Err(error.into())]),
            );
        }
    }

    /// Moves the write-ahead log into the file and empties it, if that is due. While somebody reads it, that is for later.
    fn forget(&mut self) {
        let is_due = self.forget_at.is_some_and(|at| at <= Instant::now());
        if !is_due || self.has_failed {
            return;
        }
        self.forget_at = None;
        let connection = lock(&self.connection);
        let emptied = connection.busy_timeout(FORGET_WAIT_MAX).and_then(|()| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, bool>(0)
            })
        });
        let restored = connection.busy_timeout(BUSY_TIMEOUT);
        drop(connection);
        match emptied.and_then(|is_busy| restored.map(|()| is_busy)) {
            Ok(false) => {}
            Ok(true) => self.forget_at = Instant::now().checked_add(FORGET_AGAIN),
            Err(error) => {
                self.forget_at = Instant::now().checked_add(FORGET_AGAIN);
                let error = StoreError::from(error);
                self.has_failed |= is_sync_failure(&error);
                tracing::warn!(%error, "what was erased is in the write-ahead log still; it is tried again");
            }
        }
    }

    /// Moves the write-ahead log into the database, as far as that has room itself.
    fn make_room(&self) {
        let checkpoint =
            lock(&self.connection).query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, i64>(0)
            });
        if let Err(error) = checkpoint {
            tracing::warn!(%error, "the disk is full");
        }
    }

    /// Applies each request after the ones before it and makes the lot durable. On failure nothing is done.
    fn try_group(
        &mut self,
        group: &[CommitJob],
    ) -> Result<Vec<Result<Committed, CommitError>>, StoreError> {
        if self.has_failed {
            return Err(sync_failed());
        }
        let connection = Arc::clone(&self.connection);
        let connection = lock(&connection);
        let outcome = apply_group(&connection, (self.head, self.audit), group);
        let (results, head) = match outcome {
            Ok(done) => done,
            Err(error) => {
                self.has_failed = is_sync_failure(&error);
                if !connection.is_autocommit() {
                    connection.execute_batch("ROLLBACK")?;
                }
                return Err(error);
            }
        };
        self.head = head;
        self.published.raise(head);
        drop(connection);
        self.published.revision.send_replace(head.revision);
        if group.iter().zip(&results).any(erases) {
            self.forget_at = Some(Instant::now());
        }
        self.forget();
        Ok(results)
    }

    fn keep(&self, checkpoint: &StoredCheckpoint) -> Result<StoredCheckpoint, StoreError> {
        if self.has_failed {
            return Err(sync_failed());
        }
        let connection = lock(&self.connection);
        // One statement writes, which is a transaction of its own.
        audit::keep(&connection, checkpoint)
    }

    fn trim_step(&mut self, before: Timestamp) -> Result<TrimStep, StoreError> {
        if self.has_failed {
            return Err(sync_failed());
        }
        let connection = Arc::clone(&self.connection);
        let mut connection = lock(&connection);
        let transaction = connection.transaction()?;
        let (mut newest_old, mut entries) = (None, 0);
        {
            let mut statement = transaction.prepare_cached(
                "SELECT revision, time FROM log_entry WHERE revision < ?1 ORDER BY revision LIMIT ?2",
            )?;
            let mut rows =
                statement.query(params![revision_sql(self.head.revision), TRIM_STEP_ENTRIES])?;
            while let Some(row) = rows.next()? {
                if row.get::<_, i64>(1)? >= before.as_micros() {
                    break;
                }
                newest_old = Some(row.get::<_, i64>(0)?);
                entries += 1;
            }
        }
        if let Some(newest_old) = newest_old {
            transaction.execute("DELETE FROM log_entry WHERE revision <= ?1", [newest_old])?;
            // The schema that was in force then stays: later entries say what they replaced.
            transaction.execute(
                "DELETE FROM schema_version WHERE revision < \
                 (SELECT max(revision) FROM schema_version WHERE revision <= ?1)",
                [newest_old],
            )?;
        }
        let oldest: Option<i64> =
            transaction.query_row("SELECT min(revision) FROM log_entry", [], |row| row.get(0))?;
        transaction.commit()?;
        if entries > 0 {
            self.forget_at = Some(Instant::now());
        }
        let trimmed = Trimmed {
            entries: revision(entries)?.0,
            oldest: revision(oldest.unwrap_or_default())?,
        };
        Ok(TrimStep {
            trimmed,
            is_done: entries < TRIM_STEP_ENTRIES,
        })
    }

    fn close(&mut self) -> Result<(), StoreError> {
        for reader in self.readers.drain(..) {
            if reader.join().is_err() {
                tracing::error!("a thread that reads the store ended early");
            }
        }
        let checkpoint = lock(&self.connection)
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, i64>(0)
            })
            .map_err(StoreError::from);
        // The connection goes before the lock does. Nobody shares it by now but a scan of a store in memory.
        match Connection::open_in_memory() {
            Ok(nothing) => drop(std::mem::replace(&mut *lock(&self.connection), nothing)),
            Err(error) => return Err(error.into()),
        }
        self.file_lock = None;
        checkpoint.map(|_| ())
    }
}

fn gather(first: CommitJob, commands: &Receiver<Command>) -> (Vec<CommitJob>, Option<Command>) {
    let mut changes = first.request.changes.len();
    let mut group = vec![first];
    while group.len() < GROUP_COMMITS_MAX && changes < GROUP_CHANGES_MAX {
        match commands.try_recv() {
            Ok(Command::Commit(job)) => {
                changes += job.request.changes.len();
                group.push(job);
            }
            Ok(
                other @ (Command::TrimStep { .. } | Command::Keep { .. } | Command::Close { .. }),
            ) => {
                return (group, Some(other));
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
        }
    }
    (group, None)
}

type Results = Vec<Result<Committed, CommitError>>;

fn apply_group(
    connection: &Connection,
    (mut head, audit): (Head, Log),
    group: &[CommitJob],
) -> Result<(Results, Head), StoreError> {
    let execute = |sql| connection.prepare_cached(sql)?.execute([]);
    execute("BEGIN IMMEDIATE")?;
    let mut results = Vec::with_capacity(group.len());
    for job in group {
        execute("SAVEPOINT one")?;
        results.push(match apply(connection, (head, audit), &job.request) {
            Ok((committed, next)) => {
                head = next;
                Ok(committed)
            }
            Err(CommitError::Store(error)) => return Err(error),
            Err(refused) => {
                execute("ROLLBACK TO one")?;
                Err(refused)
            }
        });
        execute("RELEASE one")?;
    }
    execute("COMMIT")?;
    Ok((results, head))
}

/// Whether a commit was made that erased.
fn erases((job, result): (&CommitJob, &Result<Committed, CommitError>)) -> bool {
    let mut changes = job.request.changes.iter();
    result.is_ok() && changes.any(|change| matches!(change, ChangeRequest::Erase(_)))
}

fn answer_all(group: Vec<CommitJob>, results: Results) {
    for (
        CommitJob {
            answer,
            place,
            request: _,
        },
        result,
    ) in group.into_iter().zip(results)
    {
        drop(place);
        // Nobody waits any more: the commit stands all the same.
        let _ = answer.send(result);
    }
}

/// Whether the kernel could not say that what was written is on the disk. It may have dropped it, and a second sync
/// would not say so; only opening the file anew tells what is there.
fn is_sync_failure(error: &StoreError) -> bool {
    let StoreError::Unavailable { source, .. } = error else {
        return false;
    };
    let Some(error) = source
        .downcast_ref::<rusqlite::Error>()
        .and_then(rusqlite::Error::sqlite_error)
    else {
        return false;
    };
    matches!(
        error.extended_code,
        rusqlite::ffi::SQLITE_IOERR_FSYNC | rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC
    )
}

fn sync_failed() -> StoreError {
    StoreError::Unavailable {
        detail: "an earlier sync of the disk failed, and the store must be opened anew",
        source: "what the disk holds is not known".into(),
    }
}
