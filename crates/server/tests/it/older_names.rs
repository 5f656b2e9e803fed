//! Calls by their older names answer as the newer ones do.

#![expect(deprecated, reason = "that they are is what is tested")]

use remit_client::proto::authzed::api::v1 as wire;
use tonic::Code;

use crate::life::{FULL, touch};
use crate::reflection::{SCHEMA, consistency, dependent, reflect, told, with_schema};

fn row(id: &str) -> wire::Relationship {
    server::convert::relationship_to_wire(&format!("doc:{id}#viewer@user:ann").parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn older_names_answer_alike() {
    let (running, client) = with_schema().await;
    let mut older = client.experimental();
    let shown = reflect(&client, Vec::new()).await.unwrap();
    let request = wire::ExperimentalReflectSchemaRequest {
        consistency: consistency(FULL),
        optional_filters: Vec::new(),
    };
    let alike = older
        .experimental_reflect_schema(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(alike.read_at, shown.read_at);
    assert_eq!(
        format!("{:?}", alike.caveats).replace("Exp", "Reflection"),
        format!("{:?}", shown.caveats)
    );
    assert_eq!(alike.definitions.len(), 3);

    let request = wire::ExperimentalComputablePermissionsRequest {
        consistency: consistency(FULL),
        definition_name: "doc".to_owned(),
        relation_name: "viewer".to_owned(),
        optional_definition_name_filter: String::new(),
    };
    let found = older
        .experimental_computable_permissions(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(found.permissions[0].relation_name, "view");
    let request = wire::ExperimentalDependentRelationsRequest {
        consistency: consistency(FULL),
        definition_name: "doc".to_owned(),
        permission_name: "viewer".to_owned(),
    };
    let refused = older
        .experimental_dependent_relations(request)
        .await
        .unwrap_err();
    assert_eq!(
        told(&refused),
        told(&dependent(&client, "doc", "viewer").await.unwrap_err())
    );
    let request = wire::ExperimentalDiffSchemaRequest {
        consistency: consistency(FULL),
        comparison_schema: SCHEMA.replace("// somebody\n", ""),
    };
    let changes = older
        .experimental_diff_schema(request)
        .await
        .unwrap()
        .into_inner()
        .diffs;
    assert!(matches!(
        changes[0].diff,
        Some(wire::exp_schema_diff::Diff::DefinitionDocCommentChanged(_))
    ));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relationships_go_in_and_out_by_older_names() {
    let (running, client) = with_schema().await;
    let mut older = client.experimental();
    let message = |ids: &[&str]| wire::BulkImportRelationshipsRequest {
        relationships: ids.iter().map(|id| row(id)).collect(),
    };
    let messages = tokio_stream::iter([message(&["a", "b"]), message(&["c"])]);
    let loaded = older
        .bulk_import_relationships(messages)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(loaded.num_loaded, 3);
    let again = tokio_stream::iter([message(&["a"])]);
    let refused = older.bulk_import_relationships(again).await.unwrap_err();
    assert_eq!(
        (told(&refused).0, told(&refused).1.as_str()),
        (Code::AlreadyExists, "ATTEMPT_TO_RECREATE_RELATIONSHIP")
    );
    let wrong = tokio_stream::iter([wire::BulkImportRelationshipsRequest {
        relationships: vec![wire::Relationship {
            relation: "x".to_owned(),
            ..row("a")
        }],
    }]);
    let refused = older.bulk_import_relationships(wrong).await.unwrap_err();
    assert!(
        refused
            .message()
            .starts_with("validation error: relationships[0].relation"),
        "{refused}"
    );

    let request = wire::BulkExportRelationshipsRequest {
        consistency: consistency(FULL),
        optional_limit: 2,
        ..Default::default()
    };
    let mut pages = older
        .bulk_export_relationships(request)
        .await
        .unwrap()
        .into_inner();
    let mut rows = Vec::new();
    while let Some(page) = pages.message().await.unwrap() {
        assert!(page.after_result_cursor.is_some());
        rows.extend(page.relationships);
    }
    assert_eq!(rows, ["a", "b", "c"].map(row));

    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_checked_by_the_older_name() {
    let (running, client) = with_schema().await;
    let mut older = client.experimental();
    touch(&client, &["doc:a#viewer@user:ann"]).await.unwrap();
    touch(&client, &["doc:d#viewer@user:bob"]).await.unwrap();
    let item = |id: &str| wire::BulkCheckPermissionRequestItem {
        resource: row(id).resource,
        permission: "view".to_owned(),
        subject: row(id).subject,
        context: None,
    };
    let request = wire::BulkCheckPermissionRequest {
        consistency: consistency(FULL),
        items: vec![item("a"), item("d")],
    };
    let pairs = older
        .bulk_check_permission(request)
        .await
        .unwrap()
        .into_inner()
        .pairs;
    let answers = pairs.into_iter().map(|pair| {
        use wire::bulk_check_permission_pair::Response;
        assert!(pair.request.is_some());
        match pair.response.unwrap() {
            Response::Item(item) => item.permissionship(),
            Response::Error(error) => panic!("{error:?}"),
        }
    });
    use wire::check_permission_response::Permissionship::{HasPermission, NoPermission};
    assert_eq!(answers.collect::<Vec<_>>(), [HasPermission, NoPermission]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_nothing_is_shown() {
    let (running, _) = with_schema().await;
    let stranger = running
        .client_with(None, remit_client::Transport::Plaintext)
        .await;
    assert_eq!(
        reflect(&stranger, Vec::new()).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    let request = wire::ExperimentalReflectSchemaRequest::default();
    let refused = stranger
        .experimental()
        .experimental_reflect_schema(request)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    running.stop().await;
}
