//! `remit kubernetes import`: manifests in, the difference to what the server has out, and written.

use anyhow::{Context as _, anyhow};
use kubernetes::difference::{self, Difference};
use kubernetes::import::{self, Desired, Target};
use kubernetes::manifest::Manifests;
use model::{ObjectRef, Operation, Relationship, RelationshipUpdate};
use remit_client::Client;
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::proto::authzed::api::v1::relationship_update::Operation as WireOperation;
use serde_json::{Value as Json, json};
use server::convert;
use tonic::Status;

use super::text_of;
use crate::arguments::KubernetesImport;
use crate::client;
use crate::exit::Outcome;
use crate::output;

/// Updates in one write, which is the API's limit.
const UPDATES_MAX: usize = 1_000;
const UNKNOWN_DEFINITION: &str = "ERROR_REASON_UNKNOWN_DEFINITION";

pub(crate) async fn run(arguments: KubernetesImport) -> anyhow::Result<Outcome> {
    let mut manifests = Manifests::default();
    for file in &arguments.files {
        let text = text_of(file)?;
        let name = file.display().to_string();
        manifests.read(&name, &text, arguments.namespace.as_deref());
    }
    let target = Target {
        cluster: arguments.cluster.clone(),
        source: arguments.source.clone(),
    };
    if !manifests.faults.is_empty() {
        return faulty(&arguments, &manifests);
    }
    let desired = import::desired(&target, &manifests.found)?;
    let client = client::connect(&arguments.connection).await?;
    let current = current(&client, &target).await?;
    let found = difference::difference(&target, &desired, current, arguments.prune);
    let found = found.map_err(|conflicts| {
        let told: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
        anyhow!("nothing was written:\n{}", told.join("\n"))
    })?;
    let token = if arguments.dry_run {
        None
    } else {
        write(&client, &found.updates).await?
    };
    tell(&arguments, &manifests, (&desired, &found), token)?;
    Ok(Outcome::Success)
}

/// Tells every fault.
fn faulty(arguments: &KubernetesImport, manifests: &Manifests) -> anyhow::Result<Outcome> {
    if arguments.connection.json {
        let faults: Vec<Json> = manifests
            .faults
            .iter()
            .map(|fault| {
                json!({
                    "file": fault.place.file,
                    "document": fault.place.document,
                    "item": fault.place.item,
                    "message": fault.fault.to_string(),
                })
            })
            .collect();
        output::json(&json!({ "faults": faults }))?;
    } else {
        for fault in &manifests.faults {
            output::line(&fault.to_string())?;
        }
        output::line(&format!(
            "{} faults, nothing was written",
            manifests.faults.len()
        ))?;
    }
    Ok(Outcome::Negative)
}

/// What the server has of the cluster.
async fn current(client: &Client, target: &Target) -> anyhow::Result<Vec<Relationship>> {
    let mut rows = Vec::new();
    for (definition, prefix) in difference::to_read(target) {
        let request = wire::ReadRelationshipsRequest {
            consistency: Some(wire::Consistency {
                requirement: Some(wire::consistency::Requirement::FullyConsistent(true)),
            }),
            relationship_filter: Some(wire::RelationshipFilter {
                resource_type: definition.to_owned(),
                optional_resource_id_prefix: prefix,
                ..Default::default()
            }),
            ..Default::default()
        };
        let stream = client.permissions().read_relationships(request).await;
        let mut stream = stream.map_err(|status| unread(&status))?.into_inner();
        while let Some(message) = stream.message().await.map_err(|status| unread(&status))? {
            if let Some(row) = message.relationship {
                rows.push(convert::relationship_from_wire(row)?);
            }
        }
    }
    Ok(rows)
}

fn unread(status: &Status) -> anyhow::Error {
    let refused = client::refused(status);
    if client::has_reason(status, UNKNOWN_DEFINITION) {
        return refused.context(
            "the server's schema lacks the definitions of Kubernetes (`remit kubernetes schema --with FILE`), or you may not \
             read them",
        );
    }
    refused
}

/// Writes updates, in one commit if they fit one; the token of the last.
async fn write(client: &Client, updates: &[RelationshipUpdate]) -> anyhow::Result<Option<String>> {
    let (mut token, mut written) = (None, 0);
    for part in updates.chunks(UPDATES_MAX) {
        let request = wire::WriteRelationshipsRequest {
            updates: part.iter().map(update_to_wire).collect(),
            ..Default::default()
        };
        let response = client.permissions().write_relationships(request).await;
        let response = response.map_err(|status| client::refused(&status));
        let response = response.with_context(|| {
            let count = updates.len();
            format!("{written} of {count} updates are written; run the import again to go on")
        })?;
        written += part.len();
        token = response.into_inner().written_at.map(|at| at.token);
    }
    Ok(token)
}

fn update_to_wire(update: &RelationshipUpdate) -> wire::RelationshipUpdate {
    let operation = match update.operation {
        Operation::Create => WireOperation::Create,
        Operation::Touch => WireOperation::Touch,
        Operation::Delete => WireOperation::Delete,
    };
    wire::RelationshipUpdate {
        operation: operation.into(),
        relationship: Some(convert::relationship_to_wire(&update.relationship)),
    }
}

fn tell(
    arguments: &KubernetesImport,
    manifests: &Manifests,
    (desired, found): (&Desired, &Difference),
    token: Option<String>,
) -> anyhow::Result<()> {
    let groups = [
        ("added", &found.added),
        ("changed", &found.changed),
        ("removed", &found.removed),
        ("left", &found.left),
    ];
    if arguments.connection.json {
        let mut told = json!({
            "dry_run": arguments.dry_run,
            "manifests": manifests.found.len(),
            "skipped": manifests.skipped,
            "relationships": desired.count(),
            "unchanged": found.unchanged,
            "updates": found.updates.len(),
            "written_at": token,
        });
        for (name, objects) in groups {
            let objects: Vec<String> = objects.iter().map(ToString::to_string).collect();
            if let Json::Object(told) = &mut told {
                told.insert(name.to_owned(), json!(objects));
            }
        }
        return output::json(&told);
    }
    if arguments.dry_run {
        for update in &found.updates {
            let sign = match update.operation {
                Operation::Create | Operation::Touch => '+',
                Operation::Delete => '-',
            };
            output::line(&format!("{sign} {}", update.relationship))?;
        }
    }
    for (kind, count) in &manifests.skipped {
        output::line(&format!("skipped {count} of kind {kind}"))?;
    }
    let count = |objects: &[ObjectRef]| objects.len();
    output::line(&format!(
        "{} roles and bindings: {} added, {} changed, {} removed, {} unchanged; {} updates{}",
        manifests.found.len(),
        count(&found.added),
        count(&found.changed),
        count(&found.removed),
        found.unchanged,
        found.updates.len(),
        if arguments.dry_run {
            ", not written"
        } else {
            ""
        }
    ))?;
    if !found.left.is_empty() {
        output::line(&format!(
            "{} that were imported before are in none of the files, and stay; --prune deletes them",
            found.left.len()
        ))?;
    }
    Ok(())
}
