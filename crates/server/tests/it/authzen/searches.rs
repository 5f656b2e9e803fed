//! Searches: what they find, in pages of one snapshot and one instant.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use model::{Clock, Timestamp};
use serde_json::{Value, json};
use store::SqliteStore;

use super::{ACTIONS, RESOURCES, SUBJECTS, admin, alice, archived, ask, certified, record, write};
use crate::http_client::Http;
use crate::running::{start, start_on, write_schema};

#[tokio::test]
async fn searches_find_what_the_scenario_says() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    let read = json!({ "name": "read" });
    let write = json!({ "name": "write" });
    let users = json!({ "type": "user", "id": "ignored" });
    let records = json!({ "type": "record", "id": "ignored" });
    let user = |id: &str| json!({ "type": "user", "id": id });
    for (path, asked, expected) in [
        (
            SUBJECTS,
            json!({ "subject": users, "action": read, "resource": record("record-1") }),
            vec![user("alice"), user("bob")],
        ),
        (
            RESOURCES,
            json!({ "subject": alice(), "action": read, "resource": records }),
            vec![record("record-1"), record("record-2")],
        ),
        (
            ACTIONS,
            json!({ "subject": alice(), "resource": record("record-1"), "action": { "name": "ignored" } }),
            vec![json!({ "name": "read" }), json!({ "name": "write" })],
        ),
        (
            SUBJECTS,
            json!({ "subject": users, "action": write, "resource": archived("record-2") }),
            vec![user("bob")],
        ),
        (
            RESOURCES,
            json!({ "subject": admin(), "action": write, "resource": records }),
            vec![record("record-2")],
        ),
        (
            ACTIONS,
            json!({ "subject": admin(), "resource": archived("record-2") }),
            vec![json!({ "name": "read" }), json!({ "name": "write" })],
        ),
    ] {
        let answer = http.well(path, &asked).await;
        assert_eq!(answer, json!({ "results": expected }), "{asked}");
    }
}

#[tokio::test]
async fn a_search_for_what_is_not_there_finds_nothing() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    for (path, asked) in [
        (
            SUBJECTS,
            ask(json!({ "type": "spaceship" }), "read", record("record-1")),
        ),
        (
            SUBJECTS,
            ask(json!({ "type": "Space Ship" }), "read", record("record-1")),
        ),
        (
            SUBJECTS,
            ask(json!({ "type": "user" }), "fly", record("record-1")),
        ),
        (
            RESOURCES,
            ask(alice(), "read", json!({ "type": "spaceship" })),
        ),
        (
            ACTIONS,
            ask(
                json!({ "type": "user", "id": "nobody" }),
                "read",
                record("record-1"),
            ),
        ),
        (
            ACTIONS,
            ask(
                json!({ "type": "spaceship", "id": "x" }),
                "read",
                record("record-1"),
            ),
        ),
    ] {
        assert_eq!(
            http.well(path, &asked).await,
            json!({ "results": [] }),
            "{asked}"
        );
    }
}

#[tokio::test]
async fn a_search_that_lacks_something_is_told_so() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    let read = json!({ "name": "read" });
    let users = json!({ "type": "user", "id": "ignored" });
    let records = json!({ "type": "record", "id": "ignored" });
    for (path, asked) in [
        (
            SUBJECTS,
            json!({ "subject": users, "resource": record("record-1") }),
        ),
        (
            SUBJECTS,
            ask(json!({ "id": "alice" }), "read", record("record-1")),
        ),
        (
            SUBJECTS,
            ask(
                json!({ "type": "user" }),
                "read",
                json!({ "type": "record" }),
            ),
        ),
        (RESOURCES, json!({ "action": read, "resource": records })),
        (
            RESOURCES,
            ask(json!({ "type": "user" }), "read", records.clone()),
        ),
        (ACTIONS, json!({ "subject": alice() })),
    ] {
        assert_eq!(http.post(path, &asked).await.code, 400, "{asked}");
    }
}

