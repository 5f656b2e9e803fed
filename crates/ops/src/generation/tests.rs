//! Rebuilding while others write and ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use identity::Caller;
use model::{
    Context, Decision, Operation, Relationship, RelationshipFilter, RelationshipUpdate,
    SystemClock, Token,
};
use store::{SqliteStore, Store};

use super::{DEAD_IDS_MIN, rebuild, renew};
use crate::check::{Question, check};
use crate::write::{Write, write};
use crate::{Consistency, Node, Settings, follow, schema};

const SCHEMA: &str =
    "definition user {} definition document { relation viewer: user; permission view = viewer; }";
const SCHEMA_LATER: &str = "definition team { relation member: user; } definition user {} \
                            definition document { relation viewer: user; permission view = viewer; }";
const UPDATES_AT_ONCE: usize = 1_000;

async fn started(store: &Arc<dyn Store>) -> Arc<Node> {
    Node::start(
        Arc::clone(store),
        Arc::new(SystemClock),
        Settings::default(),
    )
    .await
    .unwrap()
}

fn store() -> Arc<dyn Store> {
    Arc::new(SqliteStore::memory().unwrap())
}

/// Which document is shared with which user.
fn share(document: usize) -> Relationship {
    format!("document:d{document}#viewer@user:u{}", document % 100)
        .parse()
        .unwrap()
}

async fn update(
    node: &Node,
    operation: Operation,
    documents: impl Iterator<Item = usize>,
) -> Token {
    let updates: Vec<RelationshipUpdate> = documents
        .map(|document| RelationshipUpdate {
            operation,
            relationship: share(document),
        })
        .collect();
    let mut token = None;
    for updates in updates.chunks(UPDATES_AT_ONCE) {
        let write_them = Write {
            updates: updates.to_vec(),
            ..Write::default()
        };
        token = Some(
            write(node, &Caller::without_authentication(), write_them)
                .await
                .unwrap(),
        );
    }
    token.unwrap()
}

/// A node whose documents are all dead but for every tenth.
async fn churned(store: &Arc<dyn Store>) -> Arc<Node> {
    let node = started(store).await;
    schema::write(&node, &Caller::without_authentication(), SCHEMA)
        .await
        .unwrap();
    let documents = DEAD_IDS_MIN * 10 / 9 + 10;
    update(&node, Operation::Touch, 0..documents).await;
    update(
        &node,
        Operation::Delete,
        (0..documents).filter(|document| document % 10 > 0),
    )
    .await;
    node
}

fn documents(node: &Node) -> usize {
    let snapshot = node.snapshot();
    let document = snapshot.schema().definition_ix("document").unwrap();
    snapshot.dictionary(document).len()
}

fn all(node: &Node) -> Vec<Relationship> {
    node.snapshot()
        .relationships(&RelationshipFilter::default())
        .collect()
}

async fn may_view(node: &Node, consistency: Consistency, document: usize) -> (bool, Token) {
    let share = share(document);
    let question = Question {
        resource: share.resource,
        permission: "view".to_owned(),
        subject: share.subject,
        context: Context::default(),
    };
    let answered = check(
        node,
        &Caller::without_authentication(),
        consistency,
        &question,
    )
    .await
    .unwrap();
    (answered.answer == Decision::Allowed, answered.at)
}

