//! The process that is recorded: it writes to a store, and says by its standard error what it was told is durable.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use model::{Operation, Revision, Timestamp};
use rusqlite::Connection;
use store::copy::{Next, copy};
use store::{
    ChangeRequest, Committed, RecordKey, SqliteSource, SqliteStore, SqliteTarget, Store,
    StoreIdentity,
};

use super::STORE;
use super::said::{Holdings, hex};
use crate::support::{block_on, log, request, update};

/// What is done while the calls are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Workload {
    /// Everything that a node does, with a small write-ahead log that begins anew again and again.
    Commits,
    /// Large commits: the write-ahead log grows until the store itself moves it into the file, and twice again.
    Bulk,
    /// A copy and a backup, as other files.
    Copies,
    /// A store comes up after a loss, and goes on.
    Recovery,
}

impl Workload {
    pub(super) const ALL: [Self; 4] = [Self::Commits, Self::Bulk, Self::Copies, Self::Recovery];
}

pub(super) fn write(workload: Workload, folder: &Path) {
    let path = &folder.join(STORE);
    match workload {
        Workload::Commits => commits(path),
        Workload::Bulk => bulk(path),
        Workload::Copies => copies(folder, path),
        Workload::Recovery => recovery(path),
    }
}

/// A store whose log is told, with what it holds after each entry.
struct Teller {
    store: Option<Arc<SqliteStore>>,
    holdings: Holdings,
    told: Revision,
    /// Commits so far, each a second after the one before.
    second: Mutex<i64>,
}

/// In one call, so that nothing else gets between.
fn say(line: &str) {
    std::io::stderr()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

impl Teller {
    fn open(path: &Path) -> Self {
        let mut teller = Self {
            store: None,
            holdings: Holdings::default(),
            told: Revision(0),
            second: Mutex::new(0),
        };
        teller.reopen(path);
        teller
    }

    fn store(&self) -> &SqliteStore {
        self.store.as_ref().unwrap()
    }

    fn reopen(&mut self, path: &Path) {
        if let Some(store) = self.store.take() {
            block_on(store.close()).unwrap();
        }
        let store = SqliteStore::open(path).unwrap();
        say(&format!("opened {}", hex_of(store.identity())));
        self.store = Some(Arc::new(store));
    }

    fn commit(&self, changes: Vec<ChangeRequest>) {
        let mut request = request(changes);
        request.base.schema_revision = block_on(self.store().head()).unwrap().schema_revision;
        request.now = {
            let mut second = self.second.lock().unwrap();
            *second += 1;
            at(*second)
        };
        let Committed { revision, hash, .. } = block_on(self.store().commit(request)).unwrap();
        say(&format!("acknowledged {revision} {}", hex(&hash.0)));
    }

    /// Tells what was held after each commit that was not told yet; before any of them is trimmed.
    fn tell(&mut self) {
        for entry in log(self.store(), self.told.0) {
            self.holdings.apply(&entry);
            self.told = entry.revision;
            say(&format!("held {} {}", entry.revision, self.holdings));
        }
    }

    fn trim(&mut self, before: Timestamp) {
        self.tell();
        let trimmed = block_on(self.store().trim(before)).unwrap();
        say(&format!("trimmed {}", trimmed.oldest));
    }
}

fn hex_of(identity: StoreIdentity) -> String {
    hex(&[identity.store.0, identity.history.0].concat())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + second, 0).unwrap()
}

fn row(operation: Operation, name: &str, number: usize) -> ChangeRequest {
    update(
        operation,
        &format!("document:{name}{number}#viewer@user:ann"),
    )
}

/// Rows with ids of so many bytes.
fn rows(operation: Operation, name: &str, count: usize, id_bytes: usize) -> Vec<ChangeRequest> {
    let text = |number| format!("document:{name}{number:x<id_bytes$}#viewer@user:ann");
    (0..count)
        .map(|number| update(operation, &text(number)))
        .collect()
}

