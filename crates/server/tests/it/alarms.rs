//! What `deploy/observability` asks for is what a server tells: each metric, each label; and each alarm has its page.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use decision_log::DecisionLog;
use edge::Rules;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::consistency::Requirement;
use remit_client::{Client, Transport};
use serde::Deserialize;
use serde_json::Value;
use server::{Edge, Tls, TraceSettings};

use crate::http_client::{Http, post};
use crate::life::{SCHEMA, check, touch};
use crate::observe::series;
use crate::running::{KEY, Running, start_set, write_schema};

/// What Prometheus adds to each series by itself, or makes of one.
const OF_PROMETHEUS: [&str; 4] = ["job", "instance", "le", "up"];

const QUESTION: &str = r#"{"resource": {"objectType": "doc", "objectId": "a"}, "permission": "view",
    "subject": {"object": {"objectType": "user", "objectId": "ann"}}}"#;

#[derive(Debug, Deserialize)]
struct Alerts {
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    alert: Option<String>,
    record: Option<String>,
    expr: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn rules() -> Vec<Rule> {
    let alerts: Alerts = serde_saphyr::from_str(&read("deploy/observability/alerts.yaml")).unwrap();
    alerts
        .groups
        .into_iter()
        .flat_map(|group| group.rules)
        .collect()
}

/// Every expression of the dashboard.
fn of_dashboard(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_expression = name == "expr" || name == "query";
                match value.as_str().filter(|_| is_expression) {
                    Some(text) => found.push(text.to_owned()),
                    None => of_dashboard(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| of_dashboard(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The metrics that an expression names, with the labels that it looks at; and those that it groups by, under no name.
fn asked(expression: &str) -> Vec<(String, BTreeSet<String>)> {
    let is_name = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == ':';
    let mut asked = Vec::new();
    let mut rest = expression;
    while let Some(begin) = rest.find(|it: char| it.is_ascii_alphabetic()) {
        rest = &rest[begin..];
        let (name, after) = rest.split_at(rest.find(|it| !is_name(it)).unwrap_or(rest.len()));
        rest = after;
        let is_metric = ["remit", "process_", "up"]
            .iter()
            .any(|it| name.starts_with(it));
        if is_metric {
            let mut labels = BTreeSet::new();
            if let Some(inner) = rest.strip_prefix('{') {
                let (matchers, after) = split_matchers(inner);
                labels.extend(matchers);
                rest = after;
            }
            asked.push((name.to_owned(), labels));
        } else if matches!(name, "by" | "on") {
            let (inner, after) = rest.split_once('(').unwrap().1.split_once(')').unwrap();
            let labels = inner.split(',').map(|label| label.trim().to_owned());
            asked.push((String::new(), labels.filter(|it| !it.is_empty()).collect()));
            rest = after;
        } else if rest.starts_with('"') {
            rest = rest[1..].split_once('"').unwrap().1;
        }
    }
    asked
}

/// The names of labels up to the brace that ends them, and what comes after it.
fn split_matchers(inner: &str) -> (Vec<String>, &str) {
    let mut labels = Vec::new();
    let mut rest = inner;
    while !rest.starts_with('}') {
        let (label, after) = rest.split_once(['=', '!']).unwrap();
        labels.push(label.trim_start_matches(',').trim().to_owned());
        let (_, after) = after.split_once('"').unwrap();
        rest = after.split_once('"').unwrap().1;
    }
    (labels, &rest[1..])
}

/// The labels of every series that is told, by its name.
fn told_labels(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let end = line.find(['{', ' ']).unwrap();
        let (name, rest) = line.split_at(end);
        let labels = told.entry(name.to_owned()).or_default();
        if let Some(inner) = rest.strip_prefix('{') {
            labels.extend(split_matchers(inner).0);
        }
    }
    told
}

/// Asks a bit of everything.
async fn keep_busy(running: &Running, client: &Client, stranger: &Client, certificate: &str) {
    write_schema(client, SCHEMA).await;
    touch(client, &["doc:a#viewer@user:ann"]).await.unwrap();
    let full = Requirement::FullyConsistent(true);
    check(client, full, "doc:a", "user:ann").await.unwrap();
    let latest = Requirement::MinimizeLatency(true);
    check(stranger, latest, "doc:a", "user:ann")
        .await
        .unwrap_err();
    let read = wire::ReadRelationshipsRequest {
        relationship_filter: Some(wire::RelationshipFilter {
            resource_type: "doc".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut read = client
        .permissions()
        .read_relationships(read)
        .await
        .unwrap()
        .into_inner();
    while read.message().await.unwrap().is_some() {}
    let mut http = Http::connect_tls(running.http, certificate).await;
    let mut proxied = post("/edge/forward-auth", "");
    for (name, value) in [
        ("remit-authorization", format!("Bearer {KEY}")),
        ("x-forwarded-method", "GET".to_owned()),
        ("x-forwarded-host", "app.example.org".to_owned()),
        ("x-forwarded-uri", "/open".to_owned()),
    ] {
        proxied.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(http.ask(proxied).await.code, 200);
    let mut of_another = post("/v1/permissions/check", QUESTION);
    let bob = "remit/user:bob".parse().unwrap();
    of_another.headers_mut().insert("remit-on-behalf-of", bob);
    assert_ne!(http.ask(of_another).await.code, 200);
}

/// The metrics of a server that has a bit of everything.
async fn of_busy_server() -> String {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let route = "routes: [{name: open, path: /open, allow: true, reason: it is for anybody}]";
    let rules = Rules::read("rules.yaml", route).unwrap_or_else(|faults| panic!("{faults}"));
    let edge = Edge::new(rules);
    let tls = Tls {
        certificate_pem: made.cert.pem(),
        key_pem: made.signing_key.serialize_pem(),
        client_authorities_pem: None,
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.toml");
    fs::write(&file, "[[sink]]\nfile = \"log\"\n").unwrap();
    let log_rules = decision_log::Rules::read(&file).unwrap();
    let log = DecisionLog::start(log_rules, BTreeMap::new()).unwrap();
    let running = start_set(|config| {
        config.decision_log = Some(log);
        config.tls = Some(tls);
        config.edge = Some(edge);
        config.traces = Some(TraceSettings {
            endpoint: "http://127.0.0.1:1".to_owned(),
            headers: Vec::new(),
            authorities_pem: None,
            ratio: 1.0,
            followed_per_second_max: 1,
            service_name: "remit".to_owned(),
        });
    })
    .await;
    let transport = || Transport::Tls {
        authorities_pem: made.cert.pem(),
    };
    let client = running.client_with(Some(KEY), transport()).await;
    let comparing = tokio::spawn(ops::digest::run(
        Arc::clone(&running.node),
        Duration::from_millis(10),
    ));
    let stranger = running.client_with(Some("wrong"), transport()).await;
    keep_busy(&running, &client, &stranger, &made.cert.pem()).await;
    let mut text = String::new();
    let is_whole = |text: &str| {
        let compared = series(text, "remit_store_comparisons_total{outcome=\"alike\"}") > 0.0;
        compared && text.contains("remit_graph_memory_bytes{")
    };
    while !is_whole(&text) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut http = Http::connect_tls(running.metrics, &made.cert.pem()).await;
        text = http.get("/metrics").await.text;
    }
    comparing.abort();
    drop((client, stranger));
    running.stop().await;
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_dashboard_and_the_alarms_look_at_is_told() {
    let told = told_labels(&of_busy_server().await);
    let dashboard: Value =
        serde_json::from_str(&read("deploy/observability/dashboard.json")).unwrap();
    let mut expressions = Vec::new();
    of_dashboard(&dashboard, &mut expressions);
    assert!(expressions.len() > 40, "{}", expressions.len());
    let rules = rules();
    let recorded: BTreeSet<_> = rules
        .iter()
        .filter_map(|rule| rule.record.clone())
        .collect();
    expressions.extend(rules.into_iter().map(|rule| rule.expr));
    let all: BTreeSet<_> = told.values().flatten().cloned().collect();
    let is_added = |label: &String| OF_PROMETHEUS.contains(&label.as_str());
    let mut wrong = Vec::new();
    for expression in &expressions {
        for (name, labels) in asked(expression) {
            if recorded.contains(&name) || name == "up" {
                continue;
            }
            let Some(known) = (if name.is_empty() {
                Some(&all)
            } else {
                told.get(&name)
            }) else {
                wrong.push(format!("`{name}` is not told, in {expression}"));
                continue;
            };
            for label in labels
                .iter()
                .filter(|label| !is_added(label) && !known.contains(*label))
            {
                wrong.push(format!("`{name}` has no `{label}`, in {expression}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_asked_for_is_read_from_an_expression() {
    let of = |labels: &[&str]| {
        labels
            .iter()
            .map(|it| (*it).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        asked("sum by (le, b) (rate(remit_a_total{x=~\"remit_no|{}\",y!=\"z\"}[5m])) / on (c) up"),
        [
            (String::new(), of(&["le", "b"])),
            ("remit_a_total".to_owned(), of(&["x", "y"])),
            (String::new(), of(&["c"])),
            ("up".to_owned(), of(&[])),
        ]
    );
}

#[test]
fn each_alarm_has_its_page_and_each_page_its_alarm() {
    let mut left: BTreeSet<String> = BTreeSet::new();
    for entry in fs::read_dir(root().join("docs/runbooks")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let text = read(&format!("docs/runbooks/{name}"));
        let alarms = text
            .lines()
            .filter_map(|line| line.strip_prefix("## Remit"));
        let alarms: Vec<_> = alarms
            .map(|alarm| format!("{name}#remit{}", alarm.to_lowercase()))
            .collect();
        assert!(!alarms.is_empty(), "{name} is for no alarm");
        for part in [
            "What it means",
            "What users see",
            "Look at",
            "Do",
            "When to wake somebody",
        ] {
            assert!(
                text.contains(&format!("\n## {part}\n")),
                "{name} lacks `{part}`"
            );
        }
        left.extend(alarms);
    }
    for rule in rules() {
        let Some(alarm) = rule.alert else { continue };
        assert!(
            ["page", "ticket"].contains(&rule.labels["severity"].as_str()),
            "{alarm}"
        );
        assert!(!rule.annotations["summary"].is_empty(), "{alarm}");
        let page = rule.annotations["runbook_url"]
            .rsplit_once("/docs/runbooks/")
            .unwrap()
            .1;
        let own = format!("#{}", alarm.to_lowercase());
        assert!(page.ends_with(&own), "{alarm} leads to {page}");
        assert!(left.remove(page), "{page} is not there");
    }
    assert!(left.is_empty(), "no alarm leads to {left:?}");
}
