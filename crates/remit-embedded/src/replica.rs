//! An engine that follows a server: a node whose store is the server's, read over the wire.
//!
//! Consistency, staleness, history, locks and tokens are those of every node, by the same code (`ops::Node`); what is here is the
//! store that it follows ([`followed`]), the way to it ([`connection`], [`listening`]) and the copy that it begins with ([`cache`]).

mod cache;
mod connection;
mod entries;
mod followed;
mod health;
mod listening;
mod pieces;

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{Revision, SystemClock};
use ops::replica::{Header, Page, State};
use ops::{Node, Settings};
use store::{StoreIdentity, TokenVerdict};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::cache::{Cache, Cached};
use self::connection::{CallError, Connection};
use self::followed::Followed;
use self::health::Notes;
use self::listening::jittered;
use crate::{Engine, FollowError};

pub use self::health::Health;

/// What to follow, and how.
#[derive(Debug, Clone)]
pub struct Follow {
    /// The server.
    pub server: Server,
    /// Where a copy is kept on disk, so that a restarted replica need not load everything; none for nowhere. It holds all that the
    /// server does.
    pub cache: Option<PathBuf>,
    /// What the engine is set to.
    pub settings: Settings,
    /// How patient it is.
    pub pace: Pace,
}

/// A server, and how to reach it.
#[derive(Clone)]
pub struct Server {
    /// Host and port: `remit.example.org:50051`.
    pub endpoint: String,
    /// The key of a caller that may `replicate`, or another bearer token; none for a server that asks for none.
    pub key: Option<String>,
    /// How the connection is protected.
    pub transport: Transport,
}

/// How a connection is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Not at all: for loopback, and where something else protects it.
    Plaintext,
    /// TLS, trusting these certificates (PEM).
    Tls {
        /// The certificates of the authorities to trust.
        authorities_pem: String,
    },
}

/// How patient a replica is, and how often it does what it does again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// How long a connection may take.
    pub connect_max: Duration,
    /// How long a call may take, and the next message of a long one.
    pub call_max: Duration,
    /// How long [`Engine::follow`] tries before it gives up.
    pub start_max: Duration,
    /// How long the server may be silent before the connection is made anew; it tells something each second.
    pub silence_max: Duration,
    /// The longest wait between two attempts to connect.
    pub wait_max: Duration,
    /// How often the cache is written, if there is something new.
    pub cache_every: Duration,
    /// How often its relationships are compared with those of the server, by their digest; none for never.
    pub compare_every: Option<Duration>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            connect_max: Duration::from_secs(5),
            call_max: Duration::from_secs(10),
            start_max: Duration::from_secs(30),
            silence_max: Duration::from_secs(5),
            wait_max: Duration::from_secs(5),
            cache_every: Duration::from_secs(10 * 60),
            compare_every: Some(Duration::from_secs(24 * 60 * 60)),
        }
    }
}

