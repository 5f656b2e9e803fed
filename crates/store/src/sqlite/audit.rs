//! The audit log in SQLite.

use model::Revision;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::codec::revision_sql;
use super::{SqliteStore, read, writer};
use crate::audit::tree::{TILE_HASHES, completed_by, root_of_tile};
use crate::audit::write::Log;
use crate::audit::{
    AuditLog, AuditQuery, AuditState, Entry, ErasedParts, Hash, Place, StoredCheckpoint,
};
use crate::commit::draft::Decided;
use crate::error::{CommitError, StoreError};
use crate::store::StoreFuture;

/// The revision after which the log begins.
pub(super) fn begin(connection: &Connection) -> Result<u64, StoreError> {
    let begin = connection.query_row("SELECT begin FROM audit_log", [], |row| row.get(0))?;
    number(begin)
}

/// Writes the entry of a commit, and the hashes that are complete by it.
pub(super) fn append(
    connection: &Connection,
    log: Log,
    decided: &mut Decided<'_>,
) -> Result<(), StoreError> {
    put(connection, &log.entry(decided)?)
}

/// Writes an entry, and the hashes that are complete by it.
pub(super) fn put(connection: &Connection, entry: &Entry) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO audit_entry VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            sql(entry.index),
            entry.header,
            entry.leaf.0,
            entry.body
        ])?;
    for place in completed_by(entry.index.saturating_add(1)) {
        let below = below(connection, place)?;
        // Where some are gone, verifying says so; commits go on.
        if below.len() as u64 == TILE_HASHES {
            let hash = root_of_tile(&below);
            connection
                .prepare_cached("INSERT OR IGNORE INTO audit_node VALUES (?1, ?2, ?3)")?
                .execute(params![place.level, sql(place.index), hash.0])?;
        }
    }
    Ok(())
}

/// The hashes that the one at `place` is made of.
fn below(connection: &Connection, place: Place) -> Result<Vec<Hash>, StoreError> {
    let first = place.index * TILE_HASHES;
    let (first, last) = (sql(first), sql(first + TILE_HASHES - 1));
    let hash = |row: &Row<'_>| row.get(0).map(Hash);
    let hashes = if place.level == 1 {
        let sql = "SELECT leaf FROM audit_entry WHERE idx BETWEEN ?1 AND ?2 ORDER BY idx";
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([first, last], hash)?;
        rows.collect::<Result<_, _>>()?
    } else {
        let sql =
            "SELECT hash FROM audit_node WHERE level = ?1 AND idx BETWEEN ?2 AND ?3 ORDER BY idx";
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([i64::from(place.level) - 1, first, last], hash)?;
        rows.collect::<Result<_, _>>()?
    };
    Ok(hashes)
}

/// Removes parts of entries.
pub(super) fn erase(connection: &Connection, erased: &[ErasedParts]) -> Result<(), CommitError> {
    for ErasedParts { index, parts } in erased {
        let refused = |detail: String| CommitError::Erasure {
            index: *index,
            detail,
        };
        let entry = entry(connection, *index)?;
        let entry = entry.ok_or_else(|| refused("it is not there".to_owned()))?;
        let body = entry.body().and_then(|body| body.without(parts));
        let body = body.map_err(|error| refused(error.to_string()))?;
        replace_body(connection, *index, &body.encode())?;
    }
    Ok(())
}

pub(super) fn replace_body(
    connection: &Connection,
    index: u64,
    body: &[u8],
) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE audit_entry SET body = ?2 WHERE idx = ?1")?
        .execute(params![sql(index), body])?;
    Ok(())
}

fn entry(connection: &Connection, index: u64) -> Result<Option<Entry>, StoreError> {
    let query = AuditQuery {
        from: index,
        entries_max: 1,
        bytes_max: 0,
    };
    let entries = entries(connection, query)?;
    Ok(entries.into_iter().find(|entry| entry.index == index))
}

pub(super) fn state(connection: &Connection) -> Result<AuditState, StoreError> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(idx) FROM audit_entry")?
        .query_row([], |row| row.get(0))?;
    Ok(AuditState {
        begin: begin(connection)?,
        size: last.map(number).transpose()?.map_or(0, |last| last + 1),
    })
}

pub(super) fn entries(
    connection: &Connection,
    query: AuditQuery,
) -> Result<Vec<Entry>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT idx, header, leaf, body FROM audit_entry WHERE idx >= ?1 ORDER BY idx LIMIT ?2",
    )?;
    let entries_max = i64::try_from(query.entries_max).unwrap_or(i64::MAX);
    let mut rows = statement.query([sql(query.from), entries_max])?;
    let mut entries = Vec::new();
    let mut bytes = 0_usize;
    while let Some(row) = rows.next()? {
        let body = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
        bytes = bytes.saturating_add(body.len());
        if bytes > query.bytes_max && !entries.is_empty() {
            break;
        }
        entries.push(Entry {
            index: number(row.get(0)?)?,
            header: row.get(1)?,
            leaf: Hash(row.get(2)?),
            body: body.to_vec(),
        });
    }
    Ok(entries)
}

