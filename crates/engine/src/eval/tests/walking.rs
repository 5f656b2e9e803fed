//! How the walk comes to its answers: what it visits, and that it asks for the equations only where it has to.

use super::*;
use crate::eval::check::{Stop, check as walk};
use crate::eval::counted_check;
use crate::eval::value::Value;

/// What the walk alone comes to within limits of depth and edges, and the edges that it visited.
fn walked(
    schema: &str,
    rows: &[String],
    asked: (&str, &str, &str),
    (depth_max, edges_visited_max): (u16, u64),
) -> (Result<Value, Stop>, u64) {
    let (snapshot, query) = resolved(schema, rows, asked);
    walk(&snapshot, &query, limited(depth_max, edges_visited_max))
}

const ANN: (&str, &str, &str) = ("doc:d", "view", "user:ann");

#[test]
fn the_last_edge_and_the_last_level_within_the_limits_count() {
    let rows = rows(&[
        "doc:d#viewer@group:g0#member",
        "group:g0#member@group:g1#member",
        "group:g1#member@user:ann",
    ]);
    // view, viewer, g0, g1; and the three rows.
    assert_eq!(walked(GROUPS, &rows, ANN, (4, 3)), (Ok(Value::Yes), 3));
    let (value, _) = walked(GROUPS, &rows, ANN, (3, 3));
    assert_eq!(value, Err(Stop::Solve));
    let (value, _) = walked(GROUPS, &rows, ANN, (4, 2));
    assert_eq!(value, Err(Stop::WorkExceeded));
}

/// Two ways to a group: the second time it is known what lies below it, and how deep that goes.
#[test]
fn what_is_known_of_a_node_has_its_depth() {
    let schema = "definition user {}\ndefinition group {\n relation member: user | group#member\n}\n\
                  definition doc {\n relation near: group#member\n relation far: group#member\n permission view = near & far\n}\n";
    let rows = rows(&[
        "doc:d#near@group:g0#member",
        "doc:d#far@group:f0#member",
        "group:f0#member@group:g0#member",
        "group:g0#member@group:g1#member",
        "group:g1#member@user:ann",
    ]);
    // view, far, f0, g0, g1.
    assert_eq!(walked(schema, &rows, ANN, (5, 100)).0, Ok(Value::Yes));
    assert_eq!(walked(schema, &rows, ANN, (4, 100)).0, Err(Stop::Solve));
    assert_eq!(ask_with_depth(schema, &rows, 4), Err("depth".to_owned()));
}

fn ask_with_depth(schema: &str, rows: &[String], depth_max: u16) -> Told {
    let (snapshot, query) = resolved(schema, rows, ANN);
    check(&snapshot, &query, limited(depth_max, EDGES_MAX)).map_err(tell)
}

/// Each group is in itself and in both of the level above: without a memory of it, a walk down is 2 to the 30.
#[test]
fn a_lattice_of_circles_is_walked_once() {
    let mut rows = rows(&["doc:d#viewer@group:a0#member"]);
    for level in 0..30 {
        for side in ["a", "b"] {
            rows.push(format!(
                "group:{side}{level}#member@group:{side}{level}#member"
            ));
            for below in ["a", "b"] {
                rows.push(format!(
                    "group:{side}{level}#member@group:{below}{}#member",
                    level + 1
                ));
            }
        }
    }
    let (value, edges_visited) = walked(GROUPS, &rows, ANN, (50, 1_000));
    assert_eq!(value, Ok(Value::No));
    assert!(edges_visited < 300, "{edges_visited}");
}

