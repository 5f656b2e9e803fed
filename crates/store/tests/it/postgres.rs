//! The contract on PostgreSQL, and what is its own: nodes that share it, connections that fail, its forms.

#![expect(
    clippy::disallowed_methods,
    reason = "faults come at times, and not at events"
)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::{Operation, RelationshipFilter, Revision};
use store::contract::{Harness, run};
use store::{
    ChangeRequest, CommitError, CommitRequest, PostgresConfig, PostgresOpenError, PostgresStore,
    Store, StoreError, StoreIdentity, TokenRefused,
};
use testkit::postgres::{Server, database_of};

mod proxy;

use self::proxy::Proxy;
use crate::support::{block_on, log, request, update};

#[test]
fn a_store_in_postgresql_keeps_the_contract() {
    let server = Server::start(&["fsync=off"]);
    run(&Databases {
        server: &server,
        made: Mutex::default(),
    });
}

fn config(url: &str) -> PostgresConfig {
    url.parse().unwrap()
}

struct Databases<'a> {
    server: &'a Server,
    made: Mutex<Vec<(StoreIdentity, String)>>,
}

impl Harness for Databases<'_> {
    fn make(&self) -> Arc<dyn Store> {
        let url = self.server.database();
        PostgresStore::migrate(&config(&url), None).unwrap();
        let store = PostgresStore::open(&config(&url)).unwrap();
        self.made.lock().unwrap().push((store.identity(), url));
        Arc::new(store)
    }

    fn reopen(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        let identity = store.identity();
        drop(store);
        let made = self.made.lock().unwrap();
        let (_, url) = made.iter().find(|(made, _)| *made == identity).unwrap();
        Some(Arc::new(PostgresStore::open(&config(url)).unwrap()))
    }

    fn copy(&self, _: &dyn Store) -> Option<Arc<dyn Store>> {
        None
    }
}

fn migrated(server: &Server) -> String {
    let url = server.database();
    PostgresStore::migrate(&config(&url), None).unwrap();
    url
}

fn open(url: &str) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::open(&config(url)).unwrap())
}

fn create(name: &str) -> ChangeRequest {
    update(
        Operation::Create,
        &format!("document:{name}#viewer@user:ann"),
    )
}

fn rows(store: &dyn Store) -> Vec<String> {
    let mut rows = Vec::new();
    let scanned = store.scan(&mut |_, row| {
        rows.push(row.resource_id.to_owned());
        ControlFlow::Continue(())
    });
    scanned.unwrap();
    rows.sort();
    rows
}

/// Checks that the log is whole: no gap, each entry after the one before it, each with its hash.
fn verify_chain(store: &dyn Store) -> usize {
    let entries = log(store, 0);
    let mut previous = model::CommitHash::ZERO;
    for (entry, revision) in entries.iter().zip(1..) {
        assert_eq!(entry.revision, Revision(revision));
        assert_eq!(entry.previous, previous);
        assert_eq!(entry.computed_hash(), entry.hash);
        previous = entry.hash;
    }
    entries.len()
}

#[test]
fn commits_of_several_nodes_have_one_order_that_all_hear_of() {
    let server = Server::start(&["fsync=off"]);
    let url = migrated(&server);
    let nodes = [open(&url), open(&url), open(&url)];
    let mut acknowledged: Vec<u64> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..12)
            .map(|writer| {
                let node = &nodes[writer % 3];
                scope.spawn(move || {
                    let commits = (0..25).map(|step| {
                        let change = create(&format!("w{writer}s{step}"));
                        block_on(node.commit(request(vec![change]))).unwrap()
                    });
                    commits.map(|done| done.revision.0).collect::<Vec<_>>()
                })
            })
            .collect();
        let writers = writers.into_iter();
        writers.flat_map(|writer| writer.join().unwrap()).collect()
    });
    acknowledged.sort_unstable();
    assert_eq!(acknowledged, (1..=300).collect::<Vec<u64>>());
    for node in &nodes {
        assert_eq!(verify_chain(&**node), 300);
        assert_eq!(rows(&**node).len(), 300);
        // By news, long before the listener would ask of its own accord.
        let mut heard = node.head_watch();
        let begun = Instant::now();
        block_on(heard.wait_for(|revision| *revision == Revision(300))).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(4));
    }
}

