//! The contract, on both kinds of SQLite store.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use store::contract::{Harness, run};
use store::{SqliteStore, Store};
use tempfile::TempDir;

#[test]
fn a_store_in_memory_keeps_the_contract() {
    run(&Memory {
        folder: tempfile::tempdir().unwrap(),
    });
}

#[test]
fn a_store_in_a_file_keeps_the_contract() {
    run(&Files {
        folder: tempfile::tempdir().unwrap(),
        made: AtomicUsize::new(0),
        paths: Mutex::new(Vec::new()),
    });
}

struct Memory {
    folder: TempDir,
}

impl Harness for Memory {
    fn make(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::memory().unwrap())
    }

    fn reopen(&self, _: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        None
    }

    fn copy(&self, store: &dyn Store) -> Option<Arc<dyn Store>> {
        Some(copy(store, unused(self.folder.path())))
    }
}

struct Files {
    folder: TempDir,
    made: AtomicUsize,
    paths: Mutex<Vec<(store::StoreIdentity, PathBuf)>>,
}

impl Harness for Files {
    fn make(&self) -> Arc<dyn Store> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.path().join(format!("store{number}.db"));
        let store = SqliteStore::open(&path).unwrap();
        self.paths.lock().unwrap().push((store.identity(), path));
        Arc::new(store)
    }

    fn reopen(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        let identity = store.identity();
        drop(store);
        let paths = self.paths.lock().unwrap();
        let (_, path) = paths.iter().find(|(made, _)| *made == identity).unwrap();
        Some(Arc::new(SqliteStore::open(path).unwrap()))
    }

    fn copy(&self, store: &dyn Store) -> Option<Arc<dyn Store>> {
        Some(copy(store, unused(self.folder.path())))
    }
}

/// A file in `folder` that is not there yet.
fn unused(folder: &Path) -> PathBuf {
    let count = std::fs::read_dir(folder).unwrap().count();
    folder.join(format!("copy-{count}.db"))
}

fn copy(store: &dyn Store, to: PathBuf) -> Arc<dyn Store> {
    let mut steps = Vec::new();
    let identity = store.backup(&to, &mut |step| steps.push(step)).unwrap();
    let end = steps.last().unwrap();
    assert_eq!(end.pages_done, end.pages);
    assert!(matches!(
        store.backup(&to, &mut |_| {}),
        Err(store::BackupError::Exists { .. })
    ));
    let copy = SqliteStore::open(&to).unwrap();
    assert_eq!(copy.identity(), identity);
    Arc::new(copy)
}
