//! `remit schema`: read, write, plan, look into, validate, format and compare schemas.

mod look;
mod plan;

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use remit_client::proto::authzed::api::v1::{ReadSchemaRequest, WriteSchemaRequest};
use serde_json::json;

use crate::arguments::{Connection, Schema as Command};
use crate::client;
use crate::exit::Outcome;
use crate::output;

pub(crate) async fn run(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Read { connection } => read(&connection).await,
        Command::Write {
            file,
            dry_run: false,
            connection,
        } => write(&file, &connection).await,
        Command::Write {
            file,
            dry_run: true,
            connection,
        } => plan::dry_run(&text_of(&file)?, &connection).await,
        Command::Show {
            definition,
            freshness,
            connection,
        } => look::show(definition, &freshness, &connection).await,
        Command::UsedBy {
            of,
            freshness,
            connection,
        } => look::used_by(&of, &freshness, &connection).await,
        Command::RestsOn {
            of,
            freshness,
            connection,
        } => look::rests_on(&of, &freshness, &connection).await,
        Command::Validate { files } => validate(&files),
        Command::Format { file, write, check } => format(&file, write, check),
        Command::Diff {
            first,
            second,
            connection,
        } => diff(&first, second.as_deref(), &connection).await,
    }
}

/// Tells the faults of every file.
fn validate(files: &[PathBuf]) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::Success;
    for file in files {
        let text = text_of(file)?;
        match schema::Schema::compile(&text) {
            Ok(schema) => {
                let (definitions, caveats) = (schema.definitions().len(), schema.caveats().len());
                output::line(&format!(
                    "{}: {definitions} definitions, {caveats} caveats",
                    file.display()
                ))?;
            }
            Err(_) => {
                output::line(&faults(file, &text))?;
                outcome = Outcome::Negative;
            }
        }
    }
    Ok(outcome)
}

/// Every fault of a schema that can be told at once, for people.
fn faults(file: &Path, text: &str) -> String {
    let name = file.display().to_string();
    let faults = schema::diagnose(text);
    let faults = faults.iter().map(|fault| fault.render(&name, text));
    faults.collect::<Vec<_>>().join("\n\n")
}

/// Reads a text file; `-` is the standard input.
fn text_of(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .context("cannot read the standard input")?;
        return Ok(text);
    }
    fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))
}

fn compile(file: &Path) -> anyhow::Result<schema::Schema> {
    compile_text(file, &text_of(file)?)
}

async fn read(connection: &Connection) -> anyhow::Result<Outcome> {
    let text = read_text(connection).await?;
    if connection.json {
        output::json(&json!({ "schema": text }))?;
    } else {
        output::line(&text)?;
    }
    Ok(Outcome::Success)
}

async fn read_text(connection: &Connection) -> anyhow::Result<String> {
    let client = client::connect(connection).await?;
    let response = client.schema().read_schema(ReadSchemaRequest {}).await;
    Ok(response
        .map_err(|status| client::refused(&status))?
        .into_inner()
        .schema_text)
}

async fn write(file: &Path, connection: &Connection) -> anyhow::Result<Outcome> {
    let schema = text_of(file)?;
    // Told here with the line it is in; the server would say the same in fewer words.
    compile_text(file, &schema)?;
    let client = client::connect(connection).await?;
    let response = client
        .schema()
        .write_schema(WriteSchemaRequest { schema })
        .await;
    let response = response
        .map_err(|status| client::refused(&status))?
        .into_inner();
    let token = response.written_at.map(|at| at.token).unwrap_or_default();
    if connection.json {
        output::json(&json!({ "written_at": token }))?;
    } else {
        output::line(&token)?;
    }
    Ok(Outcome::Success)
}

fn compile_text(file: &Path, text: &str) -> anyhow::Result<schema::Schema> {
    schema::Schema::compile(text).map_err(|_| anyhow!("{}", faults(file, text)))
}

fn format(file: &Path, write: bool, check: bool) -> anyhow::Result<Outcome> {
    let text = text_of(file)?;
    let formatted = schema::format(&text)
        .map_err(|error| anyhow!("{}", error.render(&file.display().to_string(), &text)))?;
    if check {
        return Ok(if formatted == text {
            Outcome::Success
        } else {
            Outcome::Negative
        });
    }
    if write {
        fs::write(file, formatted).with_context(|| format!("cannot write `{}`", file.display()))?;
    } else {
        output::text(&formatted)?;
    }
    Ok(Outcome::Success)
}

async fn diff(
    first: &Path,
    second: Option<&Path>,
    connection: &Connection,
) -> anyhow::Result<Outcome> {
    let old = match second {
        Some(_) => compile(first)?,
        None => {
            let text = text_of(first)?;
            compile_text(first, &text)?;
            if let Some(outcome) = plan::diff(&text, connection).await? {
                return Ok(outcome);
            }
            let name = Path::new("the server's schema");
            compile_text(name, &read_text(connection).await?)?
        }
    };
    let new = compile(second.unwrap_or(first))?;
    let changes = schema::diff(&old, &new);
    for change in &changes {
        if connection.json {
            output::json(&json!({ "change": change.to_string() }))?;
        } else {
            output::line(&change.to_string())?;
        }
    }
    Ok(if changes.is_empty() {
        Outcome::Success
    } else {
        Outcome::Negative
    })
}
