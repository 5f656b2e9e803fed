//! Relationship counters: durable, and exact at the snapshot that is told.

use std::sync::Arc;

use model::{SystemClock, Timestamp};
use remit_client::Client;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::experimental_count_relationships_response::CounterResult;
use store::SqliteStore;
use tonic::{Code, Status};

use crate::life::{SCHEMA, touch, with_schema};
use crate::reflection::told;
use crate::running::{At, start_on, write_schema};

async fn register(
    client: &Client,
    name: &str,
    filter: Option<wire::RelationshipFilter>,
) -> Result<(), Status> {
    let request = wire::ExperimentalRegisterRelationshipCounterRequest {
        name: name.to_owned(),
        relationship_filter: filter,
    };
    let mut counters = client.experimental();
    let response = counters
        .experimental_register_relationship_counter(request)
        .await;
    response.map(drop)
}

async fn unregister(client: &Client, name: &str) -> Result<(), Status> {
    let name = name.to_owned();
    let request = wire::ExperimentalUnregisterRelationshipCounterRequest { name };
    let mut counters = client.experimental();
    let response = counters
        .experimental_unregister_relationship_counter(request)
        .await;
    response.map(drop)
}

async fn count(client: &Client, name: &str) -> Result<(u64, String), Status> {
    let name = name.to_owned();
    let request = wire::ExperimentalCountRelationshipsRequest { name };
    let response = client
        .experimental()
        .experimental_count_relationships(request)
        .await?;
    match response.into_inner().counter_result.unwrap() {
        CounterResult::ReadCounterValue(value) => {
            Ok((value.relationship_count, value.read_at.unwrap().token))
        }
        CounterResult::CounterStillCalculating(_) => panic!("a count is never put off"),
    }
}

