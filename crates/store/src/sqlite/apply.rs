//! One commit, applied within the writer's transaction. The caller has set a savepoint and goes back to it on refusal.

use model::{CommitHash, Operation, Precondition, Relationship, RelationshipFilter, Timestamp};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::codec::{
    KEY_CONDITION, bind_condition, bind_key, bind_traits, hash, relationship, revision,
    revision_sql, timestamp,
};
use super::{audit, read};
use crate::audit::write::Log;
use crate::commit::canonical::EntryHeader;
use crate::commit::changes::{Found, key_bytes};
use crate::commit::draft::{self, Decided, Draft, check_size};
use crate::commit::{ChangeRequest, CommitRequest, Committed, IdempotencyKey, RecordKey};
use crate::error::{CommitError, StoreError};
use crate::sql::{Condition, KEY_ORDER, RELATIONSHIP_COLUMNS};
use crate::store::Head;

/// Applies `request` after `head`, and gives the new head with the result.
pub(super) fn apply(
    connection: &Connection,
    (head, audit): (Head, Log),
    request: &CommitRequest,
) -> Result<(Committed, Head), CommitError> {
    if let Some(key) = &request.idempotency_key
        && let Some(committed) = replay(connection, key, request)?
    {
        return Ok((committed, head));
    }
    let known = request.base.known.revision;
    let stored = if known == head.revision {
        Some(head.hash)
    } else {
        read::stored_hash(connection, known)?.map(hash)
    };
    let mut work = Work {
        connection,
        audit,
        draft: Draft::begin(head, request, request.now, stored)?,
    };
    for (index, precondition) in request.preconditions.iter().enumerate() {
        if !work.holds(precondition)? {
            return Err(CommitError::PreconditionFailed {
                index,
                precondition: Box::new(precondition.clone()),
            });
        }
    }
    for change in &request.changes {
        work.change(change)?;
    }
    work.finish(head, request)
}

