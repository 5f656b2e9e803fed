//! Checks that tell how their answers came about, over the wire.

use std::collections::BTreeSet;

use model::Context;
use remit_client::Client;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::check_debug_trace::{
    Permissionship as Result_, Resolution,
};
use remit_client::proto::authzed::api::v1::check_permission_response::Permissionship;
use server::convert;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::life::{FULL, touch};
use crate::running::{Running, start, write_schema};

const SCHEMA: &str = "use expiration\n\ncaveat onday(allowed list<string>, day string) {\n\tday in allowed\n}\n\n\
    caveat vast(more map<any>, day string) {\n\tday in more\n}\n\ndefinition user {}\n\n\
    definition group {\n\trelation member: user | group#member | group#member with vast\n}\n\n\
    definition doc {\n\trelation parent: doc\n\trelation viewer: user | user with onday | user with expiration | group#member\n\t\
    permission view = viewer + parent->view\n\tpermission circle = viewer - parent->circle\n}";

async fn with_rows(rows: &[&str]) -> (Running, Client) {
    let running = start().await;
    let client = running.client().await;
    write_schema(&client, SCHEMA).await;
    touch(&client, rows).await.unwrap();
    (running, client)
}

fn request(asked: &str, context: &str, with_tracing: bool) -> wire::CheckPermissionRequest {
    let (resource, rest) = asked.split_once('#').unwrap();
    let (permission, subject) = rest.split_once('@').unwrap();
    let context = Context::from_json(context).unwrap();
    wire::CheckPermissionRequest {
        consistency: Some(wire::Consistency {
            requirement: Some(FULL),
        }),
        resource: Some(convert::object_to_wire(&resource.parse().unwrap())),
        permission: permission.to_owned(),
        subject: Some(convert::subject_to_wire(&subject.parse().unwrap())),
        context: Some(convert::context_to_wire(&context)),
        with_tracing,
    }
}

async fn check(
    client: &Client,
    asked: &str,
    context: &str,
) -> Result<wire::CheckPermissionResponse, Status> {
    let request = request(asked, context, true);
    let response = client.permissions().check_permission(request).await;
    response.map(tonic::Response::into_inner)
}

fn below(trace: &wire::CheckDebugTrace) -> &[wire::CheckDebugTrace] {
    match trace.resolution.as_ref().unwrap() {
        Resolution::WasCachedResult(_) => &[],
        Resolution::SubProblems(below) => &below.traces,
    }
}

fn text(trace: &wire::CheckDebugTrace) -> String {
    let object = trace.resource.as_ref().unwrap();
    let caveat = trace.caveat_evaluation_info.as_ref().map(|info| {
        let context = convert::context_from_wire(info.context.clone().unwrap()).unwrap();
        let result = info.result().as_str_name().trim_start_matches("RESULT_");
        let (name, expression) = (&info.caveat_name, &info.expression);
        format!(" {{{name}: {expression} {} {result}}}", context.to_json())
    });
    let repeated = match trace.resolution.as_ref().unwrap() {
        Resolution::WasCachedResult(true) => " again",
        Resolution::WasCachedResult(false) | Resolution::SubProblems(_) => "",
    };
    let below: Vec<String> = below(trace).iter().map(text).collect();
    format!(
        "{}:{}#{} {} {}{}{repeated}({})",
        object.object_type,
        object.object_id,
        trace.permission,
        trace
            .permission_type()
            .as_str_name()
            .trim_start_matches("PERMISSION_TYPE_"),
        trace
            .result()
            .as_str_name()
            .trim_start_matches("PERMISSIONSHIP_"),
        caveat.unwrap_or_default(),
        below.join(", ")
    )
}

