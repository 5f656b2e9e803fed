//! Keys, TLS, health, reflection, consistency and the end of a server.

use std::sync::Arc;

use model::{Revision, SystemClock, Token};
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::check_permission_response::Permissionship;
use remit_client::proto::authzed::api::v1::consistency::Requirement;
use remit_client::proto::authzed::api::v1::relationship_update::Operation;
use remit_client::{Client, Transport};
use server::{Tls, convert};
use store::SqliteStore;
use tonic::Code;

use crate::running::{KEY, Running, start, start_on, write_schema};

pub(crate) const SCHEMA: &str = "use expiration\ncaveat num(xx int) {\n 10 / xx == 1\n}\ndefinition user {}\ndefinition group \
    {\n relation member: user | group#member\n}\ndefinition doc {\n relation viewer: user | user with num | user with \
    expiration | group#member\n relation banned: user\n permission view = viewer - banned\n}\n";

pub(crate) async fn with_schema() -> (Running, Client) {
    let running = start().await;
    let client = running.client().await;
    write_schema(&client, SCHEMA).await;
    (running, client)
}

pub(crate) async fn touch(client: &Client, rows: &[&str]) -> Result<Token, tonic::Status> {
    let updates = rows.iter().map(|row| wire::RelationshipUpdate {
        operation: Operation::Touch.into(),
        relationship: Some(convert::relationship_to_wire(&row.parse().unwrap())),
    });
    let request = wire::WriteRelationshipsRequest {
        updates: updates.collect(),
        ..Default::default()
    };
    let response = client.permissions().write_relationships(request).await?;
    Ok(response
        .into_inner()
        .written_at
        .unwrap()
        .token
        .parse()
        .unwrap())
}

pub(crate) async fn check(
    client: &Client,
    requirement: Requirement,
    resource: &str,
    subject: &str,
) -> Result<Permissionship, tonic::Status> {
    let request = wire::CheckPermissionRequest {
        consistency: Some(wire::Consistency {
            requirement: Some(requirement),
        }),
        resource: Some(convert::object_to_wire(&resource.parse().unwrap())),
        permission: "view".to_owned(),
        subject: Some(convert::subject_to_wire(&subject.parse().unwrap())),
        context: None,
        with_tracing: false,
    };
    Ok(client
        .permissions()
        .check_permission(request)
        .await?
        .into_inner()
        .permissionship())
}

pub(crate) const FULL: Requirement = Requirement::FullyConsistent(true);