/// Every folder lies in every other: a walk that went around them would not come to its end.
#[test]
fn a_dense_circle_is_solved_instead() {
    let schema = "definition user {}\ndefinition doc {\n relation parent: doc\n relation viewer: user\n\
                  permission view = viewer + parent->view\n}\n";
    let mut rows = rows(&["doc:d#parent@doc:f0"]);
    for (left, right) in (0..30).flat_map(|left| (0..30).map(move |right| (left, right))) {
        if left != right {
            rows.push(format!("doc:f{left}#parent@doc:f{right}"));
        }
    }
    let (value, edges_visited) = walked(schema, &rows, ANN, (50, 100_000));
    assert_eq!(value, Err(Stop::Solve));
    assert!(edges_visited < 5_000, "{edges_visited}");
    // The equations have each row once, and that counts as well.
    let (snapshot, query) = resolved(schema, &rows, ANN);
    let row_count = rows.len() as u64;
    let (answer, in_all) = counted_check(&snapshot, &query, limited(50, 100_000));
    assert_eq!(answer, Ok(Decision::Denied));
    assert_eq!(in_all - edges_visited, row_count);
    let within = |edges| check(&snapshot, &query, limited(50, edges));
    assert_eq!(within(row_count), Ok(Decision::Denied));
    let exceeded = EvalError::WorkExceeded {
        edges_visited_max: row_count - 1,
    };
    assert_eq!(within(row_count - 1), Err(exceeded));
}

/// A circle beside an exclusion is no circle through it.
#[test]
fn a_circle_after_an_exclusion_is_walked() {
    let schema = "definition user {}\ndefinition doc {\n relation parent: doc\n relation viewer: user\n relation banned: user\n\
                  permission view = (viewer - banned) + parent->view\n}\n";
    let rows = rows(&[
        "doc:d#parent@doc:e",
        "doc:e#parent@doc:d",
        "doc:d#viewer@user:ann",
        "doc:d#banned@user:ann",
    ]);
    let (value, _) = walked(schema, &rows, ANN, (50, 100));
    assert_eq!(value, Ok(Value::No));
}

/// A caveated edge that does not hold is not gone behind: what lies there may be as large as it likes.
#[test]
fn nothing_is_asked_behind_an_edge_that_does_not_count() {
    let schema = "caveat never(n int) {\n n > 5\n}\ndefinition user {}\ndefinition group {\n relation member: user | group#member\n}\n\
                  definition doc {\n relation team: group with never\n relation viewer: group#member with never\n permission every = team.all(member)\n\
                  permission view = every + viewer\n}\n";
    let rows = rows(&[
        "doc:d#team@group:g0[never:{\"n\":1}]",
        "doc:d#viewer@group:g0#member[never:{\"n\":1}]",
        "group:g0#member@group:g1#member",
        "group:g1#member@group:g2#member",
    ]);
    assert_eq!(walked(schema, &rows, ANN, (50, 100)), (Ok(Value::No), 2));
}

/// A document for a thousand groups and somebody in three: as many steps as it takes from that side.
#[test]
fn few_sets_of_the_subject_are_met_from_below() {
    let mut rows: Vec<String> = (0..1_000)
        .map(|n| format!("doc:d#viewer@group:x{n}#member"))
        .collect();
    rows.extend((0..1_000).map(|n| format!("group:x{n}#member@group:y{n}#member")));
    rows.extend(
        [
            "group:z2#member@user:ann",
            "group:z1#member@group:z2#member",
            "group:x7#member@group:z1#member",
        ]
        .map(str::to_owned),
    );
    let (value, edges_visited) = walked(GROUPS, &rows, ANN, (50, 10_000));
    assert_eq!(value, Ok(Value::Yes));
    assert!(edges_visited < 20, "{edges_visited}");
    let (value, edges_visited) = walked(
        GROUPS,
        &rows,
        ("doc:d", "view", "group:z2#member"),
        (50, 10_000),
    );
    assert_eq!(value, Ok(Value::Yes));
    assert!(edges_visited < 20, "{edges_visited}");
    // x7 is at the third level, z2 at the fifth.
    assert_eq!(walked(GROUPS, &rows, ANN, (5, 10_000)).0, Ok(Value::Yes));
    assert_eq!(walked(GROUPS, &rows, ANN, (4, 10_000)).0, Err(Stop::Solve));
}

