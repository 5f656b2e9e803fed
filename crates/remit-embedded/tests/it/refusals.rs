//! Who may not replicate gets nothing, and whoever loses the right goes stale with a named error.

use std::time::Duration;

use remit_embedded::{
    Consistency, Decision, Engine, Follow, FollowError, Kind, Settings, Transport,
};

use crate::running::{OTHER_KEY, eventually, start, view};

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_the_right_is_refused_at_once() {
    let running = start().await;
    let refused = Engine::follow(running.server(OTHER_KEY)).await.unwrap_err();
    let FollowError::Refused { message, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert!(message.contains("may not `replicate`"), "{message}");
    assert!(message.contains("replicator --system"), "{message}");
    for key in [Some("no-such-key".to_owned()), None] {
        let mut server = running.server(OTHER_KEY);
        server.key = key;
        let refused = Engine::follow(server).await.unwrap_err();
        assert!(
            matches!(refused, FollowError::Refused { .. }),
            "{refused:?}"
        );
        assert!(!refused.to_string().contains("no-such-key"), "{refused}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_described_wrongly_is_an_error_that_says_so() {
    let running = start().await;
    let mut server = running.server("a\nkey");
    let wrong = Engine::follow(server.clone()).await.unwrap_err();
    assert!(matches!(wrong, FollowError::Key), "{wrong:?}");
    server.key = Some("key".to_owned());
    server.endpoint = "not a host".to_owned();
    let wrong = Engine::follow(server.clone()).await.unwrap_err();
    assert!(matches!(wrong, FollowError::Endpoint { .. }), "{wrong:?}");
    server.endpoint = running.address.to_string();
    server.transport = Transport::Tls {
        authorities_pem: String::new(),
    };
    let mut follow = Follow::from(server);
    follow.pace.start_max = Duration::from_millis(300);
    // The server has no TLS.
    let wrong = Engine::follow(follow).await.unwrap_err();
    let told = matches!(wrong, FollowError::Unreachable { .. } | FollowError::Tls(_));
    assert!(told, "{wrong:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_told_after_a_while() {
    let running = start().await;
    let mut follow = running.follow();
    running.stop().await;
    follow.pace.start_max = Duration::from_millis(400);
    let wrong = Engine::follow(follow).await.unwrap_err();
    assert!(
        matches!(wrong, FollowError::Unreachable { .. }),
        "{wrong:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_ends_the_replica_in_time() {
    let running = start().await;
    running.write(&["+doc:a#viewer@user:ann"]).await;
    let follow = Follow {
        settings: Settings {
            staleness_max: Duration::from_millis(1_500),
            ..Settings::default()
        },
        ..running.follow()
    };
    let replica = Engine::follow(follow).await.unwrap();
    let newest = Consistency::MinimizeLatency;
    assert_eq!(
        view(&replica, newest, "doc:a", "user:ann").await.unwrap(),
        Decision::Allowed
    );
    running
        .write(&["-remit/system:main#replicator@remit/key:replica"])
        .await;
    let refused = eventually(async || view(&replica, newest, "doc:a", "user:ann").await.err());
    let refused = refused.await;
    assert_eq!(refused.kind, Kind::Unavailable);
    assert!(
        refused.message.contains("has not confirmed for over 1 s"),
        "{}",
        refused.message
    );
    let trouble = eventually(async || replica.health().trouble).await;
    assert!(trouble.contains("may not `replicate`"), "{trouble}");
    // It is given back, and all is well again.
    running
        .write(&["+remit/system:main#replicator@remit/key:replica"])
        .await;
    let allowed = eventually(async || view(&replica, newest, "doc:a", "user:ann").await.ok());
    assert_eq!(allowed.await, Decision::Allowed);
    running.stop().await;
}

#[tokio::test]
async fn a_key_is_changed_while_the_replica_goes_on() {
    let running = start().await;
    let replica = running.replica().await;
    assert!(matches!(replica.use_key("a\nkey"), Err(FollowError::Key)));
    running
        .write(&[
            "+remit/system:main#replicator@remit/key:other",
            "-remit/system:main#replicator@remit/key:replica",
        ])
        .await;
    eventually(async || replica.health().trouble).await;
    replica.use_key(OTHER_KEY).unwrap();
    eventually(async || replica.health().is_connected.then_some(())).await;
    let token = running.write(&["+doc:a#viewer@user:ann"]).await;
    let fresh = Consistency::AtLeastAsFresh(token);
    assert_eq!(
        view(&replica, fresh, "doc:a", "user:ann").await.unwrap(),
        Decision::Allowed
    );
    running.stop().await;
}
