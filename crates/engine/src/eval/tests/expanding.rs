//! Trees of who has a permission: their shapes, their limits, and what they come to.

use super::*;
use crate::eval::{ExpandError, SetOperation, Tree, TreeContent, TreeLimits, expand};

const LIMITS: TreeLimits = TreeLimits {
    levels_max: 60,
    bytes_max: 1 << 20,
};

const SCHEMA: &str = "use expiration\nuse self\ncaveat num(xx int) {\n xx == 1\n}\ndefinition user {}\n\
    definition group {\n relation member: user | group#member\n relation manager: user\n permission all = member + manager\n}\n\
    definition folder {\n relation viewer: user\n permission view = viewer\n}\n\
    definition org {\n relation admin: user\n}\n\
    definition doc {\n relation aaa: user | user:* | group#member | user with num\n relation bbb: user\n \
    relation ccc: user with expiration\n relation parent: folder | org | doc\n relation groups: group#member | group\n \
    permission one = aaa\n permission union = aaa + (bbb + ccc)\n permission both = (aaa & bbb) & ccc\n \
    permission less = aaa - bbb - ccc\n permission least = aaa - (bbb - ccc)\n permission mixed = (aaa & bbb) - (bbb + ccc)\n \
    permission sub = union + bbb\n permission nobody = nil\n permission itself = self + aaa\n \
    permission admins = parent->admin\n permission each = parent.all(view)\n permission grouped = groups->all\n \
    permission view = one + parent->view\n permission circle = aaa - parent->circle\n}\n";

const ROWS: [&str; 19] = [
    "doc:1#aaa@user:z",
    "doc:1#aaa@user:b",
    "doc:1#aaa@user:*",
    "doc:1#aaa@group:g#member",
    "doc:1#aaa@user:cav[num]",
    "doc:1#bbb@user:b",
    "doc:1#ccc@user:b[expiration:2100-01-01T00:00:00Z]",
    "doc:1#ccc@user:gone[expiration:2020-01-01T00:00:00Z]",
    "group:g#member@user:q",
    "group:g#manager@user:m",
    "doc:1#parent@org:o",
    "doc:1#parent@folder:f",
    "doc:1#parent@doc:2",
    "folder:f#viewer@user:fv",
    "org:o#admin@user:oa",
    "doc:2#aaa@user:d2",
    "doc:2#parent@doc:1",
    "doc:1#groups@group:g#member",
    "doc:1#groups@group:g",
];

fn write(tree: &Tree, level: usize, text: &mut String) {
    let operation = match &tree.content {
        TreeContent::Leaf(subjects) => {
            let subjects: Vec<String> = subjects.iter().map(ToString::to_string).collect();
            subjects.join(" ")
        }
        TreeContent::Operation(operation, _) => format!("{operation:?}"),
    };
    let what = format!("{}#{}: {operation}", tree.object, tree.member);
    text.push_str(&format!("{}{}\n", "  ".repeat(level), what.trim_end()));
    if let TreeContent::Operation(_, parts) = &tree.content {
        parts.iter().for_each(|part| write(part, level + 1, text));
    }
}

fn expanded(
    snapshot: &Snapshot,
    what: &str,
    depth_max: u16,
    limits: TreeLimits,
) -> Result<Tree, ExpandError> {
    expanded_within(snapshot, what, limited(depth_max, 10_000), limits)
}

fn expanded_within(
    snapshot: &Snapshot,
    what: &str,
    environment: Environment<'_>,
    limits: TreeLimits,
) -> Result<Tree, ExpandError> {
    let environment = Environment {
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        ..environment
    };
    let (resource, member) = what.split_once('#').unwrap();
    expand(
        snapshot,
        &resource.parse().unwrap(),
        member,
        environment,
        limits,
    )
}

fn of_rows(schema: &str, rows: &[String]) -> Snapshot {
    let schema = Arc::new(Schema::compile(schema).unwrap());
    let rows: Vec<Relationship> = rows.iter().map(|row| row.parse().unwrap()).collect();
    snapshot(&schema, &rows)
}

