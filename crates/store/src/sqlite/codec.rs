//! Between the columns of SQLite and the types of the store.
//!
//! Rows hold the texts themselves, so that `sqlite3 remit.db` shows what is granted. Whatever comes back out is checked
//! again: a file can be edited or damaged, and a name that is none must end as an error, not as an answer.

use model::{CommitHash, Relationship, Revision, Timestamp};
use rusqlite::{Row, Statement};

use crate::error::{CommitError, LogError, StoreError, TokenRefused};
use crate::sql::Condition;
use crate::store::ScanRow;

/// The condition of a statement on one key, parameters 1 to 6.
pub(super) const KEY_CONDITION: &str = "resource_definition = ?1 AND resource_id = ?2 AND relation = ?3 \
     AND subject_definition = ?4 AND subject_id = ?5 AND subject_relation = ?6";

/// A row of [`crate::sql::RELATIONSHIP_COLUMNS`], borrowed.
pub(super) fn scan_row<'a>(row: &'a Row<'_>) -> Result<ScanRow<'a>, StoreError> {
    Ok(ScanRow {
        resource_definition: text(row, 0)?,
        resource_id: text(row, 1)?,
        relation: text(row, 2)?,
        subject_definition: text(row, 3)?,
        subject_id: text(row, 4)?,
        subject_relation: text(row, 5)?,
        caveat: text_opt(row, 6)?.zip(text_opt(row, 7)?),
        expires_at: row.get::<_, Option<i64>>(8)?.map(timestamp).transpose()?,
        revision: revision(row.get(9)?)?,
    })
}

/// A row of [`crate::sql::RELATIONSHIP_COLUMNS`] as a relationship, with the revision that wrote it.
pub(super) fn relationship(row: &Row<'_>) -> Result<(Relationship, Revision), StoreError> {
    let row = scan_row(row)?;
    Ok((row.to_relationship()?, row.revision))
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a str, StoreError> {
    row.get_ref(column)?.as_str().map_err(damaged)
}

fn text_opt<'a>(row: &'a Row<'_>, column: usize) -> Result<Option<&'a str>, StoreError> {
    row.get_ref(column)?.as_str_or_null().map_err(damaged)
}

/// Binds the parameters 1 to 6 of [`KEY_CONDITION`].
pub(super) fn bind_key(statement: &mut Statement<'_>, key: &Relationship) -> rusqlite::Result<()> {
    statement.raw_bind_parameter(1, key.resource.definition.as_str())?;
    statement.raw_bind_parameter(2, key.resource.id.as_str())?;
    statement.raw_bind_parameter(3, key.relation.as_str())?;
    statement.raw_bind_parameter(4, key.subject.definition.as_str())?;
    statement.raw_bind_parameter(5, key.subject.id.as_str())?;
    statement.raw_bind_parameter(6, subject_relation(key))
}

/// Binds the parameters 7 to 10: caveat, context, expiration and revision.
pub(super) fn bind_traits(
    statement: &mut Statement<'_>,
    relationship: &Relationship,
    revision: Revision,
) -> rusqlite::Result<()> {
    let caveat = relationship.caveat.as_ref();
    statement.raw_bind_parameter(7, caveat.map(|caveat| caveat.name.as_str()))?;
    statement.raw_bind_parameter(8, caveat.map(|caveat| caveat.context.to_json()))?;
    statement.raw_bind_parameter(9, relationship.expires_at.map(Timestamp::as_micros))?;
    statement.raw_bind_parameter(10, revision_sql(revision))
}

/// Binds the values of a condition.
pub(super) fn bind_condition(
    statement: &mut Statement<'_>,
    condition: &Condition<'_>,
) -> rusqlite::Result<()> {
    for (at, value) in condition.values().enumerate() {
        statement.raw_bind_parameter(at + 1, value)?;
    }
    statement.raw_bind_parameter(condition.parameter_count(), condition.live_at())
}

fn subject_relation(relationship: &Relationship) -> &str {
    relationship
        .subject
        .relation
        .as_ref()
        .map_or("", |name| name.as_str())
}

/// A revision as SQLite keeps it. Its integers end at 2^63 - 1; no log gets there.
pub(super) fn revision_sql(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

pub(super) fn revision(value: i64) -> Result<Revision, StoreError> {
    u64::try_from(value).map(Revision).map_err(damaged)
}

pub(super) fn timestamp(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_micros(micros).map_err(damaged)
}

pub(super) fn hash(bytes: [u8; 32]) -> CommitHash {
    CommitHash(bytes)
}

fn damaged(error: impl ToString) -> StoreError {
    StoreError::Corrupt {
        detail: error.to_string(),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(error),
            Some(_) => Self::Unavailable {
                detail: "SQLite failed",
                source: Box::new(error),
            },
            // Not from SQLite but from reading what it gave: a column without a value or of another type.
            None => damaged(error),
        }
    }
}

impl From<rusqlite::Error> for CommitError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<rusqlite::Error> for LogError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<rusqlite::Error> for TokenRefused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
