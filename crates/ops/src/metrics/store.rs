//! A store that is timed: each of its answers that somebody may wait for, by what was asked and by what became of it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Revision, Timestamp, Token};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use store::{
    AuditLog, BackupError, BackupProgress, CommitError, CommitRequest, Committed, Head, LogEntry,
    LogError, LogQuery, ScanHeader, ScanRow, Store, StoreError, StoreFuture, StoreIdentity,
    StoredSchema, TokenRefused, TokenVerdict, Trimmed,
};
use tokio::sync::watch;

use super::seconds;

/// How long a store takes.
#[derive(Debug, Clone)]
pub(crate) struct StoreTimes {
    times: Family<OfOperation, Histogram, fn() -> Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOperation {
    operation: &'static str,
    outcome: &'static str,
}

impl Default for StoreTimes {
    fn default() -> Self {
        Self {
            times: Family::new_with_constructor(seconds),
        }
    }
}

impl StoreTimes {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "remit_store",
            "How long the store takes to tell its head, to hand out its log, to judge a token, or to be scanned",
            Unit::Seconds,
            self.times.clone(),
        );
    }

    /// Tells of an outcome before there was one.
    pub(super) fn begin_at_nothing(&self, outcome: &'static str) {
        for operation in ["head", "log", "verify"] {
            drop(
                self.times
                    .get_or_create(&OfOperation { operation, outcome }),
            );
        }
    }

    fn note(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        let of = OfOperation { operation, outcome };
        self.times.get_or_create(&of).observe(took.as_secs_f64());
    }
}

/// A store under another's name, which notes how long that takes.
pub(crate) struct Timed {
    store: Arc<dyn Store>,
    times: StoreTimes,
}

impl Timed {
    pub(crate) fn over(store: Arc<dyn Store>, times: StoreTimes) -> Arc<dyn Store> {
        Arc::new(Self { store, times })
    }

    fn timed<'s, T, E>(
        &'s self,
        operation: &'static str,
        outcome: fn(&E) -> &'static str,
        asked: StoreFuture<'s, Result<T, E>>,
    ) -> StoreFuture<'s, Result<T, E>>
    where
        T: Send + 's,
        E: Send + 's,
    {
        Box::pin(async move {
            let begun = Instant::now();
            let result = asked.await;
            let outcome = result.as_ref().map_or_else(outcome, |_| ANSWERED);
            self.times.note(operation, outcome, begun.elapsed());
            result
        })
    }
}

const ANSWERED: &str = "answered";
const REFUSED: &str = "refused";
const FAILED: &str = "failed";

fn of_log(error: &LogError) -> &'static str {
    match error {
        LogError::Trimmed { .. } | LogError::BeyondHead { .. } => REFUSED,
        LogError::NewerFormat { .. } | LogError::Store(_) => FAILED,
    }
}

fn of_token(refused: &TokenRefused) -> &'static str {
    match refused {
        TokenRefused::OtherStore
        | TokenRefused::OtherHistory
        | TokenRefused::BeyondHead { .. }
        | TokenRefused::HashMismatch { .. } => REFUSED,
        TokenRefused::Store(_) => FAILED,
    }
}

impl Store for Timed {
    fn identity(&self) -> StoreIdentity {
        self.store.identity()
    }

    /// Timed by whoever commits, who knows a refusal from a failure.
    fn commit(&self, request: CommitRequest) -> StoreFuture<'_, Result<Committed, CommitError>> {
        self.store.commit(request)
    }

    fn head(&self) -> StoreFuture<'_, Result<Head, StoreError>> {
        self.timed("head", |_| FAILED, self.store.head())
    }

    fn now(&self) -> StoreFuture<'_, Result<Option<Timestamp>, StoreError>> {
        self.store.now()
    }

    fn head_watch(&self) -> watch::Receiver<Revision> {
        self.store.head_watch()
    }

    fn schema(
        &self,
        at: Option<Revision>,
    ) -> StoreFuture<'_, Result<Option<StoredSchema>, LogError>> {
        self.store.schema(at)
    }

    fn log(&self, query: LogQuery) -> StoreFuture<'_, Result<Vec<LogEntry>, LogError>> {
        self.timed("log", of_log, self.store.log(query))
    }

    fn token(&self, revision: Revision) -> StoreFuture<'_, Result<Token, LogError>> {
        self.store.token(revision)
    }

    fn verify(&self, token: Token) -> StoreFuture<'_, Result<TokenVerdict, TokenRefused>> {
        self.timed("verify", of_token, self.store.verify(token))
    }

    fn scan(
        &self,
        sink: &mut dyn FnMut(&ScanHeader, ScanRow<'_>) -> ControlFlow<()>,
    ) -> Result<ScanHeader, StoreError> {
        let begun = Instant::now();
        let result = self.store.scan(sink);
        let outcome = if result.is_ok() { ANSWERED } else { FAILED };
        self.times.note("scan", outcome, begun.elapsed());
        result
    }

    fn relationship_count(&self) -> StoreFuture<'_, Result<Option<u64>, StoreError>> {
        self.store.relationship_count()
    }

    fn trim(&self, before: Timestamp) -> StoreFuture<'_, Result<Trimmed, StoreError>> {
        self.store.trim(before)
    }

    fn backup(
        &self,
        to: &Path,
        progress: &mut dyn FnMut(BackupProgress),
    ) -> Result<StoreIdentity, BackupError> {
        self.store.backup(to, progress)
    }

    fn audit(&self) -> Option<&dyn AuditLog> {
        self.store.audit()
    }

    fn close(&self) -> StoreFuture<'_, Result<(), StoreError>> {
        self.store.close()
    }
}
