//! More than can be done, over real connections: what is refused and how, who is ended, and that the others are answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::consistency::Requirement;
use remit_client::proto::authzed::api::v1::permissions_service_client::PermissionsServiceClient;
use remit_client::{Client, Transport};
use serde_json::json;
use server::overload::{Limits, LimitsInForce, MemorySettings, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::http_client::{Http, post};
use crate::life::{SCHEMA, check, touch};
use crate::running::{KEY, Running, start_guarded, write_schema};

const NEWEST: Requirement = Requirement::MinimizeLatency(true);
const LONG: Duration = Duration::from_secs(120);

/// A served schema with a relationship.
async fn with_schema(settings: Settings) -> (Running, Client) {
    let running = start_guarded(settings).await;
    let client = running.client().await;
    write_schema(&client, SCHEMA).await;
    touch(&client, &["doc:a#viewer@user:ann"]).await.unwrap();
    (running, client)
}

async fn is_answered(client: &Client) {
    let answer = check(client, NEWEST, "doc:a", "user:ann").await;
    assert!(answer.is_ok(), "{answer:?}");
}

fn impatient() -> Settings {
    Settings {
        greeting_max: Duration::from_secs(1),
        stall_max: Duration::from_secs(1),
        ..Settings::default()
    }
}

/// Waits until the server has ended the connection.
async fn is_ended(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(LONG, stream.read_to_end(&mut rest)).await;
    // A reset is an end as well.
    let _ended = read.unwrap();
}

async fn ended(running: &Running, reason: &str) -> f64 {
    let text = Http::connect(running.metrics)
        .await
        .get("/metrics")
        .await
        .text;
    let name = format!("remit_overload_connections_ended_total{{reason=\"{reason}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0.0, |value| value.parse().unwrap())
}

fn all_ports(running: &Running) -> [SocketAddr; 3] {
    [
        running.endpoint.parse().unwrap(),
        running.http,
        running.metrics,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_ended_on_each_port_and_others_are_answered() {
    let (running, client) = with_schema(impatient()).await;
    let mut silent = Vec::new();
    for address in all_ports(&running) {
        silent.push(TcpStream::connect(address).await.unwrap());
        // A part of a greeting of either protocol, and no more.
        for begun in [
            "PRI * HTTP/2",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "GET /he",
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(begun.as_bytes()).await.unwrap();
            silent.push(stream);
        }
    }
    is_answered(&client).await;
    for stream in silent {
        is_ended(stream).await;
    }
    is_answered(&client).await;
    assert!(ended(&running, "silent").await >= 6.0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_drips_is_ended_on_each_port() {
    let (running, client) = with_schema(impatient()).await;
    for address in all_ports(&running) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let dripping = async {
            for byte in b"GET /metrics HTTP/1.1\r\nhost: a\r\nx: "
                .iter()
                .chain([b'y'].iter().cycle())
            {
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let dripped = tokio::time::timeout(LONG, dripping).await;
        assert!(dripped.is_ok(), "{address} takes a head for ever");
    }
    is_answered(&client).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_ends_its_call_alone() {
    let (running, client) = with_schema(impatient()).await;
    let head = "POST /v1/permissions/check HTTP/1.1\r\nhost: a\r\nauthorization: Bearer test-key\r\ncontent-type: \
                application/json\r\ncontent-length: 100\r\n\r\n{";
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4_096];
    let count = tokio::time::timeout(LONG, stream.read(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(answer.contains("took too long"), "{answer}");
    is_answered(&client).await;
    running.stop().await;
}

/// More than a client that reads nothing lets come.
async fn write_much(client: &Client) {
    for batch in 0..20 {
        let rows: Vec<String> = (0..1_000)
            .map(|n| format!("doc:d{batch}-{n}#viewer@user:{}", "u".repeat(200)))
            .collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        touch(client, &rows).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_take_one_answer_is_ended_whatever_else_is_asked_on_the_connection() {
    let (running, client) = with_schema(impatient()).await;
    write_much(&client).await;
    let endpoint = format!("http://{}", running.endpoint);
    let channel = tonic::transport::Endpoint::new(endpoint).unwrap();
    let mut asking = PermissionsServiceClient::new(channel.connect().await.unwrap());
    fn with_key<M>(message: M) -> tonic::Request<M> {
        let mut request = tonic::Request::new(message);
        let key = format!("Bearer {KEY}").parse().unwrap();
        request.metadata_mut().insert("authorization", key);
        request
    }
    let all = wire::ReadRelationshipsRequest {
        relationship_filter: Some(wire::RelationshipFilter {
            resource_type: "doc".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let _not_taken = asking.read_relationships(with_key(all)).await.unwrap();
    let stalled = async {
        while ended(&running, "stalled").await < 1.0 {
            let other = wire::ReadRelationshipsRequest::default();
            // Refused for what it says; that it is answered is what counts.
            drop(asking.read_relationships(with_key(other)).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LONG, stalled).await.expect("it stays");
    is_answered(&client).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_take_what_it_asked_for_is_ended() {
    let (running, client) = with_schema(impatient()).await;
    write_much(&client).await;
    let body = r#"{"relationshipFilter":{"resourceType":"doc"}}"#;
    let head = format!(
        "POST /v1/relationships/read HTTP/1.1\r\nhost: a\r\nauthorization: Bearer test-key\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut streams = Vec::new();
    // More than the system buffers for one connection is asked for several times.
    for _ in 0..4 {
        let mut stream = TcpStream::connect(running.http).await.unwrap();
        stream.write_all(head.repeat(20).as_bytes()).await.unwrap();
        streams.push(stream);
    }
    let stalled = async {
        while ended(&running, "stalled").await < 4.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LONG, stalled)
        .await
        .expect("they stay");
    is_answered(&client).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_past_their_number_are_closed_and_probes_are_not() {
    let (running, client) = with_schema(Settings {
        connections_max: 8,
        ..Settings::default()
    })
    .await;
    let address: SocketAddr = running.endpoint.parse().unwrap();
    let mut held = Vec::new();
    while ended(&running, "too_many").await < 3.0 {
        held.push(TcpStream::connect(address).await.unwrap());
        assert!(held.len() < 100, "they are all taken");
    }
    assert_eq!(
        Http::connect(running.metrics)
            .await
            .get("/healthz")
            .await
            .code,
        200
    );
    is_answered(&client).await;
    drop(held);
    let back = async {
        let transport = || Transport::Plaintext;
        while running.try_client(transport()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, back)
        .await
        .expect("no place came free");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_calls_is_let_go_and_its_client_comes_back() {
    let (running, client) = with_schema(Settings {
        idle_max: Duration::from_millis(200),
        ..Settings::default()
    })
    .await;
    let idle = async {
        while ended(&running, "idle").await < 1.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, idle).await.expect("it stays");
    // Calls begin on what is being closed, and go elsewhere.
    for _ in 0..20 {
        is_answered(&client).await;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    running.stop().await;
}

/// Frames of HTTP/2 by hand: streams that are opened and given up at once, thousands of them (CVE-2023-44487).
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_reset_at_once_disturb_nobody() {
    let (running, client) = with_schema(Settings::default()).await;
    let mut stream = TcpStream::connect(&running.endpoint).await.unwrap();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // `:method POST`, `:scheme http`, `:path /`, and an `:authority` of one letter.
    let block = [0x83, 0x86, 0x84, 0x01, 0x01, b'a'];
    for id in (1..100_000_u32).step_by(2) {
        sent.extend([0, 0, 6, 1, 4]);
        sent.extend(id.to_be_bytes());
        sent.extend(block);
        sent.extend([0, 0, 4, 3, 0]);
        sent.extend(id.to_be_bytes());
        sent.extend(8_u32.to_be_bytes());
    }
    let (mut reader, mut writer) = stream.split();
    let flooding = async {
        // Told to go away before the end, most likely.
        let _is_all_taken = writer.write_all(&sent).await;
    };
    let reading = async {
        let mut buffer = vec![0; 64 << 10];
        while reader.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    };
    let asking = async {
        for _ in 0..200 {
            is_answered(&client).await;
        }
    };
    let flood = async {
        tokio::select! { () = flooding => {}, () = reading => {} }
    };
    tokio::time::timeout(LONG, async { tokio::join!(flood, asking) })
        .await
        .unwrap();
    is_answered(&client).await;
    running.stop().await;
}

fn told(status: &Status) -> (Code, String, bool) {
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.domain, "remit");
    let retry = status.get_details_retry_info().unwrap();
    let waits = retry.retry_delay.is_some_and(|delay| !delay.is_zero());
    (status.code(), info.reason, waits)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_told_by_every_protocol_and_touches_nobody_else() {
    let limits = "callers: [{name: other, rate: 1, burst: 60}]";
    let (running, client) = with_schema(Settings {
        limits: LimitsInForce::new(Limits::read(limits).unwrap()),
        ..Settings::default()
    })
    .await;
    let other = running
        .client_with(Some("second-key"), Transport::Plaintext)
        .await;
    let refused = loop {
        if let Err(status) = check(&other, NEWEST, "doc:a", "user:ann").await {
            break status;
        }
    };
    assert_eq!(
        told(&refused),
        (Code::ResourceExhausted, "QUOTA_EXCEEDED".to_owned(), true)
    );
    let question = json!({
        "resource": { "objectType": "doc", "objectId": "a" },
        "permission": "view",
        "subject": { "object": { "objectType": "user", "objectId": "ann" } },
    });
    let authzen = json!({
        "subject": { "type": "user", "id": "ann" },
        "action": { "name": "view" },
        "resource": { "type": "doc", "id": "a" },
    });
    let mut http = Http::to(&running).await;
    for (path, body) in [
        ("/v1/permissions/check", &question),
        ("/access/v1/evaluation", &authzen),
        ("/kubernetes/v1/authorize", &authzen),
    ] {
        let mut request = post(path, body.to_string());
        let key = "Bearer second-key".parse().unwrap();
        request.headers_mut().insert("authorization", key);
        let answer = http.ask(request).await;
        assert_eq!(answer.code, 429, "{path}: {}", answer.text);
        assert!(answer.headers.contains_key("retry-after"), "{path}");
    }
    let mut proxy = hyper::Request::get("/edge/forward-auth")
        .header("remit-authorization", "Bearer second-key")
        .header("host", "a");
    for (name, value) in [("method", "GET"), ("host", "a"), ("uri", "/")] {
        proxy = proxy.header(format!("x-forwarded-{name}"), value);
    }
    let empty = http_body_util::BodyExt::boxed_unsync(http_body_util::Empty::new());
    let answer = http.ask(proxy.body(empty).unwrap()).await;
    assert_eq!(answer.code, 503, "no verdict, and none that passes for one");
    is_answered(&client).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_go_on_where_memory_is_short() {
    let used = Arc::new(AtomicU64::new(0));
    let gauge = Arc::clone(&used);
    let (running, client) = with_schema(Settings {
        memory: MemorySettings {
            bytes_max: Some(100),
            gauge: Arc::new(move || Some(gauge.load(Ordering::Relaxed))),
        },
        ..Settings::default()
    })
    .await;
    let read = || async {
        let filter = wire::RelationshipFilter {
            resource_type: "doc".to_owned(),
            ..Default::default()
        };
        let request = wire::ReadRelationshipsRequest {
            relationship_filter: Some(filter),
            ..Default::default()
        };
        client
            .permissions()
            .read_relationships(request)
            .await
            .map(drop)
    };
    read().await.unwrap();
    used.store(97, Ordering::Relaxed);
    let refused = async {
        loop {
            match read().await {
                Ok(()) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(status) => return status,
            }
        }
    };
    let refused = tokio::time::timeout(LONG, refused).await.unwrap();
    assert_eq!(
        told(&refused),
        (Code::ResourceExhausted, "MEMORY_LOW".to_owned(), true)
    );
    is_answered(&client).await;
    let written = touch(&client, &["doc:b#viewer@user:ann"]).await;
    assert_eq!(written.unwrap_err().code(), Code::ResourceExhausted);
    used.store(10, Ordering::Relaxed);
    let again = async {
        while touch(&client, &["doc:b#viewer@user:ann"]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, again).await.unwrap();
    read().await.unwrap();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_time_is_up_is_not_begun() {
    let (running, client) = with_schema(Settings::default()).await;
    let mut request = tonic::Request::new(wire::ReadSchemaRequest {});
    request
        .metadata_mut()
        .insert("grpc-timeout", "0n".parse().unwrap());
    let late = client.schema().read_schema(request).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    is_answered(&client).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drains_says_so_and_answers_until_it_goes() {
    let (running, client) = with_schema(Settings {
        drain: Duration::from_secs(3),
        ..Settings::default()
    })
    .await;
    let (metrics, http) = (running.metrics, running.http);
    let stopping = tokio::spawn(running.stop());
    let told = async {
        while Http::connect(metrics).await.get("/healthz").await.code != 503 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, told).await.unwrap();
    // New connections are taken, and those that stay are asked to go.
    let answer = Http::connect(http).await.get("/healthz").await;
    assert_eq!(
        (answer.code, &answer.headers["connection"]),
        (503, &"close".parse().unwrap())
    );
    is_answered(&client).await;
    stopping.await.unwrap();
}

/// As clients do that send a head and a body one after the other.
#[tokio::test]
async fn who_is_refused_before_the_body_came_can_ask_again_on_the_connection() {
    let (running, _client) = with_schema(Settings::default()).await;
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    for (key, expected) in [("wrong", "HTTP/1.1 403"), (KEY, "HTTP/1.1 200")].repeat(3) {
        let body = "{}";
        let head = format!(
            "POST /v1/schema/read HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let is_whole = |answer: &[u8]| {
            let text = String::from_utf8_lossy(answer).to_lowercase();
            let (head, rest) = text.split_once("\r\n\r\n")?;
            let length = head.split_once("content-length: ")?.1;
            let length: usize = length.split("\r\n").next()?.parse().ok()?;
            (rest.len() >= length).then_some(())
        };
        while is_whole(&answer).is_none() {
            let mut part = [0; 4_096];
            let read = tokio::time::timeout(LONG, stream.read(&mut part)).await;
            let read = read.unwrap().unwrap();
            assert_ne!(read, 0, "the connection ended");
            answer.extend(&part[..read]);
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with(expected), "{answer}");
    }
    running.stop().await;
}
