//! Records: what is kept beside the relationships.

use super::*;
use crate::commit::{Record, RecordChange, RecordKey};

fn key(key: &str) -> RecordKey {
    RecordKey::new("note", key).unwrap()
}

fn put(name: &str, value: &str) -> ChangeRequest {
    ChangeRequest::Record {
        key: key(name),
        value: Some(value.as_bytes().to_vec()),
    }
}

fn remove(name: &str) -> ChangeRequest {
    ChangeRequest::Record {
        key: key(name),
        value: None,
    }
}

fn changed(name: &str, before: Option<&str>, after: Option<&str>) -> RecordChange {
    let bytes = |text: &str| text.as_bytes().to_vec();
    RecordChange {
        key: key(name),
        before: before.map(bytes),
        after: after.map(bytes),
    }
}

fn records(store: &dyn Store) -> Vec<(String, String)> {
    let header = store.scan(&mut |_, _| ControlFlow::Continue(())).unwrap();
    let text = |Record { key, value }: Record| (key.to_string(), String::from_utf8(value).unwrap());
    header.records.into_iter().map(text).collect()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (format!("note:{name}"), value.to_owned())
}

pub(super) fn a_record_is_put_replaced_and_removed(harness: &dyn Harness) {
    let store = &*harness.make();
    assert_eq!(records(store), []);
    commit(store, vec![put("b", "1"), put("a", "2")]);
    assert_eq!(records(store), [pair("a", "2"), pair("b", "1")]);
    let both = [changed("b", None, Some("1")), changed("a", None, Some("2"))];
    assert_eq!(last(store).records, both);
    commit(store, vec![put("b", "3"), remove("a"), remove("nosuch")]);
    assert_eq!(records(store), [pair("b", "3")]);
    let both = [
        changed("b", Some("1"), Some("3")),
        changed("a", Some("2"), None),
    ];
    assert_eq!(last(store).records, both);
    assert!(last(store).changes.is_empty() && !last(store).housekeeping);
    let other = ChangeRequest::Record {
        key: RecordKey::new("other", "b").unwrap(),
        value: Some(Vec::new()),
    };
    commit(store, vec![other]);
    assert_eq!(
        records(store),
        [pair("b", "3"), ("other:b".to_owned(), String::new())]
    );
}

pub(super) fn one_record_changes_once_in_a_commit(harness: &dyn Harness) {
    let store = &*harness.make();
    commit(store, vec![put("a", "1")]);
    let again = vec![
        put("a", "2"),
        remove("a"),
        put("b", "1"),
        put("a", "3"),
        remove("b"),
    ];
    commit(store, again);
    assert_eq!(last(store).records, [changed("a", Some("1"), Some("3"))]);
    commit(store, vec![put("a", "3")]);
    assert_eq!(last(store).records, []);
    assert_eq!(records(store), [pair("a", "3")]);
}

pub(super) fn a_refused_commit_leaves_records_alone(harness: &dyn Harness) {
    let store = &*harness.make();
    commit(
        store,
        vec![put("a", "1"), create("document:one#viewer@user:ann")],
    );
    let refused = vec![
        remove("a"),
        put("b", "1"),
        create("document:one#viewer@user:ann"),
    ];
    let refused = block_on(store.commit(request(store, refused)));
    assert!(matches!(refused, Err(CommitError::AlreadyExists(_))));
    assert_eq!(records(store), [pair("a", "1")]);
}

pub(super) fn records_are_part_of_the_hash_and_of_the_request(harness: &dyn Harness) {
    let store = &*harness.make();
    commit(store, vec![put("a", "1")]);
    let mut entry = last(store);
    assert_eq!(entry.computed_hash(), entry.hash);
    entry.records = vec![changed("a", None, Some("2"))];
    assert_ne!(entry.computed_hash(), entry.hash);
    let keyed = |change| CommitRequest {
        idempotency_key: Some(IdempotencyKey::new("once").unwrap()),
        ..request(store, vec![change])
    };
    let first = block_on(store.commit(keyed(put("b", "1")))).unwrap();
    let again = block_on(store.commit(keyed(put("b", "1")))).unwrap();
    assert_eq!((again.revision, again.replayed), (first.revision, true));
    for other in [put("b", "2"), remove("b"), put("c", "1")] {
        let refused = block_on(store.commit(keyed(other)));
        assert!(matches!(
            refused,
            Err(CommitError::IdempotencyKeyReused { .. })
        ));
    }
}

pub(super) fn records_outlive_reopening_trimming_and_copying(harness: &dyn Harness) {
    let store = harness.make();
    commit(&*store, vec![put("a", "1")]);
    commit(&*store, vec![create("document:one#viewer@user:ann")]);
    block_on(store.trim(at(1_000))).unwrap();
    assert_eq!(records(&*store), [pair("a", "1")]);
    if let Some(copy) = harness.copy(&*store) {
        assert_eq!(records(&*copy), [pair("a", "1")]);
    }
    if let Some(store) = harness.reopen(store) {
        assert_eq!(records(&*store), [pair("a", "1")]);
    }
}
