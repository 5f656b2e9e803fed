//! The audit log: one entry for each commit, a tree over them, and what an erasure leaves.

use model::HistoryId;

use super::*;
use crate::audit::entry::parts_of;
use crate::audit::tree::{Frontier, Question, includes};
use crate::audit::verify::{Report, Verifier};
use crate::audit::{
    AuditLog, AuditQuery, AuditState, Entry, ErasedParts, Kind, Part, Place, StoredCheckpoint,
};
use crate::commit::RecordKey;

fn log(store: &dyn Store) -> &dyn AuditLog {
    store.audit().unwrap()
}

fn state(store: &dyn Store) -> AuditState {
    block_on(log(store).state()).unwrap()
}

fn entries(store: &dyn Store) -> Vec<Entry> {
    let query = AuditQuery {
        from: 0,
        entries_max: usize::MAX,
        bytes_max: usize::MAX,
    };
    block_on(log(store).entries(query)).unwrap()
}

fn parts(entry: &Entry) -> Vec<Part> {
    let body = entry.body().unwrap();
    body.parts().map(|(_, part)| part.clone()).collect()
}

/// What verifying says, with the hashes that are kept above the leaves.
fn verified(store: &dyn Store) -> Report {
    let mut verifier = Verifier::new(Vec::new());
    let mut kept = Vec::new();
    for entry in entries(store) {
        verifier.entry(&entry, |place, hash| kept.push((place, hash)));
    }
    let (places, hashes): (Vec<Place>, Vec<_>) = kept.into_iter().unzip();
    assert_eq!(block_on(log(store).hashes(places)).unwrap(), hashes);
    verifier.finish()
}

fn whole(store: &dyn Store) -> Report {
    let report = verified(store);
    assert!(report.is_whole(), "{:?}", report.findings);
    assert_eq!(report.size, state(store).size);
    report
}

fn put_record(value: &[u8]) -> ChangeRequest {
    ChangeRequest::Record {
        key: RecordKey::new("note", "one").unwrap(),
        value: Some(value.to_vec()),
    }
}

pub(super) fn each_commit_has_one_entry(harness: &dyn Harness) {
    let store = &*harness.make();
    assert_eq!(state(store), AuditState { begin: 0, size: 0 });
    let ann = "document:one#viewer@user:ann";
    commit(
        store,
        vec![ChangeRequest::Schema("definition user {}".to_owned())],
    );
    commit(store, vec![create(ann), put_record(b"\xff\0secret")]);
    let expiring = format!("{ann}[expiration:{}]", at(5));
    commit(store, vec![touch(&expiring)]);
    let refused = try_commit(store, request(store, vec![create(ann)]));
    assert!(refused.is_err());
    let housekeeping = ChangeRequest::RemoveExpired {
        before: at(100),
        limit: 10,
    };
    let mut request = request(store, vec![housekeeping]);
    request.now = at(100);
    request.provenance.origin = Some("127.0.0.1:1 by preshared key a".to_owned());
    try_commit(store, request).unwrap();

    let found = entries(store);
    let headers: Vec<_> = found.iter().map(|entry| entry.header().unwrap()).collect();
    let log = log_after(store, 0);
    assert_eq!(headers.len(), log.len());
    for (header, entry) in headers.iter().zip(&log) {
        assert_eq!((header.revision, header.time), (entry.revision, entry.time));
        assert_eq!(header.index + 1, entry.revision.0);
        assert_eq!(header.store, store.identity().store);
        assert_eq!(header.history, store.identity().history);
    }
    let kinds: Vec<Kind> = headers.iter().map(|header| header.kind).collect();
    use Kind::{Administration, Housekeeping, Relationships, Schema};
    assert_eq!(kinds, [Schema, Administration, Relationships, Housekeeping]);
    for (entry, of_log) in found.iter().zip(&log) {
        let mut parts = parts(entry);
        assert!(matches!(parts.remove(3), Part::Origin(_)));
        assert_eq!(parts, parts_of(of_log));
    }
    let origin = Some("127.0.0.1:1 by preshared key a".to_owned());
    assert_eq!(parts(&found[3])[3], Part::Origin(origin));
    // What is no text may be a secret, or the hash of one.
    let holds = |text: &[u8]| found[1].body.windows(text.len()).any(|part| part == text);
    assert!(!holds(b"secret") && holds(b"note"));
    whole(store);
}

