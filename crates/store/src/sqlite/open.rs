//! Opening a file: whose it is, whether it is whole, and what form it has.
//!
//! A store that comes up empty or short where there was data is worse than one that does not come up, so every doubt
//! is an error that names the file. A new store is made beside its path and renamed there when it is complete: a file
//! of ours is never empty, and an empty file is never ours.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{HistoryId, StoreId};
use rusqlite::{Connection, OpenFlags, params};

use super::codec::{hash, revision, timestamp};
use super::file_lock::FileLock;
use super::{audit, read};
use crate::commit::Provenance;
use crate::commit::canonical::EntryHeader;
use crate::error::StoreError;
use crate::store::{Head, StoreIdentity};

/// "RMIT" in the file's header: the file is ours.
const APPLICATION_ID: u32 = 0x524d_4954;

/// The forms of the file, in order. A released one never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_records.sql"),
    include_str!("migrations/0003_audit.sql"),
];

/// How much of the log's end is verified when a file is opened.
const TAIL_ENTRIES_MAX: usize = 64;
const TAIL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long a connection waits for what another holds, as the statements that open one say too.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Prepared statements that a connection keeps: the fixed ones, and the usual patterns of deletions and preconditions.
const STATEMENTS_MAX: usize = 64;

/// Size of SQLite's header, and where in it the id of the application is.
const HEADER_BYTES: usize = 100;
const HEADER_MAGIC: &[u8] = b"SQLite format 3\0";
const APPLICATION_ID_AT: usize = 68;

/// Why a file cannot be used as a store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another store of this one, has it.
    #[error("`{path}` is in use by another process")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is no SQLite database.
    #[error("`{path}` is not a SQLite database")]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The log of a database that is not there any more: SQLite would take it for that of the new one.
    #[error(
        "`{path}` is left of a store that was there before, and would be mixed into the new one: move it away"
    )]
    LeftOver {
        /// The log.
        path: PathBuf,
    },
    /// It is a database of something else.
    #[error("`{path}` is a database of another application (application id {application_id:#x})")]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// Whose it says it is.
        application_id: u32,
    },
    /// A later version made it.
    #[error("`{path}` has format {found}, this version knows formats up to {known}")]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: usize,
        /// The newest that is known.
        known: usize,
    },
    /// It came to its form by other steps than those of this version.
    #[error("`{path}` was brought to format {number} by a different migration")]
    OtherMigration {
        /// The file.
        path: PathBuf,
        /// The step that differs.
        number: usize,
    },
    /// It is damaged or cut short; restore it from a backup.
    #[error("`{path}` is damaged: {detail}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The operating system refused it.
    #[error("cannot open `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// SQLite refused it.
    #[error("cannot open `{path}`")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: rusqlite::Error,
    },
}

/// A file that is ours, whole, and of the newest form.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) identity: StoreIdentity,
    pub(super) head: Head,
    /// The revision after which the audit log begins.
    pub(super) audit_begin: u64,
    pub(super) file_lock: Option<FileLock>,
    /// Where it is, with links followed; none in memory.
    pub(super) path: Option<PathBuf>,
}

/// Opens the file at `path`, and makes it if there is none.
pub(super) fn open_file(path: &Path) -> Result<Opened, OpenError> {
    let path = &resolve(path)?;
    let file_lock =
        FileLock::take(&beside(path, ".lock")).map_err(|error| io_error(path, error))?;
    if file_lock.is_none() {
        return Err(OpenError::InUse {
            path: path.to_owned(),
        });
    }
    match File::open(path) {
        Ok(file) => check_header(path, file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path)?,
        Err(error) => return Err(io_error(path, error)),
    }
    let connection = open_existing(path)?;
    let (identity, head) = verify_tail(&connection).map_err(|error| store_error(path, error))?;
    let audit_begin = audit::begin(&connection).map_err(|error| store_error(path, error))?;
    Ok(Opened {
        connection,
        identity,
        head,
        audit_begin,
        file_lock,
        path: Some(path.clone()),
    })
}

/// A new store in memory.
pub(super) fn open_memory() -> Result<Opened, OpenError> {
    let path = Path::new(":memory:");
    let mut connection = Connection::open_in_memory().map_err(|error| sqlite_error(path, error))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    migrate(path, &mut connection)?;
    let (identity, head) = verify_tail(&connection).map_err(|error| store_error(path, error))?;
    let audit_begin = audit::begin(&connection).map_err(|error| store_error(path, error))?;
    Ok(Opened {
        connection,
        identity,
        head,
        audit_begin,
        file_lock: None,
        path: None,
    })
}

/// One more connection to an open store, which cannot write.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch(
        "PRAGMA cache_size = -16384; PRAGMA busy_timeout = 5000; PRAGMA trusted_schema = OFF",
    )?;
    Ok(connection)
}

