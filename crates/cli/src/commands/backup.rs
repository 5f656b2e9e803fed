//! `remit backup`: a copy of a store while it is in use, verified before it gets its name, encrypted if that is asked for.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use store::copy::{Next, copy};
use store::{CopyProgress, PostgresConfig, PostgresStore, SqliteStore, SqliteTarget, Verified};

use crate::arguments::{Backup, BackupCommand, BackupVerify, Unsealing};
use crate::exit::Outcome;
use crate::output;
use crate::place::Place;
use crate::sealed::{self, Seal, Unseal};
use crate::temporary::{self, Temporary};

pub(crate) async fn run(arguments: Backup) -> anyhow::Result<Outcome> {
    // Stores and files are read and written for long.
    temporary::interruptible(move || match &arguments.command {
        Some(BackupCommand::Verify(arguments)) => verify(arguments),
        Some(BackupCommand::Key { file }) => key(file),
        None => backup(&arguments),
    })
    .await
}

fn backup(arguments: &Backup) -> anyhow::Result<Outcome> {
    let file = arguments.file.as_deref().context("no file is named")?;
    refuse_existing(file)?;
    let seal = seal_of(arguments)?;
    let place: Place = arguments.store.parse()?;
    let is_verified = !arguments.no_verify;
    let verified = match (&place, &seal) {
        (Place::Memory, _) => bail!("a store in memory is another process's own"),
        (Place::Sqlite(path), None) => {
            let _written = Temporary::beside(file, ".partial")?;
            of_file(path, file, is_verified)?
        }
        (Place::Sqlite(_) | Place::Postgres(_), _) => {
            let clear = Temporary::beside(file, ".copy")?;
            let verified = match &place {
                Place::Sqlite(path) => of_file(path, clear.path(), is_verified)?,
                Place::Postgres(config) => of_database(config, clear.path(), is_verified)?,
                Place::Memory => None,
            };
            let partial = match &seal {
                Some(seal) => {
                    let partial = Temporary::beside(file, ".partial")?;
                    let bar = bytes("encrypting")?;
                    sealed::seal(clear.path(), partial.path(), seal, &bar)?;
                    bar.finish_and_clear();
                    partial
                }
                None => clear,
            };
            name(partial.path(), file)?;
            verified
        }
    };
    say(arguments, file, seal.is_some(), verified)
}

fn say(
    arguments: &Backup,
    file: &Path,
    is_sealed: bool,
    verified: Option<Verified>,
) -> anyhow::Result<Outcome> {
    // A URL may hold a password.
    let from = match arguments.store.parse()? {
        Place::Postgres(config) => config.place(),
        Place::Memory | Place::Sqlite(_) => arguments.store.clone(),
    };
    let how = if is_sealed { ", encrypted" } else { "" };
    let what = match verified {
        Some(verified) => format!(
            "verified: {} relationships at revision {}, digest {}",
            verified.digest.count(),
            verified.head,
            verified.digest
        ),
        None => "not verified".to_owned(),
    };
    output::line(&format!(
        "backed up `{from}` to `{}`{how}, which is a history of its own; {what}",
        file.display()
    ))?;
    Ok(Outcome::Success)
}

fn seal_of(arguments: &Backup) -> anyhow::Result<Option<Seal>> {
    match (&arguments.encrypt_to, &arguments.passphrase_file) {
        (Some(path), _) => Seal::to_recipients(path).map(Some),
        (None, Some(path)) => Seal::with_passphrase(path).map(Some),
        (None, None) => Ok(None),
    }
}

/// Copies a file of SQLite, page by page.
fn of_file(from: &Path, to: &Path, is_verified: bool) -> anyhow::Result<Option<Verified>> {
    let bar = ProgressBar::no_length();
    let mut progress = |at: store::BackupProgress| {
        bar.set_length(at.pages);
        bar.set_position(at.pages_done);
        if is_verified && at.pages == at.pages_done {
            bar.set_message("verifying");
        }
    };
    let copied = if is_verified {
        SqliteStore::backup_file_verified(from, to, &mut progress).map(Some)
    } else {
        SqliteStore::backup_file(from, to, &mut progress).map(|_| None)
    };
    bar.finish_and_clear();
    copied.with_context(|| format!("cannot back up `{}`", from.display()))
}

