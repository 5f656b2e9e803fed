//! Between the columns of PostgreSQL and the types of the store. Whatever comes back out is checked again: a table can be
//! edited, and a name that is none must end as an error, not as an answer.

use model::{
    CommitHash, ObjectRef, RelationName, Relationship, RelationshipKey, Revision, SubjectRef,
    Timestamp,
};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};

use super::failure::damaged;
use super::group::LockedHead;
use crate::commit::changes::Found;
use crate::error::StoreError;
use crate::store::{Head, ScanRow};

/// A value of a row.
pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, StoreError> {
    row.try_get(at).map_err(|error| damaged(&error))
}

/// A row of [`crate::sql::RELATIONSHIP_COLUMNS`], with the revision that wrote it.
pub(super) fn found(row: &Row) -> Result<Found, StoreError> {
    let row = ScanRow {
        resource_definition: column(row, 0)?,
        resource_id: column(row, 1)?,
        relation: column(row, 2)?,
        subject_definition: column(row, 3)?,
        subject_id: column(row, 4)?,
        subject_relation: column(row, 5)?,
        caveat: column::<Option<&str>>(row, 6)?.zip(column(row, 7)?),
        expires_at: column::<Option<i64>>(row, 8)?.map(timestamp).transpose()?,
        revision: revision(column(row, 9)?)?,
    };
    Ok(Found {
        relationship: row.to_relationship()?,
        revision: row.revision,
    })
}

/// The columns of the head.
pub(super) const HEAD_COLUMNS: &str = "revision, time, hash, schema_revision";

pub(super) fn head(row: &Row) -> Result<Head, StoreError> {
    Ok(Head {
        revision: revision(column(row, 0)?)?,
        time: timestamp(column(row, 1)?)?,
        hash: hash(column(row, 2)?)?,
        schema_revision: revision(column(row, 3)?)?,
    })
}

/// The head, locked, with the clock of the server.
pub(super) fn locked_head(row: &Row) -> Result<LockedHead, StoreError> {
    Ok(LockedHead {
        head: head(row)?,
        now: timestamp(column(row, 4)?)?,
        audit_begin: revision(column(row, 5)?)?.0,
    })
}

/// A revision as PostgreSQL keeps it. Its integers end at 2^63 - 1; no log gets there.
pub(super) fn revision_sql(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

pub(super) fn revision(value: i64) -> Result<Revision, StoreError> {
    u64::try_from(value)
        .map(Revision)
        .map_err(|error| damaged(&error))
}

pub(super) fn timestamp(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_micros(micros).map_err(|error| damaged(&error))
}

pub(super) fn hash(bytes: &[u8]) -> Result<CommitHash, StoreError> {
    bytes
        .try_into()
        .map(CommitHash)
        .map_err(|_| damaged("a hash does not have 32 bytes"))
}

pub(super) fn subject_relation(subject: &SubjectRef) -> &str {
    let relation = subject.relation.as_ref();
    relation.map_or("", |name| name.as_str())
}

/// A parameter of a statement.
pub(super) type Parameter<'a> = &'a (dyn ToSql + Sync);

/// The keys of relationships, a list for each column.
#[derive(Default)]
pub(super) struct KeyColumns<'a> {
    resource_definitions: Vec<&'a str>,
    resource_ids: Vec<&'a str>,
    relations: Vec<&'a str>,
    subject_definitions: Vec<&'a str>,
    subject_ids: Vec<&'a str>,
    subject_relations: Vec<&'a str>,
}

impl<'a> KeyColumns<'a> {
    pub(super) fn of<'k: 'a>(keys: impl Iterator<Item = &'k RelationshipKey>) -> Self {
        let mut columns = Self::default();
        for key in keys {
            columns.push_parts(&key.resource, &key.relation, &key.subject);
        }
        columns
    }

    pub(super) fn push(&mut self, relationship: &'a Relationship) {
        let Relationship {
            resource,
            relation,
            subject,
            ..
        } = relationship;
        self.push_parts(resource, relation, subject);
    }

    fn push_parts(
        &mut self,
        resource: &'a ObjectRef,
        relation: &'a RelationName,
        subject: &'a SubjectRef,
    ) {
        self.resource_definitions.push(resource.definition.as_str());
        self.resource_ids.push(resource.id.as_str());
        self.relations.push(relation.as_str());
        self.subject_definitions.push(subject.definition.as_str());
        self.subject_ids.push(subject.id.as_str());
        self.subject_relations.push(subject_relation(subject));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.resource_ids.is_empty()
    }

    /// The lists, in the order of the key, as the first six parameters of a statement.
    pub(super) fn parameters(&self) -> [Parameter<'_>; 6] {
        [
            &self.resource_definitions,
            &self.resource_ids,
            &self.relations,
            &self.subject_definitions,
            &self.subject_ids,
            &self.subject_relations,
        ]
    }
}
