//! Limits are met with less than all, said to be so, and never with unbounded work.

use std::sync::atomic::AtomicBool;

use super::{Scene, texts};
use crate::eval::{AddedSubjects, EvalError, Query, WhyNotError, check, why_not};
use model::Decision;

const GROUPS: &str = "definition user {}\ndefinition group {\n relation member: user | group#member\n}\ndefinition doc {\n\
                      relation viewer: user | group#member\n relation banned: group#member\n permission view = viewer\n\
                      permission safe = viewer - banned\n}\n";

fn scene(rows: impl Iterator<Item = String>, member: &'static str) -> Scene {
    let rows: Vec<String> = rows.collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    Scene::new(GROUPS, &rows, ("doc:d", member, "user:ann"))
}

fn wide(relation: &'static str) -> impl Iterator<Item = String> {
    (0..5_000).map(move |n| format!("doc:d#{relation}@group:g{n:04}#member"))
}

#[test]
fn of_many_groups_the_first_are_told() {
    let told = scene(wide("viewer"), "view").why_not();
    assert!(!told.is_complete);
    assert_eq!(told.sets.len(), 10);
    assert_eq!(
        texts(&told)[..2],
        [
            "add doc:d#viewer@user:ann",
            "add group:g0000#member@user:ann"
        ]
    );
}

#[test]
fn an_exclusion_by_many_needs_more_changes_than_a_set_has() {
    let members = (0..5_000).map(|n| format!("group:g{n:04}#member@user:ann"));
    let viewer = ["doc:d#viewer@user:ann".to_owned()];
    let told = scene(wide("banned").chain(members).chain(viewer), "safe")
        .changeable(|may| may.subjects = AddedSubjects::Asked)
        .why_not();
    assert!(told.sets.is_empty() && told.is_complete);
}

#[test]
fn the_same_groups_on_both_sides_are_left_out_of_each_other() {
    let told = scene(wide("viewer").chain(wide("banned")), "safe").why_not();
    assert_eq!(texts(&told), ["add doc:d#viewer@user:ann"]);
    assert!(!told.is_complete);
    let few = wide("viewer").take(20).chain(wide("banned").take(20));
    let told = scene(few, "safe")
        .limits(|limits| limits.sets_max = 30)
        .why_not();
    assert_eq!(told.sets.len(), 21);
    assert!(told.is_complete);
    let both = "remove doc:d#banned@group:g0000#member; add group:g0000#member@user:ann";
    assert_eq!(texts(&told)[1], both);
}

#[test]
fn a_long_circle_ends() {
    let circle = (0..3_000).map(|n| {
        let next = (n + 1) % 3_000;
        format!("group:g{n:04}#member@group:g{next:04}#member")
    });
    let rows = circle.chain(["doc:d#viewer@group:g0000#member".to_owned()]);
    let told = scene(rows, "view").why_not();
    assert!(!told.is_complete);
    assert_eq!(
        texts(&told)[..2],
        [
            "add doc:d#viewer@user:ann",
            "add group:g0000#member@user:ann"
        ]
    );
}

/// Adding at the end of a chain that is too long allows nothing; it is tried and not told.
#[test]
fn what_would_lie_too_deep_is_not_told() {
    let chain = (0..60).map(|n| format!("group:g{n:02}#member@group:g{:02}#member", n + 1));
    let rows = chain.chain(["doc:d#viewer@group:g00#member".to_owned()]);
    let told = scene(rows, "view")
        .limits(|limits| limits.sets_max = 100)
        .why_not();
    assert!(!told.is_complete);
    assert_eq!(told.sets.len(), 49);
}

#[test]
fn candidates_combinations_and_ways_are_limited() {
    let of = |change: fn(&mut crate::eval::WhyNotLimits)| {
        let told = scene(wide("viewer").take(50), "view")
            .limits(change)
            .why_not();
        (told.sets.len(), told.is_complete)
    };
    assert_eq!(of(|limits| limits.sets_max = 51), (51, true));
    assert_eq!(
        of(|limits| (limits.sets_max, limits.candidates_max) = (51, 50)),
        (50, false)
    );
    assert_eq!(
        of(|limits| (limits.sets_max, limits.ways_max) = (51, 50)),
        (50, false)
    );
    assert_eq!(of(|limits| limits.sets_max = 50), (50, false));
    assert_eq!(
        of(|limits| (limits.sets_max, limits.additions_max) = (51, 50)),
        (50, false)
    );
    assert!(!of(|limits| limits.combinations_max = 20).1);
    assert_eq!(of(|limits| limits.changes_max = 0), (0, true));
}

#[test]
fn links_are_limited_and_said_to_be() {
    let held = (0..30).map(|n| format!("group:h{n:02}#member@user:ann"));
    let rows = held.chain(["doc:d#viewer@user:bob".to_owned()]);
    let scene = scene(rows, "view").limits(|limits| limits.sets_max = 100);
    let told = scene.why_not();
    assert_eq!((told.sets.len(), told.is_complete), (21, false));
    assert!(texts(&told).contains(&"add doc:d#viewer@group:h19#member".to_owned()));
    let told = scene.limits(|limits| limits.links_max = 30).why_not();
    assert_eq!((told.sets.len(), told.is_complete), (31, true));
}

#[test]
fn a_walk_past_the_edges_that_may_be_visited_is_an_error_and_one_that_nobody_waits_for_ends() {
    let scene = scene(wide("viewer"), "view");
    scene.with_query(|query| {
        let mut query = *query;
        query.environment.edges_visited_max = 2_000;
        let told = why_not(&scene.snapshot, &query, &AtomicBool::new(false));
        let edges_visited_max = 2_000;
        let expected = EvalError::WorkExceeded { edges_visited_max };
        assert_eq!(told, Err(WhyNotError::Eval(expected)));
        query.environment.edges_visited_max = 1_000_000;
        let told = why_not(&scene.snapshot, &query, &AtomicBool::new(true));
        assert_eq!(told, Err(WhyNotError::Eval(EvalError::Interrupted)));
        // Without look-ups, it is noticed where sets are tried.
        let mut may = query.changeable.clone();
        may.subjects = AddedSubjects::Asked;
        query.changeable = &may;
        let told = why_not(&scene.snapshot, &query, &AtomicBool::new(true));
        assert_eq!(told, Err(WhyNotError::Eval(EvalError::Interrupted)));
    });
}

/// What is told can be written, and is then allowed.
#[test]
fn a_set_can_be_applied_as_it_is_told() {
    let scene = scene(wide("viewer").take(3).chain(wide("banned").take(2)), "safe");
    let told = scene.why_not();
    assert!(told.sets.len() > 3);
    for set in &told.sets {
        let (revision, time) = (scene.snapshot.revision(), scene.snapshot.time());
        let after = scene
            .snapshot
            .apply(revision, time, &set.graph_changes())
            .unwrap();
        scene.with_query(|query| {
            let asked =
                Query::resolve(&after, query.resource, query.member, query.subject).unwrap();
            assert_eq!(
                check(&after, &asked, query.environment),
                Ok(Decision::Allowed),
                "{set}"
            );
        });
    }
}