/// What became of commits: their names, and the revisions of those that were acknowledged.
type Outcomes = Vec<(String, Result<Revision, CommitError>)>;

/// Has `writers` create something `steps` times each.
fn write(store: &Arc<PostgresStore>, writers: usize, steps: usize) -> Outcomes {
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..writers)
            .map(|writer| {
                scope.spawn(move || {
                    let commits = (0..steps).map(|step| {
                        let name = format!("w{writer}s{step}");
                        let done = block_on(store.commit(request(vec![create(&name)])));
                        (name, done.map(|done| done.revision))
                    });
                    commits.collect::<Vec<_>>()
                })
            })
            .collect();
        let writers = writers.into_iter();
        writers.flat_map(|writer| writer.join().unwrap()).collect()
    })
}

/// Checks that each commit that was acknowledged is there once, and that what was refused as unavailable is there once or not
/// at all; how many were acknowledged.
fn check_outcomes(store: &dyn Store, outcomes: Outcomes) -> usize {
    verify_chain(store);
    let mut written: BTreeMap<String, Vec<Revision>> = BTreeMap::new();
    for entry in log(store, 0) {
        for change in &entry.changes {
            let name = change.relationship().unwrap().resource.id.to_string();
            written.entry(name).or_default().push(entry.revision);
        }
    }
    let mut acknowledged = 0;
    for (name, outcome) in outcomes {
        let found = written.remove(&name).unwrap_or_default();
        match outcome {
            Ok(revision) => {
                acknowledged += 1;
                assert_eq!(found, [revision], "{name}");
            }
            Err(CommitError::Store(StoreError::Unavailable { .. })) => {
                assert!(found.len() <= 1, "{name}: {found:?}");
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    assert_eq!(written, BTreeMap::new());
    acknowledged
}

/// Connections are cut at random moments under load.
#[test]
fn a_cut_connection_loses_nothing_and_repeats_nothing() {
    let server = Server::start(&["fsync=off"]);
    let url = migrated(&server);
    let store = open(&url);
    let is_done = AtomicBool::new(false);
    let outcomes = std::thread::scope(|scope| {
        scope.spawn(|| {
            let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE application_name = 'remit' AND datname = current_database()";
            while !is_done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(37));
                server.query(&url, cut);
            }
        });
        let outcomes = write(&store, 6, 100);
        is_done.store(true, Ordering::Relaxed);
        outcomes
    });
    let acknowledged = check_outcomes(&*open(&url), outcomes);
    assert!(
        acknowledged > 500,
        "{acknowledged} of 600 were acknowledged"
    );
}

/// Whether a commit whose answer did not come is durable is found out, and not guessed: all of them are acknowledged, once.
#[test]
fn a_commit_in_doubt_is_looked_for() {
    let server = Server::start(&["fsync=off"]);
    let url = migrated(&server);
    let proxy = Proxy::start(server.folder().to_owned());
    let store = open(&proxy.url(database_of(&url)));
    let outcomes = write(&store, 3, 60);
    let acknowledged = check_outcomes(&*store, outcomes);
    let (before, after) = proxy.faults();
    assert!(before > 5 && after > 5, "{before}, {after}");
    assert_eq!(acknowledged, 180);
}

#[test]
fn a_server_that_is_gone_is_told_of_and_found_again() {
    let mut server = Server::start(&[]);
    let url = migrated(&server);
    let store = open(&url);
    block_on(store.commit(request(vec![create("before")]))).unwrap();
    server.stop("immediate");
    let begun = Instant::now();
    assert!(matches!(
        block_on(store.head()),
        Err(StoreError::Unavailable { .. })
    ));
    assert!(begun.elapsed() < Duration::from_secs(1));
    // A commit outlasts a short interruption, as of a failover.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| block_on(store.commit(request(vec![create("meanwhile")]))));
        std::thread::sleep(Duration::from_millis(500));
        server.resume();
        assert_eq!(waiting.join().unwrap().unwrap().revision, Revision(2));
    });
    assert_eq!(block_on(store.head()).unwrap().revision, Revision(2));
    assert_eq!(rows(&*store), ["before", "meanwhile"]);
}

