//! Look-ups over the wire: pages, wildcards, conditions, errors, and clients that lose interest.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::SystemClock;
use ops::Settings;
use remit_client::Client;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::LookupPermissionship;
use remit_client::proto::authzed::api::v1::consistency::Requirement;
use server::convert;
use store::SqliteStore;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::life::{FULL, touch, with_schema};
use crate::running::{start, start_with, write_schema};

fn consistency(requirement: Requirement) -> Option<wire::Consistency> {
    Some(wire::Consistency {
        requirement: Some(requirement),
    })
}

fn resources_of(subject: &str) -> wire::LookupResourcesRequest {
    wire::LookupResourcesRequest {
        consistency: consistency(FULL),
        resource_object_type: "doc".to_owned(),
        permission: "view".to_owned(),
        subject: Some(convert::subject_to_wire(&subject.parse().unwrap())),
        ..Default::default()
    }
}

fn subjects_of(resource: &str) -> wire::LookupSubjectsRequest {
    wire::LookupSubjectsRequest {
        consistency: consistency(FULL),
        resource: Some(convert::object_to_wire(&resource.parse().unwrap())),
        permission: "view".to_owned(),
        subject_object_type: "user".to_owned(),
        ..Default::default()
    }
}

async fn resources(
    client: &Client,
    request: wire::LookupResourcesRequest,
) -> Result<(Vec<wire::LookupResourcesResponse>, Option<Status>), Status> {
    let mut stream = client
        .permissions()
        .lookup_resources(request)
        .await?
        .into_inner();
    let mut found = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(message)) => found.push(message),
            Ok(None) => return Ok((found, None)),
            Err(status) => return Ok((found, Some(status))),
        }
    }
}

async fn subjects(
    client: &Client,
    request: wire::LookupSubjectsRequest,
) -> Result<Vec<wire::LookupSubjectsResponse>, Status> {
    let mut stream = client
        .permissions()
        .lookup_subjects(request)
        .await?
        .into_inner();
    let mut found = Vec::new();
    while let Some(message) = stream.message().await? {
        found.push(message);
    }
    Ok(found)
}

fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_stay_on_their_first_revision_while_writes_go_on() {
    let (running, client) = with_schema().await;
    let rows: Vec<String> = (0..250)
        .map(|n| format!("doc:d{n:03}#viewer@user:tom"))
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    touch(&client, &rows).await.unwrap();
    let mut request = wire::LookupResourcesRequest {
        optional_limit: 40,
        ..resources_of("user:tom")
    };
    let (mut ids, mut tokens) = (Vec::new(), BTreeSet::new());
    for page in 0.. {
        let (found, failed) = resources(&client, request.clone()).await.unwrap();
        assert!(failed.is_none());
        let Some(last) = found.last() else { break };
        request.optional_cursor = last.after_result_cursor.clone();
        tokens.extend(
            found
                .iter()
                .map(|each| each.looked_up_at.clone().unwrap().token),
        );
        ids.extend(found.into_iter().map(|each| each.resource_object_id));
        // What comes in between is of a later revision.
        touch(&client, &[&format!("doc:d{page:03}a#viewer@user:tom")])
            .await
            .unwrap();
        touch(
            &client,
            &[&format!("doc:d{:03}#banned@user:tom", 249 - page)],
        )
        .await
        .unwrap();
    }
    let expected: Vec<String> = (0..250).map(|n| format!("d{n:03}")).collect();
    assert_eq!(ids, expected);
    assert_eq!(tokens.len(), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_good_for_its_query_alone() {
    let (running, client) = with_schema().await;
    touch(&client, &["doc:a#viewer@user:tom", "doc:b#viewer@user:tom"])
        .await
        .unwrap();
    let first = wire::LookupResourcesRequest {
        optional_limit: 1,
        ..resources_of("user:tom")
    };
    let (found, _) = resources(&client, first.clone()).await.unwrap();
    let cursor = found[0].after_result_cursor.clone();
    let next = wire::LookupResourcesRequest {
        optional_cursor: cursor.clone(),
        ..first.clone()
    };
    let (found, _) = resources(&client, next.clone()).await.unwrap();
    assert_eq!(found[0].resource_object_id, "b");
    let of_another_subject = wire::LookupResourcesRequest {
        subject: resources_of("user:eve").subject,
        ..next.clone()
    };
    let of_another_limit = wire::LookupResourcesRequest {
        optional_limit: 2,
        ..next.clone()
    };
    let forged = wire::LookupResourcesRequest {
        optional_cursor: Some(wire::Cursor {
            token: "AAAA".to_owned(),
        }),
        ..next.clone()
    };
    for request in [of_another_subject, of_another_limit, forged] {
        let status = resources(&client, request).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "ERROR_REASON_INVALID_CURSOR")
        );
    }
    let swapped = wire::LookupSubjectsRequest {
        optional_cursor: cursor.clone(),
        ..subjects_of("doc:a")
    };
    let status = subjects(&client, swapped).await.unwrap_err();
    assert_eq!(reason(&status), "ERROR_REASON_INVALID_CURSOR");
    let elsewhere = start().await;
    let other = elsewhere.client().await;
    let schema = crate::life::SCHEMA.to_owned();
    other
        .schema()
        .write_schema(wire::WriteSchemaRequest { schema })
        .await
        .unwrap();
    let status = resources(&other, next).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "ERROR_REASON_INVALID_CURSOR")
    );
    elsewhere.stop().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_told() {
    let (running, client) = with_schema().await;
    let told = |status: Status| (status.code(), reason(&status), status.message().to_owned());
    let too_many = wire::LookupResourcesRequest {
        optional_limit: 1_001,
        ..resources_of("user:tom")
    };
    let (code, reason, message) = told(resources(&client, too_many).await.unwrap_err());
    assert_eq!(
        (code, reason.as_str()),
        (
            Code::InvalidArgument,
            "ERROR_REASON_EXCEEDS_MAXIMUM_ALLOWABLE_LIMIT"
        )
    );
    assert_eq!(
        message,
        "provided limit 1001 is greater than maximum allowed of 1000"
    );
    let (code, reason, message) = told(
        resources(&client, resources_of("user:*"))
            .await
            .unwrap_err(),
    );
    assert_eq!(
        (code, reason.as_str()),
        (Code::InvalidArgument, "ERROR_REASON_WILDCARD_NOT_ALLOWED")
    );
    assert_eq!(
        message,
        "invalid argument: cannot perform lookup resources on wildcard"
    );
    let unknown = wire::LookupResourcesRequest {
        permission: "nosuch".to_owned(),
        ..resources_of("user:tom")
    };
    let (code, reason, _) = told(resources(&client, unknown).await.unwrap_err());
    assert_eq!(
        (code, reason.as_str()),
        (
            Code::FailedPrecondition,
            "ERROR_REASON_UNKNOWN_RELATION_OR_PERMISSION"
        )
    );
    let (_, _, message) = told(
        resources(&client, wire::LookupResourcesRequest::default())
            .await
            .unwrap_err(),
    );
    assert!(
        message.contains("- resource_object_type: ")
            && message.contains("- subject: value is required"),
        "{message}"
    );
    let ellipsis = wire::LookupSubjectsRequest {
        optional_subject_relation: "...".to_owned(),
        ..subjects_of("doc:a")
    };
    let (_, _, message) = told(subjects(&client, ellipsis).await.unwrap_err());
    assert!(
        message.starts_with("validation error: optional_subject_relation: does not match"),
        "{message}"
    );
    running.stop().await;
}

/// What is known is told first; then comes what failed.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_one_resource_ends_the_answer_and_takes_nothing_from_it() {
    let (running, client) = with_schema().await;
    let rows = [
        "doc:a#viewer@user:tom",
        "doc:b#viewer@user:tom[num:{\"xx\":0}]",
        "doc:c#viewer@user:tom[num]",
    ];
    touch(&client, &rows).await.unwrap();
    let (found, failed) = resources(&client, resources_of("user:tom")).await.unwrap();
    let told: Vec<_> = found
        .iter()
        .map(|each| (each.resource_object_id.as_str(), each.permissionship()))
        .collect();
    assert_eq!(
        told,
        [
            ("a", LookupPermissionship::HasPermission),
            ("c", LookupPermissionship::ConditionalPermission)
        ]
    );
    assert_eq!(
        found[1]
            .partial_caveat_info
            .as_ref()
            .unwrap()
            .missing_required_context,
        ["xx"]
    );
    assert_eq!(
        reason(&failed.unwrap()),
        "ERROR_REASON_CAVEAT_EVALUATION_ERROR"
    );
    running.stop().await;
}

const PUBLIC: &str = "caveat num(xx int) {\n xx == 1\n}\ndefinition user {}\ndefinition doc {\n relation viewer: user | user:*\n relation \
    banned: user | user with num\n permission view = viewer - banned\n}\n";

