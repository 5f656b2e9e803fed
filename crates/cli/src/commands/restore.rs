//! `remit restore`: a store from a backup, which is read as a whole before anything is written.

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use store::copy::{Next, copy};
use store::{PostgresTarget, SqliteSource, SqliteStore};

use super::backup::Opened;
use crate::arguments::Restore;
use crate::exit::Outcome;
use crate::output;
use crate::place::Place;
use crate::temporary::{self, Temporary};

pub(crate) async fn run(arguments: Restore) -> anyhow::Result<Outcome> {
    // Stores and files are read and written for long.
    temporary::interruptible(move || restore(&arguments)).await
}

fn restore(arguments: &Restore) -> anyhow::Result<Outcome> {
    let shown = arguments.file.display();
    let place: Place = arguments.store.parse()?;
    // What is decrypted goes where the store goes: that is where there is room for it, and where it may be.
    let beside = match &place {
        Place::Memory => bail!("a store in memory would be gone at once"),
        Place::Sqlite(path) if path.exists() => {
            bail!(
                "`{}` is there, and a restore overwrites nothing: move it away",
                path.display()
            )
        }
        Place::Sqlite(path) => {
            SqliteStore::refuse_left_over(path)?;
            path
        }
        Place::Postgres(_) => &arguments.file,
    };
    let opened = Opened::of(&arguments.file, &arguments.key, beside)?;
    let verified = SqliteStore::verify_file(opened.path())
        .with_context(|| format!("`{shown}` cannot be relied on, and nothing was written"))?;
    let to = match &place {
        Place::Memory => String::new(),
        Place::Sqlite(path) => {
            let bar = ProgressBar::no_length();
            let _written = Temporary::beside(path, ".partial")?;
            SqliteStore::restore(opened.path(), path, &mut |at| {
                bar.set_length(at.pages);
                bar.set_position(at.pages_done);
            })?;
            bar.finish_and_clear();
            path.display().to_string()
        }
        Place::Postgres(config) => {
            let source = SqliteSource::open(opened.path())?;
            let mut target = PostgresTarget::begin(config)?;
            copy(&source, &mut target, &mut |_| Next::Finish)?;
            config.place()
        }
    };
    output::line(&format!(
        "restored `{shown}` to `{to}`, which is a history of its own: {} relationships at revision {} of {}",
        verified.digest.count(),
        verified.head,
        verified.time
    ))?;
    Ok(Outcome::Success)
}