fn record(number: usize) -> ChangeRequest {
    ChangeRequest::Record {
        key: RecordKey::new("test", "one").unwrap(),
        value: Some(number.to_string().into_bytes()),
    }
}

fn commits(path: &Path) {
    let mut teller = Teller::open(path);
    teller.commit(vec![ChangeRequest::Schema("definition user {}".to_owned())]);
    for number in 0..30 {
        teller.commit(vec![row(Operation::Create, "one", number), record(number)]);
    }
    for round in 0..4 {
        groups(&teller, &format!("round{round}w"));
        // As a tool does that looks into the file; the next commit begins the write-ahead log anew.
        let tool = Connection::open(path).unwrap();
        tool.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
            .unwrap();
        drop(tool);
        teller.commit(vec![row(Operation::Delete, "one", round)]);
        let expiring = format!(
            "document:e{round}#viewer@user:ann[expiration:{}]",
            at(1_000)
        );
        teller.commit(vec![update(Operation::Create, &expiring)]);
        teller.commit(rows(Operation::Create, &format!("many{round}x"), 200, 200));
    }
    teller.commit(vec![ChangeRequest::Schema(
        "definition group {}".to_owned(),
    )]);
    *teller.second.lock().unwrap() = 2_000;
    teller.commit(vec![ChangeRequest::RemoveExpired {
        before: at(1_500),
        limit: 100,
    }]);
    teller.trim(at(20));
    teller.reopen(path);
    groups(&teller, "again");
    teller.trim(at(40));
    teller.commit(vec![row(Operation::Delete, "one", 20)]);
    teller.reopen(path);
    teller.commit(vec![row(Operation::Create, "last", 0)]);
    teller.tell();
}

/// Commits by many at once, which share transactions.
fn groups(teller: &Teller, name: &str) {
    std::thread::scope(|scope| {
        for writer in 0..6 {
            scope.spawn(move || {
                for number in 0..6 {
                    teller.commit(vec![row(
                        Operation::Create,
                        &format!("{name}{writer}s"),
                        number,
                    )]);
                }
            });
        }
    });
}

/// Makes and removes the same rows, so that the file stays small.
fn bulk(path: &Path) {
    let mut teller = Teller::open(path);
    for number in 0..90 {
        let operation = match number % 2 {
            0 => Operation::Create,
            _ => Operation::Delete,
        };
        teller.commit(rows(operation, "bulk", 300, 900));
        teller.commit(vec![row(Operation::Create, "between", number)]);
        if number % 10 == 9 {
            let second = *teller.second.lock().unwrap();
            teller.trim(at(second - 4));
        }
    }
    teller.tell();
}

fn copies(folder: &Path, path: &Path) {
    let mut teller = Teller::open(path);
    teller.commit(vec![ChangeRequest::Schema("definition user {}".to_owned())]);
    for number in 0..5 {
        teller.commit(rows(
            Operation::Create,
            &format!("copied{number}x"),
            50,
            200,
        ));
        teller.commit(vec![record(number)]);
    }
    teller.tell();
    let published = |name: &str| say(&format!("published {name} {}", teller.told));
    let mut target = SqliteTarget::create(&folder.join("copy.db")).unwrap();
    let source = SqliteSource::open(path).unwrap();
    copy(&source, &mut target, &mut |_| Next::Finish).unwrap();
    drop((source, target));
    published("copy.db");
    let backup = folder.join("backup.db");
    teller.store().backup(&backup, &mut |_| {}).unwrap();
    published("backup.db");
}

fn recovery(path: &Path) {
    let mut teller = Teller::open(path);
    let head = block_on(teller.store().head()).unwrap().revision;
    say(&format!("showed {head}"));
    for number in 0..3 {
        teller.commit(vec![row(Operation::Touch, "after", number)]);
        let held = Holdings::of(teller.store()).unwrap();
        say(&format!("held {} {held}", head.0 + number as u64 + 1));
    }
    teller.reopen(path);
}
