//! What a simulation shares: virtual time, the store and its branches, and in what state each node is.
//!
//! Time goes in turns of some milliseconds, and each actor has its own millisecond of a turn, its [`Slot`]. Tokio wakes the
//! tasks of one instant in an order that no seed decides; so what different actors do never falls on one, and a client's
//! call goes on in the client's slots alone ([`World::paced`]).

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use model::{Clock, HistoryId, Revision, StoreId, Timestamp, Token};
use ops::Node;
use store::LogEntry;
use testkit::history::{Branch, Entry};
use testkit::rng::Rng;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::model_store::ModelStore;

pub(crate) const NODES: usize = 3;
pub(crate) const CLIENTS: usize = 8;

/// How far the clock of a node is from virtual time, at most.
pub(crate) const CLOCK_OFFSET_MAX: Duration = Duration::from_millis(250);
/// How long a node answers without having heard of the store.
pub(crate) const STALENESS_MAX: Duration = Duration::from_secs(3);

const TURN_MILLIS: u64 = 32;
/// Virtual time begins here, in seconds since the epoch.
const BEGINNING: i64 = 1_900_000_000;

/// A millisecond of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Faults, and starts of nodes: a node loads on threads, so nothing else happens meanwhile.
    Driver,
    /// A client asks, and its call takes its next step.
    Client(usize),
    /// A call of a node's own tasks is at the store.
    Store,
    /// What the store said reaches them.
    Arrival,
    /// A node is told of a new head.
    News,
}

impl Slot {
    fn millis(self) -> u64 {
        match self {
            Self::Driver => 0,
            // A node that polls does so a second after an arrival, in millisecond 1.
            Self::Client(client) => 2 + client as u64,
            Self::Store => 24,
            Self::Arrival => 25,
            Self::News => 28,
        }
    }
}

/// How long a request waits for a revision.
pub(crate) const WAIT_MAX: Duration = Duration::from_millis(TURN_MILLIS * 300);

/// A way in which node 0 is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It answers from what it has, whatever token it is given.
    IgnoresTokens,
    /// It leaves out what some commits changed.
    SkipsCommits,
    /// Its log lacks entries, which it has to notice.
    LosesEntries,
    /// It applies the commits of a page from the last to the first.
    AppliesOutOfOrder,
    /// It takes the answer to the head question that was asked before.
    JoinsHeadQuestions,
    /// It stays with the store that was replaced.
    ServesLostBranch,
    /// Its clock runs back.
    ClockRunsBack,
}

/// What a run is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// How much each client asks.
    pub(crate) steps: usize,
    /// Whether standbys that lag take over.
    pub(crate) has_forks: bool,
    pub(crate) broken: Option<Broken>,
}

/// In what state a node is.
#[derive(Debug, Default)]
pub(crate) struct Place {
    pub(crate) node: Option<Arc<Node>>,
    /// The turns until which it does nothing, is cut off from the store, and is not started again.
    pub(crate) paused_until: u64,
    pub(crate) cut_off_until: u64,
    pub(crate) down_until: u64,
    /// Answers of the store that are on their way to it.
    pub(crate) answers_under_way: usize,
    /// Whether its store says, when it is to commit, that it has lost commits which it made for this node.
    pub(crate) has_diverged: bool,
    clock_offset_micros: i64,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    begun: Instant,
    /// Whether nothing gets lost or takes long any more.
    pub(crate) is_well: AtomicBool,
    stores: Mutex<Stores>,
    places: [Mutex<Place>; NODES],
    /// How many times each node was started.
    pub(crate) starts: [watch::Sender<usize>; NODES],
    /// What each node hears of the head.
    pub(crate) news: [watch::Sender<Revision>; NODES],
    /// The newest token of each client.
    newest: Mutex<[Option<Token>; CLIENTS]>,
}