/// The recorded case, where a condition that holds lies below a permission of a parent.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_complete() {
    let rows = [
        "doc:b#parent@doc:a",
        r#"doc:a#viewer@user:fri[onday:{"allowed":["fri"]}]"#,
        "doc:a#viewer@user:eve[expiration:2100-01-01T00:00:00Z]",
    ];
    let (running, client) = with_rows(&rows).await;
    let response = check(&client, "doc:b#view@user:fri", r#"{"day": "fri"}"#)
        .await
        .unwrap();
    assert_eq!(response.permissionship(), Permissionship::HasPermission);
    let debug = response.debug_trace.unwrap();
    let read = client
        .schema()
        .read_schema(wire::ReadSchemaRequest {})
        .await;
    assert_eq!(debug.schema_used, read.unwrap().into_inner().schema_text);
    let root = debug.check.unwrap();
    let caveat = r#"{onday: day in allowed {"allowed":["fri"],"day":"fri"} TRUE}"#;
    assert_eq!(
        text(&root),
        format!(
            "doc:b#view PERMISSION HAS_PERMISSION {caveat}(doc:a#view PERMISSION HAS_PERMISSION {caveat}(doc:a#viewer \
             RELATION HAS_PERMISSION {caveat}()))"
        )
    );
    assert!(root.duration.is_some());
    assert_eq!(
        root.subject
            .as_ref()
            .unwrap()
            .object
            .as_ref()
            .unwrap()
            .object_id,
        "fri"
    );

    let response = check(&client, "doc:b#view@user:fri", "{}").await.unwrap();
    assert_eq!(
        response.permissionship(),
        Permissionship::ConditionalPermission
    );
    let root = response.debug_trace.unwrap().check.unwrap();
    assert_eq!(root.result(), Result_::ConditionalPermission);
    let missing = root
        .caveat_evaluation_info
        .unwrap()
        .partial_caveat_info
        .unwrap();
    assert_eq!(missing.missing_required_context, ["day"]);

    let response = check(&client, "doc:b#view@user:eve", "{}").await.unwrap();
    let root = response.debug_trace.unwrap().check.unwrap();
    assert_eq!(root.optional_expires_at, None);
    let viewer = &below(&below(&root)[0])[0];
    assert_eq!(viewer.optional_expires_at.unwrap().seconds, 4_102_444_800);

    let response = check(&client, "doc:b#view@user:no", "{}").await.unwrap();
    assert_eq!(response.permissionship(), Permissionship::NoPermission);
    let expected = "doc:b#view PERMISSION NO_PERMISSION(doc:b#viewer RELATION NO_PERMISSION(), doc:a#view PERMISSION \
                    NO_PERMISSION(doc:a#viewer RELATION NO_PERMISSION()))";
    assert_eq!(
        text(&response.debug_trace.unwrap().check.unwrap()),
        expected
    );
    running.stop().await;
}

