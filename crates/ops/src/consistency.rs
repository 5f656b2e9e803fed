//! Which snapshot a request sees.

use std::sync::Arc;
use std::time::Duration;

use engine::graph::Snapshot;
use model::{Timestamp, Token};

/// How fresh a request's snapshot has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// The newest that this node has.
    #[default]
    MinimizeLatency,
    /// At least that of the token; waits for it.
    AtLeastAsFresh(Token),
    /// Exactly that of the token.
    AtExactSnapshot(Token),
    /// What the store holds when the request arrives.
    FullyConsistent,
}

/// What a request sees: a snapshot, its token and the present instant, which is never before the snapshot's commit.
#[derive(Debug, Clone)]
pub struct View {
    /// The graph.
    pub snapshot: Arc<Snapshot>,
    /// The token of its revision.
    pub token: Token,
    /// The instant at which expirations are judged.
    pub now: Timestamp,
}

/// The instant so long before another.
pub(crate) fn earlier(instant: Timestamp, by: Duration) -> Timestamp {
    instant.saturating_add_micros(-micros(by))
}

/// The instant so long after another.
pub(crate) fn later(instant: Timestamp, by: Duration) -> Timestamp {
    instant.saturating_add_micros(micros(by))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
