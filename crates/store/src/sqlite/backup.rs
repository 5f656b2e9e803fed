//! Copies of a running store.
//!
//! The copy is read within one read transaction, so it is the store at one revision however many commits go on
//! meanwhile, and SQLite never has to begin anew. It is written beside its path and renamed when it is complete, with a
//! history id of its own: a token of the original is not one of the copy.

use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::open::{beside, private, publish, refuse_left_over, verify_tail};
use super::read::in_transaction;
use super::verify::{self, Verified};
use crate::error::{BackupError, Source, StoreError};
use crate::store::{BackupProgress, StoreIdentity};

/// Pages that are copied between two reports of progress.
const STEP_PAGES: i32 = 1_024;

/// Copies the database of `from` to a new file.
pub(super) fn backup(
    from: &Connection,
    to: &Path,
    progress: &mut dyn FnMut(BackupProgress),
) -> Result<StoreIdentity, BackupError> {
    named(to, |partial| {
        let of_copy = |from: &Connection| copy(from, partial, progress);
        within_one(from, of_copy)
    })
}

/// As [`backup`]; the copy gets its name only once it was read as a whole and found to hold what the original does at that revision.
pub(super) fn backup_verified(
    from: &Connection,
    to: &Path,
    progress: &mut dyn FnMut(BackupProgress),
) -> Result<Verified, BackupError> {
    named(to, |partial| {
        let expected = within_one(from, |from| {
            copy(from, partial, progress)?;
            Ok(verify::digest(from)?)
        })?;
        // After the transaction: SQLite's log can be begun anew meanwhile, however long this takes.
        verify::copy(partial, expected).map_err(|error| CopyError(Box::new(error)))
    })
}

/// Reads a store at one revision.
fn within_one<T>(
    from: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, CopyError>,
) -> Result<T, CopyError> {
    in_transaction(from, |from| {
        // A read transaction begins with its first read.
        from.query_row("SELECT 1 FROM identity", [], |_| Ok(()))?;
        work(from)
    })
}

/// Has a file written beside `to`, and gives it that name once it is whole.
fn named<T>(
    to: &Path,
    write: impl FnOnce(&Path) -> Result<T, CopyError>,
) -> Result<T, BackupError> {
    let refuse_existing = || {
        if to.exists() {
            let path = to.display().to_string();
            return Err(BackupError::Exists { path });
        }
        refuse_left_over(to).map_err(BackupError::LeftOver)
    };
    refuse_existing()?;
    let partial = &beside(to, ".partial");
    let published = write(partial).and_then(|written| {
        refuse_existing().map_err(|error| CopyError(Box::new(error)))?;
        publish(partial, to).map_err(|error| CopyError(Box::new(error)))?;
        Ok(written)
    });
    published.map_err(|CopyError(source)| {
        // What is left of the attempt is of no use to anybody; the error that ended it is the one to tell.
        let _ = std::fs::remove_file(partial);
        BackupError::Write {
            path: to.display().to_string(),
            source,
        }
    })
}

fn copy(
    from: &Connection,
    to: &Path,
    progress: &mut dyn FnMut(BackupProgress),
) -> Result<StoreIdentity, CopyError> {
    match std::fs::remove_file(to) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(CopyError(Box::new(error))),
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    private(to).map_err(|error| CopyError(Box::new(error)))?;
    let mut copy = Connection::open_with_flags(to, flags)?;
    {
        let backup = Backup::new(from, &mut copy)?;
        loop {
            let step = backup.step(STEP_PAGES)?;
            let now = backup.progress();
            let pages = u64::try_from(now.pagecount).unwrap_or_default();
            let remaining = u64::try_from(now.remaining).unwrap_or_default();
            progress(BackupProgress {
                pages_done: pages.saturating_sub(remaining),
                pages,
            });
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                // Nobody else has the copy, and the original is read within a transaction.
                StepResult::Busy | StepResult::Locked => {
                    return Err(CopyError("the copy is locked".into()));
                }
                other => return Err(CopyError(format!("SQLite answered {other:?}").into())),
            }
        }
    }
    // One file, without a log beside it; opening it as a store brings that back.
    copy.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL")?;
    copy.execute("UPDATE identity SET history_id = randomblob(8)", [])?;
    let (identity, _) = verify_tail(&copy)?;
    copy.close().map_err(|(_, error)| error)?;
    Ok(identity)
}

struct CopyError(Source);

impl From<rusqlite::Error> for CopyError {
    fn from(error: rusqlite::Error) -> Self {
        Self(Box::new(error))
    }
}

impl From<StoreError> for CopyError {
    fn from(error: StoreError) -> Self {
        Self(Box::new(error))
    }
}
