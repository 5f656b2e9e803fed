//! The corpus over the wire, and on the engine after a reload from the store.

use std::sync::Arc;

use engine::scenario::{Expected, ExpectedError, Scenario, Stage};
use model::Timestamp;
use ops::{Node, Settings};
use remit_client::Client;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::check_permission_response::Permissionship;
use remit_client::proto::authzed::api::v1::consistency::Requirement;
use remit_client::proto::authzed::api::v1::relationship_update::Operation;
use server::convert;
use store::{SqliteStore, Store};
use tonic_types::StatusExt as _;

use crate::running::{At, start_on, write_schema};

fn scenarios() -> Vec<(String, Scenario)> {
    let files = testkit::corpus().unwrap();
    let read = files.into_iter().map(|file| {
        let scenario = Scenario::read(&file.name, &file.text, |path| Err(path.to_owned())).unwrap();
        (file.name, scenario)
    });
    read.collect()
}

async fn write(client: &Client, scenario: &Scenario) {
    write_schema(client, &scenario.schema.text).await;
    for rows in scenario.relationships.chunks(1_000) {
        let updates = rows.iter().map(|row| wire::RelationshipUpdate {
            operation: Operation::Touch.into(),
            relationship: Some(convert::relationship_to_wire(&row.value)),
        });
        let request = wire::WriteRelationshipsRequest {
            updates: updates.collect(),
            ..Default::default()
        };
        client
            .permissions()
            .write_relationships(request)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_over_the_wire_singly_and_in_bulk() {
    let mut asked = 0;
    for (name, scenario) in scenarios() {
        let clock = Arc::new(At(scenario.now.unwrap()));
        let running = start_on(Arc::new(SqliteStore::memory().unwrap()), clock, None).await;
        let client = running.client().await;
        write(&client, &scenario).await;
        let full = Some(wire::Consistency {
            requirement: Some(Requirement::FullyConsistent(true)),
        });
        let mut items = Vec::new();
        let mut singly = Vec::new();
        for assertion in &scenario.assertions {
            let question = &assertion.value.question;
            let item = wire::CheckBulkPermissionsRequestItem {
                resource: Some(convert::object_to_wire(&question.resource)),
                permission: question.member.to_string(),
                subject: Some(convert::subject_to_wire(&question.subject)),
                context: Some(convert::context_to_wire(&question.context)),
            };
            let request = wire::CheckPermissionRequest {
                consistency: full.clone(),
                resource: item.resource.clone(),
                permission: item.permission.clone(),
                subject: item.subject.clone(),
                context: item.context.clone(),
                with_tracing: false,
            };
            let answer = client.permissions().check_permission(request).await;
            let told = told(answer.map(|answer| answer.into_inner().permissionship()));
            assert_eq!(
                told,
                expected(assertion.value.expected),
                "{name}: {question}"
            );
            singly.push(told);
            items.push(item);
            asked += 1;
        }
        let request = wire::CheckBulkPermissionsRequest {
            consistency: full,
            items,
            with_tracing: false,
        };
        let pairs = client
            .permissions()
            .check_bulk_permissions(request)
            .await
            .unwrap()
            .into_inner()
            .pairs;
        let in_bulk: Vec<String> = pairs.into_iter().map(told_of_pair).collect();
        assert_eq!(in_bulk, singly, "{name}");
        running.stop().await;
    }
    assert!(asked > 300, "only {asked} questions were asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_after_a_reload_from_the_store() {
    let folder = tempfile::tempdir().unwrap();
    for (ix, (name, scenario)) in scenarios().into_iter().enumerate() {
        let path = folder.path().join(format!("{ix}.db"));
        let clock = Arc::new(At(scenario.now.unwrap()));
        let running = start_on(
            Arc::new(SqliteStore::open(&path).unwrap()),
            clock.clone(),
            None,
        )
        .await;
        write(&running.client().await, &scenario).await;
        running.stop().await;
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).unwrap());
        let node = Node::start(Arc::clone(&store), clock, Settings::default())
            .await
            .unwrap();
        let failures = Stage::on(
            &scenario,
            node.snapshot().as_ref().clone(),
            Timestamp::EPOCH,
        )
        .run();
        assert!(failures.is_empty(), "{name}: {failures:?}");
        node.stop();
    }
}

fn expected(expected: Expected) -> String {
    match expected {
        Expected::Allowed => "allowed",
        Expected::Denied => "denied",
        Expected::Conditional => "conditional",
        Expected::Error(ExpectedError::DepthExceeded) => "ERROR_REASON_MAXIMUM_DEPTH_EXCEEDED",
        Expected::Error(ExpectedError::CyclicExclusion) => "cyclic exclusion",
        Expected::Error(ExpectedError::Caveat) => "caveat",
    }
    .to_owned()
}

fn told(answer: Result<Permissionship, tonic::Status>) -> String {
    match answer {
        Ok(Permissionship::HasPermission) => "allowed".to_owned(),
        Ok(Permissionship::NoPermission) => "denied".to_owned(),
        Ok(Permissionship::ConditionalPermission) => "conditional".to_owned(),
        Ok(Permissionship::Unspecified) => panic!("a check has no answer"),
        Err(status) => {
            let details = status.get_error_details();
            let reason = details
                .error_info()
                .map(|info| info.reason.clone())
                .unwrap_or_default();
            if reason.starts_with("ERROR_REASON_CAVEAT") {
                "caveat".to_owned()
            } else if status.message().starts_with("cyclic exclusion") {
                "cyclic exclusion".to_owned()
            } else {
                reason
            }
        }
    }
}

fn told_of_pair(pair: wire::CheckBulkPermissionsPair) -> String {
    use wire::check_bulk_permissions_pair::Response;
    match pair.response.unwrap() {
        Response::Item(item) => told(Ok(item.permissionship())),
        Response::Error(error) => {
            let status = tonic_types::pb::Status {
                code: error.code,
                message: error.message.clone(),
                details: error.details,
            };
            let details = prost::Message::encode_to_vec(&status);
            told(Err(tonic::Status::with_details(
                tonic::Code::from(error.code),
                error.message,
                details.into(),
            )))
        }
    }
}
