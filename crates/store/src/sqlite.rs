//! The store in SQLite: one file, or in memory.
//!
//! One thread writes ([`writer`]) and commits in groups; a few read. The file is in WAL mode with full sync, so readers
//! never wait for the writer, nor it for them. In memory there is one connection, which all share under a lock: SQLite
//! has no WAL there, and a lock is the one arrangement in which a reader can neither see half a commit nor be refused.
//!
//! Another process is kept out by a lock on the file `PATH.lock`, so that the head can be answered from memory. The
//! database itself stays open to `sqlite3` and to tools that copy it.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use model::{Revision, Timestamp, Token};
use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot, watch};

pub use self::copy::{SqliteSource, SqliteTarget};
pub use self::open::OpenError;
use self::open::Opened;
use self::read::ReadJob;
pub use self::verify::{Verified, VerifyError};
use self::writer::{Command, CommitJob, Published, Writer};
use crate::audit::AuditLog;
use crate::audit::write::Log;
use crate::commit::{CommitRequest, Committed, LogEntry};
use crate::error::{BackupError, CommitError, LogError, StoreError, TokenRefused};
use crate::store::{
    BackupProgress, Head, LogQuery, ScanHeader, ScanRow, Store, StoreFuture, StoreIdentity,
    StoredSchema, TokenVerdict, Trimmed,
};

mod apply;
mod audit;
mod backup;
mod codec;
mod copy;
mod file_lock;
mod open;
mod read;
mod verify;
mod writer;

/// Commits that may wait; more are refused as [`StoreError::Overloaded`].
const WAITING_MAX: usize = 1_024;
/// Threads that read.
const READERS: usize = 2;

/// A store in a SQLite file or in memory. Dropping it closes it, and waits for what was asked before.
pub struct SqliteStore {
    identity: StoreIdentity,
    published: Arc<Published>,
    commit_places: Arc<Semaphore>,
    read_places: Arc<Semaphore>,
    source: ScanSource,
    running: Mutex<Option<Running>>,
    writer: Option<JoinHandle<()>>,
}

