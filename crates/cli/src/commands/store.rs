//! `remit store`: migrates a database, tells what a store is, moves it.

mod copy;

pub(crate) use copy::source;

use anyhow::Context as _;
use serde_json::json;
use store::{PostgresFormat, PostgresStore};

use crate::arguments::{Migrate, RenewHistory, Status, StoreCommand};
use crate::exit::Outcome;
use crate::output;
use crate::place::Place;

pub(crate) async fn run(command: StoreCommand) -> anyhow::Result<Outcome> {
    match command {
        StoreCommand::Migrate(arguments) => migrate(&arguments),
        StoreCommand::Status(arguments) => status(&arguments).await,
        StoreCommand::Copy(arguments) => copy::run(arguments).await,
        StoreCommand::Digest(arguments) => copy::digest(arguments).await,
        StoreCommand::RenewHistory(arguments) => renew_history(arguments).await,
    }
}

fn migrate(arguments: &Migrate) -> anyhow::Result<Outcome> {
    let place = arguments.store.place()?;
    let config = place.postgres()?;
    let before = PostgresStore::format(config)?;
    let after = PostgresStore::migrate(config, arguments.serving_role.as_deref())?;
    if arguments.json {
        output::json(&json!({
            "store": config.place(), "format_before": before.found, "format": after.found,
        }))?;
    } else if before.found == after.found {
        output::line(&format!(
            "{} has format {} already",
            config.place(),
            after.found
        ))?;
    } else {
        output::line(&format!(
            "{} went from format {} to format {}",
            config.place(),
            before.found,
            after.found
        ))?;
    }
    Ok(Outcome::Success)
}

async fn renew_history(arguments: RenewHistory) -> anyhow::Result<Outcome> {
    let place = arguments.store.place()?;
    PostgresStore::renew_history(place.postgres()?)?;
    let shown = Status {
        store: arguments.store,
        json: arguments.json,
    };
    status(&shown).await
}

async fn status(arguments: &Status) -> anyhow::Result<Outcome> {
    let place = arguments.store.place()?;
    let (shown, format) = match &place {
        Place::Memory => ("memory".to_owned(), None),
        Place::Sqlite(path) => (format!("sqlite:{}", path.display()), None),
        Place::Postgres(config) => (config.place(), Some(PostgresStore::format(config)?)),
    };
    if let Some(format) = format
        && !format.can_be_served()
    {
        say(arguments, &shown, Some(format), None)?;
        return Ok(Outcome::Negative);
    }
    let store = place.open()?;
    let head = store.head().await.context("the head cannot be read")?;
    let token = store.identity().token(head.revision, &head.hash);
    say(
        arguments,
        &shown,
        format,
        Some((token, head.time.to_string())),
    )?;
    store.close().await?;
    Ok(Outcome::Success)
}

fn say(
    arguments: &Status,
    place: &str,
    format: Option<PostgresFormat>,
    head: Option<(model::Token, String)>,
) -> anyhow::Result<()> {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let pending = format.map(|format| format.pending());
    if arguments.json {
        return output::json(&json!({
            "store": place,
            "format": format.map(|format| format.found),
            "newest_format": format.map(|format| format.known),
            "pending_migrations": pending,
            "can_be_served": head.is_some(),
            "store_id": head.as_ref().map(|(token, _)| hex(&token.store.0)),
            "history_id": head.as_ref().map(|(token, _)| hex(&token.history.0)),
            "revision": head.as_ref().map(|(token, _)| token.revision.0),
            "time": head.as_ref().map(|(_, time)| time),
        }));
    }
    let mut rows = vec![("store", place.to_owned())];
    if let Some(format) = format {
        rows.push(("format", format!("{} of {}", format.found, format.known)));
    }
    if let Some(pending) = pending.filter(|pending| *pending > 0) {
        rows.push(("pending", format!("{pending} (run `remit store migrate`)")));
    }
    match head {
        Some((token, time)) => {
            rows.push(("store id", hex(&token.store.0)));
            rows.push(("history id", hex(&token.history.0)));
            rows.push(("revision", token.revision.to_string()));
            rows.push(("of", time));
        }
        None => rows.push(("served", "not by this version".to_owned())),
    }
    let rows = rows
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), value]);
    output::table(&["", "value"], rows)
}
