//! A snapshot answers every question the same: at once, after a thousand commits, and on a node that has just started.

use std::path::Path;
use std::sync::Arc;

use model::{Clock, Operation, RelationshipUpdate, Timestamp, Token};
use ops::check::{self, Question};
use ops::lookup::{self, Page, Resources, Subjects};
use ops::write::Write;
use ops::{Consistency, Error, Node, Settings, expand};
use store::SqliteStore;
use testkit::Case;
use testkit::rng::Rng;

use crate::running::caller;

/// Cases, each with as many commits of one to three random changes.
const CASES: u64 = 6;
const COMMITS: usize = 1_000;

/// The clock of a case.
#[derive(Debug)]
struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_answers_the_same_after_a_thousand_commits_and_a_restart() {
    // The first cases that have something to find.
    let cases = (0..).map(testkit::case).filter(|case| {
        let rows = case.relationships.len();
        rows >= 10 && case.questions.len() >= 5
    });
    let mut running = tokio::task::JoinSet::new();
    for (seed, case) in (0..CASES).zip(cases) {
        running.spawn(async move { hold(seed, &case).await });
    }
    let mut different = 0;
    while let Some(is_different) = running.join_next().await {
        different += u64::from(is_different.unwrap());
    }
    assert!(
        different > CASES / 2,
        "the commits changed the answers of {different} cases only"
    );
}

/// Holds one case's answers to themselves. Whether the commits changed those at the head.
async fn hold(seed: u64, case: &Case) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("remit.db");
    let node = start(&path, case).await;
    ops::schema::write(&node, &caller(), &case.schema_text)
        .await
        .unwrap();
    let rows = case.relationships.iter().cloned();
    let touch = |relationship| RelationshipUpdate {
        operation: Operation::Touch,
        relationship,
    };
    let old = write(&node, rows.map(touch).collect()).await;
    let before = answers(&node, old, case).await;

    let mut rng = Rng::new(seed);
    let mut head = old;
    for _ in 0..COMMITS {
        let count = rng.between(1, 3);
        let updates = rng.some(&case.relationships, count).into_iter();
        let updates = updates.map(|relationship| RelationshipUpdate {
            operation: if rng.chance(50) {
                Operation::Delete
            } else {
                Operation::Touch
            },
            relationship,
        });
        head = write(&node, updates.collect()).await;
    }
    assert_eq!(answers(&node, old, case).await, before, "{case}");
    let newest = answers(&node, head, case).await;
    stop(&node).await;

    let node = start(&path, case).await;
    assert_eq!(answers(&node, head, case).await, newest, "{case}");
    assert_eq!(answers(&node, old, case).await, before, "{case}");
    stop(&node).await;
    before != newest
}

async fn start(path: &Path, case: &Case) -> Arc<Node> {
    let store = Arc::new(SqliteStore::open(path).unwrap());
    let mut settings = Settings::default();
    settings.limits.depth_max = case.depth_max;
    Node::start(
        store,
        Arc::new(At(case.questions.first().unwrap().now)),
        settings,
    )
    .await
    .unwrap()
}

async fn stop(node: &Node) {
    node.stop();
    node.store().close().await.unwrap();
}

async fn write(node: &Node, updates: Vec<RelationshipUpdate>) -> Token {
    let write = Write {
        updates,
        ..Write::default()
    };
    ops::write::write(node, &caller(), write).await.unwrap()
}

/// What every call says at `token`, in words.
async fn answers(node: &Arc<Node>, token: Token, case: &Case) -> Vec<String> {
    let at = Consistency::AtExactSnapshot(token);
    let questions: Vec<Question> = case.questions.iter().map(question).collect();
    let mut told = Vec::new();
    for (question, asked) in questions.iter().zip(&case.questions) {
        let checked = check::check(node, &caller(), at, question).await;
        told.push(format!("{asked}: {:?}", checked.map(|done| done.answer)));
        let resources = Resources {
            definition: question.resource.definition.clone(),
            permission: question.permission.clone(),
            subject: question.subject.clone(),
            context: question.context.clone(),
            limit: 0,
            cursor: None,
        };
        let page = lookup::resources(node, &caller(), at, &resources).await;
        told.push(format!("resources of {asked}: {}", listed(page)));
        let subjects = Subjects {
            resource: question.resource.clone(),
            permission: question.permission.clone(),
            definition: question.subject.definition.clone(),
            relation: question.subject.relation.clone(),
            context: question.context.clone(),
            is_without_everybody: false,
            limit: 0,
            cursor: None,
        };
        let page = lookup::subjects(node, &caller(), at, &subjects).await;
        told.push(format!("subjects of {asked}: {}", listed(page)));
        let (resource, permission) = (&question.resource, &question.permission);
        let tree = expand::expand(node, &caller(), at, resource, permission).await;
        told.push(format!("{asked}: {:?}", tree.map(|done| done.answer)));
    }
    let bulk = check::check_bulk(node, &caller(), at, &questions).await;
    told.push(format!("{:?}", bulk.unwrap().answer));
    told
}

fn question(asked: &testkit::Question) -> Question {
    Question {
        resource: asked.resource.clone(),
        permission: asked.member.to_string(),
        subject: asked.subject.clone(),
        context: asked.context.clone(),
    }
}

fn listed(page: Result<Page, Error>) -> String {
    match page {
        Ok(page) => format!("{:?} {:?}", page.items().collect::<Vec<_>>(), page.end()),
        Err(error) => format!("{error:?}"),
    }
}
