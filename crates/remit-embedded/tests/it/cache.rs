//! A replica begins with its cache where that is a past of the server's log, and with nothing of it anywhere else.

use std::fs;
use std::path::Path;
use std::time::Duration;

use remit_embedded::{Consistency, Decision, Engine, Follow, FollowError, Kind, Replica};
use testkit::rng::Rng;

use crate::running::{Running, Stopped, anybody, eventually, start, view};

const NEWEST: Consistency = Consistency::MinimizeLatency;

/// No replica can load the state of such a server: it has to begin with its cache.
fn without_loads() -> ops::replica::Settings {
    ops::replica::Settings {
        loads_max: 0,
        ..ops::replica::Settings::default()
    }
}

async fn ann(replica: &Replica) -> Decision {
    let full = Consistency::FullyConsistent;
    view(replica, full, "doc:a", "user:ann").await.unwrap()
}

/// A server with one row, and the cache of a replica of it.
async fn cached() -> (Running, Follow) {
    let running = start().await;
    running.write(&["+doc:a#viewer@user:ann"]).await;
    let follow = running.cached();
    let replica = Engine::follow(follow.clone()).await.unwrap();
    assert_eq!(ann(&replica).await, Decision::Allowed);
    replica.close().await.unwrap();
    assert!(running.cache().exists());
    (running, follow)
}

/// Follows until it goes: the cache of the replica before is let go of with the last task that writes it.
async fn follow_again(follow: &Follow) -> Replica {
    eventually(async || match Engine::follow(follow.clone()).await {
        Ok(replica) => Some(replica),
        Err(FollowError::CacheInUse { .. }) => None,
        Err(error) => panic!("{error:?}"),
    })
    .await
}