#[tokio::test(flavor = "multi_thread")]
#[expect(
    deprecated,
    reason = "old clients read the fields that the API has given up"
)]
async fn everybody_comes_with_exact_exclusions_and_pages() {
    let running = start().await;
    let client = running.client().await;
    write_schema(&client, PUBLIC).await;
    let rows = [
        "doc:a#viewer@user:*",
        "doc:a#viewer@user:ann",
        "doc:a#viewer@user:ben",
        "doc:a#viewer@user:eve",
        "doc:a#banned@user:eve",
        "doc:a#banned@user:kim[num]",
    ];
    touch(&client, &rows).await.unwrap();
    let found = subjects(&client, subjects_of("doc:a")).await.unwrap();
    let ids: Vec<&str> = found
        .iter()
        .map(|each| each.subject_object_id.as_str())
        .collect();
    assert_eq!(ids, ["*", "ann", "ben"]);
    assert_eq!(found[0].excluded_subject_ids, ["eve", "kim"]);
    let excluded: Vec<_> = found[0]
        .excluded_subjects
        .iter()
        .map(|each| (each.subject_object_id.as_str(), each.permissionship()))
        .collect();
    assert_eq!(
        excluded,
        [
            ("eve", LookupPermissionship::HasPermission),
            ("kim", LookupPermissionship::ConditionalPermission)
        ]
    );
    let mut request = wire::LookupSubjectsRequest {
        optional_concrete_limit: 1,
        ..subjects_of("doc:a")
    };
    let mut pages = Vec::new();
    loop {
        let found = subjects(&client, request.clone()).await.unwrap();
        let Some(last) = found.last() else { break };
        request.optional_cursor = last.after_result_cursor.clone();
        pages.push(
            found
                .iter()
                .map(|each| each.subject_object_id.clone())
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(pages, [vec!["*", "ann"], vec!["ben"]]);
    let without = wire::LookupSubjectsRequest {
        wildcard_option: wire::lookup_subjects_request::WildcardOption::ExcludeWildcards.into(),
        ..subjects_of("doc:a")
    };
    let found = subjects(&client, without).await.unwrap();
    let ids: Vec<&str> = found
        .iter()
        .map(|each| each.subject_object_id.as_str())
        .collect();
    assert_eq!(ids, ["ann", "ben"]);
    // Somebody whom no relationship names.
    let (found, _) = resources(&client, resources_of("user:zoe")).await.unwrap();
    assert_eq!(found.len(), 1);
    running.stop().await;
}

/// All exceptions come in one message, which is bounded as any other; without everybody there is none.
#[tokio::test(flavor = "multi_thread")]
async fn more_exceptions_than_fit_an_answer_are_refused() {
    let mut settings = Settings::default();
    settings.limits.answer_bytes_max = 1_000;
    let store = Arc::new(SqliteStore::memory().unwrap());
    let running = start_with(store, Arc::new(SystemClock), None, settings).await;
    let client = running.client().await;
    write_schema(&client, PUBLIC).await;
    let banned: Vec<String> = (0..100)
        .map(|n| format!("doc:a#banned@user:u{n}"))
        .collect();
    let mut rows: Vec<&str> = banned.iter().map(String::as_str).collect();
    rows.extend(["doc:a#viewer@user:*", "doc:a#viewer@user:ann"]);
    touch(&client, &rows).await.unwrap();
    let status = subjects(&client, subjects_of("doc:a")).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(
        status.message().contains("but for 100 subjects"),
        "{status:?}"
    );
    let without = wire::LookupSubjectsRequest {
        wildcard_option: wire::lookup_subjects_request::WildcardOption::ExcludeWildcards.into(),
        ..subjects_of("doc:a")
    };
    assert_eq!(subjects(&client, without).await.unwrap().len(), 1);
    running.stop().await;
}

/// Clients that turn away in the middle of an answer cost the others nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_leaves_the_server_serving() {
    let (running, client) = with_schema().await;
    for part in 0..20 {
        let rows: Vec<String> = (0..1_000)
            .map(|n| format!("doc:d{part}-{n}#viewer@user:tom"))
            .collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        touch(&client, &rows).await.unwrap();
    }
    for _ in 0..50 {
        let mut gone = running.client().await.permissions();
        let mut stream = gone
            .lookup_resources(resources_of("user:tom"))
            .await
            .unwrap()
            .into_inner();
        assert!(stream.message().await.unwrap().is_some());
    }
    let (found, failed) = resources(&client, resources_of("user:tom")).await.unwrap();
    assert!(failed.is_none());
    assert_eq!(found.len(), 20_000);
    running.stop().await;
}