/// Why a backup cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup is no store, or no whole one.
    #[error(transparent)]
    Source(#[from] OpenError),
    /// The new store cannot be written.
    #[error(transparent)]
    Copy(#[from] BackupError),
}

/// The ends of the queues; gone once the store is closed.
struct Running {
    commands: Sender<Command>,
    reads: Sender<ReadJob>,
}

/// Where a long read happens: on a connection of its own, or on the shared one.
enum ScanSource {
    File(PathBuf),
    Memory(Arc<Mutex<Connection>>),
}

impl SqliteStore {
    /// Opens the file at `path`, and makes it if there is none.
    ///
    /// # Errors
    /// [`OpenError`], which names the file.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::start(open::open_file(path)?)
    }

    /// A new store in memory, gone when it is dropped.
    ///
    /// # Errors
    /// [`OpenError`] if there is no memory for it.
    pub fn memory() -> Result<Self, OpenError> {
        Self::start(open::open_memory()?)
    }

    /// Copies the store in the file `from` to a new file, also while another process has it open. Blocks.
    ///
    /// # Errors
    /// [`BackupError`]; the new file is then not there.
    pub fn backup_file(
        from: &Path,
        to: &Path,
        progress: &mut dyn FnMut(BackupProgress),
    ) -> Result<StoreIdentity, BackupError> {
        let connection = open::open_reader(from).map_err(StoreError::from)?;
        backup::backup(&connection, to, progress)
    }

    /// As [`Self::backup_file`]; the copy gets its name only once it was read as a whole and found to hold what the original does
    /// at that revision. Blocks.
    ///
    /// # Errors
    /// [`BackupError`]; the new file is then not there.
    pub fn backup_file_verified(
        from: &Path,
        to: &Path,
        progress: &mut dyn FnMut(BackupProgress),
    ) -> Result<Verified, BackupError> {
        let connection = open::open_reader(from).map_err(StoreError::from)?;
        backup::backup_verified(&connection, to, progress)
    }

    /// Verifies the store in a file: its pages, its log from the first entry on, and what it holds. Blocks.
    ///
    /// # Errors
    /// [`VerifyError`]
    pub fn verify_file(path: &Path) -> Result<Verified, VerifyError> {
        verify::file(path)
    }

    /// Makes a new store at `to` from a backup, or from the file of another store. It is a history of its own, however
    /// often the same backup is restored. Blocks.
    ///
    /// # Errors
    /// [`RestoreError`]; there is no file at `to` then, or the one that was there before.
    pub fn restore(
        from: &Path,
        to: &Path,
        progress: &mut dyn FnMut(BackupProgress),
    ) -> Result<StoreIdentity, RestoreError> {
        Ok(backup::backup(&open::open_source(from)?, to, progress)?)
    }

    /// Refuses a name for a new file beside which the log of an earlier one is left: SQLite would take it for that of the new one.
    ///
    /// # Errors
    /// [`OpenError::LeftOver`] with the file that is to be moved away.
    pub fn refuse_left_over(path: &Path) -> Result<(), OpenError> {
        open::refuse_left_over(path)
    }

    /// Gives a complete file its name, and has both on the disk. What had the name is gone.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn publish(from: &Path, to: &Path) -> io::Result<()> {
        open::publish(from, to)
    }

    fn start(opened: Opened) -> Result<Self, OpenError> {
        let Opened {
            connection,
            identity,
            head,
            audit_begin,
            file_lock,
            path,
        } = opened;
        let shown = path.clone().unwrap_or_else(|| PathBuf::from(":memory:"));
        let io_error = |source| OpenError::Io {
            path: shown.clone(),
            source,
        };
        let connection = Arc::new(Mutex::new(connection));
        let published = Arc::new(Published {
            head: Mutex::new(head),
            revision: watch::Sender::new(head.revision),
        });
        let (readers, source) = match path {
            None => (
                vec![Arc::clone(&connection)],
                ScanSource::Memory(Arc::clone(&connection)),
            ),
            Some(path) => {
                let readers =
                    (0..READERS).map(|_| open::open_reader(&path).map(Mutex::new).map(Arc::new));
                let readers =
                    readers
                        .collect::<Result<_, _>>()
                        .map_err(|source| OpenError::Sqlite {
                            path: path.clone(),
                            source,
                        })?;
                (readers, ScanSource::File(path))
            }
        };
        let (reads, read_jobs) = mpsc::channel();
        let readers = read::spawn(readers, read_jobs).map_err(io_error)?;
        let writer = Writer {
            connection,
            head,
            audit: Log {
                identity,
                begin: audit_begin,
            },
            published: Arc::clone(&published),
            has_failed: false,
            forget_at: None,
            readers,
            file_lock,
        };
        let (commands, queue) = mpsc::channel();
        let thread = std::thread::Builder::new().name("store-write".to_owned());
        let writer = thread.spawn(move || writer.run(&queue)).map_err(io_error)?;
        Ok(Self {
            identity,
            published,
            commit_places: Arc::new(Semaphore::new(WAITING_MAX)),
            read_places: Arc::new(Semaphore::new(WAITING_MAX)),
            source,
            running: Mutex::new(Some(Running { commands, reads })),
            writer: Some(writer),
        })
    }

    fn command(&self, command: Command) -> Result<(), StoreError> {
        let running = lock(&self.running);
        let running = running.as_ref().ok_or(StoreError::Closed)?;
        running
            .commands
            .send(command)
            .map_err(|_| StoreError::Closed)
    }

    /// Has a reading thread do `work` within one read transaction.
    async fn read<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<rusqlite::Error> + From<StoreError> + Send + 'static,
    {
        let place = Arc::clone(&self.read_places)
            .try_acquire_owned()
            .map_err(|_| overloaded())?;
        let (answer, answered) = oneshot::channel();
        let published = Arc::clone(&self.published);
        let job: ReadJob = Box::new(move |connection| {
            // Nobody waits any more: there is nothing to undo.
            let _ = answer.send(read::published(connection, &published, work));
            drop(place);
        });
        match &*lock(&self.running) {
            Some(running) => running.reads.send(job).map_err(|_| StoreError::Closed)?,
            None => return Err(StoreError::Closed.into()),
        }
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Does `work` on this thread, on a connection of its own if the store has a file.
    fn read_here<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        if lock(&self.running).is_none() {
            return Err(StoreError::Closed.into());
        }
        match &self.source {
            ScanSource::File(path) => work(&open::open_reader(path).map_err(StoreError::from)?),
            ScanSource::Memory(connection) => work(&lock(connection)),
        }
    }
}

impl Store for SqliteStore {
    fn identity(&self) -> StoreIdentity {
        self.identity
    }