/// A standby was promoted that lacked the newest commits: the node that made them is not to write on.
#[test]
fn a_database_that_has_lost_commits_is_not_written_to() {
    let server = Server::start(&["fsync=off"]);
    let url = migrated(&server);
    let store = open(&url);
    block_on(store.commit(request(vec![create("kept")]))).unwrap();
    block_on(store.commit(request(vec![create("lost")]))).unwrap();
    let lose = "DELETE FROM remit.log_entry WHERE revision = 2; \
         DELETE FROM remit.audit_entry WHERE idx >= 1; UPDATE remit.head SET revision = 1, audit_size = 1, hash = (SELECT hash FROM remit.log_entry WHERE revision = 1); \
         DELETE FROM remit.relationship WHERE revision = 2; \
         SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE application_name = 'remit' AND datname = current_database()";
    server.query(&url, lose);
    let refused = block_on(store.commit(request(vec![create("after")])));
    let error = refused.unwrap_err();
    assert!(
        matches!(error, CommitError::Store(StoreError::Diverged { .. })),
        "{error:?}"
    );
    assert_eq!(rows(&*store), ["kept"]);
    // One that knows nothing of them goes on from what is there, also where the number is given again.
    let other = open(&url);
    let again = block_on(other.commit(request(vec![create("other")]))).unwrap();
    assert_eq!(again.revision, Revision(2));
    let refused = block_on(store.commit(request(vec![create("after")])));
    assert!(matches!(
        refused,
        Err(CommitError::Store(StoreError::Diverged { .. }))
    ));
}

/// The primary is lost, its standby takes over with all that it had, and the store finds it by itself.
#[test]
fn a_store_goes_on_with_a_promoted_standby() {
    let mut primary = Server::start(&[]);
    let database = migrated(&primary);
    let standby = primary.standby();
    let url = primary.url_with(&standby, database_of(&database));
    let store = open(&url);
    for number in 0..20 {
        block_on(store.commit(request(vec![create(&format!("r{number}"))]))).unwrap();
    }
    // Asynchronous replication: what it has is waited for, so that nothing is lost.
    let has_all = "SELECT revision FROM remit.head";
    while standby.query(&database, has_all) != "20" {
        std::thread::sleep(Duration::from_millis(5));
    }
    primary.stop("immediate");
    assert!(matches!(
        block_on(store.head()),
        Err(StoreError::Unavailable { .. })
    ));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| block_on(store.commit(request(vec![create("after")]))));
        standby.promote();
        assert_eq!(waiting.join().unwrap().unwrap().revision, Revision(21));
    });
    assert_eq!(rows(&*store).len(), 21);
    assert_eq!(verify_chain(&*store), 21);
}

/// The standby that takes over lacks the newest commits, and their numbers are given again.
#[test]
fn a_store_stops_at_a_promoted_standby_that_lacks_commits() {
    let mut primary = Server::start(&[]);
    let database = migrated(&primary);
    let standby = primary.standby();
    let url = primary.url_with(&standby, database_of(&database));
    let store = open(&url);
    block_on(store.commit(request(vec![create("kept")]))).unwrap();
    while standby.query(&database, "SELECT revision FROM remit.head") != "1" {
        std::thread::sleep(Duration::from_millis(5));
    }
    standby.stop_following();
    let lost = block_on(store.commit(request(vec![create("lost")]))).unwrap();
    let lost = block_on(store.token(lost.revision)).unwrap();
    primary.stop("immediate");
    standby.promote();
    let refused = block_on(store.commit(request(vec![create("after")])));
    assert!(matches!(
        refused,
        Err(CommitError::Store(StoreError::Diverged { .. }))
    ));
    // One that is started anew serves what is there, and takes no token of what is lost, also once its number is given again.
    let anew = open(&url);
    assert_eq!(rows(&*anew), ["kept"]);
    assert!(matches!(
        block_on(anew.verify(lost)),
        Err(TokenRefused::BeyondHead { .. })
    ));
    let other = block_on(anew.commit(request(vec![create("other")]))).unwrap();
    assert_eq!(other.revision, lost.revision);
    assert!(matches!(
        block_on(anew.verify(lost)),
        Err(TokenRefused::HashMismatch { .. })
    ));
}

