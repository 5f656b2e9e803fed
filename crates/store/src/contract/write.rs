//! What a commit does, and when it is refused.

use model::Precondition;

use super::*;

const ANN: &str = "document:one#viewer@user:ann";
const ANN_LATER: &str = "document:one#viewer@user:ann[expiration:2050-01-01T00:00:00Z]";
const BOB: &str = "document:one#viewer@user:bob";

pub(super) fn a_create_of_an_existing_one_is_refused(harness: &dyn Harness) {
    let store = &*harness.make();
    commit(store, vec![create(ANN)]);
    for again in [ANN, ANN_LATER] {
        let refused = try_commit(store, request(store, vec![create(BOB), create(again)]));
        assert!(matches!(refused, Err(CommitError::AlreadyExists(key)) if *key == rel(ANN).key()));
    }
    let twice = try_commit(store, request(store, vec![create(BOB), create(BOB)]));
    assert!(matches!(twice, Err(CommitError::AlreadyExists(key)) if *key == rel(BOB).key()));
    assert_eq!(texts(store), [ANN]);
}

pub(super) fn a_touch_adds_or_replaces(harness: &dyn Harness) {
    let store = &*harness.make();
    let caveated =
        r#"document:one#viewer@user:ann[office_hours:{"days":[1,2.5,"x"],"zone":"CET"}]"#;
    for text in [
        ANN,
        ANN_LATER,
        caveated,
        "document:one#viewer@user:ann[office_hours]",
        ANN,
    ] {
        let committed = commit(store, vec![touch(text)]);
        assert_eq!(rows(store), [(text.to_owned(), committed.revision)]);
    }
}

pub(super) fn a_delete_ignores_caveat_and_expiration(harness: &dyn Harness) {
    let store = &*harness.make();
    let caveated = r#"document:one#viewer@user:ann[office_hours:{"zone":"CET"}]"#;
    let near = [
        "document:one#viewer@user:ann#member",
        "document:one#viewer@user:*",
        "document:one#owner@user:ann",
    ];
    commit(
        store,
        vec![
            create(caveated),
            create(near[0]),
            create(near[1]),
            create(near[2]),
        ],
    );
    let committed = commit(store, vec![delete(ANN_LATER)]);
    assert_eq!(sides(&last(store)), [(Some(caveated.to_owned()), None)]);
    assert_eq!(
        committed.deleted_count, 0,
        "only deletions by pattern are counted"
    );
    let mut left = near;
    left.sort_unstable();
    let mut found = texts(store);
    found.sort_unstable();
    assert_eq!(found, left);
}

pub(super) fn what_changes_nothing_leaves_no_change_but_a_revision(harness: &dyn Harness) {
    let store = &*harness.make();
    commit(
        store,
        vec![
            create(ANN_LATER),
            ChangeRequest::Schema("definition user {}".to_owned()),
        ],
    );
    let before = rows(store);
    let nothing = [
        vec![],
        vec![touch(ANN_LATER)],
        vec![delete(BOB)],
        vec![create(BOB), delete(BOB)],
        vec![delete(ANN), create(ANN_LATER)],
        vec![touch(ANN), touch(ANN_LATER)],
        vec![delete_matching(of("folder"), None, false)],
        vec![ChangeRequest::Schema("definition user {}".to_owned())],
    ];
    for (step, changes) in nothing.into_iter().enumerate() {
        let committed = commit(store, changes);
        let entry = last(store);
        assert_eq!(committed.revision, Revision(step as u64 + 2));
        assert_eq!(
            (entry.changes.len(), entry.schema.is_none()),
            (0, true),
            "step {step}"
        );
        assert_eq!(rows(store), before, "step {step}");
        assert_eq!(head(store).schema_revision, Revision(1));
    }
}

pub(super) fn one_relationship_changes_once_in_a_commit(harness: &dyn Harness) {
    let store = &*harness.make();
    commit(
        store,
        vec![create(ANN), create("document:two#viewer@user:ann")],
    );
    let changes = vec![
        create("document:three#viewer@user:ann"),
        delete_matching(of("document"), None, false),
        touch(ANN_LATER),
        create(BOB),
        touch("document:one#viewer@user:bob[office_hours]"),
    ];
    let committed = commit(store, changes);
    assert_eq!(committed.deleted_count, 3);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        sides(&last(store)),
        [
            (text(ANN), text(ANN_LATER)),
            (text("document:two#viewer@user:ann"), None),
            (None, text("document:one#viewer@user:bob[office_hours]")),
        ]
    );
}

