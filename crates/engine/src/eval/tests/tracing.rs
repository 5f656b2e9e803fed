//! Traces of decisions: that they tell the truth at every node, and how they look.

use super::*;
use crate::eval::{ConditionResult, TraceNode, TreeLimits, trace};

const LIMITS: TreeLimits = TreeLimits {
    levels_max: 100,
    bytes_max: 4 << 20,
};

/// What is wrong with a node or one below it, if anything.
fn node_fault(
    node: &TraceNode,
    schema: &Schema,
    rows: &[Relationship],
    asked: &Question,
    depth_max: u16,
) -> Option<String> {
    let question = Question {
        resource: node.object.clone(),
        member: node.member.clone(),
        ..asked.clone()
    };
    let right = by_oracle(schema, rows, &question, depth_max);
    if node.decision.clone().map_err(tell) != right {
        return Some(format!(
            "{question}: {:?} instead of {right:?}",
            node.decision
        ));
    }
    let result = node.condition.as_ref().map(|condition| &condition.result);
    let fits = match (result, &right) {
        (None, right) => !matches!(right, Ok(Decision::Conditional { .. })),
        (Some(ConditionResult::Missing(told)), right) => {
            matches!(right, Ok(Decision::Conditional { missing }) if told == missing)
        }
        (Some(ConditionResult::True), right) => *right == Ok(Decision::Allowed),
        (Some(ConditionResult::False), right) => *right == Ok(Decision::Denied),
        (Some(ConditionResult::Failed), right) => right.is_err(),
    };
    if !fits {
        return Some(format!("{question}: condition {:?}", node.condition));
    }
    if node.is_repeated && !node.below.is_empty() {
        return Some(format!("{question}: told of twice"));
    }
    let mut below = node.below.iter();
    below.find_map(|node| node_fault(node, schema, rows, asked, depth_max))
}

fn trace_of(
    snapshot: &Snapshot,
    question: &Question,
    depth_max: u16,
    limits: TreeLimits,
) -> crate::eval::Trace {
    let (resource, subject) = (&question.resource, &question.subject);
    let query = Query::resolve(snapshot, resource, question.member.as_str(), subject).unwrap();
    let environment = environment(question, depth_max);
    trace(snapshot, &query, (resource, subject), environment, limits)
}

fn numbers(node: &TraceNode, found: &mut Vec<u32>) {
    found.push(node.number);
    node.below.iter().for_each(|below| numbers(below, found));
}

#[test]
fn every_node_agrees_with_a_check_of_it() {
    let mut nodes = 0;
    for seed in 0..600 {
        let case = testkit::case(seed);
        let schema = Arc::new(Schema::compile(&case.schema_text).unwrap());
        let snapshot = snapshot(&schema, &case.relationships);
        for question in &case.questions {
            let told = trace_of(&snapshot, question, case.depth_max, LIMITS);
            let checked = by_engine(&snapshot, question, case.depth_max);
            assert_eq!(told.decision.clone().map_err(tell), checked);
            assert_eq!(told.root.decision, told.decision);
            let rows = &case.relationships;
            let fault = node_fault(&told.root, &schema, rows, question, case.depth_max);
            assert_eq!(fault, None, "seed {seed}: {question}");
            let mut all = Vec::new();
            numbers(&told.root, &mut all);
            nodes += all.len();
        }
    }
    assert!(nodes > 5_000, "{nodes}");
}

const SCHEMA: &str = "use expiration\ncaveat on_day(allowed list<string>, day string) {\n day in allowed\n}\n\
    caveat num(xx int) {\n 6 / xx == 3\n}\ndefinition user {}\n\
    definition group {\n relation member: user | group#member with num | user with num\n}\n\
    definition folder {\n relation viewer: user\n}\n\
    definition doc {\n relation viewer: user with on_day | group#member with num | user with expiration\n \
    relation editor: user with on_day | user\n relation banned: user with on_day\n relation parent: folder\n \
    permission edit = editor\n permission view = viewer + edit + parent->viewer - banned\n permission both = viewer & edit\n \
    permission all = parent.all(viewer)\n}\n";

