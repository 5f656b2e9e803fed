//! What is read, each within one read transaction: the log, the schema, hashes, and the scan of all rows.

use std::ops::ControlFlow;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use model::{Revision, Token};
use rusqlite::{Connection, OptionalExtension, Row};

use super::codec::{hash, revision, revision_sql, scan_row, timestamp};
use super::lock;
use super::writer::Published;
use crate::commit::{LogEntry, Provenance, Record, RecordKey, SchemaChange};
use crate::error::{LogError, StoreError, TokenRefused};
use crate::log;
use crate::sql::{KEY_ORDER, RELATIONSHIP_COLUMNS};
use crate::store::{
    Head, LogQuery, ScanHeader, ScanRow, StoreIdentity, StoredSchema, TokenVerdict,
};

/// One question to a reading thread.
pub(super) type ReadJob = Box<dyn FnOnce(&Connection) + Send>;

/// Answers questions on a connection of its own, or on the writer's where the store is in memory.
pub(super) fn run(connection: &Mutex<Connection>, jobs: &Mutex<Receiver<ReadJob>>) {
    loop {
        let job = lock(jobs).recv();
        let Ok(job) = job else {
            return;
        };
        job(&lock(connection));
    }
}

/// Does `work` within one read transaction.
pub(super) fn in_transaction<T, E: From<rusqlite::Error>>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let transaction = connection.unchecked_transaction()?;
    let result = work(&transaction)?;
    transaction.commit()?;
    Ok(result)
}

/// As [`in_transaction`], and publishes the head that it saw before its result is told.
pub(super) fn published<T, E: From<rusqlite::Error> + From<StoreError>>(
    connection: &Connection,
    published: &Published,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let (result, seen) = in_transaction(connection, |connection| {
        Ok::<_, E>((work(connection)?, head(connection)?))
    })?;
    published.raise(seen);
    Ok(result)
}

pub(super) fn head(connection: &Connection) -> Result<Head, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT revision, time, hash FROM log_entry ORDER BY revision DESC LIMIT 1",
    )?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else {
        return Ok(Head::EMPTY);
    };
    let schema = "SELECT coalesce(max(revision), 0) FROM schema_version";
    let schema_revision = connection
        .prepare_cached(schema)?
        .query_row([], |row| row.get(0))?;
    Ok(Head {
        revision: revision(row.get(0)?)?,
        time: timestamp(row.get(1)?)?,
        hash: hash(row.get(2)?),
        schema_revision: revision(schema_revision)?,
    })
}