fn operations(trace: &wire::CheckDebugTrace, found: &mut Vec<(String, String)>) {
    found.push((trace.trace_operation_id.clone(), trace.source.clone()));
    below(trace)
        .iter()
        .for_each(|trace| operations(trace, found));
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_told_apart_and_a_repeated_one_is_the_same() {
    let rows = [
        "doc:a#viewer@group:g#member",
        "doc:a#viewer@group:h#member",
        "group:g#member@group:s#member",
        "group:h#member@group:s#member",
    ];
    let (running, client) = with_rows(&rows).await;
    let response = check(&client, "doc:a#view@user:no", "{}").await.unwrap();
    let root = response.debug_trace.unwrap().check.unwrap();
    assert_eq!(
        text(&root)
            .matches("group:s#member RELATION NO_PERMISSION again()")
            .count(),
        1
    );
    let mut found = Vec::new();
    operations(&root, &mut found);
    let ids: BTreeSet<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!((found.len(), ids.len()), (6, 5));
    for (id, source) in &found {
        let parts: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
        assert_eq!((&id[14..15], source), ("4", &found[0].1));
    }
    assert!(found[0].1.starts_with("remit:"), "{}", found[0].1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_comes_only_if_asked_for() {
    let (running, client) = with_rows(&["doc:a#viewer@user:tom"]).await;
    let mut asked = Request::new(request("doc:a#view@user:tom", "{}", false));
    let plain = client
        .permissions()
        .check_permission(request("doc:a#view@user:tom", "{}", false))
        .await;
    assert_eq!(plain.unwrap().into_inner().debug_trace, None);
    // As clients asked before there was a field for it.
    asked
        .metadata_mut()
        .insert("io.spicedb.requestdebuginfo", "1".parse().unwrap());
    let traced = client.permissions().check_permission(asked).await.unwrap();
    assert!(traced.into_inner().debug_trace.is_some());

    for with_tracing in [false, true] {
        let items = [
            "doc:a#view@user:tom",
            "doc:a#nosuch@user:tom",
            "doc:a#view@user:no",
        ];
        let items = items.map(|asked| {
            let asked = request(asked, "{}", false);
            wire::CheckBulkPermissionsRequestItem {
                resource: asked.resource,
                permission: asked.permission,
                subject: asked.subject,
                context: asked.context,
            }
        });
        let bulk = wire::CheckBulkPermissionsRequest {
            consistency: None,
            items: items.to_vec(),
            with_tracing,
        };
        let response = client.permissions().check_bulk_permissions(bulk).await;
        let pairs = response.unwrap().into_inner().pairs;
        let traces: Vec<Option<String>> = pairs
            .into_iter()
            .filter_map(|pair| match pair.response.unwrap() {
                wire::check_bulk_permissions_pair::Response::Item(item) => Some(item.debug_trace),
                wire::check_bulk_permissions_pair::Response::Error(_) => None,
            })
            .map(|debug| debug.map(|debug| text(&debug.check.unwrap())))
            .collect();
        assert_eq!(traces.len(), 2);
        let told = "doc:a#view PERMISSION HAS_PERMISSION(doc:a#viewer RELATION HAS_PERMISSION())";
        assert_eq!(traces[0].as_deref(), with_tracing.then_some(told));
    }
    running.stop().await;
}

/// The deepest trace, with the deepest context in its deepest node, can be decoded.
#[tokio::test(flavor = "multi_thread")]
async fn no_trace_is_too_deep_for_its_client() {
    let mut rows: Vec<String> = (1..45)
        .map(|n| {
            let context = r#"{"more":{"a":{"b":{"c":{"d":1}}}}}"#;
            format!("group:g{n}#member@group:g{}#member[vast:{context}]", n + 1)
        })
        .collect();
    rows.push("group:g45#member@user:tom".to_owned());
    rows.push(
        r#"group:h#member@group:g45#member[vast:{"more":{"a":{"b":{"c":{"d":[1]}}}}}]"#.to_owned(),
    );
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let (running, client) = with_rows(&rows).await;
    let asked = request("group:g1#member@user:tom", "{}", false);
    let item = wire::CheckBulkPermissionsRequestItem {
        resource: asked.resource,
        permission: asked.permission,
        subject: asked.subject,
        context: asked.context,
    };
    let bulk = wire::CheckBulkPermissionsRequest {
        consistency: None,
        items: vec![item],
        with_tracing: true,
    };
    let response = client.permissions().check_bulk_permissions(bulk).await;
    let pair = response.unwrap().into_inner().pairs.remove(0);
    let wire::check_bulk_permissions_pair::Response::Item(item) = pair.response.unwrap() else {
        panic!("an error");
    };
    let root = item.debug_trace.unwrap().check.unwrap();
    let mut deepest = &root;
    let mut levels = 1;
    while let Some(next) = below(deepest).first() {
        assert!(!deepest.source.ends_with(":truncated"));
        (deepest, levels) = (next, levels + 1);
    }
    assert_eq!(levels, 40);
    assert!(deepest.source.ends_with(":truncated"), "{}", deepest.source);
    let info = deepest.caveat_evaluation_info.clone().unwrap();
    let context = convert::context_from_wire(info.context.unwrap()).unwrap();
    assert_eq!(context.to_json(), r#"{"more":{"a":{"b":{"c":{"d":1}}}}}"#);

    // One level more would be too deep, so the value is left out.
    let response = check(&client, "group:h#member@user:tom", "{}")
        .await
        .unwrap();
    let root = response.debug_trace.unwrap().check.unwrap();
    assert!(
        text(&root).contains("day in more {} MISSING"),
        "{}",
        text(&root)
    );
    running.stop().await;
}

/// An error is told as without a trace, with what led to it among its details.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_data_is_told_with_its_trace() {
    let mut rows: Vec<String> = (1..60)
        .map(|n| format!("doc:d{n}#parent@doc:d{}", n + 1))
        .collect();
    rows.extend(
        [
            "doc:d60#viewer@user:tom",
            "doc:x#parent@doc:x",
            "doc:x#viewer@user:tom",
        ]
        .map(str::to_owned),
    );
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let (running, client) = with_rows(&rows).await;
    for (asked, reason, message, start) in [
        (
            "doc:d1#view@user:tom",
            "ERROR_REASON_MAXIMUM_DEPTH_EXCEEDED",
            "max depth exceeded: this usually indicates a recursive or too deep data dependency",
            "check:{resource:{object_type:\"doc\" object_id:\"d1\"} permission:\"view\" \
             permission_type:PERMISSION_TYPE_PERMISSION subject:{object:{object_type:\"user\" object_id:\"tom\"}} \
             result:PERMISSIONSHIP_UNSPECIFIED sub_problems:{traces:{resource:{object_type:\"doc\" object_id:\"d2\"}",
        ),
        (
            "doc:x#circle@user:tom",
            "ERROR_REASON_UNSPECIFIED",
            "cyclic exclusion: the relationships make a permission depend on its own absence",
            "check:{resource:{object_type:\"doc\" object_id:\"x\"} permission:\"circle\"",
        ),
    ] {
        let status = check(&client, asked, "{}").await.unwrap_err();
        let plain = client
            .permissions()
            .check_permission(request(asked, "{}", false))
            .await;
        let plain = plain.unwrap_err();
        for status in [&status, &plain] {
            assert_eq!(
                (status.code(), status.message()),
                (Code::FailedPrecondition, message)
            );
        }
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.reason, reason);
        let told = &info.metadata["debug_trace_proto_text"];
        assert!(told.starts_with(start), "{told}");
        assert_eq!(told.matches('{').count(), told.matches('}').count());
        assert!(told.len() < 4_096, "{}", told.len());
        let info = plain.get_details_error_info().unwrap();
        assert!(!info.metadata.contains_key("debug_trace_proto_text"));
    }
    running.stop().await;
}

/// Many traces in one answer stay small together: the last have none, but every answer is there.
#[tokio::test(flavor = "multi_thread")]
async fn the_traces_of_one_answer_are_bounded_together() {
    let (running, client) = with_rows(&["doc:a#viewer@user:tom"]).await;
    let asked = request("doc:a#view@user:tom", "{}", false);
    let item = wire::CheckBulkPermissionsRequestItem {
        resource: asked.resource,
        permission: asked.permission,
        subject: asked.subject,
        context: asked.context,
    };
    let bulk = wire::CheckBulkPermissionsRequest {
        consistency: None,
        items: vec![item; 10_000],
        with_tracing: true,
    };
    let response = client.permissions().check_bulk_permissions(bulk).await;
    let pairs = response.unwrap().into_inner().pairs;
    let traced = pairs.into_iter().map(|pair| match pair.response.unwrap() {
        wire::check_bulk_permissions_pair::Response::Item(item) => {
            assert_eq!(item.permissionship(), Permissionship::HasPermission);
            item.debug_trace.is_some()
        }
        wire::check_bulk_permissions_pair::Response::Error(error) => panic!("{error:?}"),
    });
    let traced: Vec<bool> = traced.collect();
    let count = traced.iter().filter(|is_traced| **is_traced).count();
    assert!(
        traced.len() == 10_000 && count > 1_000 && count < 5_000,
        "{count}"
    );
    running.stop().await;
}
