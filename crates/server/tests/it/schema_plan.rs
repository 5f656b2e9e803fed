//! What writing a schema would do is told, and is what writing it then does.

use remit_client::Client;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::remit::v1::{FaultClass, PlanSchemaRequest, PlanSchemaResponse};
use server::convert;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::life::{FULL, SCHEMA, touch, with_schema};

async fn plan(client: &Client, schema: &str) -> PlanSchemaResponse {
    let request = PlanSchemaRequest {
        consistency: Some(wire::Consistency {
            requirement: Some(FULL),
        }),
        schema: schema.to_owned(),
    };
    let response = client.schema_plan().plan_schema(request).await;
    response.unwrap().into_inner()
}

async fn write(client: &Client, schema: &str) -> Result<(), tonic::Status> {
    let schema = schema.to_owned();
    let request = wire::WriteSchemaRequest { schema };
    client.schema().write_schema(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_told() {
    let (running, client) = with_schema().await;
    let schema = "definition user {}\ndefinition doc {\n\trelation viewer: usr\n\tpermission view = vewer\n}\n";
    let planned = plan(&client, schema).await;
    assert_eq!((planned.changes.len(), planned.breaks.len()), (0, 0));
    let told: Vec<_> = planned
        .faults
        .iter()
        .map(|fault| (fault.class(), fault.line, fault.column, fault.hint.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (FaultClass::Type, 3, 19, "did you mean `user`?"),
            (FaultClass::Type, 4, 20, "did you mean `viewer`?"),
        ]
    );
    let refused = write(&client, schema).await.unwrap_err();
    assert_eq!(refused.message(), planned.faults[0].message);
    let planned = plan(&client, "definition {").await;
    assert_eq!(planned.faults[0].class(), FaultClass::Parse);
    assert_eq!(
        planned.faults[0].message,
        "parse error in `schema`, line 1, column 12: Expected identifier, found token TokenTypeLeftBrace"
    );
    let long = PlanSchemaRequest {
        consistency: None,
        schema: "x".repeat(3 << 20),
    };
    let planned = client
        .schema_plan()
        .plan_schema(long)
        .await
        .unwrap()
        .into_inner();
    assert!(planned.faults[0].rendered.len() < 1_000);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_without_harm() {
    let (running, client) = with_schema().await;
    touch(&client, &["doc:a#viewer@user:ann"]).await.unwrap();
    assert_eq!(plan(&client, SCHEMA).await.changes, []);
    let schema = format!("{SCHEMA}definition robot {{}}\n");
    let planned = plan(&client, &schema).await;
    let summaries: Vec<&str> = planned
        .changes
        .iter()
        .map(|each| each.summary.as_str())
        .collect();
    assert_eq!(summaries, ["+ definition robot"]);
    assert!(matches!(
        planned.changes[0].diff.as_ref().unwrap().diff,
        Some(wire::reflection_schema_diff::Diff::DefinitionAdded(_))
    ));
    assert_eq!((planned.faults.len(), planned.breaks.len()), (0, 0));
    // Nothing was written; now it is.
    assert_eq!(plan(&client, &schema).await.changes.len(), 1);
    write(&client, &schema).await.unwrap();
    assert_eq!(plan(&client, &schema).await.changes, []);
    running.stop().await;
}

/// What is refused, how many relationships forbid it and whether there may be more, and the message.
const BREAKS: [(&str, u64, bool, &str); 6] = [
    (
        "remove_parameter",
        0,
        false,
        "cannot remove parameter `xx` on caveat `num`",
    ),
    (
        "delete_object_definition",
        1,
        false,
        "cannot delete object definition `group`, as at least one relationship exists under it: group:g#member@user:ann",
    ),
    (
        "delete_relation",
        1,
        false,
        "cannot delete relation `member` in object definition `group`, as at least one relationship references it as \
                 part of a subject: doc:a#viewer@group:g#member",
    ),
    (
        "remove_allowed_type",
        2,
        false,
        "cannot remove allowed type `user` from relation `viewer` in object definition `doc`, as a relationship exists \
                 with it: doc:a#viewer@user:ann",
    ),
    (
        "remove_allowed_type",
        1,
        false,
        "cannot remove allowed type `group#member` from relation `viewer` in object definition `doc`, as a \
                 relationship exists with it: doc:a#viewer@group:g#member",
    ),
    (
        "delete_relation",
        1,
        false,
        "cannot delete relation `banned` in object definition `doc`, as at least one relationship exists under it: \
                 doc:a#banned@user:dan",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_forbids_a_change() {
    let (running, client) = with_schema().await;
    let rows = [
        "doc:a#viewer@user:ann",
        "doc:b#viewer@user:bob",
        "doc:a#viewer@group:g#member",
        "doc:a#viewer@user:cay[num:{\"xx\":10}]",
        "doc:a#banned@user:dan",
        "group:g#member@user:ann",
    ];
    touch(&client, &rows).await.unwrap();
    let schema = "caveat num(yy int) {\n yy == 1\n}\ndefinition user {}\ndefinition doc {\n relation viewer: user with num\n \
                  permission banned = viewer\n}\n";
    let planned = plan(&client, schema).await;
    let told: Vec<_> = planned
        .breaks
        .iter()
        .map(|each| {
            (
                each.operation.as_str(),
                each.relationship_count,
                each.is_at_least,
                each.message.as_str(),
            )
        })
        .collect();
    assert_eq!(told, BREAKS);
    let first = convert::relationship_to_wire(&rows[0].parse().unwrap());
    assert_eq!(planned.breaks[3].relationship, Some(first));

    let refused = write(&client, schema).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.message(), planned.breaks[0].message);
    let details = refused.get_error_details();
    assert_eq!(
        details.error_info().unwrap().metadata,
        planned.breaks[0].metadata
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_ends_at_a_limit() {
    let (running, client) = with_schema().await;
    let row =
        |n| convert::relationship_to_wire(&format!("doc:d{n}#banned@user:ann").parse().unwrap());
    for count in [10_000, 1] {
        let start = if count == 1 { 10_000 } else { 0 };
        let message = wire::ImportBulkRelationshipsRequest {
            relationships: (start..start + count).map(row).collect(),
        };
        let messages = tokio_stream::iter([message]);
        client
            .permissions()
            .import_bulk_relationships(messages)
            .await
            .unwrap();
        let planned = plan(
            &client,
            &SCHEMA.replace("relation banned: user", "relation banned: group#member"),
        )
        .await;
        let found = &planned.breaks[0];
        assert_eq!(
            (found.relationship_count, found.is_at_least),
            (10_000, count == 1)
        );
    }
    running.stop().await;
}
