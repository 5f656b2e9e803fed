//! The AuthZEN API as its certification scenario asks it, and as its users may get it wrong.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use engine::scenario::Scenario;
use hyper::Request;
use model::{Clock, Timestamp};
use serde_json::{Value, json};
use store::SqliteStore;

use crate::http_client::{Http, post, text};
use crate::life::touch;
use crate::running::{Running, start, start_on, write_schema};

/// The scenario's data, which users load as well.
const FIXTURE: &str = include_str!("../../../../examples/authzen/certification.yaml");

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";
const SUBJECTS: &str = "/access/v1/search/subject";
const RESOURCES: &str = "/access/v1/search/resource";
const ACTIONS: &str = "/access/v1/search/action";

/// A server with the scenario.
pub(crate) async fn certified() -> Running {
    let scenario = Scenario::read("certification.yaml", FIXTURE, |_| unreachable!()).unwrap();
    let running = start().await;
    let client = running.client().await;
    write_schema(&client, &scenario.schema.text).await;
    let rows = scenario.relationships.iter().map(|it| it.value.to_string());
    write(&running, &rows.collect::<Vec<_>>()).await;
    running
}

/// Writes relationships, and tells the token.
async fn write(running: &Running, rows: &[impl AsRef<str>]) -> String {
    let rows: Vec<&str> = rows.iter().map(AsRef::as_ref).collect();
    let token = touch(&running.client().await, &rows).await.unwrap();
    token.to_string()
}

fn alice() -> Value {
    json!({ "type": "user", "id": "alice" })
}

fn record(id: &str) -> Value {
    json!({ "type": "record", "id": id })
}

fn archived(id: &str) -> Value {
    json!({ "type": "record", "id": id, "properties": { "status": "archived" } })
}

fn admin() -> Value {
    json!({ "type": "user", "id": "bob", "properties": { "role": "admin" } })
}

fn ask(subject: Value, action: &str, resource: Value) -> Value {
    json!({ "subject": subject, "action": { "name": action }, "resource": resource })
}

#[tokio::test]
async fn the_eight_decisions_are_those_of_the_scenario() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    let bob = json!({ "type": "user", "id": "bob" });
    let remove = |softly: bool| {
        json!({
            "subject": alice(), "resource": record("record-1"),
            "action": { "name": "delete", "properties": { "soft": softly } },
        })
    };
    for (question, expected) in [
        (ask(alice(), "read", record("record-1")), true),
        (ask(alice(), "write", record("record-1")), true),
        (ask(bob.clone(), "read", record("record-1")), true),
        (ask(bob, "write", record("record-1")), false),
        (ask(alice(), "write", archived("record-2")), false),
        (ask(alice(), "write", archived("record-1")), false),
        (ask(admin(), "write", archived("record-2")), true),
        (remove(true), true),
        (remove(false), false),
    ] {
        for path in [EVALUATION, EVALUATIONS] {
            let answer = http.well(path, &question).await;
            assert_eq!(answer, json!({ "decision": expected }), "{question}");
        }
    }
}

#[tokio::test]
async fn what_is_not_known_is_passed_over() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    let mut question = ask(
        json!({ "type": "user", "id": "alice", "properties": { "department": "Sales", "role": "manager" }, "x": 1 }),
        "read",
        json!({ "type": "record", "id": "record-1", "properties": null }),
    );
    question["futureField"] = json!({ "nested": [true] });
    question["context"] = json!({ "time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1" });
    question["options"] = json!({ "other": 7 });
    let answer = http.well(EVALUATION, &question).await;
    assert_eq!(answer, json!({ "decision": true }));
}

#[tokio::test]
async fn a_condition_that_cannot_be_decided_is_a_deny_that_names_what_is_missing() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    let question = ask(alice(), "delete", record("record-1"));
    let answer = http.well(EVALUATION, &question).await;
    assert_eq!(answer["decision"], false);
    assert_eq!(answer["context"]["missing"], json!(["action_soft"]));
}

