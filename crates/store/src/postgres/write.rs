//! What a group has decided, written: rows, records, schemas, the log, the head.

use std::pin::pin;

use model::{Relationship, RelationshipKey, Revision, Timestamp};
use tokio_postgres::Statement;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;

use super::codec::{KeyColumns, Parameter, revision_sql, subject_relation};
use super::failure::Failure;
use super::group::Entry;
use super::overlay::{Overlay, Write};
use super::session::Session;
use crate::commit::RecordKey;
use crate::commit::changes::Found;
use crate::store::Head;

/// From so many new rows on they are copied in, which is some times as fast as an insert.
const COPY_ROWS_MIN: usize = 256;
/// Bytes of changes in one statement that writes to the log; PostgreSQL ends at a thousand million for a value.
pub(super) const LOG_BYTES_MAX: usize = 64 << 20;

pub(super) const INSERT: &str = "INSERT INTO relationship (resource_definition, resource_id, relation, subject_definition, subject_id, \
     subject_relation, caveat, context, expires_at, revision) SELECT * FROM unnest($1::text[], $2::text[], $3::text[], \
     $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[])";

pub(super) const REPLACE: &str = "UPDATE relationship r SET caveat = k.g, context = k.h, expires_at = k.i, revision = k.j \
     FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], \
     $9::bigint[], $10::bigint[]) AS k(a, b, c, d, e, f, g, h, i, j) \
     WHERE r.resource_definition = k.a AND r.resource_id = k.b AND r.relation = k.c \
     AND r.subject_definition = k.d AND r.subject_id = k.e AND r.subject_relation = k.f";

pub(super) const DELETE: &str = "DELETE FROM relationship r \
     USING unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) AS k(a, b, c, d, e, f) \
     WHERE r.resource_definition = k.a AND r.resource_id = k.b AND r.relation = k.c \
     AND r.subject_definition = k.d AND r.subject_id = k.e AND r.subject_relation = k.f";

const COPY: &str = "COPY relationship (resource_definition, resource_id, relation, subject_definition, subject_id, \
     subject_relation, caveat, context, expires_at, revision) FROM STDIN (FORMAT binary)";

pub(super) const LOG: &str = "INSERT INTO log_entry SELECT *, $15::bytea FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], \
     $4::bytea[], $5::boolean[], $6::boolean[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bytea[], \
     $12::bigint[], $13::boolean[], $14::bytea[])";

/// Puts the head forward, and tells all nodes once the transaction commits.
pub(super) const HEAD: &str = "WITH moved AS (UPDATE head SET revision = $1, time = $2, hash = $3, schema_revision = $4, \
     audit_size = $1 - audit_begin) \
     SELECT pg_notify('remit', $1::bigint::text)";

/// Relationships with all that is stored of them, a list for each column.
#[derive(Default)]
struct RowColumns<'a> {
    keys: KeyColumns<'a>,
    caveats: Vec<Option<&'a str>>,
    contexts: Vec<Option<String>>,
    expirations: Vec<Option<i64>>,
    revisions: Vec<i64>,
}

impl<'a> RowColumns<'a> {
    fn push(&mut self, found: &'a Found) {
        let Found {
            relationship,
            revision,
        } = found;
        self.keys.push(relationship);
        self.caveats.push(caveat_name(relationship));
        self.contexts.push(context(relationship));
        self.expirations
            .push(relationship.expires_at.map(Timestamp::as_micros));
        self.revisions.push(revision_sql(*revision));
    }

    async fn write(&self, session: &Session, statement: &Statement) -> Result<(), Failure> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let [a, b, c, d, e, f] = self.keys.parameters();
        let parameters: [Parameter<'_>; 10] = [
            a,
            b,
            c,
            d,
            e,
            f,
            &self.caveats,
            &self.contexts,
            &self.expirations,
            &self.revisions,
        ];
        session.client.execute(statement, &parameters).await?;
        Ok(())
    }
}

fn caveat_name(relationship: &Relationship) -> Option<&str> {
    let caveat = relationship.caveat.as_ref();
    caveat.map(|caveat| caveat.name.as_str())
}

fn context(relationship: &Relationship) -> Option<String> {
    let caveat = relationship.caveat.as_ref();
    caveat.map(|caveat| caveat.context.to_json())
}

/// Tells the table of relationships what became of those in `rows`.
pub(super) async fn rows(
    session: &Session,
    rows: &mut Overlay<RelationshipKey, Found>,
) -> Result<(), Failure> {
    write_rows(session, &rows.take_writes()).await
}

/// Whether [`write_rows`] sends all that it sends at once.
pub(super) fn is_sent_at_once(writes: &[(RelationshipKey, Write<Found>)]) -> bool {
    writes.len() < COPY_ROWS_MIN
}

pub(super) async fn write_rows(
    session: &Session,
    writes: &[(RelationshipKey, Write<Found>)],
) -> Result<(), Failure> {
    let (mut new, mut others, mut gone) = (Vec::new(), RowColumns::default(), Vec::new());
    for (key, write) in writes {
        match write {
            Write::Insert(found) => new.push(found),
            Write::Replace(found) => others.push(found),
            Write::Delete => gone.push(key),
        }
    }
    let gone = KeyColumns::of(gone.into_iter());
    let delete = async {
        if !gone.is_empty() {
            let statement = &session.fixed.delete;
            session
                .client
                .execute(statement, &gone.parameters())
                .await?;
        }
        Ok::<_, Failure>(())
    };
    tokio::try_join!(
        biased;
        delete,
        others.write(session, &session.fixed.replace),
        insert(session, &new),
    )?;
    Ok(())
}

