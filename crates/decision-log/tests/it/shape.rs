//! What an event says.

use identity::{Caller, Origin, TraceContext};
use serde_json::{Value, json};

use crate::running::{Running, question, start};

const FILE: &str = "[[sink]]\nfile = \"log\"\n";

fn come(request_id: &str) -> Caller {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    Caller::without_authentication().from_origin(Origin {
        protocol: "authzed",
        request_id: request_id.to_owned(),
        trace: TraceContext::parse(trace),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_has_the_shape_that_sinks_of_opa_take() {
    let running = start(&format!("[labels]\napp = \"shop\"\n{FILE}")).await;
    let asked = question("doc:a", "view", "user:ann", "{}");
    running.ask_as(&come("request-1"), &asked).await.unwrap();
    let mut events = running.events().await;
    let mut event = events.remove(0);
    for (pointer, length) in [("/decision_id", 36), ("/bundles/remit/revision", 44)] {
        let text = event.pointer(pointer).unwrap().as_str().unwrap();
        assert_eq!(text.len(), length, "{pointer}: {text}");
    }
    assert_eq!(event["input"]["now"].as_str().unwrap().get(..2), Some("20"));
    assert!(event["timestamp"].as_str().unwrap().ends_with('Z'));
    assert!(event["metrics"]["timer_remit_check_ns"].as_u64().unwrap() > 0);
    // What differs from run to run.
    for (part, name) in [
        ("", "decision_id"),
        ("", "timestamp"),
        ("", "metrics"),
        ("/input", "now"),
        ("/bundles/remit", "revision"),
    ] {
        event
            .pointer_mut(part)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove(name);
    }
    let expected = json!({
        "labels": { "app": "shop", "id": "node-1" },
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
        "bundles": { "remit": {}, "schema": { "revision": "1" } },
        "path": "remit/check",
        "input": {
            "resource": "doc:a", "permission": "view", "subject": "user:ann", "consistency": "minimize_latency",
            "caller": "remit/anonymous:anonymous", "protocol": "authzed", "locks_at": 2,
        },
        "result": { "decision": "allowed" },
        "requested_by": "remit/anonymous:anonymous",
        "request_context": { "http": { "headers": { "x-request-id": ["request-1"] } } },
        "custom": { "replay": { "possible": true } },
    });
    assert_eq!(event, expected);
}

async fn told(running: &Running) -> Vec<(String, Value)> {
    let events = running.events().await;
    let told = |event: &Value| {
        let resource = event["input"]["resource"].as_str().unwrap().to_owned();
        (resource, event["result"].clone())
    };
    events.iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_is_told_by_every_way_of_asking() {
    let running = start(FILE).await;
    let anybody = Caller::without_authentication();
    let newest = ops::Consistency::MinimizeLatency;
    let asked = [
        question("doc:a", "view", "user:ann", "{}"),
        question("doc:a", "view", "user:bob", "{}"),
        question("doc:b", "view", "user:bob", "{\"floor\": 1}"),
        question(
            "doc:b",
            "view",
            "user:bob",
            "{\"floor\": \"x\", \"ip\": \"office\"}",
        ),
        question("doc:a", "nothing", "user:ann", "{}"),
    ];
    let bulk = ops::check::check_bulk(&running.node, &anybody, newest, &asked).await;
    assert_eq!(bulk.unwrap().answer.len(), 5);
    for question in &asked {
        let _failed = ops::trace::check(&running.node, &anybody, newest, question).await;
    }
    let of = (&asked[0].resource, &asked[0].subject);
    let held = ops::held::held(&running.node, &anybody, newest, of, &asked[0].context).await;
    assert_eq!(held.unwrap().answer.len(), 2);
    let pinned = ops::pinned::Pinned::newest(&running.node, &anybody).unwrap();
    let question = &asked[0];
    let _decision = pinned
        .check(
            &question.resource,
            "view",
            &question.subject,
            &question.context,
        )
        .unwrap();
    let expected = [
        json!({ "decision": "allowed" }),
        json!({ "decision": "denied" }),
        json!({ "decision": "conditional", "missing": ["ip"] }),
        json!({ "decision": "error", "error": { "kind": "InvalidArgument", "reason": "CaveatParameterTypeError" } }),
        json!({ "decision": "error", "error": { "kind": "FailedPrecondition", "reason": "UnknownRelationOrPermission" } }),
    ];
    let told = told(&running).await;
    let results: Vec<&Value> = told.iter().map(|(_, result)| result).collect();
    let expected: Vec<&Value> = expected.iter().collect();
    // The threads that asked may have noted down in other orders; those of one call are in theirs.
    assert_eq!(results.len(), 13);
    for result in expected {
        let is_allowed = result["decision"] == "allowed";
        let count = results.iter().filter(|it| **it == result).count();
        assert_eq!(count, if is_allowed { 5 } else { 2 }, "{result}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_a_request_breaks_out_of_its_line() {
    let running = start(&format!("[defaults]\ncontext = \"keep\"\n{FILE}")).await;
    let nasty = "\"}\n{\"path\":\"forged\",\u{2028}\u{1b}[31m\\";
    let asked = question(
        "doc:a",
        nasty,
        "user:ann",
        &json!({ nasty: [nasty] }).to_string(),
    );
    running.ask_as(&come(nasty), &asked).await.unwrap_err();
    let events = running.events().await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["input"]["permission"], nasty);
    assert_eq!(events[0]["input"]["context"][nasty][0], nasty);
    assert_eq!(
        events[0]["request_context"]["http"]["headers"]["x-request-id"][0],
        nasty
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_says_what_is_sampled_and_whole_requests_are() {
    let text = format!(
        "[defaults]\nsample = 0\n[[rule]]\ndefinition = \"doc\"\ndecision = [\"allowed\"]\ncaller = \"remit/anonymous:*\"\n\
         protocol = [\"authzed\"]\nsample = 1\n[[rule]]\npermission = [\"viewer\"]\nsample = 0.5\nsample_by = \"request\"\n{FILE}"
    );
    let running = start(&text).await;
    let (allowed, denied) = (
        question("doc:a", "view", "user:ann", "{}"),
        question("doc:a", "view", "user:bob", "{}"),
    );
    running.ask_as(&come("1"), &allowed).await.unwrap();
    running.ask_as(&come("1"), &denied).await.unwrap();
    // By another way, and so by no rule.
    running.ask(&allowed).await.unwrap();
    let sampled = question("doc:a", "viewer", "user:bob", "{}");
    for number in 0..400 {
        let mut caller = Caller::without_authentication();
        caller = caller.from_origin(Origin {
            protocol: "remit",
            request_id: format!("r{number}"),
            trace: None,
        });
        for _ in 0..2 {
            running.ask_as(&caller, &sampled).await.unwrap();
        }
    }
    let recorded = running.metric("remit_decision_log_events_total{outcome=\"recorded\"}");
    let unsampled = running.metric("remit_decision_log_events_total{outcome=\"unsampled\"}");
    assert_eq!(recorded + unsampled, 803.0);
    let events = running.events().await;
    assert_eq!(events.len() as f64, recorded);
    let mut requests = std::collections::BTreeMap::<String, usize>::new();
    for event in &events {
        let id = event["request_context"]["http"]["headers"]["x-request-id"][0]
            .as_str()
            .unwrap();
        *requests.entry(id.to_owned()).or_default() += 1;
    }
    assert_eq!(requests.remove("1"), Some(1));
    assert!(requests.values().all(|count| *count == 2), "{requests:?}");
    // Twenty standard deviations would be less sure.
    assert!((100..300).contains(&requests.len()), "{}", requests.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_rules_hold_for_what_comes_after_them() {
    let running = start(FILE).await;
    let asked = question("doc:a", "view", "user:ann", "{}");
    running.ask(&asked).await.unwrap();
    let hiding = format!("[defaults]\nerase = [\"/input/subject\"]\n{FILE}");
    assert!(
        running
            .log
            .replace(crate::running::rules(running.folder.path(), &hiding))
    );
    running.ask(&asked).await.unwrap();
    let other_sinks = "[defaults]\nsample = 0\n[[sink]]\nfile = \"other\"\n";
    assert!(
        !running
            .log
            .replace(crate::running::rules(running.folder.path(), other_sinks))
    );
    running.ask(&asked).await.unwrap();
    let events = running.events().await;
    let subjects: Vec<Option<&str>> = events
        .iter()
        .map(|it| it["input"]["subject"].as_str())
        .collect();
    assert_eq!(events.len(), 2);
    assert!(subjects.contains(&Some("user:ann")) && subjects.contains(&None));
}
