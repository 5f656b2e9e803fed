//! A server that logs its decisions, and what is decided when they are replayed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{run, serve_with};

const SCHEMA: &str = "caveat is_office(ip string) {\n ip == \"office\"\n}\ndefinition user {}\ndefinition doc {\n\trelation viewer: \
                      user | user with is_office\n\tpermission view = viewer\n}\n";
const RULES: &str = "[labels]\napp = \"shop\"\n[defaults]\ncontext = \"keep\"\n[[rule]]\npermission = \"viewer\"\nmask = \
                     [\"/input/subject\"]\n[[sink]]\nfile = \"decisions.jsonl\"\n";

/// The events of the log, once there are so many.
fn events(folder: &Path, count: usize) -> Vec<Value> {
    let since = Instant::now();
    loop {
        let text = std::fs::read_to_string(folder.join("decisions.jsonl")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines();
        let events: Vec<Value> = lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        if events.len() >= count {
            return events;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "{text}");
        std::thread::yield_now();
    }
}

fn save(folder: &Path, name: &str, events: &[Value]) {
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    std::fs::write(folder.join(name), lines).unwrap();
}

fn started(at: &Path) -> super::Served {
    started_with(at, RULES)
}

fn started_with(at: &Path, rules: &str) -> super::Served {
    std::fs::write(at.join("schema.zed"), SCHEMA).unwrap();
    std::fs::write(at.join("rules.toml"), rules).unwrap();
    let arguments = [
        "--preshared-key",
        "test:open-sesame",
        "--decision-log",
        "rules.toml",
    ];
    let served = serve_with(at, "memory:", "127.0.0.1:0", &arguments);
    assert_eq!(run(at, &["schema", "write", "schema.zed"]).0, 0);
    let rows = ["doc:a#viewer@user:ann", "doc:b#viewer@user:ann[is_office]"];
    for row in rows {
        assert_eq!(run(at, &["relationship", "write", row]).0, 0);
    }
    served
}

#[test]
fn decisions_are_logged_and_replay_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _served = started(at);
    let office = [
        "check",
        "doc:b",
        "view",
        "user:ann",
        "--context",
        "{\"ip\": \"office\"}",
    ];
    assert_eq!(run(at, &["check", "doc:a", "view", "user:ann"]).0, 0);
    assert_eq!(run(at, &["check", "doc:a", "view", "user:bob"]).0, 1);
    assert_eq!(run(at, &["check", "doc:b", "view", "user:ann"]).0, 3);
    assert_eq!(run(at, &office).0, 0);
    assert_eq!(run(at, &["check", "doc:a", "nothing", "user:ann"]).0, 4);
    assert_eq!(
        run(at, &["access", "lock", "user:ann", "--reason", "a test"]).0,
        0
    );
    assert_eq!(run(at, &["check", "doc:a", "view", "user:ann"]).0, 1);
    assert_eq!(run(at, &["access", "unlock", "user:ann"]).0, 0);
    let logged = events(at, 6);
    let told: Vec<Value> = logged.iter().map(|event| event["result"].clone()).collect();
    let unknown = json!({ "kind": "FailedPrecondition", "reason": "UnknownRelationOrPermission" });
    let expected = [
        json!({ "decision": "allowed" }),
        json!({ "decision": "denied" }),
        json!({ "decision": "conditional", "missing": ["ip"] }),
        json!({ "decision": "allowed" }),
        json!({ "decision": "error", "error": unknown }),
        json!({ "decision": "denied", "locked": true }),
    ];
    assert_eq!(told, expected);
    assert_eq!(logged[0]["requested_by"], "remit/key:test");
    assert_eq!(logged[0]["input"]["protocol"], "authzed");
    assert_eq!(logged[0]["labels"]["app"], "shop");

    let replayed = run(at, &["replay", "decisions.jsonl"]);
    let all_same = (
        0,
        "6 same, 0 different, 0 cannot be replayed\n".to_owned(),
        String::new(),
    );
    assert_eq!(replayed, all_same);
    // What was there is no longer, and what was decided stays so.
    assert_eq!(
        run(at, &["relationship", "delete", "doc:a#viewer@user:ann"]).0,
        0
    );
    assert_eq!(run(at, &["replay", "decisions.jsonl"]), all_same);
    let (code, text, _) = run(at, &["replay", "decisions.jsonl", "--against-current"]);
    assert_eq!(code, 1);
    assert!(
        text.contains("doc:a#view@user:ann: allowed, replayed denied"),
        "{text}"
    );
    // An array, compressed.
    let array = Value::Array(logged.clone()).to_string();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(array.as_bytes()).unwrap();
    std::fs::write(at.join("array"), gzip.finish().unwrap()).unwrap();
    assert_eq!(run(at, &["replay", "array"]), all_same);
}

