//! The store in PostgreSQL, which many nodes share.
//!
//! One thread of each node writes ([`writer`]): it gathers what waits, locks the one row that is the head, decides the commits in
//! order, and makes them durable in one transaction. So revisions are given, and become visible, in order and without a gap,
//! whichever node commits. All nodes are told of each commit by a notification, which only wakes them: what they take in they
//! read from the log.
//!
//! All of it runs on threads of the store's own, so that it does not depend on where it is called from.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use deadpool_postgres::{Pool, PoolError, Transaction};
use model::{HistoryId, Revision, StoreId, Timestamp, Token};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_postgres::IsolationLevel;

pub use self::config::{PostgresConfig, PostgresConfigError};
use self::connect::{Purpose, connect};
pub use self::copy::PostgresTarget;
use self::failure::{Failure, damaged};
pub use self::migrate::PostgresFormat;
use self::scan::{PARTS_MAX, Part};
use self::session::Session;
use self::writer::{CommitJob, Writer};
use crate::commit::{CommitRequest, Committed, LogEntry};
use crate::error::{CommitError, LogError, StoreError, TokenRefused};
use crate::store::{
    Head, LogQuery, ScanHeader, ScanRow, Store, StoreFuture, StoreIdentity, StoredSchema,
    TokenVerdict, Trimmed,
};

mod codec;
mod config;
mod connect;
mod copy;
mod failure;
mod group;
mod listen;
mod migrate;
mod overlay;
mod read;
mod scan;
mod session;
mod write;
mod writer;

/// Commits that may wait; more are refused as [`StoreError::Overloaded`].
const WAITING_MAX: usize = 1_024;
/// Connections that read.
const READERS: usize = 4;
/// How long a read waits for a connection.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Threads of the store.
const THREADS: usize = 2;
/// Entries that one step of trimming removes.
const TRIM_STEP_ENTRIES: i64 = 256;
/// How much of the log's end is verified when the store is opened.
const TAIL_ENTRIES_MAX: u64 = 64;
const TAIL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A store in a database of PostgreSQL. Dropping it closes it, and waits for what was asked before.
pub struct PostgresStore {
    shared: Arc<Shared>,
    commit_places: Arc<Semaphore>,
    /// Gone once the store is closed.
    jobs: Mutex<Option<std_mpsc::Sender<CommitJob>>>,
    /// Told when the writer has ended.
    writer_ended: Mutex<Option<oneshot::Receiver<()>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    threads: Threads,
}

/// Why a database cannot be used as a store.
#[derive(Debug, thiserror::Error)]
pub enum PostgresOpenError {
    /// It cannot be reached, or refuses.
    #[error("cannot use the database {place}")]
    Failed {
        /// The database.
        place: String,
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// It is older than version 13.
    #[error("the server of {place} is PostgreSQL {version}, version 13 or newer is needed")]
    OldServer {
        /// The database.
        place: String,
        /// The version of the server.
        version: i32,
    },
    /// Its texts are not UTF-8.
    #[error("the database {place} has the encoding {encoding}, `UTF8` is needed")]
    Encoding {
        /// The database.
        place: String,
        /// Its encoding.
        encoding: String,
    },
    /// It was never migrated, or is of a form that this version cannot serve any more.
    #[error(
        "the database {place} has format {found}, this version needs format {known}: run `remit store migrate`"
    )]
    NotMigrated {
        /// The database.
        place: String,
        /// Its form; 0 before the first migration.
        found: i32,
        /// The newest form that this version knows.
        known: i32,
    },
    /// A later version made it, and this one cannot use it.
    #[error(
        "the database {place} has format {found}, which versions from format {compatible_from} on can use; this one knows format {known}"
    )]
    NewerFormat {
        /// The database.
        place: String,
        /// Its form.
        found: i32,
        /// The oldest form whose programs can use it.
        compatible_from: i32,
        /// The newest form that this version knows.
        known: i32,
    },
    /// It came to its form by other steps than those of this version.
    #[error("the database {place} was brought to format {number} by a different migration")]
    OtherMigration {
        /// The database.
        place: String,
        /// The step that differs.
        number: i32,
    },
    /// The end of the log is not as it was written; restore it from a backup.
    #[error("the database {place} is damaged: {detail}")]
    Damaged {
        /// The database.
        place: String,
        /// What is wrong.
        detail: String,
    },
    /// The operating system gives no threads.
    #[error("cannot start the threads of the store")]
    Threads(#[source] std::io::Error),
}

