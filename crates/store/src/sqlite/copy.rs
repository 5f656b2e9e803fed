//! Copying from a file, also while a server has it open, and to a new one.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use model::{Relationship, Revision};
use rusqlite::{Connection, OpenFlags, params};

use super::codec::{KEY_CONDITION, bind_key, bind_traits, revision_sql};
use super::open::{
    OpenError, beside, migrate, open_source, private, publish, refuse_left_over, verify_tail,
};
use super::{apply, audit, read};
use crate::audit::{AuditQuery, AuditState, Entry, Hash, Place, StoredCheckpoint};
use crate::commit::draft::Decided;
use crate::commit::{LogEntry, Record};
use crate::copy::{CopyError, Source, Target};
use crate::digest::Digest;
use crate::error::{LogError, StoreError};
use crate::store::{Head, LogQuery, ScanHeader, ScanRow, StoreIdentity, StoredSchema};

/// A store's file that is only read.
pub struct SqliteSource {
    connection: Connection,
    identity: StoreIdentity,
}

impl SqliteSource {
    /// Opens the file.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let connection = open_source(path)?;
        let (identity, _) = verify_tail(&connection).map_err(|error| OpenError::Damaged {
            path: path.to_owned(),
            detail: error.to_string(),
        })?;
        Ok(Self {
            connection,
            identity,
        })
    }
}

impl SqliteSource {
    /// How many relationships there are.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn relationship_count(&self) -> Result<u64, StoreError> {
        read::relationship_count(&self.connection)
    }

    /// The newest commit.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn head(&self) -> Result<Head, StoreError> {
        read::head(&self.connection)
    }
}

impl Source for SqliteSource {
    fn identity(&self) -> StoreIdentity {
        self.identity
    }

    fn scan(
        &self,
        sink: &mut dyn FnMut(&ScanHeader, ScanRow<'_>) -> ControlFlow<()>,
    ) -> Result<ScanHeader, StoreError> {
        read::in_transaction(&self.connection, |connection| read::scan(connection, sink))
    }

    fn log(&self, query: LogQuery) -> Result<Vec<LogEntry>, LogError> {
        read::in_transaction(&self.connection, |connection| read::log(connection, query))
    }

    fn schema(&self, at: Revision) -> Result<Option<StoredSchema>, LogError> {
        read::in_transaction(&self.connection, |connection| {
            read::schema(connection, Some(at))
        })
    }

    fn audit_state(&self) -> Result<Option<AuditState>, StoreError> {
        audit::read_state(&self.connection)
    }

    fn audit_entries(&self, query: AuditQuery) -> Result<Vec<Entry>, StoreError> {
        read::in_transaction(&self.connection, |connection| {
            audit::entries(connection, query)
        })
    }

    fn audit_hashes(&self, places: Vec<Place>) -> Result<Vec<Hash>, StoreError> {
        read::in_transaction(&self.connection, |connection| {
            audit::hashes(connection, &places)
        })
    }

    fn audit_checkpoints(
        &self,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<StoredCheckpoint>, StoreError> {
        read::in_transaction(&self.connection, |connection| {
            audit::checkpoints(connection, after, count_max)
        })
    }
}

/// A file that becomes a store when it is finished. It is written beside its path until then, without a log: an attempt that is
/// given up leaves nothing.
pub struct SqliteTarget {
    path: PathBuf,
    partial: PathBuf,
    connection: Connection,
    schema_revision: Revision,
}

impl SqliteTarget {
    /// Begins a store at `path`.
    ///
    /// # Errors
    /// [`CopyError::Exists`] if there is a file, [`CopyError::LeftOver`] if there is the log of one, [`CopyError::Target`] if none can
    /// be made.
    pub fn create(path: &Path) -> Result<Self, CopyError> {
        if path.exists() {
            return Err(CopyError::Exists {
                place: path.display().to_string(),
            });
        }
        refuse_left_over(path).map_err(CopyError::LeftOver)?;
        let partial = beside(path, ".partial");
        match std::fs::remove_file(&partial) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(CopyError::Target(Box::new(error))),
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        private(&partial).map_err(|error| CopyError::Target(Box::new(error)))?;
        let mut connection = Connection::open_with_flags(&partial, flags)?;
        migrate(path, &mut connection).map_err(|error| CopyError::Target(Box::new(error)))?;
        connection.execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA secure_delete = ON; PRAGMA cache_size = -65536; BEGIN",
        )?;
        Ok(Self {
            path: path.to_owned(),
            partial,
            connection,
            schema_revision: Revision(0),
        })
    }

    fn put(&self, relationship: &Relationship, revision: Revision) -> Result<(), CopyError> {
        let sql = "INSERT OR REPLACE INTO relationship VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)";
        let mut statement = self.connection.prepare_cached(sql)?;
        bind_key(&mut statement, relationship)?;
        bind_traits(&mut statement, relationship, revision)?;
        statement.raw_execute()?;
        Ok(())
    }

    fn put_record(&self, record: &Record, revision: Revision) -> Result<(), CopyError> {
        let sql = "INSERT OR REPLACE INTO record VALUES (?1, ?2, ?3, ?4)";
        self.connection.prepare_cached(sql)?.execute(params![
            record.key.kind(),
            record.key.key(),
            record.value,
            revision_sql(revision)
        ])?;
        Ok(())
    }

    fn put_schema(&self, schema: &StoredSchema) -> Result<(), CopyError> {
        let sql = "INSERT OR IGNORE INTO schema_version VALUES (?1, ?2)";
        self.connection
            .prepare_cached(sql)?
            .execute(params![revision_sql(schema.revision), schema.text])?;
        Ok(())
    }

    fn apply(&self, entry: &LogEntry) -> Result<(), CopyError> {
        for change in &entry.changes {
            match (&change.after, &change.before) {
                (Some(after), _) => self.put(after, entry.revision)?,
                (None, Some(before)) => {
                    let sql = format!("DELETE FROM relationship WHERE {KEY_CONDITION}");
                    let mut statement = self.connection.prepare_cached(&sql)?;
                    bind_key(&mut statement, before)?;
                    statement.raw_execute()?;
                }
                (None, None) => {}
            }
        }
        for change in &entry.records {
            match &change.after {
                Some(value) => {
                    let record = Record {
                        key: change.key.clone(),
                        value: value.clone(),
                    };
                    self.put_record(&record, entry.revision)?;
                }
                None => {
                    self.connection
                        .prepare_cached("DELETE FROM record WHERE kind = ?1 AND key = ?2")?
                        .execute([change.key.kind(), change.key.key()])?;
                }
            }
        }
        Ok(())
    }
}

impl Target for SqliteTarget {
    fn row(&mut self, row: &ScanRow<'_>) -> Result<(), CopyError> {
        let relationship = row.to_relationship().map_err(StoreError::from)?;
        self.put(&relationship, row.revision)
    }

