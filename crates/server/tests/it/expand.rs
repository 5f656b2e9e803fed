//! Who has a permission, over the wire: the shapes that clients know, and what is refused.

use model::Token;
use remit_client::Client;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::permission_relationship_tree::TreeType;
use server::convert;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::life::{FULL, touch};
use crate::running::{start, write_schema};

const SCHEMA: &str = "use expiration\ncaveat onday(day string) {\n day == \"fri\"\n}\ndefinition user {}\n\
    definition group {\n relation member: user | group#member\n relation manager: user\n permission inter = member & manager\n}\n\
    definition doc {\n relation parent: doc\n relation viewer: user | user with onday | user with expiration | group#member\n \
    relation pub: user:*\n relation banned: user\n permission view = viewer + parent->view\n permission top = view\n \
    permission public = pub - banned\n permission nothing = nil\n permission circle = viewer - parent->circle\n}\n";

async fn expand(
    client: &Client,
    what: &str,
) -> Result<wire::ExpandPermissionTreeResponse, tonic::Status> {
    let (resource, permission) = what.split_once('#').unwrap();
    let request = wire::ExpandPermissionTreeRequest {
        consistency: Some(wire::Consistency {
            requirement: Some(FULL),
        }),
        resource: Some(convert::object_to_wire(&resource.parse().unwrap())),
        permission: permission.to_owned(),
    };
    let response = client.permissions().expand_permission_tree(request).await;
    response.map(tonic::Response::into_inner)
}

/// `doc:a#view union(doc:a#viewer[user:tom] ..)`
fn text(tree: &wire::PermissionRelationshipTree) -> String {
    let object = tree.expanded_object.as_ref().unwrap();
    let name = format!(
        "{}:{}#{}",
        object.object_type, object.object_id, tree.expanded_relation
    );
    match tree.tree_type.as_ref().unwrap() {
        TreeType::Leaf(leaf) => {
            let subjects = leaf.subjects.iter().map(|subject| {
                let object = subject.object.as_ref().unwrap();
                let set = Some(&subject.optional_relation).filter(|set| !set.is_empty());
                let set = set.map(|set| format!("#{set}")).unwrap_or_default();
                format!("{}:{}{set}", object.object_type, object.object_id)
            });
            format!("{name}[{}]", subjects.collect::<Vec<_>>().join(" "))
        }
        TreeType::Intermediate(set) => {
            let operation = set
                .operation()
                .as_str_name()
                .trim_start_matches("OPERATION_");
            let children: Vec<String> = set.children.iter().map(text).collect();
            format!("{name} {operation}({})", children.join(", "))
        }
    }
}

/// Answers that were recorded with the peer.
#[tokio::test(flavor = "multi_thread")]
async fn trees_have_the_shapes_that_clients_know() {
    let running = start().await;
    let client = running.client().await;
    write_schema(&client, SCHEMA).await;
    let rows = [
        "doc:b#parent@doc:a",
        "doc:a#viewer@user:tom",
        "doc:a#viewer@user:fri[onday]",
        "doc:a#viewer@user:old[expiration:2020-01-01T00:00:00Z]",
        "doc:a#viewer@group:g#member",
        "doc:p#pub@user:*",
        "doc:p#banned@user:bad",
        "group:g#member@user:tom",
        "group:g#manager@user:tom",
    ];
    let at: Token = touch(&client, &rows).await.unwrap();
    let cases = [
        (
            "doc:b#view",
            "doc:b#view UNION(doc:b#viewer[], doc:b#view UNION(doc:a#view UNION(doc:a#viewer[user:fri user:tom \
             group:g#member], doc:a#view UNION())))",
        ),
        ("doc:b#viewer", "doc:b#viewer[]"),
        (
            "doc:p#public",
            "doc:p#public EXCLUSION(doc:p#pub[user:*], doc:p#banned[user:bad])",
        ),
        ("doc:a#nothing", "doc:a#nothing UNION(doc:a#nothing[])"),
        (
            "group:g#inter",
            "group:g#inter INTERSECTION(group:g#member[user:tom], group:g#manager[user:tom])",
        ),
        (
            "doc:none#public",
            "doc:none#public EXCLUSION(doc:none#pub[], doc:none#banned[])",
        ),
    ];
    for (asked, expected) in cases {
        let response = expand(&client, asked).await.unwrap();
        assert_eq!(text(response.tree_root.as_ref().unwrap()), expected);
        assert_eq!(response.expanded_at.unwrap().token, at.to_string());
    }
    for (asked, code, reason) in [
        (
            "doc:b#nosuch",
            Code::FailedPrecondition,
            "ERROR_REASON_UNKNOWN_RELATION_OR_PERMISSION",
        ),
        (
            "nosuch:b#view",
            Code::FailedPrecondition,
            "ERROR_REASON_UNKNOWN_DEFINITION",
        ),
    ] {
        let status = expand(&client, asked).await.unwrap_err();
        assert_eq!(status.code(), code);
        assert_eq!(status.get_details_error_info().unwrap().reason, reason);
    }
    let empty = wire::ExpandPermissionTreeRequest::default();
    let status = client.permissions().expand_permission_tree(empty).await;
    let status = status.unwrap_err();
    assert_eq!(
        status.message(),
        "validation error: resource: value is required"
    );
    running.stop().await;
}