/// Somebody in more groups than the document is for: those of the document are asked, one by one.
#[test]
fn many_sets_of_the_subject_are_not_climbed() {
    let mut rows: Vec<String> = (0..10)
        .map(|n| format!("doc:d#viewer@group:x{n}#member"))
        .collect();
    rows.extend((0..1_000).map(|n| format!("group:z{n}#member@user:ann")));
    let (value, edges_visited) = walked(GROUPS, &rows, ANN, (50, 10_000));
    assert_eq!(value, Ok(Value::No));
    assert!(edges_visited < 60, "{edges_visited}");
}

/// Sets of the subject that lead on to more than the document is for are not followed to their end.
#[test]
fn a_climb_that_grows_too_wide_is_given_up() {
    let mut rows: Vec<String> = (0..10)
        .map(|n| format!("doc:d#viewer@group:x{n}#member"))
        .collect();
    rows.push("group:z#member@user:ann".to_owned());
    for n in 0..1_000 {
        rows.push(format!("group:wide{n}#member@group:z#member"));
        rows.push(format!("group:top{n}#member@group:wide{n}#member"));
    }
    let (value, edges_visited) = walked(GROUPS, &rows, ANN, (50, 10_000));
    assert_eq!(value, Ok(Value::No));
    assert!(edges_visited < 1_100, "{edges_visited}");
}

/// The same sets are found once for a check, however many documents' groups are held against them.
#[test]
fn the_sets_of_the_subject_are_found_once() {
    let schema = "definition user {}\ndefinition group {\n relation member: user | group#member\n}\ndefinition doc {\n\
                  relation one: group#member\n relation two: group#member\n permission view = one + two\n}\n";
    let mut rows: Vec<String> = (0..100)
        .flat_map(|n| {
            ["one", "two"].map(|relation| format!("doc:d#{relation}@group:{relation}{n}#member"))
        })
        .collect();
    rows.extend((0..40).map(|n| format!("group:z{n}#member@user:ann")));
    let (value, edges_visited) = walked(schema, &rows, ANN, (50, 10_000));
    assert_eq!(value, Ok(Value::No));
    assert_eq!(edges_visited, 40);
}

/// Where a wildcard or another relation's sets can bring the subject in, the way up would miss it.
#[test]
fn a_relation_with_other_ways_in_is_not_climbed() {
    let wild = "definition user {}\ndefinition folder {\n relation viewer: user | user:*\n}\n\
                definition doc {\n relation parent: folder\n permission view = parent->viewer\n}\n";
    let mut rows: Vec<String> = (0..20)
        .map(|n| format!("doc:d#parent@folder:x{n}"))
        .collect();
    rows.push("folder:x7#viewer@user:*".to_owned());
    assert_eq!(ask(wild, &rows, ANN.0, ANN.1, ANN.2), Ok(Decision::Allowed));
    let mut rows: Vec<String> = (0..20)
        .map(|n| format!("doc:d#viewer@group:x{n}#member"))
        .collect();
    let other = "definition user {}\ndefinition group {\n relation lead: user\n relation member: user | group#member | group#lead\n}\n\
                 definition doc {\n relation viewer: user | group#member\n permission view = viewer\n}\n";
    rows.push("group:x7#member@group:y#lead".to_owned());
    rows.push("group:y#lead@user:ann".to_owned());
    assert_eq!(
        ask(other, &rows, ANN.0, ANN.1, ANN.2),
        Ok(Decision::Allowed)
    );
}

/// What lies below a node is as deep where it was climbed as where it was walked.
#[test]
fn a_climb_tells_how_deep_it_went() {
    let schema = "definition user {}\ndefinition group {\n relation member: user | group#member\n}\ndefinition doc {\n\
                  relation near: group#member\n relation far: group#member\n permission view = near & far\n}\n";
    let mut rows: Vec<String> = (0..20)
        .map(|n| format!("group:f#member@group:x{n}#member"))
        .collect();
    rows.extend(
        [
            "doc:d#near@group:f#member",
            "doc:d#far@group:h#member",
            "group:h#member@group:f#member",
            "group:x7#member@group:y#member",
            "group:y#member@user:ann",
        ]
        .map(str::to_owned),
    );
    // view, far, h, f, x7, y.
    assert_eq!(walked(schema, &rows, ANN, (6, 100)).0, Ok(Value::Yes));
    assert_eq!(walked(schema, &rows, ANN, (5, 100)).0, Err(Stop::Solve));
    assert_eq!(ask_with_depth(schema, &rows, 5), Err("depth".to_owned()));
}

