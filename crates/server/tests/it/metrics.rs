//! What those who operate a server can measure, and ask for without a key.

use std::sync::Arc;

use model::SystemClock;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::consistency::Requirement;
use remit_client::proto::remit::v1::DigestRequest;
use server::Tls;
use store::SqliteStore;
use tonic::Code;

use crate::http_client::Http;
use crate::life::{touch, with_schema};
use crate::running::start_on;

/// The value of a metric without labels.
fn value(text: &str, name: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn metrics_tell_how_far_a_node_is() {
    let (running, client) = with_schema().await;
    touch(&client, &["doc:a#viewer@user:ann"]).await.unwrap();
    touch(&client, &["doc:b#viewer@user:ann"]).await.unwrap();
    touch(&client, &["doc:b#nosuch@user:ann"])
        .await
        .unwrap_err();
    let mut http = Http::connect(running.metrics).await;
    let answer = http.get("/metrics").await;
    assert_eq!(answer.code, 200);
    let content_type = answer.headers["content-type"].to_str().unwrap();
    assert!(
        content_type.starts_with("application/openmetrics-text"),
        "{content_type}"
    );
    let text = &answer.text;
    assert_eq!(value(text, "remit_ready"), 1.0);
    assert_eq!(value(text, "remit_revision"), 3.0);
    assert_eq!(value(text, "remit_relationships"), 2.0);
    assert_eq!(value(text, "remit_applied_commits_total"), 3.0);
    assert_eq!(value(text, "remit_follow_lag_seconds_count"), 3.0);
    assert!(value(text, "remit_head_confirmed_ago_seconds") < 60.0);
    assert_eq!(value(text, "remit_clock_offset_seconds"), 0.0);
    let durable = "remit_store_commit_seconds_count{outcome=\"durable\"}";
    assert_eq!(value(text, durable), 3.0);
    assert!(text.contains("remit_build_info{version="), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    // Nothing names who has access to what.
    let series = text.lines().filter(|line| !line.starts_with('#'));
    for line in series {
        assert!(!line.contains("ann") && !line.contains("viewer"), "{line}");
    }
    running.stop().await;
}

#[tokio::test]
async fn health_is_told_beside_metrics_and_nothing_else() {
    let (running, _) = with_schema().await;
    let mut http = Http::connect(running.metrics).await;
    let health = http.get("/healthz").await;
    assert_eq!((health.code, health.text.as_str()), (200, "ready\n"));
    for path in ["/", "/v1/permissions/check", "/openapi.json"] {
        assert_eq!(http.get(path).await.code, 404, "{path}");
    }
    assert_eq!(http.post("/metrics", "{}").await.code, 405);
    running.node.stop();
    running.stop().await;
}

/// Those who watch over a server have no certificate, where its callers need one.
#[tokio::test]
async fn metrics_are_under_tls_and_ask_for_no_certificate() {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let tls = Tls {
        certificate_pem: made.cert.pem(),
        key_pem: made.signing_key.serialize_pem(),
        client_authorities_pem: Some(made.cert.pem()),
    };
    let store = Arc::new(SqliteStore::memory().unwrap());
    let running = start_on(store, Arc::new(SystemClock), Some(tls)).await;
    let mut http = Http::connect_tls(running.metrics, &made.cert.pem()).await;
    assert_eq!(http.get("/metrics").await.code, 200);
    running.stop().await;
}

#[tokio::test]
async fn a_node_tells_the_digest_of_a_snapshot() {
    let (running, client) = with_schema().await;
    let first = touch(&client, &["doc:a#viewer@user:ann"]).await.unwrap();
    touch(&client, &["doc:b#viewer@user:ann"]).await.unwrap();
    let ask = async |requirement| {
        let request = DigestRequest {
            consistency: Some(wire::Consistency {
                requirement: Some(requirement),
            }),
        };
        client
            .node()
            .digest(request)
            .await
            .map(tonic::Response::into_inner)
    };
    let at_first = Requirement::AtExactSnapshot(wire::ZedToken {
        token: first.to_string(),
    });
    let told = ask(at_first).await.unwrap();
    assert_eq!((told.revision, told.relationship_count), (2, 1));
    assert_eq!(told.digested_at.unwrap().token, first.to_string());
    let mut digest = store::Digest::default();
    digest.add(&"doc:a#viewer@user:ann".parse().unwrap());
    assert_eq!(told.digest, digest.to_string());
    let newest = ask(Requirement::FullyConsistent(true)).await.unwrap();
    assert_eq!((newest.revision, newest.relationship_count), (3, 2));
    let broken = Requirement::AtExactSnapshot(wire::ZedToken::default());
    assert_eq!(ask(broken).await.unwrap_err().code(), Code::InvalidArgument);
    running.stop().await;
}
