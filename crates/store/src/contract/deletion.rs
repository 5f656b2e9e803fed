//! Deletions by pattern, and housekeeping.

use model::{ResourceIdFilter, SubjectFilter, SubjectId, SubjectRelationFilter};

use super::*;

const ROWS: [&str; 8] = [
    "document:a#viewer@user:ann",
    "document:ab#editor@user:ann",
    "document:ab#viewer@group:eng#member",
    "document:ab#viewer@user:*",
    "document:ab|c#viewer@user:ann",
    "document:b#viewer@user:ann",
    "folder:ab#viewer@group:eng",
    "folder:ab#viewer@user:bob",
];

/// Patterns, and which rows they leave of the eight.
fn patterns() -> Vec<(RelationshipFilter, Vec<usize>)> {
    let any = || SubjectRelationFilter::Any;
    let none = SubjectRelationFilter::None;
    let member = SubjectRelationFilter::Relation("member".parse().unwrap());
    vec![
        (of("document"), vec![6, 7]),
        (with(|all| all.resource_id = exact("ab")), vec![0, 4, 5]),
        (with(|all| all.resource_id = prefix("ab")), vec![0, 5]),
        (
            RelationshipFilter {
                resource_id: prefix("a"),
                ..of("document")
            },
            vec![5, 6, 7],
        ),
        (
            with(|all| all.relation = Some("editor".parse().unwrap())),
            vec![0, 2, 3, 4, 5, 6, 7],
        ),
        (
            with(|all| all.subject = subject("user", None, any())),
            vec![2, 6],
        ),
        (
            with(|all| all.subject = subject("user", Some("ann"), any())),
            vec![2, 3, 6, 7],
        ),
        (
            with(|all| all.subject = subject("user", Some("*"), any())),
            vec![0, 1, 2, 4, 5, 6, 7],
        ),
        (
            with(|all| all.subject = subject("group", Some("eng"), none)),
            vec![0, 1, 2, 3, 4, 5, 7],
        ),
        (
            with(|all| all.subject = subject("group", None, member)),
            vec![0, 1, 3, 4, 5, 6, 7],
        ),
        (
            RelationshipFilter {
                subject: subject("group", Some("eng"), any()),
                ..of("folder")
            },
            vec![0, 1, 2, 3, 4, 5, 7],
        ),
        (RelationshipFilter::default(), vec![]),
    ]
}

fn with(set: impl FnOnce(&mut RelationshipFilter)) -> RelationshipFilter {
    let mut filter = RelationshipFilter::default();
    set(&mut filter);
    filter
}

fn exact(text: &str) -> Option<ResourceIdFilter> {
    Some(ResourceIdFilter::Exact(text.parse().unwrap()))
}

fn prefix(text: &str) -> Option<ResourceIdFilter> {
    Some(ResourceIdFilter::Prefix(text.parse().unwrap()))
}

fn subject(
    definition: &str,
    id: Option<&str>,
    relation: SubjectRelationFilter,
) -> Option<SubjectFilter> {
    let id = id.map(|id| match id {
        "*" => SubjectId::Wildcard,
        id => SubjectId::Object(id.parse().unwrap()),
    });
    Some(SubjectFilter {
        definition: definition.parse().unwrap(),
        id,
        relation,
    })
}

pub(super) fn a_deletion_takes_what_matches(harness: &dyn Harness) {
    let store = &*harness.make();
    for (filter, left) in patterns() {
        commit(store, ROWS.map(touch).to_vec());
        let committed = commit(store, vec![delete_matching(filter.clone(), None, false)]);
        let left: Vec<&str> = left.into_iter().map(|at| ROWS[at]).collect();
        assert_eq!(texts(store), left, "{filter:?}");
        assert_eq!(
            (committed.deleted_count, committed.deletion_complete),
            (8 - left.len() as u64, true)
        );
        let kept = ROWS
            .iter()
            .filter(|text| !filter.matches(&rel(text)))
            .count();
        assert_eq!(kept, left.len(), "the model agrees");
    }
}

pub(super) fn a_limit_takes_the_first_in_key_order(harness: &dyn Harness) {
    let store = &*harness.make();
    let mut shuffled = ROWS.map(create).to_vec();
    shuffled.reverse();
    commit(store, shuffled);
    let refused = try_commit(
        store,
        request(store, vec![delete_matching(of("document"), Some(5), false)]),
    );
    assert!(matches!(
        refused,
        Err(CommitError::TooManyToDelete { limit: 5, .. })
    ));
    assert_eq!(texts(store), ROWS);

    let some = commit(store, vec![delete_matching(of("document"), Some(2), true)]);
    assert_eq!((some.deleted_count, some.deletion_complete), (2, false));
    let deleted: Vec<_> = sides(&last(store))
        .into_iter()
        .filter_map(|(before, _)| before)
        .collect();
    assert_eq!(deleted, ROWS[..2]);

    let rest = commit(store, vec![delete_matching(of("document"), Some(4), false)]);
    assert_eq!((rest.deleted_count, rest.deletion_complete), (4, true));
    assert_eq!(texts(store), ROWS[6..]);
    let none = commit(store, vec![delete_matching(of("document"), Some(0), false)]);
    assert_eq!((none.deleted_count, none.deletion_complete), (0, true));
}

pub(super) fn expired_rows_are_removed_by_housekeeping_alone(harness: &dyn Harness) {
    let store = &*harness.make();
    let expiring =
        |id: &str, second| format!("document:{id}#viewer@user:ann[expiration:{}]", at(second));
    let all = [
        expiring("a", 30),
        expiring("b", 10),
        expiring("c", 20),
        expiring("d", 40),
    ];
    let mut changes: Vec<_> = all.iter().map(|text| create(text)).collect();
    changes.push(create("document:e#viewer@user:ann"));
    commit(store, changes);
    let remove = |now, before, limit| {
        let changes = vec![ChangeRequest::RemoveExpired {
            before: at(before),
            limit,
        }];
        try_commit(
            store,
            CommitRequest {
                now: at(now),
                ..request(store, changes)
            },
        )
        .unwrap()
    };
    let early = remove(9, 99, 10);
    assert_eq!(
        early.deleted_count, 0,
        "nothing has expired, whatever `before` says"
    );
    let first = remove(30, 99, 2);
    assert_eq!((first.deleted_count, first.deletion_complete), (2, false));
    let entry = last(store);
    assert!(entry.housekeeping);
    assert_eq!(
        sides(&entry),
        [
            (Some(expiring("b", 10)), None),
            (Some(expiring("c", 20)), None)
        ]
    );
    let second = remove(99, 30, 2);
    assert_eq!((second.deleted_count, second.deletion_complete), (1, true));
    assert_eq!(
        texts(store),
        [expiring("d", 40), "document:e#viewer@user:ann".to_owned()]
    );
    commit(store, vec![]);
    assert!(!last(store).housekeeping);
}
