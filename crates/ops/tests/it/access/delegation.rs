//! Nobody gives more than they hold: on random sequences of gifts, each is held to what its giver had.

use std::collections::BTreeSet;

use identity::Caller;
use model::{Decision, Timestamp};
use ops::access::{Action, Scope};
use ops::check::{self, Question};
use ops::{Consistency, Kind, Node};
use testkit::rng::Rng;

use super::{NAMES, caller, change, enforced};
use crate::running::{Running, caller as anybody};

/// A right until some instant: the callers' own instants, in seconds; none without an end.
pub(super) type Right = (String, String, Option<i64>);

pub(super) const SCOPES: [&str; 5] = [
    "remit/system:main",
    "remit/type:doc",
    "remit/type:folder",
    "remit/type_member:doc/viewer",
    "remit/user:eve",
];
const GROUPS: [&str; 2] = ["eng", "ops"];
/// When rights end, in seconds; now is second 1.
const ENDS: [i64; 2] = [100, 1_000];

/// All that a caller may do, and how long: at each instant before an end, and for ever.
pub(super) async fn rights(running: &Running, name: &str) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    let instants = ENDS.iter().map(|end| Some(*end)).chain([None]);
    for instant in instants {
        for object in SCOPES {
            let scope = object.split_once(':').unwrap().0;
            let scope = Scope::ALL
                .into_iter()
                .find(|each| each.definition() == scope)
                .unwrap();
            for action in scope.actions() {
                if held(&running.node, object, action.permission(), name, instant).await {
                    rights.insert((object.to_owned(), action.permission().to_owned(), instant));
                }
            }
        }
        for relation in ["administrator"] {
            if held(&running.node, "remit/system:main", relation, name, instant).await {
                rights.insert(("remit/system:main".to_owned(), relation.to_owned(), instant));
            }
        }
    }
    rights
}

/// By the engine alone, on the relationships as they are at that instant.
async fn held(node: &Node, object: &str, permission: &str, name: &str, until: Option<i64>) -> bool {
    let question = Question {
        resource: object.parse().unwrap(),
        permission: permission.to_owned(),
        subject: format!("remit/key:{name}").parse().unwrap(),
        context: model::Context::default(),
    };
    let query = engine::eval::Query::resolve(
        &node.snapshot(),
        &question.resource,
        permission,
        &question.subject,
    );
    let environment = engine::eval::Environment {
        context: &question.context,
        now: until.map_or(Timestamp::MAX, |end| {
            Timestamp::from_micros(end * 1_000_000 - 1).unwrap()
        }),
        depth_max: 50,
        edges_visited_max: 1_000_000,
    };
    engine::eval::check(&node.snapshot(), &query.unwrap(), environment).unwrap()
        == Decision::Allowed
}

/// What a right on one scope is worth: a right on the system is one on all that lies below.
pub(super) fn covers(held: &BTreeSet<Right>, wanted: &Right) -> bool {
    let (object, permission, until) = wanted;
    let wider = match object.as_str() {
        "remit/type_member:doc/viewer" => {
            vec![object.as_str(), "remit/type:doc", "remit/system:main"]
        }
        "remit/system:main" => vec![object.as_str()],
        _ => vec![object.as_str(), "remit/system:main"],
    };
    wider
        .into_iter()
        .any(|object| held.contains(&(object.to_owned(), permission.clone(), *until)))
}

pub(super) fn draw(rng: &mut Rng) -> String {
    let who = match rng.below(3) {
        0 => format!("remit/group:{}#member", rng.pick(&GROUPS)),
        _ => format!("remit/key:{}", rng.pick(&NAMES[1..])),
    };
    let end = match rng.below(3) {
        0 => format!("[expiration:{}]", stamp(*rng.pick(&ENDS))),
        _ => String::new(),
    };
    let what = match rng.below(5) {
        0 => {
            let relation = if rng.chance(30) { "manager" } else { "member" };
            format!("remit/group:{}#{relation}", rng.pick(&GROUPS))
        }
        1 => "remit/system:main#administrator".to_owned(),
        _ => {
            let object = *rng.pick(&SCOPES);
            let scope = object.split_once(':').unwrap().0;
            let scope = Scope::ALL
                .into_iter()
                .find(|each| each.definition() == scope)
                .unwrap();
            // Whoever may not give gives nothing.
            let role = if rng.chance(40) && scope != Scope::User {
                Action::Grant.role()
            } else {
                rng.pick(scope.actions()).role()
            };
            format!("{object}#{role}")
        }
    };
    format!("{what}@{who}{end}")
}

