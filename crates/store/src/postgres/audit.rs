//! The audit log in PostgreSQL.

use std::collections::HashMap;

use deadpool_postgres::Transaction;
use model::Revision;
use tokio_postgres::Row;

use super::codec::{self, column, revision_sql};
use super::failure::{Failure, Stop, damaged};
use super::session::Session;
use super::write::LOG_BYTES_MAX;
use super::{PostgresStore, group};
use crate::audit::tree::{TILE_HASHES, completed_by, root_of_tile};
use crate::audit::{
    AuditLog, AuditQuery, AuditState, Entry, ErasedParts, Hash, Place, StoredCheckpoint,
};
use crate::error::{CommitError, StoreError};
use crate::store::StoreFuture;

/// Writes entries.
pub(super) const APPEND: &str = "INSERT INTO audit_entry (idx, header, leaf, body) \
     SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[])";

const LEAVES: &str = "SELECT leaf FROM audit_entry WHERE idx BETWEEN $1 AND $2 ORDER BY idx";
const NODES: &str =
    "SELECT hash FROM audit_node WHERE level = $1 AND idx BETWEEN $2 AND $3 ORDER BY idx";

/// Writes the entries of a group's commits.
pub(super) async fn append(session: &Session, entries: &[group::Entry<'_>]) -> Result<(), Failure> {
    let entries: Vec<&Entry> = entries
        .iter()
        .filter_map(|one| one.audit.as_ref())
        .collect();
    put(session, &entries).await
}

/// Writes entries, as many in one statement as it may hold.
pub(super) async fn put(session: &Session, entries: &[&Entry]) -> Result<(), Failure> {
    let mut rest = entries;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest.iter().take_while(|entry| {
            bytes += entry.body.len();
            bytes <= LOG_BYTES_MAX
        });
        let count = fitting.count().max(1);
        let (now, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        let indices: Vec<i64> = now.iter().map(|entry| sql(entry.index)).collect();
        let headers: Vec<&[u8]> = now.iter().map(|entry| entry.header.as_slice()).collect();
        let leaves: Vec<&[u8]> = now.iter().map(|entry| entry.leaf.0.as_slice()).collect();
        let bodies: Vec<&[u8]> = now.iter().map(|entry| entry.body.as_slice()).collect();
        session
            .client
            .execute(
                &session.fixed.audit,
                &[&indices, &headers, &leaves, &bodies],
            )
            .await?;
        rest = later;
    }
    Ok(())
}

/// Whether hashes above the leaves are complete by one of the entries.
pub(super) fn completes(entries: &[group::Entry<'_>]) -> bool {
    let mut entries = entries.iter().filter_map(|one| one.audit.as_ref());
    entries.any(|entry| !completed_by(entry.index.saturating_add(1)).is_empty())
}

/// Writes the hashes above the leaves that are complete by entries, which are written already.
pub(super) async fn complete(
    session: &Session,
    indices: impl Iterator<Item = u64>,
) -> Result<(), Failure> {
    for index in indices {
        for place in completed_by(index.saturating_add(1)) {
            let first = place.index * TILE_HASHES;
            let (first, last) = (sql(first), sql(first + TILE_HASHES - 1));
            let rows = if place.level == 1 {
                session.query(LEAVES, &[&first, &last]).await?
            } else {
                let level = i32::from(place.level) - 1;
                session.query(NODES, &[&level, &first, &last]).await?
            };
            let below: Vec<Hash> = rows.iter().map(hash).collect::<Result<_, _>>()?;
            // Where some are gone, verifying says so; commits go on.
            if below.len() as u64 == TILE_HASHES {
                let root = root_of_tile(&below);
                let level = i32::from(place.level);
                let insert = "INSERT INTO audit_node (level, idx, hash) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
                let hash = root.0.as_slice();
                session
                    .execute(insert, &[&level, &sql(place.index), &hash])
                    .await?;
            }
        }
    }
    Ok(())
}

/// What is left of entries, by their indices.
pub(super) type Bodies = Vec<(u64, Vec<u8>)>;

/// What is left of entries without these parts, added to `bodies`. Those and the ones of `known` are as they are to be, and not
/// written yet.
pub(super) async fn erase(
    session: &Session,
    (known, mut bodies): (&HashMap<u64, Vec<u8>>, Bodies),
    erased: &[ErasedParts],
) -> Result<Bodies, Stop> {
    for ErasedParts { index, parts } in erased {
        let refused = |detail: String| {
            Stop::Refused(CommitError::Erasure {
                index: *index,
                detail,
            })
        };
        let mut earlier = bodies.iter().rev();
        let own = earlier.find(|(known, _)| known == index);
        let body = match own.map(|(_, body)| body).or_else(|| known.get(index)) {
            Some(body) => body.clone(),
            None => {
                let select = "SELECT body FROM audit_entry WHERE idx = $1";
                let row = session.query_first(select, &[&sql(*index)]).await?;
                let row = row.ok_or_else(|| refused("it is not there".to_owned()))?;
                column(&row, 0)?
            }
        };
        let body = crate::audit::Body::decode(&body).and_then(|body| body.without(parts));
        let body = body.map_err(|error| refused(error.to_string()))?;
        bodies.push((*index, body.encode()));
    }
    Ok(bodies)
}

/// Writes what is left of entries.
pub(super) async fn replace_bodies(
    session: &Session,
    bodies: &HashMap<u64, Vec<u8>>,
) -> Result<(), Failure> {
    for (index, body) in bodies {
        let update = "UPDATE audit_entry SET body = $2 WHERE idx = $1";
        session.execute(update, &[&sql(*index), body]).await?;
    }
    Ok(())
}

pub(super) async fn state(transaction: &Transaction<'_>) -> Result<AuditState, StoreError> {
    let select = "SELECT (SELECT audit_begin FROM head), coalesce((SELECT max(idx) + 1 FROM audit_entry), 0)";
    let statement = transaction.prepare_cached(select).await?;
    let row = transaction.query_one(&statement, &[]).await?;
    Ok(AuditState {
        begin: number(column(&row, 0)?)?,
        size: number(column(&row, 1)?)?,
    })
}

/// The entries that fit, by their sizes alone: the bytes of the others do not travel.
const ENTRIES: &str = "WITH page AS (SELECT idx, sum(octet_length(body)) OVER (ORDER BY idx) AS bytes, \
     row_number() OVER (ORDER BY idx) AS place FROM (SELECT idx, body FROM audit_entry WHERE idx >= $1 ORDER BY idx LIMIT $2) AS e) \
     SELECT e.idx, e.header, e.leaf, e.body FROM page p JOIN audit_entry e ON e.idx = p.idx \
     WHERE p.bytes <= $3 OR p.place = 1 ORDER BY e.idx";

pub(super) async fn entries(
    transaction: &Transaction<'_>,
    query: AuditQuery,
) -> Result<Vec<Entry>, StoreError> {
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let statement = transaction.prepare_cached(ENTRIES).await?;
    let (entries_max, bytes_max) = (count(query.entries_max), count(query.bytes_max));
    let rows = transaction
        .query(&statement, &[&sql(query.from), &entries_max, &bytes_max])
        .await?;
    let entry = |row: &Row| {
        Ok(Entry {
            index: number(column(row, 0)?)?,
            header: column(row, 1)?,
            leaf: Hash(codec::hash(column(row, 2)?)?.0),
            body: column(row, 3)?,
        })
    };
    rows.iter().map(entry).collect()
}

pub(super) async fn hashes(
    transaction: &Transaction<'_>,
    places: &[Place],
) -> Result<Vec<Hash>, StoreError> {
    let (mut levels, mut indices) = (Vec::new(), Vec::new());
    for place in places {
        levels.push(i32::from(place.level));
        indices.push(sql(place.index));
    }
    let select = "SELECT p.level, p.idx, coalesce(e.leaf, n.hash) FROM unnest($1::integer[], $2::bigint[]) AS p(level, idx) \
         LEFT JOIN audit_entry e ON p.level = 0 AND e.idx = p.idx \
         LEFT JOIN audit_node n ON p.level > 0 AND n.level = p.level AND n.idx = p.idx";
    let statement = transaction.prepare_cached(select).await?;
    let rows = transaction.query(&statement, &[&levels, &indices]).await?;
    let mut known = HashMap::with_capacity(rows.len());
    for row in &rows {
        let (level, index): (i32, i64) = (column(row, 0)?, column(row, 1)?);
        if let Some(bytes) = column::<Option<&[u8]>>(row, 2)? {
            known.insert((level, index), Hash(codec::hash(bytes)?.0));
        }
    }
    let hash = |place: &Place| {
        let at = (i32::from(place.level), sql(place.index));
        let Place { level, index } = place;
        known.get(&at).copied().ok_or_else(|| {
            damaged(&format!(
                "the audit log lacks hash {index} of level {level} of its tree"
            ))
        })
    };
    places.iter().map(hash).collect()
}

pub(super) async fn checkpoints(
    transaction: &Transaction<'_>,
    after: u64,
    count_max: usize,
) -> Result<Vec<StoredCheckpoint>, StoreError> {
    let select = "SELECT size, note FROM audit_checkpoint WHERE size > $1 ORDER BY size LIMIT $2";
    let statement = transaction.prepare_cached(select).await?;
    let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
    let rows = transaction
        .query(&statement, &[&sql(after), &count_max])
        .await?;
    rows.iter().map(checkpoint).collect()
}

async fn last_checkpoint(
    transaction: &Transaction<'_>,
) -> Result<Option<StoredCheckpoint>, StoreError> {
    let select = "SELECT size, note FROM audit_checkpoint ORDER BY size DESC LIMIT 1";
    let statement = transaction.prepare_cached(select).await?;
    let row = transaction.query_opt(&statement, &[]).await?;
    row.as_ref().map(checkpoint).transpose()
}

fn checkpoint(row: &Row) -> Result<StoredCheckpoint, StoreError> {
    Ok(StoredCheckpoint {
        size: number(column(row, 0)?)?,
        note: column(row, 1)?,
    })
}

pub(super) const KEEP: &str =
    "INSERT INTO audit_checkpoint (size, note) VALUES ($1, $2) ON CONFLICT DO NOTHING";

fn hash(row: &Row) -> Result<Hash, StoreError> {
    Ok(Hash(codec::hash(column(row, 0)?)?.0))
}

/// A number as PostgreSQL keeps it. Its integers end at 2^63 - 1; no log gets there.
pub(super) fn sql(number: u64) -> i64 {
    revision_sql(Revision(number))
}

pub(super) fn number(value: i64) -> Result<u64, StoreError> {
    codec::revision(value).map(|revision| revision.0)
}

impl AuditLog for PostgresStore {
    fn state(&self) -> StoreFuture<'_, Result<AuditState, StoreError>> {
        self.read(|transaction| Box::pin(state(transaction)))
    }

    fn entries(&self, query: AuditQuery) -> StoreFuture<'_, Result<Vec<Entry>, StoreError>> {
        self.read(move |transaction| Box::pin(entries(transaction, query)))
    }

    fn hashes(&self, places: Vec<Place>) -> StoreFuture<'_, Result<Vec<Hash>, StoreError>> {
        let places = std::sync::Arc::new(places);
        self.read(move |transaction| {
            let places = std::sync::Arc::clone(&places);
            Box::pin(async move { hashes(transaction, &places).await })
        })
    }

    fn checkpoints(
        &self,
        after: u64,
        count_max: usize,
    ) -> StoreFuture<'_, Result<Vec<StoredCheckpoint>, StoreError>> {
        self.read(move |transaction| Box::pin(checkpoints(transaction, after, count_max)))
    }

    fn last_checkpoint(&self) -> StoreFuture<'_, Result<Option<StoredCheckpoint>, StoreError>> {
        self.read(|transaction| Box::pin(last_checkpoint(transaction)))
    }

    fn keep_checkpoint(
        &self,
        kept: StoredCheckpoint,
    ) -> StoreFuture<'_, Result<StoredCheckpoint, StoreError>> {
        let shared = std::sync::Arc::clone(&self.shared);
        Box::pin(async move {
            let keeping = self.threads.spawn(async move {
                let client = shared.connection().await?;
                let size = sql(kept.size);
                client.execute(KEEP, &[&size, &kept.note]).await?;
                let select = "SELECT size, note FROM audit_checkpoint WHERE size = $1";
                let row = client.query_one(select, &[&size]).await?;
                Ok(checkpoint(&row)?)
            });
            let kept: Result<_, Failure> = keeping.await?;
            kept.map_err(|failure| failure.error)
        })
    }
}