#[test]
fn a_database_in_place_of_another_is_not_written_to() {
    let server = Server::start(&["fsync=off"]);
    let url = migrated(&server);
    let store = open(&url);
    block_on(store.commit(request(vec![create("one")]))).unwrap();
    let replace = "UPDATE remit.identity SET history_id = '\\x0102030405060708'; \
         SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE application_name = 'remit' AND datname = current_database()";
    server.query(&url, replace);
    let error = block_on(store.commit(request(vec![create("two")]))).unwrap_err();
    assert!(error.to_string().contains("another history"), "{error}");
    assert_eq!(rows(&*store), ["one"]);
}

/// All nodes take the time of a commit for passed: one node whose clock runs off would have everything expire everywhere.
#[test]
fn no_commit_is_ahead_of_the_servers_clock() {
    let server = Server::start(&["fsync=off"]);
    let store = open(&migrated(&server));
    let now = || block_on(store.now()).unwrap().unwrap();
    let hour_ahead = now().saturating_add_micros(3_600_000_000);
    let committed = block_on(store.commit(CommitRequest {
        now: hour_ahead,
        ..request(vec![create("one")])
    }));
    assert!(committed.unwrap().time <= now());
}

#[test]
fn a_database_of_another_form_is_told_of() {
    let server = Server::start(&["fsync=off"]);
    let url = server.database();
    let opened = |url: &str| PostgresStore::open(&config(url)).map(|_| ());
    assert!(matches!(
        opened(&url),
        Err(PostgresOpenError::NotMigrated { found: 0, .. })
    ));
    let format = PostgresStore::migrate(&config(&url), None).unwrap();
    assert!(format.can_be_served() && format.pending() == 0);
    // Again is no harm.
    assert_eq!(PostgresStore::migrate(&config(&url), None).unwrap(), format);
    opened(&url).unwrap();

    // A later version has migrated it, and says that this one may go on, as while a release is rolled out.
    let newer = |compatible_from: i32| {
        format!(
            "INSERT INTO remit.migration (number, checksum, compatible_from) VALUES (99, '', {compatible_from}) \
             ON CONFLICT (number) DO UPDATE SET compatible_from = {compatible_from}"
        )
    };
    server.query(&url, &newer(1));
    opened(&url).unwrap();
    server.query(&url, &newer(98));
    assert!(matches!(
        opened(&url),
        Err(PostgresOpenError::NewerFormat { found: 99, .. })
    ));
    server.query(
        &url,
        "UPDATE remit.migration SET checksum = '\\x00' WHERE number = 1",
    );
    assert!(matches!(
        opened(&url),
        Err(PostgresOpenError::OtherMigration { number: 1, .. })
    ));
    let nowhere = url.replace(database_of(&url), "nowhere");
    let error = opened(&nowhere).unwrap_err();
    assert!(
        matches!(error, PostgresOpenError::Failed { .. }),
        "{error:?}"
    );
}

/// A store has threads of its own, and does not care on whose it is opened and dropped.
#[test]
fn a_store_is_opened_and_dropped_within_another_runtime() {
    let server = Server::start(&["fsync=off"]);
    let url = server.database();
    block_on(async {
        assert!(PostgresStore::open(&config(&url)).is_err());
        PostgresStore::migrate(&config(&url), None).unwrap();
        let store = open(&url);
        store.commit(request(vec![create("one")])).await.unwrap();
        drop(store);
        let store = open(&url);
        store.close().await.unwrap();
        assert!(matches!(
            store.commit(request(vec![create("two")])).await,
            Err(CommitError::Store(StoreError::Closed))
        ));
    });
}

