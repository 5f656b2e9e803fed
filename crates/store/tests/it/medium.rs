//! The medium under a running store: it fills up, and it is copied.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use model::{CommitHash, Operation};
use store::{ChangeRequest, CommitError, SqliteStore, Store, StoreError};

use crate::support::{block_on, log, request, update};

/// Rows of about 60 KiB altogether.
fn bulk(name: &str) -> Vec<ChangeRequest> {
    let long = "x".repeat(200);
    (0..100)
        .map(|row| {
            update(
                Operation::Create,
                &format!("document:{name}r{row}{long}#viewer@user:ann"),
            )
        })
        .collect()
}

#[test]
fn a_full_disk_refuses_and_serves_on() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(folder.path())
        .output();
    if !mounted
        .as_ref()
        .is_ok_and(|mounted| mounted.status.success())
    {
        eprintln!("SKIPPED: a full disk needs the right to mount a small file system: {mounted:?}");
        return;
    }
    let unmount = Unmount(folder.path());
    fill_up(
        &folder.path().join("remit.db"),
        &folder.path().join("ballast"),
    );
    keep_the_others(&folder.path().join("others.db"));
    drop(unmount);
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

fn fill_up(path: &Path, ballast: &Path) {
    let store = SqliteStore::open(path).unwrap();
    std::fs::write(ballast, vec![7; 256 * 1024]).unwrap();
    let (mut done, mut refused) = (0, 0);
    while refused < 3 {
        match block_on(store.commit(request(bulk(&format!("c{done}"))))) {
            Ok(committed) => {
                done += 1;
                assert_eq!(committed.revision.0, done);
            }
            Err(CommitError::Store(StoreError::Full)) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(done > 3);
    assert_eq!(
        block_on(store.head()).unwrap().revision.0,
        done,
        "reads go on"
    );
    assert_eq!(log(&store, 0).len() as u64, done);

    drop(store);
    let store = SqliteStore::open(path).unwrap();
    assert_eq!(
        log(&store, 0).len() as u64,
        done,
        "a full disk does not keep it from opening"
    );

    std::fs::remove_file(ballast).unwrap();
    block_on(store.commit(request(bulk("after")))).unwrap();
    drop(store);
    let store = SqliteStore::open(path).unwrap();
    assert_eq!(log(&store, 0).len() as u64, done + 1);
    drop(store);
    std::fs::remove_file(path).unwrap();
    // What did not fit into the file when it was closed is beside it still.
    let log = path.with_extension("db-wal");
    if log.exists() {
        std::fs::remove_file(log).unwrap();
    }
}

/// One commit that does not fit takes none of those with it that share its transaction.
fn keep_the_others(path: &Path) {
    let store = &SqliteStore::open(path).unwrap();
    for round in 0..5 {
        std::thread::scope(|scope| {
            let huge = (0..40).flat_map(|part| bulk(&format!("h{part}"))).collect();
            let huge = scope.spawn(move || block_on(store.commit(request(huge))));
            let small: Vec<_> = (0..8)
                .map(|caller| {
                    let row = update(
                        Operation::Create,
                        &format!("document:r{round}c{caller}#viewer@user:ann"),
                    );
                    scope.spawn(move || block_on(store.commit(request(vec![row]))))
                })
                .collect();
            let huge = huge.join().unwrap();
            assert!(
                matches!(huge, Err(CommitError::Store(StoreError::Full))),
                "{huge:?}"
            );
            for small in small {
                small.join().unwrap().unwrap();
            }
        });
    }
    assert_eq!(log(store, 0).len(), 40);
}

#[test]
fn more_than_may_wait_are_refused_and_the_others_are_not() {
    const WAITING_MAX: usize = 1_024;
    let store = SqliteStore::memory().unwrap();
    block_on(store.commit(request(bulk("first")))).unwrap();
    let mut waiting = Vec::new();
    // In memory a scan keeps the writer waiting, so what is asked meanwhile piles up.
    store
        .scan(&mut |_, _| {
            let mut context = Context::from_waker(Waker::noop());
            for number in 0..WAITING_MAX + 1 {
                let row = update(
                    Operation::Create,
                    &format!("document:n{number}#viewer@user:ann"),
                );
                let mut commit = store.commit(request(vec![row]));
                match commit.as_mut().poll(&mut context) {
                    Poll::Pending => waiting.push(commit),
                    Poll::Ready(Err(CommitError::Store(StoreError::Overloaded {
                        waiting_max,
                    }))) => {
                        assert_eq!((number, waiting_max), (WAITING_MAX, WAITING_MAX));
                    }
                    Poll::Ready(other) => panic!("{other:?}"),
                }
            }
            ControlFlow::Break(())
        })
        .unwrap();
    assert_eq!(waiting.len(), WAITING_MAX);
    for commit in waiting {
        block_on(commit).unwrap();
    }
    block_on(store.commit(request(vec![]))).unwrap();
}

#[test]
fn closing_answers_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("remit.db");
    let store = SqliteStore::open(&path).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut waiting: Vec<_> = (0..100).map(|_| store.commit(request(vec![]))).collect();
    for commit in &mut waiting {
        let _ = commit.as_mut().poll(&mut context);
    }
    block_on(store.close()).unwrap();
    for commit in waiting {
        block_on(commit).unwrap();
    }
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "the database and the lock, no log: {left:?}");
    assert_eq!(log(&SqliteStore::open(&path).unwrap(), 0).len(), 100);
}

