//! One commit, applied within the writer's transaction. The caller has set a savepoint and goes back to it on refusal.

use std::collections::HashMap;

use model::{
    CommitHash, Operation, Precondition, Relationship, RelationshipFilter, Revision, Timestamp,
};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::changes::{ChangeSet, Found};
use super::codec::{
    KEY_CONDITION, KEY_ORDER, RELATIONSHIP_COLUMNS, bind_key, bind_traits, hash, key_bytes,
    relationship, revision, revision_sql, timestamp,
};
use super::filter::Condition;
use crate::commit::canonical::{self, EntryHeader};
use crate::commit::{
    Base, ChangeRequest, CommitRequest, Committed, IdempotencyKey, RecordChange, RecordKey,
};
use crate::error::{CommitError, StoreError};
use crate::store::Head;

/// The most bytes of changes in one entry; SQLite itself ends at a thousand million.
const ENTRY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Applies `request` after `head`, and gives the new head with the result.
pub(super) fn apply(
    connection: &Connection,
    head: Head,
    request: &CommitRequest,
) -> Result<(Committed, Head), CommitError> {
    if let Some(key) = &request.idempotency_key
        && let Some(committed) = replay(connection, key, request)?
    {
        return Ok((committed, head));
    }
    check_base(head, request.base)?;
    let mut work = Work {
        connection,
        revision: head.revision.next(),
        time: request.now.max(head.time),
        changes: ChangeSet::default(),
        records: Vec::new(),
        record_places: HashMap::new(),
        schema: None,
        deleted_count: 0,
        deletion_complete: true,
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
    if row.get::<_, [u8; 32]>(5)? != canonical::request_digest(request) {
        return Err(CommitError::IdempotencyKeyReused { key: key.clone() });
    }
    Ok(Some(Committed {
        revision: revision(row.get(0)?)?,
        time: timestamp(row.get(1)?)?,
        hash: hash(row.get(2)?),
        deleted_count: revision(row.get(3)?)?.0,
        deletion_complete: row.get(4)?,
        replayed: true,
    }))
}

fn check_base(head: Head, base: Base) -> Result<(), CommitError> {
    let schema_moved = base.schema_revision != head.schema_revision;
    let head_moved = base.head.is_some_and(|base| base != head.revision);
    if schema_moved || head_moved {
        return Err(CommitError::Conflict {
            head: head.revision,
        });
    }
    Ok(())
}

struct Work<'a> {
    connection: &'a Connection,
    revision: Revision,
    time: Timestamp,
    changes: ChangeSet,
    records: Vec<RecordChange>,
    record_places: HashMap<RecordKey, usize>,
    schema: Option<&'a str>,
    deleted_count: u64,
    deletion_complete: bool,
}

