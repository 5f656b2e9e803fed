//! Opening a database: what form it has, whose it is, and whether the end of its log is as it was written.

use deadpool_postgres::Transaction;
use model::Revision;
use tokio::sync::watch;

use super::config::PostgresConfig;
use super::connect::{self, Purpose, connect};
use super::failure::{Failure, damaged};
use super::shared::{IDENTITY, Shared, identity, read_once};
use super::{migrate, read};
use crate::error::{LogError, StoreError};
use crate::store::{Head, LogQuery};

/// How much of the log's end is verified.
const TAIL_ENTRIES_MAX: u64 = 64;
const TAIL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a database cannot be used as a store.
#[derive(Debug, thiserror::Error)]
pub enum PostgresOpenError {
    /// It cannot be reached, or refuses.
    #[error("cannot use the database {place}")]
    Failed {
        /// The database.
        place: String,
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// It is older than version 13.
    #[error("the server of {place} is PostgreSQL {version}, version 13 or newer is needed")]
    OldServer {
        /// The database.
        place: String,
        /// The version of the server.
        version: i32,
    },
    /// Its texts are not UTF-8.
    #[error("the database {place} has the encoding {encoding}, `UTF8` is needed")]
    Encoding {
        /// The database.
        place: String,
        /// Its encoding.
        encoding: String,
    },
    /// It was never migrated, or is of a form that this version cannot serve any more.
    #[error(
        "the database {place} has format {found}, this version needs format {known}: run `remit store migrate`"
    )]
    NotMigrated {
        /// The database.
        place: String,
        /// Its form; 0 before the first migration.
        found: i32,
        /// The newest form that this version knows.
        known: i32,
    },
    /// A later version made it, and this one cannot use it.
    #[error(
        "the database {place} has format {found}, which versions from format {compatible_from} on can use; this one knows format {known}"
    )]
    NewerFormat {
        /// The database.
        place: String,
        /// Its form.
        found: i32,
        /// The oldest form whose programs can use it.
        compatible_from: i32,
        /// The newest form that this version knows.
        known: i32,
    },
    /// It came to its form by other steps than those of this version.
    #[error("the database {place} was brought to format {number} by a different migration")]
    OtherMigration {
        /// The database.
        place: String,
        /// The step that differs.
        number: i32,
    },
    /// A later version has committed to it what this one does not know.
    #[error("the database {place} has commits of a later version: {detail}")]
    NewerEntry {
        /// The database.
        place: String,
        /// Which of them, and how.
        detail: String,
    },
    /// The end of the log is not as it was written; restore it from a backup.
    #[error("the database {place} is damaged: {detail}")]
    Damaged {
        /// The database.
        place: String,
        /// What is wrong.
        detail: String,
    },
    /// The operating system gives no threads.
    #[error("cannot start the threads of the store")]
    Threads(#[source] std::io::Error),
}

impl PostgresOpenError {
    pub(super) fn failed(place: &str, failure: Failure) -> Self {
        Self::Failed {
            place: place.to_owned(),
            source: failure.error,
        }
    }
}

/// Opens the database and verifies the end of its log.
pub(super) async fn open(config: PostgresConfig) -> Result<(Shared, Head), PostgresOpenError> {
    let place = config.place();
    let failed = |failure: Failure| PostgresOpenError::failed(&place, failure);
    let client = connect(&config, Purpose::News, None)
        .await
        .map_err(failed)?;
    let format = migrate::read_format(&client, &place).await?;
    if format.compatible_from > format.known {
        return Err(PostgresOpenError::NewerFormat {
            place,
            found: format.found,
            compatible_from: format.compatible_from,
            known: format.known,
        });
    }
    if !format.can_be_served() {
        return Err(PostgresOpenError::NotMigrated {
            place,
            found: format.found,
            known: format.known,
        });
    }
    let row = client.query_opt(IDENTITY, &[]).await;
    let row = row.map_err(|error| failed(error.into()))?;
    let identity = identity(row.as_ref()).map_err(|error| failed(error.into()))?;
    let shared = Shared {
        pool: connect::pool(&config).map_err(|error| failed(error.into()))?,
        config,
        identity,
        revision: watch::Sender::new(Revision(0)),
    };
    let verified = read_once(&shared, &|transaction| Box::pin(verify_tail(transaction))).await;
    let head = verified.map_err(|error| match error {
        LogError::Store(error @ StoreError::Unavailable { .. }) => failed(error.into()),
        error @ LogError::NewerFormat { .. } => PostgresOpenError::NewerEntry {
            place: place.clone(),
            detail: error.to_string(),
        },
        error @ (LogError::Trimmed { .. } | LogError::BeyondHead { .. } | LogError::Store(_)) => {
            PostgresOpenError::Damaged {
                place: place.clone(),
                detail: error.to_string(),
            }
        }
    })?;
    shared.hear(head.revision);
    Ok((shared, head))
}

/// The head, once the entries before it are found to be as they were written.
async fn verify_tail(transaction: &Transaction<'_>) -> Result<Head, LogError> {
    let head = read::head(transaction).await?;
    let mut after = Revision(head.revision.0.saturating_sub(TAIL_ENTRIES_MAX));
    let entries = loop {
        let query = LogQuery {
            after,
            entries_max: usize::MAX,
            bytes_max: TAIL_BYTES_MAX,
        };
        match read::log(transaction, query).await {
            Err(LogError::Trimmed { oldest }) => after = Revision(oldest.0.saturating_sub(1)),
            other => break other?,
        }
    };
    let mut previous = None;
    for entry in &entries {
        let follows = previous.is_none_or(|previous| previous == entry.previous);
        if !follows || entry.computed_hash() != entry.hash {
            let detail = format!("revision {} does not have its hash", entry.revision);
            return Err(StoreError::Corrupt { detail }.into());
        }
        previous = Some(entry.hash);
    }
    if let Some(last) = entries.last().filter(|last| last.revision < head.revision) {
        // A page ends before what a later version wrote. To load the head would be to skip that.
        let next = LogQuery {
            after: last.revision,
            entries_max: 1,
            bytes_max: TAIL_BYTES_MAX,
        };
        read::log(transaction, next).await?;
    }
    let newest = read::stored_hash(transaction, head.revision).await?;
    if head != Head::EMPTY && newest != Some(head.hash) {
        return Err(damaged("the head is not that of the log").into());
    }
    Ok(head)
}