impl PostgresOpenError {
    fn failed(place: &str, failure: Failure) -> Self {
        Self::Failed {
            place: place.to_owned(),
            source: failure.error,
        }
    }
}

/// What the tasks of a store have in common.
struct Shared {
    config: PostgresConfig,
    identity: StoreIdentity,
    pool: Pool,
    revision: watch::Sender<Revision>,
}

impl Shared {
    /// Takes in that there is a commit of that revision.
    fn hear(&self, revision: Revision) {
        self.revision.send_if_modified(|known| {
            let is_news = revision > *known;
            *known = revision.max(*known);
            is_news
        });
    }

    async fn connection(&self) -> Result<deadpool_postgres::Object, Failure> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Closed => StoreError::Closed.into(),
            PoolError::Timeout(_)
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_) => Failure {
                error: StoreError::Unavailable {
                    detail: "no connection to PostgreSQL is to be had",
                    source: Box::new(error),
                },
                is_passing: true,
            },
        })
    }

    /// Refuses a database that is not, or no longer, the one that was opened.
    async fn check_identity(&self, session: &Session) -> Result<(), Failure> {
        let row = session.query_first(IDENTITY, &[]).await?;
        let found = identity(row.as_ref())?;
        if found == self.identity {
            return Ok(());
        }
        let what = if found.store == self.identity.store {
            "history"
        } else {
            "store"
        };
        let detail = format!("the database is of another {what}");
        Err(StoreError::Diverged { detail }.into())
    }
}

const IDENTITY: &str = "SELECT store_id, history_id FROM identity";

fn identity(row: Option<&tokio_postgres::Row>) -> Result<StoreIdentity, StoreError> {
    let row = row.ok_or_else(|| damaged("it has no identity"))?;
    let id = |at| -> Result<[u8; 8], StoreError> {
        let bytes: &[u8] = codec::column(row, at)?;
        bytes.try_into().map_err(|error| damaged(&error))
    };
    Ok(StoreIdentity {
        store: StoreId(id(0)?),
        history: HistoryId(id(1)?),
    })
}

/// Begins a transaction that sees one state and changes nothing.
async fn begin<'a>(
    client: &'a mut deadpool_postgres::Object,
) -> Result<Transaction<'a>, tokio_postgres::Error> {
    client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
}

impl PostgresStore {
    /// Opens the database, which must have been migrated. Blocks.
    ///
    /// # Errors
    /// [`PostgresOpenError`], which names the database.
    pub fn open(config: &PostgresConfig) -> Result<Self, PostgresOpenError> {
        let threads = Threads::start()?;
        let (shared, head) = threads.wait(open(config.clone())).ok_or_else(ended)??;
        let shared = Arc::new(shared);
        let (jobs, queue) = std_mpsc::channel();
        let (ended, writer_ended) = oneshot::channel();
        let writer = Writer {
            shared: Arc::clone(&shared),
            session: None,
            known: head,
        };
        let own = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(PostgresOpenError::Threads)?;
        let thread = std::thread::Builder::new().name("store-write".to_owned());
        let writing = thread.spawn(move || {
            writer.run(&queue, &own);
            // Nobody waits any more: it has ended all the same.
            let _ = ended.send(());
        });
        let writing = writing.map_err(PostgresOpenError::Threads)?;
        drop(threads.spawn(listen::listen(Arc::downgrade(&shared))));
        Ok(Self {
            shared,
            commit_places: Arc::new(Semaphore::new(WAITING_MAX)),
            jobs: Mutex::new(Some(jobs)),
            writer_ended: Mutex::new(Some(writer_ended)),
            writer: Mutex::new(Some(writing)),
            threads,
        })
    }

