//! What a replica is told, by whom it is read, and when it is told no more.

use std::sync::Arc;
use std::time::Duration;

use model::{RelationshipFilter, Revision};
use ops::replica::{self, Page, Part, Settings, State};
use ops::{Error, Kind, Node, Streaming, lock};
use store::commit::canonical;
use store::{Digest, SqliteStore};

use crate::access::{caller, change, enforced};
use crate::running::{Running, caller as anybody, eventually, start};

async fn running() -> Running {
    start(ops::watch::Settings::default()).await
}

/// A node with few places for replicas.
async fn narrow() -> Arc<Node> {
    node_with(Settings {
        replicas_max: 1,
        loads_max: 1,
        heartbeat: Duration::from_millis(1),
        stall_max: Duration::from_millis(20),
        ..Settings::default()
    })
    .await
}

async fn node_with(replica: Settings) -> Arc<Node> {
    let settings = ops::Settings {
        replica,
        ..ops::Settings::default()
    };
    let store = Arc::new(SqliteStore::memory().unwrap());
    let clock = Arc::new(model::SystemClock);
    Node::start(store, clock, settings).await.unwrap()
}

async fn all<T>(streaming: &mut Streaming<T>) -> (Vec<T>, Option<Error>) {
    let mut items = Vec::new();
    loop {
        match streaming.next().await {
            None => return (items, None),
            Some(Ok(item)) => items.push(item),
            Some(Err(error)) => return (items, Some(error)),
        }
    }
}

