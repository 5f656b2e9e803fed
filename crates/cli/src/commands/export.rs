//! `remit export`: relationships of one snapshot into a file.
//!
//! The checkpoint holds the cursor after the last page that is in the file, and the file's length then: going on cuts
//! off what was written after it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use remit_client::proto::authzed::api::v1::{Cursor, ExportBulkRelationshipsRequest};
use serde::{Deserialize, Serialize};
use server::convert;

use crate::arguments::{Export, Format};
use crate::client;
use crate::commands::import::write_whole;
use crate::commands::relationship::to_wire;
use crate::exit::Outcome;
use crate::records::{Writer, is_compressed};

/// Relationships in one message.
const PAGE_ROWS: u32 = 10_000;

/// How far an export has come.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Checkpoint {
    cursor: String,
    file_bytes: u64,
    relationships: u64,
}

pub(crate) async fn run(arguments: Export) -> anyhow::Result<Outcome> {
    let mut checkpoint = Checkpoint::load(&arguments)?;
    let is_continued = checkpoint.file_bytes > 0;
    let format = arguments
        .format
        .unwrap_or_else(|| Format::of(&arguments.file));
    let file = open(&arguments.file, checkpoint.file_bytes)?;
    let client = client::connect(&arguments.connection).await?;
    let request = ExportBulkRelationshipsRequest {
        consistency: Some(arguments.freshness.consistency.clone()),
        optional_limit: PAGE_ROWS,
        optional_cursor: is_continued.then(|| Cursor {
            token: checkpoint.cursor.clone(),
        }),
        optional_relationship_filter: to_wire(&arguments.filter),
    };
    let stream = client
        .permissions()
        .export_bulk_relationships(request)
        .await;
    let mut stream = stream
        .map_err(|status| client::refused(&status))?
        .into_inner();
    let mut writer = Writer::new(file, format, is_compressed(&arguments.file), is_continued)?;
    let progress = ProgressBar::new_spinner();
    while let Some(page) = stream
        .message()
        .await
        .map_err(|status| client::refused(&status))?
    {
        for relationship in page.relationships {
            writer.write(&convert::relationship_from_wire(relationship)?)?;
            checkpoint.relationships += 1;
        }
        progress.set_message(format!("{} relationships", checkpoint.relationships));
        progress.tick();
        if let (Some(path), Some(cursor)) = (&arguments.checkpoint, page.after_result_cursor) {
            writer.flush()?;
            checkpoint.cursor = cursor.token;
            checkpoint.file_bytes = fs::metadata(&arguments.file)
                .context("the export has gone")?
                .len();
            write_whole(path, &serde_json::to_string(&checkpoint)?)?;
        }
    }
    writer.finish()?;
    progress.finish_and_clear();
    if arguments.file != Path::new("-") {
        eprintln!("exported {} relationships", checkpoint.relationships);
    }
    Ok(Outcome::Success)
}

fn open(path: &Path, keep_bytes: u64) -> anyhow::Result<Box<dyn Write + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdout()));
    }
    let cannot = || format!("cannot write `{}`", path.display());
    if keep_bytes == 0 {
        return Ok(Box::new(File::create(path).with_context(cannot)?));
    }
    let mut file = OpenOptions::new()
        .write(true)
        .open(path)
        .with_context(cannot)?;
    file.set_len(keep_bytes).with_context(cannot)?;
    file.seek(SeekFrom::End(0)).with_context(cannot)?;
    Ok(Box::new(file))
}

impl Checkpoint {
    fn load(arguments: &Export) -> anyhow::Result<Self> {
        let Some(path) = &arguments.checkpoint else {
            return Ok(Self::default());
        };
        if arguments.file == Path::new("-") || is_compressed(&arguments.file) {
            bail!(
                "an export can only be gone on with in a plain file: not to the standard output, not compressed"
            );
        }
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("`{}` is no checkpoint", path.display()))
    }
}