impl From<Server> for Follow {
    fn from(server: Server) -> Self {
        Self {
            server,
            cache: None,
            settings: Settings::default(),
            pace: Pace::default(),
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("endpoint", &self.endpoint)
            .field("has_key", &self.key.is_some())
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// An engine that follows a server. It answers as [`Engine`] does; writes go to the server, and a token from there is honoured here.
///
/// Where the server lost what the replica has (its log went back, or it is of another history), the replica stops as a node does, and
/// is to be started anew.
#[derive(Debug)]
pub struct Replica {
    engine: Engine,
    connection: Arc<Connection>,
    notes: Arc<Notes>,
    cache: Option<Arc<Cache>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts a replica: from its cache where that is a past of what the server has, else from all that the server has.
    ///
    /// It comes back once it answers. Where the server cannot be asked and there is a cache, it comes back at once and
    /// answers nothing before the server confirmed that it is at the head, as a node that starts. Where the connection is
    /// interrupted while it starts, or it takes over 30 seconds, it may come back without answering yet: [`Engine::ready`] and
    /// [`Replica::health`] say why.
    ///
    /// # Errors
    /// [`FollowError`]
    pub async fn follow(follow: impl Into<Follow>) -> Result<Replica, FollowError> {
        let Follow {
            server,
            cache,
            settings,
            pace,
        } = follow.into();
        let connection = Arc::new(Connection::new(&server, &pace)?);
        let cache = cache
            .map(|path| Cache::take(&path).map(Arc::new))
            .transpose()?;
        let start = Start {
            endpoint: server.endpoint,
            connection,
            settings,
            until: Instant::now() + pace.start_max,
            pace,
        };
        let cached = match cache.clone() {
            None => None,
            Some(cache) => tokio::task::spawn_blocking(move || cache.open())
                .await
                .unwrap_or(None),
        };
        let (node, followed) = start.node(cached).await?;
        Ok(start.running(node, followed, cache).await)
    }
}

/// A replica that starts.
struct Start {
    endpoint: String,
    connection: Arc<Connection>,
    settings: Settings,
    pace: Pace,
    until: Instant,
}

/// What the server says of the cache.
enum Beginning {
    /// The server's log goes on from the cache.
    Cache(Cached),
    /// All is to be loaded from the server, which has that store.
    Server(StoreIdentity),
    /// The server does not answer; the cache may yet prove to be of no use.
    CacheAlone(Cached),
}

impl Start {
    /// The node, loaded.
    async fn node(
        &self,
        mut cached: Option<Cached>,
    ) -> Result<(Arc<Node>, Arc<Followed>), FollowError> {
        let mut wait = Duration::from_millis(100);
        loop {
            let trouble = match self.beginning(&mut cached).await {
                Ok(beginning) => match self.load(beginning).await {
                    Ok(started) => return Ok(started),
                    Err(error) => {
                        if Instant::now() >= self.until {
                            return Err(FollowError::Load(error));
                        }
                        error.to_string()
                    }
                },
                Err(error) => match error.refusal() {
                    Some(message) => {
                        return Err(FollowError::Refused {
                            endpoint: self.endpoint.clone(),
                            message: message.to_owned(),
                        });
                    }
                    None => error.to_string(),
                },
            };
            if Instant::now() >= self.until {
                return Err(FollowError::Unreachable {
                    endpoint: self.endpoint.clone(),
                    seconds: self.pace.start_max.as_secs(),
                    message: trouble,
                });
            }
            tracing::warn!(
                error = trouble,
                "the replica cannot start yet; trying again"
            );
            self.connection.renew();
            tokio::time::sleep(jittered(wait)).await;
            wait = (wait * 2).min(self.pace.wait_max);
        }
    }

    /// What to begin with. A cache is used once at most.
    async fn beginning(&self, place: &mut Option<Cached>) -> Result<Beginning, CallError> {
        let asked = self.connection.head().await;
        let identity = match (asked, place.take()) {
            (Ok((identity, _)), None) => return Ok(Beginning::Server(identity)),
            (Ok((identity, _)), Some(cached)) => {
                if identity != cached.header.identity {
                    tracing::warn!(
                        "the cache of the replica is of another store or history, and is not used"
                    );
                    return Ok(Beginning::Server(identity));
                }
                match self.goes_on(&cached).await {
                    Ok(true) => return Ok(Beginning::Cache(cached)),
                    Ok(false) => {
                        let revision = cached.header.head.revision.0;
                        tracing::warn!(
                            revision,
                            "the log of the server does not go on from the cache of the replica, which is not used"
                        );
                    }
                    Err(error) => {
                        *place = Some(cached);
                        return Err(error);
                    }
                }
                identity
            }
            (Err(error), None) => return Err(error),
            (Err(error), Some(cached)) => {
                if error.refusal().is_some() {
                    return Err(error);
                }
                tracing::warn!(%error, "the server cannot be asked; the replica begins with its cache and answers once it can");
                return Ok(Beginning::CacheAlone(cached));
            }
        };
        Ok(Beginning::Server(identity))
    }

    /// Whether the server's log still has what comes after the cache, and has its commit before that. That a token of it is known
    /// does not say so: hashes are remembered for longer than entries are kept.
    async fn goes_on(&self, cached: &Cached) -> Result<bool, CallError> {
        let Header { identity, head, .. } = &cached.header;
        let (found, page) = self.connection.log(head.revision, 1).await?;
        if found != *identity {
            return Ok(false);
        }
        match page {
            Page::Trimmed { .. } | Page::BeyondHead { .. } => Ok(false),
            Page::Entries(entries) => match entries.first() {
                Some(next) => Ok(next.previous == head.hash),
                None => {
                    let token = identity.token(head.revision, &head.hash);
                    let (found, verdict) = self.connection.verify(token).await?;
                    Ok(found == *identity && matches!(verdict, Ok(TokenVerdict::Known(_))))
                }
            },
        }
    }

    async fn load(&self, beginning: Beginning) -> Result<(Arc<Node>, Arc<Followed>), ops::Error> {
        let (identity, cached) = match beginning {
            Beginning::Server(identity) => (identity, None),
            Beginning::Cache(cached) | Beginning::CacheAlone(cached) => {
                (cached.header.identity, Some(cached))
            }
        };
        let is_past = cached.is_some();
        let followed = Arc::new(Followed::new(
            identity,
            Arc::clone(&self.connection),
            cached,
        ));
        let (store, settings) = (Arc::clone(&followed) as _, self.settings.clone());
        let clock = Arc::new(SystemClock);
        let node = if is_past {
            Node::start_in_the_past(store, clock, settings).await?
        } else {
            Node::start(store, clock, settings).await?
        };
        Ok((node, followed))
    }

    /// Starts what a replica does beside answering, and waits until it answers where that takes but a moment.
    async fn running(
        &self,
        node: Arc<Node>,
        followed: Arc<Followed>,
        cache: Option<Arc<Cache>>,
    ) -> Replica {
        let notes = Arc::new(Notes::default());
        let listening = listening::run(
            Arc::clone(&self.connection),
            followed,
            Arc::clone(&notes),
            self.pace.clone(),
        );
        let mut tasks = vec![
            tokio::spawn(listening),
            tokio::spawn(ops::housekeeping::run_in_memory(Arc::clone(&node))),
        ];
        if let Some(every) = self.pace.compare_every {
            tasks.push(tokio::spawn(ops::digest::run(Arc::clone(&node), every)));
        }
        let engine = Engine::of(node);
        if let Some(cache) = cache.clone() {
            let (engine, every) = (engine.clone(), self.pace.cache_every);
            tasks.push(tokio::spawn(keep_cache(engine, cache, every)));
        }
        let replica = Replica {
            engine,
            connection: Arc::clone(&self.connection),
            notes,
            cache,
            tasks,
        };
        replica.settle().await;
        replica
    }
}

/// Writes the cache again and again: as soon as the engine answers, and then whenever it is time and there is something new. One that
/// could not be written has its turn at the next time as well.
async fn keep_cache(engine: Engine, cache: Arc<Cache>, every: Duration) {
    const LOOK: Duration = Duration::from_millis(200);
    let mut written: Option<Revision> = None;
    loop {
        let revision = engine.node.snapshot().revision();
        if engine.ready().is_err() {
            tokio::time::sleep(LOOK.min(every)).await;
            continue;
        }
        if written != Some(revision) {
            match write_cache(&engine, &cache).await {
                Ok(revision) => written = Some(revision),
                Err(error) => tracing::warn!(%error, "the cache of the replica cannot be written"),
            }
        }
        tokio::time::sleep(every).await;
    }
}

/// Writes what the engine has, and tells of which revision that is.
async fn write_cache(engine: &Engine, cache: &Arc<Cache>) -> std::io::Result<Revision> {
    let state = State::newest(&engine.node, &engine.caller).map_err(std::io::Error::other)?;
    let cache = Arc::clone(cache);
    let writing = tokio::task::spawn_blocking(move || {
        cache.write(&state)?;
        Ok(state.header().head.revision)
    });
    writing.await.map_err(std::io::Error::other)?
}

impl Replica {
    /// How it does.
    #[must_use]
    pub fn health(&self) -> Health {
        let heard = self.notes.read();
        let ago = self.engine.node.confirmed_ago();
        Health {
            is_connected: heard.is_connected,
            revision: self.engine.node.snapshot().revision(),
            server_revision: heard.server_revision,
            confirmed_ago: (ago != Duration::MAX).then_some(ago),
            interruptions: heard.interruptions,
            trouble: heard.trouble,
        }
    }

    /// Calls the server with that key, or token, from here on: before the one in use runs out.
    ///
    /// # Errors
    /// [`FollowError::Key`] if it has characters that cannot be sent.
    pub fn use_key(&self, key: &str) -> Result<(), FollowError> {
        self.connection.use_key(key)
    }

    /// Waits until the replica answers, or the server is out of reach.
    async fn settle(&self) {
        const LOOK: Duration = Duration::from_millis(5);
        const SETTLE_MAX: Duration = Duration::from_secs(30);
        let settled = async {
            while self.engine.ready().is_err() && self.notes.read().interruptions == 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        // It is started all the same: whether it answers, it says itself.
        let _late = tokio::time::timeout(SETTLE_MAX, settled).await;
    }

    /// Stops the replica; what it has is written to its cache, for the next start.
    ///
    /// # Errors
    /// [`std::io::Error`] if the cache cannot be written.
    pub async fn close(self) -> std::io::Result<()> {
        if let (Some(cache), Ok(())) = (&self.cache, self.engine.ready()) {
            write_cache(&self.engine, cache).await?;
        }
        Ok(())
    }
}

impl Deref for Replica {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.engine.node.stop();
        for task in &self.tasks {
            task.abort();
        }
    }
}
