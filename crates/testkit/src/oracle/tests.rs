//! Heights, circles, errors and conditions, each on a schema of its own.

use model::{Decision, Limits};

use super::*;

/// Asks `resource#member@subject`, perhaps ` with {json}`, of rows in their text form.
fn ask(schema: &str, rows: &[&str], question: &str, depth_max: u16) -> String {
    let schema = Schema::compile(schema).unwrap();
    let rows: Vec<Relationship> = rows.iter().map(|row| row.parse().unwrap()).collect();
    let (asked, context) = question.split_once(" with ").unwrap_or((question, "{}"));
    let (member, subject) = asked.split_once('@').unwrap();
    let (resource, member) = member.split_once('#').unwrap();
    let question = Question {
        resource: resource.parse().unwrap(),
        member: member.parse().unwrap(),
        subject: subject.parse().unwrap(),
        context: Context::from_json(context).unwrap(),
        now: "2030-01-01T00:00:00Z".parse().unwrap(),
    };
    match check(&schema, &rows, &question, depth_max) {
        Ok(Decision::Allowed) => "allowed".to_owned(),
        Ok(Decision::Denied) => "denied".to_owned(),
        Ok(Decision::Conditional { missing }) => format!("needs {}", missing.join(", ")),
        Err(OracleError::DepthExceeded) => "depth exceeded".to_owned(),
        Err(OracleError::CyclicExclusion) => "cyclic exclusion".to_owned(),
        Err(OracleError::Caveat(_)) => "caveat error".to_owned(),
    }
}

/// The least depth limit under which the question is not too deep.
fn height(schema: &str, rows: &[&str], question: &str) -> u16 {
    (0..200)
        .find(|depth_max| ask(schema, rows, question, *depth_max) != "depth exceeded")
        .unwrap()
}

fn answer(schema: &str, rows: &[&str], question: &str) -> String {
    ask(schema, rows, question, Limits::default().depth_max)
}