fn zed(token: Token) -> wire::ZedToken {
    wire::ZedToken {
        token: token.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_is_let_in_and_nobody_else() {
    let (running, _client) = with_schema().await;
    for (key, code) in [
        (Some(KEY), None),
        (Some("second-key"), None),
        (Some("wrong"), Some(Code::PermissionDenied)),
        (None, Some(Code::Unauthenticated)),
    ] {
        let client = running.client_with(key, Transport::Plaintext).await;
        let read = client
            .schema()
            .read_schema(wire::ReadSchemaRequest {})
            .await;
        assert_eq!(read.err().map(|status| status.code()), code, "{key:?}");
        let asked = check(&client, FULL, "doc:a", "user:a").await;
        assert_eq!(asked.err().map(|status| status.code()), code, "{key:?}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_protects_and_is_asked_for() {
    let signed =
        rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
            .unwrap();
    let certificate = signed.cert.pem();
    let tls = Tls {
        certificate_pem: certificate.clone(),
        key_pem: signed.signing_key.serialize_pem(),
        client_authorities_pem: None,
    };
    let store = Arc::new(SqliteStore::memory().unwrap());
    let running = start_on(store, Arc::new(SystemClock), Some(tls)).await;
    let client = running
        .client_with(
            Some(KEY),
            Transport::Tls {
                authorities_pem: certificate,
            },
        )
        .await;
    write_schema(&client, SCHEMA).await;
    assert_eq!(
        check(&client, FULL, "doc:a", "user:a").await.unwrap(),
        Permissionship::NoPermission
    );
    let connection = remit_client::Connection {
        endpoint: running.endpoint.clone(),
        key: Some(KEY.to_owned()),
        transport: Transport::Plaintext,
        connect_timeout: std::time::Duration::from_secs(5),
    };
    let is_refused = match Client::connect(&connection).await {
        Ok(plain) => plain
            .schema()
            .read_schema(wire::ReadSchemaRequest {})
            .await
            .is_err(),
        Err(_) => true,
    };
    assert!(is_refused, "a plain connection got through");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_hold_for_their_history_and_nothing_else() {
    let (running, client) = with_schema().await;
    let before = touch(&client, &["doc:a#viewer@user:ann"]).await.unwrap();
    let after = touch(&client, &["doc:a#viewer@user:bob"]).await.unwrap();
    let exact = |token| Requirement::AtExactSnapshot(zed(token));
    let fresh = |token| Requirement::AtLeastAsFresh(zed(token));
    assert_eq!(
        check(&client, exact(before), "doc:a", "user:bob")
            .await
            .unwrap(),
        Permissionship::NoPermission
    );
    assert_eq!(
        check(&client, exact(after), "doc:a", "user:bob")
            .await
            .unwrap(),
        Permissionship::HasPermission
    );
    assert_eq!(
        check(&client, fresh(before), "doc:a", "user:bob")
            .await
            .unwrap(),
        Permissionship::HasPermission
    );
    let (other_running, other_client) = with_schema().await;
    let foreign = touch(&other_client, &["doc:a#viewer@user:ann"])
        .await
        .unwrap();
    let forged = Token {
        hash: [0; 8],
        ..after
    };
    let early = Token {
        revision: Revision(1_000_000),
        ..after
    };
    for (name, token, code) in [
        ("foreign", foreign, Code::InvalidArgument),
        ("forged", forged, Code::InvalidArgument),
        ("beyond the head", early, Code::OutOfRange),
    ] {
        for requirement in [exact(token), fresh(token)] {
            let status = check(&client, requirement, "doc:a", "user:ann")
                .await
                .unwrap_err();
            assert_eq!(status.code(), code, "{name}: {status:?}");
        }
    }
    other_running.stop().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_past_snapshot_is_rebuilt_on_a_node_that_has_just_started() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("remit.db");
    let running = start_on(
        Arc::new(SqliteStore::open(&path).unwrap()),
        Arc::new(SystemClock),
        None,
    )
    .await;
    let client = running.client().await;
    write_schema(&client, SCHEMA).await;
    let mut tokens = Vec::new();
    for n in 0..50 {
        tokens.push(
            touch(&client, &[&format!("doc:a#viewer@user:u{n}")])
                .await
                .unwrap(),
        );
    }
    running.stop().await;
    let running = start_on(
        Arc::new(SqliteStore::open(&path).unwrap()),
        Arc::new(SystemClock),
        None,
    )
    .await;
    let client = running.client().await;
    for (n, token) in tokens.into_iter().enumerate() {
        for (user, expected) in [
            (n, Permissionship::HasPermission),
            (n + 1, Permissionship::NoPermission),
        ] {
            let requirement = Requirement::AtExactSnapshot(zed(token));
            let answer = check(&client, requirement, "doc:a", &format!("user:u{user}"))
                .await
                .unwrap();
            assert_eq!(answer, expected, "after write {n}, user {user}");
        }
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_read_their_own_writes() {
    let (running, client) = with_schema().await;
    let writers = (0..16).map(|writer| {
        let client = client.clone();
        tokio::spawn(async move {
            for n in 0..40 {
                let row = format!("doc:d{writer}#viewer@user:u{n}");
                touch(&client, &[&row]).await.unwrap();
                let resource = format!("doc:d{writer}");
                let newest = Requirement::MinimizeLatency(true);
                let answer = check(&client, newest, &resource, &format!("user:u{n}"))
                    .await
                    .unwrap();
                assert_eq!(answer, Permissionship::HasPermission, "{row}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("remit.db");
    let running = start_on(
        Arc::new(SqliteStore::open(&path).unwrap()),
        Arc::new(SystemClock),
        None,
    )
    .await;
    let error = SqliteStore::open(&path)
        .err()
        .expect("a second store was opened");
    assert!(error.to_string().contains("in use"), "{error}");
    running.stop().await;
}
