//! The forms of the database, and how it gets from one to the next.
//!
//! Nodes of two versions run beside each other while a release is rolled out, so a form says from which one on a program can
//! still use it: an older node goes on with a newer database that is compatible with it, and a newer node serves an older
//! database as long as [`FORMAT_MIN`] allows. Migrating is a command of its own, by a role of its own: nodes need no right to
//! change tables.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::codec::column;
use super::config::PostgresConfig;
use super::connect::{Purpose, connect};
use super::failure::Failure;
use super::open::PostgresOpenError;
use super::rights;
use super::shared::random_bytes;

/// A step to the next form. A released one never changes.
struct Migration {
    sql: &'static str,
    /// The oldest form whose programs can use the one that the step leads to.
    compatible_from: i32,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        sql: include_str!("migrations/0001_initial.sql"),
        compatible_from: 1,
    },
    // Programs of before would commit without the audit log, which the table of the head refuses.
    Migration {
        sql: include_str!("migrations/0002_audit.sql"),
        compatible_from: 2,
    },
];

/// The oldest form that this version can serve.
const FORMAT_MIN: i32 = 2;
const SERVER_VERSION_MIN: i32 = 130_000;

/// The id of a store, or of a history.
const ID_BYTES: usize = 8;

/// Taken while migrating, so that two who do it at once do it once. Any number, the same for all versions.
const LOCK: i64 = 0x0052_454d_4954;

/// The form of a database, and what this version makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresFormat {
    /// The form; 0 before the first migration.
    pub found: i32,
    /// The oldest form whose programs can use it.
    pub compatible_from: i32,
    /// The newest form that this version knows.
    pub known: i32,
}

impl PostgresFormat {
    /// The newest form that this version knows.
    fn newest() -> i32 {
        i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
    }

    /// Whether this version can serve it.
    #[must_use]
    pub fn can_be_served(&self) -> bool {
        self.found >= FORMAT_MIN && self.compatible_from <= self.known
    }

    /// How many migrations this version has for it.
    #[must_use]
    pub fn pending(&self) -> u32 {
        u32::try_from(self.known.saturating_sub(self.found)).unwrap_or(0)
    }
}

/// The form of the database.
///
/// # Errors
/// [`PostgresOpenError`] if it cannot be reached, or came to its form by other steps than those of this version.
pub(super) async fn format(config: &PostgresConfig) -> Result<PostgresFormat, PostgresOpenError> {
    let place = config.place();
    let client = connect(config, Purpose::News, None)
        .await
        .map_err(|failure| PostgresOpenError::failed(&place, failure))?;
    read_format(&client, &place).await
}

pub(super) async fn read_format(
    client: &Client,
    place: &str,
) -> Result<PostgresFormat, PostgresOpenError> {
    let failed = |failure| PostgresOpenError::failed(place, failure);
    check_server(client, place).await?;
    let sql = "SELECT number, checksum, compatible_from FROM remit.migration ORDER BY number";
    let rows = match client.query(sql, &[]).await {
        Ok(rows) => rows,
        Err(error)
            if error.code() == Some(&SqlState::UNDEFINED_TABLE)
                || error.code() == Some(&SqlState::INVALID_SCHEMA_NAME) =>
        {
            Vec::new()
        }
        Err(error) => return Err(failed(error.into())),
    };
    let mut format = PostgresFormat {
        found: 0,
        compatible_from: 0,
        known: PostgresFormat::newest(),
    };
    for row in &rows {
        let value = |at| column(row, at).map_err(|error| failed(error.into()));
        format.found = value(0)?;
        format.compatible_from = value(2)?;
        let own = usize::try_from(format.found)
            .ok()
            .and_then(|number| MIGRATIONS.get(number.checked_sub(1)?));
        let checksum: &[u8] = column(row, 1).map_err(|error| failed(error.into()))?;
        if own.is_some_and(|own| checksum != blake3::hash(own.sql.as_bytes()).as_bytes()) {
            return Err(PostgresOpenError::OtherMigration {
                place: place.to_owned(),
                number: format.found,
            });
        }
    }
    Ok(format)
}

