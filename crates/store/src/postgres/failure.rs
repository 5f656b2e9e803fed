//! What the database's errors mean: for the caller, and for the one who may try again.

use tokio_postgres::error::SqlState;

use crate::error::{CommitError, LogError, StoreError, TokenRefused};

/// A question to the database failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: StoreError,
    /// Whether another try, on another connection, may go better.
    pub(super) is_passing: bool,
}

/// Why a commit is not made.
#[derive(Debug)]
pub(super) enum Stop {
    /// The request is refused; the others of its group go on.
    Refused(CommitError),
    /// The database failed, and with it the group.
    Failed(Failure),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let is_passing = is_passing(&error);
        Self {
            error: error.into(),
            is_passing,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self {
            error,
            is_passing: false,
        }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<tokio_postgres::Error> for Stop {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<CommitError> for Stop {
    fn from(error: CommitError) -> Self {
        Self::Refused(error)
    }
}

/// Whether the same may succeed on another connection: the old one is gone, its server is going down or takes no writes any
/// more, or another transaction was in the way.
fn is_passing(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else {
        // No answer of the server: the connection failed.
        return true;
    };
    let class = code.code().get(..2).unwrap_or_default();
    matches!(class, "08" | "40" | "53" | "57" | "58") && *code != SqlState::DISK_FULL
        || [
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        ]
        .contains(code)
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(code) if *code == SqlState::DISK_FULL => Self::Full,
            Some(code) if [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(code) => {
                damaged(&error)
            }
            Some(_) | None => Self::Unavailable {
                detail: "PostgreSQL cannot be reached, or has failed",
                source: Box::new(error),
            },
        }
    }
}

impl From<tokio_postgres::Error> for LogError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<tokio_postgres::Error> for TokenRefused {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What was read is not what a store writes.
pub(super) fn damaged(detail: &(impl ToString + ?Sized)) -> StoreError {
    StoreError::Corrupt {
        detail: detail.to_string(),
    }
}