/// The result of the commit that has the key, if there is one.
fn replay(
    connection: &Connection,
    key: &IdempotencyKey,
    request: &CommitRequest,
) -> Result<Option<Committed>, CommitError> {
    let mut statement = connection.prepare_cached(
        "SELECT revision, time, hash, deleted_count, deletion_complete, request_digest \
         FROM log_entry WHERE idempotency_key = ?1",
    )?;
    let mut rows = statement.query([key.as_str()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let digest: [u8; 32] = row.get(5)?;
    let first = Committed {
        revision: revision(row.get(0)?)?,
        time: timestamp(row.get(1)?)?,
        hash: hash(row.get(2)?),
        deleted_count: revision(row.get(3)?)?.0,
        deletion_complete: row.get(4)?,
        replayed: true,
    };
    draft::replay(key, request, &digest, first).map(Some)
}

struct Work<'a> {
    connection: &'a Connection,
    audit: Log,
    draft: Draft<'a>,
}

impl<'a> Work<'a> {
    fn holds(&self, precondition: &Precondition) -> Result<bool, CommitError> {
        let condition = Condition::new(precondition.filter(), self.draft.time, '?');
        let sql = format!("SELECT 1 FROM relationship WHERE {} LIMIT 1", condition.sql);
        let mut statement = self.connection.prepare_cached(&sql)?;
        bind_condition(&mut statement, &condition)?;
        let is_match = statement.raw_query().next()?.is_some();
        Ok(match precondition {
            Precondition::MustMatch(_) => is_match,
            Precondition::MustNotMatch(_) => !is_match,
        })
    }

    fn change(&mut self, change: &'a ChangeRequest) -> Result<(), CommitError> {
        match change {
            ChangeRequest::Relationship(update) => match update.operation {
                Operation::Create => self.put(&update.relationship, true),
                Operation::Touch => self.put(&update.relationship, false),
                Operation::Delete => self.delete(&update.relationship),
            },
            ChangeRequest::DeleteMatching {
                filter,
                limit,
                partial,
            } => self.delete_matching(filter, *limit, *partial),
            ChangeRequest::Schema(text) => {
                self.draft.schema(text);
                Ok(())
            }
            ChangeRequest::Record { key, value } => self.record(key, value.as_deref()),
            ChangeRequest::Erase(erased) => {
                audit::erase(self.connection, erased)?;
                self.draft.erase(erased);
                Ok(())
            }
            ChangeRequest::RemoveExpired { before, limit } => self.remove_expired(*before, *limit),
        }
    }

    fn put(&mut self, relationship: &Relationship, is_create: bool) -> Result<(), CommitError> {
        // Most rows that are written are new, so it is tried that way first: one descent instead of two.
        let mut insert = self
            .connection
            .prepare_cached("INSERT INTO relationship VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10) ON CONFLICT DO NOTHING")?;
        bind_key(&mut insert, relationship)?;
        bind_traits(&mut insert, relationship, self.draft.revision)?;
        if insert.raw_execute()? == 1 {
            self.draft.add(relationship);
            return Ok(());
        }
        let found = self.find(relationship)?;
        if !self.draft.replace(found, relationship, is_create)? {
            return Ok(());
        }
        let mut update = self.connection.prepare_cached(&format!(
            "UPDATE relationship SET caveat = ?7, context = ?8, expires_at = ?9, revision = ?10 WHERE {KEY_CONDITION}"
        ))?;
        bind_key(&mut update, relationship)?;
        bind_traits(&mut update, relationship, self.draft.revision)?;
        update.raw_execute()?;
        Ok(())
    }

    fn find(&self, key: &Relationship) -> Result<Found, StoreError> {
        let sql = format!("SELECT {RELATIONSHIP_COLUMNS} FROM relationship WHERE {KEY_CONDITION}");
        let mut statement = self.connection.prepare_cached(&sql)?;
        bind_key(&mut statement, key)?;
        first(&mut statement)?.ok_or_else(|| StoreError::Corrupt {
            detail: format!("the row of `{}` is there and is not", key.key()),
        })
    }

    fn delete(&mut self, key: &Relationship) -> Result<(), CommitError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "DELETE FROM relationship WHERE {KEY_CONDITION} AND (expires_at IS NULL OR expires_at > ?7) \
             RETURNING {RELATIONSHIP_COLUMNS}"
        ))?;
        bind_key(&mut statement, key)?;
        statement.raw_bind_parameter(7, self.draft.time.as_micros())?;
        if let Some(found) = first(&mut statement)? {
            self.draft.delete(found);
        }
        Ok(())
    }

    fn delete_matching(
        &mut self,
        filter: &RelationshipFilter,
        limit: Option<u32>,
        is_partial: bool,
    ) -> Result<(), CommitError> {
        let condition = Condition::new(filter, self.draft.time, '?');
        let next = condition.parameter_count() + 1;
        let sql = format!(
            "SELECT {RELATIONSHIP_COLUMNS} FROM relationship WHERE {} ORDER BY {KEY_ORDER} LIMIT ?{next}",
            condition.sql
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        bind_condition(&mut statement, &condition)?;
        statement.raw_bind_parameter(next, limit.map_or(-1, |limit| i64::from(limit) + 1))?;
        let mut found = collect(&mut statement)?;
        drop(statement);
        self.draft
            .cut_matching(&mut found, filter, limit, is_partial)?;
        self.remove(found)
    }

    fn remove_expired(&mut self, before: Timestamp, limit: u32) -> Result<(), CommitError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {RELATIONSHIP_COLUMNS} FROM relationship WHERE expires_at <= ?1 \
             ORDER BY expires_at, {KEY_ORDER} LIMIT ?2"
        ))?;
        statement.raw_bind_parameter(1, before.min(self.draft.time).as_micros())?;
        statement.raw_bind_parameter(2, i64::from(limit) + 1)?;
        let mut found = collect(&mut statement)?;
        drop(statement);
        self.draft.cut_expired(&mut found, limit);
        self.remove(found)
    }

    fn record(&mut self, key: &RecordKey, value: Option<&[u8]>) -> Result<(), CommitError> {
        let names = [key.kind(), key.key()];
        let before: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT value FROM record WHERE kind = ?1 AND key = ?2")?
            .query_row(names, |row| row.get(0))
            .optional()?;
        match value {
            Some(value) => self
                .connection
                .prepare_cached("INSERT OR REPLACE INTO record VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![
                    key.kind(),
                    key.key(),
                    value,
                    revision_sql(self.draft.revision)
                ])?,
            None => self
                .connection
                .prepare_cached("DELETE FROM record WHERE kind = ?1 AND key = ?2")?
                .execute(names)?,
        };
        self.draft.record(key, before, value.map(<[u8]>::to_vec));
        Ok(())
    }

    fn remove(&mut self, rows: Vec<Found>) -> Result<(), CommitError> {
        let sql = format!("DELETE FROM relationship WHERE {KEY_CONDITION}");
        let mut statement = self.connection.prepare_cached(&sql)?;
        for found in rows {
            bind_key(&mut statement, &found.relationship)?;
            statement.raw_execute()?;
            self.draft.sweep(found);
        }
        Ok(())
    }

    fn finish(
        self,
        head: Head,
        request: &'a CommitRequest,
    ) -> Result<(Committed, Head), CommitError> {
        let current_schema = self.current_schema(head)?;
        let mut decided = self.draft.finish(head, request, current_schema)?;
        for found in &decided.restored {
            let sql = format!("UPDATE relationship SET revision = ?7 WHERE {KEY_CONDITION}");
            let mut statement = self.connection.prepare_cached(&sql)?;
            bind_key(&mut statement, &found.relationship)?;
            statement.raw_bind_parameter(7, revision_sql(found.revision))?;
            statement.raw_execute()?;
        }
        insert_entry(self.connection, &decided, draft::kept_key(request))?;
        audit::append(self.connection, self.audit, &mut decided)?;
        Ok((decided.committed, decided.head))
    }

    /// The schema that is there, if the commit sets one.
    fn current_schema(&self, head: Head) -> Result<Option<String>, CommitError> {
        if self.draft.new_schema().is_none() {
            return Ok(None);
        }
        let mut current = self
            .connection
            .prepare_cached("SELECT text FROM schema_version WHERE revision = ?1")?;
        let current = current.query_row([revision_sql(head.schema_revision)], |row| row.get(0));
        Ok(current.optional()?)
    }
}

