//! What a node does about the past: expired relationships are removed, old entries of the log and dead ids forgotten.
//!
//! Removing an expired row changes no answer, since it already counts for nothing; it is a commit of its own kind, which
//! is not told to those who watch.

use std::sync::Arc;
use std::time::Duration;

use model::Revision;
use store::{ChangeRequest, CommitRequest, Provenance};

use crate::consistency::earlier;
use crate::error::Error;
use crate::generation;
use crate::node::Node;
use crate::write::refused;

/// How often there is a look.
const INTERVAL: Duration = Duration::from_secs(60);
/// Rows removed in one commit: other commits come in between.
const ROWS_MAX: u32 = 1_000;
/// How long a row is kept after it has expired, so that the recent past can be answered without it being undone.
const EXPIRED_KEPT: Duration = Duration::from_secs(60);

/// Keeps house for as long as the node lives.
pub async fn run(node: Arc<Node>, log_retained: Duration) {
    let mut stopping = node.stopping();
    let mut looked_through = None;
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        if let Err(error) = remove_expired(&node).await {
            tracing::warn!(%error, "expired relationships could not be removed");
        }
        let before = earlier(node.now(), log_retained);
        if let Err(error) = node.store().trim(before).await {
            tracing::warn!(%error, "the log could not be trimmed");
        }
        tidy(&node, &mut looked_through).await;
    }
}

/// As [`run`], for a node whose store takes no commits from it: what is stored is looked after elsewhere.
pub async fn run_in_memory(node: Arc<Node>) {
    let mut stopping = node.stopping();
    let mut looked_through = None;
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        tidy(&node, &mut looked_through).await;
    }
}

/// Forgets what is of no more use in memory.
async fn tidy(node: &Node, looked_through: &mut Option<Revision>) {
    node.kept_look_ups()
        .drop_before(earlier(node.now(), node.settings().snapshots_retained));
    let revision = node.snapshot().revision();
    if looked_through.replace(revision) == Some(revision) {
        return;
    }
    match generation::renew(node).await {
        Ok(0) => {}
        Ok(id_count) => tracing::info!(id_count, "the graph was rebuilt without dead ids"),
        Err(error) => tracing::warn!(%error, "the graph keeps its dead ids"),
    }
}

/// Removes the relationships that expired a while ago, in small commits. Returns how many.
///
/// # Errors
/// [`Error`] if the store cannot commit; what was removed before stays removed.
pub async fn remove_expired(node: &Node) -> Result<u64, Error> {
    let before = earlier(node.now(), EXPIRED_KEPT);
    let mut removed = 0;
    loop {
        if !node.snapshot().has_expired(before) {
            return Ok(removed);
        }
        let request = CommitRequest {
            base: node.current.load().base(),
            preconditions: Vec::new(),
            changes: vec![ChangeRequest::RemoveExpired {
                before,
                limit: ROWS_MAX,
            }],
            idempotency_key: None,
            provenance: Provenance {
                actor: "remit".to_owned(),
                reason: Some("expired".to_owned()),
                metadata: None,
                origin: None,
            },
            now: node.now(),
        };
        let committed = node.make_durable(request).await;
        let committed = committed.map_err(|error| refused(node, error))?;
        removed += committed.deleted_count;
        if committed.deletion_complete {
            return Ok(removed);
        }
    }
}