pub(super) fn an_expired_row_counts_as_absent(harness: &dyn Harness) {
    let store = &*harness.make();
    let expiring = |second| format!("document:one#viewer@user:ann[expiration:{}]", at(second));
    commit(store, vec![create(&expiring(10)), create(BOB)]);
    let later = |changes| CommitRequest {
        now: at(10),
        ..request(store, changes)
    };
    let with = |precondition| CommitRequest {
        preconditions: vec![precondition],
        ..later(vec![])
    };

    let ann = || RelationshipFilter {
        subject: Some(model::SubjectFilter {
            definition: "user".parse().unwrap(),
            id: Some(rel(ANN).subject.id),
            relation: model::SubjectRelationFilter::Any,
        }),
        ..RelationshipFilter::default()
    };
    let early = CommitRequest {
        now: at(9),
        ..with(Precondition::MustMatch(ann()))
    };
    try_commit(store, early).unwrap();
    let refused = try_commit(store, with(Precondition::MustMatch(ann())));
    assert!(matches!(
        refused,
        Err(CommitError::PreconditionFailed { index: 0, .. })
    ));
    try_commit(store, with(Precondition::MustNotMatch(ann()))).unwrap();

    try_commit(store, later(vec![delete(ANN)])).unwrap();
    assert_eq!(
        last(store).changes,
        [],
        "deleting an expired row is deleting a missing one"
    );
    let deleted = try_commit(
        store,
        later(vec![delete_matching(of("document"), None, false)]),
    )
    .unwrap();
    assert_eq!(deleted.deleted_count, 1);
    assert_eq!(texts(store), [expiring(10)]);

    try_commit(store, later(vec![create(&expiring(20))])).unwrap();
    assert_eq!(
        sides(&last(store)),
        [(Some(expiring(10)), Some(expiring(20)))]
    );
    assert_eq!(texts(store), [expiring(20)]);
}

pub(super) fn a_refused_commit_changes_nothing(harness: &dyn Harness) {
    let store = &*harness.make();
    commit(
        store,
        vec![
            create(ANN),
            ChangeRequest::Schema("definition user {}".to_owned()),
        ],
    );
    let (before, head_before) = (rows(store), head(store));
    let schema = ChangeRequest::Schema("definition other {}".to_owned());
    let changes = vec![
        schema,
        create(BOB),
        touch(ANN_LATER),
        delete_matching(of("document"), None, true),
        create(ANN),
        create(ANN),
    ];
    let refused = CommitRequest {
        idempotency_key: key("once"),
        ..request(store, changes)
    };
    assert!(matches!(
        try_commit(store, refused),
        Err(CommitError::AlreadyExists(_))
    ));
    assert_eq!((rows(store), head(store)), (before, head_before));
    let text = block_on(store.schema(None)).unwrap().unwrap().text;
    assert_eq!(text, "definition user {}");
    // The key of a refused request is free.
    let other = CommitRequest {
        idempotency_key: key("once"),
        ..request(store, vec![create(BOB)])
    };
    assert!(!try_commit(store, other).unwrap().replayed);
}

