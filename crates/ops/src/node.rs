//! What the operations share: the store, the graph that follows it, the clock and the limits.

mod life;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use arc_swap::ArcSwap;
use engine::graph::Snapshot;
use identity::RecordedKeys;
use model::{Clock, CommitHash, Revision, Timestamp, Token};
use store::{Base, CommitError, Head, Position, Store, StoreIdentity, TokenRefused, TokenVerdict};
use tokio::sync::watch;

use crate::access;
use crate::clock_offset::{self, ClockOffset, NODES_APART_MAX};
use crate::confirmed::{Asked, Confirmed};
use crate::consistency::{Consistency, View, earlier, later};
use crate::cursor::Cursor;
use crate::error::{Error, Kind, Reason};
use crate::follow::{self, FollowError, Follower, RecentHashes};
use crate::head::HeadQuestions;
use crate::history::History;
use crate::live_settings::LiveSettings;
use crate::load_progress::LoadProgress;
use crate::lookup::{Kept, Turns};
use crate::metrics::{Metrics, StoreTimes, Timed};
use crate::pulse::Pulse;
use crate::records::Records;
use crate::replay::LockLog;
use crate::replica::Replicas;
use crate::settings::Settings;
use crate::watch::Watches;

/// The newest snapshot of a node, with what its token and a commit against it need.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) hash: CommitHash,
    pub(crate) schema_revision: Revision,
    pub(crate) records: Records,
}

impl Published {
    /// The base of a commit that is worked out from this.
    pub(crate) fn base(&self) -> Base {
        Base {
            schema_revision: self.schema_revision,
            known: Position {
                revision: self.snapshot.revision(),
                hash: self.hash,
            },
            is_evaluated: false,
        }
    }
}

/// One node: a full replica of the graph that follows its store.
pub struct Node {
    store: Arc<dyn Store>,
    identity: StoreIdentity,
    clock: Arc<dyn Clock>,
    settings: LiveSettings,
    heads: HeadQuestions,
    pub(crate) current: ArcSwap<Published>,
    pub(crate) revision: watch::Sender<Revision>,
    pub(crate) history: Mutex<History>,
    pub(crate) hashes: RwLock<RecentHashes>,
    watches: Watches,
    replicas: Replicas,
    confirmed: Confirmed,
    load: Arc<LoadProgress>,
    /// Of the task that follows the store.
    follower: Pulse,
    clock_offset: ClockOffset,
    stopped: OnceLock<String>,
    /// Schema changes take it whole, so that no write moves the head they are evaluated at.
    write_gate: tokio::sync::RwLock<()>,
    /// Held by who puts another snapshot in place of the current one, so that each follows from the one before it.
    publishing: tokio::sync::Mutex<()>,
    stopping: watch::Sender<bool>,
    kept_look_ups: Kept,
    look_up_turns: Turns,
    /// Held while a digest is worked out: more than one at a time would take too much of the machine.
    digesting: tokio::sync::Mutex<()>,
    metrics: Metrics,
    pub(crate) lock_log: tokio::sync::Mutex<LockLog>,
    /// The keys on record, for whoever lets callers in.
    recorded_keys: Arc<RecordedKeys>,
}

impl Node {
    /// Loads the graph from `store` and starts to follow it.
    ///
    /// # Errors
    /// [`Error`] if the store cannot be read, or holds what this version does not know.
    /// # Cost
    /// One scan of the store; about a second for a million relationships.
    pub async fn start(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Result<Arc<Self>, Error> {
        Self::start_telling((store, clock, settings), &Arc::default()).await
    }

    /// As [`Self::start`], and tells `progress` how far that is.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_telling(
        (store, clock, settings): (Arc<dyn Store>, Arc<dyn Clock>, Settings),
        progress: &Arc<LoadProgress>,
    ) -> Result<Arc<Self>, Error> {
        let asked = Asked::now(&*clock);
        let times = StoreTimes::default();
        let store = Timed::over(store, times.clone());
        let published = follow::load(&store, progress).await?;
        let confirmed = (Confirmed::at(asked), progress);
        let node = Self::follow((store, clock, settings), published, confirmed, times).await;
        progress.end();
        node
    }

