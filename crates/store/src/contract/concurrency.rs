//! Many callers at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use model::CommitHash;

use super::log::verify_chain;
use super::*;

const CALLERS: usize = 8;
const COMMITS: usize = 40;

pub(super) fn revisions_are_gapless_under_concurrency(harness: &dyn Harness) {
    let store = &*harness.make();
    let mut revisions: Vec<u64> = thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| scope.spawn(move || commit_many(store, caller)))
            .collect();
        callers
            .into_iter()
            .flat_map(|caller| caller.join().unwrap())
            .collect()
    });
    revisions.sort_unstable();
    let expected: Vec<u64> = (1..=(CALLERS * COMMITS) as u64).collect();
    assert_eq!(revisions, expected);
    let entries = log_after(store, 0);
    let logged: Vec<u64> = entries.iter().map(|entry| entry.revision.0).collect();
    assert_eq!(logged, expected);
    verify_chain(&entries, CommitHash::ZERO);
    assert!(entries.is_sorted_by_key(|entry| entry.time));
    assert_eq!(rows(store).len(), CALLERS * COMMITS);
}

/// Commits that succeed, with ones that are refused among them; the revisions of the former.
fn commit_many(store: &dyn Store, caller: usize) -> Vec<u64> {
    let mut revisions = Vec::with_capacity(COMMITS);
    for step in 0..COMMITS {
        let text = format!("document:c{caller}s{step}#viewer@user:ann");
        let now = at(((caller * 31 + step * 17) % 100) as i64);
        let good = CommitRequest {
            now,
            ..request(store, vec![create(&text)])
        };
        revisions.push(try_commit(store, good).unwrap().revision.0);
        let bad = request(
            store,
            vec![touch("document:never#viewer@user:ann"), create(&text)],
        );
        assert!(matches!(
            try_commit(store, bad),
            Err(CommitError::AlreadyExists(_))
        ));
    }
    revisions
}

pub(super) fn of_two_creates_one_wins(harness: &dyn Harness) {
    let store = &*harness.make();
    for round in 0..20 {
        let text = format!("document:r{round}#viewer@user:ann");
        let won = race(store, |_| request(store, vec![create(&text)]));
        assert_eq!(won, 1);
    }
    assert_eq!(head(store).revision, Revision(20));
}

/// Each caller may add itself as an approver only while the other has not: alone either is admissible, both are not.
pub(super) fn of_two_commits_admitted_at_one_head_one_is_refused(harness: &dyn Harness) {
    let store = &*harness.make();
    for round in 0..20 {
        let base = evaluated_at(head(store).position());
        let won = race(store, |caller| CommitRequest {
            base,
            ..request(
                store,
                vec![create(&format!(
                    "payment:p{round}#approver{caller}@user:ann"
                ))],
            )
        });
        assert_eq!(won, 1);
        assert_eq!(head(store).revision, Revision(round + 1));
    }
    assert_eq!(rows(store).len(), 20);
}

/// Sends the requests of four callers at once; how many were accepted.
fn race(store: &dyn Store, request: impl Fn(usize) -> CommitRequest) -> usize {
    let requests: Vec<_> = (0..4).map(request).collect();
    thread::scope(|scope| {
        let callers: Vec<_> = requests
            .into_iter()
            .map(|request| scope.spawn(move || try_commit(store, request).is_ok()))
            .collect();
        callers
            .into_iter()
            .map(|caller| usize::from(caller.join().unwrap()))
            .sum()
    })
}

pub(super) fn the_head_is_never_behind_an_acknowledgement(harness: &dyn Harness) {
    let store = &*harness.make();
    let watch = &store.head_watch();
    thread::scope(|scope| {
        for caller in 0..4 {
            scope.spawn(move || {
                for step in 0..25 {
                    let committed = commit(
                        store,
                        vec![create(&format!(
                            "document:c{caller}s{step}#viewer@user:ann"
                        ))],
                    );
                    assert!(head(store).revision >= committed.revision);
                    assert!(*watch.borrow() >= committed.revision);
                    let log = log_after(store, committed.revision.0 - 1);
                    assert!(
                        log.first()
                            .is_some_and(|entry| entry.hash == committed.hash)
                    );
                }
            });
        }
    });
}

/// Who reads the log and then asks for the head would take one that lags for a log that was cut.
pub(super) fn the_head_is_never_behind_what_was_read(harness: &dyn Harness) {
    let store = &*harness.make();
    let is_done = &AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(move || {
            for step in 0..400 {
                commit(
                    store,
                    vec![create(&format!("document:d{step}#viewer@user:ann"))],
                );
            }
            is_done.store(true, Ordering::Relaxed);
        });
        scope.spawn(move || {
            let mut read = Revision(0);
            while !is_done.load(Ordering::Relaxed) {
                if let Some(entry) = log_after(store, read.0).last() {
                    read = entry.revision;
                    assert!(head(store).revision >= read);
                }
            }
        });
        scope.spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                let scanned = store.scan(&mut |_, _| ControlFlow::Break(())).unwrap();
                assert!(head(store).revision >= scanned.head.revision);
            }
        });
    });
}