fn of(definition: &str, relation: &str) -> Option<wire::RelationshipFilter> {
    Some(wire::RelationshipFilter {
        resource_type: definition.to_owned(),
        optional_relation: relation.to_owned(),
        ..Default::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_is_that_of_the_snapshot() {
    let (running, client) = with_schema().await;
    register(&client, "docs", of("doc", "")).await.unwrap();
    register(&client, "bans", of("doc", "banned"))
        .await
        .unwrap();
    assert_eq!(count(&client, "docs").await.unwrap().0, 0);
    let rows = [
        "doc:a#viewer@user:ann",
        "doc:a#banned@user:bob",
        "group:g#member@user:ann",
    ];
    let at = touch(&client, &rows).await.unwrap();
    assert_eq!(count(&client, "docs").await.unwrap(), (2, at.to_string()));
    assert_eq!(count(&client, "bans").await.unwrap(), (1, at.to_string()));
    unregister(&client, "docs").await.unwrap();
    assert_eq!(
        count(&client, "docs").await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    assert_eq!(count(&client, "bans").await.unwrap().0, 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_survive_a_restart_and_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("remit.db");
    let open = || Arc::new(SqliteStore::open(&path).unwrap());
    let at = |seconds: i64| {
        Arc::new(At(
            Timestamp::from_seconds(1_800_000_000 + seconds, 0).unwrap()
        ))
    };
    let running = start_on(open(), at(0), None).await;
    let client = running.client().await;
    write_schema(&client, SCHEMA).await;
    register(&client, "docs", of("doc", "")).await.unwrap();
    register(&client, "gone", of("doc", "")).await.unwrap();
    unregister(&client, "gone").await.unwrap();
    let ending = "doc:b#viewer@user:bob[expiration:2027-01-15T08:00:10Z]";
    touch(&client, &["doc:a#viewer@user:ann", ending])
        .await
        .unwrap();
    assert_eq!(count(&client, "docs").await.unwrap().0, 2);
    let copy = folder.path().join("copy.db");
    running.store.backup(&copy, &mut |_| {}).unwrap();
    drop(client);
    running.stop().await;
    // One of the two has expired meanwhile.
    let running = start_on(open(), at(60), None).await;
    let client = running.client().await;
    assert_eq!(count(&client, "docs").await.unwrap().0, 1);
    assert_eq!(
        count(&client, "gone").await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    drop(client);
    running.stop().await;
    let copy = Arc::new(SqliteStore::open(&copy).unwrap());
    let running = start_on(copy, Arc::new(SystemClock), None).await;
    assert!(count(&running.client().await, "docs").await.is_ok());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_counters_are_refused() {
    let (running, client) = with_schema().await;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let unknown = |reason: &str, message: &str, metadata: Vec<(String, String)>| {
        (
            Code::FailedPrecondition,
            reason.to_owned(),
            message.to_owned(),
            metadata,
        )
    };
    let not_found = unknown(
        "COUNTER_NOT_REGISTERED",
        "counter with name `nosuch` not found",
        vec![pair("counter_name", "nosuch")],
    );
    assert_eq!(
        told(&count(&client, "nosuch").await.unwrap_err()),
        not_found
    );
    assert_eq!(
        told(&unregister(&client, "nosuch").await.unwrap_err()),
        not_found
    );
    let unnamed = (
        Code::InvalidArgument,
        "UNSPECIFIED".to_owned(),
        "name must be provided".to_owned(),
        Vec::new(),
    );
    assert_eq!(told(&count(&client, "").await.unwrap_err()), unnamed);
    assert_eq!(told(&unregister(&client, "").await.unwrap_err()), unnamed);
    assert_eq!(
        told(&register(&client, "", of("nosuch", "")).await.unwrap_err()),
        unnamed
    );

    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_whose_name_is_taken_or_whose_pattern_fits_nothing() {
    let (running, client) = with_schema().await;
    register(&client, "cnt", of("doc", "")).await.unwrap();
    let metadata = [
        ("counter_name", "cnt"),
        ("new_filter_relation", "viewer"),
        ("new_filter_resource_id", ""),
        ("new_filter_resource_id_prefix", ""),
        ("new_filter_resource_type", "doc"),
        ("new_filter_subject_id", ""),
        ("new_filter_subject_relation", ""),
        ("new_filter_subject_type", ""),
    ];
    let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let taken = (
        Code::FailedPrecondition,
        "COUNTER_ALREADY_REGISTERED".to_owned(),
        "counter with name `cnt` already registered".to_owned(),
        metadata.to_vec(),
    );
    assert_eq!(
        told(
            &register(&client, "cnt", of("doc", "viewer"))
                .await
                .unwrap_err()
        ),
        taken
    );
    for (name, filter, message) in [
        (
            "abc",
            of("nosuch", ""),
            "object definition `nosuch` not found",
        ),
        (
            "cnt",
            of("nosuch", ""),
            "object definition `nosuch` not found",
        ),
        (
            "abc",
            of("doc", "nosuch"),
            "relation/permission `nosuch` not found under definition `doc`",
        ),
        (
            "abc",
            of("", ""),
            "the relationship filter provided is not valid: at least one field must be set",
        ),
        (
            "abc",
            None,
            "validation error: relationship_filter: value is required",
        ),
        (
            "Abc",
            of("doc", ""),
            "validation error: name: does not match regex pattern `^([a-z][a-z0-9_]{1,62}[a-z0-9])?$`",
        ),
    ] {
        let refused = register(&client, name, filter).await.unwrap_err();
        assert_eq!(refused.message(), message);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_register_one_name_one_does() {
    let (running, client) = with_schema().await;
    let tries = (0..16).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { register(&client, "one", of("doc", "")).await })
    });
    let mut registered = 0;
    for each in tries.collect::<Vec<_>>() {
        match each.await.unwrap() {
            Ok(()) => registered += 1,
            Err(status) => assert_eq!(told(&status).1, "COUNTER_ALREADY_REGISTERED"),
        }
    }
    assert_eq!(registered, 1);
    running.stop().await;
}
