//! Services behind checks, against a real server.

use std::convert::Infallible;

use http::{HeaderMap, Request, Response, StatusCode};
use remit_client::{AuthorizeLayer, Check, Unasked};
use tonic::{Code, Status};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::running::{Site, touch};

/// Path, user, and what HTTP and gRPC say.
const CASES: [(&str, Option<&str>, StatusCode, Code); 8] = [
    ("/a", Some("ann"), StatusCode::OK, Code::Ok),
    ("/a+b", Some("ann"), StatusCode::OK, Code::Ok),
    (
        "/a+c",
        Some("ann"),
        StatusCode::FORBIDDEN,
        Code::PermissionDenied,
    ),
    (
        "/a",
        Some("bob"),
        StatusCode::FORBIDDEN,
        Code::PermissionDenied,
    ),
    (
        "/",
        Some("ann"),
        StatusCode::FORBIDDEN,
        Code::PermissionDenied,
    ),
    ("/a", None, StatusCode::UNAUTHORIZED, Code::Unauthenticated),
    (
        "/a",
        Some("a b"),
        StatusCode::BAD_REQUEST,
        Code::InvalidArgument,
    ),
    (
        "/a",
        Some("*"),
        StatusCode::BAD_REQUEST,
        Code::InvalidArgument,
    ),
];

/// Asks whether who is named may view what is named.
fn checks(parts: &http::request::Parts) -> Result<Vec<Check>, Unasked> {
    let user = parts.headers.get("x-user").ok_or(Unasked::NoSubject)?;
    let user = user.to_str().map_err(|_| Unasked::NoSubject)?;
    let documents = parts.uri.path().trim_start_matches('/').split('+');
    let documents = documents.filter(|name| !name.is_empty());
    let checks = documents
        .map(|name| Check::new(&format!("document:{name}"), "view", &format!("user:{user}")));
    Ok(checks.collect::<Result<_, _>>()?)
}

fn request(path: &str, user: Option<&str>, is_grpc: bool) -> Request<String> {
    let mut request = Request::builder().uri(path);
    if let Some(user) = user {
        request = request.header("x-user", user);
    }
    if is_grpc {
        request = request.header("content-type", "application/grpc+proto");
    }
    request.body(String::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_may_comes_through() {
    let (mut site, client) = Site::with_schema().await;
    let rows = ["document:a#viewer@user:ann", "document:b#viewer@user:ann"];
    let session = client.session();
    session.write(touch(rows)).await.unwrap();
    assert!(
        session
            .check(Check::new("document:b", "view", "user:ann").unwrap())
            .await
            .is_ok()
    );
    let handler = service_fn(|_: Request<String>| async {
        Ok::<_, Infallible>(Response::new("secret".to_owned()))
    });
    let service = AuthorizeLayer::new(client, checks).layer(handler);
    for (path, user, status, code) in CASES {
        let answer = service
            .clone()
            .oneshot(request(path, user, false))
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{path} {user:?}");
        assert_eq!(answer.body() == "secret", status == StatusCode::OK);
        let answer = service
            .clone()
            .oneshot(request(path, user, true))
            .await
            .unwrap();
        assert_eq!(
            (answer.status(), grpc(answer.headers())),
            (StatusCode::OK, code),
            "{path} {user:?}"
        );
        assert_eq!(answer.body() == "secret", code == Code::Ok);
    }
    site.kill();
    let answer = service
        .clone()
        .oneshot(request("/a", Some("ann"), false))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let answer = service
        .oneshot(request("/a", Some("ann"), true))
        .await
        .unwrap();
    assert_eq!(grpc(answer.headers()), Code::Unavailable);
    assert!(answer.body().is_empty());
}

fn grpc(headers: &HeaderMap) -> Code {
    Status::from_header_map(headers).map_or(Code::Ok, |status| status.code())
}