/// Writes an entry of the log, and the schema that it sets.
pub(super) fn insert_entry(
    connection: &Connection,
    decided: &Decided<'_>,
    key: Option<(&str, [u8; 32])>,
) -> rusqlite::Result<()> {
    let EntryHeader {
        previous,
        revision,
        time,
        housekeeping,
        provenance,
        schema,
    } = decided.header;
    let CommitHash(hash) = decided.committed.hash;
    if let Some(text) = schema {
        let mut insert = connection.prepare_cached("INSERT INTO schema_version VALUES (?1, ?2)")?;
        insert.execute(params![revision_sql(revision), text])?;
    }
    let (key, digest) = key.unzip();
    let mut insert = connection
        .prepare_cached("INSERT INTO log_entry VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)")?;
    insert.execute(params![
        revision_sql(revision),
        time.as_micros(),
        hash,
        previous.0,
        housekeeping,
        schema.is_some(),
        provenance.actor,
        provenance.reason,
        provenance.metadata,
        key,
        digest,
        i64::try_from(decided.committed.deleted_count).unwrap_or(i64::MAX),
        decided.committed.deletion_complete,
        decided.block,
    ])?;
    Ok(())
}

fn first(statement: &mut CachedStatement<'_>) -> Result<Option<Found>, StoreError> {
    let mut rows = statement.raw_query();
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let (relationship, revision) = relationship(row)?;
    Ok(Some(Found {
        relationship,
        revision,
    }))
}

fn collect(statement: &mut CachedStatement<'_>) -> Result<Vec<Found>, CommitError> {
    let mut found = Vec::new();
    let mut bytes = 0;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let (relationship, revision) = relationship(row)?;
        bytes += key_bytes(&relationship);
        check_size(bytes)?;
        found.push(Found {
            relationship,
            revision,
        });
    }
    Ok(found)
}
