//! The AuthZEN API as its certification scenario asks it, and as its users may get it wrong.

mod searches;

use engine::scenario::Scenario;
use hyper::Request;
use serde_json::{Value, json};

use crate::http_client::{Http, post, text};
use crate::life::touch;
use crate::running::{Running, start, write_schema};

/// The scenario's data, which users load as well.
const FIXTURE: &str = include_str!("../../../../examples/authzen/certification.yaml");

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";
const SUBJECTS: &str = "/access/v1/search/subject";
const RESOURCES: &str = "/access/v1/search/resource";
const ACTIONS: &str = "/access/v1/search/action";

/// A server with the scenario.
async fn certified() -> Running {
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
