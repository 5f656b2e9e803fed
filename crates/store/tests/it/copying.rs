//! Moving between stores: what is on record stays, and what is written meanwhile comes along.

use std::ops::ControlFlow;
use std::path::Path;

use model::{Operation, Revision, Timestamp};
use store::audit::{AuditQuery, AuditState, Entry, Hash, Place, StoredCheckpoint};
use store::copy::{Next, Source, Target, copy};
use store::{
    ChangeRequest, Copied, CopyError, CopyProgress, Digest, LogError, PostgresConfig,
    PostgresStore, PostgresTarget, RecordKey, SqliteSource, SqliteStore, SqliteTarget, Store,
};
use testkit::postgres::Server;

use crate::support::{block_on, log, request, update};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds, 0).unwrap()
}

/// One commit, at a second.
fn commit(store: &dyn Store, second: i64, changes: Vec<ChangeRequest>) {
    let mut request = request(changes);
    request.base.schema_revision = block_on(store.head()).unwrap().schema_revision;
    request.now = at(second);
    block_on(store.commit(request)).unwrap();
}

fn record(value: Option<&str>) -> ChangeRequest {
    ChangeRequest::Record {
        key: RecordKey::new("test", "one").unwrap(),
        value: value.map(|text| text.as_bytes().to_vec()),
    }
}

/// All kinds of changes; the log begins within them.
fn fill(store: &dyn Store) {
    commit(
        store,
        1,
        vec![ChangeRequest::Schema("definition user {}".to_owned())],
    );
    for second in 2..300 {
        let text = match second % 5 {
            0 => format!("document:d{second}#viewer@group:eng#member[hours:{{\"n\":{second}}}]"),
            1 => format!(
                "document:d{second}#viewer@user:*[expiration:{}]",
                at(second + 50)
            ),
            _ => format!("document:d{second}#viewer@user:ann"),
        };
        commit(
            store,
            second,
            vec![update(Operation::Create, &text), record(Some(&text))],
        );
    }
    commit(
        store,
        300,
        vec![ChangeRequest::Schema("definition group {}".to_owned())],
    );
    commit(
        store,
        301,
        vec![update(Operation::Delete, "document:d2#viewer@user:ann")],
    );
    commit(
        store,
        302,
        vec![update(
            Operation::Touch,
            "document:d3#viewer@user:ann[hours]",
        )],
    );
    commit(store, 303, vec![record(None)]);
    block_on(store.trim(at(290))).unwrap();
}

/// What a copy must have of its original.
#[derive(Debug, PartialEq)]
struct Held {
    rows: Vec<(String, Revision)>,
    log: Vec<store::LogEntry>,
    schemas: Vec<Option<store::StoredSchema>>,
    records: Vec<store::Record>,
}

fn held(store: &dyn Store) -> Held {
    let mut rows = Vec::new();
    let header = store.scan(&mut |_, row| {
        rows.push((row.to_relationship().unwrap().to_string(), row.revision));
        ControlFlow::Continue(())
    });
    rows.sort();
    let header = header.unwrap();
    let first = match block_on(store.schema(Some(Revision(0)))) {
        Err(LogError::Trimmed { oldest }) => oldest.0 - 1,
        other => panic!("the log begins within: {other:?}"),
    };
    let schemas = (first..=header.head.revision.0)
        .map(|revision| block_on(store.schema(Some(Revision(revision)))).unwrap());
    Held {
        rows,
        log: log(store, first),
        schemas: schemas.collect(),
        records: header.records,
    }
}

fn copied(source: &dyn Source, target: &mut dyn Target) -> Result<Copied, CopyError> {
    copy(source, target, &mut |_| Next::Finish)
}

fn to_file(source: &dyn Source, path: &Path) -> SqliteStore {
    let mut target = SqliteTarget::create(path).unwrap();
    copied(source, &mut target).unwrap();
    drop(target);
    SqliteStore::open(path).unwrap()
}

fn database(server: &Server) -> PostgresConfig {
    let config: PostgresConfig = server.database().parse().unwrap();
    PostgresStore::migrate(&config, None).unwrap();
    config
}

