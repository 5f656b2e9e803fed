//! The services as JSON over HTTP: every route, the forms of JSON, what is refused and how, streams, ports, TLS.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::SystemClock;
use remit_client::Transport;
use remit_client::proto::authzed::api::v1 as wire;
use serde_json::{Value, json};
use server::{HttpAddress, Tls};
use store::SqliteStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http_client::{Http, parts, post, text, with_body};
use crate::running::{KEY, Running, start, start_as};

const SCHEMA: &str = "use expiration\n\ncaveat inside(seen map<any>, limit int) {\n\tseen.at.level == limit && seen.tags[1] == \"b\"\n}\n\n\
    definition user {}\n\ndefinition doc {\n\trelation viewer: user | user with inside | user with expiration\n\tpermission view = viewer\n}";

/// A server with a schema, and a connection to it.
async fn ready() -> (Running, Http) {
    let running = start().await;
    let mut http = Http::to(&running).await;
    http.well("/v1/schema/write", json!({ "schema": SCHEMA }))
        .await;
    (running, http)
}

fn object(text: &str) -> Value {
    let (kind, id) = text.split_once(':').unwrap();
    json!({ "objectType": kind, "objectId": id })
}

fn row(text: &str) -> Value {
    let (resource, subject) = text.split_once("#viewer@").unwrap();
    json!({ "resource": object(resource), "relation": "viewer", "subject": { "object": object(subject) } })
}

fn touch(rows: &[Value]) -> Value {
    let updates = rows
        .iter()
        .map(|row| json!({ "operation": "OPERATION_TOUCH", "relationship": row }));
    json!({ "updates": updates.collect::<Vec<_>>() })
}

fn question(resource: &str, subject: &str) -> Value {
    json!({
        "consistency": { "fullyConsistent": true },
        "resource": object(resource),
        "permission": "view",
        "subject": { "object": object(subject) },
    })
}

async fn permissionship(http: &mut Http, question: Value) -> String {
    let answer = http.well("/v1/permissions/check", question).await;
    let told = answer.get("permissionship").unwrap();
    told.as_str().unwrap().to_owned()
}

