//! What is read: the head, the log, the schema, hashes. Each within one transaction that sees one state.

use deadpool_postgres::Transaction;
use model::{Revision, Timestamp, Token};
use tokio_postgres::Row;

use super::codec::{
    HEAD_COLUMNS, column, hash, head as head_of, revision, revision_sql, timestamp,
};
use super::failure::{Failure, damaged};
use crate::commit::{LogEntry, Provenance, Record, RecordKey, SchemaChange};
use crate::error::{LogError, StoreError, TokenRefused};
use crate::log;
use crate::store::{Head, LogQuery, StoreIdentity, StoredSchema, TokenVerdict};

/// The head, of a server that takes writes: a standby may be behind.
pub(super) async fn head(transaction: &Transaction<'_>) -> Result<Head, StoreError> {
    let sql = format!("SELECT {HEAD_COLUMNS}, pg_is_in_recovery() FROM head");
    let statement = transaction.prepare_cached(&sql).await?;
    let row = transaction.query_opt(&statement, &[]).await?;
    let row = row.ok_or_else(|| damaged("the head is gone"))?;
    if column(&row, 4)? {
        return Err(StoreError::Unavailable {
            detail: "there is no primary",
            source: "the server that answers is a standby".into(),
        });
    }
    head_of(&row)
}

/// The present instant by the clock of the server.
pub(super) async fn now(transaction: &Transaction<'_>) -> Result<Timestamp, StoreError> {
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let statement = transaction.prepare_cached(sql).await?;
    let row = transaction.query_one(&statement, &[]).await?;
    timestamp(column(&row, 0)?)
}

/// How many relationships the server thinks that there are; none before it ever looked.
pub(super) async fn relationship_count(
    transaction: &Transaction<'_>,
) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'relationship'::regclass";
    let statement = transaction.prepare_cached(sql).await?;
    let row = transaction.query_one(&statement, &[]).await?;
    let estimate: i64 = column(&row, 0)?;
    Ok(u64::try_from(estimate)
        .ok()
        .filter(|estimate| *estimate > 0))
}

/// The revisions of the log's first and last entry; 0 for an empty log.
async fn bounds(transaction: &Transaction<'_>) -> Result<(Revision, Revision), StoreError> {
    let sql = "SELECT coalesce((SELECT min(revision) FROM log_entry), 0), \
         coalesce((SELECT max(revision) FROM log_entry), 0)";
    let statement = transaction.prepare_cached(sql).await?;
    let row = transaction.query_one(&statement, &[]).await?;
    Ok((revision(column(&row, 0)?)?, revision(column(&row, 1)?)?))
}

/// Refuses a revision whose state the log does not reach: past its end, or more than one before its beginning.
async fn check_reach(transaction: &Transaction<'_>, at: Revision) -> Result<(), LogError> {
    let (oldest, head) = bounds(transaction).await?;
    log::check_reach(oldest, head, at)
}

pub(super) async fn schema(
    transaction: &Transaction<'_>,
    at: Option<Revision>,
) -> Result<Option<StoredSchema>, LogError> {
    if let Some(at) = at {
        check_reach(transaction, at).await?;
    }
    let at = at.map_or(i64::MAX, revision_sql);
    Ok(schema_until(transaction, at).await?)
}

pub(super) async fn schema_until(
    transaction: &Transaction<'_>,
    at: i64,
) -> Result<Option<StoredSchema>, StoreError> {
    let sql = "SELECT revision, text FROM schema_version WHERE revision <= $1 ORDER BY revision DESC LIMIT 1";
    let statement = transaction.prepare_cached(sql).await?;
    let row = transaction.query_opt(&statement, &[&at]).await?;
    row.map(|row| {
        Ok(StoredSchema {
            revision: revision(column(&row, 0)?)?,
            text: column(&row, 1)?,
        })
    })
    .transpose()
}

/// The entries that fit, by their sizes alone: the bytes of the others do not travel.
const LOG: &str = "WITH page AS (SELECT revision, sum(octet_length(changes) + coalesce(octet_length(metadata), 0)) \
     OVER (ORDER BY revision) AS bytes FROM (SELECT * FROM log_entry WHERE revision > $1 ORDER BY revision LIMIT $2) AS l) \
     SELECT e.revision, e.time, e.hash, e.previous, e.housekeeping, e.schema_changed, e.actor, e.reason, e.metadata, e.changes \
     FROM page p JOIN log_entry e ON e.revision = p.revision WHERE p.bytes <= $3 OR p.revision = $1 + 1 ORDER BY e.revision";