#[test]
fn what_was_tampered_with_is_different_and_what_is_masked_cannot_be_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _served = started(at);
    assert_eq!(run(at, &["check", "doc:a", "view", "user:ann"]).0, 0);
    assert_eq!(run(at, &["check", "doc:a", "viewer", "user:ann"]).0, 0);
    let logged = events(at, 2);
    let id = logged[0]["decision_id"].as_str().unwrap();

    let mut tampered = logged[0].clone();
    tampered["result"]["decision"] = json!("denied");
    save(at, "tampered", &[tampered.clone()]);
    let (code, text, _) = run(at, &["replay", "tampered"]);
    assert_eq!(code, 1);
    let line = format!("different  {id} doc:a#view@user:ann: denied, replayed allowed");
    assert!(text.starts_with(&line), "{text}");
    // As if it had been for a lock.
    tampered["result"]["locked"] = json!(true);
    save(at, "locked", &[tampered]);
    let (code, text, _) = run(at, &["replay", "locked", "--json"]);
    assert_eq!(code, 1);
    assert!(text.contains("denied (locked), replayed allowed"), "{text}");

    assert!(!logged[1].to_string().contains("user:ann"));
    let mut beyond = logged[0].clone();
    beyond["bundles"]["remit"]["revision"] = json!("AAAA");
    let mut other = logged[0].clone();
    other["path"] = json!("other/policy");
    save(at, "masked", &[logged[1].clone(), beyond, other]);
    let (code, text, told) = run(at, &["replay", "masked", "--all"]);
    assert_eq!(code, 3);
    assert!(text.contains("`/input/subject` is masked"), "{text}");
    assert!(
        text.contains("0 same, 0 different, 2 cannot be replayed"),
        "{text}"
    );
    assert!(told.contains("1 entries are no decisions"), "{told}");
    std::fs::write(at.join("broken"), "[{\"path\": ").unwrap();
    assert_eq!(run(at, &["replay", "broken"]).0, 4);
}

/// As a server that crashed leaves it: the next one begins a line of its own.
#[test]
fn a_line_that_was_cut_off_is_no_end_of_a_replay() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _served = started(at);
    assert_eq!(run(at, &["check", "doc:a", "view", "user:ann"]).0, 0);
    assert_eq!(run(at, &["check", "doc:a", "view", "user:bob"]).0, 1);
    let logged = events(at, 2);
    let first = logged[0].to_string();
    let half = &first[..first.len() / 2];
    let mut bytes = format!("\n{first}\n{half}\n\n{}\n", logged[1]).into_bytes();
    // One that is no text, and one that ends with the file.
    bytes.extend(b"{\"path\": \"\xff\xfe\"}\n");
    bytes.extend(half.as_bytes());
    std::fs::write(at.join("cut"), bytes).unwrap();
    let (code, text, told) = run(at, &["replay", "cut"]);
    assert_eq!((code, told.lines().count()), (0, 1), "{text}{told}");
    assert_eq!(text, "2 same, 0 different, 0 cannot be replayed\n");
    assert!(
        told.starts_with("3 entries are no decisions; the first: line 3 "),
        "{told}"
    );
    assert!(!told.contains("user:ann"), "{told}");
    let (code, text, _) = run(at, &["replay", "cut", "--json"]);
    assert_eq!(code, 0);
    assert!(text.contains("\"unread\":3"), "{text}");
    // One that goes on and on is skipped, too.
    let long = format!("{}\n{first}\n", "x".repeat(20 << 20));
    std::fs::write(at.join("long"), long).unwrap();
    let (code, text, told) = run(at, &["replay", "long"]);
    assert_eq!(
        (code, text.as_str()),
        (0, "1 same, 0 different, 0 cannot be replayed\n"),
        "{told}"
    );
    assert!(told.contains("line 1 has over"), "{told}");
}

