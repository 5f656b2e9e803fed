//! What is wrong gets its error, changes nothing, and leaves the server serving.

use remit_client::Client;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::check_permission_response::Permissionship;
use remit_client::proto::authzed::api::v1::relationship_update::Operation;
use server::convert;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::life::{FULL, check, touch, with_schema};

fn reason(status: &Status) -> String {
    status
        .get_error_details()
        .error_info()
        .map(|info| info.reason.replace("ERROR_REASON_", ""))
        .unwrap_or_default()
}

async fn write_raw(client: &Client, object_type: &str, object_id: &str) -> Status {
    let mut relationship = convert::relationship_to_wire(&"doc:a#viewer@user:ann".parse().unwrap());
    relationship.resource = Some(wire::ObjectReference {
        object_type: object_type.to_owned(),
        object_id: object_id.to_owned(),
    });
    let update = wire::RelationshipUpdate {
        operation: Operation::Touch.into(),
        relationship: Some(relationship),
    };
    let request = wire::WriteRelationshipsRequest {
        updates: vec![update],
        ..Default::default()
    };
    client
        .permissions()
        .write_relationships(request)
        .await
        .unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_past_their_limits_and_out_of_their_alphabet() {
    let (running, client) = with_schema().await;
    for id in ["", "a\0b", "a\u{7f}", "a b", "é", &"a".repeat(1_025)] {
        let status = write_raw(&client, "doc", id).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{id:?}");
        assert!(
            status.message().starts_with("validation error"),
            "{id:?}: {}",
            status.message()
        );
    }
    assert_eq!(
        write_raw(&client, "Doc", "a").await.code(),
        Code::InvalidArgument
    );
    let longest = "a".repeat(1_024);
    touch(&client, &[&format!("doc:{longest}#viewer@user:ann")])
        .await
        .unwrap();
    let answer = check(&client, FULL, &format!("doc:{longest}"), "user:ann")
        .await
        .unwrap();
    assert_eq!(answer, Permissionship::HasPermission);
    running.stop().await;
}

/// A row, and how it is refused.
const UNKNOWN: [(&str, Code, &str); 11] = [
    (
        "nosuch:a#viewer@user:ann",
        Code::FailedPrecondition,
        "UNKNOWN_DEFINITION",
    ),
    (
        "doc:a#nosuch@user:ann",
        Code::FailedPrecondition,
        "UNKNOWN_RELATION_OR_PERMISSION",
    ),
    (
        "doc:a#viewer@nosuch:ann",
        Code::FailedPrecondition,
        "UNKNOWN_DEFINITION",
    ),
    (
        "doc:a#viewer@group:g#nosuch",
        Code::FailedPrecondition,
        "UNKNOWN_RELATION_OR_PERMISSION",
    ),
    (
        "doc:a#view@user:ann",
        Code::InvalidArgument,
        "CANNOT_UPDATE_PERMISSION",
    ),
    (
        "doc:a#viewer@group:g",
        Code::InvalidArgument,
        "INVALID_SUBJECT_TYPE",
    ),
    (
        "doc:a#viewer@user:*",
        Code::InvalidArgument,
        "INVALID_SUBJECT_TYPE",
    ),
    (
        "doc:a#viewer@user:ann[nosuch]",
        Code::InvalidArgument,
        "INVALID_SUBJECT_TYPE",
    ),
    (
        "doc:a#banned@user:ann[expiration:2030-01-01T00:00:00Z]",
        Code::InvalidArgument,
        "INVALID_SUBJECT_TYPE",
    ),
    (
        r#"doc:a#viewer@user:ann[num:{"bogus":1}]"#,
        Code::InvalidArgument,
        "CAVEAT_PARAMETER_TYPE_ERROR",
    ),
    (
        r#"doc:a#viewer@user:ann[num:{"xx":"one"}]"#,
        Code::InvalidArgument,
        "CAVEAT_PARAMETER_TYPE_ERROR",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_the_schema_does_not_know() {
    let (running, client) = with_schema().await;
    for (row, code, expected) in UNKNOWN {
        // A good row beside the bad one: neither is stored.
        let status = touch(&client, &["doc:a#viewer@user:good", row])
            .await
            .unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (code, expected),
            "{row}: {}",
            status.message()
        );
    }
    assert_eq!(
        check(&client, FULL, "doc:a", "user:good").await.unwrap(),
        Permissionship::NoPermission
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caveat_that_fails_is_an_error_and_never_an_allow() {
    let (running, client) = with_schema().await;
    touch(&client, &[r#"doc:a#viewer@user:ann[num:{"xx":0}]"#])
        .await
        .unwrap();
    let status = check(&client, FULL, "doc:a", "user:ann").await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "CAVEAT_EVALUATION_ERROR")
    );
    assert_eq!(
        status.message(),
        "evaluation error for caveat num: division by zero"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_have_their_errors() {
    let (running, client) = with_schema().await;
    let rows: Vec<String> = (0..1_001)
        .map(|n| format!("doc:a#viewer@user:u{n}"))
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let status = touch(&client, &rows).await.unwrap_err();
    assert_eq!(reason(&status), "TOO_MANY_UPDATES_IN_REQUEST");
    let status = touch(&client, &["doc:a#viewer@user:u", "doc:a#viewer@user:u"])
        .await
        .unwrap_err();
    assert_eq!(reason(&status), "UPDATES_ON_SAME_RELATIONSHIP");
    let item = wire::CheckBulkPermissionsRequestItem {
        resource: Some(convert::object_to_wire(&"doc:a".parse().unwrap())),
        permission: "view".to_owned(),
        subject: Some(convert::subject_to_wire(&"user:a".parse().unwrap())),
        context: None,
    };
    let request = wire::CheckBulkPermissionsRequest {
        consistency: None,
        items: vec![item; 10_001],
        with_tracing: false,
    };
    let status = client
        .permissions()
        .check_bulk_permissions(request)
        .await
        .unwrap_err();
    assert_eq!(
        status.message(),
        "check count of 10001 is greater than maximum allowed of 10000"
    );
    let schema = format!("// {}", "x".repeat(5 << 20));
    let status = client
        .schema()
        .write_schema(wire::WriteSchemaRequest { schema })
        .await
        .unwrap_err();
    assert!(
        matches!(
            status.code(),
            Code::OutOfRange | Code::ResourceExhausted | Code::InvalidArgument
        ),
        "{status:?}"
    );
    assert_eq!(
        check(&client, FULL, "doc:a", "user:u").await.unwrap(),
        Permissionship::NoPermission
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_forbids_a_schema_that_has_no_place_for_it() {
    let (running, client) = with_schema().await;
    touch(
        &client,
        &["doc:a#viewer@group:g#member", "group:g#member@user:ann"],
    )
    .await
    .unwrap();
    for (schema, message) in [
        (
            "definition user {}",
            "cannot delete object definition `group`, as at least one relationship exists under it: group:g#member@user:ann",
        ),
        (
            "use expiration\ncaveat num(xx int) {\n xx == 1\n}\ndefinition user {}\ndefinition group {\n relation member: user | \
             group#member\n}\ndefinition doc {\n relation viewer: user | user with num | user with expiration\n relation \
             banned: user\n permission view = viewer\n}\n",
            "cannot remove allowed type `group#member` from relation `viewer` in object definition `doc`, as a relationship \
             exists with it: doc:a#viewer@group:g#member",
        ),
        (
            "caveat num(yy int) {\n yy == 1\n}\ndefinition user {}\n",
            "cannot remove parameter `xx` on caveat `num`",
        ),
    ] {
        let request = wire::WriteSchemaRequest {
            schema: schema.to_owned(),
        };
        let status = client.schema().write_schema(request).await.unwrap_err();
        assert_eq!(status.message(), message);
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "SCHEMA_TYPE_ERROR")
        );
    }
    assert_eq!(
        check(&client, FULL, "doc:a", "user:ann").await.unwrap(),
        Permissionship::HasPermission
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_are_bound_to_their_query() {
    let (running, client) = with_schema().await;
    touch(
        &client,
        &[
            "doc:a#viewer@user:a",
            "doc:a#viewer@user:b",
            "doc:b#viewer@user:c",
        ],
    )
    .await
    .unwrap();
    let request =
        |resource_type: &str, limit, cursor: Option<&str>| wire::ReadRelationshipsRequest {
            relationship_filter: Some(wire::RelationshipFilter {
                resource_type: resource_type.to_owned(),
                ..Default::default()
            }),
            optional_limit: limit,
            optional_cursor: cursor.map(|token| wire::Cursor {
                token: token.to_owned(),
            }),
            ..Default::default()
        };
    let mut page = client
        .permissions()
        .read_relationships(request("doc", 2, None))
        .await
        .unwrap()
        .into_inner();
    let mut cursor = String::new();
    while let Some(row) = page.message().await.unwrap() {
        cursor = row.after_result_cursor.unwrap().token;
    }
    // Written after the first page, so not on the second.
    touch(&client, &["doc:a#viewer@user:aa", "doc:c#viewer@user:d"])
        .await
        .unwrap();
    let rest = client
        .permissions()
        .read_relationships(request("doc", 2, Some(&cursor)))
        .await
        .unwrap();
    let mut rest = rest.into_inner();
    let mut rows = Vec::new();
    while let Some(row) = rest.message().await.unwrap() {
        rows.push(
            convert::relationship_from_wire(row.relationship.unwrap())
                .unwrap()
                .to_string(),
        );
    }
    assert_eq!(rows, ["doc:b#viewer@user:c"]);
    for wrong in [
        request("doc", 1, Some(&cursor)),
        request("group", 2, Some(&cursor)),
        request("doc", 2, Some("AAAA")),
    ] {
        let status = client
            .permissions()
            .read_relationships(wrong)
            .await
            .unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "INVALID_CURSOR")
        );
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_store_is_an_invalid_cursor() {
    let (running, client) = with_schema().await;
    let (elsewhere, other) = with_schema().await;
    let read = |optional_cursor| wire::ReadRelationshipsRequest {
        relationship_filter: Some(of_docs()),
        optional_cursor,
        ..Default::default()
    };
    let export = |optional_cursor| wire::ExportBulkRelationshipsRequest {
        optional_cursor,
        ..Default::default()
    };
    for client in [&client, &other] {
        touch(client, &["doc:a#viewer@user:a"]).await.unwrap();
    }
    let page = other.permissions().read_relationships(read(None)).await;
    let row = page.unwrap().into_inner().message().await.unwrap().unwrap();
    let foreign = row.after_result_cursor;
    assert!(foreign.is_some());
    let status = client.permissions().read_relationships(read(foreign)).await;
    let status = status.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "INVALID_CURSOR")
    );
    let mut calls = other.permissions();
    let page = calls.export_bulk_relationships(export(None)).await;
    let mut page = page.unwrap().into_inner();
    let foreign = page.message().await.unwrap().unwrap().after_result_cursor;
    assert!(foreign.is_some());
    let mut calls = client.permissions();
    let page = calls.export_bulk_relationships(export(foreign)).await;
    let status = page.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "INVALID_CURSOR")
    );
    elsewhere.stop().await;
    running.stop().await;
}

fn of_docs() -> wire::RelationshipFilter {
    wire::RelationshipFilter {
        resource_type: "doc".to_owned(),
        ..Default::default()
    }
}

/// Makes a call with a limit, of each kind that takes one.
async fn limited(client: &Client, call: &str, limit: u32) -> Result<(), Status> {
    let mut calls = client.permissions();
    let object = Some(convert::object_to_wire(&"doc:a".parse().unwrap()));
    let subject = Some(convert::subject_to_wire(&"user:a".parse().unwrap()));
    match call {
        "read" => {
            let request = wire::ReadRelationshipsRequest {
                relationship_filter: Some(of_docs()),
                optional_limit: limit,
                ..Default::default()
            };
            calls.read_relationships(request).await.map(drop)
        }
        "delete" => {
            let request = wire::DeleteRelationshipsRequest {
                relationship_filter: Some(of_docs()),
                optional_limit: limit,
                ..Default::default()
            };
            calls.delete_relationships(request).await.map(drop)
        }
        "resources" => {
            let request = wire::LookupResourcesRequest {
                resource_object_type: "doc".to_owned(),
                permission: "view".to_owned(),
                subject,
                optional_limit: limit,
                ..Default::default()
            };
            calls.lookup_resources(request).await.map(drop)
        }
        "subjects" => {
            let request = wire::LookupSubjectsRequest {
                resource: object,
                permission: "view".to_owned(),
                subject_object_type: "user".to_owned(),
                optional_concrete_limit: limit,
                ..Default::default()
            };
            calls.lookup_subjects(request).await.map(drop)
        }
        "export" => {
            let request = wire::ExportBulkRelationshipsRequest {
                optional_limit: limit,
                ..Default::default()
            };
            calls.export_bulk_relationships(request).await.map(drop)
        }
        other => panic!("no call takes a limit as {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_has_its_maximum() {
    let (running, client) = with_schema().await;
    for (call, limit_max) in [
        ("read", 1_000),
        ("delete", 1_000),
        ("resources", 1_000),
        ("subjects", 1_000),
        ("export", 10_000),
    ] {
        for limit in [0, 1, limit_max] {
            limited(&client, call, limit).await.unwrap();
        }
        for limit in [limit_max + 1, u32::MAX] {
            let status = limited(&client, call, limit).await.unwrap_err();
            assert_eq!(
                (status.code(), reason(&status).as_str(), status.message()),
                (
                    Code::InvalidArgument,
                    "EXCEEDS_MAXIMUM_ALLOWABLE_LIMIT",
                    format!(
                        "provided limit {limit} is greater than maximum allowed of {limit_max}"
                    )
                    .as_str()
                ),
                "{call}"
            );
        }
    }
    running.stop().await;
}