/// The digest of the relationships in the blocks, and the names of the records.
fn held(blocks: &[Part]) -> (Digest, Vec<String>) {
    let (mut digest, mut records) = (Digest::default(), Vec::new());
    for block in blocks {
        let bytes = match block {
            Part::Block(bytes) => Some(bytes),
            Part::Header(_) | Part::End { .. } => None,
        };
        let bytes = bytes.expect("a block");
        let block = canonical::decode_changes(bytes).unwrap();
        assert!(block.changes.is_empty() || block.records.is_empty());
        block
            .changes
            .iter()
            .for_each(|change| digest.add(change.after.as_ref().unwrap()));
        records.extend(
            block
                .records
                .into_iter()
                .map(|record| record.key.to_string()),
        );
    }
    (digest, records)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_has_every_relationship_and_every_record_once() {
    let running = running().await;
    running
        .write(&[
            "+doc:a#viewer@user:ann[hour:{\"now\":1}]",
            "+doc:b#viewer@user:bob[expiration:1970-01-01T00:01:00Z]",
            "+remit/system:main#watcher@remit/key:dan",
        ])
        .await;
    let rows: Vec<String> = (0..5_000)
        .map(|n| format!("+doc:d{n}#viewer@user:u{n}"))
        .collect();
    for rows in rows.chunks(1_000) {
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        running.write(&rows).await;
    }
    let eve = "user:eve".parse().unwrap();
    lock::lock(&running.node, &anybody(), &eve, "left")
        .await
        .unwrap();
    // Expired and not removed: a replica has to count it as the node does.
    running.advance(120);

    let mut parts = replica::state(&running.node, &anybody()).await.unwrap();
    let (parts, error) = all(&mut parts).await;
    assert!(error.is_none(), "{error:?}");
    let Some((Part::Header(header), rest)) = parts.split_first() else {
        panic!("no header");
    };
    let head = running.store.head().await.unwrap();
    assert_eq!(
        (header.head, header.identity),
        (head, running.store.identity())
    );
    assert!(
        header
            .schema
            .as_ref()
            .unwrap()
            .text
            .contains("definition doc")
    );
    let Some((
        Part::End {
            digest: told,
            record_count: 1,
        },
        blocks,
    )) = rest.split_last()
    else {
        panic!("no end");
    };
    assert!(blocks.len() > 2, "in one piece: {}", blocks.len());
    let (digest, records) = held(blocks);
    let mut expected = Digest::default();
    let all = RelationshipFilter::default();
    running
        .node
        .snapshot()
        .relationships(&all)
        .for_each(|row| expected.add(&row));
    assert_eq!((digest, digest, digest.count()), (expected, *told, 5_003));
    assert_eq!(records, ["lock:user:eve"]);
    assert_eq!(
        State::newest(&running.node, &anybody()).unwrap().header(),
        *header
    );
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_told_as_it_is_stored_and_ends_where_it_ends() {
    let running = running().await;
    running.write(&["+doc:a#viewer@user:ann"]).await;
    let read = async |after, count| {
        replica::log(&running.node, &anybody(), Revision(after), count)
            .await
            .unwrap()
    };
    let Page::Entries(entries) = read(0, 100).await else {
        panic!("no entries");
    };
    assert_eq!(entries.len(), 2);
    assert!(
        entries
            .iter()
            .all(|entry| entry.hash == entry.computed_hash())
    );
    let Page::Entries(entries) = read(0, 1).await else {
        panic!("no entries");
    };
    assert_eq!(entries.len(), 1);
    assert!(matches!(read(2, 1).await, Page::Entries(entries) if entries.is_empty()));
    assert!(matches!(
        read(3, 1).await,
        Page::BeyondHead { head: Revision(2) }
    ));
    running.advance(100);
    running.store.trim(running.node.now()).await.unwrap();
    assert!(matches!(
        read(0, 1).await,
        Page::Trimmed {
            oldest: Revision(2)
        }
    ));
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn news_tell_the_newest_and_go_on_without_any() {
    let running = running().await;
    let mut news = replica::news(&running.node, &anybody()).await.unwrap();
    let mut told = async || news.next().await.unwrap().unwrap().head;
    assert_eq!(told().await.revision, Revision(1));
    let token = running.write(&["+doc:a#viewer@user:ann"]).await;
    let head = eventually(async || {
        let head = told().await;
        (head.revision == token.revision).then_some(head)
    });
    assert_eq!(head.await.hash.short(), token.hash);
    // Nothing is new, and it is told all the same.
    assert_eq!(told().await.revision, token.revision);
    running.node.end_watches();
    let (_, error) = all(&mut news).await;
    assert_eq!(error.unwrap().kind, Kind::Unavailable);
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_loses_the_right_is_told_no_more() {
    let running = enforced().await;
    let (root, ann) = (caller("root").await, caller("ann").await);
    let refused = replica::news(&running.node, &ann).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Forbidden);
    assert!(
        refused.message.contains("may not `replicate`"),
        "{}",
        refused.message
    );
    let grant = "remit/system:main#replicator@remit/key:ann";
    change(&running.node, &root, &[&format!("+{grant}")])
        .await
        .unwrap();
    let mut news = replica::news(&running.node, &ann).await.unwrap();
    news.next().await.unwrap().unwrap();
    change(&running.node, &root, &[&format!("-{grant}")])
        .await
        .unwrap();
    let (_, error) = all(&mut news).await;
    assert_eq!(error.unwrap().kind, Kind::Forbidden);
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn places_are_few_and_those_who_do_not_read_lose_theirs() {
    let node = narrow().await;
    ops::schema::write(&node, &anybody(), crate::running::SCHEMA)
        .await
        .unwrap();
    let mut import = ops::bulk::Import::default();
    let rows = (0..20_000).map(|n| format!("doc:d{n}#viewer@user:u{n}").parse().unwrap());
    import.add(&node, rows).unwrap();
    import.commit(&node, &anybody()).await.unwrap();

    let mut slow = replica::news(&node, &anybody()).await.unwrap();
    let refused = replica::news(&node, &anybody()).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Overloaded);
    assert!(
        refused.message.starts_with("1 replicas follow"),
        "{}",
        refused.message
    );
    // The first one is cut for not reading, which frees its place.
    eventually(async || replica::news(&node, &anybody()).await.ok()).await;
    let (_, error) = all(&mut slow).await;
    assert_eq!(error.unwrap().kind, Kind::Overloaded);

    let mut slow = replica::state(&node, &anybody()).await.unwrap();
    let refused = replica::state(&node, &anybody()).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Overloaded);
    eventually(async || replica::state(&node, &anybody()).await.ok()).await;
    let (parts, error) = all(&mut slow).await;
    assert_eq!(error.unwrap().kind, Kind::Overloaded);
    assert!(!parts.iter().any(|part| matches!(part, Part::End { .. })));
    node.stop();
}

/// Reads a page in pieces, which are numbers here.
async fn pieces(node: &Arc<Node>) -> Result<Streaming<u32>, Error> {
    let pieces = |_page| 0..100_u32;
    replica::log_pieces(node, &anybody(), (Revision(0), 1), pieces).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_log_are_handed_out_in_turns_and_not_kept_for_those_who_do_not_read() {
    let settings = |pages_max, millis| Settings {
        pages_max,
        stall_max: Duration::from_millis(millis),
        ..Settings::default()
    };
    let node = node_with(settings(0, 20)).await;
    let refused = pieces(&node).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Overloaded);
    assert!(
        refused.message.starts_with("0 pages of the log"),
        "{}",
        refused.message
    );
    node.stop();

    let node = node_with(settings(1, 60_000)).await;
    let first = pieces(&node).await.unwrap();
    let moment = Duration::from_millis(100);
    let early = tokio::time::timeout(moment, pieces(&node)).await;
    assert!(early.is_err(), "two at once");
    // A reader that goes gives its place away, and so does one that has read all.
    drop(first);
    for _ in 0..2 {
        let (told, error) = all(&mut pieces(&node).await.unwrap()).await;
        assert_eq!(told, Vec::from_iter(0..100));
        assert!(error.is_none(), "{error:?}");
    }
    node.stop();

    let node = node_with(settings(1, 20)).await;
    let mut slow = pieces(&node).await.unwrap();
    eventually(async || pieces(&node).await.ok()).await;
    let (told, error) = all(&mut slow).await;
    assert_eq!(error.unwrap().kind, Kind::Overloaded);
    assert!(told.len() < 100, "all of it");
    node.stop();
}
