//! Replicas: engines in other processes that hold all that this node holds, and follow the same log by way of it.
//!
//! A replica reads the [`State`] once, is told by [`news`] that there is more, and reads the [`log()`] in pages at its own pace; so
//! nothing waits for it here but one piece of each. It asks for the [`head`] as a node asks its store, and is as strict: what
//! it vouches for is what the store said.
//!
//! Whoever has the right is told everything: all relationships, who is locked and why, who wrote what, and the hashes of the keys
//! on record. Whom a replica answers is not for this node to judge.

mod news;
mod state;

use std::sync::Arc;
use std::time::Duration;

use identity::Caller;
use model::{Revision, Timestamp, Token};
use store::{Head, LogEntry, LogError, LogQuery, TokenRefused, TokenVerdict};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::{Action, Permit, Target};
use crate::error::{Error, Kind};
use crate::node::Node;
use crate::streaming::Streaming;

pub use news::{News, news};
pub use state::{Header, Part, State, state};

/// Entries of one page of the log.
const PAGE_ENTRIES_MAX: usize = 1_000;
/// Bytes of one page of the log; one entry is always read whole.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Pieces of a page that may wait for a reader.
const PIECES_WAITING_MAX: usize = 4;

/// What the replicas of a node are set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Replicas that follow the node at the same time.
    pub replicas_max: usize,
    /// Replicas that load the state at the same time.
    pub loads_max: usize,
    /// Pages of the log that are handed out at the same time; who asks for another waits for its turn.
    pub pages_max: usize,
    /// How often a replica is told of the newest commit though there is none.
    pub heartbeat: Duration,
    /// The least time between two that are told because there is a newer commit.
    pub pause: Duration,
    /// How long what is handed out may wait for its reader, and a reader of the log for its turn.
    pub stall_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            replicas_max: 256,
            loads_max: 4,
            pages_max: 32,
            heartbeat: Duration::from_secs(1),
            pause: Duration::from_millis(5),
            stall_max: Duration::from_secs(30),
        }
    }
}

/// The places that the replicas of a node share.
#[derive(Debug)]
pub(crate) struct Replicas {
    settings: Settings,
    followers: Arc<Semaphore>,
    loads: Arc<Semaphore>,
    pages: Arc<Semaphore>,
}

impl Replicas {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            followers: Arc::new(Semaphore::new(settings.replicas_max)),
            loads: Arc::new(Semaphore::new(settings.loads_max)),
            pages: Arc::new(Semaphore::new(settings.pages_max)),
            settings,
        }
    }

    /// How many follow.
    pub(crate) fn count(&self) -> usize {
        let max = self.settings.replicas_max;
        max.saturating_sub(self.followers.available_permits())
    }

    fn follower(&self) -> Result<OwnedSemaphorePermit, Error> {
        place(&self.followers, || {
            let replicas_max = self.settings.replicas_max;
            format!("{replicas_max} replicas follow this node, which is all it may have")
        })
    }

    fn load(&self) -> Result<OwnedSemaphorePermit, Error> {
        place(&self.loads, || {
            let loads_max = self.settings.loads_max;
            format!(
                "{loads_max} replicas read the state of this node, which is all that may at once; try again later"
            )
        })
    }

    /// Replicas read a page whenever there is a commit, all of them at once: so they wait for each other.
    async fn page(&self) -> Result<OwnedSemaphorePermit, Error> {
        let turn = Arc::clone(&self.pages).acquire_owned();
        match tokio::time::timeout(self.settings.stall_max, turn).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => {
                let message = format!(
                    "{} pages of the log are handed out, which is all that may be at once; try again later",
                    self.settings.pages_max
                );
                Err(Error::new(Kind::Overloaded, message))
            }
        }
    }
}

fn place(
    places: &Arc<Semaphore>,
    message: impl Fn() -> String,
) -> Result<OwnedSemaphorePermit, Error> {
    let place = Arc::clone(places).try_acquire_owned();
    place.map_err(|_| Error::new(Kind::Overloaded, message()))
}