fn told(what: &[&str]) -> String {
    let snapshot = of_rows(SCHEMA, &ROWS.map(str::to_owned));
    let mut text = String::new();
    for what in what {
        match expanded(&snapshot, what, 50, LIMITS) {
            Ok(tree) => write(&tree, 0, &mut text),
            Err(error) => text.push_str(&format!("{what}: {error}\n")),
        }
    }
    text
}

#[test]
fn operations_are_those_of_the_schema() {
    let asked = [
        "doc:1#aaa",
        "doc:1#one",
        "doc:1#union",
        "doc:1#both",
        "doc:1#less",
        "doc:1#least",
        "doc:1#mixed",
        "doc:2#sub",
        "doc:1#nobody",
        "doc:2#itself",
        "doc:9#itself",
    ];
    expect_test::expect![[r#"
        doc:1#aaa: user:* user:b user:cav user:z group:g#member
        doc:1#one: Union
          doc:1#aaa: user:* user:b user:cav user:z group:g#member
        doc:1#union: Union
          doc:1#aaa: user:* user:b user:cav user:z group:g#member
          doc:1#bbb: user:b
          doc:1#ccc: user:b
        doc:1#both: Intersection
          doc:1#aaa: user:* user:b user:cav user:z group:g#member
          doc:1#bbb: user:b
          doc:1#ccc: user:b
        doc:1#less: Exclusion
          doc:1#less: Exclusion
            doc:1#aaa: user:* user:b user:cav user:z group:g#member
            doc:1#bbb: user:b
          doc:1#ccc: user:b
        doc:1#least: Exclusion
          doc:1#aaa: user:* user:b user:cav user:z group:g#member
          doc:1#least: Exclusion
            doc:1#bbb: user:b
            doc:1#ccc: user:b
        doc:1#mixed: Exclusion
          doc:1#mixed: Intersection
            doc:1#aaa: user:* user:b user:cav user:z group:g#member
            doc:1#bbb: user:b
          doc:1#mixed: Union
            doc:1#bbb: user:b
            doc:1#ccc: user:b
        doc:2#sub: Union
          doc:2#union: Union
            doc:2#aaa: user:d2
            doc:2#bbb:
            doc:2#ccc:
          doc:2#bbb:
        doc:1#nobody: Union
          doc:1#nobody:
        doc:2#itself: Union
          doc:2#itself: doc:2
          doc:2#aaa: user:d2
        doc:9#itself: Union
          doc:9#itself: doc:9
          doc:9#aaa:
    "#]]
    .assert_eq(&told(&asked));
}

#[test]
fn an_arrow_is_an_operation_over_the_objects_that_it_reaches() {
    let asked = [
        "doc:1#admins",
        "doc:1#each",
        "doc:9#each",
        "doc:9#admins",
        "doc:1#grouped",
        "doc:1#view",
    ];
    expect_test::expect![[r#"
        doc:1#admins: Union
          doc:1#admins: Union
            doc:1#admins:
            doc:1#admins:
            org:o#admin: user:oa
        doc:1#each: Union
          doc:1#each: Intersection
            doc:2#view: Union
              doc:2#one: Union
                doc:2#aaa: user:d2
              doc:2#view: Union
                doc:1#view: Union
                  doc:1#one: Union
                    doc:1#aaa: user:* user:b user:cav user:z group:g#member
                  doc:1#view: Union
                    doc:2#view:
                    folder:f#view: Union
                      folder:f#viewer: user:fv
                    doc:1#view:
            folder:f#view: Union
              folder:f#viewer: user:fv
            doc:1#each:
        doc:9#each: Union
          doc:9#each: Intersection
            doc:9#each:
        doc:9#admins: Union
          doc:9#admins: Union
        doc:1#grouped: Union
          doc:1#grouped: Union
            group:g#all: Union
              group:g#member: user:q
              group:g#manager: user:m
            group:g#all: Union
              group:g#member: user:q
              group:g#manager: user:m
        doc:1#view: Union
          doc:1#one: Union
            doc:1#aaa: user:* user:b user:cav user:z group:g#member
          doc:1#view: Union
            doc:2#view: Union
              doc:2#one: Union
                doc:2#aaa: user:d2
              doc:2#view: Union
                doc:1#view:
            folder:f#view: Union
              folder:f#viewer: user:fv
            doc:1#view:
    "#]]
    .assert_eq(&told(&asked));
}

#[test]
fn what_cannot_be_told_rightly_is_refused() {
    let asked = ["doc:1#circle", "doc:1#nothing", "nothing:1#view"];
    expect_test::expect![[r#"
        doc:1#circle: cyclic exclusion: the relationships make a permission depend on its own absence
        doc:1#nothing: relation/permission `nothing` not found under definition `doc`
        nothing:1#view: object definition `nothing` not found
    "#]].assert_eq(&told(&asked));
}

#[test]
fn every_limit_has_its_error() {
    let rows: Vec<String> = (0..30)
        .map(|n| format!("doc:{n}#parent@doc:{}", n + 1))
        .collect();
    let snapshot = of_rows(SCHEMA, &rows);
    let asked = |depth_max, limits| expanded(&snapshot, "doc:0#view", depth_max, limits);
    // Each document takes two levels, and its `one` and `aaa` two more.
    let levels = |levels_max| TreeLimits {
        levels_max,
        ..LIMITS
    };
    assert!(asked(50, levels(63)).is_ok());
    assert_eq!(
        asked(50, levels(62)),
        Err(ExpandError::TooManyLevels { levels_max: 62 })
    );
    assert!(asked(33, levels(63)).is_ok());
    let depth_max = 32;
    assert_eq!(
        asked(depth_max, levels(63)),
        Err(EvalError::DepthExceeded { depth_max }.into())
    );
    let small = TreeLimits {
        bytes_max: 1_000,
        ..levels(63)
    };
    assert_eq!(
        asked(50, small),
        Err(ExpandError::TooLarge { bytes_max: 1_000 })
    );
}

/// The last relationship, the last byte and the last level within the limits count.
#[test]
fn a_tree_may_take_all_of_its_limits() {
    let snapshot = of_rows(SCHEMA, &ROWS.map(str::to_owned));
    let within = |edges_visited_max| {
        let environment = limited(50, edges_visited_max);
        expanded_within(&snapshot, "doc:1#aaa", environment, LIMITS).is_ok()
    };
    assert_eq!([within(4), within(5)], [false, true]);
    let names = |names: &[&str]| names.iter().map(|name| name.len()).sum::<usize>();
    // What a node and each of its two subjects take besides their names.
    let bytes = (24 + names(&["doc", "1", "groups"]))
        + (16 + names(&["group", "g", "member"]))
        + (16 + names(&["group", "g"]));
    let within = |bytes_max| {
        let limits = TreeLimits {
            bytes_max,
            ..LIMITS
        };
        expanded(&snapshot, "doc:1#groups", 50, limits).is_ok()
    };
    assert_eq!([within(bytes - 1), within(bytes)], [false, true]);
    // A permission of nothing is a level all the same.
    let within = |depth_max| expanded(&snapshot, "doc:1#nobody", depth_max, LIMITS).is_ok();
    assert_eq!([within(0), within(1)], [false, true]);
}

/// A circle beside an exclusion is no circle through it.
#[test]
fn a_circle_after_an_exclusion_is_told() {
    let schema = "definition user {}\ndefinition doc {\n relation parent: doc\n relation viewer: user\n relation banned: user\n\
                  permission view = (viewer - banned) + parent->view\n}\n";
    let snapshot = of_rows(schema, &rows(&["doc:1#parent@doc:2", "doc:2#parent@doc:1"]));
    let tree = expanded(&snapshot, "doc:1#view", 50, LIMITS);
    assert!(tree.is_ok(), "{tree:?}");
}

/// Without limits this would be a tree of 2^40 leaves.
#[test]
fn what_is_reached_in_many_ways_stays_bounded() {
    let rows: Vec<String> = (0..40)
        .flat_map(|n| {
            ["a", "b"].into_iter().flat_map(move |here| {
                ["a", "b"].map(|there| format!("doc:{here}{n}#parent@doc:{there}{}", n + 1))
            })
        })
        .collect();
    let snapshot = of_rows(SCHEMA, &rows);
    let limits = TreeLimits {
        levels_max: 90,
        bytes_max: 100_000_000,
    };
    assert_eq!(
        expanded(&snapshot, "doc:a0#view", 50, limits),
        Err(EvalError::WorkExceeded {
            edges_visited_max: 10_000
        }
        .into())
    );
}

/// Whether the subject of `question` is in the set that a tree comes to; subject sets are left to the naive evaluator.
fn holds(tree: &Tree, schema: &Schema, rows: &[Relationship], question: &Question) -> bool {
    let subject = &question.subject;
    let itself = SubjectRef {
        relation: Some(tree.member.clone()),
        ..tree.object.clone().into()
    };
    if *subject == itself {
        return true;
    }
    match &tree.content {
        TreeContent::Leaf(subjects) => subjects.iter().any(|held| {
            let is_all = held.id == model::SubjectId::Wildcard
                && held.definition == subject.definition
                && subject.relation.is_none();
            let (Some(member), model::SubjectId::Object(id)) = (&held.relation, &held.id) else {
                return is_all || held == subject;
            };
            let set = Question {
                resource: ObjectRef {
                    definition: held.definition.clone(),
                    id: id.clone(),
                },
                member: member.clone(),
                ..question.clone()
            };
            oracle::check(schema, rows, &set, 1_000) == Ok(Decision::Allowed)
        }),
        TreeContent::Operation(operation, parts) => {
            let mut parts = parts.iter().map(|part| holds(part, schema, rows, question));
            match operation {
                SetOperation::Union => parts.any(|held| held),
                SetOperation::Intersection => {
                    assert!(parts.len() > 0, "an intersection of nothing");
                    parts.all(|held| held)
                }
                SetOperation::Exclusion => parts.next().unwrap() && !parts.any(|held| held),
            }
        }
    }
}

/// With every caveat out of the way, a tree comes to those whom a check allows.
#[test]
fn a_tree_comes_to_what_a_check_allows() {
    let (mut compared, mut refused) = (0, 0);
    for seed in 0..600 {
        let case = testkit::case(seed);
        let schema = Arc::new(Schema::compile(&case.schema_text).unwrap());
        let rows: Vec<Relationship> = case
            .relationships
            .into_iter()
            .map(|row| Relationship {
                caveat: None,
                ..row
            })
            .collect();
        let snapshot = snapshot(&schema, &rows);
        for question in &case.questions {
            let right = oracle::check(&schema, &rows, question, 1_000);
            let tree = expand(
                &snapshot,
                &question.resource,
                question.member.as_str(),
                environment(question, 1_000),
                TreeLimits {
                    levels_max: 1_000,
                    ..LIMITS
                },
            );
            match (right, tree) {
                (Ok(decision), Ok(tree)) => {
                    compared += 1;
                    let held = holds(&tree, &schema, &rows, question);
                    assert_eq!(
                        held,
                        decision == Decision::Allowed,
                        "seed {seed}: {question}"
                    );
                }
                // A circle through an exclusion need not matter to one subject.
                (_, Err(ExpandError::Evaluation(EvalError::CyclicExclusion))) => refused += 1,
                (_, Err(ExpandError::TooLarge { .. })) => {}
                (_, Err(error)) => panic!("seed {seed}: {question}: {error}"),
                (Err(_), Ok(_)) => {}
            }
        }
    }
    assert!(compared > 2_000 && refused > 10, "{compared}, {refused}");
}