async fn check_server(client: &Client, place: &str) -> Result<(), PostgresOpenError> {
    let failed = |error: tokio_postgres::Error| PostgresOpenError::failed(place, error.into());
    let sql = "SELECT current_setting('server_version_num')::int, current_setting('fsync')::bool, \
         current_setting('full_page_writes')::bool, current_setting('server_encoding')";
    let row = client.query_one(sql, &[]).await.map_err(failed)?;
    let version: i32 = row.try_get(0).map_err(failed)?;
    if version < SERVER_VERSION_MIN {
        return Err(PostgresOpenError::OldServer {
            place: place.to_owned(),
            version: version / 10_000,
        });
    }
    let encoding: &str = row.try_get(3).map_err(failed)?;
    if encoding != "UTF8" {
        return Err(PostgresOpenError::Encoding {
            place: place.to_owned(),
            encoding: encoding.to_owned(),
        });
    }
    let is_durable = row.try_get(1).map_err(failed)? && row.try_get(2).map_err(failed)?;
    if !is_durable {
        tracing::warn!(
            place,
            "PostgreSQL runs with fsync or full_page_writes off: commits that were acknowledged can be lost with its machine"
        );
    }
    Ok(())
}

/// Brings the database to the newest form, one transaction a step, and lets `serving_role` use it.
///
/// # Errors
/// [`PostgresOpenError`]; the steps before the one that failed are done.
pub(super) async fn migrate(
    config: &PostgresConfig,
    serving_role: Option<&str>,
) -> Result<PostgresFormat, PostgresOpenError> {
    let place = config.place();
    let failed = |failure: Failure| PostgresOpenError::failed(&place, failure);
    let mut client = connect(config, Purpose::Own, None).await.map_err(failed)?;
    check_server(&client, &place).await?;
    let begun = client
        .execute("SELECT pg_advisory_lock($1)", &[&LOCK])
        .await;
    begun.map_err(|error| failed(error.into()))?;
    let format = read_format(&client, &place).await?;
    if format.found == 0 {
        let sql = "CREATE SCHEMA IF NOT EXISTS remit; CREATE TABLE IF NOT EXISTS remit.migration (\
             number integer PRIMARY KEY, checksum bytea NOT NULL, compatible_from integer NOT NULL, \
             applied_at timestamptz NOT NULL DEFAULT now())";
        let made = client.batch_execute(sql).await;
        made.map_err(|error| failed(error.into()))?;
    }
    let pending = MIGRATIONS
        .iter()
        .zip(1..)
        .skip_while(|(_, number)| *number <= format.found);
    for (migration, number) in pending {
        step(&mut client, migration, number).await.map_err(failed)?;
        tracing::info!(place, number, "the database has a new form");
    }
    if let Some(role) = serving_role {
        grant(&client, role).await.map_err(failed)?;
    }
    read_format(&client, &place).await
}

/// Gives the store a history of its own.
///
/// # Errors
/// [`PostgresOpenError`] if that is not this role's to do.
pub(super) async fn renew(config: &PostgresConfig) -> Result<(), PostgresOpenError> {
    let renewed = async {
        let client = connect(config, Purpose::Own, None).await?;
        let sql = "UPDATE identity SET history_id = $1";
        Ok::<_, Failure>(client.execute(sql, &[&random_bytes(ID_BYTES)?]).await?)
    };
    match renewed.await {
        Ok(_) => Ok(()),
        Err(failure) => Err(PostgresOpenError::failed(&config.place(), failure)),
    }
}

async fn step(client: &mut Client, migration: &Migration, number: i32) -> Result<(), Failure> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(migration.sql).await?;
    if number == 1 {
        let sql = "INSERT INTO identity VALUES (true, $1, $2)";
        transaction
            .execute(sql, &[&random_bytes(ID_BYTES)?, &random_bytes(ID_BYTES)?])
            .await?;
    }
    let sql = "INSERT INTO migration (number, checksum, compatible_from) VALUES ($1, $2, $3)";
    let checksum = blake3::hash(migration.sql.as_bytes());
    transaction
        .execute(
            sql,
            &[
                &number,
                &checksum.as_bytes().as_slice(),
                &migration.compatible_from,
            ],
        )
        .await?;
    transaction.commit().await?;
    Ok(())
}

/// Lets a role serve, and no more: it changes no table, no identity and no migration.
async fn grant(client: &Client, role: &str) -> Result<(), Failure> {
    let row = client.query_one("SELECT quote_ident($1)", &[&role]).await?;
    let role: String = column(&row, 0)?;
    Ok(client.batch_execute(&rights::grants(&role)).await?)
}
