//! News of commits by any node: the server tells of each, and who was cut off asks.

use std::sync::Weak;
use std::time::Duration;

use model::Revision;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_postgres::AsyncMessage;

use super::codec::{HEAD_COLUMNS, head};
use super::config::PostgresConfig;
use super::connect::{Purpose, connect};
use super::failure::{Failure, damaged};
use super::shared::Shared;
use crate::error::StoreError;

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// After so long without news the head is asked for, which shows whether the connection is there at all.
const QUIET_MAX: Duration = Duration::from_secs(5);
/// News that wait to be read; each says what those before it say, so that more may be lost.
const WAITING_MAX: usize = 64;

/// Listens for as long as the store lives.
pub(super) async fn listen(shared: Weak<Shared>) {
    let mut pause = PAUSE_MIN;
    while let Some(config) = shared.upgrade().map(|shared| shared.config.clone()) {
        if let Err(failure) = listen_once(&config, &shared, &mut pause).await {
            tracing::warn!(error = %failure.error, "no news from PostgreSQL; connecting again");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Listens until the connection fails or the store is gone.
async fn listen_once(
    config: &PostgresConfig,
    shared: &Weak<Shared>,
    pause: &mut Duration,
) -> Result<(), Failure> {
    let (sender, mut messages) = mpsc::channel(WAITING_MAX);
    let client = connect(config, Purpose::News, Some(sender)).await?;
    client.batch_execute("LISTEN remit").await?;
    *pause = PAUSE_MIN;
    let sql = format!("SELECT {HEAD_COLUMNS} FROM head");
    loop {
        // From here on nothing is missed; what came before is asked for.
        let row = client.query_opt(&sql, &[]).await?;
        let row = row.ok_or_else(|| damaged("the head is gone"))?;
        if !hear(shared, head(&row)?.revision) {
            return Ok(());
        }
        while let Ok(message) = timeout(QUIET_MAX, messages.recv()).await {
            let message = message.ok_or_else(|| StoreError::Unavailable {
                detail: "PostgreSQL cannot be reached, or has failed",
                source: "the connection for news has ended".into(),
            });
            let message = message.map_err(|error| Failure {
                error,
                is_passing: true,
            })?;
            if let AsyncMessage::Notification(news) = message
                && let Ok(revision) = news.payload().parse()
                && !hear(shared, Revision(revision))
            {
                return Ok(());
            }
        }
    }
}

/// Tells the store of a head; whether it is still there.
fn hear(shared: &Weak<Shared>, revision: Revision) -> bool {
    let shared = shared.upgrade();
    if let Some(shared) = &shared {
        shared.hear(revision);
    }
    shared.is_some()
}