    /// The form of the database. Blocks.
    ///
    /// # Errors
    /// [`PostgresOpenError`] if it cannot be reached, or came to its form by other steps than those of this version.
    pub fn format(config: &PostgresConfig) -> Result<PostgresFormat, PostgresOpenError> {
        let config = config.clone();
        let work = async move { migrate::format(&config).await };
        Threads::start()?.wait(work).ok_or_else(ended)?
    }

    /// Brings the database to the newest form, as a role that may change its tables, and lets `serving_role` serve. Blocks.
    ///
    /// # Errors
    /// [`PostgresOpenError`]; the steps before the one that failed are done.
    pub fn migrate(
        config: &PostgresConfig,
        serving_role: Option<&str>,
    ) -> Result<PostgresFormat, PostgresOpenError> {
        let (config, role) = (config.clone(), serving_role.map(str::to_owned));
        let work = async move { migrate::migrate(&config, role.as_deref()).await };
        Threads::start()?.wait(work).ok_or_else(ended)?
    }

    /// Does `work` within one transaction, on the store's threads; once more if the connection turns out to be gone.
    fn read<T, E>(
        &self,
        work: impl for<'a> Fn(&'a Transaction<'a>) -> StoreFuture<'a, Result<T, E>>
        + Send
        + Sync
        + 'static,
    ) -> StoreFuture<'static, Result<T, E>>
    where
        T: Send + 'static,
        E: From<StoreError> + IsPassing + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let reading = self.threads.spawn(async move {
            let mut result = read_once(&shared, &work).await;
            if result.as_ref().is_err_and(IsPassing::is_passing) {
                result = read_once(&shared, &work).await;
            }
            result
        });
        Box::pin(async move { reading.await? })
    }
}

/// Whether an error may be of a connection that was gone already.
trait IsPassing {
    fn is_passing(&self) -> bool;
}

impl IsPassing for StoreError {
    fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Full
            | Self::Overloaded { .. }
            | Self::Closed
            | Self::Diverged { .. }
            | Self::Corrupt { .. } => false,
        }
    }
}

impl IsPassing for LogError {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_passing())
    }
}

impl IsPassing for TokenRefused {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_passing())
    }
}

async fn read_once<T, E: From<StoreError>>(
    shared: &Shared,
    work: &(impl for<'a> Fn(&'a Transaction<'a>) -> StoreFuture<'a, Result<T, E>> + Sync),
) -> Result<T, E> {
    let mut client = shared.connection().await.map_err(|failure| failure.error)?;
    let transaction = begin(&mut client).await.map_err(StoreError::from)?;
    // It has changed nothing, so it need not be ended in any way: the connection takes care of that.
    work(&transaction).await
}

/// Opens the database and verifies the end of its log.
async fn open(config: PostgresConfig) -> Result<(Shared, Head), PostgresOpenError> {
    let place = config.place();
    let failed = |failure: Failure| PostgresOpenError::failed(&place, failure);
    let client = connect(&config, Purpose::News, None)
        .await
        .map_err(failed)?;
    let format = migrate::read_format(&client, &place).await?;
    if format.compatible_from > format.known {
        return Err(PostgresOpenError::NewerFormat {
            place,
            found: format.found,
            compatible_from: format.compatible_from,
            known: format.known,
        });
    }
    if !format.can_be_served() {
        return Err(PostgresOpenError::NotMigrated {
            place,
            found: format.found,
            known: format.known,
        });
    }
    let row = client.query_opt(IDENTITY, &[]).await;
    let row = row.map_err(|error| failed(error.into()))?;
    let identity = identity(row.as_ref()).map_err(|error| failed(error.into()))?;
    let shared = Shared {
        pool: connect::pool(&config).map_err(|error| failed(error.into()))?,
        config,
        identity,
        revision: watch::Sender::new(Revision(0)),
    };
    let verified = read_once(&shared, &|transaction| Box::pin(verify_tail(transaction))).await;
    let head = verified.map_err(|error| match error {
        LogError::Store(error @ StoreError::Unavailable { .. }) => failed(error.into()),
        error @ (LogError::Trimmed { .. }
        | LogError::BeyondHead { .. }
        | LogError::NewerFormat { .. }
        | LogError::Store(_)) => PostgresOpenError::Damaged {
            place: place.clone(),
            detail: error.to_string(),
        },
    })?;
    shared.hear(head.revision);
    Ok((shared, head))
}