const GROUPS: &str = "
caveat on_day(day string) { day == \"friday\" }
caveat switched_on(flag bool) { flag }
definition user {}
definition group {
    relation member: user | user with on_day | user with switched_on | group#member | group#member with on_day
    relation banned: user | user with switched_on | group#member
    permission active = member - banned
    permission both = member & banned
    permission direct = member
}
";

#[test]
fn a_row_is_one_deep_and_each_node_one_more() {
    let rows = [
        "group:one#member@user:ann",
        "group:two#member@group:one#member",
    ];
    assert_eq!(height(GROUPS, &rows, "group:one#member@user:ann"), 1);
    assert_eq!(height(GROUPS, &rows, "group:two#member@user:ann"), 2);
    assert_eq!(height(GROUPS, &rows, "group:two#direct@user:ann"), 3);
    // The set itself is a node that rests on nothing.
    assert_eq!(
        height(GROUPS, &rows, "group:one#member@group:one#member"),
        1
    );
    assert_eq!(
        height(GROUPS, &rows, "group:two#member@group:one#member"),
        2
    );
    // A no rests on nothing.
    assert_eq!(height(GROUPS, &rows, "group:two#direct@user:bob"), 0);
}

#[test]
fn an_arrow_counts_the_node_that_it_leads_to() {
    let schema = "
use self
definition user { permission own = self; }
definition folder {
    relation parent: folder
    relation viewer: user
    permission view = viewer + parent->view
    permission author = viewer->own
    permission all_author = viewer.all(own)
}
";
    let rows = [
        "folder:one#viewer@user:ann",
        "folder:two#parent@folder:one",
        "folder:six#parent@folder:two",
    ];
    assert_eq!(height(schema, &rows, "folder:one#view@user:ann"), 2);
    assert_eq!(height(schema, &rows, "folder:six#view@user:ann"), 4);
    assert_eq!(height(schema, &rows, "folder:one#author@user:ann"), 2);
    assert_eq!(height(schema, &rows, "folder:one#all_author@user:ann"), 2);
}

#[test]
fn a_yes_is_as_deep_as_its_shortest_way_and_an_intersection_as_its_longest() {
    let rows = [
        "group:one#member@user:ann",
        "group:two#member@group:one#member",
        "group:six#member@group:two#member",
        "group:six#member@user:ann",
        "group:ten#member@group:two#member",
        "group:ten#banned@user:ann",
    ];
    assert_eq!(height(GROUPS, &rows, "group:six#member@user:ann"), 1);
    assert_eq!(height(GROUPS, &rows, "group:ten#both@user:ann"), 4);
}

#[test]
fn a_conditional_is_as_deep_as_its_deepest_condition() {
    let rows = [
        "group:one#member@user:ann[on_day]",
        "group:two#member@group:one#member",
        "group:six#member@group:two#member",
        "group:six#member@user:ann[switched_on]",
        "group:ten#member@user:ann",
        "group:ten#banned@group:six#member",
    ];
    let question = "group:six#member@user:ann";
    assert_eq!(answer(GROUPS, &rows, question), "needs day, flag");
    assert_eq!(height(GROUPS, &rows, question), 3);
    // One branch decides as soon as its value is given.
    let given = "group:six#member@user:ann with {\"flag\":true}";
    assert_eq!(answer(GROUPS, &rows, given), "allowed");
    assert_eq!(height(GROUPS, &rows, given), 1);
    // The right side of an exclusion counts if it is a condition.
    let excluded = "group:ten#active@user:ann";
    assert_eq!(answer(GROUPS, &rows, excluded), "needs day, flag");
    assert_eq!(height(GROUPS, &rows, excluded), 5);
}

#[test]
fn a_circle_counts_as_one_node() {
    let rows = [
        "group:one#member@group:two#member",
        "group:two#member@group:one#member",
        "group:one#member@user:ann[on_day]",
        "group:six#member@group:two#member",
    ];
    for question in ["group:one#member@user:ann", "group:two#member@user:ann"] {
        assert_eq!(answer(GROUPS, &rows, question), "needs day");
        assert_eq!(height(GROUPS, &rows, question), 1);
    }
    assert_eq!(height(GROUPS, &rows, "group:six#member@user:ann"), 2);
    let yes = "group:six#member@user:ann with {\"day\":\"friday\"}";
    assert_eq!(answer(GROUPS, &rows, yes), "allowed");
    assert_eq!(height(GROUPS, &rows, yes), 3);
}

#[test]
fn an_error_is_never_a_depth_error() {
    let schema = "
caveat ratio(amount int, divisor int) { amount / divisor > 1 }
definition user {}
definition group {
    relation member: user with ratio | group#member
}
";
    let rows = [
        "group:one#member@user:ann[ratio:{\"amount\":1,\"divisor\":0}]",
        "group:two#member@group:one#member",
    ];
    assert_eq!(
        ask(schema, &rows, "group:two#member@user:ann", 0),
        "caveat error"
    );
}

#[test]
fn the_least_of_several_errors_is_told() {
    let schema = "
caveat ratio(amount int, divisor int) { amount / divisor > 1 }
definition user {}
definition folder {
    relation parent: folder
    relation viewer: user | user with ratio
    permission loop = viewer - parent->loop
    permission failing = viewer
    permission view = failing + parent->loop
}
";
    let rows = [
        "folder:bad#viewer@user:ann[ratio:{\"amount\":1,\"divisor\":0}]",
        "folder:bad#parent@folder:loop",
        "folder:loop#parent@folder:loop",
        "folder:loop#viewer@user:ann",
    ];
    assert_eq!(
        answer(schema, &rows, "folder:bad#failing@user:ann"),
        "caveat error"
    );
    assert_eq!(
        answer(schema, &rows, "folder:bad#view@user:ann"),
        "cyclic exclusion"
    );
}

#[test]
fn a_condition_may_decide_a_cycle_through_an_exclusion() {
    let schema = "
caveat switched_on(flag bool) { flag }
definition user {}
definition folder {
    relation parent: folder
    relation viewer: user with switched_on
    permission view = viewer - parent->view
}
";
    let rows = [
        "folder:loop#parent@folder:loop",
        "folder:loop#viewer@user:ann[switched_on]",
    ];
    let asked = |context: &str| {
        answer(
            schema,
            &rows,
            &format!("folder:loop#view@user:ann{context}"),
        )
    };
    assert_eq!(asked(" with {\"flag\":false}"), "denied");
    assert_eq!(asked(" with {\"flag\":true}"), "cyclic exclusion");
    assert_eq!(asked(""), "cyclic exclusion");
}

#[test]
fn what_the_schema_lacks_grants_nothing() {
    let rows = ["group:one#member@user:ann"];
    for question in [
        "group:one#unknown@user:ann",
        "nothing:one#member@user:ann",
        "group:one#member@nobody:ann",
        "group:one#member@group:one#unknown",
    ] {
        assert_eq!(answer(GROUPS, &rows, question), "denied");
    }
}