/// A store's file to copy from, which may be in use.
pub(super) fn open_source(path: &Path) -> Result<Connection, OpenError> {
    let file = File::open(path).map_err(|error| io_error(path, error))?;
    check_header(path, file)?;
    let connection = open_reader(path).map_err(|error| sqlite_error(path, error))?;
    form(path, &connection)?;
    Ok(connection)
}

/// Follows links, so that one file has one lock whatever it is called.
fn resolve(path: &Path) -> Result<PathBuf, OpenError> {
    match fs::canonicalize(path) {
        Ok(path) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = path
                .file_name()
                .ok_or_else(|| io_error(path, io::ErrorKind::InvalidFilename.into()))?;
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            let folder = fs::canonicalize(folder.unwrap_or(Path::new(".")))
                .map_err(|error| io_error(path, error))?;
            Ok(folder.join(name))
        }
        Err(error) => Err(io_error(path, error)),
    }
}

/// Nothing may get the name `path` while a log of what had that name before is there.
pub(super) fn refuse_left_over(path: &Path) -> Result<(), OpenError> {
    for suffix in ["-wal", "-journal"] {
        let path = beside(path, suffix);
        match path.try_exists() {
            Ok(false) => {}
            Ok(true) => return Err(OpenError::LeftOver { path }),
            Err(error) => return Err(io_error(&path, error)),
        }
    }
    Ok(())
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn check_header(path: &Path, file: File) -> Result<(), OpenError> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    file.take(HEADER_BYTES as u64)
        .read_to_end(&mut header)
        .map_err(|error| io_error(path, error))?;
    if header.len() < HEADER_BYTES || !header.starts_with(HEADER_MAGIC) {
        return Err(OpenError::NotADatabase {
            path: path.to_owned(),
        });
    }
    let id = header
        .get(APPLICATION_ID_AT..)
        .and_then(|rest| rest.first_chunk());
    let application_id = u32::from_be_bytes(id.copied().unwrap_or_default());
    if application_id != APPLICATION_ID {
        return Err(OpenError::NotOurs {
            path: path.to_owned(),
            application_id,
        });
    }
    Ok(())
}

fn create(path: &Path) -> Result<(), OpenError> {
    refuse_left_over(path)?;
    let new = &beside(path, ".new");
    for leftover in [new.clone(), beside(new, "-journal")] {
        match fs::remove_file(&leftover) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error(&leftover, error)),
        }
    }
    let mut connection = Connection::open(new).map_err(|error| sqlite_error(path, error))?;
    connection
        .execute_batch("PRAGMA synchronous = FULL")
        .map_err(|error| sqlite_error(path, error))?;
    migrate(path, &mut connection)?;
    connection
        .close()
        .map_err(|(_, error)| sqlite_error(path, error))?;
    publish(new, path).map_err(|error| io_error(path, error))
}

/// Makes an empty file that its owner alone may read, for SQLite to fill: a copy holds all that the store does.
pub(super) fn private(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path).map(drop)
}

/// Gives a complete file its name, and makes that durable.
pub(super) fn publish(from: &Path, to: &Path) -> io::Result<()> {
    File::open(from)?.sync_all()?;
    fs::rename(from, to)?;
    // A bare file name has the empty path as its parent, which means the folder one is in.
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn open_existing(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |error| sqlite_error(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection
        .execute_batch(
            "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA wal_autocheckpoint = 4096; \
             PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY; \
             PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON",
        )
        .map_err(sqlite)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    migrate(path, &mut connection)?;
    if checkpoint(&connection).map_err(sqlite)? {
        check_length(path, &connection)?;
    }
    Ok(connection)
}

/// Moves what the write-ahead log holds into the file; whether all of it got there. With a full disk, or while a tool
/// reads the file, it does not, and the store works all the same.
fn checkpoint(connection: &Connection) -> rusqlite::Result<bool> {
    let is_busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        row.get::<_, bool>(0)
    });
    match is_busy {
        Ok(is_busy) => Ok(!is_busy),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => Ok(false),
        Err(error) => Err(error),
    }
}

fn check_length(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let size = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let pages = size("PRAGMA page_count").map_err(|error| sqlite_error(path, error))?;
    let page_bytes = size("PRAGMA page_size").map_err(|error| sqlite_error(path, error))?;
    let expected = u64::try_from(pages.saturating_mul(page_bytes)).unwrap_or_default();
    let found = fs::metadata(path)
        .map_err(|error| io_error(path, error))?
        .len();
    if found < expected {
        let detail = format!("it has {found} bytes of {expected}");
        return Err(OpenError::Damaged {
            path: path.to_owned(),
            detail,
        });
    }
    Ok(())
}