const KINDS: &str = "definition user {}\ndefinition robot {}\ndefinition team {\n relation member: robot\n}\n\
                     definition group {\n relation member: user | group#member | team#member\n relation every: robot | user\n\
                     permission both = member & every\n permission left = every - member\n}\n\
                     definition doc {\n relation viewer: group#member\n relation maker: team#member\n relation home: group\n\
                     permission view = viewer + home->member\n permission make = maker\n permission both = home->both\n\
                     permission left = home->left\n}\n";

/// A relation that can hold no subject of the kind is not looked into, however it is reached.
#[test]
fn what_cannot_hold_the_subject_is_not_visited() {
    let rows = rows(&[
        "doc:d#maker@team:t#member",
        "team:t#member@robot:r",
        "doc:d#home@group:g",
        "group:g#member@team:t#member",
        "group:g#every@user:ann",
    ]);
    let visited = |member, subject| walked(KINDS, &rows, ("doc:d", member, subject), (50, 100));
    assert_eq!(visited("make", "user:ann"), (Ok(Value::No), 0));
    assert_eq!(visited("make", "robot:r"), (Ok(Value::Yes), 2));
    assert_eq!(visited("make", "team:t#member"), (Ok(Value::Yes), 1));
    assert_eq!(visited("make", "group:g#member"), (Ok(Value::No), 0));
    assert_eq!(visited("view", "team:other#member").0, Ok(Value::No));
    assert_eq!(visited("both", "team:t"), (Ok(Value::No), 0));
    assert_eq!(visited("left", "user:ann").0, Ok(Value::Yes));
    assert_eq!(visited("left", "team:t"), (Ok(Value::No), 0));
}

/// Sets that cannot hold the subject do not keep a relation from being climbed.
#[test]
fn sets_of_another_kind_do_not_keep_from_climbing() {
    let mut rows: Vec<String> = (0..1_000)
        .map(|n| format!("doc:d#viewer@group:x{n}#member"))
        .collect();
    rows.extend((0..1_000).map(|n| format!("group:x{n}#member@team:t{n}#member")));
    rows.push("group:x900#member@user:ann".to_owned());
    let (value, edges_visited) = walked(KINDS, &rows, ANN, (50, 10_000));
    assert_eq!(value, Ok(Value::Yes));
    assert!(edges_visited < 10, "{edges_visited}");
}

/// A direct relationship is looked for before anything that leads further.
#[test]
fn the_cheap_branch_comes_first() {
    let schema = "definition user {}\ndefinition folder {\n relation parent: folder\n relation viewer: user\n\
                  permission view = parent->view + viewer\n}\ndefinition doc {\n relation parent: folder\n relation viewer: user\n\
                  permission edit = parent->view & viewer\n permission view = parent->view + viewer\n}\n";
    let rows = rows(&[
        "doc:d#parent@folder:f",
        "folder:f#parent@folder:e",
        "folder:e#viewer@user:ann",
        "folder:f#viewer@user:ann",
        "doc:d#viewer@user:ann",
    ]);
    assert_eq!(walked(schema, &rows, ANN, (50, 100)), (Ok(Value::Yes), 1));
    let bob = ("doc:d", "edit", "user:bob");
    assert_eq!(walked(schema, &rows, bob, (50, 100)), (Ok(Value::No), 0));
}

/// Folders in folders by way of two permissions: a circle of both is met as one of a single permission is.
#[test]
fn a_circle_of_two_permissions_is_walked() {
    let schema = "definition user {}\ndefinition doc {\n relation parent: doc\n relation viewer: user\n\
                  permission view = viewer + above\n permission above = parent->view\n}\n";
    let rows = rows(&["doc:d#parent@doc:e", "doc:e#parent@doc:d"]);
    assert_eq!(walked(schema, &rows, ANN, (50, 100)), (Ok(Value::No), 2));
}