#[test]
fn a_log_that_was_altered_is_not_opened() {
    let server = Server::start(&["fsync=off"]);
    let url = migrated(&server);
    block_on(open(&url).commit(request(vec![create("one")]))).unwrap();
    server.query(&url, "UPDATE remit.log_entry SET actor = 'mallory'");
    assert!(matches!(
        PostgresStore::open(&config(&url)).map(|_| ()),
        Err(PostgresOpenError::Damaged { .. })
    ));
}

#[test]
fn a_log_that_lacks_its_end_is_not_opened() {
    let server = Server::start(&["fsync=off"]);
    let url = migrated(&server);
    let store = open(&url);
    for name in ["one", "two"] {
        block_on(store.commit(request(vec![create(name)]))).unwrap();
    }
    drop(store);
    server.query(&url, "DELETE FROM remit.log_entry WHERE revision = 2");
    assert!(matches!(
        PostgresStore::open(&config(&url)).map(|_| ()),
        Err(PostgresOpenError::Damaged { .. })
    ));
}

/// More than is read at once: the same rows go as if it were.
#[test]
fn many_are_deleted_in_the_order_of_their_keys() {
    let server = Server::start(&["fsync=off"]);
    let url = migrated(&server);
    let store = open(&url);
    let name = |number: usize| format!("d{number:05}");
    let changes = (0..10_500).map(|number| create(&name(number))).collect();
    block_on(store.commit(request(changes))).unwrap();
    let delete = |limit| ChangeRequest::DeleteMatching {
        filter: RelationshipFilter {
            definition: Some("document".parse().unwrap()),
            ..RelationshipFilter::default()
        },
        limit,
        partial: true,
    };
    let some = block_on(store.commit(request(vec![delete(Some(5_000))]))).unwrap();
    assert_eq!((some.deleted_count, some.deletion_complete), (5_000, false));
    let left: Vec<String> = (5_000..10_500).map(name).collect();
    assert_eq!(rows(&*store), left);
    let all = block_on(store.commit(request(vec![delete(None)]))).unwrap();
    assert_eq!((all.deleted_count, all.deletion_complete), (5_500, true));
    assert_eq!(rows(&*store), Vec::<String>::new());
}

/// The role that serves reads and commits, and changes neither tables nor what is on record.
#[test]
fn the_role_that_serves_can_do_no_more_than_serve() {
    let server = Server::start(&["fsync=off"]);
    let url = server.database();
    server.query(&url, "CREATE ROLE serving LOGIN");
    PostgresStore::migrate(&config(&url), Some("serving")).unwrap();
    let serving = url.replace("remit@", "serving@");
    let store = open(&serving);
    let changes = vec![
        create("one"),
        ChangeRequest::Schema("definition user {}".to_owned()),
        ChangeRequest::Record {
            key: store::RecordKey::new("test", "one").unwrap(),
            value: Some(b"value".to_vec()),
        },
    ];
    block_on(store.commit(request(changes))).unwrap();
    block_on(store.trim(model::Timestamp::EPOCH)).unwrap();
    assert_eq!(rows(&*store), ["one"]);
    drop(store);
    for forbidden in [
        "UPDATE remit.log_entry SET actor = 'mallory'",
        "UPDATE remit.identity SET store_id = store_id",
        "DELETE FROM remit.head",
        "INSERT INTO remit.migration (number, checksum, compatible_from) VALUES (2, '', 2)",
        "DROP TABLE remit.record",
        "CREATE TABLE remit.other (one int)",
    ] {
        let done = server.sql(database_of(&url), &format!("SET ROLE serving; {forbidden}"));
        assert!(!done.status.success(), "{forbidden}");
    }
}
