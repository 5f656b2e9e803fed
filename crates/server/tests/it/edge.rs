//! Proxies ask: over gRPC as Envoy does, and over HTTP as Envoy, nginx and Caddy do.

use std::sync::Arc;

use edge::Rules;
use remit_client::proto::envoy::service::auth::v3 as auth;
use remit_client::proto::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use remit_client::proto::envoy::service::auth::v3::check_response::HttpResponse;
use server::Edge;
use tonic::{Code, Request, Status};

use crate::http_client::{Answer, Http, text};
use crate::life::touch;
use crate::running::{KEY, Running, start_with_rules};

const RULES: &str = r#"
strips: [x-user]
routes:
  - name: read
    path: /docs/{id}
    methods: [GET]
    checks: [{resource: "doc:${params.id}", permission: view, subject: "user:${headers[\"x-user\"]}"}]
    upstream: {set: {x-seen: "${params.id}"}, remove: [x-debug]}
    unauthenticated: {status: 401, headers: {www-authenticate: Bearer}, body: "who?\n"}
  - name: shadowed
    path: /shadowed/{id}
    mode: shadow
    checks: [{resource: "doc:${params.id}", permission: view, subject: "user:${headers[\"x-user\"]}"}]
  - name: of-user
    path: /own
    checks: [{resource: "doc:a", permission: view, subject: "${user.subject}"}]
  - {name: unknown, path: /unknown, checks: [{resource: "nosuch:a", permission: view, subject: "user:ann"}]}
  - {name: open, path: /open, allow: true, reason: it is for anybody}
"#;

async fn started(rules: &str) -> (Running, Arc<Edge>) {
    let rules = Rules::read("rules.yaml", rules).unwrap_or_else(|faults| panic!("{faults}"));
    let edge = Edge::new(rules);
    let running = start_with_rules(Arc::clone(&edge)).await;
    let client = running.client().await;
    crate::running::write_schema(&client, crate::life::SCHEMA).await;
    touch(&client, &["doc:a#viewer@user:ann"]).await.unwrap();
    (running, edge)
}

pub(crate) fn attributes(method: &str, path: &str, headers: &[(&str, &str)]) -> auth::CheckRequest {
    let headers = headers
        .iter()
        .map(|(name, it)| ((*name).to_owned(), (*it).to_owned()));
    let http = auth::attribute_context::HttpRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        host: "app.example.org".to_owned(),
        headers: headers.collect(),
        ..Default::default()
    };
    auth::CheckRequest {
        attributes: Some(auth::AttributeContext {
            request: Some(auth::attribute_context::Request { http: Some(http) }),
            ..Default::default()
        }),
    }
}

async fn by_grpc(
    running: &Running,
    request: auth::CheckRequest,
    key: Option<&str>,
) -> Result<auth::CheckResponse, Status> {
    let endpoint = format!("http://{}", running.endpoint);
    let channel = tonic::transport::Endpoint::from_shared(endpoint).unwrap();
    let mut client = AuthorizationClient::new(channel.connect().await.unwrap());
    let mut request = Request::new(request);
    if let Some(key) = key {
        let header = format!("Bearer {key}").parse().unwrap();
        request.metadata_mut().insert("authorization", header);
    }
    client.check(request).await.map(tonic::Response::into_inner)
}

