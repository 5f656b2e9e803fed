//! `remit audit export`: all of the log in a file that verifies by itself. What is written is what the server had when it began.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use remit_client::Client;
use remit_client::proto::remit::v1::{AuditCheckpoint, ListAuditCheckpointsRequest};
use store::audit::export::Line;

use super::{entries, hash_of, state};
use crate::arguments::AuditExport;
use crate::client;
use crate::exit::Outcome;

pub(super) async fn run(arguments: &AuditExport) -> anyhow::Result<Outcome> {
    let client = client::connect(&arguments.connection).await?;
    let state = state(&client).await?;
    let checkpoints = checkpoints(&client, state.size).await?;
    let partial = PathBuf::from(format!("{}.partial", arguments.file.display()));
    let cannot = || format!("cannot write `{}`", partial.display());
    let mut file = BufWriter::new(File::create(&partial).with_context(cannot)?);
    let mut write = |line: Line| -> anyhow::Result<()> {
        writeln!(file, "{}", line.to_text()?).with_context(cannot)
    };
    let root = hash_of(&state.root)?;
    write(Line::opening(state.size, root, checkpoints.len() as u64))?;
    for checkpoint in checkpoints {
        write(Line::Checkpoint(checkpoint.note))?;
    }
    let progress = ProgressBar::new(state.size);
    let mut next = 0;
    while next < state.size {
        let page = entries(&client, next, 0).await?;
        if page.is_empty() {
            bail!(
                "the audit log ended at entry {next} of {}: it was cut while it was read",
                state.size
            );
        }
        for entry in page.iter().take_while(|entry| entry.index < state.size) {
            write(Line::entry(entry).with_context(|| format!("entry {}", entry.index))?)?;
            next = entry.index.saturating_add(1);
        }
        progress.set_position(next);
    }
    let file = file
        .into_inner()
        .map_err(|error| error.into_error())
        .with_context(cannot)?;
    file.sync_all().with_context(cannot)?;
    std::fs::rename(&partial, &arguments.file)
        .with_context(|| format!("cannot write `{}`", arguments.file.display()))?;
    progress.finish_and_clear();
    eprintln!("exported {next} entries; root {root}");
    Ok(Outcome::Success)
}

/// Every checkpoint of up to `size` entries.
pub(super) async fn checkpoints(
    client: &Client,
    size: u64,
) -> anyhow::Result<Vec<AuditCheckpoint>> {
    let mut all: Vec<AuditCheckpoint> = Vec::new();
    loop {
        let after = all.last().map_or(0, |last| last.size);
        let request = ListAuditCheckpointsRequest { after };
        let page = client.audit().list_audit_checkpoints(request).await;
        let page = page
            .map_err(|status| client::refused(&status))?
            .into_inner();
        let before = all.len();
        let page = page.checkpoints.into_iter();
        all.extend(page.filter(|checkpoint| (after + 1..=size).contains(&checkpoint.size)));
        if all.len() == before {
            return Ok(all);
        }
    }
}
