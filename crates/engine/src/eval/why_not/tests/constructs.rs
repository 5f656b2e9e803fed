//! Each construct of a schema by itself: which sets turn a denial.

use super::{Scene, gains_texts, now};
use crate::eval::{AddedSubjects, Proposed, Relations};
use model::Decision;

const ASKED: (&str, &str, &str) = ("doc:d", "view", "user:ann");

const UNION: &str = "definition user {}\ndefinition doc {\n relation owner: user\n relation viewer: user\n\
                     permission view = owner + viewer\n}\n";

#[test]
fn one_side_of_a_union_is_enough() {
    Scene::new(UNION, &["doc:d#viewer@user:bob"], ASKED)
        .is(&["add doc:d#owner@user:ann", "add doc:d#viewer@user:ann"]);
}

#[test]
fn an_intersection_takes_both_sides() {
    let schema = "definition user {}\ndefinition doc {\n relation viewer: user\n relation cleared: user\n relation member: user\n\
                  permission view = viewer & cleared & member\n}\n";
    Scene::new(schema, &["doc:d#viewer@user:ann"], ASKED)
        .is(&["add doc:d#cleared@user:ann; add doc:d#member@user:ann"]);
    // More changes than may be in a set: nothing is told, and nothing was left out.
    Scene::new(schema, &["doc:d#viewer@user:ann"], ASKED)
        .limits(|limits| limits.changes_max = 1)
        .is(&[]);
}

const EXCLUSION: &str = "definition user {}\ndefinition group {\n relation member: user\n}\ndefinition doc {\n\
                         relation viewer: user\n relation banned: user | user:* | group#member\n permission view = viewer - banned\n}\n";

#[test]
fn an_exclusion_in_the_way_is_removed() {
    Scene::new(
        EXCLUSION,
        &["doc:d#viewer@user:ann", "doc:d#banned@user:ann"],
        ASKED,
    )
    .is(&["remove doc:d#banned@user:ann"]);
    // Banned in two ways, and no viewer.
    Scene::new(
        EXCLUSION,
        &[
            "doc:d#banned@user:ann",
            "doc:d#banned@group:g#member",
            "group:g#member@user:ann",
        ],
        ASKED,
    )
    .is(&[
        "add doc:d#viewer@user:ann; remove doc:d#banned@user:ann; remove group:g#member@user:ann",
        "add doc:d#viewer@user:ann; remove doc:d#banned@user:ann; remove doc:d#banned@group:g#member",
    ]);
}

#[test]
fn a_wildcard_can_be_removed_and_is_never_added() {
    let scene = |rows: &[&str]| Scene::new(EXCLUSION, rows, ASKED);
    scene(&["doc:d#viewer@user:ann", "doc:d#banned@user:*"]).is(&["remove doc:d#banned@user:*"]);
    let public = "use expiration\ndefinition user {}\ndefinition doc {\n relation viewer: user:* | user:* with expiration\n\
                  permission view = viewer\n}\n";
    let expired = "doc:d#viewer@user:*[expiration:2020-01-01T00:00:00Z]";
    Scene::new(public, &["doc:e#viewer@user:*", expired], ASKED).is(&[]);
}

/// To be added to a group that is also banned does not help, unless the ban goes.
#[test]
fn a_change_that_spoils_the_other_side_is_not_enough() {
    let schema = "definition user {}\ndefinition group {\n relation member: user\n}\ndefinition doc {\n\
                  relation viewer: group#member\n relation banned: group#member\n permission view = viewer - banned\n}\n";
    let rows = ["doc:d#viewer@group:g#member", "doc:d#banned@group:g#member"];
    Scene::new(schema, &rows, ASKED)
        .is(&["remove doc:d#banned@group:g#member; add group:g#member@user:ann"]);
}

