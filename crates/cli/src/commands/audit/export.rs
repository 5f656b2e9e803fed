//! `remit audit export`: all of the log in a file that verifies by itself.
//!
//! What is written is what the server had when it began. If parts are erased while it is read, it is read on until what is gone is
//! explained, and what was written of them before is taken out again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use indicatif::ProgressBar;
use store::audit::Hash;
use store::audit::erasures::Erasures;
use store::audit::export::Line;

use super::log::Log;
use crate::arguments::AuditExport;
use crate::client;
use crate::exit::Outcome;

/// Bytes of lines that are written anew because of what was erased meanwhile.
const AGAIN_BYTES_MAX: usize = 256 << 20;

pub(super) async fn run(arguments: &AuditExport) -> anyhow::Result<Outcome> {
    let client = client::connect(&arguments.connection).await?;
    let progress = ProgressBar::new(0);
    let (size, root) = write(&client, &arguments.file, &progress).await?;
    progress.finish_and_clear();
    eprintln!("exported {size} entries; root {root}");
    Ok(Outcome::Success)
}

/// Writes the log to a file. How many entries it has, and their root.
pub(super) async fn write(
    log: &impl Log,
    to: &Path,
    progress: &ProgressBar,
) -> anyhow::Result<(u64, Hash)> {
    let (mut size, mut root) = log.state().await?;
    let beside = |end: &str| PathBuf::from(format!("{}{end}", to.display()));
    let mut export = Export {
        file: Lines::create(beside(".partial"))?,
        size,
        next: 0,
        above: 0,
        erasures: Erasures::default(),
        again: BTreeMap::new(),
        again_bytes: 0,
    };
    export.above = export.file.begin(log, (size, root)).await?;
    loop {
        progress.set_length(size);
        export.read(log, size, progress).await?;
        export.read_again(log).await?;
        if !export.erasures.read_on()? {
            break;
        }
        (size, root) = log.state().await?;
    }
    let whole = if export.size == size && export.again.is_empty() {
        export.file
    } else {
        let whole = Lines::create(beside(".whole"))?;
        export.write_anew(log, whole, (size, root)).await?
    };
    whole.name(to)?;
    Ok((size, root))
}

/// A file of lines in the making.
struct Lines {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Lines {
    fn create(path: PathBuf) -> anyhow::Result<Self> {
        let file = File::create(&path);
        let file = file.with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(Self {
            path,
            file: BufWriter::new(file),
        })
    }

    fn push(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let written = self.file.write_all(line);
        written.with_context(|| format!("cannot write `{}`", self.path.display()))
    }

    /// Writes what is above the entries. How many lines that are.
    async fn begin(&mut self, log: &impl Log, (size, root): (u64, Hash)) -> anyhow::Result<usize> {
        let checkpoints = log.checkpoints(size).await?;
        let count = checkpoints.len();
        self.push(text(&Line::opening(size, root, count as u64))?.as_bytes())?;
        for checkpoint in checkpoints {
            self.push(text(&Line::Checkpoint(checkpoint.note))?.as_bytes())?;
        }
        Ok(count + 1)
    }

    /// Gives the file its name, once it is on the disk.
    fn name(self, to: &Path) -> anyhow::Result<()> {
        let cannot = || format!("cannot write `{}`", self.path.display());
        let file = self.file.into_inner();
        let file = file
            .map_err(|error| error.into_error())
            .with_context(cannot)?;
        file.sync_all().with_context(cannot)?;
        std::fs::rename(&self.path, to).with_context(|| format!("cannot write `{}`", to.display()))
    }
}

/// An export in the making.
struct Export {
    file: Lines,
    /// How many entries the first line says.
    size: u64,
    /// The first entry that is not written yet.
    next: u64,
    /// How many lines are above the entries.
    above: usize,
    erasures: Erasures,
    /// The lines of entries that were written before something was erased from them.
    again: BTreeMap<u64, String>,
    again_bytes: usize,
}

impl Export {
    /// Writes the entries up to `until`.
    async fn read(
        &mut self,
        log: &impl Log,
        until: u64,
        progress: &ProgressBar,
    ) -> anyhow::Result<()> {
        while self.next < until {
            let before = self.next;
            let page = log.entries(before, 0).await?;
            for entry in page.iter().take_while(|entry| entry.index < until) {
                let cannot = || format!("entry {}", entry.index);
                self.erasures
                    .meet(entry.index, &entry.body().with_context(cannot)?);
                let line = text(&Line::entry(entry).with_context(cannot)?)?;
                self.file.push(line.as_bytes())?;
                self.next = entry.index.saturating_add(1);
            }
            if self.next == before {
                bail!(
                    "the audit log ended at entry {before} of {until}: it was cut while it was read"
                );
            }
            progress.set_position(self.next);
        }
        Ok(())
    }

    /// Reads the entries again from which something was erased after they were written.
    async fn read_again(&mut self, log: &impl Log) -> anyhow::Result<()> {
        for index in self.erasures.to_read_again() {
            let cannot = || format!("entry {index}");
            let entry = log.entry(index).await?;
            let entry = entry.context("it is gone").with_context(cannot)?;
            self.erasures
                .meet_again(index, &entry.body().with_context(cannot)?);
            let line = text(&Line::entry(&entry).with_context(cannot)?)?;
            self.again_bytes += line.len();
            ensure!(
                self.again_bytes <= AGAIN_BYTES_MAX,
                "more than {} MiB of entries were erased from while the audit log was exported; export it again once the erasing is over",
                AGAIN_BYTES_MAX >> 20
            );
            self.again.insert(index, line);
        }
        Ok(())
    }

    /// Writes all of it to another file, as it is now, and removes this one.
    async fn write_anew(
        self,
        log: &impl Log,
        mut whole: Lines,
        (size, root): (u64, Hash),
    ) -> anyhow::Result<Lines> {
        let Lines { path, file } = self.file;
        let cannot = || format!("cannot write `{}`", path.display());
        let file = file.into_inner();
        drop(
            file.map_err(|error| error.into_error())
                .with_context(cannot)?,
        );
        whole.begin(log, (size, root)).await?;
        let cannot = || format!("cannot read `{}`", path.display());
        let mut written = BufReader::new(File::open(&path).with_context(cannot)?);
        let mut line = Vec::new();
        for _ in 0..self.above {
            written.read_until(b'\n', &mut line).with_context(cannot)?;
        }
        loop {
            line.clear();
            if written.read_until(b'\n', &mut line).with_context(cannot)? == 0 {
                break;
            }
            let again = index_of(&line).and_then(|index| self.again.get(&index));
            whole.push(again.map_or(&line, |again| again.as_bytes()))?;
        }
        std::fs::remove_file(&path).with_context(cannot)?;
        Ok(whole)
    }
}

/// A line with its line break.
fn text(line: &Line) -> anyhow::Result<String> {
    Ok(format!("{}\n", line.to_text()?))
}

/// The index of the entry of a line.
fn index_of(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    match Line::parse(text).ok()? {
        Line::Entry(line) => Some(line.to_entry().ok()?.index),
        Line::RemitAudit(_) | Line::Checkpoint(_) => None,
    }
}