/// Nobody has to know that the file of rules names another.
#[test]
fn another_salt_is_taken_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("salt"), "0123456789abcdef").unwrap();
    let rules = format!("salt_file = \"salt\"\n{RULES}");
    let _served = started_with(at, &rules);
    let ask = |count: usize| {
        assert_eq!(run(at, &["check", "doc:a", "viewer", "user:ann"]).0, 0);
        let event = events(at, count).remove(count - 1);
        event["input"]["subject"].as_str().unwrap().to_owned()
    };
    let masked = ask(1);
    assert_eq!(ask(2), masked);
    std::fs::write(at.join("salt"), "another salt, and a longer one").unwrap();
    let since = Instant::now();
    let mut count = 3;
    while ask(count) == masked {
        count += 1;
        assert!(since.elapsed() < Duration::from_secs(60));
    }
}

#[test]
fn what_comes_over_http_is_logged_with_its_trace_and_rules_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _served = started(at);
    let configuration = std::fs::read_to_string(at.join("remit.toml")).unwrap();
    let address = configuration.split('"').nth(1).unwrap().to_owned();
    let ask = |id: &str| {
        let body = "{\"subject\":{\"type\":\"user\",\"id\":\"ann\"},\"action\":{\"name\":\"view\"},\"resource\":{\"type\":\"doc\",\"id\":\"a\"}}";
        let mut stream = TcpStream::connect(&address).unwrap();
        let request = format!(
            "POST /access/v1/evaluation HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer open-sesame\r\nx-request-id: {id}\r\n\
             traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("\"decision\":true"), "{answer}");
    };
    ask("first");
    let event = events(at, 1).remove(0);
    assert_eq!(event["input"]["protocol"], "authzen");
    assert_eq!(event["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(
        event["request_context"]["http"]["headers"]["x-request-id"][0],
        "first"
    );

    // Rules that are wrong change nothing; others hold once they are read.
    std::fs::write(at.join("rules.toml"), RULES.replace("mask", "maks")).unwrap();
    std::fs::write(
        at.join("rules.toml"),
        format!("# {:40}\n{RULES}", "")
            .replace("[defaults]", "[defaults]\nerase = [\"/request_context\"]"),
    )
    .unwrap();
    let since = Instant::now();
    let mut count = 1;
    loop {
        ask("next");
        count += 1;
        let event = events(at, count).remove(count - 1);
        if event.get("request_context").is_none() {
            assert_eq!(event["erased"], json!(["/request_context"]));
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(60));
    }
}

#[test]
fn a_server_does_not_start_with_rules_that_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(
        at.join("rules.toml"),
        "[defaults]\nsample = 7\n[[sink]]\nfile = \"log\"\n",
    )
    .unwrap();
    let arguments = [
        "serve",
        "--store",
        "memory:",
        "--preshared-key",
        "k",
        "--decision-log",
        "rules.toml",
    ];
    let (code, _, told) = run(at, &arguments);
    assert_eq!(code, 4);
    assert!(
        told.contains("rules.toml:2:10: `sample` is a part of all, from 0 to 1"),
        "{told}"
    );
    let nowhere = "[[sink]]\nfile = \"no/such/folder/log\"\n";
    std::fs::write(at.join("rules.toml"), nowhere).unwrap();
    let (code, _, told) = run(at, &arguments);
    assert_eq!(code, 4);
    assert!(
        told.contains("the sink `file-1` of the decision log cannot be used"),
        "{told}"
    );
}
