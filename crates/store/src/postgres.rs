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

use deadpool_postgres::Transaction;
use model::{Revision, Timestamp, Token};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub use self::config::{PostgresConfig, PostgresConfigError};
pub use self::copy::PostgresTarget;
pub use self::examine::{PostgresReport, PostgresStandby};
use self::failure::Failure;
pub use self::migrate::PostgresFormat;
pub use self::open::PostgresOpenError;
use self::scan::{PARTS_MAX, Part};
use self::shared::{IsPassing, Shared, read_once};
use self::threads::{Threads, ended};
use self::writer::{CommitJob, Writer};
use crate::audit::AuditLog;
use crate::commit::{CommitRequest, Committed, LogEntry};
use crate::error::{CommitError, LogError, StoreError, TokenRefused};
use crate::store::{
    Head, LogQuery, ScanHeader, ScanRow, Store, StoreFuture, StoreIdentity, StoredSchema,
    TokenVerdict, Trimmed,
};

mod audit;
mod codec;
mod config;
mod connect;
mod copy;
mod examine;
mod failure;
mod group;
mod listen;
mod migrate;
mod open;
mod overlay;
mod read;
mod rights;
mod scan;
mod session;
mod shared;
mod threads;
mod write;
mod writer;

/// Commits that may wait; more are refused as [`StoreError::Overloaded`].
const WAITING_MAX: usize = 1_024;
/// Entries that one step of trimming removes.
const TRIM_STEP_ENTRIES: i64 = 256;

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

impl PostgresStore {
    /// Opens the database, which must have been migrated. Blocks.
    ///
    /// # Errors
    /// [`PostgresOpenError`], which names the database.
    pub fn open(config: &PostgresConfig) -> Result<Self, PostgresOpenError> {
        let threads = Threads::start()?;
        let (shared, head) = threads
            .wait(open::open(config.clone()))
            .ok_or_else(ended)??;
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

    /// What the server is set to, and what this role may do there. `now` is this machine's clock, in microseconds. Blocks.
    ///
    /// # Errors
    /// [`PostgresOpenError`] if it cannot be reached, or was never migrated.
    pub fn examine(
        config: &PostgresConfig,
        now: fn() -> i64,
    ) -> Result<PostgresReport, PostgresOpenError> {
        let config = config.clone();
        let work = async move { examine::examine(&config, now).await };
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

    /// Gives a restored database a history of its own, as the role that owns it: no token from before is good for it then. Blocks.
    ///
    /// # Errors
    /// [`PostgresOpenError`] if it cannot be reached, or that is not this role's to do.
    pub fn renew_history(config: &PostgresConfig) -> Result<(), PostgresOpenError> {
        let config = config.clone();
        let work = async move { migrate::renew(&config).await };
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

    fn now(&self) -> StoreFuture<'_, Result<Option<Timestamp>, StoreError>> {
        let now = self.read(|transaction| Box::pin(read::now(transaction)));
        Box::pin(async { now.await.map(Some) })
    }

    fn relationship_count(&self) -> StoreFuture<'_, Result<Option<u64>, StoreError>> {
        Box::pin(self.read(|transaction| Box::pin(read::relationship_count(transaction))))
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

    fn audit(&self) -> Option<&dyn AuditLog> {
        Some(self)
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