fn stamp(second: i64) -> String {
    seconds(second).to_string()
}

pub(super) fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_given_more_than_the_giver_holds() {
    let (mut given, mut refused) = (0, 0);
    for seed in 0..12 {
        let running = enforced().await;
        let mut callers: Vec<(String, Caller)> = Vec::new();
        for name in NAMES {
            callers.push((name.to_owned(), caller(name).await));
        }
        let mut rng = Rng::new(seed);
        for step in 0..60 {
            // At first the administrator hands things out, so that there is something to go on with.
            let giver = if step < 12 {
                0
            } else {
                rng.below(callers.len())
            };
            let (name, giver) = &callers[giver];
            let sign = if rng.chance(85) { "+" } else { "-" };
            let line = format!("{sign}{}", draw(&mut rng));
            if name == "root" && line.contains("administrator") {
                continue;
            }
            let mut before = Vec::new();
            for name in NAMES {
                before.push(rights(&running, name).await);
            }
            let own = rights(&running, name).await;
            match change(&running.node, giver, &[&line]).await {
                Ok(_) => {
                    for (other, before) in NAMES.iter().zip(before) {
                        for gained in rights(&running, other).await.difference(&before) {
                            assert!(
                                covers(&own, gained),
                                "seed {seed}: {name} made {line}, by which {other} gained {gained:?}"
                            );
                        }
                    }
                    given += usize::from(name != "root");
                }
                Err(error) => {
                    let is_due = matches!(error.kind, Kind::Forbidden | Kind::FailedPrecondition);
                    assert!(is_due, "seed {seed}: {line}: {error:?}");
                    refused += 1;
                }
            }
        }
        running.node.stop();
    }
    // Else nothing is shown.
    assert!(
        given > 30 && refused > 100,
        "{given} given, {refused} refused"
    );
}

async fn outcome(running: &Running, giver: &str, line: &str) -> Result<(), String> {
    let giver = caller(giver).await;
    let made = change(&running.node, &giver, &[line]).await;
    made.map(drop).map_err(|error| error.message)
}

#[tokio::test(flavor = "multi_thread")]
async fn gifts_are_as_wide_and_as_long_as_what_is_held() {
    let running = enforced().await;
    let of_root = [
        "+remit/type:doc#granter@remit/key:ann",
        "+remit/type:doc#checker@remit/key:ann[expiration:1970-01-01T00:01:00Z]",
        "+remit/group:eng#manager@remit/key:ann",
        "+remit/type:folder#reader@remit/group:eng#member",
    ];
    let root = caller("root").await;
    change(&running.node, &root, &of_root).await.unwrap();
    for (line, may) in [
        (
            "+remit/type:doc#checker@remit/key:bob[expiration:1970-01-01T00:01:00Z]",
            true,
        ),
        (
            "+remit/type:doc#checker@remit/key:bob[expiration:1970-01-01T00:00:30Z]",
            true,
        ),
        (
            "+remit/type:doc#checker@remit/key:bob[expiration:1970-01-01T00:01:01Z]",
            false,
        ),
        ("+remit/type:doc#checker@remit/key:bob", false),
        (
            "+remit/type_member:doc/viewer#checker@remit/key:bob[expiration:1970-01-01T00:00:30Z]",
            true,
        ),
        (
            "+remit/system:main#checker@remit/key:bob[expiration:1970-01-01T00:00:30Z]",
            false,
        ),
        ("+remit/type:folder#checker@remit/key:bob", false),
        ("+remit/type:doc#writer@remit/key:bob", false),
        ("+remit/type:doc#granter@remit/key:bob", true),
        ("+remit/system:main#administrator@remit/key:ann", false),
        // To be in a group is to have what the group has.
        ("+remit/group:eng#member@remit/key:ann", false),
        ("+remit/group:eng#manager@remit/key:ann", false),
        ("-remit/group:eng#member@remit/key:bob", true),
        // Whoever may give may take away.
        ("-remit/type:doc#granter@remit/key:bob", true),
        ("-remit/type:folder#reader@remit/group:eng#member", false),
    ] {
        let told = outcome(&running, "ann", line).await;
        assert_eq!(told.is_ok(), may, "{line}: {told:?}");
    }
    let more = "+remit/type:folder#reader@remit/key:ann";
    outcome(&running, "root", more).await.unwrap();
    let member = "+remit/group:eng#member@remit/key:bob";
    outcome(&running, "ann", member).await.unwrap();
    // The other ways to write are held to the same.
    let bob = caller("bob").await;
    let mut import = ops::bulk::Import::default();
    let row = "remit/system:main#administrator@remit/key:bob"
        .parse()
        .unwrap();
    import.add(&running.node, [row]).unwrap();
    assert!(import.commit(&running.node, &bob).await.is_err());
    let asked = Question {
        resource: "remit/type:folder".parse().unwrap(),
        permission: "read".to_owned(),
        subject: "remit/key:bob".parse().unwrap(),
        context: model::Context::default(),
    };
    let newest = Consistency::MinimizeLatency;
    let answered = check::check(&running.node, &anybody(), newest, &asked).await;
    assert_eq!(answered.unwrap().answer, Decision::Allowed);
    running.node.stop();
}

