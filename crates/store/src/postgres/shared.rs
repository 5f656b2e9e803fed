//! What the tasks of a store have in common, and how they read.

use std::time::Duration;

use deadpool_postgres::{Pool, PoolError, Transaction};
use model::{HistoryId, Revision, StoreId};
use tokio::sync::watch;
use tokio_postgres::IsolationLevel;

use super::codec;
use super::config::PostgresConfig;
use super::failure::{Failure, damaged};
use super::session::Session;
use crate::error::{LogError, StoreError, TokenRefused};
use crate::store::{StoreFuture, StoreIdentity};

/// Connections that read.
pub(super) const READERS: usize = 4;
/// How long a read waits for a connection.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(5);

/// What the tasks of a store have in common.
pub(super) struct Shared {
    pub(super) config: PostgresConfig,
    pub(super) identity: StoreIdentity,
    pub(super) pool: Pool,
    pub(super) revision: watch::Sender<Revision>,
}

impl Shared {
    /// Takes in that there is a commit of that revision.
    pub(super) fn hear(&self, revision: Revision) {
        self.revision.send_if_modified(|known| {
            let is_news = revision > *known;
            *known = revision.max(*known);
            is_news
        });
    }

    pub(super) async fn connection(&self) -> Result<deadpool_postgres::Object, Failure> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Closed => StoreError::Closed.into(),
            PoolError::Timeout(_)
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_) => Failure {
                error: StoreError::Unavailable {
                    detail: "no connection to PostgreSQL is to be had",
                    source: Box::new(error),
                },
                is_passing: true,
            },
        })
    }

    /// Refuses a database that is not, or no longer, the one that was opened.
    pub(super) async fn check_identity(&self, session: &Session) -> Result<(), Failure> {
        let row = session.query_first(IDENTITY, &[]).await?;
        let found = identity(row.as_ref())?;
        if found == self.identity {
            return Ok(());
        }
        let what = if found.store == self.identity.store {
            "history"
        } else {
            "store"
        };
        let detail = format!("the database is of another {what}");
        Err(StoreError::Diverged { detail }.into())
    }
}

pub(super) const IDENTITY: &str = "SELECT store_id, history_id FROM identity";

pub(super) fn identity(row: Option<&tokio_postgres::Row>) -> Result<StoreIdentity, StoreError> {
    let row = row.ok_or_else(|| damaged("it has no identity"))?;
    let id = |at| -> Result<[u8; 8], StoreError> {
        let bytes: &[u8] = codec::column(row, at)?;
        bytes.try_into().map_err(|error| damaged(&error))
    };
    Ok(StoreIdentity {
        store: StoreId(id(0)?),
        history: HistoryId(id(1)?),
    })
}

/// Begins a transaction that sees one state and changes nothing.
pub(super) async fn begin<'a>(
    client: &'a mut deadpool_postgres::Object,
) -> Result<Transaction<'a>, tokio_postgres::Error> {
    client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
}

/// Whether an error may be of a connection that was gone already.
pub(super) trait IsPassing {
    fn is_passing(&self) -> bool;
}

impl IsPassing for StoreError {
    fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Full
            | Self::Overloaded { .. }
            | Self::Closed
            | Self::Diverged { .. }
            | Self::Corrupt { .. } => false,
        }
    }
}

impl IsPassing for LogError {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_passing())
    }
}

impl IsPassing for TokenRefused {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_passing())
    }
}

pub(super) async fn read_once<T, E: From<StoreError>>(
    shared: &Shared,
    work: &(impl for<'a> Fn(&'a Transaction<'a>) -> StoreFuture<'a, Result<T, E>> + Sync),
) -> Result<T, E> {
    let mut client = shared.connection().await.map_err(|failure| failure.error)?;
    let transaction = begin(&mut client).await.map_err(StoreError::from)?;
    // It has changed nothing, so it need not be ended in any way: the connection takes care of that.
    work(&transaction).await
}

/// Bytes that nobody can guess.
pub(super) fn random_bytes(count: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; count];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Unavailable {
        detail: "the system gives no random numbers",
        source: error.to_string().into(),
    })?;
    Ok(bytes)
}
