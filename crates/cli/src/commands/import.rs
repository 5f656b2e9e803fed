//! `remit import`: relationships from a file, as commits of bounded size, with a progress bar and a checkpoint.
//!
//! Lines are read by windows, and each window is sorted: a commit of neighbours touches few pages of the store, one of rows
//! from everywhere touches nearly all (a million random rows took 27 s unsorted and 6 s sorted). The next window is read
//! while a batch is being committed. The checkpoint names the lines of the windows that are stored whole, and how much of
//! the sorted next one is; a batch that was committed just before a cut is met again, and then written over rather than
//! refused.

use std::collections::VecDeque;
use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use model::Relationship;
use prost::Message as _;
use remit_client::Client;
use remit_client::proto::authzed::api::v1::relationship_update::Operation;
use remit_client::proto::authzed::api::v1::{
    ImportBulkRelationshipsRequest, RelationshipUpdate, WriteRelationshipsRequest,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use server::convert;
use tonic::Status;

use crate::arguments::{Format, Import};
use crate::client;
use crate::exit::Outcome;
use crate::output;
use crate::records::Reader;

/// Bytes of what is sent in one message, more or less: half of what servers take by default.
pub(crate) const MESSAGE_BYTES: usize = 2 << 20;
/// Updates in one write, which is the API's limit.
const UPDATES_MAX: usize = 1_000;
const ALREADY_THERE: &str = "ERROR_REASON_ATTEMPT_TO_RECREATE_RELATIONSHIP";

/// Relationships that are sorted together: about 150 MB of memory.
const WINDOW_ROWS: usize = 500_000;

/// How far an import has come.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Checkpoint {
    file: String,
    /// Lines whose relationships are stored.
    lines: u64,
    /// Relationships of the sorted window after those lines that are stored.
    window_relationships: usize,
    /// Relationships that are stored.
    relationships: u64,
}

pub(crate) async fn run(arguments: Import) -> anyhow::Result<Outcome> {
    let client = client::connect(&arguments.connection).await?;
    let mut checkpoint = Checkpoint::load(&arguments)?;
    let mut is_first_after_cut = checkpoint.relationships > 0;
    let progress = progress_bar(&arguments.file);
    let format = arguments
        .format
        .unwrap_or_else(|| Format::of(&arguments.file));
    let meter = progress.clone();
    let mut reader = Reader::open(
        &arguments.file,
        format,
        move |file: Box<dyn Read + Send>| Box::new(meter.wrap_read(file)),
    )?;
    reader.skip_to(checkpoint.lines)?;
    let mut window = Window::read(&mut reader)?;
    window
        .rows
        .drain(..checkpoint.window_relationships.min(window.rows.len()));
    while !window.rows.is_empty() {
        let batch = window.take(arguments.batch as usize);
        let count = batch.len();
        let write_over = arguments.touch || is_first_after_cut;
        let commit = tokio::spawn(commit(client.clone(), batch, write_over));
        // Read ahead on this thread; the commit runs on another.
        let next = if window.rows.is_empty() {
            Some(tokio::task::block_in_place(|| Window::read(&mut reader)))
        } else {
            None
        };
        checkpoint.relationships += commit.await.context("the import was cut")??;
        checkpoint.window_relationships += count;
        is_first_after_cut = false;
        if let Some(next) = next {
            checkpoint.lines = window.last_line;
            checkpoint.window_relationships = 0;
            checkpoint.save(&arguments)?;
            window = next?;
        } else {
            checkpoint.save(&arguments)?;
        }
        progress.set_message(format!("{} relationships", checkpoint.relationships));
    }
    progress.finish_and_clear();
    if arguments.connection.json {
        output::json(&json!({ "imported": checkpoint.relationships }))?;
    } else {
        output::line(&format!(
            "imported {} relationships",
            checkpoint.relationships
        ))?;
    }
    Ok(Outcome::Success)
}

/// Relationships that are sorted together.
struct Window {
    rows: VecDeque<Relationship>,
    last_line: u64,
}