    /// As [`Self::start`], from a store whose scan is of some past of its log, as a copy on disk has it. The node answers
    /// nothing before it has confirmed that it reached the head.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_in_the_past(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Result<Arc<Self>, Error> {
        let (progress, times) = (Arc::default(), StoreTimes::default());
        let store = Timed::over(store, times.clone());
        let published = follow::load(&store, &progress).await?;
        let node = (store, clock, settings);
        let node = Self::follow(node, published, (Confirmed::never(), &progress), times).await;
        progress.end();
        node
    }

    /// Starts to follow the store from what was loaded.
    async fn follow(
        (store, clock, settings): (Arc<dyn Store>, Arc<dyn Clock>, Settings),
        published: Published,
        (confirmed, load): (Confirmed, &Arc<LoadProgress>),
        times: StoreTimes,
    ) -> Result<Arc<Self>, Error> {
        let mut hashes = RecentHashes::default();
        hashes.note(published.snapshot.revision(), published.hash.short());
        let mut history = History::new(settings.snapshots_retained);
        history.note(&published.snapshot, published.hash, clock.now());
        let recorded_keys = RecordedKeys::default();
        recorded_keys.replace(published.records.access.keys.iter());
        let clock_offset = ClockOffset::unknown();
        if let Err(error) = clock_offset.measure(&*store, &*clock).await {
            tracing::warn!(%error, "the clock of the store cannot be asked for; trying again");
        }
        let metrics = Metrics::new(times, published.snapshot.schema());
        let node = Arc::new(Self {
            identity: store.identity(),
            heads: HeadQuestions::start(Arc::clone(&store), metrics.heads.clone()),
            revision: watch::Sender::new(published.snapshot.revision()),
            watches: Watches::new(settings.watch.clone(), published.snapshot.revision()),
            replicas: Replicas::new(settings.replica.clone()),
            current: ArcSwap::from_pointee(published),
            history: Mutex::new(history),
            hashes: RwLock::new(hashes),
            confirmed,
            load: Arc::clone(load),
            follower: Pulse::default(),
            clock_offset,
            stopped: OnceLock::new(),
            write_gate: tokio::sync::RwLock::new(()),
            publishing: tokio::sync::Mutex::new(()),
            stopping: watch::Sender::new(false),
            kept_look_ups: Kept::default(),
            look_up_turns: Turns::default(),
            digesting: tokio::sync::Mutex::new(()),
            metrics,
            lock_log: tokio::sync::Mutex::default(),
            recorded_keys: Arc::new(recorded_keys),
            store,
            clock,
            settings: LiveSettings::new(settings),
        });
        node.watches.announce(node.revision.subscribe());
        tokio::spawn(Follower::new(&node).run());
        tokio::spawn(clock_offset::run(Arc::downgrade(&node)));
        Ok(node)
    }

    /// Ends every watch, and lets none begin: a server that stops need not wait for them.
    pub fn end_watches(&self) {
        self.watches.end();
    }

    /// Ends following, and every watch. The node answers on, but from no newer snapshot.
    pub fn stop(&self) {
        self.end_watches();
        self.stopping.send_replace(true);
    }

    /// What the node is set to.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        self.settings.get()
    }

    /// The store that the node follows.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The newest snapshot of this node.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.load().snapshot)
    }

    /// The preshared keys on record, as of the newest commit that this node knows.
    #[must_use]
    pub fn recorded_keys(&self) -> Arc<RecordedKeys> {
        Arc::clone(&self.recorded_keys)
    }

    pub(crate) fn load_progress(&self) -> &Arc<LoadProgress> {
        &self.load
    }

    pub(crate) fn follower(&self) -> &Pulse {
        &self.follower
    }

    /// The present instant: never before that of the newest commit here.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now().max(self.current.load().snapshot.time())
    }

    /// What a request of that consistency sees.
    ///
    /// # Errors
    /// [`Error`] for a token of another store or history, a revision that is not kept or not reached in time, and a node
    /// that cannot vouch for what it has.
    pub async fn view(&self, consistency: Consistency) -> Result<View, Error> {
        self.ready()?;
        match consistency {
            Consistency::MinimizeLatency => {}
            Consistency::AtLeastAsFresh(token) => {
                let verdict = self.verify(token).await?;
                self.reached(token.revision).await?;
                self.check_branch(token, verdict).await?;
            }
            Consistency::FullyConsistent => {
                let current = self.at_head().await?;
                return Ok(self.view_of(&current.snapshot, current.hash.short()));
            }
            Consistency::AtExactSnapshot(token) => {
                let verdict = self.verify(token).await?;
                self.reached(token.revision).await?;
                self.check_branch(token, verdict).await?;
                return self.exact(token).await;
            }
        }
        let current = self.current.load_full();
        Ok(self.view_of(&current.snapshot, current.hash.short()))
    }

    /// What the further pages of an answer see: the snapshot and the instant of its first page.
    ///
    /// # Errors
    /// As [`Self::view`], but [`Reason::InvalidCursor`] for a cursor of another store or history, and
    /// [`Kind::RevisionGone`] for an instant at which no page can have been given out that may still
    /// be read on, so that no cursor brings back what has expired since.
    pub(crate) async fn view_of_cursor(&self, cursor: &Cursor) -> Result<View, Error> {
        let view = self.view(Consistency::AtExactSnapshot(cursor.token));
        let view = view.await.map_err(|error| {
            // The token is none of this store's: the cursor was given out elsewhere.
            if error.kind == Kind::InvalidArgument {
                error.with_reason(Reason::InvalidCursor)
            } else {
                error
            }
        })?;
        let kept = self
            .settings()
            .snapshots_retained
            .saturating_add(NODES_APART_MAX);
        let oldest = earlier(self.now(), kept).max(view.snapshot.time());
        let newest = later(self.now(), NODES_APART_MAX);
        if cursor.now < oldest || cursor.now > newest {
            let message =
                "invalid revision: the cursor is too old to be read on; begin again without it";
            return Err(Error::new(Kind::RevisionGone, message));
        }
        Ok(View {
            now: cursor.now,
            ..view
        })
    }

    pub(crate) fn kept_look_ups(&self) -> &Kept {
        &self.kept_look_ups
    }

    pub(crate) fn look_up_turns(&self) -> &Turns {
        &self.look_up_turns
    }

    /// The token of a commit, once this node answers from it.
    pub(crate) async fn published(
        &self,
        revision: Revision,
        hash: CommitHash,
    ) -> Result<Token, Error> {
        self.reached(revision).await?;
        let token = self.token(revision, hash.short());
        self.check_branch(token, TokenVerdict::Known(revision))
            .await?;
        Ok(token)
    }

    pub(crate) fn watches(&self) -> &Watches {
        &self.watches
    }

    pub(crate) fn replicas(&self) -> &Replicas {
        &self.replicas
    }

    /// The head of the store at some instant after the call.
    pub(crate) async fn ask_head(&self) -> Result<Head, Error> {
        self.heads.ask().await
    }

    /// What is seen of the newest snapshot, with the records of its revision.
    pub(crate) fn view_with_records(&self) -> (View, Records) {
        let current = self.current.load();
        let view = self.view_of(&current.snapshot, current.hash.short());
        (view, current.records.clone())
    }

    pub(crate) fn identity(&self) -> StoreIdentity {
        self.identity
    }

    pub(crate) fn digesting(&self) -> &tokio::sync::Mutex<()> {
        &self.digesting
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What records say of access, now.
    pub(crate) fn access(&self) -> Arc<access::State> {
        Arc::clone(&self.current.load().records.access)
    }

    pub(crate) fn write_gate(&self) -> &tokio::sync::RwLock<()> {
        &self.write_gate
    }

    pub(crate) fn publishing(&self) -> &tokio::sync::Mutex<()> {
        &self.publishing
    }

    pub(crate) fn clock_offset(&self) -> &ClockOffset {
        &self.clock_offset
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Notes that this node was at the head when that was asked, or has been so since.
    pub(crate) fn confirm(&self, asked: Asked) {
        self.confirmed.note(asked);
    }

    /// Notes that this node cannot follow any further.
    pub(crate) fn give_up(&self, why: String) {
        // The first reason stays.
        if self.stopped.set(why.clone()).is_ok() {
            tracing::error!(
                why,
                "stopped following the store; this node is no longer ready"
            );
        }
        // Wakes those who wait for a revision that will not come.
        self.revision.send_modify(|_| {});
    }

    /// What this node has of the head, or of a later commit that the store's log has as well.
    ///
    /// A page of the log that was read before a standby took over may come after it. So what lies behind the head that was
    /// told counts only once the store is asked again.
    pub(crate) async fn at_head(&self) -> Result<Arc<Published>, Error> {
        let mut least = None;
        loop {
            let own = self.current.load_full();
            let head = self.ask_head().await?;
            if head.revision < own.snapshot.revision() {
                return Err(self.forked(own.snapshot.revision()));
            }
            self.reached(head.revision).await?;
            let token = self.token(head.revision, head.hash.short());
            self.check_branch(token, TokenVerdict::Known(head.revision))
                .await?;
            let enough = *least.get_or_insert(head.revision);
            let current = self.current.load_full();
            let mut known = [own, current].into_iter();
            let is_known =
                |at: &Arc<Published>| (enough..=head.revision).contains(&at.snapshot.revision());
            if let Some(known) = known.find(is_known) {
                return Ok(known);
            }
        }
    }

    /// Gives up, since the store's log has not the commit of that revision that this node has.
    pub(crate) fn forked(&self, revision: Revision) -> Error {
        let why = FollowError::Forked { revision }.to_string();
        self.give_up(why.clone());
        stopped(&why)
    }

    /// Gives up, since the store says that it is another one, or has lost commits which it made for this node. The node need
    /// not have read those, so that the log alone may not tell.
    pub(crate) fn diverged(&self, error: CommitError) -> Error {
        let why = error.to_string();
        self.give_up(why.clone());
        stopped(&why).caused_by(error)
    }

    /// Makes sure that what this node has reached comes after the commit of a token that the store knows, rather than after
    /// another of its revision.
    async fn check_branch(&self, token: Token, verdict: TokenVerdict) -> Result<(), Error> {
        match verdict {
            // The log does not tell either: a branch that old is none that a node can be on.
            TokenVerdict::Old(_) => return Ok(()),
            TokenVerdict::Known(_) => {}
        }
        let known = {
            let hashes = self.hashes.read().unwrap_or_else(PoisonError::into_inner);
            hashes.short(token.revision)
        };
        let current = self.current.load_full();
        let own = self.token(current.snapshot.revision(), current.hash.short());
        let is_same = match known {
            Some(hash) => hash == token.hash,
            // From before this node's start: both are of one branch if the store has this node's commit as well.
            None => match self.store.verify(own).await {
                Ok(TokenVerdict::Known(_) | TokenVerdict::Old(_)) => true,
                Err(TokenRefused::Store(error)) => {
                    return Err(unknown_token(TokenRefused::Store(error)));
                }
                Err(
                    TokenRefused::OtherStore
                    | TokenRefused::OtherHistory
                    | TokenRefused::BeyondHead { .. }
                    | TokenRefused::HashMismatch { .. },
                ) => false,
            },
        };
        if is_same {
            Ok(())
        } else {
            Err(self.forked(own.revision))
        }
    }

    async fn exact(&self, token: Token) -> Result<View, Error> {
        let current = self.current.load_full();
        if current.snapshot.revision() == token.revision {
            return Ok(self.view_of(&current.snapshot, token.hash));
        }
        let nearest = {
            let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
            history.nearest(token.revision)
        };
        let (from, hash) = nearest.unwrap_or_else(|| (Arc::clone(&current.snapshot), current.hash));
        let snapshot = follow::rebuild(self, (&from, hash), token).await?;
        Ok(self.view_of(&snapshot, token.hash))
    }

    pub(crate) fn view_of(&self, snapshot: &Arc<Snapshot>, hash: [u8; 8]) -> View {
        View {
            snapshot: Arc::clone(snapshot),
            token: self.token(snapshot.revision(), hash),
            now: self.clock.now().max(snapshot.time()),
        }
    }

    fn token(&self, revision: Revision, hash: [u8; 8]) -> Token {
        Token {
            store: self.identity.store,
            history: self.identity.history,
            revision,
            hash,
        }
    }

    /// Waits until this node has reached `revision`.
    pub(crate) async fn reached(&self, revision: Revision) -> Result<(), Error> {
        let mut seen = self.revision.subscribe();
        if *seen.borrow() >= revision {
            return self.ready();
        }
        let begun = Instant::now();
        let waiting = seen.wait_for(|reached| *reached >= revision || self.stopped.get().is_some());
        let wait_max = self.settings().wait_max;
        let waited = tokio::time::timeout(wait_max, waiting).await;
        self.metrics.note_wait(waited.is_ok(), begun.elapsed());
        match waited {
            Ok(_) => self.ready(),
            Err(_) => Err(Error::new(
                Kind::DeadlineExceeded,
                format!(
                    "this node did not reach the asked revision within {} s",
                    self.settings().wait_max.as_secs()
                ),
            )),
        }
    }

    /// Checks that a token is one of this store's history.
    async fn verify(&self, token: Token) -> Result<TokenVerdict, Error> {
        self.verdict(token).await.map_err(unknown_token)
    }

    /// What the log says of a token; of a recent one, without being asked.
    pub(crate) async fn verdict(&self, token: Token) -> Result<TokenVerdict, TokenRefused> {
        if token.store == self.identity.store && token.history == self.identity.history {
            let hashes = self.hashes.read().unwrap_or_else(PoisonError::into_inner);
            if hashes.short(token.revision) == Some(token.hash) {
                return Ok(TokenVerdict::Known(token.revision));
            }
        }
        self.store.verify(token).await
    }
}

fn stopped(why: &str) -> Error {
    let message = format!("this node stopped following its store: {why}");
    Error::new(Kind::Unavailable, message)
}

/// Why a request's token is not accepted, for its caller.
pub(crate) fn unknown_token(refused: TokenRefused) -> Error {
    let message = refused.to_string();
    match refused {
        TokenRefused::BeyondHead { .. } => {
            Error::new(Kind::RevisionGone, format!("invalid revision: {message}"))
        }
        TokenRefused::OtherStore
        | TokenRefused::OtherHistory
        | TokenRefused::HashMismatch { .. } => Error::new(
            Kind::InvalidArgument,
            format!("invalid revision requested: {message}"),
        ),
        TokenRefused::Store(error) => Error::new(
            Kind::Unavailable,
            "the store cannot be asked about the token",
        )
        .caused_by(error),
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("revision", &self.current.load().snapshot.revision())
            .finish_non_exhaustive()
    }
}