/// Losing power may lose the end of the write-ahead log. What is left must be the store at an earlier revision, whole.
#[test]
fn a_write_ahead_log_cut_anywhere_leaves_a_whole_revision() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("remit.db");
    let store = SqliteStore::open(&path).unwrap();
    for part in 0..12 {
        block_on(store.commit(request(bulk(&format!("p{part}"))))).unwrap();
    }
    let entries = log(&store, 0);
    let wal = std::fs::read(folder.path().join("remit.db-wal")).unwrap();
    let cut_path = folder.path().join("cut.db");
    let mut revisions = BTreeSet::new();
    for cut in (0..40).map(|part| wal.len() * part / 40 + part * 7 % 4096) {
        std::fs::copy(&path, &cut_path).unwrap();
        std::fs::write(folder.path().join("cut.db-wal"), &wal[..cut.min(wal.len())]).unwrap();
        let cut_store = SqliteStore::open(&cut_path).unwrap();
        let left = log(&cut_store, 0);
        assert_eq!(left, entries[..left.len()]);
        let mut rows = 0;
        cut_store
            .scan(&mut |_, _| {
                rows += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(rows, left.len() * 100);
        revisions.insert(left.len());
        drop(cut_store);
        std::fs::remove_file(&cut_path).unwrap();
    }
    assert!(revisions.len() > 5, "{revisions:?}");
}

#[test]
fn a_backup_is_one_revision_while_commits_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("remit.db")).unwrap();
    for part in 0..100 {
        block_on(store.commit(request(bulk(&format!("p{part}"))))).unwrap();
    }
    let is_over = AtomicBool::new(false);
    let to = folder.path().join("copy.db");
    let (written, steps) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0;
            while !is_over.load(Ordering::Relaxed) {
                block_on(store.commit(request(bulk(&format!("w{written}"))))).unwrap();
                written += 1;
            }
            written
        });
        let mut steps = 0;
        store.backup(&to, &mut |_| steps += 1).unwrap();
        is_over.store(true, Ordering::Relaxed);
        (writer.join().unwrap(), steps)
    });
    assert!(
        steps > 1 && written > 0,
        "{steps} steps, {written} commits meanwhile"
    );
    let copy = SqliteStore::open(&to).unwrap();
    let entries = log(&copy, 0);
    let mut rows = 0;
    copy.scan(&mut |_, _| {
        rows += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(rows, entries.len() * 100);
    assert!(entries.len() >= 100);
    assert_eq!(entries, log(&store, 0)[..entries.len()]);
    let mut previous = CommitHash::ZERO;
    for entry in &entries {
        assert_eq!(
            (entry.previous, entry.hash),
            (previous, entry.computed_hash())
        );
        previous = entry.hash;
    }
}