/// A circle of relationships adds nothing; through an exclusion it has no tree.
#[tokio::test(flavor = "multi_thread")]
async fn a_circle_ends() {
    let running = start().await;
    let client = running.client().await;
    write_schema(&client, SCHEMA).await;
    let rows = [
        "doc:a#parent@doc:b",
        "doc:b#parent@doc:a",
        "doc:b#viewer@user:tom",
    ];
    touch(&client, &rows).await.unwrap();
    let tree = expand(&client, "doc:a#view")
        .await
        .unwrap()
        .tree_root
        .unwrap();
    let expected = "doc:a#view UNION(doc:a#viewer[], doc:a#view UNION(doc:b#view UNION(doc:b#viewer[user:tom], \
                    doc:b#view UNION(doc:a#view[]))))";
    assert_eq!(text(&tree), expected);
    let status = expand(&client, "doc:a#circle").await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(
        status.message().starts_with("cyclic exclusion"),
        "{}",
        status.message()
    );
    running.stop().await;
}

/// The deepest tree that is sent can be decoded; one that could not be is refused.
#[tokio::test(flavor = "multi_thread")]
async fn no_tree_is_too_deep_for_its_client() {
    let running = start().await;
    let client = running.client().await;
    write_schema(&client, SCHEMA).await;
    let mut rows: Vec<String> = (1..25)
        .map(|n| format!("doc:d{n}#parent@doc:d{}", n + 1))
        .collect();
    rows.extend((1..=25).map(|n| format!("doc:d{n}#viewer@group:g#member")));
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    touch(&client, &rows).await.unwrap();
    // Two levels a document, and one for `top`.
    let deepest = expand(&client, "doc:d2#top").await.unwrap();
    assert_eq!(
        text(&deepest.tree_root.unwrap()).matches("UNION").count(),
        49
    );
    let status = expand(&client, "doc:d1#view").await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "ERROR_REASON_MAXIMUM_DEPTH_EXCEEDED");
    assert_eq!(info.metadata["maximum_levels_allowed"], "49");
    running.stop().await;
}

/// What a tree is counted as is no less than what it takes, so one that is sent is never too large to be received.
#[tokio::test(flavor = "multi_thread")]
async fn no_tree_is_too_large_for_its_client() {
    use prost::Message as _;
    let running = start().await;
    let client = running.client().await;
    write_schema(&client, SCHEMA).await;
    let id = "x".repeat(1_000);
    let mut count = 0;
    while count < 5_000 {
        let rows: Vec<String> = (count..count + 1_000)
            .map(|n| format!("doc:{id}#viewer@user:{id}{n:04}"))
            .collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        touch(&client, &rows).await.unwrap();
        count += 1_000;
        match expand(&client, &format!("doc:{id}#view")).await {
            Ok(response) => assert!(response.encoded_len() <= 4 << 20 && count <= 4_000),
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted);
                assert!(status.message().contains("more than 4194304 bytes"));
                assert_eq!(count, 5_000);
            }
        }
    }
    running.stop().await;
}

/// Where the limit of levels comes from: one more, and a client could not decode the answer.
#[test]
fn decoders_refuse_the_level_after_the_last() {
    use prost::Message as _;
    for (levels, is_decoded) in [(49, true), (50, false)] {
        let object = convert::object_to_wire(&"doc:a".parse().unwrap());
        let subject = convert::subject_to_wire(&"group:g#member".parse().unwrap());
        let node = |content| wire::PermissionRelationshipTree {
            expanded_object: Some(object.clone()),
            expanded_relation: "view".to_owned(),
            tree_type: Some(content),
        };
        let leaf = node(TreeType::Leaf(wire::DirectSubjectSet {
            subjects: vec![subject],
        }));
        let root = (1..levels).fold(leaf, |below, _| {
            node(TreeType::Intermediate(wire::AlgebraicSubjectSet {
                operation: 1,
                children: vec![below],
            }))
        });
        let answer = wire::ExpandPermissionTreeResponse {
            expanded_at: None,
            tree_root: Some(root),
        };
        let bytes = answer.encode_to_vec();
        let decoded = wire::ExpandPermissionTreeResponse::decode(bytes.as_slice());
        assert_eq!(decoded.is_ok(), is_decoded, "{levels} levels");
    }
}
