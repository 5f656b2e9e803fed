//! A write with an idempotency key is made once, however often it is asked for.

use hyper::header::HeaderValue;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::relationship_update::Operation;
use remit_client::proto::remit::v1 as remit;
use remit_client::{Client, Transport};
use tonic::{Code, Request, Status};

use server::convert;

use crate::http_client::{Http, post};
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
async fn each_caller_has_keys_of_its_own() {
    let (running, client) = with_schema().await;
    let other = running.client_with(Some("second-key"), Transport::Plaintext);
    let other = other.await;
    let first = create(&client, "ann", &["order-1"]).await.unwrap();
    let second = create(&other, "bob", &["order-1"]).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(create(&client, "ann", &["order-1"]).await.unwrap(), first);
    assert_eq!(create(&other, "bob", &["order-1"]).await.unwrap(), second);
    // The same write by another caller is no repetition.
    let refused = create(&other, "ann", &["order-2"]).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    running.stop().await;
}

fn keyed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert("remit-idempotency-key", "k".parse().unwrap());
    request
}

#[expect(deprecated, reason = "calls by their older names change as much")]
#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_be_known_again_takes_no_key() {
    let (running, client) = with_schema().await;
    create(&client, "ann", &[]).await.unwrap();
    let delete = wire::DeleteRelationshipsRequest {
        relationship_filter: Some(wire::RelationshipFilter {
            resource_type: "doc".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let object = remit::DeleteObjectRequest {
        object: Some(convert::object_to_wire(&"doc:a".parse().unwrap())),
        ..Default::default()
    };
    let schema = wire::WriteSchemaRequest {
        schema: "definition user {}".to_owned(),
    };
    let import = tokio_stream::empty::<wire::ImportBulkRelationshipsRequest>();
    let old_import = tokio_stream::empty::<wire::BulkImportRelationshipsRequest>();
    let (mut permissions, mut objects) = (client.permissions(), client.remit_permissions());
    let refusals = [
        permissions.delete_relationships(keyed(delete)).await.err(),
        permissions
            .import_bulk_relationships(keyed(import))
            .await
            .err(),
        client
            .experimental()
            .bulk_import_relationships(keyed(old_import))
            .await
            .err(),
        objects.delete_object(keyed(object)).await.err(),
        client.schema().write_schema(keyed(schema)).await.err(),
    ];
    for (ix, refused) in refusals.into_iter().enumerate() {
        let refused = refused.unwrap_or_else(|| panic!("call {ix} took a key"));
        assert_eq!(refused.code(), Code::InvalidArgument, "{ix}: {refused}");
        assert!(
            refused.message().contains("takes no idempotency key"),
            "{ix}: {refused}"
        );
    }
    // Nothing was deleted.
    let again = create(&client, "ann", &[]).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    let mut http = Http::to(&running).await;
    let mut request = post(
        "/v1/relationships/delete",
        r#"{"relationshipFilter": {"resourceType": "doc"}}"#,
    );
    let key = HeaderValue::from_static("k");
    request.headers_mut().insert("remit-idempotency-key", key);
    assert_eq!(http.ask(request).await.code, 400);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_the_key_is_a_header() {
    let (running, _client) = with_schema().await;
    let mut http = Http::to(&running).await;
    let body = r#"{"updates": [{"operation": "OPERATION_CREATE", "relationship": {"resource": {"objectType": "doc",
        "objectId": "a"}, "relation": "viewer", "subject": {"object": {"objectType": "user", "objectId": "ann"}}}}]}"#;
    let mut answers = Vec::new();
    for _ in 0..2 {
        let mut request = post("/v1/relationships/write", body);
        let key = HeaderValue::from_static("order-1");
        request.headers_mut().insert("remit-idempotency-key", key);
        answers.push(http.ask(request).await);
    }
    assert_eq!((answers[0].code, answers[1].code), (200, 200));
    assert_eq!(answers[0].text, answers[1].text);
    let without = http.post("/v1/relationships/write", body).await;
    assert_eq!(without.code, 409, "{}", without.text);
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
