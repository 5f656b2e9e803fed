//! `remit backup`: copies a SQLite store, also while a server has it open.

use std::path::Path;

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use store::SqliteStore;

use crate::arguments::Backup;
use crate::exit::Outcome;
use crate::output;

pub(crate) fn run(arguments: &Backup) -> anyhow::Result<Outcome> {
    let Some(path) = arguments.store.strip_prefix("sqlite:") else {
        bail!(
            "`{}` is not `sqlite:PATH`: only such a store is backed up by this command",
            arguments.store
        );
    };
    let progress = ProgressBar::no_length();
    SqliteStore::backup_file(Path::new(path), &arguments.file, &mut |at| {
        progress.set_length(at.pages);
        progress.set_position(at.pages_done);
    })
    .with_context(|| format!("cannot back up `{path}`"))?;
    progress.finish_and_clear();
    output::line(&format!(
        "backed up `{path}` to `{}`, which is a history of its own",
        arguments.file.display()
    ))?;
    Ok(Outcome::Success)
}