/// The head, once the entries before it are found to be as they were written.
async fn verify_tail(transaction: &Transaction<'_>) -> Result<Head, LogError> {
    let head = read::head(transaction).await?;
    let mut after = Revision(head.revision.0.saturating_sub(TAIL_ENTRIES_MAX));
    let entries = loop {
        let query = LogQuery {
            after,
            entries_max: usize::MAX,
            bytes_max: TAIL_BYTES_MAX,
        };
        match read::log(transaction, query).await {
            Err(LogError::Trimmed { oldest }) => after = Revision(oldest.0.saturating_sub(1)),
            // What a later version wrote is for a node to stop at, when it gets there.
            Err(LogError::NewerFormat { .. }) => return Ok(head),
            other => break other?,
        }
    };
    let mut previous = None;
    for entry in &entries {
        let follows = previous.is_none_or(|previous| previous == entry.previous);
        if !follows || entry.computed_hash() != entry.hash {
            let detail = format!("revision {} does not have its hash", entry.revision);
            return Err(StoreError::Corrupt { detail }.into());
        }
        previous = Some(entry.hash);
    }
    let is_last = entries
        .last()
        .is_some_and(|last| last.revision == head.revision);
    if is_last && previous != Some(head.hash) {
        return Err(damaged("the head is not that of the log").into());
    }
    Ok(head)
}

fn ended() -> PostgresOpenError {
    PostgresOpenError::Threads(std::io::ErrorKind::BrokenPipe.into())
}

/// The threads of a store, with their runtime. They end with it, wherever it is dropped.
struct Threads(Option<Runtime>);

impl Threads {
    fn start() -> Result<Self, PostgresOpenError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("store-postgres")
            .enable_all()
            .build();
        runtime
            .map(|runtime| Self(Some(runtime)))
            .map_err(PostgresOpenError::Threads)
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> StoreFuture<'static, Result<T, StoreError>> {
        let task = self.0.as_ref().map(|runtime| runtime.spawn(work));
        Box::pin(async move {
            match task {
                Some(task) => task.await.map_err(|_| StoreError::Closed),
                None => Err(StoreError::Closed),
            }
        })
    }

    /// Blocks until `work` is done: also where the caller is a thread of another runtime. None if the threads end before.
    fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (answer, answered) = std_mpsc::channel();
        drop(self.spawn(async move {
            // Nobody waits any more: there is nobody to tell.
            let _ = answer.send(work.await);
        }));
        answered.recv().ok()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // In the background: the caller may be a thread of another runtime, which must not wait.
            runtime.shutdown_background();
        }
    }
}

impl Store for PostgresStore {
    fn identity(&self) -> StoreIdentity {
        self.shared.identity
    }

