//! What an import writes, and what it leaves alone.

use super::*;
use crate::id::Cluster;

fn target(source: &str) -> Target {
    Target {
        cluster: Cluster::default(),
        source: source.to_owned(),
    }
}

fn rows(texts: &[&str]) -> Vec<Relationship> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

const MARK: &str = "kubernetes/role_binding:main/prod/b#source@kubernetes/source:main/rbac";
const SCOPE: &str = "kubernetes/namespace:main/prod#binding@kubernetes/role_binding:main/prod/b";
const ANN: &str = "kubernetes/role_binding:main/prod/b#subject@kubernetes/user:ann";
const BOB: &str = "kubernetes/role_binding:main/prod/b#subject@kubernetes/user:bob";
const ROLE: &str = "kubernetes/role:main/prod/r#source@kubernetes/source:main/rbac";
const RULE: &str = r#"kubernetes/rule:main/prod/r/0#matches@kubernetes/user:*[kubernetes/permits:{"verbs":["get"]}]"#;
const WIDER: &str = r#"kubernetes/rule:main/prod/r/0#matches@kubernetes/user:*[kubernetes/permits:{"verbs":["*"]}]"#;
const SHARED: &str = "kubernetes/namespace:main/prod#cluster@kubernetes/cluster:main";
const BAN: &str = "kubernetes/namespace:main/prod#banned@kubernetes/user:eve";

fn wanted(owners: &[&[&str]]) -> Desired {
    let owners = owners.iter().map(|texts| {
        let rows = rows(texts);
        (owner(&rows[0]).unwrap(), rows)
    });
    Desired {
        owners: owners.collect(),
        shared: rows(&[SHARED]),
    }
}

fn updates(desired: &Desired, current: &[&str], prune: bool) -> Vec<String> {
    let difference = difference(&target("rbac"), desired, rows(current), prune).unwrap();
    let updates = difference.updates.iter();
    updates
        .map(|update| format!("{:?} {}", update.operation, update.relationship))
        .collect()
}

#[test]
fn what_is_there_is_not_written_again() {
    let desired = wanted(&[&[MARK, SCOPE, ANN], &[ROLE, RULE]]);
    let current = [MARK, SCOPE, ANN, ROLE, RULE, SHARED, BAN];
    assert!(updates(&desired, &current, true).is_empty());
    let first = updates(&desired, &[BAN], false);
    assert_eq!(first.len(), 6);
    // Whose it is comes before what it is.
    assert!(
        first[..2].iter().all(|update| update.contains("#source@")),
        "{first:?}"
    );
}

#[test]
fn what_is_taken_comes_before_roles_and_what_is_given_after() {
    let desired = wanted(&[&[MARK, SCOPE, BOB], &[ROLE, WIDER]]);
    let current = [MARK, SCOPE, ANN, ROLE, RULE, SHARED];
    assert_eq!(
        updates(&desired, &current, false),
        [
            format!("Delete {ANN}"),
            format!("Touch {WIDER}"),
            format!("Touch {BOB}")
        ]
    );
    // What somebody gave an end is not what the manifest says.
    let ending = format!("{BOB}[expiration:2030-01-01T00:00:00Z]");
    let current = [MARK, SCOPE, &ending, ROLE, WIDER, SHARED];
    assert_eq!(updates(&desired, &current, false), [format!("Touch {BOB}")]);
}

#[test]
fn nothing_is_added_before_all_is_taken_and_rules_come_before_what_leads_to_them() {
    let mark = "kubernetes/cluster_role:main/b#source@kubernetes/source:main/rbac";
    let aggregate = "kubernetes/cluster_role:main/b#aggregate@kubernetes/cluster_role:main/a";
    let of_a = "kubernetes/cluster_role:main/a#source@kubernetes/source:main/rbac";
    let rule = "kubernetes/cluster_role:main/a#rule@kubernetes/rule:main/a/0";
    let matches = RULE.replace("prod/r/0", "a/0");
    let wider = WIDER.replace("prod/r/0", "a/0");
    // `b` is no longer made of `a`, whose rule comes to match more.
    let current = [mark, aggregate, of_a, rule, &matches, SHARED];
    let desired = wanted(&[&[mark], &[of_a, rule, &wider]]);
    assert_eq!(
        updates(&desired, &current, false),
        [format!("Delete {aggregate}"), format!("Touch {wider}")]
    );
    let desired = wanted(&[&[mark, aggregate], &[of_a, rule, &wider], &[MARK, SCOPE]]);
    assert_eq!(
        updates(&desired, &[mark, of_a], false),
        [MARK, &wider, SHARED, rule, aggregate, SCOPE].map(|row| format!("Touch {row}"))
    );
}

#[test]
fn what_is_gone_goes_only_if_it_was_imported_and_that_is_asked_for() {
    let by_hand = "kubernetes/role_binding:main/prod/hand#subject@kubernetes/user:ann";
    let of_another = "kubernetes/role:main/prod/other#source@kubernetes/source:main/other";
    let current = [
        MARK, SCOPE, ANN, ROLE, RULE, SHARED, BAN, by_hand, of_another,
    ];
    let nothing = Desired::default();
    assert!(updates(&nothing, &current, false).is_empty());
    let gone = updates(&nothing, &current, true);
    let mut expected: Vec<_> = [ANN, SCOPE, RULE, MARK, ROLE]
        .map(|row| format!("Delete {row}"))
        .into();
    // The marks last.
    assert!(
        gone[3..].iter().all(|update| update.contains("#source@")),
        "{gone:?}"
    );
    let mut sorted = gone.clone();
    sorted.sort();
    expected.sort();
    assert_eq!(sorted, expected);
    let told = difference(&target("rbac"), &nothing, rows(&current), false).unwrap();
    assert_eq!((told.left.len(), told.removed.len()), (2, 0));
}

#[test]
fn what_is_of_others_is_not_touched() {
    let desired = wanted(&[&[MARK, SCOPE, ANN], &[ROLE, RULE]]);
    let conflicts = difference(
        &target("rbac"),
        &desired,
        rows(&[BOB, &ROLE.replace("main/rbac", "main/other")]),
        true,
    );
    let told: Vec<_> = conflicts
        .unwrap_err()
        .iter()
        .map(Conflict::to_string)
        .collect();
    assert_eq!(
        told,
        [
            "`kubernetes/role:main/prod/r` was imported from `main/other`: import it from there, or delete it first",
            "`kubernetes/role_binding:main/prod/b` is there, and was not imported: delete it, or take it out of the manifests",
        ]
    );
}