/// The form of the database, which this version knows.
fn form(path: &Path, connection: &Connection) -> Result<usize, OpenError> {
    let form = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    let found =
        usize::try_from(form.map_err(|error| sqlite_error(path, error))?).unwrap_or(usize::MAX);
    if found > MIGRATIONS.len() {
        return Err(OpenError::NewerFormat {
            path: path.to_owned(),
            found,
            known: MIGRATIONS.len(),
        });
    }
    Ok(found)
}

/// Brings the database to the newest form, one transaction a step.
pub(super) fn migrate(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let sqlite = |error| sqlite_error(path, error);
    let found = form(path, connection)?;
    for (at, sql) in MIGRATIONS.iter().enumerate() {
        let number = at + 1;
        let checksum = *blake3::hash(sql.as_bytes()).as_bytes();
        if number > found {
            migrate_to(connection, number, sql, checksum).map_err(sqlite)?;
            continue;
        }
        let query = "SELECT checksum FROM migration WHERE number = ?1";
        let applied: [u8; 32] = connection
            .query_row(query, [number as i64], |row| row.get(0))
            .map_err(sqlite)?;
        if applied != checksum {
            return Err(OpenError::OtherMigration {
                path: path.to_owned(),
                number,
            });
        }
    }
    Ok(())
}

fn migrate_to(
    connection: &mut Connection,
    number: usize,
    sql: &str,
    checksum: [u8; 32],
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    if number == 1 {
        transaction.execute_batch(
            "CREATE TABLE migration (number INTEGER PRIMARY KEY, checksum BLOB NOT NULL) STRICT",
        )?;
    }
    transaction.execute_batch(sql)?;
    if number == 1 {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        // SQLite draws from a stream cipher that the operating system seeds.
        transaction.execute(
            "INSERT INTO identity VALUES (1, randomblob(8), randomblob(8))",
            [],
        )?;
    }
    transaction.execute(
        "INSERT INTO migration VALUES (?1, ?2)",
        params![number as i64, checksum],
    )?;
    transaction.pragma_update(None, "user_version", number as i64)?;
    transaction.commit()
}

/// Reads who the store is and where it stands, and recomputes the hashes of the newest entries.
pub(super) fn verify_tail(connection: &Connection) -> Result<(StoreIdentity, Head), StoreError> {
    let identity =
        connection.query_row("SELECT store_id, history_id FROM identity", [], |row| {
            Ok(StoreIdentity {
                store: StoreId(row.get(0)?),
                history: HistoryId(row.get(1)?),
            })
        })?;
    let mut statement = connection.prepare(
        "SELECT l.revision, l.time, l.hash, l.previous, l.housekeeping, l.schema_changed, l.actor, l.reason, \
         l.metadata, l.changes, s.text FROM log_entry l LEFT JOIN schema_version s ON s.revision = l.revision \
         ORDER BY l.revision DESC",
    )?;
    let mut rows = statement.query([])?;
    let (mut entries, mut bytes) = (0, 0);
    let mut later = None;
    while let Some(row) = rows.next()? {
        let at = revision(row.get(0)?)?;
        let damaged = |what: &str| StoreError::Corrupt {
            detail: format!("revision {at} of the log {what}"),
        };
        let found: [u8; 32] = row.get(2)?;
        if later.is_some_and(|(next, previous)| next != at.next() || previous != found) {
            return Err(damaged("is not the one that the next one follows"));
        }
        let schema: Option<String> = row.get(10)?;
        if schema.is_some() != row.get::<_, bool>(5)? {
            return Err(damaged("lacks its schema"));
        }
        let previous: [u8; 32] = row.get(3)?;
        let provenance = Provenance {
            actor: row.get(6)?,
            reason: row.get(7)?,
            metadata: row.get(8)?,
            origin: None,
        };
        let header = EntryHeader {
            previous: hash(previous),
            revision: at,
            time: timestamp(row.get(1)?)?,
            housekeeping: row.get(4)?,
            provenance: &provenance,
            schema: schema.as_deref(),
        };
        let block = row.get_ref(9)?.as_blob().map_err(rusqlite::Error::from)?;
        if header.hash(block) != hash(found) {
            return Err(damaged("does not have its hash"));
        }
        later = Some((at, previous));
        entries += 1;
        bytes += block.len();
        if entries >= TAIL_ENTRIES_MAX || bytes >= TAIL_BYTES_MAX {
            break;
        }
    }
    Ok((identity, read::head(connection)?))
}

fn io_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io {
        path: path.to_owned(),
        source,
    }
}

fn sqlite_error(path: &Path, source: rusqlite::Error) -> OpenError {
    use rusqlite::ErrorCode;
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => OpenError::Damaged {
            path: path.to_owned(),
            detail: source.to_string(),
        },
        Some(_) | None => OpenError::Sqlite {
            path: path.to_owned(),
            source,
        },
    }
}

fn store_error(path: &Path, error: StoreError) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        detail: error.to_string(),
    }
}