const FOLDERS: &str = "definition user {}\ndefinition folder {\n relation parent: folder\n relation viewer: user\n\
                       permission view = viewer + parent->view\n}\ndefinition doc {\n relation parent: folder\n\
                       relation viewer: user\n permission view = viewer + parent->view\n}\n";

#[test]
fn an_arrow_leads_to_folders_above_and_to_other_folders() {
    let rows = [
        "doc:d#parent@folder:f",
        "folder:f#parent@folder:top",
        "folder:open#viewer@user:ann",
    ];
    Scene::new(FOLDERS, &rows, ASKED).is(&[
        "add doc:d#viewer@user:ann",
        "add doc:d#parent@folder:open",
        "add folder:f#viewer@user:ann",
        "add folder:f#parent@folder:open",
        "add folder:top#viewer@user:ann",
        "add folder:top#parent@folder:open",
    ]);
    // Only the subject may be added, and only where it can be requested.
    Scene::new(FOLDERS, &rows, ASKED)
        .changeable(|may| {
            may.subjects = AddedSubjects::Asked;
            let folder_viewer = ("folder".parse().unwrap(), "viewer".parse().unwrap());
            may.add = Relations::Only([folder_viewer].into());
        })
        .is(&[
            "add folder:f#viewer@user:ann",
            "add folder:top#viewer@user:ann",
        ]);
}

#[test]
fn folders_in_a_circle_are_walked_once() {
    let rows = [
        "doc:d#parent@folder:f",
        "folder:f#parent@folder:g",
        "folder:g#parent@folder:f",
    ];
    Scene::new(FOLDERS, &rows, ASKED).is(&[
        "add doc:d#viewer@user:ann",
        "add folder:f#viewer@user:ann",
        "add folder:g#viewer@user:ann",
    ]);
}

#[test]
fn every_object_behind_an_all_has_to_grant() {
    let schema = "definition user {}\ndefinition team {\n relation member: user\n}\ndefinition doc {\n relation team: team\n\
                  permission view = team.all(member)\n}\n";
    let rows = [
        "doc:d#team@team:a",
        "doc:d#team@team:b",
        "team:a#member@user:ann",
        "team:c#member@user:ann",
    ];
    Scene::new(schema, &rows, ASKED)
        .is(&["add team:b#member@user:ann", "remove doc:d#team@team:b"]);
    // There has to be one: with none left, one that grants is added.
    Scene::new(
        schema,
        &["doc:d#team@team:b", "team:c#member@user:ann"],
        ASKED,
    )
    .is(&[
        "add team:b#member@user:ann",
        "remove doc:d#team@team:b; add doc:d#team@team:c",
    ]);
    Scene::new(
        schema,
        &[
            "doc:e#team@team:b",
            "team:c#member@user:ann",
            "team:c#member@user:bob",
        ],
        ASKED,
    )
    .is(&[]);
}

const GROUPS: &str = "definition user {}\ndefinition group {\n relation member: user | group#member\n}\ndefinition doc {\n\
                      relation viewer: user | group#member\n permission view = viewer\n}\n";

#[test]
fn groups_within_groups_can_be_joined_at_every_level_or_linked() {
    let rows = [
        "doc:d#viewer@group:eng#member",
        "group:eng#member@group:core#member",
        "group:ops#member@user:ann",
    ];
    Scene::new(GROUPS, &rows, ASKED).is(&[
        "add doc:d#viewer@user:ann",
        "add group:eng#member@user:ann",
        "add group:core#member@user:ann",
        "add doc:d#viewer@group:ops#member",
        "add group:eng#member@group:ops#member",
        "add group:core#member@group:ops#member",
    ]);
}

#[test]
fn a_subject_set_is_granted_as_it_is() {
    let rows = ["doc:d#viewer@group:eng#member", "group:ops#member@user:ann"];
    Scene::new(GROUPS, &rows, ("doc:d", "view", "group:ops#member")).is(&[
        "add doc:d#viewer@group:ops#member",
        "add group:eng#member@group:ops#member",
    ]);
}