#[test]
fn a_store_moves_to_postgresql_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["fsync=off"]);
    let path = folder.path().join("one.db");
    let original = SqliteStore::open(&path).unwrap();
    fill(&original);

    let config = database(&server);
    let there = copied(
        &SqliteSource::open(&path).unwrap(),
        &mut PostgresTarget::begin(&config).unwrap(),
    );
    let there = there.unwrap();
    let in_postgres = PostgresStore::open(&config).unwrap();
    assert_eq!(held(&in_postgres), held(&original));
    assert_eq!(there.identity, Store::identity(&in_postgres));
    assert_eq!(there.identity.store, original.identity().store);
    assert_ne!(there.identity.history, original.identity().history);
    assert_eq!(there.head, block_on(original.head()).unwrap().revision);
    assert_eq!(
        block_on(in_postgres.head()).unwrap(),
        block_on(original.head()).unwrap()
    );

    let back = to_file(&in_postgres, &folder.path().join("back.db"));
    assert_eq!(held(&back), held(&original));
    assert_eq!(back.identity().store, original.identity().store);
    // Each goes on by itself.
    for store in [&back as &dyn Store, &in_postgres] {
        commit(
            store,
            400,
            vec![update(Operation::Create, "document:new#viewer@user:ann")],
        );
        let head = block_on(store.head()).unwrap();
        assert_eq!(head.revision, there.head.next());
        assert_eq!(
            block_on(store.log(store::LogQuery {
                after: there.head,
                entries_max: 9,
                bytes_max: usize::MAX,
            }))
            .unwrap()[0]
                .previous,
            log(&original, there.head.0 - 1)[0].hash
        );
    }
}

/// The original is in use: what is committed after its rows were read comes by its log.
#[test]
fn what_is_written_meanwhile_comes_along() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["fsync=off"]);
    let path = folder.path().join("one.db");
    let original = SqliteStore::open(&path).unwrap();
    fill(&original);
    let mut meanwhile: Vec<Vec<ChangeRequest>> = vec![
        vec![ChangeRequest::Schema("definition document {}".to_owned())],
        vec![
            update(Operation::Create, "document:late#viewer@user:ann"),
            update(Operation::Delete, "document:d4#viewer@user:ann"),
            update(Operation::Touch, "document:d7#viewer@user:ann[hours]"),
        ],
        vec![update(Operation::Delete, "document:late#viewer@user:ann")],
        vec![
            update(Operation::Create, "document:later#viewer@user:ann"),
            record(Some("new")),
        ],
    ];
    meanwhile.reverse();
    let config = database(&server);
    let mut target = PostgresTarget::begin(&config).unwrap();
    let done = copy(
        &SqliteSource::open(&path).unwrap(),
        &mut target,
        &mut |progress| {
            let is_caught_up = matches!(progress, CopyProgress::CaughtUp(_));
            match meanwhile.pop_if(|_| is_caught_up) {
                Some(changes) => {
                    commit(&original, 500, changes);
                    Next::Follow
                }
                None => Next::Finish,
            }
        },
    );
    let done = done.unwrap();
    let in_postgres = PostgresStore::open(&config).unwrap();
    assert_eq!(held(&in_postgres), held(&original));
    let mut digest = Digest::default();
    let scanned = original.scan(&mut |_, row| {
        digest.add_row(&row);
        ControlFlow::Continue(())
    });
    scanned.unwrap();
    assert_eq!(done.digest, digest);
    assert_eq!(done.head, Revision(307));
}

#[test]
fn a_copy_overwrites_nothing_and_is_not_there_until_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["fsync=off"]);
    let path = folder.path().join("one.db");
    let original = SqliteStore::open(&path).unwrap();
    fill(&original);
    let source = SqliteSource::open(&path).unwrap();
    assert!(matches!(
        SqliteTarget::create(&path),
        Err(CopyError::Exists { .. })
    ));
    let config = database(&server);
    let in_use = PostgresStore::open(&config).unwrap();
    block_on(in_use.commit(request(Vec::new()))).unwrap();
    assert!(matches!(
        PostgresTarget::begin(&config),
        Err(CopyError::Exists { .. })
    ));

    // Somebody writes to the copy before it is finished: it does not hold what was read.
    let other = folder.path().join("two.db");
    let mut target = SqliteTarget::create(&other).unwrap();
    let broken = copy(&source, &mut Losing(&mut target), &mut |_| Next::Finish);
    assert!(
        matches!(broken, Err(CopyError::Differs { .. })),
        "{broken:?}"
    );
    assert!(!other.exists());
    let config = database(&server);
    let mut target = PostgresTarget::begin(&config).unwrap();
    let broken = copy(&source, &mut Losing(&mut target), &mut |_| Next::Finish);
    assert!(
        matches!(broken, Err(CopyError::Differs { .. })),
        "{broken:?}"
    );
    drop(target);
    let store = PostgresStore::open(&config).unwrap();
    assert_eq!(block_on(store.head()).unwrap().revision, Revision(0));
}

