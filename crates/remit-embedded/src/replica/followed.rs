//! The store that a replica's node follows: the server's, read over the wire. It takes no commits.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::{Revision, Timestamp, Token};
use ops::replica::Page;
use store::{
    CommitError, CommitRequest, Committed, Head, LogEntry, LogError, LogQuery, ScanHeader, ScanRow,
    Store, StoreError, StoreFuture, StoreIdentity, StoredSchema, TokenRefused, TokenVerdict,
    Trimmed,
};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::cache::Cached;
use super::connection::{CallError, Connection};
use super::pieces::Assembly;

/// The store of a server.
#[derive(Debug)]
pub(crate) struct Followed {
    identity: StoreIdentity,
    connection: Arc<Connection>,
    /// What the first scan is to be of; the server is asked for others.
    cached: Mutex<Option<Cached>>,
    head: watch::Sender<Revision>,
    is_closed: AtomicBool,
    runtime: Handle,
}

/// Why a replica does not do what stores do.
#[derive(Debug, thiserror::Error)]
#[error("a replica takes no commits and keeps no past; ask the server")]
struct ReadOnly;

impl Followed {
    /// The store of that identity, behind the connection.
    pub(crate) fn new(
        identity: StoreIdentity,
        connection: Arc<Connection>,
        cached: Option<Cached>,
    ) -> Self {
        Self {
            identity,
            connection,
            cached: Mutex::new(cached),
            head: watch::Sender::new(Revision(0)),
            is_closed: AtomicBool::new(false),
            runtime: Handle::current(),
        }
    }

    /// Notes that there may be more to read.
    pub(crate) fn wake(&self, head: Revision) {
        self.head.send_if_modified(|known| {
            let is_news = *known != head;
            *known = head;
            is_news
        });
    }

    /// Has the store asked at once, whatever is known of it.
    pub(crate) fn wake_anyway(&self) {
        self.head.send_modify(|_| {});
    }

    /// Holds what was answered to the store that is followed.
    pub(crate) fn same(&self, found: StoreIdentity) -> Result<(), StoreError> {
        if found == self.identity {
            return Ok(());
        }
        let what = if found.store == self.identity.store {
            "the server has another history of it, as after a restore"
        } else {
            "the server has another store"
        };
        Err(StoreError::Diverged {
            detail: what.to_owned(),
        })
    }

    fn open(&self) -> Result<(), StoreError> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(StoreError::Closed);
        }
        Ok(())
    }

    async fn page(&self, after: Revision, entries_max: usize) -> Result<Page, LogError> {
        self.open()?;
        match self.connection.log(after, entries_max).await {
            Ok((identity, page)) => {
                self.same(identity)?;
                Ok(page)
            }
            Err(CallError::NewerFormat { revision, version }) => {
                Err(LogError::NewerFormat { revision, version })
            }
            Err(error) => Err(unavailable(error).into()),
        }
    }

    async fn entries(&self, query: LogQuery) -> Result<Vec<LogEntry>, LogError> {
        match self.page(query.after, query.entries_max).await? {
            Page::Trimmed { oldest } => Err(LogError::Trimmed { oldest }),
            Page::BeyondHead { head } => Err(LogError::BeyondHead { head }),
            Page::Entries(entries) => {
                let mut expected = query.after;
                for entry in &entries {
                    expected = expected.next();
                    if entry.revision != expected {
                        return Err(StoreError::Corrupt {
                            detail: format!("revision {expected} is not in the log"),
                        }
                        .into());
                    }
                }
                Ok(entries)
            }
        }
    }

    async fn state(
        &self,
        sink: &mut (dyn FnMut(&ScanHeader, ScanRow<'_>) -> ControlFlow<()> + '_),
    ) -> Result<ScanHeader, CallError> {
        let mut pieces = self.connection.state().await?;
        let mut assembly = Assembly::of(self.identity);
        let mut has_enough = false;
        while let Some(piece) = pieces.next().await? {
            if assembly.take(piece, sink)?.is_break() {
                has_enough = !assembly.is_whole();
                break;
            }
        }
        Ok(assembly.finish(has_enough)?)
    }
}