/// What a group has by the groups that it is in, its members have as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_made_by_whoever_holds_what_comes_from_groups_far_away() {
    let running = enforced().await;
    let root = caller("root").await;
    let of_root = [
        "+remit/group:eng#manager@remit/key:ann",
        "+remit/group:core#member@remit/group:eng#member",
        "+remit/group:all#member@remit/group:core#member",
        "+remit/type:folder#reader@remit/group:all#member",
        "+remit/group:ops#manager@remit/group:all#member",
    ];
    change(&running.node, &root, &of_root).await.unwrap();
    let member = "+remit/group:eng#member@remit/key:bob";
    assert!(outcome(&running, "ann", member).await.is_err());
    let reader = "+remit/type:folder#reader@remit/key:ann";
    outcome(&running, "root", reader).await.unwrap();
    // To manage a group is something to have, too.
    assert!(outcome(&running, "ann", member).await.is_err());
    let manager = "+remit/group:ops#manager@remit/key:ann";
    outcome(&running, "root", manager).await.unwrap();
    outcome(&running, "ann", member).await.unwrap();
    running.node.stop();
}

/// Who looks after the members of a group does not take the system from those who administer it by the group.
#[tokio::test(flavor = "multi_thread")]
async fn administrators_are_unmade_by_their_like() {
    let running = enforced().await;
    let root = caller("root").await;
    let of_root = [
        "+remit/system:main#administrator@remit/group:ops#member",
        "+remit/group:ops#member@remit/key:cat",
        "+remit/group:ops#manager@remit/key:ann[expiration:1970-01-01T00:01:00Z]",
        "+remit/system:main#granter@remit/key:bob",
        "+remit/group:eng#manager@remit/key:ann[expiration:1970-01-01T00:01:00Z]",
        "+remit/group:eng#member@remit/key:dan",
    ];
    change(&running.node, &root, &of_root).await.unwrap();
    for (giver, line, may) in [
        ("ann", "-remit/group:ops#member@remit/key:cat", false),
        ("bob", "-remit/group:ops#member@remit/key:cat", false),
        (
            "bob",
            "-remit/system:main#administrator@remit/group:ops#member",
            false,
        ),
        ("cat", "-remit/group:ops#member@remit/key:cat", true),
        ("ann", "-remit/group:eng#member@remit/key:dan", true),
        ("root", "+remit/group:eng#member@remit/key:dan", true),
    ] {
        let told = outcome(&running, giver, line).await;
        assert_eq!(told.is_ok(), may, "{giver}: {line}: {told:?}");
    }
    // A right that has run out takes nothing away, by an end in the past either.
    running.advance(70);
    let past = "+remit/group:eng#member@remit/key:dan[expiration:1970-01-01T00:00:30Z]";
    assert!(outcome(&running, "ann", past).await.is_err());
    running.node.stop();
}
