//! What every answer of gRPC carries beside its message.

use remit_client::Client;
use remit_client::proto::authzed::api::v1 as wire;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request};

use crate::life::{touch, with_schema};

fn text<'a>(metadata: &'a MetadataMap, name: &str) -> Option<&'a str> {
    metadata.get(name).map(|value| value.to_str().unwrap())
}

fn expect_accounts(metadata: &MetadataMap, id: &str) {
    for (name, expected) in [
        ("x-request-id", id),
        ("io.spicedb.respmeta.requestid", id),
        ("io.spicedb.respmeta.dispatchedoperationscount", "1"),
        ("io.spicedb.respmeta.cachedoperationscount", "0"),
    ] {
        assert_eq!(text(metadata, name), Some(expected), "{name}");
    }
}

async fn read_schema(client: &Client, header: Option<(&'static str, &str)>) -> MetadataMap {
    let mut request = Request::new(wire::ReadSchemaRequest {});
    if let Some((name, value)) = header {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    let answer = client.schema().read_schema(request).await.unwrap();
    answer.metadata().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_which_request_it_answers() {
    let (running, client) = with_schema().await;
    let given = read_schema(&client, Some(("x-request-id", "mine-1"))).await;
    expect_accounts(&given, "mine-1");
    assert_eq!(text(&given, "io.spicedb.debug.version"), None);
    let made = read_schema(&client, None).await;
    let id = text(&made, "x-request-id").unwrap().to_owned();
    assert_eq!(id.len(), 32, "{id}");
    let other = read_schema(&client, None).await;
    assert_ne!(text(&other, "x-request-id"), Some(id.as_str()));
    let long = "x".repeat(129);
    for insane in ["", "two words", &long] {
        let replaced = read_schema(&client, Some(("x-request-id", insane))).await;
        assert_eq!(text(&replaced, "x-request-id").unwrap().len(), 32);
    }
    let versioned = read_schema(&client, Some(("io.spicedb.requestversion", "1"))).await;
    let version = text(&versioned, "io.spicedb.debug.version").unwrap();
    assert!(version.starts_with('v'), "{version}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_failures_say_it_as_well() {
    let (running, client) = with_schema().await;
    touch(&client, &["doc:a#viewer@user:a"]).await.unwrap();
    let read = |kind: &str| {
        let mut request = Request::new(wire::ReadRelationshipsRequest {
            relationship_filter: Some(wire::RelationshipFilter {
                resource_type: kind.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        });
        let metadata = request.metadata_mut();
        metadata.insert("x-request-id", "mine-2".parse().unwrap());
        request
    };
    let answer = client.permissions().read_relationships(read("doc")).await;
    let answer = answer.unwrap();
    assert_eq!(text(answer.metadata(), "x-request-id"), Some("mine-2"));
    let mut rows = answer.into_inner();
    assert!(rows.message().await.unwrap().is_some());
    let trailers = rows.trailers().await.unwrap().unwrap();
    expect_accounts(&trailers, "mine-2");

    let refused = client
        .permissions()
        .read_relationships(read("nosuch"))
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    expect_accounts(refused.metadata(), "mine-2");
    let stranger = running
        .client_with(Some("wrong"), remit_client::Transport::Plaintext)
        .await;
    let refused = stranger.permissions().read_relationships(read("doc")).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    expect_accounts(refused.metadata(), "mine-2");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_given_up_leaves_nothing() {
    let (running, client) = with_schema().await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let messages = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let importer = client.clone();
    let importing = tokio::spawn(async move {
        let mut permissions = importer.permissions();
        permissions.import_bulk_relationships(messages).await
    });
    let row = server::convert::relationship_to_wire(&"doc:a#viewer@user:a".parse().unwrap());
    for _ in 0..2 {
        let message = wire::ImportBulkRelationshipsRequest {
            relationships: vec![row.clone()],
        };
        // The second is taken from the channel once the first was, so the first is on its way.
        sender.send(message).await.unwrap();
    }
    // On the same connection: what was sent before has come before this is answered.
    read_schema(&client, None).await;
    importing.abort();
    assert!(importing.await.unwrap_err().is_cancelled());
    read_schema(&client, None).await;
    let node = std::sync::Arc::clone(&running.node);
    running.stop().await;
    assert_eq!(node.snapshot().relationship_count(), 0);
}
