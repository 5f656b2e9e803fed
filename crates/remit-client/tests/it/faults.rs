//! A server that is killed under load, and comes back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use remit_client::{Check, Client, Consistency, ErrorKind, IdempotencyKey};
use tokio::task::JoinSet;

use crate::running::{Site, builder, touch};

const CHECKERS: usize = 16;
const WRITERS: usize = 4;
const KILLS: usize = 5;
/// Longer than a server is away.
const DEADLINE: Duration = Duration::from_secs(10);

/// What became of the writes of one writer: the relationships, and whether each was acknowledged.
type Written = HashMap<String, bool>;

async fn check_until(client: Client, is_over: Arc<AtomicBool>, count: Arc<AtomicU64>) {
    while !is_over.load(Ordering::SeqCst) {
        let check = Check::new("document:there", "view", "user:ann").unwrap();
        let decision = client.check(check.with_deadline(DEADLINE)).await;
        let decision = decision.unwrap_or_else(|error| panic!("a check failed: {error}"));
        assert!(decision.is_allowed());
        count.fetch_add(1, Ordering::SeqCst);
    }
}

async fn write_until(
    client: Client,
    is_over: Arc<AtomicBool>,
    name: String,
    has_key: bool,
) -> Written {
    let mut written = Written::new();
    for number in 0.. {
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        let row = format!("document:{name}-{number}#viewer@user:ann");
        let mut write = touch([&row]).with_deadline(DEADLINE);
        if has_key {
            write = write.with_idempotency_key(IdempotencyKey::random());
        }
        let is_acknowledged = match client.write(write).await {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
                assert!(!has_key, "a write with a key failed: {error}");
                false
            }
        };
        written.insert(row, is_acknowledged);
    }
    written
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_check_fails_and_no_write_is_applied_twice_while_a_server_is_killed() {
    let (mut site, client) = Site::with_schema().await;
    client
        .write(touch(["document:there#viewer@user:ann"]))
        .await
        .unwrap();
    let before = site.head().await;
    let (is_over, checks) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut checking = JoinSet::new();
    for _ in 0..CHECKERS {
        checking.spawn(check_until(
            client.clone(),
            Arc::clone(&is_over),
            Arc::clone(&checks),
        ));
    }
    let mut writing = JoinSet::new();
    for number in 0..WRITERS {
        let (name, has_key) = (format!("writer{number}"), number % 2 == 0);
        writing.spawn(write_until(
            client.clone(),
            Arc::clone(&is_over),
            name,
            has_key,
        ));
    }
    for _ in 0..KILLS {
        let seen = checks.load(Ordering::SeqCst);
        let goes_on = async {
            while checks.load(Ordering::SeqCst) < seen + 500 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(DEADLINE, goes_on).await.unwrap();
        site.kill();
        tokio::time::sleep(Duration::from_millis(100)).await;
        site.restart().await;
    }
    is_over.store(true, Ordering::SeqCst);
    checking.join_all().await;
    let written: Written = writing.join_all().await.into_iter().flatten().collect();

    // One change of each relationship in the log, and no commit without a change: none was applied twice.
    let mut applied: HashMap<String, u64> = HashMap::new();
    for entry in site.log_after(before).await {
        assert_eq!(
            entry.changes.len(),
            1,
            "a write was applied that changed nothing"
        );
        let after = entry.changes[0].after.as_ref().unwrap();
        *applied.entry(after.key().to_string()).or_default() += 1;
    }
    let unknown = written.values().filter(|is_acknowledged| !*is_acknowledged);
    let unknown = unknown.count();
    for (row, is_acknowledged) in &written {
        let count = applied.remove(row).unwrap_or(0);
        assert!(
            count == 1 || (count == 0 && !is_acknowledged),
            "{row}: {count} times"
        );
    }
    assert!(applied.is_empty(), "nobody wrote {applied:?}");
    assert!(written.len() > 100, "{} writes are few", written.len());
    let counts = client.counts();
    assert!(
        counts.retries >= 1,
        "nothing was lost: {unknown} unknown, {counts:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_an_outage_is_seen_at_once() {
    let (mut site, client) = Site::with_schema().await;
    client
        .write(touch(["document:there#viewer@user:ann"]))
        .await
        .unwrap();
    let check = || {
        let check = Check::new("document:there", "view", "user:ann").unwrap();
        check.with_deadline(DEADLINE)
    };
    assert!(client.check(check()).await.unwrap().is_allowed());
    site.kill();
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.check(check()).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!asking.is_finished());
    site.restart().await;
    let back = tokio::time::timeout(Duration::from_secs(1), asking).await;
    assert!(back.unwrap().unwrap().unwrap().is_allowed());
    // All the while it was tried a few times, not thousands of times.
    assert!(client.counts().retries <= 2, "{:?}", client.counts());
}

/// With two nodes, nobody notices that one goes, but for the calls that were under way on it, which are asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_another_node_nobody_waits_for_the_one_that_went() {
    let (site, client) = Site::with_schema().await;
    let row = ["document:there#viewer@user:ann"];
    let at = client.write(touch(row)).await.unwrap();
    let mut other = Site::start_on(Arc::clone(&site.store), None).await;
    let both = builder(&[site.endpoint(), other.endpoint()]);
    let both = both.build().unwrap();
    let mut longest = Duration::ZERO;
    for number in 0..600 {
        if number == 200 {
            other.kill();
        }
        let check = Check::new("document:there", "view", "user:ann").unwrap();
        let check = check.with_consistency(Consistency::AtLeastAsFresh(at.clone()));
        let began = Instant::now();
        let decision = both.check(check.with_deadline(DEADLINE)).await.unwrap();
        assert!(decision.is_allowed());
        longest = longest.max(began.elapsed());
    }
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}