async fn stopped_and_started(running: Running, replica: ops::replica::Settings) -> Running {
    running.stop().await.start_with(replica).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_replica_loads_its_cache_and_reads_the_rest() {
    let (running, follow) = cached().await;
    running.lock("user:eve").await;
    running.write(&["+doc:a#viewer@user:*"]).await;
    let running = stopped_and_started(running, without_loads()).await;
    let replica = follow_again(&follow).await;
    assert_eq!(ann(&replica).await, Decision::Allowed);
    assert_eq!(
        view(&replica, NEWEST, "doc:a", "user:bob").await.unwrap(),
        Decision::Allowed
    );
    assert_eq!(
        view(&replica, NEWEST, "doc:a", "user:eve").await.unwrap(),
        Decision::Denied
    );
    // The lock is in the next cache as well.
    replica.close().await.unwrap();
    let replica = follow_again(&follow).await;
    assert_eq!(
        view(&replica, NEWEST, "doc:a", "user:eve").await.unwrap(),
        Decision::Denied
    );
    drop(replica);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_without_its_server_answers_nothing_until_it_is_heard_of() {
    let (running, follow) = cached().await;
    let stopped = running.stop().await;
    let replica = follow_again(&follow).await;
    assert_eq!(replica.relationship_count(), 3);
    let refused = view(&replica, NEWEST, "doc:a", "user:ann")
        .await
        .unwrap_err();
    assert_eq!(refused.kind, Kind::Unavailable);
    assert!(
        refused.message.contains("has not compared its clock"),
        "{}",
        refused.message
    );
    assert!(replica.pin().is_err());
    assert_eq!(replica.health().confirmed_ago, None);
    let running = stopped.start_with(without_loads()).await;
    eventually(async || replica.ready().ok()).await;
    assert_eq!(ann(&replica).await, Decision::Allowed);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_was_altered_anywhere_is_not_used() {
    let (running, follow) = cached().await;
    let path = running.cache();
    let good = fs::read(&path).unwrap();
    let mut rng = Rng::new(3);
    let mut wrong: Vec<(String, Vec<u8>)> = vec![
        ("empty".to_owned(), Vec::new()),
        (
            "older form".to_owned(),
            altered(&good, |bytes| bytes[14] = b'0'),
        ),
        ("no checksum".to_owned(), good[..good.len() - 32].to_vec()),
        ("longer".to_owned(), [good.as_slice(), &[0]].concat()),
    ];
    for _ in 0..12 {
        let at = rng.below(good.len());
        wrong.push((format!("torn at {at}"), good[..at].to_vec()));
        let bit = rng.below(8);
        let flipped = altered(&good, |bytes| bytes[at] ^= 1 << bit);
        wrong.push((format!("bit {bit} of {at}"), flipped));
    }
    let running = stopped_and_started(running, without_loads()).await;
    for (what, bytes) in wrong {
        fs::write(&path, bytes).unwrap();
        let mut follow = follow.clone();
        follow.pace.start_max = Duration::ZERO;
        // It would have to load from the server, which it cannot here.
        let refused = Engine::follow(follow).await.unwrap_err();
        assert!(
            matches!(refused, FollowError::Load(_)),
            "{what}: {refused:?}"
        );
    }
    // Where it can, it does, and has a good cache again.
    let running = stopped_and_started(running, ops::replica::Settings::default()).await;
    fs::write(&path, b"remit.replica.0\n").unwrap();
    // What a process left that was killed while it wrote.
    fs::write(path.with_extension("cache.partial"), &good[..100]).unwrap();
    let replica = follow_again(&follow).await;
    assert_eq!(ann(&replica).await, Decision::Allowed);
    replica.close().await.unwrap();
    let running = stopped_and_started(running, without_loads()).await;
    assert_eq!(ann(&follow_again(&follow).await).await, Decision::Allowed);
    running.stop().await;
}

fn altered(bytes: &[u8], alter: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    alter(&mut bytes);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_of_another_store_or_of_a_lost_past_is_not_used() {
    let (running, follow) = cached().await;
    // Another store.
    let other = start().await;
    other.write(&["+doc:b#viewer@user:bob"]).await;
    fs::copy(running.cache(), other.cache()).unwrap();
    let replica = Engine::follow(other.cached()).await.unwrap();
    assert_eq!(ann(&replica).await, Decision::Denied);
    assert_eq!(
        view(&replica, NEWEST, "doc:b", "user:bob").await.unwrap(),
        Decision::Allowed
    );
    drop(replica);
    other.stop().await;

    // The same history without the last commits, which the cache has.
    let stopped = running.stop().await;
    let before = stopped.folder.path().join("before.db");
    copy_store(&stopped.store(), &before);
    let running = stopped.start().await;
    running.write(&["+doc:a#viewer@user:lost"]).await;
    let replica = follow_again(&follow).await;
    let full = Consistency::FullyConsistent;
    assert_eq!(
        view(&replica, full, "doc:a", "user:lost").await.unwrap(),
        Decision::Allowed
    );
    replica.close().await.unwrap();
    let stopped = running.stop().await;
    copy_store(&before, &stopped.store());
    let running = stopped.start().await;
    for _ in 0..3 {
        // Its revisions are given out again.
        running.write(&["+doc:a#viewer@user:other"]).await;
    }
    let replica = follow_again(&follow).await;
    assert_eq!(
        view(&replica, full, "doc:a", "user:lost").await.unwrap(),
        Decision::Denied
    );
    assert_eq!(
        view(&replica, full, "doc:a", "user:other").await.unwrap(),
        Decision::Allowed
    );
    drop(replica);
    running.stop().await;
}

/// Copies a store that nobody has open.
pub(crate) fn copy_store(from: &Path, to: &Path) {
    for suffix in ["-wal", "-shm"] {
        let beside = to.with_file_name(format!("{}{suffix}", to.file_name().unwrap().display()));
        let _absent = fs::remove_file(beside);
    }
    fs::copy(from, to).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_the_log_no_longer_reaches_is_not_used() {
    let (running, follow) = cached().await;
    running.write(&["-doc:a#viewer@user:ann"]).await;
    let later = running.write(&["+doc:b#viewer@user:ann"]).await;
    running.store.trim(running.node.now()).await.unwrap();
    let old = later.revision.0 - 1;
    let read = ops::replica::log(&running.node, &anybody(), model::Revision(old - 1), 1).await;
    assert!(matches!(read.unwrap(), ops::replica::Page::Trimmed { .. }));
    let replica = follow_again(&follow).await;
    assert_eq!(ann(&replica).await, Decision::Denied);
    drop(replica);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_cannot_be_written_is_tried_again_when_it_is_time() {
    let running = start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.cache");
    let partial = folder.path().join("a.cache.partial");
    fs::create_dir(&path).unwrap();
    fs::write(folder.path().join("a.cache.lock"), b"").unwrap();
    let changed = || fs::metadata(folder.path()).unwrap().modified().unwrap();
    let before = changed();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut follow = running.follow();
    follow.cache = Some(path);
    follow.pace.cache_every = Duration::from_secs(3_600);
    let replica = Engine::follow(follow).await.unwrap();
    assert_eq!(ann(&replica).await, Decision::Denied);
    // It is made and taken away again, once.
    eventually(async || (changed() != before && !partial.exists()).then_some(())).await;
    let tried = changed();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(changed(), tried);
    replica.close().await.unwrap_err();
    assert!(!partial.exists());
    running.stop().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn what_lies_where_the_cache_is_written_is_not_written_to() {
    let (running, follow) = cached().await;
    let cache = running.cache();
    let partial = cache.with_extension("cache.partial");
    let others = running.folder.path().join("of-another");
    for is_symlink in [true, false] {
        fs::write(&others, b"of another").unwrap();
        let replica = follow_again(&Follow {
            cache: Some(cache.clone()),
            pace: remit_embedded::Pace {
                cache_every: Duration::from_secs(3_600),
                ..follow.pace.clone()
            },
            ..follow.clone()
        })
        .await;
        if is_symlink {
            std::os::unix::fs::symlink(&others, &partial).unwrap();
        } else {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&others, fs::Permissions::from_mode(0o666)).unwrap();
            fs::hard_link(&others, &partial).unwrap();
        }
        replica.close().await.unwrap();
        assert_eq!(fs::read(&others).unwrap(), b"of another", "{is_symlink}");
        let written = fs::symlink_metadata(&cache).unwrap();
        assert!(written.is_file(), "{is_symlink}");
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&written.permissions()) & 0o777,
            0o600
        );
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_is_of_one_replica_and_for_nobody_else_to_read() {
    let (running, follow) = cached().await;
    let replica = follow_again(&follow).await;
    let second = Engine::follow(follow.clone()).await.unwrap_err();
    assert!(
        matches!(second, FollowError::CacheInUse { .. }),
        "{second:?}"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(running.cache()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    drop(replica);
    let mut nowhere = follow;
    nowhere.cache = Some("/no/such/folder/replica.cache".into());
    let error = Engine::follow(nowhere).await.unwrap_err();
    assert!(matches!(error, FollowError::Cache { .. }), "{error:?}");
    let _stopped: Stopped = running.stop().await;
}