/// Every result of a search in pages of `limit`, and how many pages there were.
async fn paged(
    http: &mut Http,
    path: &str,
    asked: &Value,
    limit: Option<u64>,
) -> (Vec<Value>, usize) {
    let mut results = Vec::new();
    let mut page = json!({ "limit": limit });
    for pages in 1.. {
        let mut request = asked.clone();
        request["page"] = page.clone();
        let answer = http.post(path, &request).await;
        assert_eq!(answer.code, 200, "{}", answer.text);
        assert!(answer.text.starts_with(r#"{"page":"#), "{}", answer.text);
        let answer = answer.json();
        let found = answer["results"].as_array().unwrap();
        assert_eq!(answer["page"]["count"], found.len());
        results.extend(found.iter().cloned());
        let token = answer["page"]["next_token"].as_str().unwrap();
        if token.is_empty() {
            return (results, pages);
        }
        // With its limit, and without it.
        page = json!({ "token": token, "limit": (pages % 2 == 0).then_some(limit) });
    }
    unreachable!()
}

#[tokio::test]
async fn pages_are_of_one_snapshot_and_of_one_query() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    let many: Vec<String> = (0..25)
        .map(|it| format!("user{it:02}@example.com"))
        .collect();
    let rows = many.iter().map(|id| {
        let id = model::ObjectId::of_text(id).unwrap();
        format!("record:shared#reader@user:{id}")
    });
    write(&running, &rows.collect::<Vec<_>>()).await;
    let asked = ask(json!({ "type": "user" }), "read", record("shared"));
    let expected: BTreeSet<&str> = many.iter().map(String::as_str).collect();
    for (limit, pages_expected) in [
        (Some(10), 3),
        (Some(25), 1),
        (Some(0), 1),
        (None, 1),
        (Some(1 << 40), 1),
    ] {
        let (results, pages) = paged(&mut http, SUBJECTS, &asked, limit).await;
        let found: BTreeSet<&str> = results
            .iter()
            .map(|it| it["id"].as_str().unwrap())
            .collect();
        assert_eq!(found, expected);
        assert_eq!((results.len(), pages), (25, pages_expected), "{limit:?}");
    }
    let mut first = asked.clone();
    first["page"] = json!({ "limit": 10 });
    let answer = http.well(SUBJECTS, &first).await;
    let token = answer["page"]["next_token"].clone();
    // What is written meanwhile is not on the pages to come.
    write(&running, &["record:shared#reader@user:zoe"]).await;
    let mut next = asked.clone();
    next["page"] = json!({ "limit": 15, "token": token });
    assert_eq!(http.post(SUBJECTS, &next).await.code, 400);
    next["page"] = json!({ "token": token });
    let answer = http.well(SUBJECTS, &next).await;
    assert!(!answer.to_string().contains("zoe"));
    let mut other = ask(json!({ "type": "user" }), "write", record("shared"));
    other["page"] = json!({ "token": token });
    assert_eq!(http.post(SUBJECTS, &other).await.code, 400);
    for wrong in [
        json!({ "token": "x" }),
        json!({ "token": "10.x" }),
        json!({ "token": 7 }),
        json!({ "limit": -1 }),
        json!({ "limit": "2" }),
        json!([]),
    ] {
        next["page"] = wrong;
        let answer = http.post(SUBJECTS, &next).await;
        assert_eq!(answer.code, 400, "{}", answer.text);
    }
}

#[tokio::test]
async fn actions_come_in_pages_too() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    let asked = json!({ "subject": alice(), "resource": record("record-1") });
    let (results, pages) = paged(&mut http, ACTIONS, &asked, Some(1)).await;
    assert_eq!(
        results,
        [json!({ "name": "read" }), json!({ "name": "write" })]
    );
    assert_eq!(pages, 2);
    let mut first = asked.clone();
    first["page"] = json!({ "limit": 1 });
    let token = http.well(ACTIONS, &first).await["page"]["next_token"].clone();
    let mut other = json!({ "subject": admin(), "resource": record("record-1") });
    other["page"] = json!({ "token": token });
    assert_eq!(http.post(ACTIONS, &other).await.code, 400);
}

#[tokio::test]
async fn everybody_is_told_beside_the_results() {
    let running = start().await;
    let schema = "definition user {}\ndefinition doc {\n relation viewer: user:*\n relation banned: user\n \
        permission view = viewer - banned\n}";
    write_schema(&running.client().await, schema).await;
    let rows = ["doc:a#viewer@user:*", "doc:a#banned@user:x=40y"];
    write(&running, &rows).await;
    let mut http = Http::to(&running).await;
    let asked = ask(
        json!({ "type": "user" }),
        "view",
        json!({ "type": "doc", "id": "a" }),
    );
    let answer = http.well(SUBJECTS, &asked).await;
    let everybody = json!({ "everybody": { "type": "user", "except": ["x@y"] } });
    assert_eq!(answer, json!({ "context": everybody, "results": [] }));
}

#[tokio::test]
async fn pages_of_actions_are_of_the_instant_of_the_first() {
    let (clock, store) = (
        Arc::new(Hand::at(1_900_000_000)),
        SqliteStore::memory().unwrap(),
    );
    let running = start_on(Arc::new(store), Arc::clone(&clock) as _, None).await;
    let schema = "use expiration\ndefinition user {}\ndefinition doc {\n relation editor: user with expiration\n \
        relation viewer: user\n permission edit = editor\n permission view = viewer\n}";
    write_schema(&running.client().await, schema).await;
    let rows = [
        "doc:a#editor@user:alice[expiration:2030-03-17T17:46:50Z]",
        "doc:a#viewer@user:alice",
    ];
    write(&running, &rows).await;
    let mut http = Http::to(&running).await;
    let mut asked = json!({ "subject": alice(), "resource": { "type": "doc", "id": "a" }, "page": { "limit": 1 } });
    let first = http.well(ACTIONS, &asked).await;
    assert_eq!(first["results"], json!([{ "name": "edit" }]));
    clock.go_on(20);
    asked["page"] = json!({ "token": first["page"]["next_token"] });
    let second = http.well(ACTIONS, &asked).await;
    assert_eq!(second["results"], json!([{ "name": "view" }]));
    asked["page"] = json!({});
    let anew = http.well(ACTIONS, &asked).await;
    assert_eq!(anew["results"], json!([{ "name": "view" }]));
}

/// A clock that is moved by hand.
struct Hand(AtomicI64);

impl Hand {
    fn at(seconds: i64) -> Self {
        Self(AtomicI64::new(seconds))
    }

    fn go_on(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed) * 1_000_000).unwrap()
    }
}