    fn commit(&self, request: CommitRequest) -> StoreFuture<'_, Result<Committed, CommitError>> {
        Box::pin(async move {
            let place = Arc::clone(&self.commit_places)
                .try_acquire_owned()
                .map_err(|_| StoreError::Overloaded {
                    waiting_max: WAITING_MAX,
                })?;
            let (answer, answered) = oneshot::channel();
            let job = CommitJob {
                request,
                answer,
                place,
            };
            match &*lock(&self.jobs) {
                Some(jobs) => jobs.send(job).map_err(|_| StoreError::Closed)?,
                None => return Err(StoreError::Closed.into()),
            }
            answered.await.map_err(|_| StoreError::Closed)?
        })
    }

    fn head(&self) -> StoreFuture<'_, Result<Head, StoreError>> {
        Box::pin(self.read(|transaction| Box::pin(read::head(transaction))))
    }

    fn head_watch(&self) -> watch::Receiver<Revision> {
        self.shared.revision.subscribe()
    }

    fn schema(
        &self,
        at: Option<Revision>,
    ) -> StoreFuture<'_, Result<Option<StoredSchema>, LogError>> {
        Box::pin(self.read(move |transaction| Box::pin(read::schema(transaction, at))))
    }

    fn log(&self, query: LogQuery) -> StoreFuture<'_, Result<Vec<LogEntry>, LogError>> {
        Box::pin(self.read(move |transaction| Box::pin(read::log(transaction, query))))
    }

    fn token(&self, revision: Revision) -> StoreFuture<'_, Result<Token, LogError>> {
        let identity = self.shared.identity;
        Box::pin(
            self.read(move |transaction| Box::pin(read::token(transaction, identity, revision))),
        )
    }

    fn verify(&self, token: Token) -> StoreFuture<'_, Result<TokenVerdict, TokenRefused>> {
        Box::pin(async move {
            if token.store != self.shared.identity.store {
                return Err(TokenRefused::OtherStore);
            }
            if token.history != self.shared.identity.history {
                return Err(TokenRefused::OtherHistory);
            }
            self.read(move |transaction| Box::pin(read::verify(transaction, token)))
                .await
        })
    }

    fn scan(
        &self,
        sink: &mut dyn FnMut(&ScanHeader, ScanRow<'_>) -> ControlFlow<()>,
    ) -> Result<ScanHeader, StoreError> {
        let (sender, mut parts) = mpsc::channel(PARTS_MAX);
        let shared = Arc::clone(&self.shared);
        drop(
            self.threads
                .spawn(async move { scan::scan(&shared, sender).await }),
        );
        let mut header = None;
        let mut is_stopped = false;
        while let Some(part) = parts.blocking_recv() {
            match (part, &header) {
                (Part::Header(found), _) => header = Some(found),
                (Part::Rows(rows), Some(header)) if !is_stopped => {
                    for row in &rows {
                        if sink(header, scan::scan_row(row)?).is_break() {
                            is_stopped = true;
                            // The rest is not read.
                            parts.close();
                            break;
                        }
                    }
                }
                (Part::Rows(_), _) => {}
                (Part::End(Err(error)), _) if !is_stopped => return Err(error),
                (Part::End(_), _) => return header.map(|header| *header).ok_or(StoreError::Closed),
            }
        }
        match header {
            Some(header) if is_stopped => Ok(*header),
            // The threads of the store have ended.
            Some(_) | None => Err(StoreError::Closed),
        }
    }

    fn trim(&self, before: Timestamp) -> StoreFuture<'_, Result<Trimmed, StoreError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let trimming = self.threads.spawn(async move {
                let mut entries = 0;
                loop {
                    let mut client = shared.connection().await?;
                    let transaction = client.transaction().await?;
                    let step = read::trim_step(&transaction, before.as_micros(), TRIM_STEP_ENTRIES);
                    let (gone, oldest) = step.await?;
                    transaction.commit().await?;
                    entries += gone;
                    if gone == 0 {
                        return Ok(Trimmed { entries, oldest });
                    }
                }
            });
            let trimmed: Result<_, Failure> = trimming.await?;
            trimmed.map_err(|failure| failure.error)
        })
    }

    fn close(&self) -> StoreFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let Some(jobs) = lock(&self.jobs).take() else {
                return Err(StoreError::Closed);
            };
            drop(jobs);
            let ended = lock(&self.writer_ended).take();
            if let Some(ended) = ended {
                // It ends once all that waits is answered.
                let _ = ended.await;
            }
            self.shared.pool.close();
            Ok(())
        })
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        drop(lock(&self.jobs).take());
        if let Some(writer) = lock(&self.writer).take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that writes the store ended early");
        }
    }
}

/// What a mutex holds, even if a thread panicked with it: each holder leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