/// How many relationships there are. SQLite goes through the leaves of the table for that, which takes a small part of the time of
/// a scan.
pub(super) fn relationship_count(connection: &Connection) -> Result<u64, StoreError> {
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM relationship")?
        .query_row([], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// The revisions of the log's first and last entry; 0 for an empty log.
fn bounds(connection: &Connection) -> Result<(Revision, Revision), StoreError> {
    let bounds = |sql| {
        connection
            .prepare_cached(sql)?
            .query_row([], |row| row.get::<_, i64>(0))
    };
    let oldest = bounds("SELECT coalesce(min(revision), 0) FROM log_entry")?;
    let newest = bounds("SELECT coalesce(max(revision), 0) FROM log_entry")?;
    Ok((revision(oldest)?, revision(newest)?))
}

/// Refuses a revision whose state the log does not reach: past its end, or more than one before its beginning.
fn check_reach(connection: &Connection, at: Revision) -> Result<(), LogError> {
    let (oldest, head) = bounds(connection)?;
    log::check_reach(oldest, head, at)
}

pub(super) fn schema(
    connection: &Connection,
    at: Option<Revision>,
) -> Result<Option<StoredSchema>, LogError> {
    if let Some(at) = at {
        check_reach(connection, at)?;
    }
    let at = at.map_or(i64::MAX, revision_sql);
    Ok(schema_until(connection, at)?)
}

fn schema_until(connection: &Connection, at: i64) -> Result<Option<StoredSchema>, StoreError> {
    let sql = "SELECT revision, text FROM schema_version WHERE revision <= ?1 ORDER BY revision DESC LIMIT 1";
    let row: Option<(i64, String)> = connection
        .prepare_cached(sql)?
        .query_row([at], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    row.map(|(at, text)| {
        Ok(StoredSchema {
            revision: revision(at)?,
            text,
        })
    })
    .transpose()
}

pub(super) fn log(connection: &Connection, query: LogQuery) -> Result<Vec<LogEntry>, LogError> {
    check_reach(connection, query.after)?;
    let mut statement = connection.prepare_cached(
        "SELECT revision, time, hash, previous, housekeeping, schema_changed, actor, reason, metadata, changes \
         FROM log_entry WHERE revision > ?1 ORDER BY revision LIMIT ?2",
    )?;
    let entries_max = i64::try_from(query.entries_max).unwrap_or(i64::MAX);
    let mut rows = statement.query([revision_sql(query.after), entries_max])?;
    let mut entries: Vec<LogEntry> = Vec::new();
    let mut bytes = 0usize;
    while let Some(row) = rows.next()? {
        bytes = bytes.saturating_add(row_bytes(row)?);
        if bytes > query.bytes_max && !entries.is_empty() {
            break;
        }
        match entry(connection, row) {
            Ok(entry) => entries.push(entry),
            // What comes before it is good, and the next page begins with the error.
            Err(LogError::NewerFormat { .. }) if !entries.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    log::check_order(query.after, &entries)?;
    Ok(entries)
}

fn row_bytes(row: &Row<'_>) -> Result<usize, StoreError> {
    let metadata = row
        .get_ref(8)?
        .as_str_or_null()
        .map_err(rusqlite::Error::from)?;
    let changes = row.get_ref(9)?.as_blob().map_err(rusqlite::Error::from)?;
    Ok(changes.len() + metadata.map_or(0, str::len))
}

fn entry(connection: &Connection, row: &Row<'_>) -> Result<LogEntry, LogError> {
    let at = revision(row.get(0)?)?;
    let block = row.get_ref(9)?.as_blob().map_err(rusqlite::Error::from)?;
    let block = log::block(at, block)?;
    let schema = row
        .get::<_, bool>(5)?
        .then(|| schema_change(connection, at))
        .transpose()?;
    Ok(LogEntry {
        revision: at,
        time: timestamp(row.get(1)?)?,
        hash: hash(row.get(2)?),
        previous: hash(row.get(3)?),
        provenance: Provenance {
            actor: row.get(6)?,
            reason: row.get(7)?,
            metadata: row.get(8)?,
            origin: None,
        },
        changes: block.changes,
        records: block.records,
        schema,
        housekeeping: row.get(4)?,
    })
}

fn schema_change(connection: &Connection, at: Revision) -> Result<SchemaChange, StoreError> {
    let after = schema_until(connection, revision_sql(at))?.filter(|schema| schema.revision == at);
    let Some(after) = after else {
        return Err(StoreError::Corrupt {
            detail: format!("revision {at}: its schema is gone"),
        });
    };
    let before = schema_until(connection, revision_sql(at).saturating_sub(1))?;
    Ok(SchemaChange {
        before: before.map(|schema| schema.text),
        after: after.text,
    })
}

pub(super) fn token(
    connection: &Connection,
    identity: StoreIdentity,
    at: Revision,
) -> Result<Token, LogError> {
    if at == Revision(0) {
        return Ok(identity.token(at, &Head::EMPTY.hash));
    }
    let (oldest, head) = bounds(connection)?;
    if at > head {
        return Err(LogError::BeyondHead { head });
    }
    match stored_hash(connection, at)? {
        Some(found) => Ok(identity.token(at, &hash(found))),
        None => Err(LogError::Trimmed { oldest }),
    }
}

pub(super) fn verify(connection: &Connection, token: Token) -> Result<TokenVerdict, TokenRefused> {
    let (_, head) = bounds(connection)?;
    let found = match token.revision {
        Revision(0) => Some(Head::EMPTY.hash),
        at => stored_hash(connection, at)?.map(hash),
    };
    log::verdict(head, found, token)
}

pub(super) fn stored_hash(
    connection: &Connection,
    at: Revision,
) -> Result<Option<[u8; 32]>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT hash FROM log_entry WHERE revision = ?1")?;
    Ok(statement
        .query_row([revision_sql(at)], |row| row.get(0))
        .optional()?)
}

fn records(connection: &Connection) -> Result<Vec<Record>, StoreError> {
    let sql = "SELECT kind, key, value FROM record ORDER BY kind, key";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let (kind, key): (String, String) = (row.get(0)?, row.get(1)?);
        let key = RecordKey::new(&kind, &key).map_err(|error| StoreError::Corrupt {
            detail: error.to_string(),
        })?;
        let value = row.get(2)?;
        records.push(Record { key, value });
    }
    Ok(records)
}

pub(super) fn scan(
    connection: &Connection,
    sink: &mut dyn FnMut(&ScanHeader, ScanRow<'_>) -> ControlFlow<()>,
) -> Result<ScanHeader, StoreError> {
    let header = ScanHeader {
        head: head(connection)?,
        schema: schema_until(connection, i64::MAX)?,
        records: records(connection)?,
    };
    let sql = format!("SELECT {RELATIONSHIP_COLUMNS} FROM relationship ORDER BY {KEY_ORDER}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if sink(&header, scan_row(row)?).is_break() {
            break;
        }
    }
    Ok(header)
}

/// Starts the threads that read.
pub(super) fn spawn(
    connections: Vec<Arc<Mutex<Connection>>>,
    jobs: Receiver<ReadJob>,
) -> std::io::Result<Vec<std::thread::JoinHandle<()>>> {
    let jobs = Arc::new(Mutex::new(jobs));
    let threads = connections.into_iter().map(|connection| {
        let jobs = Arc::clone(&jobs);
        std::thread::Builder::new()
            .name("store-read".to_owned())
            .spawn(move || run(&connection, &jobs))
    });
    threads.collect()
}