impl Window {
    fn read(reader: &mut Reader) -> anyhow::Result<Self> {
        let mut rows = Vec::new();
        while rows.len() < WINDOW_ROWS {
            let Some(relationship) = reader.next()? else {
                break;
            };
            rows.push(relationship);
        }
        rows.sort_by(|one, other| {
            (&one.resource, &one.relation, &one.subject).cmp(&(
                &other.resource,
                &other.relation,
                &other.subject,
            ))
        });
        Ok(Self {
            rows: rows.into(),
            last_line: reader.line_number(),
        })
    }

    fn take(&mut self, count_max: usize) -> Vec<Relationship> {
        self.rows.drain(..count_max.min(self.rows.len())).collect()
    }
}

async fn commit(client: Client, batch: Vec<Relationship>, write_over: bool) -> anyhow::Result<u64> {
    let created = create(&client, &batch).await;
    match created {
        Ok(count) => Ok(count),
        Err(status) if write_over && client::has_reason(&status, ALREADY_THERE) => {
            touch(&client, &batch).await
        }
        Err(status) => Err(client::refused(&status)),
    }
}

async fn create(client: &Client, batch: &[Relationship]) -> Result<u64, Status> {
    let mut messages = vec![ImportBulkRelationshipsRequest::default()];
    let mut bytes = 0;
    for row in batch.iter().map(convert::relationship_to_wire) {
        bytes += row.encoded_len();
        if bytes > MESSAGE_BYTES {
            messages.push(ImportBulkRelationshipsRequest::default());
            bytes = row.encoded_len();
        }
        if let Some(message) = messages.last_mut() {
            message.relationships.push(row);
        }
    }
    let stream = tokio_stream::iter(messages);
    Ok(client
        .permissions()
        .import_bulk_relationships(stream)
        .await?
        .into_inner()
        .num_loaded)
}

async fn touch(client: &Client, batch: &[Relationship]) -> anyhow::Result<u64> {
    for rows in batch.chunks(UPDATES_MAX) {
        let updates = rows.iter().map(|row| RelationshipUpdate {
            operation: Operation::Touch.into(),
            relationship: Some(convert::relationship_to_wire(row)),
        });
        let request = WriteRelationshipsRequest {
            updates: updates.collect(),
            ..Default::default()
        };
        let response = client.permissions().write_relationships(request).await;
        response.map_err(|status| client::refused(&status))?;
    }
    Ok(batch.len() as u64)
}

impl Checkpoint {
    fn load(arguments: &Import) -> anyhow::Result<Self> {
        let fresh = Self {
            file: arguments.file.display().to_string(),
            ..Self::default()
        };
        let Some(path) = arguments.checkpoint.as_deref().filter(|path| path.exists()) else {
            return Ok(fresh);
        };
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        let kept: Self = serde_json::from_str(&text)
            .with_context(|| format!("`{}` is no checkpoint", path.display()))?;
        anyhow::ensure!(
            kept.file == fresh.file,
            "`{}` is the checkpoint of an import of `{}`",
            path.display(),
            kept.file
        );
        Ok(kept)
    }

    fn save(&self, arguments: &Import) -> anyhow::Result<()> {
        arguments.checkpoint.as_deref().map_or(Ok(()), |path| {
            write_whole(path, &serde_json::to_string(self)?)
        })
    }
}

/// Writes a small file so that a cut leaves the old or the new one, never half of it.
pub(crate) fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    written.with_context(|| format!("cannot write `{}`", path.display()))
}

/// A bar over the bytes of `file`; a count where its size is unknown.
fn progress_bar(file: &Path) -> ProgressBar {
    let size = fs::metadata(file)
        .ok()
        .filter(std::fs::Metadata::is_file)
        .map(|metadata| metadata.len());
    let (bar, template) = match size {
        Some(size) => (
            ProgressBar::new(size),
            "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left, {msg}",
        ),
        None => (
            ProgressBar::no_length(),
            "{spinner} {bytes} {bytes_per_sec}, {msg}",
        ),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
