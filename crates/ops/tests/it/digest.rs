//! What a node has is compared with what its store has.

use std::path::Path;
use std::sync::Arc;

use model::{RelationshipFilter, SystemClock, Token};
use ops::digest::{Digested, compare, digest};
use ops::{Consistency, Kind, Node, Settings, watch};
use store::{Digest, SqliteStore, Store};

use crate::running::{SCHEMA, caller, start};

const ROWS: [&str; 5] = [
    "+doc:a#viewer@user:ann",
    "+doc:a#viewer@user:bob[hour:{\"now\":3}]",
    "+doc:b#viewer@user:ann[expiration:1970-01-01T00:01:00Z]",
    "+folder:a#viewer@user:ann",
    "-doc:a#viewer@user:ann",
];

async fn at(node: &Node, token: Token) -> Digested {
    digest(node, &caller(), Consistency::AtExactSnapshot(token))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_and_their_store_have_one_digest_at_each_revision() {
    let running = start(watch::Settings::default()).await;
    let mut tokens = Vec::new();
    for row in ROWS {
        tokens.push(running.write(&[row]).await);
    }
    // It has expired, and is not removed.
    running.advance(100);
    let other = Node::start(
        Arc::clone(&running.store),
        Arc::clone(&running.clock) as _,
        running.node.settings().clone(),
    );
    let other = other.await.unwrap();
    let mut seen = Vec::new();
    for (token, count) in tokens.iter().zip([1, 2, 3, 4, 3]) {
        let here = at(&running.node, *token).await;
        assert_eq!(here, at(&other, *token).await);
        assert_eq!((here.at, here.digest.count()), (*token, count));
        assert!(!seen.contains(&here.digest));
        seen.push(here.digest);
    }
    for node in [&running.node, &other] {
        let compared = compare(node).await.unwrap();
        assert!(compared.is_alike());
        assert_eq!(compared.node, at(node, tokens[4]).await);
        node.ready().unwrap();
        node.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_node_has_what_its_empty_store_has() {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::memory().unwrap());
    let node = Node::start(store, Arc::new(SystemClock), Settings::default());
    let node = node.await.unwrap();
    let compared = compare(&node).await.unwrap();
    assert_eq!(compared.store, Digest::default());
    assert!(compared.is_alike());
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_compared_while_much_is_written() {
    let running = Arc::new(start(watch::Settings::default()).await);
    let writing = Arc::clone(&running);
    let writer = tokio::spawn(async move {
        for row in 1..400 {
            let (row, gone) = (
                format!("+doc:{row}#viewer@user:ann"),
                format!("-doc:{}#viewer@user:ann", row / 2),
            );
            writing.write(&[&row, &gone]).await;
        }
    });
    let mut compared_while_writing = 0;
    while !writer.is_finished() {
        assert!(compare(&running.node).await.unwrap().is_alike());
        compared_while_writing += 1;
    }
    writer.await.unwrap();
    assert!(compared_while_writing > 1);
    running.node.stop();
}

/// A row that is lost where it is stored, as by a bad disk: the graph has it still.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_differs_is_no_longer_ready() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("remit.db");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).unwrap());
    let node = Node::start(store, Arc::new(SystemClock), Settings::default());
    let node = node.await.unwrap();
    ops::schema::write(&node, &caller(), SCHEMA).await.unwrap();
    let mut import = ops::bulk::Import::default();
    let rows = ["doc:a#viewer@user:ann", "doc:b#viewer@user:ann"];
    let rows = rows.map(|row| row.parse().unwrap()).to_vec();
    import.add(&node, rows).unwrap();
    import.commit(&node, &caller()).await.unwrap();
    assert!(compare(&node).await.unwrap().is_alike());
    lose_a_row(&path);
    let compared = compare(&node).await.unwrap();
    assert_eq!(
        (compared.node.digest.count(), compared.store.count()),
        (2, 1)
    );
    let refused = node.view(Consistency::MinimizeLatency).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Unavailable);
    for part in ["at revision 2", "2 here", "1 there"] {
        assert!(refused.message.contains(part), "{}", refused.message);
    }
    node.stop();
}

fn lose_a_row(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let sql = "DELETE FROM relationship WHERE resource_id = 'b'";
    assert_eq!(connection.execute(sql, []).unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_are_worked_out_one_at_a_time() {
    let running = Arc::new(start(watch::Settings::default()).await);
    let rows: Vec<String> = (0..900)
        .map(|row| format!("+doc:{row}#viewer@user:ann"))
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    running.write(&rows).await;
    let asked = (0..64).map(|_| {
        let running = Arc::clone(&running);
        tokio::spawn(
            async move { digest(&running.node, &caller(), Consistency::FullyConsistent).await },
        )
    });
    let asked: Vec<_> = asked.collect();
    let (mut answered, mut refused) = (0, 0);
    for asked in asked {
        match asked.await.unwrap() {
            Ok(digested) => {
                assert_eq!(digested.digest.count(), 900);
                answered += 1;
            }
            Err(error) => {
                assert_eq!(error.kind, Kind::Overloaded);
                refused += 1;
            }
        }
    }
    assert!(answered > 0 && refused > 0, "{answered} and {refused}");
    let all = running
        .node
        .snapshot()
        .relationships(&RelationshipFilter::default())
        .count();
    assert_eq!(all, 900);
    running.node.stop();
}