/// A standby that lagged takes over from the original: what comes after is of another branch than what was copied.
#[test]
fn a_log_that_does_not_follow_the_copied_rows_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    let original = SqliteStore::open(&path).unwrap();
    commit(
        &original,
        1,
        vec![update(Operation::Create, "document:a#viewer@user:ann")],
    );
    for forked in [Revision(1), Revision(2)] {
        if forked == Revision(2) {
            commit(
                &original,
                2,
                vec![update(Operation::Create, "document:b#viewer@user:ann")],
            );
        }
        let source = Forked {
            source: SqliteSource::open(&path).unwrap(),
            at: forked,
        };
        let mut target = SqliteTarget::create(&folder.path().join("two.db")).unwrap();
        let broken = copied(&source, &mut target);
        assert!(
            matches!(broken, Err(CopyError::Forked { revision }) if revision == forked),
            "{broken:?}"
        );
    }
}

/// A source whose log has another commit than that whose rows it gave, or than the one before.
struct Forked {
    source: SqliteSource,
    at: Revision,
}

impl Source for Forked {
    fn identity(&self) -> store::StoreIdentity {
        self.source.identity()
    }

    fn scan(
        &self,
        sink: &mut dyn FnMut(&store::ScanHeader, store::ScanRow<'_>) -> ControlFlow<()>,
    ) -> Result<store::ScanHeader, store::StoreError> {
        self.source.scan(sink)
    }

    fn log(&self, query: store::LogQuery) -> Result<Vec<store::LogEntry>, LogError> {
        let mut entries = self.source.log(query)?;
        for entry in entries.iter_mut().filter(|entry| entry.revision == self.at) {
            entry.hash = model::CommitHash([7; 32]);
        }
        Ok(entries)
    }

    fn schema(&self, at: Revision) -> Result<Option<store::StoredSchema>, LogError> {
        self.source.schema(at)
    }

    fn audit_state(&self) -> Result<Option<AuditState>, store::StoreError> {
        self.source.audit_state()
    }

    fn audit_entries(&self, query: AuditQuery) -> Result<Vec<Entry>, store::StoreError> {
        self.source.audit_entries(query)
    }

    fn audit_hashes(&self, places: Vec<Place>) -> Result<Vec<Hash>, store::StoreError> {
        self.source.audit_hashes(places)
    }

    fn audit_checkpoints(
        &self,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<StoredCheckpoint>, store::StoreError> {
        self.source.audit_checkpoints(after, count_max)
    }
}

/// A target that loses a row.
struct Losing<'a>(&'a mut dyn Target);

impl Target for Losing<'_> {
    fn row(&mut self, row: &store::ScanRow<'_>) -> Result<(), CopyError> {
        if row.resource_id == "d13" {
            return Ok(());
        }
        self.0.row(row)
    }

    fn state(
        &mut self,
        header: &store::ScanHeader,
        before: Option<&store::StoredSchema>,
    ) -> Result<(), CopyError> {
        self.0.state(header, before)
    }

    fn entry(&mut self, entry: &store::LogEntry, is_past: bool) -> Result<(), CopyError> {
        self.0.entry(entry, is_past)
    }

    fn audit_begin(&mut self, begin: u64) -> Result<(), CopyError> {
        self.0.audit_begin(begin)
    }

    fn audit_entries(&mut self, entries: &[Entry]) -> Result<(), CopyError> {
        self.0.audit_entries(entries)
    }

    fn audit_erased(&mut self, entry: &Entry) -> Result<(), CopyError> {
        self.0.audit_erased(entry)
    }

    fn audit_checkpoints(&mut self, checkpoints: &[StoredCheckpoint]) -> Result<(), CopyError> {
        self.0.audit_checkpoints(checkpoints)
    }

    fn finish(&mut self, source: store::StoreIdentity) -> Result<store::StoreIdentity, CopyError> {
        self.0.finish(source)
    }

    fn digest(&mut self) -> Result<Digest, CopyError> {
        self.0.digest()
    }

    fn publish(&mut self) -> Result<(), CopyError> {
        self.0.publish()
    }
}