pub(super) async fn log(
    transaction: &Transaction<'_>,
    query: LogQuery,
) -> Result<Vec<LogEntry>, LogError> {
    check_reach(transaction, query.after).await?;
    let statement = transaction.prepare_cached(LOG).await?;
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let (entries_max, bytes_max) = (number(query.entries_max), number(query.bytes_max));
    let rows = transaction
        .query(
            &statement,
            &[&revision_sql(query.after), &entries_max, &bytes_max],
        )
        .await?;
    let mut entries: Vec<LogEntry> = Vec::with_capacity(rows.len());
    for row in &rows {
        match entry(transaction, row).await {
            Ok(entry) => entries.push(entry),
            // What comes before it is good, and the next page begins with the error.
            Err(LogError::NewerFormat { .. }) if !entries.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    log::check_order(query.after, &entries)?;
    Ok(entries)
}

async fn entry(transaction: &Transaction<'_>, row: &Row) -> Result<LogEntry, LogError> {
    let at = revision(column(row, 0)?)?;
    let block = log::block(at, column(row, 9)?)?;
    let schema = if column(row, 5)? {
        Some(schema_change(transaction, at).await?)
    } else {
        None
    };
    Ok(LogEntry {
        revision: at,
        time: timestamp(column(row, 1)?)?,
        hash: hash(column(row, 2)?)?,
        previous: hash(column(row, 3)?)?,
        provenance: Provenance {
            actor: column(row, 6)?,
            reason: column(row, 7)?,
            metadata: column(row, 8)?,
            origin: None,
        },
        changes: block.changes,
        records: block.records,
        schema,
        housekeeping: column(row, 4)?,
    })
}

async fn schema_change(
    transaction: &Transaction<'_>,
    at: Revision,
) -> Result<SchemaChange, StoreError> {
    let after = schema_until(transaction, revision_sql(at)).await?;
    let Some(after) = after.filter(|schema| schema.revision == at) else {
        return Err(damaged(&format!("revision {at}: its schema is gone")));
    };
    let before = schema_until(transaction, revision_sql(at).saturating_sub(1)).await?;
    Ok(SchemaChange {
        before: before.map(|schema| schema.text),
        after: after.text,
    })
}

pub(super) async fn token(
    transaction: &Transaction<'_>,
    identity: StoreIdentity,
    at: Revision,
) -> Result<Token, LogError> {
    if at == Revision(0) {
        return Ok(identity.token(at, &Head::EMPTY.hash));
    }
    let (oldest, head) = bounds(transaction).await?;
    if at > head {
        return Err(LogError::BeyondHead { head });
    }
    match stored_hash(transaction, at).await? {
        Some(found) => Ok(identity.token(at, &found)),
        None => Err(LogError::Trimmed { oldest }),
    }
}

pub(super) async fn verify(
    transaction: &Transaction<'_>,
    token: Token,
) -> Result<TokenVerdict, TokenRefused> {
    let (_, head) = bounds(transaction).await?;
    let found = match token.revision {
        Revision(0) => Some(Head::EMPTY.hash),
        at => stored_hash(transaction, at).await?,
    };
    log::verdict(head, found, token)
}

pub(super) async fn stored_hash(
    transaction: &Transaction<'_>,
    at: Revision,
) -> Result<Option<model::CommitHash>, StoreError> {
    let sql = "SELECT hash FROM log_entry WHERE revision = $1";
    let statement = transaction.prepare_cached(sql).await?;
    let row = transaction
        .query_opt(&statement, &[&revision_sql(at)])
        .await?;
    row.map(|row| hash(column(&row, 0)?)).transpose()
}

/// One step of trimming: how many entries went, and the oldest that is left.
pub(super) async fn trim_step(
    transaction: &Transaction<'_>,
    before: i64,
    entries_max: i64,
) -> Result<(u64, Revision), Failure> {
    let sql = "DELETE FROM log_entry WHERE revision IN (SELECT revision FROM log_entry \
         WHERE revision < (SELECT revision FROM head) AND time < $1 ORDER BY revision LIMIT $2) RETURNING revision";
    let gone = transaction.query(sql, &[&before, &entries_max]).await?;
    let (oldest, _) = bounds(transaction).await?;
    if !gone.is_empty() {
        // The schema that is in force at the oldest entry stays: later entries say what they replaced.
        let sql = "DELETE FROM schema_version WHERE revision < \
             (SELECT max(revision) FROM schema_version WHERE revision < $1)";
        transaction.execute(sql, &[&revision_sql(oldest)]).await?;
    }
    Ok((gone.len() as u64, oldest))
}

pub(super) async fn records(transaction: &Transaction<'_>) -> Result<Vec<Record>, StoreError> {
    let sql = "SELECT kind, key, value FROM record ORDER BY kind, key";
    let rows = transaction.query(sql, &[]).await?;
    let records = rows.iter().map(|row| {
        let key = RecordKey::new(column(row, 0)?, column(row, 1)?);
        Ok(Record {
            key: key.map_err(|error| damaged(&error))?,
            value: column(row, 2)?,
        })
    });
    records.collect()
}
