//! A whole file, verified: its pages, its log from the first entry on, and what it holds.

use std::ops::ControlFlow;
use std::path::Path;

use model::{Revision, Timestamp};
use rusqlite::Connection;

use super::open::{OpenError, open_source, verify_tail};
use super::read;
use crate::digest::Digest;
use crate::error::{LogError, StoreError};
use crate::store::{LogQuery, StoreIdentity};

/// Entries, and bytes of them, that are verified together.
const ENTRIES_MAX: usize = 1_000;
const BYTES_MAX: usize = 16 << 20;

/// What a file is that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Which store it is, and its history.
    pub identity: StoreIdentity,
    /// The newest commit.
    pub head: Revision,
    /// Its time.
    pub time: Timestamp,
    /// The commits in its log.
    pub entries: u64,
    /// What it holds.
    pub digest: Digest,
}

/// Why a file is no store that can be relied on.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is no store, or of a later version.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It is not as it was written, or cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It does not hold what the original did at the same revision.
    #[error("the copy has {found} relationships, the original {expected}, or others")]
    Differs {
        /// How many it has.
        found: u64,
        /// How many it should have.
        expected: u64,
    },
}

/// Verifies the file at `path`, which may be in use.
pub(super) fn file(path: &Path) -> Result<Verified, VerifyError> {
    let connection = open_source(path)?;
    Ok(read::in_transaction(&connection, whole)?)
}

/// As [`file`], and holds it to the digest of its original.
pub(super) fn copy(path: &Path, expected: Digest) -> Result<Verified, VerifyError> {
    let verified = file(path)?;
    if verified.digest != expected {
        return Err(VerifyError::Differs {
            found: verified.digest.count(),
            expected: expected.count(),
        });
    }
    Ok(verified)
}

/// The digest of all relationships.
pub(super) fn digest(connection: &Connection) -> Result<Digest, StoreError> {
    let mut digest = Digest::default();
    read::scan(connection, &mut |_, row| {
        digest.add_row(&row);
        ControlFlow::Continue(())
    })?;
    Ok(digest)
}

fn whole(connection: &Connection) -> Result<Verified, StoreError> {
    let pages: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if pages != "ok" {
        return Err(StoreError::Corrupt { detail: pages });
    }
    let (identity, head) = verify_tail(connection)?;
    Ok(Verified {
        identity,
        head: head.revision,
        time: head.time,
        entries: log(connection, head.revision)?,
        digest: digest(connection)?,
    })
}

/// How many entries the log has, each of which follows the one before it, and is as it was written.
fn log(connection: &Connection, head: Revision) -> Result<u64, StoreError> {
    let (mut after, mut previous, mut count) = (Revision(0), None, 0);
    while after < head {
        let query = LogQuery {
            after,
            entries_max: ENTRIES_MAX,
            bytes_max: BYTES_MAX,
        };
        let entries = match read::log(connection, query) {
            Ok(entries) => entries,
            Err(LogError::Trimmed { oldest }) if after == Revision(0) => {
                after = Revision(oldest.0.saturating_sub(1));
                continue;
            }
            Err(LogError::Store(error)) => return Err(error),
            Err(error) => return Err(corrupt(&error)),
        };
        for entry in &entries {
            let follows = previous.is_none_or(|hash| hash == entry.previous);
            if entry.revision != after.next() || !follows || entry.computed_hash() != entry.hash {
                let revision = entry.revision;
                return Err(corrupt(&format!(
                    "revision {revision} of the log is not as it was written"
                )));
            }
            (after, previous, count) = (entry.revision, Some(entry.hash), count + 1);
        }
        if entries.is_empty() {
            return Err(corrupt(&"the log ends before its head"));
        }
    }
    Ok(count)
}

fn corrupt(detail: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt {
        detail: detail.to_string(),
    }
}
