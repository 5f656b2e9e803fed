//! A pinned snapshot answers as its node does: for as long as the node vouches for it, and never for somebody who is locked.

use std::sync::Arc;
use std::time::Duration;

use model::{Context, Decision, SystemClock};
use ops::pinned::Pinned;
use ops::{Consistency, Error, Kind, Node, Settings, lock};
use store::SqliteStore;

use crate::access::{caller, enforced};
use crate::running::{caller as anybody, eventually, start};

fn check(pinned: &Pinned, resource: &str, subject: &str) -> Result<Decision, Error> {
    let (resource, subject) = (resource.parse().unwrap(), subject.parse().unwrap());
    pinned.check(&resource, "viewer", &subject, &Context::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stays_as_it_is_but_for_locks_and_expirations() {
    let running = start(ops::watch::Settings::default()).await;
    running
        .write(&[
            "+doc:a#viewer@user:ann",
            "+doc:a#viewer@user:bob[expiration:1970-01-01T00:01:00Z]",
        ])
        .await;
    let pinned = Pinned::newest(&running.node, &anybody()).unwrap();
    let token = running.write(&["-doc:a#viewer@user:ann"]).await;
    assert_eq!(
        check(&pinned, "doc:a", "user:ann").unwrap(),
        Decision::Allowed
    );
    assert_eq!(
        check(&pinned, "doc:a", "user:bob").unwrap(),
        Decision::Allowed
    );
    assert_eq!(
        check(&pinned, "doc:b", "user:ann").unwrap(),
        Decision::Denied
    );
    running.advance(100);
    assert_eq!(
        check(&pinned, "doc:a", "user:bob").unwrap(),
        Decision::Denied
    );
    let ann = "user:ann".parse().unwrap();
    lock::lock(&running.node, &anybody(), &ann, "left")
        .await
        .unwrap();
    assert_eq!(
        check(&pinned, "doc:a", "user:ann").unwrap(),
        Decision::Denied
    );
    let unknown = check(&pinned, "sheet:a", "user:ann").unwrap_err();
    assert!(
        unknown.message.contains("`sheet` not found"),
        "{}",
        unknown.message
    );
    let large: Context =
        Context::from_json(&format!("{{\"x\":\"{}\"}}", "y".repeat(5_000))).unwrap();
    let refused = pinned.check(
        &"doc:a".parse().unwrap(),
        "viewer",
        &"user:ann".parse().unwrap(),
        &large,
    );
    assert_eq!(refused.unwrap_err().kind, Kind::InvalidArgument);
    let newer = Consistency::AtLeastAsFresh(token);
    let newer = Pinned::at(&running.node, &anybody(), newer).await.unwrap();
    assert!(newer.token().revision > pinned.token().revision);
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pinned_too_long_ago_answers_no_more() {
    let settings = Settings {
        staleness_max: Duration::from_millis(2_500),
        ..Settings::default()
    };
    let store = Arc::new(SqliteStore::memory().unwrap());
    let node = Node::start(store, Arc::new(SystemClock), settings)
        .await
        .unwrap();
    ops::schema::write(&node, &anybody(), crate::running::SCHEMA)
        .await
        .unwrap();
    let pinned = Pinned::newest(&node, &anybody()).unwrap();
    assert_eq!(
        check(&pinned, "doc:a", "user:ann").unwrap(),
        Decision::Denied
    );
    let begun = std::time::Instant::now();
    let refused = loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "it answers for ever"
        );
        if let Err(refused) = check(&pinned, "doc:a", "user:ann") {
            break refused;
        }
    };
    assert_eq!(refused.kind, Kind::Unavailable);
    assert!(
        refused.message.contains("pinned too long ago"),
        "{}",
        refused.message
    );
    // The node itself is well.
    let newer = Pinned::newest(&node, &anybody()).unwrap();
    assert_eq!(
        check(&newer, "doc:a", "user:ann").unwrap(),
        Decision::Denied
    );
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_slept_has_a_snapshot_that_is_too_old() {
    let running = start(ops::watch::Settings::default()).await;
    let pinned = Pinned::newest(&running.node, &anybody()).unwrap();
    let full = Consistency::FullyConsistent;
    let at = Pinned::at(&running.node, &anybody(), full).await.unwrap();
    // The clock goes on during a sleep; the one that nobody sets does not.
    running.advance(1_000_001);
    for pinned in [pinned, at] {
        let refused = check(&pinned, "doc:a", "user:ann").unwrap_err();
        assert_eq!(refused.kind, Kind::Unavailable);
        assert!(
            refused.message.contains("pinned too long ago"),
            "{}",
            refused.message
        );
    }
    // A newer one answers, as soon as the node has confirmed again.
    let newer = eventually(async || Pinned::newest(&running.node, &anybody()).ok()).await;
    assert_eq!(
        check(&newer, "doc:a", "user:ann").unwrap(),
        Decision::Denied
    );
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_not_everything_pins_nothing() {
    let running = enforced().await;
    for name in ["root", "ann"] {
        let refused = Pinned::newest(&running.node, &caller(name).await).unwrap_err();
        assert_eq!(refused.kind, Kind::Forbidden, "{name}");
    }
    running.node.stop();
}
