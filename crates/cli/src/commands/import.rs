//! `remit import`: relationships from a file, as commits of bounded size, with a progress bar and a checkpoint.
//!
//! Lines are read by windows, and each window is sorted: a commit of neighbours touches few pages of the store, one of rows
//! from everywhere touches nearly all (a million random rows took 27 s unsorted and 6 s sorted). The next batch is read and
//! sent while one is being committed. The checkpoint names the lines of the windows that are stored whole, and how much of
//! the sorted next one is; a batch that was committed just before a cut is met again, and then written over rather than
//! refused.

mod scenario;

use std::collections::VecDeque;
use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::Context as _;
use futures_util::stream::{self, StreamExt as _};
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
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
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
    if arguments.format.is_none() && scenario::is_one(&arguments.file) {
        return scenario::import(&arguments, &client).await;
    }
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
    let mut batches = Batches {
        window: Window::read(&mut reader)?,
        reader,
        rows_max: arguments.batch as usize,
    };
    drop(batches.window.take(checkpoint.window_relationships));
    let mut committing: Option<Sent> = None;
    loop {
        // Read ahead on this thread; the commit before runs on another, and counts even if there is nothing more to read.
        let next = tokio::task::block_in_place(|| batches.next());
        let write_over = arguments.touch || std::mem::take(&mut is_first_after_cut);
        let next = next.map(|next| next.map(|batch| Sent::new(client.clone(), batch, write_over)));
        if let Some(sent) = committing.take() {
            checkpoint.note(sent.committed().await?);
            checkpoint.save(&arguments)?;
            progress.set_message(format!("{} relationships", checkpoint.relationships));
        }
        let Some(mut next) = next? else {
            break;
        };
        next.end();
        committing = Some(next);
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

/// What one commit takes.
struct Batch {
    rows: Vec<Relationship>,
    /// The last line of the window that the batch is the end of.
    ends_at_line: Option<u64>,
}

struct Batches {
    reader: Reader,
    window: Window,
    rows_max: usize,
}

impl Batches {
    fn next(&mut self) -> anyhow::Result<Option<Batch>> {
        if self.window.rows.is_empty() {
            self.window = Window::read(&mut self.reader)?;
        }
        let rows = self.window.take(self.rows_max);
        let is_last = self.window.rows.is_empty();
        Ok((!rows.is_empty()).then(|| Batch {
            rows,
            ends_at_line: is_last.then_some(self.window.last_line),
        }))
    }
}

/// A batch on its way: its messages are sent and taken apart while the batch before is being committed, and its stream
/// ends, which commits it, only afterwards. So batches are stored in their order, and none after one that failed.
struct Sent {
    rows: usize,
    ends_at_line: Option<u64>,
    end: Option<oneshot::Sender<()>>,
    commit: JoinHandle<anyhow::Result<u64>>,
}

/// What a commit has stored.
struct Committed {
    relationships: u64,
    rows: usize,
    ends_at_line: Option<u64>,
}

impl Sent {
    fn new(client: Client, batch: Batch, write_over: bool) -> Self {
        let (end, ended) = oneshot::channel();
        Self {
            rows: batch.rows.len(),
            ends_at_line: batch.ends_at_line,
            end: Some(end),
            commit: tokio::spawn(commit(client, batch.rows, write_over, ended)),
        }
    }

    /// Lets the batch be committed.
    fn end(&mut self) {
        // A call that has failed waits for nothing; what failed comes with the commit.
        let _gone = self.end.take().map(|end| end.send(()));
    }

    async fn committed(self) -> anyhow::Result<Committed> {
        Ok(Committed {
            relationships: self.commit.await.context("the import was cut")??,
            rows: self.rows,
            ends_at_line: self.ends_at_line,
        })
    }
}

async fn commit(
    client: Client,
    batch: Vec<Relationship>,
    write_over: bool,
    ended: oneshot::Receiver<()>,
) -> anyhow::Result<u64> {
    let created = create(&client, &batch, ended).await;
    match created {
        Ok(count) => Ok(count),
        Err(status) if write_over && client::has_reason(&status, ALREADY_THERE) => {
            touch(&client, &batch).await
        }
        Err(status) => Err(client::refused(&status)),
    }
}

async fn create(
    client: &Client,
    batch: &[Relationship],
    ended: oneshot::Receiver<()>,
) -> Result<u64, Status> {
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
    let end = stream::once(async {
        if ended.await.is_err() {
            // The batch before has failed: this one must never be whole.
            std::future::pending::<()>().await;
        }
    });
    let nothing = end.filter_map(|()| std::future::ready(None));
    let stream = stream::iter(messages).chain(nothing);
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
    fn note(&mut self, committed: Committed) {
        self.relationships += committed.relationships;
        self.window_relationships += committed.rows;
        if let Some(line) = committed.ends_at_line {
            self.lines = line;
            self.window_relationships = 0;
        }
    }

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
