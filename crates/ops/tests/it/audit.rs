//! The audit log by its operations: signing, searching, erasing.

use std::sync::Arc;
use std::time::Duration;

use model::{Revision, SystemClock, Timestamp};
use ops::audit::signing::{Signed, Signer, SigningError};
use ops::audit::{self, Erasure, Order, Query};
use ops::{Kind, Node, Settings};
use rusqlite::Connection;
use store::audit::tree::{Question, continues};
use store::audit::{Checkpoint, Kind as ActKind, SignedNote, SigningKey, VerifyingKey};
use store::{SqliteStore, Store};

use crate::running::{Running, caller, start};

fn key() -> SigningKey {
    SigningKey::parse(&SigningKey::fresh_line("audit.example.com").unwrap()).unwrap()
}

fn checkpoint(signed: &Signed, key: &VerifyingKey) -> Checkpoint {
    let Signed::Checkpoint(kept) = signed else {
        panic!("there was something new");
    };
    let note = SignedNote::parse(&kept.note).unwrap();
    assert!(note.signer(std::slice::from_ref(key)).is_some());
    Checkpoint::parse(&note.text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_signs_what_continues_what_was_signed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).unwrap());
    let node = Node::start(store, Arc::new(SystemClock), Settings::default());
    let node = node.await.unwrap();
    let lock = async |name: &str| {
        let subject = format!("user:{name}").parse().unwrap();
        ops::lock::lock(&node, &caller(), &subject, "lost a laptop")
            .await
            .unwrap();
    };
    let (first, second) = (key(), key());
    let mut signer = Signer::default();
    assert_eq!(signer.sign(&node, &first).await.unwrap(), Signed::Nothing);
    lock("ann").await;
    let old = checkpoint(&signer.sign(&node, &first).await.unwrap(), first.public());
    assert_eq!(old.size, 1);
    assert_eq!(signer.sign(&node, &first).await.unwrap(), Signed::Nothing);
    for name in ["bob", "cat", "dan"] {
        lock(name).await;
    }
    // Another key, and another node, go on from there.
    let new = Signer::default().sign(&node, &second).await.unwrap();
    let new = checkpoint(&new, second.public());
    assert_eq!((new.size, &new.origin), (4, &old.origin));
    let question = Question::Consistency { old: 1, new: 4 };
    let proof = audit::prove(&node, &caller(), question).await.unwrap();
    assert!(continues((1, old.root), (4, new.root), &proof));
    let question = Question::Inclusion { index: 4, size: 5 };
    let refused = audit::prove(&node, &caller(), question).await.unwrap_err();
    assert_eq!(refused.kind, Kind::InvalidArgument);

    // Whoever changes what was signed gets no signature for it, though there is something new.
    let connection = Connection::open(&path).unwrap();
    let leaf = "SELECT leaf FROM audit_entry WHERE idx = 2";
    let leaf: Vec<u8> = connection.query_row(leaf, [], |row| row.get(0)).unwrap();
    let set = "UPDATE audit_entry SET leaf = ?1 WHERE idx = 2";
    connection.execute(set, [vec![7; 32]]).unwrap();
    lock("eve").await;
    for mut signer in [Signer::default(), signer] {
        let refused = signer.sign(&node, &first).await;
        assert!(
            matches!(refused, Err(SigningError::Forked { .. })),
            "{refused:?}"
        );
    }
    connection.execute(set, [leaf]).unwrap();
    let mut signer = Signer::default();
    let whole = checkpoint(&signer.sign(&node, &first).await.unwrap(), first.public());
    assert_eq!(whole.size, 5);
    // Nor who cuts it, the checkpoints with it: this node has seen what was signed.
    let cut = "DELETE FROM audit_entry WHERE idx >= 3; DELETE FROM audit_checkpoint";
    connection.execute_batch(cut).unwrap();
    let refused = signer.sign(&node, &first).await;
    assert!(
        matches!(refused, Err(SigningError::Forked { signed: 5, size: 3 })),
        "{refused:?}"
    );
    node.stop();
}

/// The indices of all that is found.
async fn all(node: &Node, query: &Query) -> Vec<u64> {
    pages(node, query).await.0
}

/// The indices of all that is found, and how many pages that took.
async fn found(running: &Running, query: &Query) -> (Vec<u64>, usize) {
    pages(&running.node, query).await
}