fn unavailable(error: CallError) -> StoreError {
    StoreError::Unavailable {
        detail: "the server does not answer as it should",
        source: Box::new(error),
    }
}

fn read_only() -> StoreError {
    StoreError::Unavailable {
        detail: "this is a replica",
        source: Box::new(ReadOnly),
    }
}

impl Store for Followed {
    fn identity(&self) -> StoreIdentity {
        self.identity
    }

    fn commit(&self, _: CommitRequest) -> StoreFuture<'_, Result<Committed, CommitError>> {
        Box::pin(std::future::ready(Err(read_only().into())))
    }

    fn head(&self) -> StoreFuture<'_, Result<Head, StoreError>> {
        Box::pin(async move {
            self.open()?;
            let (identity, head) = self.connection.head().await.map_err(unavailable)?;
            self.same(identity)?;
            Ok(head)
        })
    }

    fn now(&self) -> StoreFuture<'_, Result<Option<Timestamp>, StoreError>> {
        Box::pin(async move {
            self.open()?;
            self.connection.time().await.map(Some).map_err(unavailable)
        })
    }

    fn head_watch(&self) -> watch::Receiver<Revision> {
        self.head.subscribe()
    }

    fn schema(
        &self,
        _: Option<Revision>,
    ) -> StoreFuture<'_, Result<Option<StoredSchema>, LogError>> {
        Box::pin(std::future::ready(Err(read_only().into())))
    }

    fn log(&self, query: LogQuery) -> StoreFuture<'_, Result<Vec<LogEntry>, LogError>> {
        Box::pin(self.entries(query))
    }

    fn token(&self, revision: Revision) -> StoreFuture<'_, Result<Token, LogError>> {
        Box::pin(async move {
            let Some(before) = revision.0.checked_sub(1) else {
                return Ok(self.identity.token(revision, &Head::EMPTY.hash));
            };
            let query = LogQuery {
                after: Revision(before),
                entries_max: 1,
                bytes_max: 0,
            };
            match self.entries(query).await?.first() {
                Some(entry) => Ok(self.identity.token(revision, &entry.hash)),
                None => Err(LogError::BeyondHead {
                    head: Revision(before),
                }),
            }
        })
    }

    fn verify(&self, token: Token) -> StoreFuture<'_, Result<TokenVerdict, TokenRefused>> {
        Box::pin(async move {
            if token.store != self.identity.store {
                return Err(TokenRefused::OtherStore);
            }
            if token.history != self.identity.history {
                return Err(TokenRefused::OtherHistory);
            }
            self.open()?;
            let (identity, verdict) = self.connection.verify(token).await.map_err(unavailable)?;
            self.same(identity)?;
            verdict
        })
    }

    fn scan(
        &self,
        sink: &mut dyn FnMut(&ScanHeader, ScanRow<'_>) -> ControlFlow<()>,
    ) -> Result<ScanHeader, StoreError> {
        self.open()?;
        let cached = self
            .cached
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match cached {
            Some(cached) => cached.scan(sink).map_err(|error| StoreError::Corrupt {
                detail: format!("the cache: {error}"),
            }),
            None => self.runtime.block_on(self.state(sink)).map_err(unavailable),
        }
    }

    fn trim(&self, _: Timestamp) -> StoreFuture<'_, Result<Trimmed, StoreError>> {
        Box::pin(std::future::ready(Err(read_only())))
    }

    fn close(&self) -> StoreFuture<'_, Result<(), StoreError>> {
        let was_closed = self.is_closed.swap(true, Ordering::Relaxed);
        Box::pin(std::future::ready(if was_closed {
            Err(StoreError::Closed)
        } else {
            Ok(())
        }))
    }
}
