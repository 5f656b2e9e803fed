//! Whether this node has what its store has: the digest of all relationships at one revision, here and there.
//!
//! A node keeps its graph equal to the store by applying each commit, so what it has rests on every commit having been applied
//! right and on memory keeping it. The digest takes nothing on trust: it is worked out from the graph as it is, and from the
//! rows as they are stored.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use engine::graph::Snapshot;
use identity::Caller;
use model::{RelationshipFilter, Timestamp, Token};
use store::{Digest, Head, Store, StoreError};
use tokio::sync::oneshot;

use crate::access::{Action, Permit, Target};
use crate::consistency::{Consistency, View};
use crate::error::{Error, Kind};
use crate::metrics::ComparisonOutcome;
use crate::node::Node;

/// The digest of a node's relationships.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digested {
    /// The digest, which counts relationships that expired and are not removed yet.
    pub digest: Digest,
    /// The token of the snapshot that it is of.
    pub at: Token,
}

/// The digest of what this node has at the revision that `consistency` asks for: two nodes that give different ones for the same
/// revision are not both right.
///
/// # Errors
/// [`Error`] for a snapshot that is not to be had, and [`Kind::Overloaded`] while another digest is being worked out.
/// # Cost
/// A walk over all relationships, some 500 ns each, on a thread of its own.
pub async fn digest(
    node: &Node,
    caller: &Caller,
    consistency: Consistency,
) -> Result<Digested, Error> {
    Permit::of(node, caller)?.require(Action::Operate, Target::System)?;
    let _alone = node.digesting().try_lock().map_err(|_| {
        let message = "a digest of this node is being worked out already; try again later";
        Error::new(Kind::Overloaded, message)
    })?;
    let view = node.view(consistency).await?;
    of_view(view).await
}

async fn of_view(view: View) -> Result<Digested, Error> {
    let View {
        snapshot, token, ..
    } = view;
    let digest = tokio::task::spawn_blocking(move || of_snapshot(&snapshot)).await;
    let digest = digest.map_err(|_| failed("the task that works out the digest ended"))?;
    Ok(Digested { digest, at: token })
}

fn of_snapshot(snapshot: &Snapshot) -> Digest {
    let mut digest = Digest::default();
    for relationship in snapshot.relationships(&RelationshipFilter::default()) {
        digest.add(&relationship);
    }
    digest
}

/// What a comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// What the node has.
    pub node: Digested,
    /// What its store has at the same revision.
    pub store: Digest,
}

impl Compared {
    /// Whether both have the same relationships.
    #[must_use]
    pub fn is_alike(&self) -> bool {
        self.node.digest == self.store
    }
}

/// Compares what this node has with what its store has, at the head of the moment. A node that differs gives up: it is no longer
/// ready, and says why.
///
/// # Errors
/// [`Error`] if the comparison could not be made, which says nothing of what either has.
/// # Cost
/// A scan of the store and a walk over the graph, each on a thread of its own.
pub async fn compare(node: &Node) -> Result<Compared, Error> {
    let _alone = node.digesting().lock().await;
    let (begun, header) = oneshot::channel();
    let store = Arc::clone(node.store());
    let scan = tokio::task::spawn_blocking(move || of_store(&*store, begun));
    // The snapshot is taken hold of while the scan goes on, so that it is still retained.
    let of_node = match header.await {
        Ok(head) => Some(at_head(node, head).await?),
        // Nothing was there to be scanned, or it failed.
        Err(_) => None,
    };
    let scanned = scan
        .await
        .map_err(|_| failed("the scan of the store ended"))?;
    let (head, store) = scanned.map_err(|error| {
        Error::new(Kind::Unavailable, "the store cannot be read").caused_by(error)
    })?;
    let node_digest = match of_node {
        Some(digested) => digested,
        None => at_head(node, head).await?,
    };
    let compared = Compared {
        node: node_digest,
        store,
    };
    if !compared.is_alike() {
        node.give_up(difference(&compared));
    }
    Ok(compared)
}

async fn at_head(node: &Node, head: Head) -> Result<Digested, Error> {
    let token = node.identity().token(head.revision, &head.hash);
    let view = node.view(Consistency::AtExactSnapshot(token)).await?;
    of_view(view).await
}

/// The digest of all rows; tells the head that they are of as soon as it is known.
fn of_store(store: &dyn Store, begun: oneshot::Sender<Head>) -> Result<(Head, Digest), StoreError> {
    let (mut begun, mut digest) = (Some(begun), Digest::default());
    let header = store.scan(&mut |header, row| {
        if let Some(begun) = begun.take() {
            // Whoever no longer waits needs no head.
            let _gone = begun.send(header.head);
        }
        digest.add_row(&row);
        ControlFlow::Continue(())
    })?;
    Ok((header.head, digest))
}

fn difference(compared: &Compared) -> String {
    let Compared { node, store } = compared;
    format!(
        "it does not have the relationships that its store has at revision {}: {} here with the digest {}, {} there with {}; \
         restart this node, and report it",
        node.at.revision,
        node.digest.count(),
        node.digest,
        store.count(),
        store
    )
}

fn failed(message: &'static str) -> Error {
    Error::new(Kind::Unavailable, message)
}

/// Compares again and again, for as long as the node lives; the first time after a part of `every` that differs from node to
/// node, so that those who started together do not all read the store at once.
pub async fn run(node: Arc<Node>, every: Duration) {
    let node = Arc::downgrade(&node);
    let mut wait = every.mul_f64(drawn_part());
    loop {
        tokio::time::sleep(wait).await;
        wait = every;
        let Some(node) = node.upgrade() else {
            return;
        };
        if node.ready().is_err() {
            continue;
        }
        let begun = node.clock().now();
        let compared = compare(&node).await;
        let outcome = match &compared {
            Ok(compared) if compared.is_alike() => ComparisonOutcome::alike,
            Ok(_) => ComparisonOutcome::different,
            Err(_) => ComparisonOutcome::failed,
        };
        node.metrics().note_comparison(outcome);
        match compared {
            Ok(compared) => report(&compared, begun, node.clock().now()),
            Err(error) => {
                tracing::warn!(
                    error = error.message,
                    "this node could not be compared with its store"
                );
            }
        }
    }
}

fn report(compared: &Compared, begun: Timestamp, ended: Timestamp) {
    // A difference was told when the node gave up.
    if compared.is_alike() {
        let seconds = ended.as_micros().saturating_sub(begun.as_micros()) / 1_000_000;
        tracing::info!(
            revision = compared.node.at.revision.0,
            relationships = compared.store.count(),
            seconds,
            "this node has what its store has"
        );
    }
}

/// A random part, from 0 to 1.
fn drawn_part() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness all begin together, which is slower and not wrong.
    let _none = getrandom::fill(&mut bytes);
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}