const ROWS: [&str; 13] = [
    r#"doc:d#viewer@user:ann[on_day:{"allowed":["fri"]}]"#,
    r#"doc:d#editor@user:ann[on_day:{"allowed":["sat"]}]"#,
    r#"doc:d#banned@user:ann[on_day:{"allowed":["mon","fri"]}]"#,
    "doc:d#viewer@user:bob[expiration:2100-01-01T00:00:00Z]",
    "doc:d#viewer@group:g#member[num]",
    "group:g#member@group:h#member[num]",
    "group:h#member@user:cat[num]",
    "group:h#member@user:dan",
    "group:h#member@group:g#member[num]",
    "doc:d#parent@folder:f",
    "doc:d#parent@folder:e",
    "folder:f#viewer@user:eve",
    "doc:d#editor@user:fay",
];

fn write(node: &TraceNode, level: usize, text: &mut String) {
    let kind = if node.is_permission {
        "permission"
    } else {
        "relation"
    };
    let decision = match &node.decision {
        Ok(decision) => format!("{decision:?}"),
        Err(error) => error.to_string(),
    };
    let indent = "  ".repeat(level);
    let (object, member) = (&node.object, &node.member);
    text.push_str(&format!("{indent}{kind} {object}#{member}: {decision}"));
    if let Some(condition) = &node.condition {
        let caveat = condition.caveat.as_ref().map_or("-", |name| name.as_str());
        let (expression, context) = (&condition.expression, condition.context.to_json());
        let result = &condition.result;
        text.push_str(&format!(
            " [{caveat}: {expression} with {context} is {result:?}]"
        ));
    }
    if let Some(at) = node.expires_at {
        text.push_str(&format!(" until {at}"));
    }
    for (is, word) in [(node.is_repeated, " (repeated)"), (node.is_cut, " (cut)")] {
        text.push_str(if is { word } else { "" });
    }
    text.push('\n');
    node.below
        .iter()
        .for_each(|node| write(node, level + 1, text));
}

fn told(asked: &str, context: &str, limits: TreeLimits) -> String {
    let told = trace_of_rows(&ROWS, asked, context, limits);
    let mut text = String::new();
    write(&told.root, 0, &mut text);
    text
}

fn trace_of_rows(
    rows: &[&str],
    asked: &str,
    context: &str,
    limits: TreeLimits,
) -> crate::eval::Trace {
    let schema = Arc::new(Schema::compile(SCHEMA).unwrap());
    let rows: Vec<Relationship> = rows.iter().map(|row| row.parse().unwrap()).collect();
    let (member, subject) = asked.split_once(' ').unwrap();
    let question = Question {
        resource: "doc:d".parse().unwrap(),
        member: member.parse().unwrap(),
        subject: subject.parse().unwrap(),
        context: Context::from_json(context).unwrap(),
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
    };
    trace_of(&snapshot(&schema, &rows), &question, 50, limits)
}

