//! The log, the schema in it, and what survives.

use model::{CommitHash, Revision};

use super::*;
use crate::commit::SchemaChange;
use crate::error::{LogError, StoreError};

const ANN: &str = "document:one#viewer@user:ann";

fn write_schema(store: &dyn Store, text: &str) -> Committed {
    commit(store, vec![ChangeRequest::Schema(text.to_owned())])
}

pub(super) fn an_empty_store_has_an_empty_head(harness: &dyn Harness) {
    let store = &*harness.make();
    assert_eq!(head(store), Head::EMPTY);
    assert_eq!(block_on(store.schema(None)).unwrap(), None);
    assert_eq!(log_after(store, 0), []);
    assert_eq!(rows(store), []);
    assert_eq!(*store.head_watch().borrow(), Revision(0));
    assert_ne!(harness.make().identity(), store.identity());
}

pub(super) fn entries_hold_what_they_replaced(harness: &dyn Harness) {
    let store = &*harness.make();
    let caveated = r#"document:one#viewer@user:ann[office_hours:{"zone":"CET"}]"#;
    let ending = format!("document:one#viewer@user:ann[expiration:{}]", at(1));
    commit(store, vec![create(ANN)]);
    commit(store, vec![touch(caveated)]);
    commit(store, vec![touch(&ending)]);
    commit(store, vec![delete(ANN)]);
    let found: Vec<_> = log_after(store, 0).iter().flat_map(sides).collect();
    let some = |text: &str| Some(text.to_owned());
    let expected = [
        (None, some(ANN)),
        (some(ANN), some(caveated)),
        (some(caveated), some(&ending)),
        (some(&ending), None),
    ];
    assert_eq!(found, expected);
    assert!(
        log_after(store, 0)
            .iter()
            .all(|entry| entry.provenance == provenance())
    );
}

pub(super) fn the_hash_chain_verifies(harness: &dyn Harness) {
    let store = &*harness.make();
    for step in 0..20 {
        let text = format!(
            "document:d{}#viewer@user:ann[office_hours:{{\"step\":{step}}}]",
            step % 7
        );
        let committed = commit(
            store,
            vec![
                touch(&text),
                ChangeRequest::Schema(format!("// {}", step / 3)),
            ],
        );
        assert_eq!(head(store).hash, committed.hash);
    }
    verify_chain(&log_after(store, 0), CommitHash::ZERO);
    let mut altered = log_after(store, 0).swap_remove(5);
    altered.provenance.actor.push('x');
    assert_ne!(altered.computed_hash(), altered.hash);
}

pub(super) fn verify_chain(entries: &[LogEntry], mut previous: CommitHash) {
    for entry in entries {
        assert_eq!(entry.previous, previous, "revision {}", entry.revision);
        assert_eq!(
            entry.computed_hash(),
            entry.hash,
            "revision {}",
            entry.revision
        );
        previous = entry.hash;
    }
}

pub(super) fn the_log_is_read_in_pages(harness: &dyn Harness) {
    let store = &*harness.make();
    for step in 0..25 {
        commit(
            store,
            vec![create(&format!("document:d{step}#viewer@user:ann"))],
        );
    }
    let all = log_after(store, 0);
    assert_eq!(all.len(), 25);
    for (entries_max, bytes_max) in [
        (1, usize::MAX),
        (7, usize::MAX),
        (usize::MAX, 1),
        (usize::MAX, 200),
    ] {
        let mut read = Vec::new();
        loop {
            let after = Revision(read.len() as u64);
            let page = block_on(store.log(LogQuery {
                after,
                entries_max,
                bytes_max,
            }))
            .unwrap();
            assert!(page.len() <= entries_max && (bytes_max > 1 || page.len() <= 1));
            if page.is_empty() {
                break;
            }
            read.extend(page);
        }
        assert_eq!(read, all);
    }
    let query = LogQuery {
        after: Revision(26),
        entries_max: 1,
        bytes_max: 1,
    };
    let beyond = block_on(store.log(query));
    assert!(matches!(
        beyond,
        Err(LogError::BeyondHead { head: Revision(25) })
    ));
}

pub(super) fn a_schema_is_read_at_any_revision(harness: &dyn Harness) {
    let store = &*harness.make();
    commit(store, vec![create(ANN)]);
    let first = write_schema(store, "definition user {}");
    commit(store, vec![delete(ANN)]);
    write_schema(store, "definition other {}");
    let schema = |at| block_on(store.schema(at)).unwrap();
    let text = |at| schema(Some(Revision(at))).map(|schema| schema.text);
    assert_eq!([text(0), text(1)], [None, None]);
    assert_eq!(
        [text(2), text(3)],
        [
            Some("definition user {}".to_owned()),
            Some("definition user {}".to_owned())
        ]
    );
    assert_eq!(schema(Some(Revision(3))).unwrap().revision, first.revision);
    assert_eq!(schema(None), schema(Some(Revision(4))));
    assert_eq!(schema(None).unwrap().text, "definition other {}");
    let change = SchemaChange {
        before: Some("definition user {}".to_owned()),
        after: "definition other {}".to_owned(),
    };
    assert_eq!(last(store).schema, Some(change));
    assert!(matches!(
        block_on(store.schema(Some(Revision(5)))),
        Err(LogError::BeyondHead { .. })
    ));
    let header = store.scan(&mut |_, _| ControlFlow::Continue(())).unwrap();
    assert_eq!(header.schema, schema(None));
}

