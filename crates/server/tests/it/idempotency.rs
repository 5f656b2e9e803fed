//! A write with an idempotency key is made once, however often it is asked for.

use remit_client::Client;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::relationship_update::Operation;
use tonic::{Code, Request, Status};

use server::convert;

use crate::life::with_schema;

async fn create(client: &Client, subject: &str, keys: &[&str]) -> Result<String, Status> {
    let update = wire::RelationshipUpdate {
        operation: Operation::Create.into(),
        relationship: Some(convert::relationship_to_wire(
            &format!("doc:a#viewer@user:{subject}").parse().unwrap(),
        )),
    };
    let mut request = Request::new(wire::WriteRelationshipsRequest {
        updates: vec![update],
        ..wire::WriteRelationshipsRequest::default()
    });
    for key in keys {
        let metadata = request.metadata_mut();
        metadata.append("remit-idempotency-key", key.parse().unwrap());
    }
    let written = client.permissions().write_relationships(request).await?;
    Ok(written.into_inner().written_at.unwrap().token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_gets_the_first_answer_and_changes_nothing() {
    let (running, client) = with_schema().await;
    let first = create(&client, "ann", &["order-1"]).await.unwrap();
    assert_eq!(create(&client, "ann", &["order-1"]).await.unwrap(), first);
    // The same without the key, or with another, is another write.
    for keys in [&[][..], &["order-2"]] {
        let refused = create(&client, "ann", keys).await.unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists);
    }
    let reused = create(&client, "bob", &["order-1"]).await.unwrap_err();
    assert_eq!(reused.code(), Code::FailedPrecondition);
    assert!(reused.message().contains("a key of its own"), "{reused}");
    // A key that was refused with its write is free.
    assert!(create(&client, "bob", &["order-2"]).await.is_ok());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_and_short() {
    let (running, client) = with_schema().await;
    let long = "k".repeat(129);
    for keys in [&["a", "b"][..], &[""], &[&long]] {
        let refused = create(&client, "ann", keys).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{keys:?}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_built_in_is_written_without_a_key() {
    let (running, client) = with_schema().await;
    let update = wire::RelationshipUpdate {
        operation: Operation::Touch.into(),
        relationship: Some(convert::relationship_to_wire(
            &"remit/system:main#watcher@remit/user:ann".parse().unwrap(),
        )),
    };
    let mut request = Request::new(wire::WriteRelationshipsRequest {
        updates: vec![update],
        ..wire::WriteRelationshipsRequest::default()
    });
    let metadata = request.metadata_mut();
    metadata.insert("remit-idempotency-key", "k".parse().unwrap());
    let written = client.permissions().write_relationships(request).await;
    let refused = written.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("send it without"), "{refused}");
    running.stop().await;
}