pub(super) fn preconditions_see_the_store_before_the_commit(harness: &dyn Harness) {
    let store = &*harness.make();
    commit(store, vec![create(ANN)]);
    let with = |preconditions| CommitRequest {
        preconditions,
        ..request(store, vec![create("folder:a#viewer@user:ann")])
    };
    let refused = try_commit(
        store,
        with(vec![
            Precondition::MustMatch(of("document")),
            Precondition::MustMatch(of("folder")),
        ]),
    );
    let Err(CommitError::PreconditionFailed {
        index: 1,
        precondition,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(*precondition, Precondition::MustMatch(of("folder")));
    try_commit(store, with(vec![Precondition::MustNotMatch(of("folder"))])).unwrap();
    let refused = try_commit(store, with(vec![Precondition::MustNotMatch(of("folder"))]));
    assert!(matches!(
        refused,
        Err(CommitError::PreconditionFailed { index: 0, .. })
    ));
}

pub(super) fn a_schema_that_moved_refuses_first(harness: &dyn Harness) {
    let store = &*harness.make();
    let first = commit(
        store,
        vec![
            ChangeRequest::Schema("definition user {}".to_owned()),
            create(ANN),
        ],
    );
    let stale = || CommitRequest {
        base: Base::of_schema(Revision(0)),
        preconditions: vec![Precondition::MustMatch(of("folder"))],
        ..request(store, vec![create(ANN)])
    };
    assert!(
        matches!(try_commit(store, stale()), Err(CommitError::Conflict { head }) if head == first.revision)
    );
    let ahead = CommitRequest {
        base: Base::of_schema(Revision(9)),
        ..stale()
    };
    assert!(matches!(
        try_commit(store, ahead),
        Err(CommitError::Conflict { .. })
    ));
    // Other commits do not move the schema.
    commit(store, vec![create(BOB)]);
    let good = Base::of_schema(first.revision);
    try_commit(
        store,
        CommitRequest {
            base: good,
            ..request(store, vec![])
        },
    )
    .unwrap();
}

pub(super) fn a_head_that_moved_refuses(harness: &dyn Harness) {
    let store = &*harness.make();
    let on = |known| CommitRequest {
        base: evaluated_at(known),
        ..request(store, vec![touch(ANN)])
    };
    let first = try_commit(store, on(Position::START)).unwrap();
    let refused = try_commit(store, on(Position::START));
    assert!(matches!(
        refused,
        Err(CommitError::Conflict { head: Revision(1) })
    ));
    try_commit(store, on(first.position())).unwrap();
}

/// The number of a revision says nothing: another branch has it as well.
pub(super) fn a_commit_that_the_log_has_not_refuses(harness: &dyn Harness) {
    let store = &*harness.make();
    let first = commit(store, vec![touch(ANN)]).position();
    let second = commit(store, vec![touch(BOB)]).position();
    let knowing = |known, is_evaluated| CommitRequest {
        base: Base {
            known,
            is_evaluated,
            ..Base::of_schema(Revision(0))
        },
        ..request(store, vec![touch(ANN)])
    };
    let of_another_branch = [
        Position {
            hash: second.hash,
            ..first
        },
        Position {
            hash: first.hash,
            ..second
        },
        Position {
            revision: Revision(3),
            ..second
        },
    ];
    for known in of_another_branch {
        for is_evaluated in [false, true] {
            let refused = try_commit(store, knowing(known, is_evaluated));
            assert!(
                matches!(
                    refused,
                    Err(CommitError::Store(StoreError::Diverged { .. }))
                ),
                "{known:?}: {refused:?}"
            );
        }
    }
    assert_eq!(head(store).revision, second.revision);
    for known in [Position::START, first, second] {
        try_commit(store, knowing(known, false)).unwrap();
    }
}

pub(super) fn an_idempotency_key_gives_the_first_result_again(harness: &dyn Harness) {
    let store = &*harness.make();
    commit(store, vec![create(ANN), create(BOB)]);
    let changes = || {
        vec![
            delete_matching(of("document"), Some(1), true),
            create("folder:a#viewer@user:ann"),
        ]
    };
    let base = evaluated_at(head(store).position());
    let once = || CommitRequest {
        base,
        preconditions: vec![Precondition::MustNotMatch(of("folder"))],
        idempotency_key: key("once"),
        ..request(store, changes())
    };
    let first = try_commit(store, once()).unwrap();
    assert_eq!(
        (first.deleted_count, first.deletion_complete, first.replayed),
        (1, false, false)
    );
    let before = rows(store);
    // Its base has moved and its precondition no longer holds: neither matters any more.
    let again = CommitRequest {
        now: at(99),
        ..once()
    };
    assert_eq!(
        try_commit(store, again).unwrap(),
        Committed {
            replayed: true,
            ..first
        }
    );
    let other_changes = CommitRequest {
        changes: vec![],
        ..once()
    };
    let other_actor = CommitRequest {
        provenance: Provenance {
            actor: "bob".to_owned(),
            ..provenance()
        },
        ..once()
    };
    for other in [other_changes, other_actor] {
        let refused = try_commit(store, other);
        assert!(
            matches!(refused, Err(CommitError::IdempotencyKeyReused { key }) if key.as_str() == "once")
        );
    }
    assert_eq!(
        (rows(store), head(store).revision),
        (before, first.revision)
    );
}

pub(super) fn time_never_decreases(harness: &dyn Harness) {
    let store = &*harness.make();
    for (now, expected) in [(5, 5), (3, 5), (5, 5), (6, 6), (-9, 6)] {
        let committed = try_commit(
            store,
            CommitRequest {
                now: at(now),
                ..request(store, vec![])
            },
        )
        .unwrap();
        assert_eq!(committed.time, at(expected));
        assert_eq!(
            (last(store).time, head(store).time),
            (at(expected), at(expected))
        );
    }
    // Expiry is judged by the time of the commit, not by the caller's clock.
    let expired = format!("document:one#viewer@user:ann[expiration:{}]", at(6));
    commit(store, vec![touch(&expired)]);
    let committed = try_commit(
        store,
        CommitRequest {
            now: at(0),
            ..request(store, vec![create(ANN)])
        },
    );
    assert_eq!(committed.unwrap().time, at(6));
}
