//! The medium under a running store: it fills up, and it is copied.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{CommitHash, Operation};
use store::{ChangeRequest, CommitError, SqliteStore, Store, StoreError};

use crate::support::{block_on, log, request, update};

/// Rows of about 60 KiB altogether.
fn bulk(name: &str) -> Vec<ChangeRequest> {
    let long = "x".repeat(200);
    (0..100).map(|row| update(Operation::Create, &format!("document:{name}r{row}{long}#viewer@user:ann"))).collect()
}

#[test]
fn a_full_disk_refuses_and_serves_on() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(folder.path()).output();
    if !mounted.as_ref().is_ok_and(|mounted| mounted.status.success()) {
        eprintln!("SKIPPED: a full disk needs the right to mount a small file system: {mounted:?}");
        return;
    }
    let unmount = Unmount(folder.path());
    fill_up(folder.path());
    drop(unmount);
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

fn fill_up(folder: &Path) {
    let store = SqliteStore::open(&folder.join("remit.db")).unwrap();
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![7; 256 * 1024]).unwrap();
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
    assert_eq!(block_on(store.head()).unwrap().revision.0, done, "reads go on");
    assert_eq!(log(&store, 0).len() as u64, done);

    std::fs::remove_file(ballast).unwrap();
    block_on(store.commit(request(bulk("after")))).unwrap();
    drop(store);
    let store = SqliteStore::open(&folder.join("remit.db")).unwrap();
    assert_eq!(log(&store, 0).len() as u64, done + 1);
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
    assert!(steps > 1 && written > 0, "{steps} steps, {written} commits meanwhile");
    let copy = SqliteStore::open(&to).unwrap();
    let entries = log(&copy, 0);
    let mut rows = 0;
    copy.scan(&mut |_, _| {
        rows += 1;
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(rows, entries.len() * 100);
    assert!(entries.len() >= 100);
    assert_eq!(entries, log(&store, 0)[..entries.len()]);
    let mut previous = CommitHash::ZERO;
    for entry in &entries {
        assert_eq!((entry.previous, entry.hash), (previous, entry.computed_hash()));
        previous = entry.hash;
    }
}