impl<'a> Work<'a> {
    fn holds(&self, precondition: &Precondition) -> Result<bool, CommitError> {
        let condition = Condition::new(precondition.filter(), self.time);
        let sql = format!("SELECT 1 FROM relationship WHERE {} LIMIT 1", condition.sql);
        let mut statement = self.connection.prepare_cached(&sql)?;
        condition.bind(&mut statement)?;
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
                self.schema = Some(text);
                Ok(())
            }
            ChangeRequest::Record { key, value } => self.record(key, value.as_deref()),
            ChangeRequest::RemoveExpired { before, limit } => self.remove_expired(*before, *limit),
        }
    }

    fn put(&mut self, relationship: &Relationship, is_create: bool) -> Result<(), CommitError> {
        // Most rows that are written are new, so it is tried that way first: one descent instead of two.
        let mut insert = self
            .connection
            .prepare_cached("INSERT INTO relationship VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10) ON CONFLICT DO NOTHING")?;
        bind_key(&mut insert, relationship)?;
        bind_traits(&mut insert, relationship, self.revision)?;
        if insert.raw_execute()? == 1 {
            self.changes
                .record(None, Some(relationship.clone()), self.revision);
            return Ok(());
        }
        let found = self.find(relationship)?;
        if is_create && !found.relationship.is_expired(self.time) {
            return Err(CommitError::AlreadyExists(Box::new(relationship.key())));
        }
        if found.relationship == *relationship {
            return Ok(());
        }
        let mut update = self.connection.prepare_cached(&format!(
            "UPDATE relationship SET caveat = ?7, context = ?8, expires_at = ?9, revision = ?10 WHERE {KEY_CONDITION}"
        ))?;
        bind_key(&mut update, relationship)?;
        bind_traits(&mut update, relationship, self.revision)?;
        update.raw_execute()?;
        self.changes
            .record(Some(found), Some(relationship.clone()), self.revision);
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
        statement.raw_bind_parameter(7, self.time.as_micros())?;
        if let Some(found) = first(&mut statement)? {
            self.changes.record(Some(found), None, self.revision);
        }
        Ok(())
    }

    fn delete_matching(
        &mut self,
        filter: &RelationshipFilter,
        limit: Option<u32>,
        is_partial: bool,
    ) -> Result<(), CommitError> {
        let condition = Condition::new(filter, self.time);
        let next = condition.parameter_count() + 1;
        let sql = format!(
            "SELECT {RELATIONSHIP_COLUMNS} FROM relationship WHERE {} ORDER BY {KEY_ORDER} LIMIT ?{next}",
            condition.sql
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        condition.bind(&mut statement)?;
        statement.raw_bind_parameter(next, limit.map_or(-1, |limit| i64::from(limit) + 1))?;
        let mut found = collect(&mut statement)?;
        drop(statement);
        if let Some(limit) = limit
            && cut(&mut found, limit)
        {
            if !is_partial {
                return Err(CommitError::TooManyToDelete {
                    filter: Box::new(filter.clone()),
                    limit,
                });
            }
            self.deletion_complete = false;
        }
        self.remove(found)
    }

    fn remove_expired(&mut self, before: Timestamp, limit: u32) -> Result<(), CommitError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {RELATIONSHIP_COLUMNS} FROM relationship WHERE expires_at <= ?1 \
             ORDER BY expires_at, {KEY_ORDER} LIMIT ?2"
        ))?;
        statement.raw_bind_parameter(1, before.min(self.time).as_micros())?;
        statement.raw_bind_parameter(2, i64::from(limit) + 1)?;
        let mut found = collect(&mut statement)?;
        drop(statement);
        self.deletion_complete &= !cut(&mut found, limit);
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
                    revision_sql(self.revision)
                ])?,
            None => self
                .connection
                .prepare_cached("DELETE FROM record WHERE kind = ?1 AND key = ?2")?
                .execute(names)?,
        };
        let after = value.map(<[u8]>::to_vec);
        let next = self.records.len();
        let place = *self.record_places.entry(key.clone()).or_insert(next);
        match self.records.get_mut(place) {
            Some(earlier) => earlier.after = after,
            None => self.records.push(RecordChange {
                key: key.clone(),
                before,
                after,
            }),
        }
        Ok(())
    }

    fn remove(&mut self, rows: Vec<Found>) -> Result<(), CommitError> {
        let sql = format!("DELETE FROM relationship WHERE {KEY_CONDITION}");
        let mut statement = self.connection.prepare_cached(&sql)?;
        for found in rows {
            bind_key(&mut statement, &found.relationship)?;
            statement.raw_execute()?;
            self.deleted_count += 1;
            self.changes.record(Some(found), None, self.revision);
        }
        Ok(())
    }

    fn finish(
        mut self,
        head: Head,
        request: &CommitRequest,
    ) -> Result<(Committed, Head), CommitError> {
        let schema = self.changed_schema(head)?;
        let (changes, restored) = self.changes.finish();
        for found in restored {
            let sql = format!("UPDATE relationship SET revision = ?7 WHERE {KEY_CONDITION}");
            let mut statement = self.connection.prepare_cached(&sql)?;
            bind_key(&mut statement, &found.relationship)?;
            statement.raw_bind_parameter(7, revision_sql(found.revision))?;
            statement.raw_execute()?;
        }
        self.records.retain(|change| change.before != change.after);
        let block = canonical::encode_changes(&changes, &self.records);
        if block.len() > ENTRY_BYTES_MAX {
            return Err(CommitError::TooLarge {
                bytes: block.len(),
                bytes_max: ENTRY_BYTES_MAX,
            });
        }
        let header = EntryHeader {
            previous: head.hash,
            revision: self.revision,
            time: self.time,
            housekeeping: is_housekeeping(&request.changes),
            provenance: &request.provenance,
            schema,
        };
        let committed = Committed {
            revision: self.revision,
            time: self.time,
            hash: header.hash(&block),
            deleted_count: self.deleted_count,
            deletion_complete: self.deletion_complete,
            replayed: false,
        };
        if let Some(text) = schema {
            let mut insert = self
                .connection
                .prepare_cached("INSERT INTO schema_version VALUES (?1, ?2)")?;
            insert.execute(params![revision_sql(self.revision), text])?;
        }
        insert_entry(self.connection, &header, &committed, request, &block)?;
        let schema_revision = if schema.is_some() {
            self.revision
        } else {
            head.schema_revision
        };
        let head = Head {
            revision: self.revision,
            time: self.time,
            hash: committed.hash,
            schema_revision,
        };
        Ok((committed, head))
    }

    /// The new text of the schema, unless it is the old one.
    fn changed_schema(&self, head: Head) -> Result<Option<&'a str>, CommitError> {
        let Some(text) = self.schema else {
            return Ok(None);
        };
        let mut current = self
            .connection
            .prepare_cached("SELECT text = ?2 FROM schema_version WHERE revision = ?1")?;
        let parameters = params![revision_sql(head.schema_revision), text];
        let is_same = current
            .query_row(parameters, |row| row.get::<_, bool>(0))
            .optional()?;
        Ok((is_same != Some(true)).then_some(text))
    }
}

fn insert_entry(
    connection: &Connection,
    header: &EntryHeader<'_>,
    committed: &Committed,
    request: &CommitRequest,
    block: &[u8],
) -> Result<(), CommitError> {
    let CommitHash(hash) = committed.hash;
    let key = request.idempotency_key.as_ref();
    let mut insert = connection
        .prepare_cached("INSERT INTO log_entry VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)")?;
    insert.execute(params![
        revision_sql(header.revision),
        header.time.as_micros(),
        hash,
        header.previous.0,
        header.housekeeping,
        header.schema.is_some(),
        header.provenance.actor,
        header.provenance.reason,
        header.provenance.metadata,
        key.map(IdempotencyKey::as_str),
        key.map(|_| canonical::request_digest(request)),
        revision_sql(Revision(committed.deleted_count)),
        committed.deletion_complete,
        block,
    ])?;
    Ok(())
}

fn is_housekeeping(changes: &[ChangeRequest]) -> bool {
    !changes.is_empty()
        && changes
            .iter()
            .all(|change| matches!(change, ChangeRequest::RemoveExpired { .. }))
}

/// Cuts `rows` to the limit; whether there were more.
fn cut(rows: &mut Vec<Found>, limit: u32) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_over = rows.len() > limit;
    rows.truncate(limit);
    is_over
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
        if bytes > ENTRY_BYTES_MAX {
            return Err(CommitError::TooLarge {
                bytes,
                bytes_max: ENTRY_BYTES_MAX,
            });
        }
        found.push(Found {
            relationship,
            revision,
        });
    }
    Ok(found)
}
