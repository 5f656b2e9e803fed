//! An engine with a store of its own takes writes, answers from them, and has them again when it is opened again.

use std::time::Duration;

use remit_embedded::{
    Consistency, Context, Decision, Deletion, Engine, Item, Kind, Membership, OpenError, Operation,
    Owned, Place, RelationshipFilter, RelationshipUpdate, Resources, Storage, Subjects, Token,
    Write,
};

use crate::running::{SCHEMA, question, view};

const NEWEST: Consistency = Consistency::MinimizeLatency;

async fn touch(engine: &Owned, rows: &[&str]) -> Token {
    let updates = rows.iter().map(|row| RelationshipUpdate {
        operation: Operation::Touch,
        relationship: row.parse().unwrap(),
    });
    let write = Write {
        updates: updates.collect(),
        ..Write::default()
    };
    engine.write(write).await.unwrap()
}

fn ids(page: &remit_embedded::Page) -> Vec<String> {
    page.end().unwrap();
    let ids = page.items().map(|item| match item {
        Item::Object { id, membership } => {
            assert_eq!(membership, Membership::Certain);
            id.to_string()
        }
        Item::Everybody { .. } => "*".to_owned(),
    });
    ids.collect()
}

/// An engine with documents that a group and somebody have, and the token of them.
async fn with_documents() -> (Owned, Token) {
    let engine = Engine::open(Place::Memory).await.unwrap();
    engine.write_schema(SCHEMA).await.unwrap();
    let token = touch(
        &engine,
        &[
            "doc:a#viewer@group:eng#member",
            "group:eng#member@user:ann",
            "doc:b#viewer@user:ann",
        ],
    )
    .await;
    (engine, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_checks_one_question_and_many() {
    let (engine, token) = with_documents().await;
    assert_eq!(
        view(&engine, NEWEST, "doc:a", "user:ann").await.unwrap(),
        Decision::Allowed
    );
    assert_eq!(
        view(&engine, NEWEST, "doc:a", "user:bob").await.unwrap(),
        Decision::Denied
    );
    let questions = [
        question("doc:b", "user:ann"),
        question("sheet:b", "user:ann"),
    ];
    let answered = engine
        .check_bulk(Consistency::FullyConsistent, &questions)
        .await
        .unwrap();
    assert!(matches!(answered.answer[0], Ok(Decision::Allowed)));
    assert!(
        answered.answer[1]
            .as_ref()
            .unwrap_err()
            .message
            .contains("`sheet` not found")
    );
    assert_eq!(answered.at, token);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_looks_up() {
    let (engine, _) = with_documents().await;
    let resources = Resources {
        definition: "doc".parse().unwrap(),
        permission: "view".to_owned(),
        subject: "user:ann".parse().unwrap(),
        context: Context::default(),
        limit: 0,
        cursor: None,
    };
    let page = engine.look_up_resources(NEWEST, &resources).await.unwrap();
    assert_eq!(ids(&page), ["a", "b"]);
    let subjects = Subjects {
        resource: "doc:a".parse().unwrap(),
        permission: "view".to_owned(),
        definition: "user".parse().unwrap(),
        relation: None,
        context: Context::default(),
        is_without_everybody: false,
        limit: 0,
        cursor: None,
    };
    let page = engine.look_up_subjects(NEWEST, &subjects).await.unwrap();
    assert_eq!(ids(&page), ["ann"]);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_explains() {
    let (engine, _) = with_documents().await;
    let explained = engine
        .explain(NEWEST, &question("doc:a", "user:ann"))
        .await
        .unwrap();
    let mut witness: Vec<String> = explained
        .answer
        .witness
        .iter()
        .map(ToString::to_string)
        .collect();
    witness.sort();
    assert_eq!(
        witness,
        ["doc:a#viewer@group:eng#member", "group:eng#member@user:ann"]
    );
    let (doc, ann) = ("doc:a".parse().unwrap(), "user:ann".parse().unwrap());
    let held = engine
        .held(NEWEST, (&doc, &ann), &Context::default())
        .await
        .unwrap();
    let held: Vec<String> = held
        .answer
        .iter()
        .map(|held| held.member.to_string())
        .collect();
    assert_eq!(held, ["viewer", "view"]);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_locks_deletes_and_knows_its_past() {
    let (engine, token) = with_documents().await;
    let doc = "doc:a".parse().unwrap();
    let pinned = engine.pin().unwrap();
    engine
        .lock(&"user:ann".parse().unwrap(), "left")
        .await
        .unwrap();
    let check = |subject: &str| {
        pinned
            .check(&doc, "view", &subject.parse().unwrap(), &Context::default())
            .unwrap()
    };
    assert_eq!(check("user:ann"), Decision::Denied);
    engine.unlock(&"user:ann".parse().unwrap()).await.unwrap();
    assert_eq!(check("user:ann"), Decision::Allowed);
    let deleted = engine
        .delete(Deletion {
            filter: RelationshipFilter {
                definition: Some("group".parse().unwrap()),
                ..RelationshipFilter::default()
            },
            preconditions: Vec::new(),
            limit: 0,
            is_partial_allowed: false,
            metadata: None,
        })
        .await
        .unwrap();
    assert_eq!(deleted.count, 1);
    assert_eq!(
        view(&engine, NEWEST, "doc:a", "user:ann").await.unwrap(),
        Decision::Denied
    );
    let before = Consistency::AtExactSnapshot(token);
    assert_eq!(
        view(&engine, before, "doc:a", "user:ann").await.unwrap(),
        Decision::Allowed
    );
    let wrong = engine.write_schema("definition doc {").await.unwrap_err();
    assert_eq!(wrong.kind, Kind::InvalidArgument);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_had_by_one_and_holds_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.db");
    let place: Place = format!("sqlite:{}", path.display()).parse().unwrap();
    let engine = Engine::open(place.clone()).await.unwrap();
    engine.write_schema(SCHEMA).await.unwrap();
    let rows = (0..2_000).map(|n| format!("doc:d{n}#viewer@user:u{n}").parse().unwrap());
    assert_eq!(engine.import(rows).await.unwrap(), 2_000);
    let second = Engine::open(place.clone()).await.unwrap_err();
    assert!(
        matches!(second, OpenError::Store(store::OpenError::InUse { .. })),
        "{second:?}"
    );
    let token = engine.newest().unwrap();
    engine.close().await.unwrap();

    let engine = Engine::open(Storage {
        log_retained: Duration::from_secs(60),
        ..place.into()
    });
    let engine = engine.await.unwrap();
    assert_eq!(engine.relationship_count(), 2_000);
    let fresh = Consistency::AtLeastAsFresh(token);
    assert_eq!(
        view(&engine, fresh, "doc:d7", "user:u7").await.unwrap(),
        Decision::Allowed
    );
    let mut reading = engine.read(NEWEST, None).await.unwrap();
    assert_eq!(reading.next_page(5_000).len(), 2_000);
    assert!(engine.schema().contains("definition doc"));
    // Another store's token is not one of this.
    let other = Engine::open(Place::Memory).await.unwrap();
    other.write_schema(SCHEMA).await.unwrap();
    let refused = view(&other, fresh, "doc:d7", "user:u7").await.unwrap_err();
    assert_eq!(refused.kind, Kind::InvalidArgument);
    engine.close().await.unwrap();
}

#[test]
fn a_place_is_memory_or_a_file() {
    assert_eq!("memory:".parse(), Ok(Place::Memory));
    assert_eq!("sqlite:a.db".parse(), Ok(Place::Sqlite("a.db".into())));
    for wrong in [
        "",
        "memory",
        "sqlite:",
        "postgres://user:secret@host/db",
        "a.db",
    ] {
        let error = wrong.parse::<Place>().unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