#[tokio::test]
async fn what_is_not_there_is_denied() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    for question in [
        ask(
            json!({ "type": "spaceship", "id": "x" }),
            "read",
            record("record-1"),
        ),
        ask(
            json!({ "type": "Space Ship", "id": "x" }),
            "read",
            record("record-1"),
        ),
        ask(alice(), "fly", record("record-1")),
        ask(alice(), "read", json!({ "type": "user", "id": "bob" })),
    ] {
        let answer = http.well(EVALUATION, &question).await;
        assert_eq!(answer["decision"], false, "{question}");
        assert_eq!(answer["context"]["error"]["status"], 404, "{question}");
    }
    let question = ask(
        json!({ "type": "user", "id": "no@such" }),
        "read",
        record("a/b"),
    );
    let answer = http.well(EVALUATION, &question).await;
    assert_eq!(answer, json!({ "decision": false }));
}

#[tokio::test]
async fn bad_requests_are_told_as_such() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    let without = |member: &str| {
        let mut question = ask(alice(), "read", record("record-1"));
        question.as_object_mut().unwrap().remove(member);
        question.to_string()
    };
    let with = |pointer: &str, value: Value| {
        let mut question = ask(alice(), "read", record("record-1"));
        *question.pointer_mut(pointer).unwrap() = value;
        question.to_string()
    };
    let twice = r#"{"subject":{"type":"user","id":"bob","id":"alice"},"action":{"name":"read"},"resource":{"type":"record","id":"record-1"}}"#;
    for (body, told) in [
        (without("subject"), "`subject` is missing"),
        (without("action"), "`action` is missing"),
        (without("resource"), "`resource` is missing"),
        (with("/subject/id", Value::Null), "`subject.id` is missing"),
        (
            with("/subject/type", Value::Null),
            "`subject.type` is missing",
        ),
        (with("/subject/id", json!("")), "`subject.id` is empty"),
        (
            with("/subject/id", json!("@".repeat(400))),
            "`subject.id` is longer",
        ),
        (with("/action", json!({})), "`action.name` is missing"),
        (
            with("/action/name", json!(123)),
            "`action.name` has to be a string",
        ),
        (
            with("/resource/type", json!([])),
            "`resource.type` has to be",
        ),
        (
            with("/subject", json!("alice")),
            "`subject` has to be an object",
        ),
        (
            with("/resource", json!([])),
            "`resource` has to be an object",
        ),
        (String::new(), "line 1"),
        ("{".to_owned(), "is not JSON"),
        ("[]".to_owned(), "is not a JSON object"),
        (twice.to_owned(), "gives a member twice"),
    ] {
        let answer = http.post(EVALUATION, &body).await;
        assert_eq!(answer.code, 400, "{body}: {}", answer.text);
        let message = answer.json();
        assert!(message.as_str().unwrap().contains(told), "{message}");
    }
    let mut question = ask(alice(), "read", record("record-1"));
    question["context"] = json!({ "subject_role": "admin" });
    question["subject"]["properties"] = json!({ "role": "none" });
    let answer = http.post(EVALUATION, &question).await;
    assert_eq!(answer.code, 400);
    assert!(answer.text.contains("`subject_role` is given both"));
    for content_type in ["text/plain", "application/x-www-form-urlencoded"] {
        let mut request = post(EVALUATION, ask(alice(), "read", record("record-1")));
        let headers = request.headers_mut();
        headers.insert("content-type", content_type.parse().unwrap());
        assert_eq!(http.ask(request).await.code, 400);
    }
    assert_eq!(http.get(EVALUATION).await.code, 405);
}

#[tokio::test]
async fn the_id_of_a_request_comes_back_as_it_is() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    for id in [
        "bfe9eb29-ab87-4ca3-be83-a1d5d8305716",
        "with spaces, and \"more\"",
        &"x".repeat(300),
    ] {
        for body in [
            ask(alice(), "read", record("record-1")).to_string(),
            "{".to_owned(),
        ] {
            let mut request = post(EVALUATION, body);
            request
                .headers_mut()
                .insert("x-request-id", id.parse().unwrap());
            let answer = http.ask(request).await;
            assert_eq!(answer.headers["x-request-id"], id);
        }
    }
    let answer = http
        .post(EVALUATION, ask(alice(), "read", record("record-1")))
        .await;
    assert!(answer.headers.contains_key("x-request-id"));
    let request = Request::get(EVALUATION).header("x-request-id", "of a GET");
    let answer = http.ask(request.body(text("")).unwrap()).await;
    assert_eq!(answer.headers["x-request-id"], "of a GET");
}