async fn pages(node: &Node, query: &Query) -> (Vec<u64>, usize) {
    let (mut indices, mut pages) = (Vec::new(), 0);
    let mut query = query.clone();
    loop {
        let page = audit::search(node, &caller(), &query).await.unwrap();
        indices.extend(page.entries.iter().map(|(entry, _, _)| entry.index));
        pages += 1;
        if page.next.is_none() {
            return (indices, pages);
        }
        query.cursor = page.next;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_all_that_matches_in_its_order_a_page_at_a_time() {
    let running = start(ops::watch::Settings::default()).await;
    for number in 0..1_200 {
        let name = if number % 3 == 0 { "ann" } else { "bob" };
        running
            .write(&[&format!("+doc:d{number}#viewer@user:{name}")])
            .await;
        running.advance(1);
    }
    running.write(&["+folder:one#viewer@user:ann"]).await;
    let all = Query::default();
    let (indices, pages) = found(&running, &all).await;
    assert_eq!(indices, (0..=1_201).rev().collect::<Vec<_>>());
    assert_eq!(pages, 13);
    let of_ann = Query {
        object: Some("user:ann".parse().unwrap()),
        order: Order::OldestFirst,
        page_size: 150,
        ..Query::default()
    };
    let mut expected: Vec<u64> = (0..1_200).filter(|n| n % 3 == 0).map(|n| n + 1).collect();
    expected.push(1_201);
    let (indices, pages) = found(&running, &of_ann).await;
    assert_eq!((indices, pages), (expected, 3));
    let of_folder = Query {
        relation: Some("viewer".to_owned()),
        object: Some("folder:one".parse().unwrap()),
        ..Query::default()
    };
    assert_eq!(found(&running, &of_folder).await.0, [1_201]);
    let schema = Query {
        kind: Some(ActKind::Schema),
        ..Query::default()
    };
    assert_eq!(found(&running, &schema).await.0, [0]);
    // The clock began with the first second.
    let second = |second| Some(Timestamp::from_seconds(second, 0).unwrap());
    let between = Query {
        from: second(11),
        until: second(14),
        ..Query::default()
    };
    assert_eq!(found(&running, &between).await.0, [13, 12, 11]);
    let wrong = Query {
        cursor: Some("x".to_owned()),
        ..Query::default()
    };
    let refused = audit::search(&running.node, &caller(), &wrong).await;
    assert_eq!(refused.unwrap_err().kind, Kind::InvalidArgument);
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_takes_all_that_names_it_and_is_done_once() {
    let running = start(ops::watch::Settings::default()).await;
    for number in 0..1_100 {
        let row = format!("doc:d{number}#viewer@user:zoe");
        let lines = [format!("+{row}"), format!("+doc:d{number}#viewer@user:ann")];
        let metadata = r#"{"for":"Zoe Quist"}"#;
        running
            .write_with(&[&lines[0], &lines[1]], Some(metadata))
            .await;
        if number < 1_099 {
            running.write(&[&format!("-{row}")]).await;
        }
    }
    let erasure = Erasure {
        subject: "user:zoe".parse().unwrap(),
        text: Some("Zoe Quist".to_owned()),
        reason: "TICKET \"7\"".to_owned(),
    };
    let found = audit::find(&running.node, &caller(), &erasure)
        .await
        .unwrap();
    assert_eq!((found.entries, found.parts), (2_199, 3_299));
    assert_eq!(found.held, ["`doc:d1099#viewer@user:zoe`"]);
    let refused = audit::erase(&running.node, &caller(), &erasure).await;
    assert_eq!(refused.unwrap_err().kind, Kind::FailedPrecondition);
    running.write(&["-doc:d1099#viewer@user:zoe"]).await;
    let erased = audit::erase(&running.node, &caller(), &erasure)
        .await
        .unwrap();
    assert_eq!((erased.entries, erased.parts), (2_200, 3_300));
    let again = audit::erase(&running.node, &caller(), &erasure)
        .await
        .unwrap();
    assert_eq!((again.entries, again.at), (0, None));
    let why = Query {
        kind: Some(ActKind::Erasure),
        reason: Some("TICKET \\\"7\\\"".to_owned()),
        ..Query::default()
    };
    // A thousand entries a commit.
    let page = audit::search(&running.node, &caller(), &why).await.unwrap();
    assert_eq!(page.entries.len(), 3);
    for (text, reason) in [(None, "for user:zoe"), (Some("Zo"), "TICKET"), (None, "")] {
        let wrong = Erasure {
            text: text.map(str::to_owned),
            reason: reason.to_owned(),
            ..erasure.clone()
        };
        let refused = audit::erase(&running.node, &caller(), &wrong).await;
        assert_eq!(refused.unwrap_err().kind, Kind::InvalidArgument);
    }
    running.node.stop();
}

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_would_name_whom_it_erases_is_refused() {
    let running = start(ops::watch::Settings::default()).await;
    running.write(&["+doc:a#viewer@user:zoe"]).await;
    running.write(&["-doc:a#viewer@user:zoe"]).await;
    let caller = caller().from_peer("203.0.113.7:443".parse().unwrap());
    let of = |subject: &str, text: Option<&str>| Erasure {
        subject: subject.parse().unwrap(),
        text: text.map(str::to_owned),
        reason: "TICKET-7".to_owned(),
    };
    let size = || async { audit::state(&running.node, &caller).await.unwrap().size };
    let before = size().await;
    let actor = caller.name().to_owned();
    for (text, told) in [
        ("203.0.113.7", "where it comes from"),
        ("reason", "its metadata"),
        (actor.as_str(), "who does it"),
    ] {
        let erasure = of("user:zoe", Some(text));
        let asked = audit::find(&running.node, &caller, &erasure).await;
        let asked = asked.map(|_| ()).unwrap_err();
        assert_eq!(asked.kind, Kind::InvalidArgument);
        let erasing = audit::erase(&running.node, &caller, &erasure);
        let refused = tokio::time::timeout(PATIENCE, erasing).await;
        let refused = refused.expect("it reads its own entries").unwrap_err();
        assert_eq!(refused.kind, Kind::InvalidArgument, "{text}");
        assert!(refused.message.contains(told), "{}", refused.message);
    }
    assert_eq!(size().await, before);
    let erasure = of("user:zoe", Some("203.0.113.8"));
    let erased = audit::erase(&running.node, &caller, &erasure).await;
    assert_eq!(erased.unwrap().entries, 2);
    running.node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_ends_on_a_log_that_entries_were_taken_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).unwrap());
    let node = Node::start(store, Arc::new(SystemClock), Settings::default());
    let node = node.await.unwrap();
    for number in 0..40 {
        let subject = format!("user:u{number}").parse().unwrap();
        ops::lock::lock(&node, &caller(), &subject, "lost a laptop")
            .await
            .unwrap();
    }
    let connection = Connection::open(&path).unwrap();
    for (sql, gone) in [
        ("DELETE FROM audit_entry WHERE idx = 0", vec![0]),
        (
            "DELETE FROM audit_entry WHERE idx IN (17, 18, 19)",
            vec![0, 17, 18, 19],
        ),
        (
            "DELETE FROM audit_entry WHERE idx < 20",
            (0..20).collect::<Vec<u64>>(),
        ),
    ] {
        connection.execute(sql, []).unwrap();
        for (order, page_size) in [
            (Order::NewestFirst, 0),
            (Order::OldestFirst, 0),
            (Order::NewestFirst, 1),
            (Order::NewestFirst, 7),
            (Order::OldestFirst, 7),
        ] {
            for (first, last) in [(1, 40), (19, 20), (1, 19), (18, 18)] {
                let query = Query {
                    order,
                    page_size,
                    first: Some(Revision(first)),
                    last: Some(Revision(last)),
                    ..Query::default()
                };
                let found = tokio::time::timeout(PATIENCE, all(&node, &query)).await;
                let mut found = found.expect("it never ends");
                if order == Order::NewestFirst {
                    found.reverse();
                }
                let expected = (first - 1..last).filter(|index| !gone.contains(index));
                assert_eq!(found, expected.collect::<Vec<_>>(), "{sql}: {query:?}");
            }
            let nobody = Query {
                actor: Some("nobody".to_owned()),
                order,
                page_size,
                ..Query::default()
            };
            let found = tokio::time::timeout(PATIENCE, all(&node, &nobody)).await;
            assert_eq!(found.expect("it never ends"), Vec::<u64>::new());
        }
    }
    node.stop();
}
