//! A replica stops answering, with a named error, where it can no longer vouch for what it has.

use std::sync::Arc;
use std::time::Duration;

use remit_embedded::{Consistency, Decision, Engine, Error, Follow, Kind, Replica, Settings};
use store::SqliteStore;

use crate::cache::copy_store;
use crate::running::{Running, eventually, start, view};

const NEWEST: Consistency = Consistency::MinimizeLatency;

async fn stops(replica: &Replica) -> Error {
    eventually(async || {
        let error = replica.ready().err()?;
        (!error.message.contains("confirmed")).then_some(error)
    })
    .await
}

async fn followed() -> (Running, Replica) {
    let running = start().await;
    running.write(&["+doc:a#viewer@user:ann"]).await;
    let replica = running.replica().await;
    assert_eq!(
        view(&replica, NEWEST, "doc:a", "user:ann").await.unwrap(),
        Decision::Allowed
    );
    (running, replica)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_for_too_long_ends_the_answers() {
    let running = start().await;
    running.write(&["+doc:a#viewer@user:ann"]).await;
    let replica = Engine::follow(Follow {
        settings: Settings {
            staleness_max: Duration::from_secs(2),
            wait_max: Duration::from_millis(300),
            ..Settings::default()
        },
        ..running.follow()
    });
    let replica = Arc::new(replica.await.unwrap());
    let pinned = replica.pin().unwrap();
    let stopped = running.stop().await;
    let since = std::time::Instant::now();
    let (doc, user) = ("doc:a".parse().unwrap(), "user:ann".parse().unwrap());
    // When the last call was made that was answered still: a busy machine makes calls rare, and answers none too late.
    let mut answered = None;
    let refused = eventually(async || {
        let asked = since.elapsed();
        let refused = view(&replica, NEWEST, "doc:a", "user:ann").await.err();
        if refused.is_none() {
            answered = Some(asked);
        }
        refused
    });
    let refused = refused.await;
    let answered = answered.expect("it did not answer in between");
    assert!(answered <= Duration::from_millis(2_100), "{answered:?}");
    assert_eq!(refused.kind, Kind::Unavailable);
    assert!(
        refused.message.contains("has not confirmed for over 2 s"),
        "{}",
        refused.message
    );
    let context = remit_embedded::Context::default();
    assert!(pinned.check(&doc, "view", &user, &context).is_err());
    let health = replica.health();
    assert!(
        !health.is_connected && health.trouble.is_some(),
        "{health:?}"
    );
    assert!(
        health.confirmed_ago.unwrap() > Duration::from_secs(2),
        "{health:?}"
    );

    let running = stopped.start().await;
    let allowed = eventually(async || view(&replica, NEWEST, "doc:a", "user:ann").await.ok());
    assert_eq!(allowed.await, Decision::Allowed);
    // A replica that was away has what was written meanwhile before it answers.
    let token = running.write(&["-doc:a#viewer@user:ann"]).await;
    let fresh = Consistency::AtLeastAsFresh(token);
    let denied = eventually(async || view(&replica, fresh, "doc:a", "user:ann").await.ok());
    assert_eq!(denied.await, Decision::Denied);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_what_the_replica_has_stops_it() {
    for commits_after in [0, 1, 5] {
        let (running, replica) = followed().await;
        let stopped = running.stop().await;
        let before = stopped.folder.path().join("before.db");
        copy_store(&stopped.store(), &before);
        let running = stopped.start().await;
        eventually(async || replica.pin_at(Consistency::FullyConsistent).await.ok()).await;
        let lost = running.write(&["-doc:a#viewer@user:ann"]).await;
        let fresh = Consistency::AtLeastAsFresh(lost);
        assert_eq!(
            view(&replica, fresh, "doc:a", "user:ann").await.unwrap(),
            Decision::Denied
        );
        let stopped = running.stop().await;
        copy_store(&before, &stopped.store());
        let running = stopped.start().await;
        for number in 0..commits_after {
            running
                .write(&[&format!("+doc:b#viewer@user:u{number}")])
                .await;
        }
        let why = stops(&replica).await;
        assert_eq!(why.kind, Kind::Unavailable);
        assert!(
            why.message.contains("stopped following its store"),
            "{}",
            why.message
        );
        // It stays so, and another one has what there is.
        assert!(view(&replica, fresh, "doc:a", "user:ann").await.is_err());
        let anew = running.replica().await;
        assert_eq!(
            view(&anew, NEWEST, "doc:a", "user:ann").await.unwrap(),
            Decision::Allowed
        );
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_history_stops_it() {
    let (running, replica) = followed().await;
    let token = running.write(&["+doc:b#viewer@user:ann"]).await;
    let stopped = running.stop().await;
    let restored = stopped.folder.path().join("restored.db");
    let from = stopped.store();
    let to = restored.clone();
    let restoring = tokio::task::spawn_blocking(move || {
        SqliteStore::restore(&from, &to, &mut |_| {}).unwrap();
    });
    restoring.await.unwrap();
    copy_store(&restored, &stopped.store());
    let running = stopped.start().await;
    let why = stops(&replica).await;
    assert!(why.message.contains("another history"), "{}", why.message);
    let anew = running.replica().await;
    assert_eq!(
        view(&anew, NEWEST, "doc:b", "user:ann").await.unwrap(),
        Decision::Allowed
    );
    let refused = view(
        &anew,
        Consistency::AtLeastAsFresh(token),
        "doc:b",
        "user:ann",
    )
    .await;
    assert_eq!(refused.unwrap_err().kind, Kind::InvalidArgument);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_store_at_the_address_stops_it() {
    let (running, replica) = followed().await;
    let stopped = running.stop().await;
    std::fs::remove_file(stopped.store()).unwrap();
    let running = stopped.start().await;
    let caller = crate::running::anybody();
    ops::schema::write(&running.node, &caller, crate::running::SCHEMA)
        .await
        .unwrap();
    let why = stops(&replica).await;
    assert!(why.message.contains("another store"), "{}", why.message);
    running.stop().await;
}