#[tokio::test]
async fn whoever_is_not_known_is_told_so_and_gets_no_decision() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    for given in [None, Some("Bearer wrong")] {
        let mut request = post(EVALUATION, ask(alice(), "read", record("record-1")));
        let headers = request.headers_mut();
        headers.remove("authorization");
        if let Some(given) = given {
            headers.insert("authorization", given.parse().unwrap());
        }
        let answer = http.ask(request).await;
        assert_eq!(answer.code, 401);
        assert!(answer.headers.contains_key("www-authenticate"));
        assert!(answer.json().is_string());
    }
    let mut request = post(EVALUATION, ask(alice(), "read", record("record-1")));
    let headers = request.headers_mut();
    headers.insert("sec-fetch-site", "cross-site".parse().unwrap());
    assert_eq!(http.ask(request).await.code, 403);
}

#[tokio::test]
async fn batches_take_defaults_by_whole_entities() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    let decisions = |answer: &Value| -> Vec<bool> {
        let each = answer["evaluations"].as_array().unwrap();
        each.iter()
            .map(|it| it["decision"].as_bool().unwrap())
            .collect()
    };
    let batch = json!({
        "subject": alice(), "action": { "name": "write" }, "resource": { "type": "record", "properties": { "status": "archived" } },
        "evaluations": [
            // The properties of the default are not those of this one.
            { "resource": { "id": "record-1" } },
            { "resource": archived("record-2") },
            { "resource": { "id": "record-1", "properties": { "status": "active" } } },
            { "subject": admin(), "resource": archived("record-2") },
        ],
    });
    let answer = http.well(EVALUATIONS, &batch).await;
    assert_eq!(decisions(&answer), [true, false, true, true]);
    assert_eq!(answer["evaluations"][0], json!({ "decision": true }));
    assert!(answer.get("decision").is_none());

    let batch = json!({
        "subject": alice(), "action": { "name": "read" },
        "evaluations": [{ "resource": record("record-1") }, {}, 5, { "resource": { "type": "record" } }],
    });
    let answer = http.well(EVALUATIONS, &batch).await;
    assert_eq!(decisions(&answer), [true, false, false, false]);
    for failed in 1..4 {
        assert_eq!(
            answer["evaluations"][failed]["context"]["error"]["status"],
            400
        );
    }
    for empty in [json!([]), Value::Null] {
        let mut question = ask(alice(), "read", record("record-1"));
        question["evaluations"] = empty;
        let answer = http.well(EVALUATIONS, &question).await;
        assert_eq!(answer, json!({ "decision": true }));
    }
}

#[tokio::test]
async fn a_batch_ends_where_it_is_told_to() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    let batch = |semantic: Value| {
        json!({
            "subject": alice(), "resource": record("record-1"),
            "options": { "evaluations_semantic": semantic },
            "evaluations": [
                { "action": { "name": "read" } }, { "action": { "name": "delete" } },
                { "action": { "name": "write" } }, {},
            ],
        })
    };
    for (semantic, expected) in [
        (Value::Null, 4),
        (json!("execute_all"), 4),
        (json!("deny_on_first_deny"), 2),
        (json!("permit_on_first_permit"), 1),
    ] {
        let answer = http.well(EVALUATIONS, batch(semantic)).await;
        assert_eq!(answer["evaluations"].as_array().unwrap().len(), expected);
    }
    for wrong in [json!("first"), json!(7)] {
        let answer = http.post(EVALUATIONS, batch(wrong)).await;
        assert_eq!(answer.code, 400, "{}", answer.text);
    }
    let mut wrong = batch(Value::Null);
    wrong["evaluations"] = json!({});
    assert_eq!(http.post(EVALUATIONS, &wrong).await.code, 400);
}

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
async fn an_answer_may_be_asked_to_be_as_fresh_as_a_write() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    let token = write(&running, &["record:new#reader@user:alice"]).await;
    let question = ask(alice(), "read", record("new"));
    for consistency in [
        format!("at-least-as-fresh={token}"),
        format!("at-exact-snapshot={token}"),
        "fully-consistent".to_owned(),
        "minimize-latency".to_owned(),
    ] {
        let mut request = post(EVALUATION, &question);
        request
            .headers_mut()
            .insert("remit-consistency", consistency.parse().unwrap());
        let answer = http.ask(request).await;
        assert_eq!(answer.json(), json!({ "decision": true }), "{consistency}");
        assert_eq!(answer.headers["remit-token"].to_str().unwrap(), token);
    }
    for wrong in ["newest", "at-least-as-fresh=x", "fully-consistent=1"] {
        let mut request = post(EVALUATION, &question);
        request
            .headers_mut()
            .insert("remit-consistency", wrong.parse().unwrap());
        assert_eq!(http.ask(request).await.code, 400, "{wrong}");
    }
}

