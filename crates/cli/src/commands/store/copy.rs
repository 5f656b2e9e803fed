//! `remit store copy` and `digest`: what a store holds, moved and compared.

use std::ops::ControlFlow;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use store::copy::{Next, Source, Target, copy};
use store::{
    Copied, CopyProgress, Digest, PostgresStore, PostgresTarget, SqliteSource, SqliteTarget,
};

use crate::arguments::{Copy, Status};
use crate::exit::Outcome;
use crate::output;
use crate::place::Place;

/// How often a store that is followed is asked for more.
const POLL: Duration = Duration::from_millis(200);

pub(super) async fn run(arguments: Copy) -> anyhow::Result<Outcome> {
    let (stop, stopped) = mpsc::channel();
    if arguments.follow {
        tokio::spawn(async move {
            // It also stops if it cannot be interrupted.
            let _interrupted = tokio::signal::ctrl_c().await;
            drop(stop);
        });
    } else {
        drop(stop);
    }
    let as_json = arguments.json;
    let copying = tokio::task::spawn_blocking(move || copy_stores(&arguments, &stopped));
    let copied = copying.await.context("the copy was given up")??;
    if as_json {
        output::json(&json!({
            "relationships": copied.digest.count(),
            "digest": copied.digest.to_string(),
            "revision": copied.head.0,
        }))?;
    } else {
        output::line(&format!(
            "copied {} relationships up to revision {}, digest {}",
            copied.digest.count(),
            copied.head,
            copied.digest
        ))?;
    }
    Ok(Outcome::Success)
}

fn copy_stores(arguments: &Copy, stopped: &Receiver<()>) -> anyhow::Result<Copied> {
    let source = source(&arguments.from.parse()?)?;
    let mut target: Box<dyn Target> = match arguments.to.parse()? {
        Place::Memory => bail!("a copy in memory would be gone at once"),
        Place::Sqlite(path) => Box::new(SqliteTarget::create(&path)?),
        Place::Postgres(config) => Box::new(PostgresTarget::begin(&config)?),
    };
    let bar = ProgressBar::new_spinner()
        .with_style(ProgressStyle::with_template("{spinner} {msg} ({elapsed})")?);
    let mut is_last = false;
    let copied = copy(&*source, &mut *target, &mut |progress| {
        let (message, next) = match progress {
            CopyProgress::Rows(count) => (format!("{count} relationships"), Next::Follow),
            CopyProgress::Log(at) => (format!("the log up to revision {at}"), Next::Follow),
            CopyProgress::Audit(count) => {
                (format!("{count} entries of the audit log"), Next::Follow)
            }
            // The original is asked once more after the stop, so that all that it had by then comes along.
            CopyProgress::CaughtUp(at) if is_last => {
                (format!("caught up at revision {at}"), Next::Finish)
            }
            CopyProgress::CaughtUp(at) => (
                format!("caught up at revision {at}; Ctrl-C finishes"),
                Next::Follow,
            ),
        };
        bar.set_message(message);
        bar.tick();
        if matches!(progress, CopyProgress::CaughtUp(_)) {
            is_last = stopped.recv_timeout(POLL) == Err(RecvTimeoutError::Disconnected);
        }
        next
    });
    bar.finish_and_clear();
    Ok(copied?)
}

/// Opens a store that is only read, and may be in use. Blocks.
pub(crate) fn source(place: &Place) -> anyhow::Result<Box<dyn Source>> {
    Ok(match place {
        Place::Memory => bail!("a store in memory is another process's own"),
        Place::Sqlite(path) => Box::new(SqliteSource::open(path)?),
        Place::Postgres(config) => Box::new(PostgresStore::open(config)?),
    })
}

/// Digests what a store holds, which may be in use.
pub(super) async fn digest(arguments: Status) -> anyhow::Result<Outcome> {
    let place = arguments.store.place()?;
    let digesting = tokio::task::spawn_blocking(move || {
        let mut digest = Digest::default();
        let source = source(&place)?;
        let header = source.scan(&mut |_, row| {
            digest.add_row(&row);
            ControlFlow::Continue(())
        });
        let head = header.context("the store cannot be read")?.head;
        let token = source.identity().token(head.revision, &head.hash);
        anyhow::Ok((token, digest))
    });
    let (token, digest) = digesting.await.context("the digest was given up")??;
    output::digest(
        arguments.json,
        (token.revision.0, &token.to_string()),
        digest.count(),
        &digest.to_string(),
    )?;
    Ok(Outcome::Success)
}
