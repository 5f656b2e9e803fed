//! Watching: every change after a revision, in the order of the log, nothing twice and nothing lost.
//!
//! A watch has a task of its own ([`feed`]). It reads the commits that this node has just applied from one shared ring
//! ([`recent`]), where each was decoded once for all watches; a watch that is further back reads pages of the store's log,
//! few watches at a time, until it meets the ring. What waits for a reader is bounded, and a reader that takes nothing
//! ends its watch with a named error; it can go on from the last token it was given.
//!
//! A token in an event is always one to resume from: whoever has seen the event and resumes misses nothing and, but for
//! the parts of a commit that was split, sees nothing twice.

mod admission;
mod commit;
mod feed;
mod recent;
mod start;

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use identity::Caller;
use model::{DefinitionName, Relationship, RelationshipFilter, RelationshipUpdate, Token};
use tokio::sync::{mpsc, oneshot};

use crate::access::Permit;
use crate::error::{Error, Kind};
use crate::node::Node;
use crate::typing;

pub(crate) use commit::Commit;
pub(crate) use recent::Watches;

/// Object types or relationship filters of one watch: each change is held against all of them.
const FILTERS_MAX: usize = 1_000;
/// Events that may wait for a reader.
const EVENTS_WAITING_MAX: usize = 8;

/// What the watches of a node are set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How often a watch that asks for checkpoints is told the newest revision.
    pub heartbeat: Duration,
    /// How long an event may wait for its reader.
    pub stall_max: Duration,
    /// Watches at the same time.
    pub watches_max: usize,
    /// Watches that read the log of the store at the same time; the others wait for their turn.
    pub catching_up_max: usize,
    /// Commits kept in memory for watches.
    pub recent_commits_max: usize,
    /// Bytes of commits kept in memory for watches, as estimated.
    pub recent_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(1),
            stall_max: Duration::from_secs(30),
            watches_max: 10_000,
            catching_up_max: 16,
            recent_commits_max: 1_024,
            recent_bytes_max: 32 << 20,
        }
    }
}

/// What to watch.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Where to begin.
    pub start: Start,
    /// Which relationships.
    pub filter: Filter,
    /// Whether to tell of each change of the schema.
    pub has_schema_updates: bool,
    /// Whether to tell of the newest revision after each event and at each heartbeat.
    pub has_checkpoints: bool,
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// After the newest commit of the store at the time of the call.
    #[default]
    Now,
    /// After the commit of this token.
    After(Token),
    /// With the oldest commit that the log still holds. The first event is a checkpoint with the token it begins after.
    Oldest,
}

/// Which relationships a watch tells of. What the schema does not know is no error: it may come to know it.
#[derive(Debug, Clone, Default)]
pub enum Filter {
    /// Every one.
    #[default]
    All,
    /// Those whose resource is of one of these definitions.
    Definitions(HashSet<DefinitionName>),
    /// Those that match one of these.
    Relationships(Vec<RelationshipFilter>),
}

impl Filter {
    fn len(&self) -> usize {
        match self {
            Self::All => 0,
            Self::Definitions(names) => names.len(),
            Self::Relationships(filters) => filters.len(),
        }
    }

    fn matches(&self, relationship: &Relationship) -> bool {
        match self {
            Self::All => true,
            Self::Definitions(names) => names.contains(&relationship.resource.definition),
            Self::Relationships(filters) => {
                filters.iter().any(|filter| filter.matches(relationship))
            }
        }
    }
}

/// What a watch tells. `through` is the token to resume from after the event.
#[derive(Debug, Clone)]
pub enum Event {
    /// Relationships changed.
    Updates(Updates),
    /// The schema changed.
    SchemaUpdated {
        /// Where to resume.
        through: Token,
    },
    /// Everything up to here was told.
    Checkpoint {
        /// Where to resume.
        through: Token,
    },
}

/// The changes of one commit that a watch asked for, in the order in which the commit made them.
///
/// A commit that is too large for one message comes in parts. All but the last carry the token of the commit *before*, so
/// that a reader that resumes in between is given the whole commit again, and never half of it.
#[derive(Debug, Clone)]
pub struct Updates {
    through: Token,
    metadata: Option<Arc<str>>,
    rows: Rows,
}