/// Only what can come back to itself is remembered: to look at a few relationships again takes less.
#[test]
fn what_leads_to_nothing_of_its_kind_is_not_remembered() {
    let schema = "definition user {}\ndefinition folder {\n relation viewer: user\n}\ndefinition doc {\n relation near: folder\n\
                  relation far: folder\n permission view = near->viewer & far->viewer\n}\n";
    let rows = rows(&[
        "doc:d#near@folder:f",
        "doc:d#far@folder:f",
        "folder:f#viewer@user:ann",
    ]);
    assert_eq!(walked(schema, &rows, ANN, (50, 100)), (Ok(Value::Yes), 4));
}

/// Who can only have one of two that are needed is not looked for in either.
#[test]
fn an_intersection_holds_only_what_both_sides_can() {
    let schema = "definition user {}\ndefinition robot {}\ndefinition doc {\n relation maker: robot | user\n relation owner: user\n\
                  permission view = maker & owner\n}\n";
    let rows = rows(&["doc:d#maker@robot:r", "doc:d#maker@user:ann"]);
    let robot = ("doc:d", "view", "robot:r");
    assert_eq!(walked(schema, &rows, robot, (50, 100)), (Ok(Value::No), 0));
    assert_eq!(walked(schema, &rows, ANN, (50, 100)), (Ok(Value::No), 1));
}

/// A relation costs more than none of its own, one with sets more than one without, and an arrow more than two relations.
#[test]
fn what_leads_further_comes_later() {
    let schema = "use self\ndefinition user {}\ndefinition group {\n relation member: user\n}\ndefinition folder {\n relation viewer: user\n\
                  permission itself = self\n}\ndefinition doc {\n relation team: group#member\n relation parent: folder\n\
                  relation viewer: user\n relation editor: user\n permission view = team + viewer\n\
                  permission edit = parent->viewer + (viewer & editor)\n permission own = viewer + parent->itself\n}\n";
    let rows = rows(&[
        "doc:d#team@group:g#member",
        "group:g#member@user:ann",
        "doc:d#parent@folder:e",
        "doc:d#parent@folder:f",
        "folder:f#viewer@user:ann",
        "doc:d#viewer@user:ann",
        "doc:d#editor@user:ann",
    ]);
    let visited = |member| walked(schema, &rows, ("doc:d", member, "user:ann"), (50, 100)).1;
    assert_eq!(visited("view"), 1);
    assert_eq!(visited("edit"), 2);
    assert_eq!(visited("own"), 1);
}

/// One definition with so many relations that their sets fill the last word of what a relation can hold.
#[test]
fn a_set_of_the_last_of_many_relations_is_held() {
    let mut schema = "definition user {\n".to_owned();
    for n in 0..63 {
        schema.push_str(&format!("relation rel{n}: user\n"));
    }
    schema.push_str("relation last: user | user#last\n}\n");
    let rows = rows(&["user:top#last@user:ann#last"]);
    assert_eq!(
        ask(&schema, &rows, "user:top", "last", "user:ann#last"),
        Ok(Decision::Allowed)
    );
}

/// Of a schema past that size nothing is known but what it says: everything is looked at.
#[test]
fn in_a_very_large_schema_nothing_is_denied_at_once() {
    let mut schema = "definition user {}\ndefinition robot {}\ndefinition doc {\n relation maker: robot\n relation team: doc#maker\n\
                      permission view = team\n"
        .to_owned();
    for n in 0..8_200 {
        schema.push_str(&format!("relation rel{n}: robot\n"));
    }
    schema.push_str("}\n");
    let rows = rows(&["doc:d#team@doc:e#maker"]);
    assert_eq!(walked(&schema, &rows, ANN, (50, 100)), (Ok(Value::No), 1));
}
