//! Connections to the database: made, set up, and kept.

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use futures_util::future::poll_fn;
use tokio::sync::mpsc;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::PostgresConfig;
use super::failure::Failure;
use super::shared::{READERS, WAIT_MAX};
use crate::error::StoreError;

/// What every connection is set to: names are found in our schema alone; no statement runs for ever; and a node that hangs
/// within a transaction, with the head locked, is cut off by the server. Our statements are small: compiling one takes the server
/// some 40 ms, and saves nothing.
const SET_UP: &str = "SET jit = off; SET search_path = remit, pg_catalog; SET statement_timeout = '30s'; SET lock_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '5s'; SET client_min_messages = 'warning'";

/// For the connection that writes: an acknowledgement waits for the disk whatever the server is set to; and statements are
/// planned once, to go by the index, whatever the statistics of a table say that may just have been filled.
const SET_UP_WRITER: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
     SET plan_cache_mode = force_generic_plan; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// For the connection of the owner, which may take its time.
const SET_UP_OWN: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Commits.
    Write,
    /// What the owner does: another form of the database, a copy.
    Own,
    /// News of commits.
    News,
}

/// A new connection. What the server sends of its own accord goes to `notifications`, until the connection ends.
pub(super) async fn connect(
    config: &PostgresConfig,
    purpose: Purpose,
    notifications: Option<mpsc::Sender<AsyncMessage>>,
) -> Result<Client, Failure> {
    let client = match &config.tls {
        None => {
            let (client, connection) = config.server.connect(NoTls).await?;
            tokio::spawn(drive(connection, notifications));
            client
        }
        Some(tls) => {
            let connector = MakeRustlsConnect::new(tls.clone());
            let (client, connection) = config.server.connect(connector).await?;
            tokio::spawn(drive(connection, notifications));
            client
        }
    };
    client.batch_execute(SET_UP).await?;
    match purpose {
        Purpose::Write => client.batch_execute(SET_UP_WRITER).await?,
        Purpose::Own => client.batch_execute(SET_UP_OWN).await?,
        Purpose::News => {}
    }
    Ok(client)
}

async fn drive<T>(
    mut connection: Connection<Socket, T>,
    notifications: Option<mpsc::Sender<AsyncMessage>>,
) where
    T: tokio_postgres::tls::TlsStream + Unpin,
{
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(message)) => {
                if let Some(notifications) = &notifications {
                    // Lost when nobody listens, or has too much to read already.
                    let _ = notifications.try_send(message);
                }
            }
            // Whoever waits for an answer is told by the client.
            Some(Err(_)) | None => return,
        }
    }
}

/// The connections for short reads, made when they are needed.
pub(super) fn pool(config: &PostgresConfig) -> Result<Pool, StoreError> {
    match &config.tls {
        None => pool_over(config, NoTls),
        Some(tls) => pool_over(config, MakeRustlsConnect::new(tls.clone())),
    }
}

fn pool_over<T>(config: &PostgresConfig, tls: T) -> Result<Pool, StoreError>
where
    T: MakeTlsConnect<Socket> + Clone + Sync + Send + 'static,
    T::Stream: Sync + Send,
    T::TlsConnect: Sync + Send,
    <T::TlsConnect as tokio_postgres::tls::TlsConnect<Socket>>::Future: Send,
{
    let manager_config = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let manager = Manager::from_config(config.server.clone(), tls, manager_config);
    let set_up = Hook::async_fn(|client, _| {
        Box::pin(async move {
            let done = client.batch_execute(SET_UP).await;
            done.map_err(HookError::Backend)
        })
    });
    Pool::builder(manager)
        .max_size(READERS)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(WAIT_MAX))
        .post_create(set_up)
        .build()
        .map_err(|error| StoreError::Unavailable {
            detail: "connections to PostgreSQL cannot be kept",
            source: Box::new(error),
        })
}
