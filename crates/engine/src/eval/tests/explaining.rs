//! Explanations: how they look, and where they end.

use super::*;
use crate::eval::{Explanation, Outcome, Step};

const EXPLAINED: &str = "use expiration\ncaveat on_day(day string) {\n day == \"friday\"\n}\ndefinition user {}\ndefinition folder {\n\
             relation viewer: user\n}\ndefinition doc {\n relation parent: folder\n relation viewer: user with on_day | user \
             with expiration\n relation banned: user\n permission view = (viewer + parent->viewer) - banned\n}\n";

#[test]
fn an_explanation_names_what_is_missing() {
    let schema = Arc::new(Schema::compile(EXPLAINED).unwrap());
    let rows: Vec<Relationship> = [
        "doc:d#parent@folder:f",
        "folder:f#viewer@user:ann",
        "doc:d#viewer@user:cat[on_day]",
        "doc:d#viewer@user:old[expiration:2020-01-01T00:00:00Z]",
        "folder:f#viewer@user:eve",
        "doc:d#banned@user:eve",
    ]
    .iter()
    .map(|row| row.parse().unwrap())
    .collect();
    let snapshot = snapshot(&schema, &rows);
    let context = Context::default();
    let environment = Environment {
        context: &context,
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        depth_max: 50,
        edges_visited_max: EDGES_MAX,
    };
    let mut told = String::new();
    for user in ["ann", "bob", "cat", "old", "eve"] {
        let (resource, subject) = (
            "doc:d".parse().unwrap(),
            format!("user:{user}").parse().unwrap(),
        );
        let query = Query::resolve(&snapshot, &resource, "view", &subject).unwrap();
        told.push_str(
            &explain(&snapshot, &query, &resource, &subject, environment)
                .unwrap()
                .to_string(),
        );
    }
    expect_test::expect![[r#"
        allowed
        doc:d#view: yes
          doc:d#parent@folder:f: yes
            folder:f#viewer: yes
              folder:f#viewer@user:ann: yes
          not excluded: yes
        denied
        doc:d#view: no
          doc:d#viewer: no (no relationship with user:bob)
          doc:d#parent@folder:f: no
            folder:f#viewer: no (no relationship with user:bob)
        conditional: the context lacks day
        doc:d#view: conditional
          doc:d#viewer: conditional
            doc:d#viewer@user:cat[on_day]: conditional (the context lacks `day`)
          doc:d#parent@folder:f: no
            folder:f#viewer: no (no relationship with user:cat)
          not excluded: yes
        denied
        doc:d#view: no
          doc:d#viewer: no (doc:d#viewer@user:old expired at 2020-01-01T00:00:00Z)
          doc:d#parent@folder:f: no
            folder:f#viewer: no (no relationship with user:old)
        denied
        doc:d#view: no
          doc:d#parent@folder:f: yes
            folder:f#viewer: yes
              folder:f#viewer@user:eve: yes
          excluded: no
            doc:d#banned: yes
              doc:d#banned@user:eve: yes
    "#]]
    .assert_eq(&told);
}

fn explained(schema: &str, rows: &[String], member: &str) -> Explanation {
    let (resource, subject) = ("doc:d", "user:ann");
    let (snapshot, query) = resolved(schema, rows, (resource, member, subject));
    let (resource, subject) = (resource.parse().unwrap(), subject.parse().unwrap());
    let environment = limited(1_000, EDGES_MAX);
    explain(&snapshot, &query, &resource, &subject, environment).unwrap()
}

/// How far below the root the step is that says that there is more.
fn cut_at(step: &Step) -> Option<usize> {
    if step.what == "and further down" {
        return Some(0);
    }
    let below = step.below.iter().find_map(cut_at);
    below.map(|levels| levels + 1)
}

/// By the levels of what is told, whatever they consist of.
#[test]
fn an_explanation_ends_after_so_many_levels() {
    let chain = |length: usize| {
        let mut rows = vec!["doc:d#viewer@group:g0#member".to_owned()];
        rows.extend((1..length).map(|n| format!("group:g{}#member@group:g{n}#member", n - 1)));
        rows.push(format!("group:g{}#member@user:ann", length - 1));
        explained(GROUPS, &rows, "view")
    };
    assert_eq!(cut_at(&chain(100).root), Some(65));
    // The document's view and viewer, and for each group a relationship and the group.
    assert_eq!(cut_at(&chain(31).root), None);
    assert_eq!(cut_at(&chain(32).root), Some(65));

    let mut schema = "caveat asked(n int) {\n n > 5\n}\ndefinition user {}\ndefinition doc {\n relation viewer: user with asked\n"
        .to_owned();
    for n in 0..60 {
        schema.push_str(&format!("permission part{n} = viewer - part{}\n", n + 1));
    }
    schema.push_str("permission part60 = viewer\n}\n");
    let told = explained(
        &schema,
        &["doc:d#viewer@user:ann[asked]".to_owned()],
        "part0",
    );
    assert_eq!(cut_at(&told.root), Some(65));
}

#[test]
fn an_explanation_counts_the_branches_that_it_leaves_out() {
    let branches = |count: usize| {
        let rows: Vec<String> = (0..count)
            .map(|n| format!("doc:d#viewer@group:g{n}#member"))
            .collect();
        let told = explained(GROUPS, &rows, "viewer");
        let last = told.root.below.last().unwrap().what.clone();
        (told.root.below.len(), last)
    };
    assert_eq!(
        branches(11),
        (11, "doc:d#viewer@group:g10#member".to_owned())
    );
    assert_eq!(
        branches(12),
        (12, "doc:d#viewer@group:g11#member".to_owned())
    );
    assert_eq!(branches(15), (13, "3 more that do not decide".to_owned()));
}

#[test]
fn a_permission_of_nothing_says_so() {
    let schema = "definition user {}\ndefinition doc {\n relation parent: doc\n permission view = parent->view\n}\n";
    let told = explained(schema, &[], "view");
    assert_eq!(
        told.root.reason.as_deref(),
        Some("nothing that it is made of leads to user:ann")
    );
}

/// What fails is told as failed wherever it stands, and what lacks a value as conditional.
#[test]
fn an_explanation_tells_failures_from_conditions() {
    let schema = "caveat broken(n int) {\n 1 / n > 0\n}\ndefinition user {}\ndefinition doc {\n relation viewer: user with broken\n \
                  relation other: user with broken\n permission each = viewer & other\n permission view = each\n permission one = viewer\n}\n";
    let rows = [
        "doc:d#viewer@user:ann[broken]".to_owned(),
        "doc:d#other@user:ann[broken:{\"n\":0}]".to_owned(),
    ];
    let told = explained(schema, &rows, "view");
    assert!(matches!(told.decision, Err(EvalError::Caveat(_))), "{told}");
    assert_eq!(told.root.outcome, Outcome::Error, "{told}");
    let each = &told.root.below[0];
    assert_eq!(each.outcome, Outcome::Error, "{told}");
    let outcomes: Vec<Outcome> = each.below.iter().map(|step| step.outcome).collect();
    assert_eq!(outcomes, [Outcome::Conditional, Outcome::Error], "{told}");
    assert_eq!(
        explained(schema, &rows, "one").root.outcome,
        Outcome::Conditional
    );
}
