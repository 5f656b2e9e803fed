//! A new generation of the graph without the ids that no relationship names any more.
//!
//! Ids are only ever added to a graph, so one that is rewritten again and again would grow for ever. Where many ids of a
//! definition are dead, the graph is built anew from the newest snapshot, beside the requests and the follower; what was
//! committed meanwhile is applied to it as well, and it takes the place of a snapshot of the same revision. Snapshots
//! of the old generation stay as they are for those who hold them.

use std::sync::Arc;

use engine::graph::{DeadIds, Snapshot};
use schema::DefinitionIx;

use crate::error::{Error, Kind};
use crate::follow::{self, FollowError};
use crate::node::{Node, Published};

/// Dead ids of a definition that are worth a rebuild.
const DEAD_IDS_MIN: usize = 10_000;
/// How many of a hundred ids have to be dead.
const DEAD_PERCENT_MIN: usize = 30;

/// Rebuilds the graph of `node` if it pays. Returns how many ids it got rid of.
///
/// # Errors
/// [`Error`] if the store cannot tell what was committed meanwhile; the node goes on with what it had.
/// # Cost
/// A walk over the ids; for a rebuild, two generations are in memory until the snapshots of the old one are dropped.
pub(crate) async fn renew(node: &Node) -> Result<usize, Error> {
    let renewed = async {
        let Some((rebuilt, dead_count)) = rebuild(node).await? else {
            return Ok(0);
        };
        follow::replace(node, rebuilt).await?;
        Ok(dead_count)
    };
    renewed.await.map_err(|error: FollowError| {
        Error::new(Kind::Unavailable, "the graph could not be rebuilt").caused_by(error)
    })
}

/// The newest snapshot without its dead ids, and how many those were; none if they are few.
async fn rebuild(node: &Node) -> Result<Option<(Arc<Published>, usize)>, FollowError> {
    let current = node.current.load_full();
    let task = tokio::task::spawn_blocking(move || {
        let worn = worn(&current.snapshot);
        if worn.is_empty() {
            return None;
        }
        let definitions: Vec<DefinitionIx> = worn.iter().map(|dead| dead.definition).collect();
        let rebuilt = Published {
            snapshot: Arc::new(current.snapshot.without_dead_ids(&definitions)),
            hash: current.hash,
            schema_revision: current.schema_revision,
            records: current.records.clone(),
        };
        let dead_count = worn.iter().map(|dead| dead.dead_count).sum();
        Some((Arc::new(rebuilt), dead_count))
    });
    task.await.map_err(|_| FollowError::Task)
}

/// The definitions of which enough ids are dead.
fn worn(snapshot: &Snapshot) -> Vec<DeadIds> {
    let is_worn = |dead: &DeadIds| {
        dead.dead_count >= DEAD_IDS_MIN && dead.dead_count * 100 > dead.id_count * DEAD_PERCENT_MIN
    };
    snapshot.dead_ids().into_iter().filter(is_worn).collect()
}

#[cfg(test)]
mod tests;