/// `200 name=value..`, or the code and the body of a denial.
fn told(answer: &auth::CheckResponse) -> String {
    let code = answer.status.as_ref().unwrap().code;
    match answer.http_response.as_ref().unwrap() {
        HttpResponse::OkResponse(ok) => {
            assert_eq!(code, 0);
            let set = ok.headers.iter().map(|it| {
                let header = it.header.as_ref().unwrap();
                // In place of what the client sent.
                assert_eq!(it.append_action, 2);
                format!(" {}={}", header.key, header.value)
            });
            format!(
                "200{} -{}",
                set.collect::<String>(),
                ok.headers_to_remove.join(",")
            )
        }
        HttpResponse::DeniedResponse(denied) => {
            assert_ne!(code, 0);
            format!(
                "{} {}",
                denied.status.as_ref().unwrap().code,
                denied.body.trim()
            )
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_is_told_over_grpc() {
    let (running, _) = started(RULES).await;
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)]| {
        let answer = by_grpc(&running, attributes(method, path, headers), Some(KEY)).await;
        answer
            .map(|answer| told(&answer))
            .unwrap_or_else(|status| format!("{:?}", status.code()))
    };
    let ann = [("x-user", "ann")];
    assert_eq!(
        ask("GET", "/docs/a?x=1", &ann).await,
        "200 x-seen=a -x-debug"
    );
    assert_eq!(
        ask("GET", "/docs/a", &[("x-user", "bob")]).await,
        "403 denied"
    );
    assert_eq!(ask("GET", "/docs/a", &[]).await, "401 who?");
    assert_eq!(ask("POST", "/docs/a", &ann).await, "403 denied");
    assert_eq!(
        ask("GET", "/docs/../open", &ann).await,
        "403 denied: the path holds `.` or `..`"
    );
    assert_eq!(ask("GET", "/open", &[]).await, "200 -");
    assert_eq!(ask("GET", "/shadowed/b", &ann).await, "200 -");
    // A check that fails is no denial, and less still a pass.
    let failed = by_grpc(&running, attributes("GET", "/unknown", &ann), Some(KEY)).await;
    let failed = failed.unwrap_err();
    assert_eq!(
        (failed.code(), failed.message()),
        (
            Code::FailedPrecondition,
            "a check has no answer; the log of the server says why"
        )
    );
    assert!(failed.details().is_empty());
    // Keys are not for people: they are whom no issuer vouches for.
    let key = format!("Bearer {KEY}");
    assert_eq!(
        ask("GET", "/own", &[("authorization", &key)]).await,
        "403 denied"
    );
    let nothing = by_grpc(&running, auth::CheckRequest::default(), Some(KEY)).await;
    assert_eq!(nothing.unwrap_err().code(), Code::InvalidArgument);
    let nobody = by_grpc(&running, attributes("GET", "/open", &[]), None).await;
    assert_eq!(nobody.unwrap_err().code(), Code::Unauthenticated);
    let wrong = by_grpc(&running, attributes("GET", "/open", &[]), Some("wrong")).await;
    assert_eq!(wrong.unwrap_err().code(), Code::PermissionDenied);
    running.stop().await;
}

async fn by_http(running: &Running, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = hyper::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut http = Http::to(running).await;
    http.ask(request.body(text("")).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_are_told_over_http() {
    let (running, _) = started(RULES).await;
    let own = format!("Bearer {KEY}");
    let base = [
        ("remit-authorization", own.as_str()),
        ("host", "app.example.org"),
    ];
    let ann = ("x-user", "ann");
    let envoy = async |method: &str, path: &str, more: &[(&str, &str)]| {
        by_http(&running, method, path, &[&base[..], more].concat()).await
    };
    let passed = envoy("GET", "/edge/envoy/docs/a?x=1", &[ann]).await;
    assert_eq!((passed.code, passed.text.as_str()), (200, ""));
    assert_eq!(passed.headers["x-seen"], "a");
    assert_eq!(passed.headers["x-envoy-auth-headers-to-remove"], "x-debug");
    let denied = envoy("GET", "/edge/envoy/docs/a", &[]).await;
    assert_eq!((denied.code, denied.text.as_str()), (401, "who?\n"));
    assert_eq!(denied.headers["www-authenticate"], "Bearer");
    for (method, path, more, code) in [
        ("GET", "/edge/envoy/docs/b", &[ann][..], 403),
        ("PUT", "/edge/envoy/docs/a", &[ann], 403),
        ("GET", "/edge/envoy/open/../docs/a", &[ann], 403),
        ("GET", "/edge/envoy//docs/a", &[ann], 403),
        ("GET", "/edge/envoy/docs/a", &[ann, ("x-user", "bob")], 403),
        ("GET", "/edge/envoy/unknown", &[ann], 403),
        (
            "GET",
            "/edge/envoy/own",
            &[("authorization", own.as_str())],
            403,
        ),
        // What else stands in the client's headers is about the client's request, and not about the call.
        (
            "GET",
            "/edge/envoy/open",
            &[("remit-on-behalf-of", "nonsense")],
            200,
        ),
        (
            "GET",
            "/edge/envoy/open",
            &[("grpc-timeout", "nonsense")],
            200,
        ),
        (
            "GET",
            "/edge/envoy/open",
            &[("sec-fetch-site", "cross-site")],
            200,
        ),
        (
            "POST",
            "/edge/envoy/open",
            &[("content-type", "application/grpc")],
            200,
        ),
        (
            "POST",
            "/edge/envoy/docs/a",
            &[("content-type", "application/grpc")],
            403,
        ),
    ] {
        assert_eq!(
            envoy(method, path, more).await.code,
            code,
            "{method} {path} {more:?}"
        );
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credential_of_a_client_is_none_of_the_proxy() {
    let (running, _) = started(RULES).await;
    let own = format!("Bearer {KEY}");
    // The end user's credential is never taken for the proxy's, nor two of the proxy's for one.
    for headers in [
        &[("authorization", own.as_str())][..],
        &[("remit-authorization", "Bearer wrong")],
        &[
            ("remit-authorization", own.as_str()),
            ("remit-authorization", own.as_str()),
        ],
        &[
            ("remit-authorization", "Bearer wrong"),
            ("authorization", own.as_str()),
        ],
        &[],
    ] {
        let refused = by_http(&running, "GET", "/edge/envoy/open", headers).await;
        assert_eq!(refused.code, 401, "{headers:?}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forward_authentication_reads_one_family_of_headers() {
    let own = format!("Bearer {KEY}");
    for (family, other, setting) in [
        ("x-forwarded", "x-original", ""),
        ("x-original", "x-forwarded", "forward_auth: x-original\n"),
    ] {
        let (running, _) = started(&format!("{setting}{RULES}")).await;
        let name = |family: &str, of: &str| format!("{family}-{of}");
        let asked = async |family: &str, path: &str, more: &[(&str, &str)]| {
            let names = [
                name(family, "method"),
                name(family, "host"),
                name(family, "uri"),
            ];
            let values = ["GET", "app.example.org", path];
            let mut headers: Vec<_> = names.iter().map(String::as_str).zip(values).collect();
            headers.extend([("remit-authorization", own.as_str()), ("x-user", "ann")]);
            headers.extend(more);
            by_http(&running, "GET", "/edge/forward-auth", &headers).await
        };
        assert_eq!(asked(family, "/docs/a?x", &[]).await.headers["x-seen"], "a");
        assert_eq!(asked(family, "/docs/b", &[]).await.code, 403);
        assert_eq!(asked(family, "/docs/../open", &[]).await.code, 403);
        assert_eq!(asked(family, "", &[]).await.code, 403);
        // None of the other counts, not even beside it.
        assert_eq!(asked(other, "/open", &[]).await.code, 400);
        let (uri, twice) = (name(other, "uri"), name(family, "uri"));
        assert_eq!(asked(family, "/docs/b", &[(&uri, "/open")]).await.code, 403);
        assert_eq!(asked(family, "/open", &[(&twice, "/open")]).await.code, 400);
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rules_or_http_nothing_passes() {
    let (running, client) = crate::life::with_schema().await;
    drop(client);
    let own = format!("Bearer {KEY}");
    let headers = [("remit-authorization", own.as_str()), ("host", "a.org")];
    let answer = by_http(&running, "GET", "/edge/envoy/open", &headers).await;
    assert_eq!(answer.code, 501);
    assert!(answer.text.contains("--edge-rules"), "{}", answer.text);
    let status = by_grpc(&running, attributes("GET", "/open", &[]), Some(KEY)).await;
    assert_eq!(status.unwrap_err().code(), Code::Unimplemented);
    // The port of gRPC: its failures are of code 200, which a proxy would take for a pass.
    let mut grpc = http2(&running.endpoint).await;
    for path in ["/edge/envoy/open", "/edge/forward-auth", "/edge/"] {
        let uri = format!("http://{}{path}", running.endpoint);
        let request = hyper::Request::get(uri).header("content-type", "application/grpc");
        let answer = grpc
            .send_request(request.body(text("")).unwrap())
            .await
            .unwrap();
        assert_eq!(answer.status(), 501, "{path}");
    }
    running.stop().await;
}

pub(crate) async fn http2(
    address: &str,
) -> hyper::client::conn::http2::SendRequest<crate::http_client::Body> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_requests_is_counted_by_route() {
    let (running, edge) = started(RULES).await;
    let ann = [("x-user", "ann")];
    for path in [
        "/docs/a",
        "/docs/a",
        "/docs/b",
        "/shadowed/b",
        "/nowhere",
        "/docs/..",
        "/unknown",
    ] {
        let _answer = by_grpc(&running, attributes("GET", path, &ann), Some(KEY)).await;
    }
    let metrics = async || {
        let text = Http::connect(running.metrics)
            .await
            .get("/metrics")
            .await
            .text;
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix("remit_edge_"));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(
        metrics().await,
        [
            "requests_total{route=\"\",outcome=\"unmatched\"} 2",
            "requests_total{route=\"read\",outcome=\"allowed\"} 2",
            "requests_total{route=\"read\",outcome=\"denied\"} 1",
            "requests_total{route=\"shadowed\",outcome=\"would_deny\"} 1",
            "requests_total{route=\"unknown\",outcome=\"error\"} 1",
            "rules_current 1",
            "rules_reads_total{outcome=\"taken\"} 1",
        ]
    );
    // Other rules are in force at once; what is gone is not counted on.
    edge.note_unreadable();
    assert!(metrics().await.contains(&"rules_current 0".to_owned()));
    let other = "routes: [{name: open, path: /docs/a, allow: true, reason: test}]";
    edge.replace(Rules::read("r", other).unwrap());
    let answer = by_grpc(&running, attributes("GET", "/docs/a", &[]), Some(KEY)).await;
    assert_eq!(told(&answer.unwrap()), "200 -");
    let counted = metrics().await;
    assert!(
        counted.contains(&"requests_total{route=\"open\",outcome=\"allowed\"} 1".to_owned()),
        "{counted:?}"
    );
    assert!(
        !counted.iter().any(|line| line.contains("\"read\"")),
        "{counted:?}"
    );
    running.stop().await;
}
