//! What is told of calls: by protocol, method and outcome, never by what a caller sends.

use remit_client::Transport;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::consistency::Requirement;
use serde_json::json;
use tonic::Code;

use crate::http_client::{Http, post, text as body};
use crate::life::{check, touch, with_schema};
use crate::running::Running;

pub(crate) async fn told(running: &Running) -> String {
    let mut http = Http::connect(running.metrics).await;
    let answer = http.get("/metrics").await;
    assert_eq!(answer.code, 200);
    answer.text
}

/// The value of a series by its whole name with labels; 0 where it is not told.
pub(crate) fn series(text: &str, name: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| {
        let value = value.split(" #").next().unwrap_or_default();
        value.parse().unwrap()
    })
}

const LATEST: Requirement = Requirement::MinimizeLatency(true);
const CHECK: &str = "authzed.api.v1.PermissionsService/CheckPermission";

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_decisions_are_counted_by_names_of_the_server() {
    let (running, client) = with_schema().await;
    touch(&client, &["doc:a#viewer@user:ann"]).await.unwrap();
    for (user, times) in [("user:ann", 2), ("user:bob", 3)] {
        for _ in 0..times {
            check(&client, LATEST, "doc:a", user).await.unwrap();
        }
    }
    let before = told(&running).await;
    let full = Requirement::FullyConsistent(true);
    check(&client, full, "doc:a", "user:ann").await.unwrap();
    let nobody = running.client_with(None, Transport::Plaintext).await;
    let refused = check(&nobody, LATEST, "doc:a", "user:ann").await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    let mut http = Http::to(&running).await;
    let question = json!({
        "resource": { "objectType": "doc", "objectId": "a" }, "permission": "nosuch",
        "subject": { "object": { "objectType": "user", "objectId": "ann" } },
    });
    assert_ne!(http.post("/v1/permissions/check", question).await.code, 200);
    let question = json!({
        "subject": { "type": "user", "id": "ann" }, "action": { "name": "view" },
        "resource": { "type": "doc", "id": "a" },
    });
    http.well("/access/v1/evaluation", question).await;
    let filter = json!({ "relationshipFilter": { "resourceType": "doc" } });
    let read = http.post("/v1/relationships/read", filter).await;
    assert_eq!((read.code, read.lines().len()), (200, 1));
    let text = told(&running).await;
    let calls = |protocol: &str, method: &str, outcome: &str| {
        let labels = format!("protocol=\"{protocol}\",method=\"{method}\",outcome=\"{outcome}\"");
        series(&text, &format!("remit_calls_total{{{labels}}}"))
    };
    assert_eq!(calls("grpc", CHECK, "OK"), 6.0);
    assert_eq!(calls("grpc", CHECK, "UNAUTHENTICATED"), 1.0);
    assert_eq!(calls("http", CHECK, "FAILED_PRECONDITION"), 1.0);
    assert_eq!(calls("authzen", "evaluation", "OK"), 1.0);
    let streamed = "authzed.api.v1.PermissionsService/ReadRelationships";
    assert_eq!(calls("http", streamed, "OK"), 1.0);
    let took = format!("remit_call_seconds_count{{protocol=\"grpc\",method=\"{CHECK}\"}}");
    assert_eq!(series(&text, &took), 7.0);
    let decided = |permission: &str, decision: &str| {
        let definition = if permission == "_unknown" {
            "_unknown"
        } else {
            "doc"
        };
        let labels = format!(
            "definition=\"{definition}\",permission=\"{permission}\",decision=\"{decision}\""
        );
        series(&text, &format!("remit_decisions_total{{{labels}}}"))
    };
    assert_eq!(decided("view", "allowed"), 4.0);
    assert_eq!(decided("view", "denied"), 3.0);
    assert_eq!(decided("_unknown", "error"), 1.0);
    assert_eq!(
        series(&text, "remit_callers_refused_total{why=\"no_credential\"}"),
        1.0
    );
    let asked = |text: &str| series(text, "remit_head_askers_total");
    assert_eq!(asked(&text) - asked(&before), 1.0);
    assert_eq!(
        series(&text, "remit_calls_under_way{protocol=\"grpc\"}"),
        0.0
    );
    assert!(
        series(&text, "process_resident_memory_bytes") > 1e6,
        "{text}"
    );
    assert!(series(&text, "process_cpu_seconds_total") > 0.0, "{text}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_under_way_until_it_ends() {
    let (running, client) = with_schema().await;
    let watch = client.watch().watch(wire::WatchRequest::default()).await;
    let watch = watch.unwrap();
    let text = told(&running).await;
    assert_eq!(
        series(&text, "remit_calls_under_way{protocol=\"grpc\"}"),
        1.0
    );
    assert_eq!(series(&text, "remit_watches"), 1.0);
    let labels = "protocol=\"grpc\",method=\"authzed.api.v1.WatchService/Watch\"";
    assert_eq!(
        series(&text, &format!("remit_call_seconds_count{{{labels}}}")),
        1.0
    );
    drop(watch);
    let cancelled = format!("remit_calls_total{{{labels},outcome=\"CANCELLED\"}}");
    let mut text = text;
    while series(&text, &cancelled) < 1.0 {
        tokio::task::yield_now().await;
        text = told(&running).await;
    }
    assert_eq!(
        series(&text, "remit_calls_under_way{protocol=\"grpc\"}"),
        0.0
    );
    assert_eq!(
        series(&text, &format!("remit_stream_seconds_count{{{labels}}}")),
        1.0
    );
    running.stop().await;
}

/// Whatever callers send, the number of series stays as it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_callers_send_makes_no_series() {
    let (running, client) = with_schema().await;
    let mut http = Http::to(&running).await;
    let ask = async |http: &mut Http, number: usize| {
        let question = json!({
            "resource": { "objectType": format!("t{number}x"), "objectId": format!("r{number}") },
            "permission": format!("p{number}x"),
            "subject": { "object": { "objectType": "user", "objectId": format!("s{number}") } },
        });
        let mut request = post("/v1/permissions/check", question);
        let agent = format!("agent-{number}").parse().unwrap();
        request.headers_mut().insert("user-agent", agent);
        let id = format!("id-{number}").parse().unwrap();
        request.headers_mut().insert("x-request-id", id);
        assert_eq!(http.ask(request).await.code, 400);
        assert_eq!(
            http.post(&format!("/nosuch/{number}"), "{}").await.code,
            404
        );
        let key = format!("Bearer key-{number}");
        let mut request = post("/v1/permissions/check", "{}");
        request
            .headers_mut()
            .insert("authorization", key.parse().unwrap());
        assert_ne!(http.ask(request).await.code, 200);
        let verb = hyper::Request::builder().method(format!("VERB{number}").as_str());
        let verb = verb
            .uri("/v1/permissions/check")
            .header("host", "localhost");
        http.ask(verb.body(body("")).unwrap()).await;
        check(
            &client,
            LATEST,
            &format!("doc:d{number}"),
            &format!("user:u{number}"),
        )
        .await
        .unwrap();
    };
    let shape = |text: &str| {
        let lines = text
            .lines()
            .map(|line| line.split(' ').next().unwrap_or_default().to_owned());
        lines.collect::<Vec<_>>()
    };
    ask(&mut http, 0).await;
    let before = told(&running).await;
    for number in 1..1_500 {
        ask(&mut http, number).await;
    }
    let after = told(&running).await;
    assert_eq!(shape(&before), shape(&after));
    for sent in [
        "nosuch", "agent-", "key-", "VERB", "id-1", "t1x", "p1x", "user:",
    ] {
        assert!(!after.contains(sent), "{sent}");
    }
    running.stop().await;
}