#[derive(Debug, Clone)]
enum Rows {
    /// All of a commit, shared with the other watches.
    Whole(Arc<Commit>),
    /// Some of one.
    Chosen(Vec<RelationshipUpdate>),
}

impl Updates {
    /// Where to resume after these.
    #[must_use]
    pub fn through(&self) -> Token {
        self.through
    }

    /// What the writer said about the commit, as a JSON object.
    #[must_use]
    pub fn metadata(&self) -> Option<&str> {
        self.metadata.as_deref()
    }

    /// The changes: `Touch` with the relationship as it is now, `Delete` with the one that is gone.
    #[must_use]
    pub fn updates(&self) -> &[RelationshipUpdate] {
        match &self.rows {
            Rows::Whole(commit) => commit.updates(),
            Rows::Chosen(updates) => updates,
        }
    }
}

impl Event {
    /// Where to resume after the event.
    #[must_use]
    pub fn through(&self) -> Token {
        match self {
            Self::Updates(updates) => updates.through,
            Self::SchemaUpdated { through } | Self::Checkpoint { through } => *through,
        }
    }
}

/// A watch. Dropping it ends it and frees what it holds.
#[derive(Debug)]
pub struct Watching {
    events: mpsc::Receiver<Event>,
    /// Why it ended; gone once it was told.
    ended: Option<oneshot::Receiver<Error>>,
}

impl Watching {
    /// The next event, or the one error that ends the watch; nothing after it.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] for a reader that is too slow, [`Kind::RevisionGone`] if the log was trimmed past it,
    /// [`Kind::Unavailable`] if the node stops or cannot read its store.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`Self::next`], for a stream.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        self.events.poll_recv(context).map(|event| match event {
            Some(event) => Some(Ok(event)),
            None => self.ended.take().map(|mut ended| {
                Err(ended.try_recv().unwrap_or_else(|_| {
                    Error::new(Kind::Internal, "the watch ended without a reason")
                }))
            }),
        })
    }
}

/// Opens a watch: everything that is committed after its start will be told.
///
/// # Errors
/// [`Error`] for an empty filter or too many, a token that is none of this history or beyond the head,
/// [`Kind::RevisionGone`] for one that the log no longer reaches, [`Kind::Overloaded`] past the watches that a node may
/// have, and [`Kind::Unavailable`] from a node that stops.
/// # Cost
/// One question to the store; then about 5 KiB of memory, and a wake-up for each run of commits that the node applies (benches/watch.rs).
pub async fn watch(
    node: &Arc<Node>,
    caller: &Caller,
    mut request: Request,
) -> Result<Watching, Error> {
    node.ready()?;
    check_filter(&request.filter)?;
    let permit = Permit::of(node, caller)?;
    request.filter = admission::narrowed(&permit, request.filter)?;
    admission::admit(&permit, &request.filter)?;
    drop(permit);
    let place = node.watches().place()?;
    let at = start::token(node, request.start).await?;
    let (sender, events) = mpsc::channel(EVENTS_WAITING_MAX);
    if request.start == Start::Oldest {
        // The channel is new, so there is room.
        let _is_sent = sender.try_send(Event::Checkpoint { through: at });
    }
    let (end, ended) = oneshot::channel();
    let of = (Arc::clone(node), caller.clone());
    tokio::spawn(feed::run(of, request, at, sender, end, place));
    Ok(Watching {
        events,
        ended: Some(ended),
    })
}

fn check_filter(filter: &Filter) -> Result<(), Error> {
    let count = filter.len();
    if count > FILTERS_MAX {
        let message = format!("a watch takes at most {FILTERS_MAX} filters, this one has {count}");
        return Err(Error::new(Kind::InvalidArgument, message));
    }
    match filter {
        Filter::All | Filter::Definitions(_) => Ok(()),
        Filter::Relationships(filters) => filters.iter().try_for_each(typing::not_empty),
    }
}