const CAVEATED: &str = "caveat on_day(day string, wanted string) {\n day == wanted\n}\ndefinition user {}\n\
                        definition doc {\n relation viewer: user with on_day\n relation banned: user with on_day\n\
                        permission view = viewer - banned\n}\n";

#[test]
fn a_caveat_wants_what_is_missing() {
    let rows = ["doc:d#viewer@user:ann[on_day:{\"wanted\":\"friday\"}]"];
    let scene = Scene::new(CAVEATED, &rows, ASKED);
    let told = scene.why_not();
    assert_eq!(
        told.decision,
        Ok(Decision::Conditional {
            missing: vec!["day".to_owned()]
        })
    );
    let [
        Proposed::Context {
            holds: true,
            parameters,
            ..
        },
    ] = told.sets[0].changes.as_slice()
    else {
        panic!("{told:?}");
    };
    assert_eq!(parameters, &["day"]);
    assert_eq!(told.sets.len(), 1);
    // The relation takes nothing without the caveat, so the relationship cannot be replaced either.
    scene.changeable(|may| may.context = false).is(&[]);
}

#[test]
fn a_caveat_that_fails_wants_other_values_unless_all_are_written() {
    let rows = ["doc:d#viewer@user:ann[on_day:{\"wanted\":\"friday\"}]"];
    Scene::new(CAVEATED, &rows, ASKED)
        .context(r#"{"day":"monday"}"#)
        .is(&["let on_day hold where it has {\"wanted\":\"friday\"} by other values of day"]);
    let rows = ["doc:d#viewer@user:ann[on_day:{\"day\":\"monday\",\"wanted\":\"friday\"}]"];
    Scene::new(CAVEATED, &rows, ASKED).is(&[]);
    // One that excludes has to fail.
    let rows = [
        "doc:d#viewer@user:ann[on_day:{\"day\":\"friday\",\"wanted\":\"friday\"}]",
        "doc:d#banned@user:ann[on_day:{\"wanted\":\"friday\"}]",
    ];
    Scene::new(CAVEATED, &rows, ASKED)
        .context(r#"{"day":"friday"}"#)
        .is(&[
            "let on_day fail where it has {\"wanted\":\"friday\"} by other values of day",
            "remove doc:d#banned@user:ann",
        ]);
}

#[test]
fn what_is_added_to_a_caveated_relation_carries_the_caveat() {
    // With the values of the request it holds.
    Scene::new(CAVEATED, &["doc:d#viewer@user:bob[on_day]"], ASKED)
        .context(r#"{"day":"friday","wanted":"friday"}"#)
        .is(&["add doc:d#viewer@user:ann[on_day]"]);
    // Without them, they are wanted too.
    Scene::new(CAVEATED, &["doc:d#viewer@user:bob[on_day]"], ASKED)
        .is(&["add doc:d#viewer@user:ann[on_day]; let on_day hold by other values of day, wanted"]);
}

#[test]
fn a_caveat_is_not_to_hold_and_to_fail_at_once() {
    let rows = [
        "doc:d#viewer@user:ann[on_day]",
        "doc:d#banned@user:ann[on_day]",
    ];
    Scene::new(CAVEATED, &rows, ASKED)
        .is(&["let on_day hold by other values of day, wanted; remove doc:d#banned@user:ann"]);
}

#[test]
fn a_relationship_is_replaced_where_none_needs_the_caveat() {
    let schema = "caveat on_day(day string) {\n day == \"friday\"\n}\ndefinition user {}\ndefinition doc {\n\
                  relation viewer: user | user with on_day\n permission view = viewer\n}\n";
    Scene::new(schema, &["doc:d#viewer@user:ann[on_day]"], ASKED)
        .context(r#"{"day":"monday"}"#)
        .is(&[
            "let on_day hold by other values of day",
            "replace by doc:d#viewer@user:ann",
        ]);
}

const EXPIRING: &str = "use expiration\ndefinition user {}\ndefinition group {\n relation member: user with expiration\n}\n\
                        definition doc {\n relation viewer: user with expiration | group#member with expiration\n permission view = viewer\n}\n";

#[test]
fn what_has_expired_is_renewed_with_the_end_that_was_given() {
    let rows = [
        "doc:d#viewer@user:ann[expiration:2026-01-01T00:00:00Z]",
        "doc:d#viewer@group:g#member[expiration:2026-01-01T00:00:00Z]",
        "group:g#member@user:ann[expiration:2028-01-01T00:00:00Z]",
    ];
    let end = now().saturating_add_micros(3_600_000_000);
    Scene::new(EXPIRING, &rows, ASKED)
        .changeable(|may| may.expires_at = Some(end))
        .is(&[
            "renew doc:d#viewer@user:ann[expiration:2027-01-31T13:00:00Z]",
            "renew doc:d#viewer@group:g#member[expiration:2027-01-31T13:00:00Z]",
        ]);
    // Without an end, or with one that has passed, the relation takes nothing.
    Scene::new(EXPIRING, &rows, ASKED).is(&[]);
    Scene::new(EXPIRING, &rows, ASKED)
        .changeable(|may| may.expires_at = Some(now()))
        .is(&[]);
}

#[test]
fn nothing_is_proposed_of_what_does_not_exist() {
    Scene::new(UNION, &["doc:e#viewer@user:ann"], ASKED).is(&[]);
    // A subject that is new is none that was made up: it was asked about.
    Scene::new(UNION, &["doc:d#viewer@user:bob"], ASKED)
        .is(&["add doc:d#owner@user:ann", "add doc:d#viewer@user:ann"]);
}

#[test]
fn who_is_allowed_needs_nothing() {
    let told = Scene::new(UNION, &["doc:d#viewer@user:ann"], ASKED).why_not();
    assert_eq!(told.decision, Ok(Decision::Allowed));
    assert!(told.sets.is_empty() && told.is_complete);
}

/// Circles through an exclusion have no answer; what is told still flips, and is not said to be all.
#[test]
fn a_permission_that_depends_on_its_own_absence_is_told_of_with_care() {
    let schema = "definition user {}\ndefinition pos {\n relation player: user\n relation move: pos\n\
                  permission win = player - move->win\n}\n";
    let rows = [
        "pos:a#move@pos:b",
        "pos:b#move@pos:a",
        "pos:a#player@user:ann",
        "pos:b#player@user:ann",
    ];
    let scene = Scene::new(schema, &rows, ("pos:a", "win", "user:ann"));
    let told = scene.why_not();
    assert!(told.decision.is_err() && !told.is_complete);
    let sets = super::texts(&told);
    assert!(
        sets.contains(&"remove pos:a#move@pos:b".to_owned()),
        "{sets:?}"
    );
    assert!(
        sets.contains(&"remove pos:b#player@user:ann".to_owned()),
        "{sets:?}"
    );
}

#[test]
fn sets_of_as_many_changes_are_in_the_order_of_what_they_give_besides() {
    let rows = [
        "doc:d#parent@folder:f",
        "doc:e#parent@folder:f",
        "folder:f#parent@folder:top",
        "folder:g#parent@folder:top",
    ];
    let scene = Scene::new(FOLDERS, &rows, ASKED);
    let told = scene.why_not();
    let gains: Vec<Vec<String>> = told.sets.iter().map(gains_texts).collect();
    assert_eq!(
        gains,
        [
            vec![],
            vec![
                "doc#view +1 ?0 -0 e".to_owned(),
                "folder#view +1 ?0 -0 f".to_owned()
            ],
            vec![
                "doc#view +1 ?0 -0 e".to_owned(),
                "folder#view +3 ?0 -0 f g top".to_owned()
            ],
        ]
    );
}