pub(super) fn a_trimmed_log_says_where_it_begins(harness: &dyn Harness) {
    let store = &*harness.make();
    write_schema(store, "definition user {}");
    for second in 1..600 {
        let text = format!("document:d{second}#viewer@user:ann");
        try_commit(
            store,
            CommitRequest {
                now: at(second),
                ..request(store, vec![create(&text)])
            },
        )
        .unwrap();
    }
    write_schema(store, "definition other {}");
    let all = log_after(store, 0);
    let before = rows(store);
    let token = |at| block_on(store.token(Revision(at))).unwrap();
    let (old, known) = (token(7), token(580));

    let trimmed = block_on(store.trim(at(550))).unwrap();
    assert_eq!((trimmed.entries, trimmed.oldest), (550, Revision(551)));
    assert_eq!(log_after(store, 550), all[550..]);
    let query = LogQuery {
        after: Revision(549),
        entries_max: 1,
        bytes_max: 1,
    };
    assert!(matches!(
        block_on(store.log(query)),
        Err(LogError::Trimmed {
            oldest: Revision(551)
        })
    ));
    assert!(matches!(
        block_on(store.token(Revision(550))),
        Err(LogError::Trimmed { .. })
    ));
    assert!(matches!(
        block_on(store.schema(Some(Revision(9)))),
        Err(LogError::Trimmed { .. })
    ));
    assert_eq!(
        block_on(store.schema(Some(Revision(560))))
            .unwrap()
            .unwrap()
            .text,
        "definition user {}"
    );
    assert_eq!(
        block_on(store.verify(old)).unwrap(),
        crate::TokenVerdict::Old(Revision(7))
    );
    assert_eq!(
        block_on(store.verify(known)).unwrap(),
        crate::TokenVerdict::Known(Revision(580))
    );

    let trimmed = block_on(store.trim(at(9_999))).unwrap();
    assert_eq!(
        (trimmed.entries, trimmed.oldest),
        (50, Revision(601)),
        "the head stays"
    );
    assert_eq!(
        log_after(store, 600),
        all[600..],
        "with the schema that it replaced"
    );
    assert_eq!((rows(store), head(store).revision), (before, Revision(601)));
    commit(store, vec![create(ANN)]);
    assert_eq!(last(store).previous, all[600].hash);
}

pub(super) fn a_scan_stops_when_told(harness: &dyn Harness) {
    let store = &*harness.make();
    commit(
        store,
        (0..10)
            .map(|step| create(&format!("document:d{step}#viewer@user:ann")))
            .collect(),
    );
    let mut seen = 0;
    let header = store.scan(&mut |header, _| {
        assert_eq!(header.head.revision, Revision(1));
        seen += 1;
        if seen == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!((seen, header.unwrap().head), (3, head(store)));
}

pub(super) fn reopening_keeps_everything(harness: &dyn Harness) {
    let store = harness.make();
    write_schema(&*store, "definition user {}");
    let ending = format!("document:one#viewer@user:ann[expiration:{}]", at(1));
    commit(
        &*store,
        vec![create(&ending), create("document:two#viewer@user:ann")],
    );
    commit(&*store, vec![delete("document:two#viewer@user:ann")]);
    let once = |store: &dyn Store| CommitRequest {
        idempotency_key: key("once"),
        ..request(store, vec![])
    };
    let first = try_commit(&*store, once(&*store)).unwrap();
    let before = (
        store.identity(),
        head(&*store),
        rows(&*store),
        log_after(&*store, 0),
    );
    let Some(store) = harness.reopen(store) else {
        return;
    };
    assert_eq!(
        (
            store.identity(),
            head(&*store),
            rows(&*store),
            log_after(&*store, 0)
        ),
        before
    );
    assert_eq!(*store.head_watch().borrow(), before.1.revision);
    assert_eq!(
        try_commit(&*store, once(&*store)).unwrap(),
        Committed {
            replayed: true,
            ..first
        }
    );
    commit(&*store, vec![create("document:two#viewer@user:ann")]);
    verify_chain(&log_after(&*store, 0), CommitHash::ZERO);
}

pub(super) fn a_closed_store_says_so(harness: &dyn Harness) {
    let store = &*harness.make();
    commit(store, vec![create(ANN)]);
    let late = request(store, vec![delete(ANN)]);
    block_on(store.close()).unwrap();
    assert!(matches!(
        try_commit(store, late),
        Err(CommitError::Store(StoreError::Closed))
    ));
    assert!(matches!(block_on(store.head()), Err(StoreError::Closed)));
    assert!(matches!(
        block_on(store.schema(None)),
        Err(LogError::Store(StoreError::Closed))
    ));
    assert!(matches!(
        store.scan(&mut |_, _| ControlFlow::Continue(())),
        Err(StoreError::Closed)
    ));
    assert!(matches!(
        block_on(store.trim(at(0))),
        Err(StoreError::Closed)
    ));
    assert!(matches!(block_on(store.close()), Err(StoreError::Closed)));
}
