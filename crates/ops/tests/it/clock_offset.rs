//! A node whose clock is off answers nothing, until it is set.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use model::{Clock, Revision, SystemClock, Timestamp, Token};
use ops::{Consistency, Kind, Node, Settings};
use store::{
    CommitError, CommitRequest, Committed, Head, LogEntry, LogError, LogQuery, PostgresConfig,
    PostgresStore, ScanHeader, ScanRow, SqliteStore, Store, StoreError, StoreFuture, StoreIdentity,
    StoredSchema, TokenRefused, TokenVerdict, Trimmed,
};
use testkit::postgres::Server;
use tokio::sync::watch;

use crate::running::eventually;

/// The machine's clock, so many microseconds ahead.
#[derive(Debug, Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock
            .now()
            .saturating_add_micros(self.0.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn a_node_whose_clock_is_off_answers_nothing() {
    let server = Server::start(&["fsync=off"]);
    let config: PostgresConfig = server.database().parse().unwrap();
    PostgresStore::migrate(&config, None).unwrap();
    for (millis, side) in [(900, "ahead of"), (-900, "behind")] {
        let clock = Arc::new(Ahead(AtomicI64::new(millis * 1_000)));
        let store = Arc::new(PostgresStore::open(&config).unwrap());
        let node = Node::start(store, Arc::clone(&clock) as _, Settings::default());
        let node = node.await.unwrap();
        let refused = node.view(Consistency::MinimizeLatency).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Unavailable);
        assert!(refused.message.contains(side), "{}", refused.message);
        clock.0.store(0, Ordering::Relaxed);
        // It asks again after a while.
        let begun = std::time::Instant::now();
        while node.ready().is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        node.view(Consistency::MinimizeLatency).await.unwrap();
    }
}

/// A store in memory that cannot be asked for its time at first.
struct Mute {
    store: SqliteStore,
    is_mute: AtomicBool,
    has_clock: bool,
}

impl Store for Mute {
    fn identity(&self) -> StoreIdentity {
        self.store.identity()
    }

    fn commit(&self, request: CommitRequest) -> StoreFuture<'_, Result<Committed, CommitError>> {
        self.store.commit(request)
    }

    fn head(&self) -> StoreFuture<'_, Result<Head, StoreError>> {
        self.store.head()
    }

    fn now(&self) -> StoreFuture<'_, Result<Option<Timestamp>, StoreError>> {
        Box::pin(async {
            if self.is_mute.load(Ordering::SeqCst) {
                return Err(StoreError::Unavailable {
                    detail: "cut off",
                    source: "simulated".into(),
                });
            }
            Ok(self.has_clock.then(|| SystemClock.now()))
        })
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
        self.store.log(query)
    }

    fn token(&self, revision: Revision) -> StoreFuture<'_, Result<Token, LogError>> {
        self.store.token(revision)
    }

    fn verify(&self, token: Token) -> StoreFuture<'_, Result<TokenVerdict, TokenRefused>> {
        self.store.verify(token)
    }

    fn scan(
        &self,
        sink: &mut dyn FnMut(&ScanHeader, ScanRow<'_>) -> ControlFlow<()>,
    ) -> Result<ScanHeader, StoreError> {
        self.store.scan(sink)
    }

    fn trim(&self, before: Timestamp) -> StoreFuture<'_, Result<Trimmed, StoreError>> {
        self.store.trim(before)
    }

    fn close(&self) -> StoreFuture<'_, Result<(), StoreError>> {
        self.store.close()
    }
}

#[tokio::test]
async fn a_node_that_has_not_compared_its_clock_answers_nothing() {
    for has_clock in [true, false] {
        let store = Arc::new(Mute {
            store: SqliteStore::memory().unwrap(),
            is_mute: AtomicBool::new(true),
            has_clock,
        });
        let clock = Arc::new(SystemClock);
        let node = Node::start(Arc::clone(&store) as _, clock, Settings::default());
        let node = node.await.unwrap();
        let refused = node.view(Consistency::MinimizeLatency).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Unavailable);
        assert!(
            refused.message.contains("has not compared its clock"),
            "{}",
            refused.message
        );
        store.is_mute.store(false, Ordering::SeqCst);
        eventually(async || node.ready().ok()).await;
        // What was measured once stays where the store is away.
        store.is_mute.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        node.view(Consistency::MinimizeLatency).await.unwrap();
        node.stop();
    }
}