#[tokio::test]
async fn metadata_is_for_anybody() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    let answer = http.get("/.well-known/authzen-configuration").await;
    assert_eq!(answer.code, 200);
    let base = "https://localhost";
    assert_eq!(
        answer.json(),
        json!({
            "policy_decision_point": base,
            "access_evaluation_endpoint": format!("{base}{EVALUATION}"),
            "access_evaluations_endpoint": format!("{base}{EVALUATIONS}"),
            "search_subject_endpoint": format!("{base}{SUBJECTS}"),
            "search_resource_endpoint": format!("{base}{RESOURCES}"),
            "search_action_endpoint": format!("{base}{ACTIONS}"),
        })
    );
    assert_eq!(
        http.get("/.well-known/authzen-configuration/t1").await.code,
        404
    );
    let posted = http.post("/.well-known/authzen-configuration", "{}").await;
    assert_eq!(posted.code, 405);
    let nobody = Request::get("/.well-known/authzen-configuration")
        .body(text(""))
        .unwrap();
    assert_eq!(http.ask(nobody).await.code, 400);
}

#[tokio::test]
async fn too_large_a_body_is_refused() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    let mut question = ask(alice(), "read", record("record-1"));
    question["context"] = json!({ "note": "x".repeat(4 << 20) });
    let answer = http.post(EVALUATION, &question).await;
    assert_eq!(answer.code, 400, "{}", answer.text);
    assert!(answer.text.contains("bytes"), "{}", answer.text);
    let mut http = Http::to(&running).await;
    question["context"] = json!({ "note": "x".repeat(5_000) });
    let answer = http.post(EVALUATION, &question).await;
    assert_eq!(answer.code, 400, "{}", answer.text);
}

#[tokio::test]
async fn what_a_batch_asks_is_bounded_before_it_is_copied() {
    let running = certified().await;
    let mut http = Http::to(&running).await;
    let batch = |value: String, items: Vec<Value>| {
        json!({
            "subject": alice(), "action": { "name": "read" }, "resource": record("record-1"),
            "context": { "note": value }, "evaluations": items,
        })
    };
    // A default that is large is refused once, and not copied for each item.
    let answer = http
        .post(
            EVALUATIONS,
            batch("x".repeat(5_000), vec![json!({}); 9_000]),
        )
        .await;
    assert_eq!(answer.code, 400, "{}", answer.text);
    assert!(
        answer.text.contains("more than 4096 bytes together"),
        "{}",
        answer.text
    );
    // Neither is there an answer for more items than questions may be, whatever they are.
    for item in [json!({}), json!(0)] {
        let answer = http
            .post(EVALUATIONS, batch(String::new(), vec![item; 10_001]))
            .await;
        assert_eq!(answer.code, 400);
        assert!(
            answer.text.contains("at most 10000 are allowed"),
            "{}",
            answer.text
        );
    }
    let own = json!({ "context": { "note": "x".repeat(5_000) } });
    let answer = http
        .well(EVALUATIONS, batch(String::new(), vec![json!({}), own]))
        .await;
    let decisions = [&answer["evaluations"][0], &answer["evaluations"][1]];
    assert_eq!(
        decisions.map(|it| &it["decision"]),
        [&json!(true), &json!(false)]
    );
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
