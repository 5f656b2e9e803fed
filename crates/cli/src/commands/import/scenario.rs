//! The import of a scenario or validation file (YAML): its schema into a server that has none, then its relationships.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use engine::scenario::Scenario;
use model::Relationship;
use remit_client::Client;
use remit_client::proto::authzed::api::v1::{ReadSchemaRequest, WriteSchemaRequest};
use schema::Schema;
use serde_json::json;
use tonic::Code;

use super::touch;
use crate::arguments::Import;
use crate::client;
use crate::exit::Outcome;
use crate::output;

/// Whether a file is one by its name.
pub(super) fn is_one(path: &Path) -> bool {
    let extension = path.extension();
    extension.is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// Brings `arguments.file` into the server.
pub(super) async fn import(arguments: &Import, client: &Client) -> anyhow::Result<Outcome> {
    let name = arguments.file.display().to_string();
    let text =
        fs::read_to_string(&arguments.file).with_context(|| format!("cannot read `{name}`"))?;
    let folder = arguments.file.parent().unwrap_or(Path::new("."));
    let scenario = Scenario::read(&name, &text, |schema_file| {
        fs::read_to_string(folder.join(schema_file)).map_err(|error| error.to_string())
    })?;
    write_schema(client, &scenario.schema.text).await?;
    let relationships = scenario.relationships.into_iter().map(|it| it.value);
    let relationships: Vec<Relationship> = relationships.collect();
    let imported = touch(client, &relationships).await?;
    if arguments.connection.json {
        output::json(&json!({ "imported": imported }))?;
    } else {
        output::line(&format!("imported the schema and {imported} relationships"))?;
    }
    Ok(Outcome::Success)
}

/// Writes the schema where there is none; one that is there has to be the same.
async fn write_schema(client: &Client, schema: &str) -> anyhow::Result<()> {
    let there = client.schema().read_schema(ReadSchemaRequest {}).await;
    let there = match there {
        Ok(there) => Some(there.into_inner().schema_text),
        Err(status) if status.code() == Code::NotFound => None,
        Err(status) => return Err(client::refused(&status)),
    };
    let is_same = |there: &str| match (Schema::compile(there), Schema::compile(schema)) {
        (Ok(there), Ok(schema)) => schema::diff(&there, &schema).is_empty(),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
    };
    match there {
        Some(there) if is_same(&there) => Ok(()),
        Some(_) => bail!(
            "the server has another schema, which is not replaced: import into an empty server, or change its schema with \
             `remit schema write` and import the relationships from a file without one"
        ),
        None => {
            let schema = schema.to_owned();
            let request = WriteSchemaRequest { schema };
            let written = client.schema().write_schema(request).await;
            written.map_err(|status| client::refused(&status))?;
            Ok(())
        }
    }
}