pub(super) fn the_tree_is_that_of_its_leaves(harness: &dyn Harness) {
    let store = &*harness.make();
    let mut frontier = Frontier::default();
    for number in 0..515 {
        commit(
            store,
            vec![touch(&format!("document:d{number}#viewer@user:ann"))],
        );
    }
    let found = entries(store);
    for entry in &found {
        frontier.push(entry.leaf, |_, _| {});
    }
    let size = frontier.size();
    let ask = |question: Question| {
        let hashes = block_on(log(store).hashes(question.places())).unwrap();
        question.answer(&hashes).unwrap()
    };
    assert_eq!(ask(Question::Root(size)), [frontier.root()]);
    for index in [0, 255, 256, 514] {
        let path = ask(Question::Inclusion { index, size });
        let leaf = found[index as usize].leaf;
        assert!(includes(index, leaf, &path, (size, frontier.root())));
    }
    let beyond = Place {
        level: 0,
        index: size,
    };
    assert!(block_on(log(store).hashes(vec![beyond])).is_err());
    // In pages, as it is read.
    let query = AuditQuery {
        from: 300,
        entries_max: 7,
        bytes_max: usize::MAX,
    };
    let page = block_on(log(store).entries(query)).unwrap();
    assert_eq!(page, found[300..307]);
    let query = AuditQuery {
        bytes_max: 1,
        ..query
    };
    assert_eq!(
        block_on(log(store).entries(query)).unwrap(),
        found[300..301]
    );
    whole(store);
}

pub(super) fn a_checkpoint_is_kept_once(harness: &dyn Harness) {
    let store = &*harness.make();
    let keep = |size, note: &str| {
        let note = note.to_owned();
        block_on(log(store).keep_checkpoint(StoredCheckpoint { size, note })).unwrap()
    };
    assert_eq!(block_on(log(store).last_checkpoint()).unwrap(), None);
    let first = keep(3, "first");
    assert_eq!(keep(3, "second"), first);
    let later = keep(5, "later");
    assert_eq!(
        block_on(log(store).last_checkpoint()).unwrap(),
        Some(later.clone())
    );
    let all = block_on(log(store).checkpoints(0, 10)).unwrap();
    assert_eq!(all, [first.clone(), later.clone()]);
    assert_eq!(block_on(log(store).checkpoints(3, 10)).unwrap(), [later]);
    assert_eq!(block_on(log(store).checkpoints(0, 1)).unwrap(), [first]);
}

pub(super) fn an_erasure_leaves_the_tree(harness: &dyn Harness) {
    let store = &*harness.make();
    let rows = [
        "document:one#viewer@user:ann",
        "document:one#viewer@user:bob",
    ];
    commit(store, rows.map(create).to_vec());
    commit(store, vec![delete(rows[0])]);
    let before = entries(store);
    let root = whole(store).root;
    let erase = |index, parts: &[u32]| {
        let parts = parts.to_vec();
        ChangeRequest::Erase(vec![ErasedParts { index, parts }])
    };
    for wrong in [erase(0, &[6]), erase(2, &[0]), erase(7, &[0])] {
        let refused = try_commit(store, request(store, vec![erase(0, &[5]), wrong]));
        assert!(matches!(refused, Err(CommitError::Erasure { .. })));
        assert_eq!(entries(store), before);
    }
    // Two of the same entry within one commit, and one more within another of the same group.
    commit(store, vec![erase(0, &[4]), erase(0, &[0]), erase(1, &[4])]);
    let after = entries(store);
    let holds = |entry: &Entry, text: &[u8]| entry.body.windows(text.len()).any(|it| it == text);
    assert!(holds(&before[0], b"user:ann") && holds(&before[1], b"user:ann"));
    assert!(!after.iter().any(|entry| holds(entry, b"user:ann")));
    assert!(holds(&after[0], b"user:bob"));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((before.leaf, &before.header), (after.leaf, &after.header));
    }
    assert_eq!(after[2].header().unwrap().kind, Kind::Erasure);
    let report = whole(store);
    assert_eq!(report.erased_count, 3);
    let first: Frontier = after[..2]
        .iter()
        .fold(Frontier::default(), |mut tree, entry| {
            tree.push(entry.leaf, |_, _| {});
            tree
        });
    assert_eq!(first.root(), root);
}

pub(super) fn the_audit_log_outlives_the_log(harness: &dyn Harness) {
    let store = harness.make();
    for number in 0..300 {
        commit(
            &*store,
            vec![touch(&format!("document:d{number}#viewer@user:ann"))],
        );
    }
    let note = "a note".to_owned();
    let kept = StoredCheckpoint { size: 300, note };
    block_on(log(&*store).keep_checkpoint(kept.clone())).unwrap();
    block_on(store.trim(at(1_000))).unwrap();
    let before = entries(&*store);
    assert_eq!(before.len(), 300);
    if let Some(copy) = harness.copy(&*store) {
        assert_eq!(entries(&*copy), before);
        commit(&*copy, vec![touch("document:other#viewer@user:ann")]);
        let report = whole(&*copy);
        let histories: Vec<HistoryId> = report.histories.iter().map(|(id, _)| *id).collect();
        assert_eq!(
            histories,
            [store.identity().history, copy.identity().history]
        );
        assert_eq!(report.histories[1].1, 300);
        assert_eq!(
            block_on(log(&*copy).last_checkpoint()).unwrap(),
            Some(kept.clone())
        );
    }
    if let Some(store) = harness.reopen(store) {
        assert_eq!(entries(&*store), before);
        commit(&*store, vec![touch("document:other#viewer@user:ann")]);
        assert_eq!(whole(&*store).size, 301);
        assert_eq!(
            block_on(log(&*store).last_checkpoint()).unwrap(),
            Some(kept)
        );
    }
}