pub(super) fn hashes(connection: &Connection, places: &[Place]) -> Result<Vec<Hash>, StoreError> {
    let mut leaf = connection.prepare_cached("SELECT leaf FROM audit_entry WHERE idx = ?1")?;
    let mut node =
        connection.prepare_cached("SELECT hash FROM audit_node WHERE level = ?1 AND idx = ?2")?;
    let mut hashes = Vec::with_capacity(places.len());
    for place in places {
        let found = if place.level == 0 {
            leaf.query_row([sql(place.index)], |row| row.get(0))
        } else {
            let at = [i64::from(place.level), sql(place.index)];
            node.query_row(at, |row| row.get(0))
        };
        let hash = found.optional()?.ok_or_else(|| missing(*place))?;
        hashes.push(Hash(hash));
    }
    Ok(hashes)
}

pub(super) fn checkpoints(
    connection: &Connection,
    after: u64,
    count_max: usize,
) -> Result<Vec<StoredCheckpoint>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT size, note FROM audit_checkpoint WHERE size > ?1 ORDER BY size LIMIT ?2",
    )?;
    let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
    let mut rows = statement.query([sql(after), count_max])?;
    let mut checkpoints = Vec::new();
    while let Some(row) = rows.next()? {
        checkpoints.push(checkpoint(row)?);
    }
    Ok(checkpoints)
}

fn last_checkpoint(connection: &Connection) -> Result<Option<StoredCheckpoint>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT size, note FROM audit_checkpoint ORDER BY size DESC LIMIT 1")?;
    let mut rows = statement.query([])?;
    rows.next()?.map(checkpoint).transpose()
}

/// Keeps a checkpoint, unless there is one of that size; the one that is there in the end.
pub(super) fn keep(
    connection: &Connection,
    kept: &StoredCheckpoint,
) -> Result<StoredCheckpoint, StoreError> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO audit_checkpoint VALUES (?1, ?2)")?
        .execute(params![sql(kept.size), kept.note])?;
    let mut statement =
        connection.prepare_cached("SELECT size, note FROM audit_checkpoint WHERE size = ?1")?;
    let mut rows = statement.query([sql(kept.size)])?;
    match rows.next()? {
        Some(row) => checkpoint(row),
        None => Err(StoreError::Corrupt {
            detail: format!("the checkpoint of {} entries was not kept", kept.size),
        }),
    }
}

fn checkpoint(row: &Row<'_>) -> Result<StoredCheckpoint, StoreError> {
    Ok(StoredCheckpoint {
        size: number(row.get(0)?)?,
        note: row.get(1)?,
    })
}

pub(super) fn missing(place: Place) -> StoreError {
    let Place { level, index } = place;
    StoreError::Corrupt {
        detail: format!("the audit log lacks hash {index} of level {level} of its tree"),
    }
}

/// A number as SQLite keeps it. Its integers end at 2^63 - 1; no log gets there.
fn sql(number: u64) -> i64 {
    revision_sql(Revision(number))
}

fn number(value: i64) -> Result<u64, StoreError> {
    super::codec::revision(value).map(|revision| revision.0)
}

impl AuditLog for SqliteStore {
    fn state(&self) -> StoreFuture<'_, Result<AuditState, StoreError>> {
        Box::pin(self.read(state))
    }

    fn entries(&self, query: AuditQuery) -> StoreFuture<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(self.read(move |connection| entries(connection, query)))
    }

    fn hashes(&self, places: Vec<Place>) -> StoreFuture<'_, Result<Vec<Hash>, StoreError>> {
        Box::pin(self.read(move |connection| hashes(connection, &places)))
    }

    fn checkpoints(
        &self,
        after: u64,
        count_max: usize,
    ) -> StoreFuture<'_, Result<Vec<StoredCheckpoint>, StoreError>> {
        Box::pin(self.read(move |connection| checkpoints(connection, after, count_max)))
    }

    fn last_checkpoint(&self) -> StoreFuture<'_, Result<Option<StoredCheckpoint>, StoreError>> {
        Box::pin(self.read(last_checkpoint))
    }

    fn keep_checkpoint(
        &self,
        checkpoint: StoredCheckpoint,
    ) -> StoreFuture<'_, Result<StoredCheckpoint, StoreError>> {
        Box::pin(async move {
            let (answer, answered) = tokio::sync::oneshot::channel();
            self.command(writer::Command::Keep { checkpoint, answer })?;
            answered.await.map_err(|_| StoreError::Closed)?
        })
    }
}

/// Within one read transaction, for those who copy.
pub(super) fn read_state(connection: &Connection) -> Result<Option<AuditState>, StoreError> {
    read::in_transaction(connection, |connection| {
        let is_there = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'audit_log'";
        match connection.query_row(is_there, [], |row| row.get(0))? {
            true => state(connection).map(Some),
            false => Ok(None),
        }
    })
}