    fn state(
        &mut self,
        header: &ScanHeader,
        before: Option<&StoredSchema>,
    ) -> Result<(), CopyError> {
        for record in &header.records {
            self.put_record(record, header.head.revision)?;
        }
        if let Some(before) = before {
            self.put_schema(before)?;
            self.schema_revision = before.revision;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &LogEntry, is_past: bool) -> Result<(), CopyError> {
        if !is_past {
            self.apply(entry)?;
        }
        let decided = Decided::of_entry(entry, self.schema_revision);
        self.schema_revision = decided.head.schema_revision;
        apply::insert_entry(&self.connection, &decided, None)?;
        Ok(())
    }

    fn audit_begin(&mut self, begin: u64) -> Result<(), CopyError> {
        let begin = revision_sql(Revision(begin));
        self.connection
            .execute("UPDATE audit_log SET begin = ?1", [begin])?;
        Ok(())
    }

    fn audit_entries(&mut self, entries: &[Entry]) -> Result<(), CopyError> {
        for entry in entries {
            audit::put(&self.connection, entry).map_err(of_target)?;
        }
        Ok(())
    }

    fn audit_erased(&mut self, entry: &Entry) -> Result<(), CopyError> {
        audit::replace_body(&self.connection, entry.index, &entry.body).map_err(of_target)
    }

    fn audit_checkpoints(&mut self, checkpoints: &[StoredCheckpoint]) -> Result<(), CopyError> {
        for checkpoint in checkpoints {
            audit::keep(&self.connection, checkpoint).map_err(of_target)?;
        }
        Ok(())
    }

    fn finish(&mut self, source: StoreIdentity) -> Result<StoreIdentity, CopyError> {
        let sql = "UPDATE identity SET store_id = ?1";
        self.connection.execute(sql, [source.store.0])?;
        self.connection.execute_batch("COMMIT")?;
        let (identity, _) =
            verify_tail(&self.connection).map_err(|error| CopyError::Target(Box::new(error)))?;
        Ok(identity)
    }

    fn digest(&mut self) -> Result<Digest, CopyError> {
        let mut digest = Digest::default();
        let scanned = read::in_transaction(&self.connection, |connection| {
            read::scan(connection, &mut |_, row| {
                digest.add_row(&row);
                ControlFlow::Continue(())
            })
        });
        scanned.map_err(|error| CopyError::Target(Box::new(error)))?;
        Ok(digest)
    }

    fn publish(&mut self) -> Result<(), CopyError> {
        if self.path.exists() {
            return Err(CopyError::Exists {
                place: self.path.display().to_string(),
            });
        }
        refuse_left_over(&self.path).map_err(CopyError::LeftOver)?;
        publish(&self.partial, &self.path).map_err(|error| CopyError::Target(Box::new(error)))
    }
}

impl Drop for SqliteTarget {
    fn drop(&mut self) {
        // Once it is published, there is none.
        let _ = std::fs::remove_file(&self.partial);
    }
}

fn of_target(error: StoreError) -> CopyError {
    CopyError::Target(Box::new(error))
}

impl From<rusqlite::Error> for CopyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Target(Box::new(StoreError::from(error)))
    }
}