#[test]
fn a_trace_tells_what_each_answer_came_from() {
    let asked = [
        ("edit user:fay", "{}"),
        ("view user:eve", "{}"),
        ("view user:bob", "{}"),
        ("all user:eve", "{}"),
        ("view user:nobody", "{}"),
    ];
    let text: String = asked
        .map(|(asked, context)| told(asked, context, LIMITS))
        .concat();
    expect_test::expect![[r#"
        permission doc:d#edit: Allowed
          relation doc:d#editor: Allowed
        permission doc:d#view: Allowed
          relation folder:f#viewer: Allowed
          relation doc:d#banned: Denied
        permission doc:d#view: Allowed
          relation doc:d#viewer: Allowed until 2100-01-01T00:00:00Z
          relation doc:d#banned: Denied
        permission doc:d#all: Denied
          relation folder:f#viewer: Allowed
          relation folder:e#viewer: Denied
        permission doc:d#view: Denied
          permission doc:d#edit: Denied
            relation doc:d#editor: Denied
          relation folder:f#viewer: Denied
          relation folder:e#viewer: Denied
          relation doc:d#viewer: Denied
            relation group:g#member: Denied
              relation group:h#member: Denied
                relation group:g#member: Denied (repeated)
    "#]]
    .assert_eq(&text);
}

#[test]
fn conditions_are_joined_as_the_schema_joins_them() {
    let asked = [
        ("both user:ann", "{}"),
        ("view user:ann", r#"{"day": "fri", "more": 1}"#),
        ("view user:ann", r#"{"day": "sat"}"#),
        ("view user:cat", "{}"),
        ("view user:dan", r#"{"xx": 0}"#),
    ];
    let text: String = asked
        .map(|(asked, context)| told(asked, context, LIMITS))
        .concat();
    expect_test::expect![[r#"
        permission doc:d#both: Conditional { missing: ["day"] } [-: (day in allowed) && (day in allowed) with {"allowed__0":["sat"],"allowed__1":["fri"]} is Missing(["day"])]
          permission doc:d#edit: Conditional { missing: ["day"] } [on_day: day in allowed with {"allowed":["sat"]} is Missing(["day"])]
            relation doc:d#editor: Conditional { missing: ["day"] } [on_day: day in allowed with {"allowed":["sat"]} is Missing(["day"])]
          relation doc:d#viewer: Conditional { missing: ["day"] } [on_day: day in allowed with {"allowed":["fri"]} is Missing(["day"])]
            relation group:g#member: Denied
              relation group:h#member: Denied
                relation group:g#member: Denied (repeated)
        permission doc:d#view: Denied [-: (day in allowed) && (!(day in allowed)) with {"allowed__0":["fri"],"allowed__1":["mon","fri"],"day":"fri"} is False]
          relation doc:d#viewer: Allowed [on_day: day in allowed with {"allowed":["fri"],"day":"fri"} is True]
          relation doc:d#banned: Allowed [on_day: day in allowed with {"allowed":["mon","fri"],"day":"fri"} is True]
        permission doc:d#view: Allowed [-: (day in allowed) && (!(day in allowed)) with {"allowed__0":["sat"],"allowed__1":["mon","fri"],"day":"sat"} is True]
          permission doc:d#edit: Allowed [on_day: day in allowed with {"allowed":["sat"],"day":"sat"} is True]
            relation doc:d#editor: Allowed [on_day: day in allowed with {"allowed":["sat"],"day":"sat"} is True]
          relation doc:d#banned: Denied [on_day: day in allowed with {"allowed":["mon","fri"],"day":"sat"} is False]
        permission doc:d#view: Conditional { missing: ["xx"] } [num: 6 / xx == 3 with {} is Missing(["xx"])]
          permission doc:d#edit: Denied
            relation doc:d#editor: Denied
          relation folder:f#viewer: Denied
          relation folder:e#viewer: Denied
          relation doc:d#viewer: Conditional { missing: ["xx"] } [num: 6 / xx == 3 with {} is Missing(["xx"])]
            relation group:g#member: Conditional { missing: ["xx"] } [num: 6 / xx == 3 with {} is Missing(["xx"])]
              relation group:h#member: Conditional { missing: ["xx"] } [num: 6 / xx == 3 with {} is Missing(["xx"])]
                relation group:g#member: Conditional { missing: ["xx"] } [-: … with {} is Missing(["xx"])] (repeated)
          relation doc:d#banned: Denied
        permission doc:d#view: evaluation error for caveat num: division by zero [num: 6 / xx == 3 with {"xx":0} is Failed]
          permission doc:d#edit: Denied
            relation doc:d#editor: Denied
          relation folder:f#viewer: Denied
          relation folder:e#viewer: Denied
          relation doc:d#viewer: evaluation error for caveat num: division by zero [num: 6 / xx == 3 with {"xx":0} is Failed]
            relation group:g#member: evaluation error for caveat num: division by zero [num: 6 / xx == 3 with {"xx":0} is Failed]
              relation group:h#member: Allowed
          relation doc:d#banned: Denied
    "#]].assert_eq(&text);
}

#[test]
fn a_trace_that_grows_too_large_is_cut_and_says_so() {
    let levels = TreeLimits {
        levels_max: 2,
        ..LIMITS
    };
    let bytes = TreeLimits {
        bytes_max: 1_000,
        ..LIMITS
    };
    let text = told("view user:cat", "{}", levels) + &told("view user:cat", "{}", bytes);
    expect_test::expect![[r#"
        permission doc:d#view: Conditional { missing: ["xx"] } [-: ((6 / xx == 3) && (…)) || (…) with {} is Missing(["xx"])]
          permission doc:d#edit: Denied (cut)
          relation folder:f#viewer: Denied
          relation folder:e#viewer: Denied
          relation doc:d#viewer: Conditional { missing: ["xx"] } [-: (6 / xx == 3) && (…) with {} is Missing(["xx"])] (cut)
          relation doc:d#banned: Denied
        permission doc:d#view: Conditional { missing: ["xx"] } [-: … with {} is Missing(["xx"])] (cut)
          permission doc:d#edit: Denied
            relation doc:d#editor: Denied
          relation folder:f#viewer: Denied
    "#]].assert_eq(&text);
}

/// Up to the last byte of the limit all is told.
#[test]
fn a_trace_may_take_all_of_its_bytes() {
    let root_alone = TreeLimits {
        levels_max: 1,
        ..LIMITS
    };
    let asked = |limits| trace_of_rows(&ROWS, "edit user:fay", "{}", limits);
    let bytes = asked(root_alone).bytes;
    let is_cut = |bytes_max| {
        asked(TreeLimits {
            bytes_max,
            ..LIMITS
        })
        .root
        .is_cut
    };
    assert_eq!([is_cut(bytes - 1), is_cut(bytes)], [true, false]);
}

/// Each of two nodes has the context of their condition, which may be six times as long in a message as it is as JSON.
#[test]
fn a_longer_context_takes_more_bytes() {
    let bytes = |day: &str| {
        let row = format!(r#"doc:d#editor@user:ann[on_day:{{"allowed":["{day}"]}}]"#);
        trace_of_rows(&[&row], "edit user:ann", "{}", LIMITS).bytes
    };
    assert_eq!(bytes("saturday") - bytes("sat"), 2 * 6 * 5);
}

/// Where too much can be reached the answer is that of a check, and the question alone is told of.
#[test]
fn past_the_work_limit_a_trace_has_the_answer_of_a_check() {
    let schema = Arc::new(Schema::compile(GROUPS).unwrap());
    let mut rows: Vec<Relationship> = (0..200)
        .map(|n| format!("group:g#member@group:x{n}#member").parse().unwrap())
        .collect();
    rows.push("group:g#member@user:ann".parse().unwrap());
    let snapshot = snapshot(&schema, &rows);
    let (resource, subject) = ("group:g".parse().unwrap(), "user:ann".parse().unwrap());
    let query = Query::resolve(&snapshot, &resource, "member", &subject).unwrap();
    let context = Context::default();
    let environment = Environment {
        context: &context,
        now: Timestamp::EPOCH,
        depth_max: 50,
        edges_visited_max: 10,
    };
    let told = trace(
        &snapshot,
        &query,
        (&resource, &subject),
        environment,
        LIMITS,
    );
    assert_eq!(told.decision, Ok(Decision::Allowed));
    assert!(told.root.is_cut && told.root.below.is_empty());
}

/// A condition that is joined anew at every level does not grow without bounds.
#[test]
fn conditions_stay_bounded() {
    let schema = Arc::new(Schema::compile(SCHEMA).unwrap());
    let names = ["a", "b"];
    let mut rows: Vec<Relationship> = Vec::new();
    for (level, here, there) in (0..40).flat_map(|n| {
        names
            .into_iter()
            .flat_map(move |here| names.map(|there| (n, here, there)))
    }) {
        let next = level + 1;
        let row = format!(
            r#"group:{here}{level}#member@group:{there}{next}#member[num:{{"yy":"{here}{there}{level}"}}]"#
        );
        rows.push(row.parse().unwrap());
    }
    rows.push("group:a40#member@user:ann[num]".parse().unwrap());
    let question = Question {
        resource: "group:a0".parse().unwrap(),
        member: "member".parse().unwrap(),
        subject: "user:ann".parse().unwrap(),
        context: Context::default(),
        now: Timestamp::EPOCH,
    };
    let told = trace_of(&snapshot(&schema, &rows), &question, 50, LIMITS);
    let decision = Decision::Conditional {
        missing: vec!["xx".to_owned()],
    };
    assert_eq!(told.decision, Ok(decision));
    assert!(told.bytes < 1 << 20, "{}", told.bytes);
}
