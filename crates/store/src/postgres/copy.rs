//! Copying from a database, and to one that was migrated and holds nothing. All of a copy is one transaction, so that nobody
//! sees a part of it.

use std::ops::ControlFlow;

use futures_util::StreamExt as _;
use model::{RelationshipKey, Revision};
use tokio::runtime::Runtime;
use tokio_postgres::binary_copy::BinaryCopyOutStream;

use super::codec::{self, revision_sql};
use super::config::PostgresConfig;
use super::connect::{Purpose, connect};
use super::failure::{Failure, damaged};
use super::group::Entry;
use super::open::PostgresOpenError;
use super::overlay::Write;
use super::session::Session;
use super::shared::{IDENTITY, identity};
use super::write::RecordWrite;
use super::{PostgresStore, audit, migrate, scan, write};
use crate::audit::{AuditQuery, AuditState, Entry as AuditEntry, Hash, Place, StoredCheckpoint};
use crate::commit::LogEntry;
use crate::commit::changes::Found;
use crate::commit::draft::Decided;
use crate::copy::{CopyError, Source, Target};
use crate::digest::Digest;
use crate::error::{LogError, StoreError};
use crate::store::{Head, LogQuery, ScanHeader, ScanRow, Store, StoreIdentity, StoredSchema};

/// Rows that are sent together.
const ROWS: usize = 8_192;
/// Entries of the past that are sent together.
const ENTRIES: usize = 256;

impl Source for PostgresStore {
    fn identity(&self) -> StoreIdentity {
        Store::identity(self)
    }

    fn scan(
        &self,
        sink: &mut dyn FnMut(&ScanHeader, ScanRow<'_>) -> ControlFlow<()>,
    ) -> Result<ScanHeader, StoreError> {
        Store::scan(self, sink)
    }

    fn log(&self, query: LogQuery) -> Result<Vec<LogEntry>, LogError> {
        let reading = self.read(move |transaction| Box::pin(super::read::log(transaction, query)));
        self.threads.wait(reading).ok_or(StoreError::Closed)?
    }

    fn schema(&self, at: Revision) -> Result<Option<StoredSchema>, LogError> {
        let at = Some(at);
        let reading = self.read(move |transaction| Box::pin(super::read::schema(transaction, at)));
        self.threads.wait(reading).ok_or(StoreError::Closed)?
    }

    fn audit_state(&self) -> Result<Option<AuditState>, StoreError> {
        let reading = self.read(|transaction| Box::pin(audit::state(transaction)));
        let state = self.threads.wait(reading).ok_or(StoreError::Closed)?;
        state.map(Some)
    }

    fn audit_entries(&self, query: AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let reading = self.read(move |transaction| Box::pin(audit::entries(transaction, query)));
        self.threads.wait(reading).ok_or(StoreError::Closed)?
    }

    fn audit_hashes(&self, places: Vec<Place>) -> Result<Vec<Hash>, StoreError> {
        let places = std::sync::Arc::new(places);
        let reading = self.read(move |transaction| {
            let places = std::sync::Arc::clone(&places);
            Box::pin(async move { audit::hashes(transaction, &places).await })
        });
        self.threads.wait(reading).ok_or(StoreError::Closed)?
    }

    fn audit_checkpoints(
        &self,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<StoredCheckpoint>, StoreError> {
        let reading = self
            .read(move |transaction| Box::pin(audit::checkpoints(transaction, after, count_max)));
        self.threads.wait(reading).ok_or(StoreError::Closed)?
    }
}

/// A database that becomes a store when it is finished. Not to be dropped within another runtime.
pub struct PostgresTarget {
    runtime: Runtime,
    session: Session,
    rows: Vec<(RelationshipKey, Write<Found>)>,
    past: Vec<LogEntry>,
    head: Head,
}

impl PostgresTarget {
    /// Begins a copy, as the role that owns the tables.
    ///
    /// # Errors
    /// [`CopyError::Exists`] if the database holds commits, [`CopyError::Target`] if it cannot be used.
    pub fn begin(config: &PostgresConfig) -> Result<Self, CopyError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| CopyError::Target(Box::new(error)))?;
        let place = config.place();
        let session = runtime.block_on(async {
            let client = connect(config, Purpose::Own, None).await?;
            let format = migrate::read_format(&client, &place).await;
            let format = format.map_err(|error| CopyError::Target(Box::new(error)))?;
            if !format.can_be_served() {
                let error = PostgresOpenError::NotMigrated {
                    place: place.clone(),
                    found: format.found,
                    known: format.known,
                };
                return Err(CopyError::Target(Box::new(error)));
            }
            let session = Session::new(client).await?;
            session.client.batch_execute("BEGIN").await?;
            let head = session.client.query_opt(&session.fixed.lock, &[]).await?;
            let head = head.ok_or_else(|| Failure::from(damaged("the head is gone")))?;
            if codec::head(&head).map_err(Failure::from)? != Head::EMPTY {
                return Err(CopyError::Exists { place });
            }
            Ok(session)
        })?;
        Ok(Self {
            runtime,
            session,
            rows: Vec::new(),
            past: Vec::new(),
            head: Head::EMPTY,
        })
    }

    fn write_rows(&mut self) -> Result<(), CopyError> {
        let rows = std::mem::take(&mut self.rows);
        let writing = write::write_rows(&self.session, &rows);
        Ok(self.runtime.block_on(writing)?)
    }

    fn write_log(&mut self, entries: &[LogEntry]) -> Result<(), CopyError> {
        let mut decided = Vec::with_capacity(entries.len());
        for entry in entries {
            let one = Decided::of_entry(entry, self.head.schema_revision);
            self.head = one.head;
            decided.push(Entry {
                decided: one,
                key: None,
                audit: None,
            });
        }
        let writing = write::log(&self.session, &decided, b"copied");
        Ok(self.runtime.block_on(writing)?)
    }

