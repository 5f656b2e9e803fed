//! Tokens that are minted over gRPC and over HTTP, narrowed by who holds them, and ended.

use std::sync::Arc;

use identity::{Authenticator, MintedToken, Narrowing, Settings, TokenKeys};
use model::{Clock as _, SystemClock};
use remit_client::Transport;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::remit::v1::{MintRequest, MintResponse};
use serde_json::json;
use tonic::{Code, Status};

use crate::http_client::{Http, post};
use crate::running::{KEY, Running, start_letting_in};

const SCHEMA: &str = "definition user {}\ndefinition doc {\n relation viewer: user\n}\ndefinition other {\n \
    relation viewer: user\n}";

/// A server that mints.
async fn minting() -> (Running, Arc<Authenticator>) {
    let (running, authenticator) = start_letting_in(Settings::default(), None).await;
    replace_keys(&authenticator);
    let client = running.client_with(Some(KEY), Transport::Plaintext).await;
    let schema = SCHEMA.to_owned();
    let request = wire::WriteSchemaRequest { schema };
    client.schema().write_schema(request).await.unwrap();
    (running, authenticator)
}

fn replace_keys(authenticator: &Authenticator) {
    let line = TokenKeys::fresh_line("k1").unwrap();
    authenticator.replace_token_keys(TokenKeys::from_file_text(&line).unwrap());
}

async fn mint(running: &Running, key: &str, request: MintRequest) -> Result<MintResponse, Status> {
    let client = running.client_with(Some(key), Transport::Plaintext).await;
    let minted = client.token().mint(request).await;
    minted.map(tonic::Response::into_inner)
}

fn asked(actions: &[&str], definitions: &[&str], life_seconds: u32) -> MintRequest {
    let owned = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect();
    MintRequest {
        actions: owned(actions),
        definitions: owned(definitions),
        life_seconds,
    }
}

/// What becomes of a check of the relation of an object.
async fn check(running: &Running, token: &str, definition: &str) -> Result<(), Status> {
    let object = |definition: &str| wire::ObjectReference {
        object_type: definition.to_owned(),
        object_id: "a".to_owned(),
    };
    let client = running.client_with(Some(token), Transport::Plaintext).await;
    let request = wire::CheckPermissionRequest {
        resource: Some(object(definition)),
        permission: "viewer".to_owned(),
        subject: Some(wire::SubjectReference {
            object: Some(object("user")),
            ..Default::default()
        }),
        ..Default::default()
    };
    let checked = client.permissions().check_permission(request).await;
    checked.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_minted_over_either_protocol_and_does_what_is_left_to_it() {
    let (running, _) = minting().await;
    let minted = mint(&running, KEY, asked(&["check"], &["doc"], 60))
        .await
        .unwrap();
    let until = minted.until.unwrap().seconds - SystemClock.now().as_seconds().0;
    assert!((50..=60).contains(&until), "{until}");
    assert_eq!(MintedToken::parse(&minted.token).unwrap().id(), minted.id);
    check(&running, &minted.token, "doc").await.unwrap();
    let refused = check(&running, &minted.token, "other").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");

    let mut http = Http::to(&running).await;
    let asked_for = json!({"actions": ["check"], "lifeSeconds": 60}).to_string();
    let answer = http
        .ask(post("/remit/v1/token/mint", asked_for.as_str()))
        .await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    check(&running, &token, "other").await.unwrap();
    let body = r#"{"resource": {"objectType": "doc", "objectId": "a"}, "permission": "viewer",
        "subject": {"object": {"objectType": "user", "objectId": "a"}}}"#;
    for (path, body, code) in [
        ("/v1/permissions/check", body, 200),
        // As if there were none.
        ("/v1/schema/read", "{}", 404),
        (
            "/v1/relationships/read",
            r#"{"relationshipFilter": {"resourceType": "doc"}}"#,
            403,
        ),
        ("/remit/v1/token/mint", "{}", 400),
    ] {
        let mut request = post(path, body);
        let header = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", header);
        let answer = http.ask(request).await;
        assert_eq!(answer.code, code, "{path}: {}", answer.text);
    }
    // A key that is not right is told over HTTP as any credential is.
    let mut request = post("/v1/permissions/check", body);
    let header = format!("Bearer {token}x").parse().unwrap();
    request.headers_mut().insert("authorization", header);
    let answer = http.ask(request).await;
    let challenge = answer.headers["www-authenticate"].to_str().unwrap();
    assert_eq!(answer.code, 401);
    assert!(
        challenge.contains(r#"error="invalid_token""#),
        "{challenge}"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_minted_is_refused_with_what_to_do() {
    let (running, authenticator) = start_letting_in(Settings::default(), None).await;
    let none = asked(&[], &[], 0);
    let refused = mint(&running, KEY, none.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("--token-key-file"), "{refused}");
    replace_keys(&authenticator);
    let minted = mint(&running, KEY, none.clone()).await.unwrap();
    let refused = mint(&running, &minted.token, none).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("remit token narrow"),
        "{refused}"
    );
    for request in [
        asked(&["fly"], &[], 0),
        asked(&[], &["no name"], 0),
        asked(&[], &[], 86_401),
    ] {
        let refused = mint(&running, KEY, request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    // Other token keys, and none of those that were minted is good.
    replace_keys(&authenticator);
    let refused = check(&running, &minted.token, "doc").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_the_token_that_opened_it() {
    let (running, _) = minting().await;
    let minted = mint(&running, KEY, asked(&["watch"], &["doc"], 60))
        .await
        .unwrap();
    // Narrowed to its last seconds by who holds it.
    let begun = SystemClock.now();
    let until = begun.saturating_add_micros(2_000_000);
    let narrowing = Narrowing::new(None, None, Some(until)).unwrap();
    let token = MintedToken::parse(&minted.token).unwrap();
    let token = token.narrowed(&narrowing).unwrap();
    let client = running
        .client_with(Some(token.secret()), Transport::Plaintext)
        .await;
    let watch = client.watch().watch(wire::WatchRequest::default()).await;
    let mut watch = watch.unwrap().into_inner();
    let ended = watch.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unauthenticated, "{ended}");
    assert!(SystemClock.now() >= until);
    running.stop().await;
}