const HAS: &str = "PERMISSIONSHIP_HAS_PERMISSION";
const NO: &str = "PERMISSIONSHIP_NO_PERMISSION";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_answered_and_what_is_not_set_is_told() {
    let (running, mut http) = ready().await;
    let read = http.well("/v1/schema/read", "").await;
    assert!(
        read["schemaText"]
            .as_str()
            .unwrap()
            .contains("definition doc")
    );
    let written = http
        .well(
            "/v1/relationships/write",
            touch(&[row("doc:a#viewer@user:ann"), row("doc:b#viewer@user:ann")]),
        )
        .await;
    let token = written["writtenAt"]["token"].as_str().unwrap().to_owned();
    let answer = http
        .well("/v1/permissions/check", question("doc:a", "user:ann"))
        .await;
    assert_eq!(
        answer,
        json!({
            "checkedAt": { "token": token },
            "permissionship": HAS,
            "partialCaveatInfo": null,
            "debugTrace": null,
            "optionalExpiresAt": null,
        })
    );
    let mut items = vec![question("doc:a", "user:ann"), question("doc:a", "user:bob")];
    items.push(json!({ "resource": object("doc:a"), "permission": "nosuch", "subject": { "object": object("user:ann") } }));
    let bulk = json!({ "consistency": { "atLeastAsFresh": { "token": token } }, "items": items });
    let bulk = http.well("/v1/permissions/checkbulk", bulk).await;
    assert_eq!(bulk["pairs"][0]["item"]["permissionship"], HAS);
    assert_eq!(bulk["pairs"][1]["item"]["permissionship"], NO);
    assert!(
        bulk["pairs"][1].get("error").is_none(),
        "only one of a choice is told"
    );
    let error = &bulk["pairs"][2]["error"];
    assert_eq!(error["code"], 9);
    assert_eq!(
        error["details"][0]["@type"],
        "type.googleapis.com/google.rpc.ErrorInfo"
    );
    assert_eq!(error["details"][0]["metadata"]["definition_name"], "doc");

    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_comes_line_by_line() {
    let (running, mut http) = ready().await;
    let rows = [row("doc:a#viewer@user:ann"), row("doc:b#viewer@user:ann")];
    http.well("/v1/relationships/write", touch(&rows)).await;
    let explained = http
        .well(
            "/remit/v1/permissions/explain",
            question("doc:a", "user:ann"),
        )
        .await;
    assert_eq!(explained["outcome"], "OUTCOME_YES");
    assert_eq!(
        explained["witness"][0]["subject"]["object"]["objectId"],
        "ann"
    );
    let everything = json!({ "consistency": { "fullyConsistent": true }, "relationshipFilter": { "resourceType": "doc" } });
    let rows = http.post("/v1/relationships/read", &everything).await;
    assert_eq!((rows.code, rows.lines().len()), (200, 2), "{}", rows.text);
    assert_eq!(
        rows.lines()[1]["result"]["relationship"]["resource"]["objectId"],
        "b"
    );
    assert_eq!(rows.headers["transfer-encoding"], "chunked");
    let pages = json!({ "consistency": { "fullyConsistent": true }, "optionalLimit": 1 });
    let pages = http
        .post("/v1/relationships/exportbulk", pages)
        .await
        .lines();
    assert_eq!(pages.len(), 2);
    assert_eq!(
        pages[0]["result"]["relationships"][0]["resource"]["objectId"],
        "a"
    );
    let deleted = http.well("/v1/relationships/delete", everything).await;
    assert_eq!(
        deleted["relationshipsDeletedCount"], "2",
        "64 bits are text"
    );
    assert_eq!(deleted["deletionProgress"], "DELETION_PROGRESS_COMPLETE");
    let none = http
        .post(
            "/v1/relationships/read",
            json!({ "relationshipFilter": { "resourceType": "doc" } }),
        )
        .await;
    assert_eq!((none.code, none.text.as_str()), (200, ""));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_read_in_all_its_forms() {
    let (running, mut http) = ready().await;
    let mut expiring = row("doc:t#viewer@user:ann");
    expiring["optional_expires_at"] = json!("2999-01-02T03:04:05.123456789+02:00");
    let mut caveated = row("doc:c#viewer@user:ann");
    caveated["optionalCaveat"] =
        json!({ "caveatName": "inside", "context": { "limit": 9_007_199_254_740_991_i64 } });
    // Names as in the definition, enumerations by number, and what nobody knows.
    let written = json!({
        "updates": [
            { "operation": 2, "relationship": expiring, "unknown_to_all": [1, { "x": null }] },
            { "operation": "OPERATION_CREATE", "relationship": caveated },
        ],
        "optional_transaction_metadata": { "ticket": { "ids": [1, null, "two", { "deep": [true] }] } },
    });
    http.well("/v1/relationships/write", written).await;
    let filter = |id: &str| json!({ "resource_type": "doc", "optionalResourceId": id });
    // A number as text and as a number with an exponent; null for what is not set.
    for limit in [json!("1"), json!(1), json!(1e0), Value::Null] {
        let read = json!({ "relationship_filter": filter("t"), "optional_limit": limit, "optionalCursor": null });
        let read = http.post("/v1/relationships/read", read).await.lines();
        assert_eq!(read.len(), 1, "{limit}");
        let at = &read[0]["result"]["relationship"]["optionalExpiresAt"];
        // The store keeps microseconds.
        assert_eq!(*at, "2999-01-02T01:04:05.123456Z");
    }
    let read = http
        .post(
            "/v1/relationships/read",
            json!({ "relationshipFilter": filter("c") }),
        )
        .await
        .lines();
    let caveat = &read[0]["result"]["relationship"]["optionalCaveat"];
    assert_eq!(
        caveat["context"].to_string(),
        r#"{"limit":9007199254740991}"#
    );
    let mut asked = question("doc:c", "user:ann");
    let answer = http.well("/v1/permissions/check", &asked).await;
    assert_eq!(
        answer["permissionship"],
        "PERMISSIONSHIP_CONDITIONAL_PERMISSION"
    );
    assert_eq!(
        answer["partialCaveatInfo"]["missingRequiredContext"],
        json!(["seen"])
    );
    for (level, tag, expected) in [
        (9_007_199_254_740_991_i64, "b", HAS),
        (5, "b", NO),
        (9_007_199_254_740_991, "c", NO),
    ] {
        asked["context"] = json!({ "seen": { "at": { "level": level }, "tags": ["a", tag] } });
        assert_eq!(
            permissionship(&mut http, asked.clone()).await,
            expected,
            "{level} {tag}"
        );
    }
    running.stop().await;
}

fn nested(levels: usize) -> String {
    let (open, close) = ("{\"b\":".repeat(levels), "}".repeat(levels));
    format!("{{\"context\":{{\"a\":{open}1{close}}}}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_cannot_be_read_says_where() {
    let (running, mut http) = ready().await;
    // The three writers and readers on the way have three limits of depth.
    let (deep, deeper) = (nested(40), nested(60));
    let deepest = nested(200);
    for (method, body, expected) in [
        (
            "permissions/check",
            "{\"resource\": }",
            "expected value at line 1 column 14",
        ),
        (
            "permissions/check",
            "{}{}",
            "trailing characters at line 1 column 3",
        ),
        (
            "permissions/check",
            "[]",
            "no authzed.api.v1.CheckPermissionRequest as JSON",
        ),
        ("permissions/check", "{\n \"permission\": 5}", "line 2"),
        ("permissions/check", "{\"withTracing\": \"yes\"}", "line 1"),
        ("permissions/check", &deep, "nested too deep"),
        ("permissions/check", &deeper, "recursion limit"),
        (
            "permissions/check",
            &deepest,
            "recursion limit exceeded at line 1",
        ),
        ("permissions/check", "{}", "validation errors"),
        ("relationships/read", "{\"optionalLimit\": -1}", "as JSON"),
        (
            "relationships/read",
            "{\"optionalLimit\": 4294967296}",
            "as JSON",
        ),
        (
            "relationships/read",
            "{\"optionalLimit\": 1.5}",
            "expected integer",
        ),
        (
            "schema/write",
            "{\"schema\": \"definition\"}",
            "Expected identifier",
        ),
    ] {
        let answer = http.post(&format!("/v1/{method}"), body).await;
        let told = answer.json();
        // A stream that fails before its first message tells it as it tells any failure.
        let error = told.get("error").unwrap_or(&told);
        assert_eq!(
            (answer.code, &error["code"]),
            (400, &json!(3)),
            "{body}: {}",
            answer.text
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(expected), "{body}: {message}");
    }
    for levels in 25..45 {
        let answer = http.post("/v1/permissions/check", nested(levels)).await;
        assert_eq!(answer.code, 400, "{levels}: {}", answer.text);
        let is_read = answer.text.contains("validation errors");
        assert_eq!(is_read, levels <= 32, "{levels}: {}", answer.text);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_says_why_in_the_form_of_its_protocol() {
    let (running, mut http) = ready().await;
    let check = "/v1/permissions/check";
    let nowhere = http.post("/v1/nosuch", "{}").await;
    assert_eq!(
        (nowhere.code, nowhere.text.as_str()),
        (404, r#"{"code":5,"message":"Not Found","details":[]}"#)
    );
    let got = http.get(check).await;
    assert_eq!(
        (got.code, got.text.as_str()),
        (
            501,
            r#"{"code":12,"message":"Method Not Allowed","details":[]}"#
        )
    );
    assert_eq!(got.headers["allow"], "POST");
    let violated = http.post(check, "{}").await.json();
    assert_eq!(
        violated["details"][0]["@type"],
        "type.googleapis.com/buf.validate.Violations"
    );
    assert_eq!(
        violated["details"][0]["violations"][0]["ruleId"],
        "required"
    );
    let huge = format!("{{\"permission\": \"{}\"}}", "x".repeat(5 << 20));
    let huge = Http::to(&running).await.post(check, huge).await;
    assert_eq!(
        (huge.code, &huge.json()["code"]),
        (429, &json!(8)),
        "{}",
        huge.text
    );

    for (key, code, status) in [(None, 401, 16), (Some("wrong"), 403, 7)] {
        let mut request = post(check, question("doc:a", "user:a"));
        request.headers_mut().remove("authorization");
        if let Some(key) = key {
            let header = format!("Bearer {key}").parse().unwrap();
            request.headers_mut().insert("authorization", header);
        }
        let answer = http.ask(request).await;
        assert_eq!(
            (answer.code, &answer.json()["code"]),
            (code, &json!(status))
        );
    }
    let mut of_a_page = post(check, question("doc:a", "user:a"));
    of_a_page
        .headers_mut()
        .insert("sec-fetch-site", "cross-site".parse().unwrap());
    assert_eq!(http.ask(of_a_page).await.code, 403);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_keeps_its_id_and_its_deadline() {
    let (running, mut http) = ready().await;
    let mut request = post("/v1/schema/read", "{}");
    request
        .headers_mut()
        .insert("x-request-id", "mine".parse().unwrap());
    request
        .headers_mut()
        .insert("grpc-timeout", "20S".parse().unwrap());
    let answer = http.ask(request).await;
    assert_eq!(
        (answer.code, &answer.headers["x-request-id"]),
        (200, &"mine".parse().unwrap())
    );
    let mut wrong = post("/v1/schema/read", "{}");
    wrong
        .headers_mut()
        .insert("grpc-timeout", "soon".parse().unwrap());
    let wrong = http.ask(wrong).await;
    assert_eq!((wrong.code, &wrong.json()["code"]), (400, &json!(3)));
    assert_eq!(wrong.headers["x-request-id"].len(), 32);
    // The body never ends, so nothing but the deadline can end the call.
    let (_open, body) = parts();
    let mut late = with_body("/v1/relationships/importbulk", body);
    late.headers_mut()
        .insert("grpc-timeout", "20m".parse().unwrap());
    let late = http.ask(late).await;
    assert_eq!(
        (late.code, &late.json()["code"]),
        (504, &json!(4)),
        "{}",
        late.text
    );
    running.stop().await;

    let store = Arc::new(SqliteStore::memory().unwrap());
    let here = HttpAddress::Own("127.0.0.1:0".parse().unwrap());
    let strict = start_as(
        store,
        Arc::new(SystemClock),
        None,
        here,
        Duration::from_millis(20),
    )
    .await;
    let (_open, body) = parts();
    let late = Http::to(&strict)
        .await
        .ask(with_body("/v1/relationships/importbulk", body))
        .await;
    assert_eq!(late.code, 504, "{}", late.text);
    strict.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_read_as_it_comes_and_taken_whole_or_not_at_all() {
    let (running, mut http) = ready().await;
    let import = "/v1/relationships/importbulk";
    let message = |ids: std::ops::Range<u32>| {
        let rows: Vec<_> = ids
            .map(|id| row(&format!("doc:d{id}#viewer@user:u")))
            .collect();
        json!({ "relationships": rows })
    };
    // Messages begin and end anywhere in the parts of the body.
    let body = format!(
        "{}\n\n  {:#}{}\n",
        message(0..3),
        message(3..5),
        message(5..9)
    );
    let (sender, streamed) = parts();
    for part in body.as_bytes().chunks(100) {
        sender
            .send(String::from_utf8(part.to_vec()).unwrap())
            .unwrap();
    }
    drop(sender);
    let answer = http.ask(with_body(import, streamed)).await;
    assert_eq!(
        (answer.code, answer.json()),
        (200, json!({ "numLoaded": "9" })),
        "{}",
        answer.text
    );

    // A broken line is told while the body still goes on.
    let (sender, streamed) = parts();
    sender
        .send(format!("{}\n{{\"relationships\": 5}}\n", message(10..12)))
        .unwrap();
    let broken = http.ask(with_body(import, streamed)).await;
    assert_eq!(broken.code, 400);
    let told = broken.json()["message"].as_str().unwrap().to_owned();
    assert!(
        told.starts_with("message 2 of the request body, which begins on line 2, is no"),
        "{told}"
    );
    drop(sender);
    let mut http = Http::to(&running).await;
    let cut = format!("{}\n{{\"relation", message(12..14));
    let unfinished = http.post(import, cut).await;
    assert!(
        unfinished.text.contains("ends within message 2"),
        "{}",
        unfinished.text
    );

    // A client that goes away in the middle of its body has not asked for anything.
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    let first = message(20..22).to_string();
    let head = format!(
        "POST {import} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n",
        first.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    let node = Arc::clone(&running.node);
    running.stop().await;
    assert_eq!(node.snapshot().relationship_count(), 9);
}

/// The answer comes before the body does, so the connection cannot be used again; who is told so does not try.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_its_body_closes_the_connection() {
    let (running, _) = ready().await;
    for request in ["POST /v1/nosuch", "PUT /v1/schema/read"] {
        let head = format!("{request} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n");
        let mut stream = TcpStream::connect(running.http).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.unwrap();
        assert!(told.contains("connection: close\r\n"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_and_the_health_need_no_key() {
    let running = start().await;
    let mut http = Http::to(&running).await;
    let health = loop {
        // Health is brought up to date beside the serving.
        let health = http.get("/healthz").await;
        if health.code == 200 {
            break health;
        }
    };
    assert_eq!(health.text, r#"{"status":"SERVING"}"#);
    assert_eq!(http.post("/healthz", "").await.code, 501);
    let document = http.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let check = &document["paths"]["/v1/permissions/check"]["post"];
    assert_eq!(check["operationId"], "PermissionsService_CheckPermission");
    let explain = &document["paths"]["/remit/v1/permissions/explain"]["post"];
    assert!(
        explain["description"]
            .as_str()
            .unwrap()
            .starts_with("Explains one question.")
    );
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 100);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
    // Every path is a route: without a key it is refused, which a path that is none would not be.
    for path in document["paths"].as_object().unwrap().keys() {
        if path.starts_with("/v1/") {
            let request = Request::post(path)
                .header("host", "x")
                .body(text("{}"))
                .unwrap();
            assert_eq!(http.ask(request).await.code, 401, "{path}");
        }
    }
    running.stop().await;
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.push(reference.clone());
            }
            members
                .values()
                .for_each(|member| collect_references(member, found));
        }
        Value::Array(members) => members
            .iter()
            .for_each(|member| collect_references(member, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_port_speaks_both_with_tls_and_without() {
    let signed =
        rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
            .unwrap();
    let certificate = signed.cert.pem();
    let tls = Tls {
        certificate_pem: certificate.clone(),
        key_pem: signed.signing_key.serialize_pem(),
        client_authorities_pem: None,
    };
    for tls in [None, Some(tls)] {
        let has_tls = tls.is_some();
        let store = Arc::new(SqliteStore::memory().unwrap());
        let minute = Duration::from_secs(60);
        let running = start_as(
            store,
            Arc::new(SystemClock),
            tls,
            HttpAddress::WithGrpc,
            minute,
        )
        .await;
        assert_eq!(running.http.to_string(), running.endpoint);
        let transport = if has_tls {
            Transport::Tls {
                authorities_pem: certificate.clone(),
            }
        } else {
            Transport::Plaintext
        };
        let client = running.client_with(Some(KEY), transport).await;
        let schema = wire::WriteSchemaRequest {
            schema: SCHEMA.to_owned(),
        };
        client.schema().write_schema(schema).await.unwrap();
        let mut http = if has_tls {
            Http::connect_tls(running.http, &certificate).await
        } else {
            Http::to(&running).await
        };
        assert_eq!(
            permissionship(&mut http, question("doc:a", "user:a")).await,
            NO
        );
        if !has_tls {
            // JSON over HTTP/2 as well.
            let stream = TokioIo::new(TcpStream::connect(running.http).await.unwrap());
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
                    .await
                    .unwrap();
            tokio::spawn(connection);
            let mut request = post("/v1/schema/read", "{}");
            *request.uri_mut() = "http://localhost/v1/schema/read".parse().unwrap();
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(answer.status(), 200);
            let text = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(text.starts_with(b"{\"schemaText\":"));
        }
        running.stop().await;
    }
}