async fn insert(session: &Session, new: &[&Found]) -> Result<(), Failure> {
    if new.len() < COPY_ROWS_MIN {
        let mut columns = RowColumns::default();
        new.iter().for_each(|found| columns.push(found));
        return columns.write(session, &session.fixed.insert).await;
    }
    let text = Type::TEXT;
    let types = [
        text.clone(),
        text.clone(),
        text.clone(),
        text.clone(),
        text.clone(),
        text.clone(),
        text.clone(),
        text,
        Type::INT8,
        Type::INT8,
    ];
    let mut copy = pin!(BinaryCopyInWriter::new(
        session.client.copy_in(COPY).await?,
        &types
    ));
    for found in new {
        let row = &found.relationship;
        copy.as_mut()
            .write(&[
                &row.resource.definition.as_str(),
                &row.resource.id.as_str(),
                &row.relation.as_str(),
                &row.subject.definition.as_str(),
                &row.subject.id.as_str(),
                &subject_relation(&row.subject),
                &caveat_name(row),
                &context(row),
                &row.expires_at.map(Timestamp::as_micros),
                &revision_sql(found.revision),
            ])
            .await?;
    }
    copy.finish().await?;
    Ok(())
}

/// What became of a record: its value, and the commit that wrote it.
pub(super) type RecordWrite = (RecordKey, Write<(Vec<u8>, Revision)>);

/// Tells the table of records what became of some.
pub(super) async fn records(session: &Session, writes: &[RecordWrite]) -> Result<(), Failure> {
    for (key, write) in writes {
        let names: [Parameter<'_>; 2] = [&key.kind(), &key.key()];
        let [kind, name] = names;
        match write {
            Write::Insert((value, revision)) | Write::Replace((value, revision)) => {
                let sql = "INSERT INTO record (kind, key, value, revision) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (kind, key) DO UPDATE SET value = $3, revision = $4";
                session
                    .execute(sql, &[kind, name, value, &revision_sql(*revision)])
                    .await?
            }
            Write::Delete => {
                session
                    .execute("DELETE FROM record WHERE kind = $1 AND key = $2", &names)
                    .await?
            }
        };
    }
    Ok(())
}

/// Writes the log's entries, and the schemas that they set.
pub(super) async fn log(
    session: &Session,
    entries: &[Entry<'_>],
    batch: &[u8],
) -> Result<(), Failure> {
    let mut rest = entries;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest.iter().take_while(|entry| {
            bytes += entry.decided.block.len();
            bytes <= LOG_BYTES_MAX
        });
        let count = fitting.count().max(1);
        let (now, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        log_part(session, now, batch).await?;
        rest = later;
    }
    for entry in entries {
        if let Some(text) = entry.decided.header.schema {
            let sql = "INSERT INTO schema_version (revision, text) VALUES ($1, $2)";
            let revision = revision_sql(entry.decided.header.revision);
            session.execute(sql, &[&revision, &text]).await?;
        }
    }
    Ok(())
}

async fn log_part(session: &Session, entries: &[Entry<'_>], batch: &[u8]) -> Result<(), Failure> {
    fn list<'a, T>(entries: &'a [Entry<'a>], column: impl Fn(&'a Entry<'a>) -> T) -> Vec<T> {
        entries.iter().map(column).collect()
    }
    let (keys, digests): (Vec<_>, Vec<_>) = list(entries, |e| {
        e.key.map(|(key, digest)| (key, digest.to_vec())).unzip()
    })
    .into_iter()
    .unzip();
    session
        .client
        .execute(
            &session.fixed.log,
            &[
                &list(entries, |e| revision_sql(e.decided.header.revision)),
                &list(entries, |e| e.decided.header.time.as_micros()),
                &list(entries, |e| e.decided.committed.hash.0.as_slice()),
                &list(entries, |e| e.decided.header.previous.0.as_slice()),
                &list(entries, |e| e.decided.header.housekeeping),
                &list(entries, |e| e.decided.header.schema.is_some()),
                &list(entries, |e| e.decided.header.provenance.actor.as_str()),
                &list(entries, |e| e.decided.header.provenance.reason.as_deref()),
                &list(entries, |e| e.decided.header.provenance.metadata.as_deref()),
                &keys,
                &digests,
                &list(entries, |e| {
                    i64::try_from(e.decided.committed.deleted_count).unwrap_or(i64::MAX)
                }),
                &list(entries, |e| e.decided.committed.deletion_complete),
                &list(entries, |e| e.decided.block.as_slice()),
                &batch,
            ],
        )
        .await?;
    Ok(())
}

/// Puts the head forward.
pub(super) async fn head(session: &Session, head: Head) -> Result<(), Failure> {
    let (revision, hash) = (revision_sql(head.revision), head.hash.0.as_slice());
    let schema_revision = revision_sql(head.schema_revision);
    let time = head.time.as_micros();
    session
        .client
        .execute(
            &session.fixed.head,
            &[&revision, &time, &hash, &schema_revision],
        )
        .await?;
    Ok(())
}
