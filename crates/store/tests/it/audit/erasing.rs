//! Parts are erased while the log is read: that is no fault of it, and whoever reads it may not say so.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use model::Revision;
use store::audit::{AuditState, Entry, Hash, Place};
use store::copy::CopyError;
use store::{
    CopyProgress, LogEntry, LogError, LogQuery, ScanHeader, ScanRow, StoreIdentity, StoredSchema,
};

use super::*;

/// Entries that are read together here.
const PAGE: usize = 7;

/// A source that is read in small pages, before each of which something may be done to it.
struct InUse<'a> {
    source: &'a SqliteSource,
    /// Told from which entry on is read.
    meanwhile: RefCell<&'a mut dyn FnMut(u64)>,
}

impl Source for InUse<'_> {
    fn identity(&self) -> StoreIdentity {
        Source::identity(self.source)
    }

    fn scan(
        &self,
        sink: &mut dyn FnMut(&ScanHeader, ScanRow<'_>) -> ControlFlow<()>,
    ) -> Result<ScanHeader, StoreError> {
        self.source.scan(sink)
    }

    fn log(&self, query: LogQuery) -> Result<Vec<LogEntry>, LogError> {
        self.source.log(query)
    }

    fn schema(&self, at: Revision) -> Result<Option<StoredSchema>, LogError> {
        self.source.schema(at)
    }

    fn audit_state(&self) -> Result<Option<AuditState>, StoreError> {
        self.source.audit_state()
    }

    fn audit_entries(&self, query: AuditQuery) -> Result<Vec<Entry>, StoreError> {
        (self.meanwhile.borrow_mut())(query.from);
        self.source.audit_entries(AuditQuery {
            entries_max: query.entries_max.min(PAGE),
            ..query
        })
    }

    fn audit_hashes(&self, places: Vec<Place>) -> Result<Vec<Hash>, StoreError> {
        self.source.audit_hashes(places)
    }

    fn audit_checkpoints(
        &self,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<StoredCheckpoint>, StoreError> {
        self.source.audit_checkpoints(after, count_max)
    }
}

/// A store with 40 commits, of which each wrote a relationship.
fn of_forty(path: &Path) -> SqliteStore {
    let store = SqliteStore::open(path).unwrap();
    for number in 0..40 {
        let row = format!("document:d{number}#viewer@user:u{number}");
        commit(&store, vec![create(&row)]);
    }
    store
}

fn erase(store: &dyn Store, indices: &[u64]) {
    let of = |index: &u64| ErasedParts {
        index: *index,
        parts: vec![4],
    };
    let erased = indices.iter().map(of).collect();
    commit(store, vec![ChangeRequest::Erase(erased)]);
}

/// What is erased when it is read from which entry on: entries that were not read yet, that were read, and both.
const MEANWHILE: [&[(u64, &[u64])]; 6] = [
    &[(21, &[30])],
    &[(21, &[5])],
    &[(21, &[5, 30])],
    &[(7, &[1]), (14, &[2, 39]), (21, &[38, 3])],
    // While it is read on because of the first one.
    &[(35, &[36]), (42, &[39, 4])],
    &[(0, &[39, 0]), (35, &[0, 38]), (42, &[1])],
];

/// Erases what is to be erased once it is read from there on.
fn erasing<'a>(store: &'a SqliteStore, plan: &[(u64, &'a [u64])]) -> impl FnMut(u64) + 'a {
    let mut plan = plan.to_vec();
    move |from| {
        plan.retain(|(at, indices)| {
            let is_due = from >= *at;
            if is_due {
                erase(store, indices);
            }
            !is_due
        });
    }
}

#[test]
fn a_store_is_whole_though_it_is_erased_from_while_it_is_verified() {
    for plan in MEANWHILE {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.db");
        let store = of_forty(&path);
        let source = SqliteSource::open(&path).unwrap();
        let mut meanwhile = erasing(&store, plan);
        let in_use = InUse {
            source: &source,
            meanwhile: RefCell::new(&mut meanwhile),
        };
        let report = whole(&in_use, &[]);
        assert!(report.size >= 40, "{plan:?}");
    }
}

#[test]
fn a_copy_is_whole_though_its_original_is_erased_from_meanwhile() {
    for plan in MEANWHILE {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.db");
        let store = of_forty(&path);
        let source = SqliteSource::open(&path).unwrap();
        let mut meanwhile = erasing(&store, plan);
        let in_use = InUse {
            source: &source,
            meanwhile: RefCell::new(&mut meanwhile),
        };
        let to = folder.path().join("copy.db");
        let mut target = SqliteTarget::create(&to).unwrap();
        copy(&in_use, &mut target, &mut |_| Next::Finish).unwrap();
        drop(target);
        let report = whole(&SqliteSource::open(&to).unwrap(), &[]);
        assert!(report.size >= 40, "{plan:?}");
    }
}

#[test]
fn a_part_that_was_torn_out_is_told_of_a_log_that_is_erased_from_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    let store = of_forty(&path);
    let source = SqliteSource::open(&path).unwrap();
    let entry = |index| {
        let query = AuditQuery {
            from: index,
            entries_max: 1,
            bytes_max: 0,
        };
        source.audit_entries(query).unwrap().remove(0)
    };
    let put = |index: u64, body: Vec<u8>| {
        let update = "UPDATE audit_entry SET body = ?1 WHERE idx = ?2";
        let values = [Value::Blob(body), Value::Integer(index as i64)];
        Connection::open(&path)
            .unwrap()
            .execute(update, values)
            .unwrap();
    };
    // One was torn out, and one was erased and put back.
    put(
        10,
        entry(10).body().unwrap().without(&[4]).unwrap().encode(),
    );
    let was = entry(12).body;
    erase(&store, &[12]);
    put(12, was);
    let mut meanwhile = erasing(&store, &[(21, &[5, 30])]);
    let in_use = InUse {
        source: &source,
        meanwhile: RefCell::new(&mut meanwhile),
    };
    let report = verified(&in_use, &[]);
    let mut told = report
        .findings
        .iter()
        .map(|it| (it.place.as_str(), it.what.as_str()));
    assert_eq!(report.findings.len(), 2, "{report:?}");
    assert!(
        told.any(|(place, what)| place == "entry 10" && what.contains("part 4 is gone")),
        "{report:?}"
    );
    let mut told = report
        .findings
        .iter()
        .map(|it| (it.place.as_str(), it.what.as_str()));
    assert!(
        told.any(|(place, what)| place == "entry 12" && what.contains("part 4 is there")),
        "{report:?}"
    );
    // A copy has it as it is, and says so too.
    let to = folder.path().join("copy.db");
    let mut target = SqliteTarget::create(&to).unwrap();
    copy(&source, &mut target, &mut |_| Next::Finish).unwrap();
    drop(target);
    let copied = verified(&SqliteSource::open(&to).unwrap(), &[]);
    assert_eq!(copied.finding_count, 2, "{copied:?}");
}

#[test]
fn a_log_that_is_erased_from_all_the_while_is_neither_copied_nor_judged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    let store = of_forty(&path);
    let source = SqliteSource::open(&path).unwrap();
    // Whenever the end is read, something of it was erased, and the entry that says so is further on.
    let mut meanwhile = |from: u64| {
        let size = block_on(audit(&store).state()).unwrap().size;
        if from + PAGE as u64 >= size {
            for number in size..size + 10 {
                let row = format!("document:e{number}#viewer@user:ann");
                commit(&store, vec![create(&row)]);
            }
            erase(&store, &[from]);
        }
    };
    let in_use = InUse {
        source: &source,
        meanwhile: RefCell::new(&mut meanwhile),
    };
    let verifying = verify_store(&in_use, Verifier::new(Vec::new()), &mut |_| {});
    let told = format!("{:?}", verifying.unwrap_err());
    assert!(told.contains("erased"), "{told}");
    let mut target = SqliteTarget::create(&folder.path().join("copy.db")).unwrap();
    let mut caught_up = 0;
    let copied = copy(&in_use, &mut target, &mut |progress| {
        caught_up += u32::from(matches!(progress, CopyProgress::CaughtUp(_)));
        Next::Finish
    });
    assert!(matches!(copied, Err(CopyError::Erasing(_))), "{copied:?}");
    assert!(caught_up > 1);
}

/// Whether the files of a store that is in use hold these bytes.
fn holds(path: &Path, bytes: &[u8]) -> bool {
    let files = ["", "-wal"].map(|end| {
        let path = PathBuf::from(format!("{}{end}", path.display()));
        fs::read(path).unwrap_or_default()
    });
    let mut windows = files.iter().flat_map(|file| file.windows(bytes.len()));
    windows.any(|window| window == bytes)
}

#[test]
fn who_was_erased_is_nowhere_in_the_files_of_a_store_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    let name = b"zoe-maria-quist";
    let row = format!("document:a#viewer@user:{}", String::from_utf8_lossy(name));
    let holds = || holds(&path, name);
    let later = model::Timestamp::from_seconds(4_000_000_000, 0).unwrap();
    let of = |index| ErasedParts {
        index,
        parts: vec![4],
    };
    let store = SqliteStore::open(&path).unwrap();
    // Whichever comes last.
    for (round, is_trimmed_last) in [(0, true), (1, false)] {
        let index = block_on(audit(&store).state()).unwrap().size;
        commit(&store, vec![create(&row)]);
        commit(&store, vec![delete(&row)]);
        // The newest commit is kept when the others are trimmed.
        commit(
            &store,
            vec![create(&format!("document:b{round}#viewer@user:ann"))],
        );
        assert!(holds());
        let erase = || {
            let erased = vec![of(index), of(index + 1)];
            commit(&store, vec![ChangeRequest::Erase(erased)]);
        };
        if is_trimmed_last {
            erase();
        }
        block_on(store.trim(later)).unwrap();
        if !is_trimmed_last {
            erase();
        }
        assert!(!holds(), "the name is in a file still: {round}");
    }
    block_on(store.close()).unwrap();
}

#[test]
fn who_was_erased_while_somebody_read_the_file_is_gone_from_it_soon_after() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    let name = b"zoe-maria-quist";
    let row = format!("document:a#viewer@user:{}", String::from_utf8_lossy(name));
    let holds = || holds(&path, name);
    let store = SqliteStore::open(&path).unwrap();
    commit(&store, vec![create(&row)]);
    commit(&store, vec![delete(&row)]);
    commit(&store, vec![create("document:b#viewer@user:ann")]);
    let later = model::Timestamp::from_seconds(4_000_000_000, 0).unwrap();
    block_on(store.trim(later)).unwrap();
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count = "SELECT count(*) FROM audit_entry";
    let count: i64 = reader.query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(count, 3);
    erase(&store, &[0, 1]);
    assert!(holds(), "somebody reads it still");
    reader.execute_batch("COMMIT").unwrap();
    // The store is idle: nothing but its own second try does it.
    let begun = Instant::now();
    while holds() {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "it is there still"
        );
        std::thread::yield_now();
    }
    block_on(store.close()).unwrap();
    drop(store);
    assert_eq!(
        whole(&SqliteSource::open(&path).unwrap(), &[]).erased_count,
        2
    );
}