/// The store, and those that it replaced.
struct Stores {
    since: Timestamp,
    current: Arc<ModelStore>,
    lost: Vec<(Timestamp, Arc<ModelStore>)>,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Arc<Self> {
        let id = plan.seed.to_be_bytes();
        let store = ModelStore::new(StoreId(id), HistoryId(id));
        Arc::new(Self {
            plan,
            begun: Instant::now(),
            is_well: AtomicBool::new(false),
            stores: Mutex::new(Stores {
                since: Timestamp::from_seconds(BEGINNING, 0).unwrap(),
                current: Arc::new(store),
                lost: Vec::new(),
            }),
            places: Default::default(),
            starts: std::array::from_fn(|_| watch::Sender::new(0)),
            news: std::array::from_fn(|_| watch::Sender::new(Revision(0))),
            newest: Mutex::new([None; CLIENTS]),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        let micros = self.begun.elapsed().as_micros();
        let beginning = Timestamp::from_seconds(BEGINNING, 0).unwrap();
        beginning.saturating_add_micros(i64::try_from(micros).unwrap())
    }

    pub(crate) fn turn(&self) -> u64 {
        self.millis() / TURN_MILLIS
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap()
    }

    /// Waits for a slot of a turn.
    pub(crate) async fn at(&self, turn: u64, slot: Slot) {
        let millis = turn * TURN_MILLIS + slot.millis();
        assert!(self.millis() <= millis, "{slot:?} of turn {turn} is past");
        tokio::time::sleep_until(self.begun + Duration::from_millis(millis)).await;
    }

    /// Takes each step of `call` in that slot, however many of them may be woken at one instant.
    pub(crate) async fn paced<T>(&self, slot: Slot, call: impl Future<Output = T>) -> T {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut call = pin!(call);
        loop {
            if let Poll::Ready(done) = call.as_mut().poll(&mut Context::from_waker(&waker)) {
                return done;
            }
            woken.0.notified().await;
            self.at(self.turn() + 1, slot).await;
        }
    }

    /// A generator for one event, the same in each run of the seed.
    pub(crate) fn dice(&self, event: &str) -> Rng {
        let mut state = self.plan.seed;
        for byte in event.bytes().chain(self.millis().to_be_bytes()) {
            state = Rng::new(state ^ u64::from(byte)).next_u64();
        }
        Rng::new(state)
    }

    pub(crate) fn place(&self, node: usize) -> MutexGuard<'_, Place> {
        self.places[node]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The node with the number of its start, if it runs.
    pub(crate) fn node(&self, node: usize) -> Option<(Arc<Node>, usize)> {
        let running = self.place(node).node.clone()?;
        Some((running, *self.starts[node].borrow()))
    }

    pub(crate) fn is_cut_off(&self, node: usize) -> bool {
        self.turn() < self.place(node).cut_off_until
    }

    /// Whether a message between `node` and the store is lost.
    pub(crate) fn loses(&self, node: usize, dice: &mut Rng) -> bool {
        let is_lost = dice.chance(1) && !self.is_well.load(Ordering::Relaxed);
        is_lost || self.is_cut_off(node)
    }

    /// How long a way to the store or back takes, in turns. Disks are slow at times.
    pub(crate) fn delay(&self, dice: &mut Rng) -> u64 {
        let turns_max = match dice.below(100) {
            0 if !self.is_well.load(Ordering::Relaxed) => 60,
            0..10 => 8,
            _ => 1,
        };
        dice.below(turns_max) as u64
    }

    /// Waits until the node is not paused.
    pub(crate) async fn resumed(&self, node: usize, slot: Slot) {
        loop {
            let until = self.place(node).paused_until;
            if self.turn() >= until {
                return;
            }
            self.at(until, slot).await;
        }
    }

    pub(crate) fn set_clock(&self, node: usize, offset_micros: i64) {
        self.place(node).clock_offset_micros = offset_micros;
    }

    pub(crate) fn newest(&self) -> MutexGuard<'_, [Option<Token>; CLIENTS]> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store that `node` reaches.
    pub(crate) fn store(&self, node: usize) -> Arc<ModelStore> {
        let stores = self.stores.lock().unwrap();
        let lost = stores.lost.first().map(|(_, store)| store);
        match (self.plan.broken, node, lost) {
            (Some(Broken::ServesLostBranch), 0, Some(lost)) => Arc::clone(lost),
            _ => Arc::clone(&stores.current),
        }
    }

    /// The store of the moment.
    pub(crate) fn current_store(&self) -> Arc<ModelStore> {
        Arc::clone(&self.stores.lock().unwrap().current)
    }

    /// A standby takes over that has the log up to `last`.
    pub(crate) fn fail_over(&self, last: Revision) {
        let now = self.now();
        let mut stores = self.stores.lock().unwrap();
        let standby = Arc::new(stores.current.standby(last));
        let since = std::mem::replace(&mut stores.since, now);
        let lost = std::mem::replace(&mut stores.current, standby);
        stores.lost.push((since, lost));
    }

    /// The logs of all stores there were.
    pub(crate) fn branches(&self) -> Vec<Branch> {
        let stores = self.stores.lock().unwrap();
        let lost = stores.lost.iter().map(|(since, store)| (*since, store));
        let all = lost.chain([(stores.since, &stores.current)]);
        all.map(|(since, store)| Branch {
            since,
            entries: store.entries().into_iter().map(entry).collect(),
        })
        .collect()
    }

    /// Tells the nodes of a new head: late, not at all, or after a later one.
    pub(crate) fn spread(self: &Arc<Self>, head: Revision) {
        for node in 0..NODES {
            let mut dice = self.dice(&format!("news of {head} for {node}"));
            let is_told = dice.chance(80) && !self.is_cut_off(node);
            if !is_told || (node == 0 && self.plan.broken == Some(Broken::AppliesOutOfOrder)) {
                continue;
            }
            let delay = if dice.chance(70) {
                0
            } else {
                dice.below(20) as u64
            };
            let world = Arc::clone(self);
            tokio::spawn(async move {
                world.at(world.turn() + delay, Slot::News).await;
                world.news[node].send_replace(head);
            });
        }
    }
}

/// Remembers that it was woken.
#[derive(Default)]
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// What a write is known by, as its metadata.
pub(crate) fn metadata(name: &str) -> String {
    format!("{{\"name\":\"{name}\"}}")
}

pub(crate) fn name_of(metadata: Option<&str>) -> Option<&str> {
    metadata?.strip_prefix("{\"name\":\"")?.strip_suffix("\"}")
}

fn entry(entry: LogEntry) -> Entry {
    Entry {
        computed_hash: entry.computed_hash(),
        revision: entry.revision,
        time: entry.time,
        previous: entry.previous,
        hash: entry.hash,
        name: name_of(entry.provenance.metadata.as_deref()).map(str::to_owned),
        changes: entry
            .changes
            .into_iter()
            .map(|change| (change.before, change.after))
            .collect(),
        schema: entry.schema.map(|schema| schema.after),
    }
}

/// The clock of a node.
pub(crate) struct NodeClock {
    pub(crate) world: Arc<World>,
    pub(crate) node: usize,
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        let offset = self.world.place(self.node).clock_offset_micros;
        self.world.now().saturating_add_micros(offset)
    }
}
