//! Remit's own calls about permissions, resources and objects.

use remit_client::proto::authzed::api::v1 as authzed;
use remit_client::proto::authzed::api::v1::LookupPermissionship;
use remit_client::proto::remit::v1 as wire;
use server::convert;
use tonic::Code;

use crate::life::{FULL, check, touch, with_schema};

fn full() -> Option<authzed::Consistency> {
    Some(authzed::Consistency {
        requirement: Some(FULL),
    })
}

fn object(object: &str) -> Option<authzed::ObjectReference> {
    Some(convert::object_to_wire(&object.parse().unwrap()))
}

fn subject(subject: &str) -> Option<authzed::SubjectReference> {
    Some(convert::subject_to_wire(&subject.parse().unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_permission_of_a_subject_in_one_call() {
    let (running, client) = with_schema().await;
    let rows = [
        "doc:a#viewer@user:tom[num]",
        "doc:a#viewer@user:div[num:{\"xx\":0}]",
        "doc:a#banned@user:eve",
    ];
    touch(&client, &rows).await.unwrap();
    let list = async |who: &str| {
        let request = wire::ListPermissionsRequest {
            consistency: full(),
            resource: object("doc:a"),
            subject: subject(who),
            context: None,
        };
        client
            .remit_permissions()
            .list_permissions(request)
            .await
            .unwrap()
            .into_inner()
            .permissions
    };
    let told = |held: &wire::HeldPermission| {
        (
            held.permission.clone(),
            held.is_relation,
            held.permissionship(),
        )
    };
    let tom: Vec<_> = list("user:tom").await.iter().map(told).collect();
    let conditional = LookupPermissionship::ConditionalPermission;
    assert_eq!(
        tom,
        [
            ("viewer".to_owned(), true, conditional),
            ("view".to_owned(), false, conditional)
        ]
    );
    let eve: Vec<_> = list("user:eve").await.iter().map(told).collect();
    assert_eq!(
        eve,
        [(
            "banned".to_owned(),
            true,
            LookupPermissionship::HasPermission
        )]
    );
    let div = list("user:div").await;
    assert_eq!(div.len(), 2);
    assert!(
        div.iter().all(|held| held
            .error
            .as_ref()
            .unwrap()
            .message
            .contains("division by zero")),
        "{div:?}"
    );
    assert!(list("user:bob").await.is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_resources_are_filtered_in_their_order() {
    let (running, client) = with_schema().await;
    touch(
        &client,
        &[
            "doc:a#viewer@user:tom",
            "doc:c#viewer@user:tom[num]",
            "doc:d#viewer@user:tom",
        ],
    )
    .await
    .unwrap();
    let mut request = wire::FilterResourcesRequest {
        consistency: full(),
        resource_object_type: "doc".to_owned(),
        permission: "view".to_owned(),
        subject: subject("user:tom"),
        context: None,
        resource_object_ids: ["d", "nosuch", "c", "b", "a", "d"]
            .map(str::to_owned)
            .to_vec(),
    };
    let left = client
        .remit_permissions()
        .filter_resources(request.clone())
        .await
        .unwrap()
        .into_inner();
    let left: Vec<_> = left
        .resources
        .iter()
        .map(|it| (it.resource_object_id.as_str(), it.permissionship()))
        .collect();
    let (has, conditional) = (
        LookupPermissionship::HasPermission,
        LookupPermissionship::ConditionalPermission,
    );
    assert_eq!(
        left,
        [("d", has), ("c", conditional), ("a", has), ("d", has)]
    );
    request.resource_object_ids = vec!["x".to_owned(); 10_001];
    let status = client
        .remit_permissions()
        .filter_resources(request.clone())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    request.resource_object_ids = vec!["not an id".to_owned()];
    let status = client
        .remit_permissions()
        .filter_resources(request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_are_listed_in_order_with_a_total() {
    let (running, client) = with_schema().await;
    let rows: Vec<String> = (0..25)
        .rev()
        .map(|n| format!("doc:d{n:02}#viewer@user:tom"))
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    touch(&client, &rows).await.unwrap();
    let mut request = wire::ListResourcesRequest {
        consistency: full(),
        resource_object_type: "doc".to_owned(),
        permission: "view".to_owned(),
        subject: subject("user:tom"),
        page_size: 10,
        ..Default::default()
    };
    let (mut ids, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let page = client
            .remit_permissions()
            .list_resources(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(page.total, 25);
        sizes.push(page.resources.len());
        ids.extend(page.resources.into_iter().map(|it| it.resource_object_id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(sizes, [10, 10, 5]);
    let expected: Vec<String> = (0..25).map(|n| format!("d{n:02}")).collect();
    assert_eq!(ids, expected);
    request.page_token = "forged".to_owned();
    let status = client
        .remit_permissions()
        .list_resources(request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_forgotten_from_both_ends_in_one_commit() {
    let (running, client) = with_schema().await;
    let kept = ["doc:a#viewer@user:tom", "group:other#member@user:tom"];
    let gone = [
        "group:g#member@user:tom",
        "group:g#member@group:other#member",
        "doc:a#viewer@group:g#member",
        "group:top#member@group:g#member",
    ];
    touch(&client, &kept).await.unwrap();
    let before = touch(&client, &gone).await.unwrap();
    let request = wire::DeleteObjectRequest {
        object: object("group:g"),
        ..Default::default()
    };
    let must_match = authzed::Precondition {
        operation: authzed::precondition::Operation::MustMatch.into(),
        filter: Some(authzed::RelationshipFilter {
            resource_type: "doc".to_owned(),
            optional_resource_id: "nosuch".to_owned(),
            ..Default::default()
        }),
    };
    let refused = wire::DeleteObjectRequest {
        optional_preconditions: vec![must_match],
        ..request.clone()
    };
    let status = client
        .remit_permissions()
        .delete_object(refused)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let deleted = client
        .remit_permissions()
        .delete_object(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(deleted.relationships_deleted_count, 4);
    let after: model::Token = deleted.deleted_at.unwrap().token.parse().unwrap();
    assert_eq!(after.revision.0, before.revision.0 + 1);
    let left = running.node.snapshot().relationship_count();
    assert_eq!(left, kept.len());
    assert_eq!(
        check(&client, FULL, "doc:a", "user:tom").await.unwrap(),
        authzed::check_permission_response::Permissionship::HasPermission
    );
    let again = client
        .remit_permissions()
        .delete_object(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.relationships_deleted_count, 0);
    running.stop().await;
}