#[tokio::test(flavor = "multi_thread")]
async fn few_dead_ids_stay() {
    let store = store();
    let node = churned(&store).await;
    assert!(renew(&node).await.unwrap() >= DEAD_IDS_MIN);
    update(&node, Operation::Touch, 0..DEAD_IDS_MIN).await;
    update(&node, Operation::Delete, 1..DEAD_IDS_MIN).await;
    // One fewer than the least.
    let before = node.snapshot();
    assert_eq!(renew(&node).await.unwrap(), 0);
    assert!(Arc::ptr_eq(&before, &node.snapshot()));
    update(
        &node,
        Operation::Touch,
        20_000..20_000 + DEAD_IDS_MIN * 7 / 3,
    )
    .await;
    update(&node, Operation::Delete, 0..1).await;
    // Enough, but fewer than 30 of a hundred.
    assert_eq!(renew(&node).await.unwrap(), 0);
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_meanwhile_is_there() {
    let store = store();
    let node = churned(&store).await;
    let (early, old) = may_view(&node, Consistency::MinimizeLatency, 10).await;
    assert!(early);
    let held = node.snapshot();
    let before = all(&node);
    let (rebuilt, dead_count) = rebuild(&node).await.unwrap().unwrap();
    assert_eq!(rebuilt.snapshot.revision(), held.revision());
    update(&node, Operation::Touch, 1_000_000..1_000_700).await;
    schema::write(&node, &Caller::without_authentication(), SCHEMA_LATER)
        .await
        .unwrap();
    let newest = update(&node, Operation::Delete, [10, 1_000_001].into_iter()).await;
    let (ids, now) = (documents(&node), all(&node));
    follow::replace(&node, rebuilt).await.unwrap();
    assert_eq!(node.snapshot().revision(), newest.revision);
    assert_eq!(documents(&node), ids - dead_count);
    assert_eq!(all(&node), now);
    assert_eq!(
        may_view(&node, Consistency::FullyConsistent, 10).await,
        (false, newest)
    );
    // What is asked of the past is answered as before, and who holds a snapshot keeps it.
    assert_eq!(
        may_view(&node, Consistency::AtExactSnapshot(old), 10).await,
        (true, old)
    );
    let held: Vec<Relationship> = held.relationships(&RelationshipFilter::default()).collect();
    assert_eq!(held, before);
    let later = update(&node, Operation::Touch, [10].into_iter()).await;
    assert_eq!(
        may_view(&node, Consistency::MinimizeLatency, 10).await,
        (true, later)
    );
    assert_eq!(
        may_view(&node, Consistency::AtExactSnapshot(newest), 10).await,
        (false, newest)
    );
    assert_eq!(all(&node), all(&*started(&store).await));
    node.stop();
}

/// One writes, one asks and never sees a step back, one rebuilds whenever it pays.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_is_rebuilt_under_load() {
    const ROUNDS: usize = 4;
    let store = store();
    let node = churned(&store).await;
    let is_done = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn({
        let (node, is_done) = (Arc::clone(&node), Arc::clone(&is_done));
        async move {
            let mut newest = model::Revision(0);
            let mut asked = 0u64;
            while !is_done.load(Ordering::Relaxed) {
                let (is_allowed, at) = may_view(&node, Consistency::MinimizeLatency, 0).await;
                assert!(is_allowed, "document 0 is shared all the time");
                assert!(at.revision >= newest, "{} after {newest}", at.revision);
                newest = at.revision;
                asked += 1;
                tokio::task::yield_now().await;
            }
            asked
        }
    });
    let renewing = tokio::spawn({
        let (node, is_done) = (Arc::clone(&node), Arc::clone(&is_done));
        async move {
            let mut dead_count = 0;
            while !is_done.load(Ordering::Relaxed) {
                dead_count += renew(&node).await.unwrap();
                tokio::task::yield_now().await;
            }
            dead_count + renew(&node).await.unwrap()
        }
    });
    for round in 1..=ROUNDS {
        let documents = round * 100_000..round * 100_000 + DEAD_IDS_MIN / 2;
        update(&node, Operation::Touch, documents.clone()).await;
        let token = update(&node, Operation::Delete, documents.clone()).await;
        let (is_allowed, _) =
            may_view(&node, Consistency::AtLeastAsFresh(token), documents.start).await;
        assert!(!is_allowed);
    }
    is_done.store(true, Ordering::Relaxed);
    assert!(asking.await.unwrap() > 0);
    // Those of the first graph and at least two times those of two rounds, less than a rebuild's worth is left.
    let renewed = renewing.await.unwrap();
    assert!(renewed >= DEAD_IDS_MIN * 2, "{renewed}");
    assert!(documents(&node) < DEAD_IDS_MIN * 2, "{}", documents(&node));
    let fresh = started(&store).await;
    assert_eq!(all(&node), all(&fresh));
    assert_eq!(node.snapshot().revision(), fresh.snapshot().revision());
    node.stop();
}