/// A page of the log, or why there is none.
#[derive(Debug)]
pub enum Page {
    /// Entries in order and without a gap; none at the head.
    Entries(Vec<LogEntry>),
    /// The log begins later.
    Trimmed {
        /// The oldest revision that is kept.
        oldest: Revision,
    },
    /// The log ends before.
    BeyondHead {
        /// The head.
        head: Revision,
    },
}

/// Lets through what replicates.
fn admit(node: &Node, caller: &Caller) -> Result<(), Error> {
    node.ready()?;
    Permit::of(node, caller)?.require(Action::Replicate, Target::System)
}

/// The entries of the log after a revision, as many as a page has.
///
/// # Errors
/// [`Kind::Forbidden`] for a caller that may not, [`Kind::Unavailable`] if the log cannot be read.
pub async fn log(
    node: &Node,
    caller: &Caller,
    after: Revision,
    entries_max: usize,
) -> Result<Page, Error> {
    admit(node, caller)?;
    let query = LogQuery {
        after,
        entries_max: entries_max.clamp(1, PAGE_ENTRIES_MAX),
        bytes_max: PAGE_BYTES_MAX,
    };
    match node.store().log(query).await {
        Ok(entries) => Ok(Page::Entries(entries)),
        Err(LogError::Trimmed { oldest }) => Ok(Page::Trimmed { oldest }),
        Err(LogError::BeyondHead { head }) => Ok(Page::BeyondHead { head }),
        Err(error @ (LogError::NewerFormat { .. } | LogError::Store(_))) => {
            Err(unavailable("the log of the store cannot be read", error))
        }
    }
}

/// As [`log()`], handed out in pieces. The page is held until its reader has taken it, or was too slow.
///
/// # Errors
/// As [`log()`], [`Kind::Forbidden`] also later; [`Kind::Overloaded`] if there is no turn, and for a reader that is too slow.
pub async fn log_pieces<T, I>(
    node: &Arc<Node>,
    caller: &Caller,
    (after, entries_max): (Revision, usize),
    pieces: impl FnOnce(Page) -> I,
) -> Result<Streaming<T>, Error>
where
    T: Send + 'static,
    I: Iterator<Item = T> + Send + 'static,
{
    admit(node, caller)?;
    let place = node.replicas().page().await?;
    let pieces = pieces(log(node, caller, after, entries_max).await?);
    let stall_max = node.replicas().settings.stall_max;
    let (feeding, told) = Streaming::new(PIECES_WAITING_MAX, stall_max);
    let (node, caller) = (Arc::clone(node), caller.clone());
    tokio::spawn(async move {
        let _place = place;
        for piece in pieces {
            let sent = match admit(&node, &caller) {
                Ok(()) => feeding.send(piece).await,
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                feeding.fail(error);
                return;
            }
        }
    });
    Ok(told)
}

/// The head of the store, at least as new as any commit that was acknowledged before the call.
///
/// # Errors
/// [`Kind::Forbidden`] for a caller that may not, [`Kind::Unavailable`] if the store cannot tell.
pub async fn head(node: &Node, caller: &Caller) -> Result<Head, Error> {
    admit(node, caller)?;
    node.ask_head().await
}

/// The present instant by the clock that all nodes of the store share; by this node's where the store has none.
///
/// # Errors
/// As [`head`].
pub async fn time(node: &Node, caller: &Caller) -> Result<Timestamp, Error> {
    admit(node, caller)?;
    let now = node.store().now().await;
    let now = now.map_err(|error| unavailable("the store cannot be asked for the time", error))?;
    Ok(now.unwrap_or_else(|| node.clock().now()))
}

/// What the log says of a token.
///
/// # Errors
/// As [`head`].
pub async fn verify(
    node: &Node,
    caller: &Caller,
    token: Token,
) -> Result<Result<TokenVerdict, TokenRefused>, Error> {
    admit(node, caller)?;
    match node.verdict(token).await {
        Err(TokenRefused::Store(error)) => Err(unavailable(
            "the store cannot be asked about the token",
            error,
        )),
        verdict => Ok(verdict),
    }
}

fn unavailable(
    message: &'static str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::new(Kind::Unavailable, message).caused_by(error)
}
