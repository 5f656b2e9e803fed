//! `remit relationship`: write, read and delete single relationships.

use anyhow::bail;
use model::Relationship;
use remit_client::proto::authzed::api::v1::relationship_update::Operation;
use remit_client::proto::authzed::api::v1::subject_filter::RelationFilter;
use remit_client::proto::authzed::api::v1::{
    DeleteRelationshipsRequest, ReadRelationshipsRequest, RelationshipFilter, RelationshipUpdate,
    SubjectFilter, WriteRelationshipsRequest,
};
use serde_json::json;
use server::convert;

use crate::arguments::{Connection, Filter, Freshness, RelationshipCommand};
use crate::client;
use crate::exit::Outcome;
use crate::output;

pub(crate) async fn run(command: RelationshipCommand) -> anyhow::Result<Outcome> {
    match command {
        RelationshipCommand::Write {
            relationships,
            create,
            connection,
        } => {
            let operation = if create {
                Operation::Create
            } else {
                Operation::Touch
            };
            write(&relationships, operation, &connection).await?;
        }
        RelationshipCommand::Read {
            filter,
            freshness,
            connection,
        } => {
            read(&filter, &freshness, &connection).await?;
        }
        RelationshipCommand::Delete {
            relationships,
            filter,
            connection,
        } => match (relationships.is_empty(), to_wire(&filter)) {
            (false, None) => write(&relationships, Operation::Delete, &connection).await?,
            (true, Some(filter)) => delete(filter, &connection).await?,
            _ => bail!(
                "name the relationships to delete, or give a filter such as `--resource-type`"
            ),
        },
    }
    Ok(Outcome::Success)
}

/// The filter as the server takes it; none if no flag is given.
pub(crate) fn to_wire(filter: &Filter) -> Option<RelationshipFilter> {
    let subject = filter
        .subject_type
        .as_ref()
        .map(|subject_type| SubjectFilter {
            subject_type: subject_type.clone(),
            optional_subject_id: filter.subject_id.clone().unwrap_or_default(),
            optional_relation: filter
                .subject_relation
                .clone()
                .map(|relation| RelationFilter { relation }),
        });
    let filter = RelationshipFilter {
        resource_type: filter.resource_type.clone().unwrap_or_default(),
        optional_resource_id: filter.resource_id.clone().unwrap_or_default(),
        optional_resource_id_prefix: filter.resource_id_prefix.clone().unwrap_or_default(),
        optional_relation: filter.relation.clone().unwrap_or_default(),
        optional_subject_filter: subject,
    };
    (filter != RelationshipFilter::default()).then_some(filter)
}

async fn write(
    relationships: &[Relationship],
    operation: Operation,
    connection: &Connection,
) -> anyhow::Result<()> {
    let client = client::connect(connection).await?;
    let updates = relationships.iter().map(|relationship| RelationshipUpdate {
        operation: operation.into(),
        relationship: Some(convert::relationship_to_wire(relationship)),
    });
    let request = WriteRelationshipsRequest {
        updates: updates.collect(),
        ..Default::default()
    };
    let response = client.permissions().write_relationships(request).await;
    let response = response
        .map_err(|status| client::refused(&status))?
        .into_inner();
    let token = response.written_at.map(|at| at.token).unwrap_or_default();
    if connection.json {
        return output::json(&json!({ "written_at": token }));
    }
    output::line(&token)
}

async fn delete(filter: RelationshipFilter, connection: &Connection) -> anyhow::Result<()> {
    let client = client::connect(connection).await?;
    let request = DeleteRelationshipsRequest {
        relationship_filter: Some(filter),
        ..Default::default()
    };
    let response = client.permissions().delete_relationships(request).await;
    let response = response
        .map_err(|status| client::refused(&status))?
        .into_inner();
    let count = response.relationships_deleted_count;
    let token = response.deleted_at.map(|at| at.token).unwrap_or_default();
    if connection.json {
        return output::json(&json!({ "deleted": count, "deleted_at": token }));
    }
    output::line(&format!("deleted {count}"))
}

async fn read(
    filter: &Filter,
    freshness: &Freshness,
    connection: &Connection,
) -> anyhow::Result<()> {
    let Some(filter) = to_wire(filter) else {
        bail!("give a filter such as `--resource-type`; `remit export` prints everything");
    };
    let client = client::connect(connection).await?;
    let request = ReadRelationshipsRequest {
        consistency: Some(freshness.consistency.clone()),
        relationship_filter: Some(filter),
        ..Default::default()
    };
    let stream = client.permissions().read_relationships(request).await;
    let mut stream = stream
        .map_err(|status| client::refused(&status))?
        .into_inner();
    let mut rows = Vec::new();
    while let Some(message) = stream
        .message()
        .await
        .map_err(|status| client::refused(&status))?
    {
        let Some(relationship) = message.relationship else {
            continue;
        };
        let relationship = convert::relationship_from_wire(relationship)?;
        if connection.json {
            output::json(&json!({ "relationship": relationship.to_string() }))?;
        } else {
            rows.push(row(&relationship));
        }
    }
    if connection.json {
        return Ok(());
    }
    output::table(
        &["resource", "relation", "subject", "caveat", "expires"],
        rows,
    )
}

fn row(relationship: &Relationship) -> Vec<String> {
    let caveat = relationship
        .caveat
        .as_ref()
        .map(|caveat| match caveat.context.is_empty() {
            true => caveat.name.to_string(),
            false => format!("{} {}", caveat.name, caveat.context.to_json()),
        });
    vec![
        relationship.resource.to_string(),
        relationship.relation.to_string(),
        relationship.subject.to_string(),
        caveat.unwrap_or_default(),
        relationship
            .expires_at
            .map(|at| at.to_string())
            .unwrap_or_default(),
    ]
}