    fn write_past(&mut self) -> Result<(), CopyError> {
        let past = std::mem::take(&mut self.past);
        self.write_log(&past)
    }

    fn write_records(&self, records: &[RecordWrite]) -> Result<(), CopyError> {
        let writing = write::records(&self.session, records);
        Ok(self.runtime.block_on(writing)?)
    }
}

impl Target for PostgresTarget {
    fn row(&mut self, row: &ScanRow<'_>) -> Result<(), CopyError> {
        let relationship = row.to_relationship().map_err(StoreError::from)?;
        let found = Found {
            revision: row.revision,
            relationship,
        };
        self.rows
            .push((found.relationship.key(), Write::Insert(found)));
        if self.rows.len() < ROWS {
            return Ok(());
        }
        self.write_rows()
    }

    fn state(
        &mut self,
        header: &ScanHeader,
        before: Option<&StoredSchema>,
    ) -> Result<(), CopyError> {
        self.write_rows()?;
        let records = header.records.iter().map(|record| {
            let value = (record.value.clone(), header.head.revision);
            (record.key.clone(), Write::Insert(value))
        });
        self.write_records(&records.collect::<Vec<_>>())?;
        let Some(before) = before else {
            return Ok(());
        };
        self.head.schema_revision = before.revision;
        let sql = "INSERT INTO schema_version (revision, text) VALUES ($1, $2)";
        self.runtime.block_on(
            self.session
                .execute(sql, &[&revision_sql(before.revision), &before.text]),
        )?;
        Ok(())
    }

    fn entry(&mut self, entry: &LogEntry, is_past: bool) -> Result<(), CopyError> {
        if is_past {
            self.past.push(entry.clone());
            return if self.past.len() < ENTRIES {
                Ok(())
            } else {
                self.write_past()
            };
        }
        self.write_past()?;
        self.rows = entry
            .changes
            .iter()
            .filter_map(|change| {
                let key = change.relationship()?.key();
                let found = change.after.as_ref().map(|after| Found {
                    relationship: after.clone(),
                    revision: entry.revision,
                });
                let write = match (found, &change.before) {
                    (Some(found), None) => Write::Insert(found),
                    (Some(found), Some(_)) => Write::Replace(found),
                    (None, _) => Write::Delete,
                };
                Some((key, write))
            })
            .collect();
        self.write_rows()?;
        let records = entry.records.iter().map(|change| {
            let write = match &change.after {
                Some(value) => Write::Insert((value.clone(), entry.revision)),
                None => Write::Delete,
            };
            (change.key.clone(), write)
        });
        self.write_records(&records.collect::<Vec<_>>())?;
        self.write_log(std::slice::from_ref(entry))
    }

    fn audit_begin(&mut self, begin: u64) -> Result<(), CopyError> {
        // The head is that of an empty store still.
        let sql = "UPDATE head SET audit_begin = $1, audit_size = revision - $1";
        self.runtime
            .block_on(self.session.execute(sql, &[&audit::sql(begin)]))?;
        Ok(())
    }

    fn audit_entries(&mut self, entries: &[AuditEntry]) -> Result<(), CopyError> {
        let all: Vec<&AuditEntry> = entries.iter().collect();
        self.runtime.block_on(async {
            audit::put(&self.session, &all).await?;
            audit::complete(&self.session, all.iter().map(|entry| entry.index)).await
        })?;
        Ok(())
    }

    fn audit_erased(&mut self, entry: &AuditEntry) -> Result<(), CopyError> {
        let bodies = [(entry.index, entry.body.clone())].into();
        self.runtime
            .block_on(audit::replace_bodies(&self.session, &bodies))?;
        Ok(())
    }

    fn audit_checkpoints(&mut self, checkpoints: &[StoredCheckpoint]) -> Result<(), CopyError> {
        for StoredCheckpoint { size, note } in checkpoints {
            let keeping = async {
                let size = audit::sql(*size);
                self.session.execute(audit::KEEP, &[&size, note]).await
            };
            self.runtime.block_on(keeping)?;
        }
        Ok(())
    }

    fn finish(&mut self, source: StoreIdentity) -> Result<StoreIdentity, CopyError> {
        self.write_past()?;
        let head = self.head;
        let finished = self.runtime.block_on(async {
            write::head(&self.session, head).await?;
            let sql = "UPDATE identity SET store_id = $1";
            let store = source.store.0.as_slice();
            self.session.execute(sql, &[&store]).await?;
            let row = self.session.query_first(IDENTITY, &[]).await?;
            Ok::<_, Failure>(identity(row.as_ref())?)
        });
        Ok(finished?)
    }

    fn digest(&mut self) -> Result<Digest, CopyError> {
        let digest = self.runtime.block_on(async {
            let copy = self.session.client.copy_out(&scan::copy_all()).await?;
            let mut rows = std::pin::pin!(BinaryCopyOutStream::new(copy, &scan::types()));
            let mut digest = Digest::default();
            while let Some(row) = rows.next().await {
                digest.add_row(&scan::scan_row(&row?)?);
            }
            Ok::<_, Failure>(digest)
        });
        Ok(digest?)
    }

    fn publish(&mut self) -> Result<(), CopyError> {
        Ok(self
            .runtime
            .block_on(self.session.client.batch_execute("COMMIT"))?)
    }
}

impl From<Failure> for CopyError {
    fn from(failure: Failure) -> Self {
        Self::Target(Box::new(failure.error))
    }
}

impl From<tokio_postgres::Error> for CopyError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Target(Box::new(StoreError::from(error)))
    }
}
