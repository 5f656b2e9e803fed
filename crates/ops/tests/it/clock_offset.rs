//! A node whose clock is off answers nothing, until it is set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use model::{Clock, SystemClock, Timestamp};
use ops::{Consistency, Kind, Node, Settings};
use store::{PostgresConfig, PostgresStore};
use testkit::postgres::Server;

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