/// Copies a database, row by row. That it holds what was read is verified by the copy itself; its log is as well, if asked.
fn of_database(
    config: &PostgresConfig,
    to: &Path,
    is_verified: bool,
) -> anyhow::Result<Option<Verified>> {
    let source = PostgresStore::open(config)?;
    let mut target = SqliteTarget::create(to)?;
    let bar = spinner()?;
    copy(&source, &mut target, &mut |progress| {
        bar.set_message(match progress {
            CopyProgress::Rows(count) => format!("{count} relationships"),
            CopyProgress::Audit(count) => format!("{count} entries of the audit log"),
            CopyProgress::Log(at) | CopyProgress::CaughtUp(at) => {
                format!("the log up to revision {at}")
            }
        });
        bar.tick();
        Next::Finish
    })?;
    let verified = is_verified.then(|| {
        bar.set_message("verifying");
        bar.tick();
        SqliteStore::verify_file(to)
    });
    bar.finish_and_clear();
    verified
        .transpose()
        .context("the copy is not as it was written")
}

fn spinner() -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})")?;
    Ok(ProgressBar::new_spinner().with_style(style))
}

/// A bar of bytes.
pub(crate) fn bytes(what: &'static str) -> anyhow::Result<ProgressBar> {
    let style =
        ProgressStyle::with_template("{msg} {wide_bar} {bytes} of {total_bytes} ({elapsed})")?;
    let bar = ProgressBar::no_length().with_style(style);
    bar.set_message(what);
    Ok(bar)
}

/// Gives a complete file its name, and has that on the disk.
fn name(partial: &Path, file: &Path) -> anyhow::Result<()> {
    refuse_existing(file)?;
    let named = SqliteStore::publish(partial, file);
    named.with_context(|| format!("cannot write `{}`", file.display()))
}

fn refuse_existing(file: &Path) -> anyhow::Result<()> {
    if file.exists() {
        bail!("`{}` exists, a backup overwrites nothing", file.display());
    }
    Ok(SqliteStore::refuse_left_over(file)?)
}

fn verify(arguments: &BackupVerify) -> anyhow::Result<Outcome> {
    let opened = Opened::of(&arguments.file, &arguments.key, &arguments.file)?;
    let verified = SqliteStore::verify_file(opened.path())
        .with_context(|| format!("`{}` cannot be relied on", arguments.file.display()))?;
    let token = verified.identity.history;
    let history: String = token.0.iter().map(|byte| format!("{byte:02x}")).collect();
    if arguments.json {
        output::json(&json!({
            "revision": verified.head.0,
            "time": verified.time.to_string(),
            "log_entries": verified.entries,
            "relationships": verified.digest.count(),
            "digest": verified.digest.to_string(),
            "history_id": history,
        }))?;
    } else {
        output::line(&format!(
            "verified: {} relationships at revision {} of {}, digest {}, {} entries of the log, history {history}",
            verified.digest.count(),
            verified.head,
            verified.time,
            verified.digest,
            verified.entries,
        ))?;
    }
    Ok(Outcome::Success)
}

fn key(file: &Path) -> anyhow::Result<Outcome> {
    let cannot = || format!("cannot write `{}`", file.display());
    let (text, recipient) = sealed::new_key();
    let mut new = sealed::private(file).with_context(cannot)?;
    new.write_all(text.as_bytes()).with_context(cannot)?;
    new.sync_all().with_context(cannot)?;
    output::line(&recipient)?;
    Ok(Outcome::Success)
}

/// A backup in the clear: the file itself, or what it was decrypted to for as long as this lives.
pub(crate) enum Opened {
    Clear(PathBuf),
    Decrypted(Temporary),
}

impl Opened {
    /// Opens `file`; what is decrypted goes beside `beside`.
    pub(crate) fn of(file: &Path, key: &Unsealing, beside: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let is_sealed = sealed::is_sealed(file);
        if !is_sealed.with_context(|| format!("cannot read `{shown}`"))? {
            return Ok(Self::Clear(file.to_owned()));
        }
        let key = match (&key.identity_file, &key.passphrase_file) {
            (Some(path), _) => Unseal::with_identities(path)?,
            (None, Some(path)) => Unseal::with_passphrase(path)?,
            (None, None) => {
                bail!("`{shown}` is encrypted: give `--identity-file` or `--passphrase-file`")
            }
        };
        let clear = Temporary::beside(beside, ".opened")?;
        let bar = bytes("decrypting")?;
        sealed::unseal(file, clear.path(), &key, &bar)?;
        bar.finish_and_clear();
        Ok(Self::Decrypted(clear))
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Clear(path) => path,
            Self::Decrypted(temporary) => temporary.path(),
        }
    }
}
