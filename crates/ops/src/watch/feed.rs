//! The task of one watch: catch up, follow, tell, until the reader is gone or an error ends it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use identity::Caller;
use model::{Revision, Token};
use store::{LogError, LogQuery};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

use super::admission;
use super::commit::Parts;
use super::recent::{Next, stopping};
use super::start::{gone, unreadable};
use super::{Commit, Event, Filter, Request, Updates};
use crate::access::Permit;
use crate::error::{Error, Kind};
use crate::node::Node;

/// Commits read from the log in one turn.
const PAGE_ENTRIES_MAX: usize = 64;
/// Bytes read from the log in one turn; one commit is always read whole.
const PAGE_BYTES_MAX: usize = 256 << 10;
/// How often a watch without heartbeats looks whether its node is well.
const LOOK: Duration = Duration::from_secs(15);

struct Feed {
    node: Arc<Node>,
    caller: Caller,
    filter: Arc<Filter>,
    has_schema_updates: bool,
    has_checkpoints: bool,
    /// The last commit that was told, or passed over.
    at: Token,
    sender: mpsc::Sender<Event>,
    /// When the reader must have taken what it is being given.
    taken_by: Instant,
    next_look: Instant,
}

/// Feeds `sender` with what is committed after `at`. The place is free again at the end.
pub(super) async fn run(
    (node, caller): (Arc<Node>, Caller),
    request: Request,
    at: Token,
    sender: mpsc::Sender<Event>,
    end: oneshot::Sender<Error>,
    _place: OwnedSemaphorePermit,
) {
    let reader = sender.clone();
    let mut ending = node.watches().ending();
    let mut feed = Feed {
        node,
        caller,
        filter: Arc::new(request.filter),
        has_schema_updates: request.has_schema_updates,
        has_checkpoints: request.has_checkpoints,
        at,
        sender,
        taken_by: Instant::now(),
        next_look: Instant::now(),
    };
    // Whatever is waited for, it is given up at once when the reader goes.
    let ended = tokio::select! {
        () = reader.closed() => return,
        _ = ending.wait_for(|is_ending| *is_ending) => stopping(),
        Err(error) = feed.follow() => error,
    };
    // Told before the channel closes; a reader that is gone needs no reason.
    let _is_told = end.send(ended);
}

impl Feed {
    async fn follow(&mut self) -> Result<Infallible, Error> {
        let mut news = self.node.watches().news();
        self.plan_look();
        loop {
            news.mark_unchanged();
            self.catch_up().await?;
            self.node.ready()?;
            tokio::select! {
                changed = news.changed() => {
                    if changed.is_err() {
                        return Err(stopping());
                    }
                }
                () = tokio::time::sleep_until(self.next_look) => {
                    self.admit()?;
                    self.look();
                }
            }
        }
    }

    /// Tells all that this node has applied.
    async fn catch_up(&mut self) -> Result<(), Error> {
        loop {
            let has_schema_updates = self.has_schema_updates;
            let next = self.node.watches().next(self.at, |commit| {
                (has_schema_updates && commit.is_schema_changed()) || self.filter.wants(commit)
            });
            match next {
                Next::Nothing => return Ok(()),
                Next::Passed(at) => self.at = at,
                Next::InLog => self.read_page().await?,
                Next::Broken(revision) => return Err(broken(revision)),
                Next::Commit(commit) => {
                    self.expect_reader();
                    self.at = commit.before();
                    self.tell(&commit).await?;
                }
            }
            if Instant::now() >= self.next_look {
                self.look();
            }
        }
    }

    /// Tells a page of the log, but nothing that this node has not applied yet.
    async fn read_page(&mut self) -> Result<(), Error> {
        let node = Arc::clone(&self.node);
        let _turn = node.watches().turn().await?;
        let applied = *node.revision.borrow();
        let query = LogQuery {
            after: self.at.revision,
            entries_max: PAGE_ENTRIES_MAX,
            bytes_max: PAGE_BYTES_MAX,
        };
        let entries = match node.store().log(query).await {
            Ok(entries) => entries,
            Err(LogError::Trimmed { .. }) => return Err(gone(&node).await),
            Err(error) => return Err(unreadable(error)),
        };
        let identity = node.store().identity();
        let commits = tokio::task::spawn_blocking(move || {
            let entries = entries.into_iter();
            let applied = entries.take_while(|entry| entry.revision <= applied);
            let commits = applied.map(|entry| Arc::new(Commit::new(identity, entry)));
            commits.collect::<Vec<_>>()
        });
        let commits = commits.await.unwrap_or_default();
        if commits.is_empty() {
            return Err(unreadable(LogError::BeyondHead { head: applied }));
        }
        // One span for the whole page: a reader that takes it event by event holds no turn for long.
        self.expect_reader();
        for commit in commits {
            self.tell(&commit).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, commit: &Arc<Commit>) -> Result<(), Error> {
        if commit.before() != self.at {
            return Err(broken(commit.token().revision));
        }
        let filter = Arc::clone(&self.filter);
        let mut parts = Parts::new(commit, &filter);
        let mut part = parts.next();
        let is_schema_told = commit.is_schema_changed() && self.has_schema_updates;
        let is_told = is_schema_told || part.is_some();
        if is_told {
            self.admit()?;
        }
        if is_schema_told {
            let through = through(commit, part.is_none());
            self.send(Event::SchemaUpdated { through }).await?;
        }
        while let Some((rows, is_last)) = part {
            let updates = Updates {
                through: through(commit, is_last),
                metadata: commit.metadata(),
                rows,
            };
            self.send(Event::Updates(updates)).await?;
            part = if is_last { None } else { parts.next() };
            if part.is_some() {
                self.expect_reader();
            }
        }
        self.at = commit.token();
        if is_told && self.has_checkpoints {
            self.send(Event::Checkpoint { through: self.at }).await?;
        }
        Ok(())
    }

    /// Lets the watch go on: what was taken from the caller meanwhile ends it.
    fn admit(&self) -> Result<(), Error> {
        admission::admit(&Permit::of(&self.node, &self.caller)?, &self.filter)
    }

    /// The reader has from now until the end of the span.
    fn expect_reader(&mut self) {
        self.taken_by = Instant::now() + self.node.watches().settings().stall_max;
    }

    async fn send(&mut self, event: Event) -> Result<(), Error> {
        let taken = tokio::time::timeout_at(self.taken_by, self.sender.send(event)).await;
        match taken {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Error::new(Kind::Cancelled, "the reader is gone")),
            Err(_) => {
                let message = format!(
                    "watch disconnected: watch fell too far behind: its reader did not take what waited for it within \
                     {} s; resume from the last token",
                    self.node.watches().settings().stall_max.as_secs()
                );
                Err(Error::new(Kind::Overloaded, message))
            }
        }
    }

    /// Tells the reader how far it is, if it wants to know. To one that is busy with what it was given, that is no news.
    fn look(&mut self) {
        if self.has_checkpoints {
            let _is_sent = self.sender.try_send(Event::Checkpoint { through: self.at });
        }
        self.plan_look();
    }

    fn plan_look(&mut self) {
        let interval = if self.has_checkpoints {
            self.node.watches().settings().heartbeat
        } else {
            LOOK
        };
        self.next_look = Instant::now() + interval;
    }
}

fn broken(revision: Revision) -> Error {
    let message = format!("revision {revision} does not follow what was told before it");
    Error::new(Kind::Internal, message)
}

/// The token of an event of `commit`: of the commit itself only for its last event.
fn through(commit: &Commit, is_last: bool) -> Token {
    if is_last {
        commit.token()
    } else {
        commit.before()
    }
}