    fn commit(&self, request: CommitRequest) -> StoreFuture<'_, Result<Committed, CommitError>> {
        Box::pin(async move {
            let place = Arc::clone(&self.commit_places)
                .try_acquire_owned()
                .map_err(|_| overloaded())?;
            let (answer, answered) = oneshot::channel();
            self.command(Command::Commit(CommitJob {
                request,
                answer,
                place,
            }))?;
            answered.await.map_err(|_| StoreError::Closed)?
        })
    }

    fn head(&self) -> StoreFuture<'_, Result<Head, StoreError>> {
        // This process alone writes, and publishes before it acknowledges or shows to a reader.
        let is_closed = lock(&self.running).is_none();
        let head = *lock(&self.published.head);
        Box::pin(std::future::ready(if is_closed {
            Err(StoreError::Closed)
        } else {
            Ok(head)
        }))
    }

    fn head_watch(&self) -> watch::Receiver<Revision> {
        self.published.revision.subscribe()
    }

    fn schema(
        &self,
        at: Option<Revision>,
    ) -> StoreFuture<'_, Result<Option<StoredSchema>, LogError>> {
        Box::pin(self.read(move |connection| read::schema(connection, at)))
    }

    fn log(&self, query: LogQuery) -> StoreFuture<'_, Result<Vec<LogEntry>, LogError>> {
        Box::pin(self.read(move |connection| read::log(connection, query)))
    }

    fn token(&self, revision: Revision) -> StoreFuture<'_, Result<Token, LogError>> {
        let identity = self.identity;
        Box::pin(self.read(move |connection| read::token(connection, identity, revision)))
    }

    fn verify(&self, token: Token) -> StoreFuture<'_, Result<TokenVerdict, TokenRefused>> {
        Box::pin(async move {
            if token.store != self.identity.store {
                return Err(TokenRefused::OtherStore);
            }
            if token.history != self.identity.history {
                return Err(TokenRefused::OtherHistory);
            }
            self.read(move |connection| read::verify(connection, token))
                .await
        })
    }

    fn scan(
        &self,
        sink: &mut dyn FnMut(&ScanHeader, ScanRow<'_>) -> ControlFlow<()>,
    ) -> Result<ScanHeader, StoreError> {
        self.read_here(|connection| {
            read::published(connection, &self.published, |connection| {
                read::scan(connection, sink)
            })
        })
    }

    fn relationship_count(&self) -> StoreFuture<'_, Result<Option<u64>, StoreError>> {
        Box::pin(async move {
            match &self.source {
                ScanSource::File(_) => self.read(read::relationship_count).await.map(Some),
                // It is empty when it is opened, and has one connection for everything.
                ScanSource::Memory(_) => Ok(None),
            }
        })
    }

    fn trim(&self, before: Timestamp) -> StoreFuture<'_, Result<Trimmed, StoreError>> {
        Box::pin(async move {
            let mut entries = 0;
            loop {
                let (answer, answered) = oneshot::channel();
                self.command(Command::TrimStep { before, answer })?;
                let step = answered.await.map_err(|_| StoreError::Closed)??;
                entries += step.trimmed.entries;
                if step.is_done {
                    return Ok(Trimmed {
                        entries,
                        oldest: step.trimmed.oldest,
                    });
                }
            }
        })
    }

    fn backup(
        &self,
        to: &Path,
        progress: &mut dyn FnMut(BackupProgress),
    ) -> Result<StoreIdentity, BackupError> {
        self.read_here(|connection| backup::backup(connection, to, progress))
    }

    fn audit(&self) -> Option<&dyn AuditLog> {
        Some(self)
    }

    fn close(&self) -> StoreFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let Some(Running { commands, reads }) = lock(&self.running).take() else {
                return Err(StoreError::Closed);
            };
            // The reading threads end with their queue, and the writer waits for them.
            drop(reads);
            let (answer, answered) = oneshot::channel();
            commands
                .send(Command::Close { answer })
                .map_err(|_| StoreError::Closed)?;
            answered.await.map_err(|_| StoreError::Closed)?
        })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        drop(lock(&self.running).take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that writes the store ended early");
        }
    }
}

fn overloaded() -> StoreError {
    StoreError::Overloaded {
        waiting_max: WAITING_MAX,
    }
}

/// What a mutex holds, even if a thread panicked with it: each holder leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::{Base, ChangeRequest, Provenance};

    /// As a reader finds it that comes between the writer's transaction and its publication.
    #[tokio::test]
    async fn a_head_that_is_not_published_yet_is_not_behind_what_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("store.db")).unwrap();
        let unpublished = || *lock(&store.published.head) = Head::EMPTY;
        let query = LogQuery {
            after: Revision(0),
            entries_max: 10,
            bytes_max: 1 << 20,
        };
        let request = CommitRequest {
            base: Base::of_schema(Revision(0)),
            preconditions: Vec::new(),
            changes: vec![ChangeRequest::Schema("definition user {}".to_owned())],
            idempotency_key: None,
            provenance: Provenance {
                actor: "ann".to_owned(),
                reason: None,
                metadata: None,
                origin: None,
            },
            now: Timestamp::EPOCH,
        };
        store.commit(request).await.unwrap();
        let committed = store.head().await.unwrap();
        unpublished();
        assert_eq!(store.log(query).await.unwrap().len(), 1);
        assert_eq!(store.head().await.unwrap(), committed);
        unpublished();
        let scanned = store.scan(&mut |_, _| ControlFlow::Continue(())).unwrap();
        assert_eq!(scanned.head, committed);
        assert_eq!(store.head().await.unwrap(), committed);
    }
}
