//! More than can be done: what is refused, what waits, and who comes first.
//!
//! Every call of every protocol passes [`Overload::admit`] once it is known who calls, before its message is decoded. Three things may be in its
//! way, in this order: its caller's quota ([`account`], by the rules of [`limits`]), the memory of the node ([`memory`]), and the door of its
//! class ([`gate`]). Whose bytes are read at all when the processors cannot keep up is decided before that, in `connections::pace`. Checks have
//! a door of their own, so they wait for no look-up; and that of bulk narrows while calls wait for a processor.
//! A refusal is an answer of its own kind ([`refusal`]): nothing was done, and it says when to come back.

mod account;
mod class;
mod counters;
mod gate;
mod limits;
mod memory;
mod queue;
mod refusal;
mod size;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{Request, Response};
use prometheus_client::registry::Registry;
use tokio::task::AbortHandle;
use tonic::body::Body;

use crate::connections::{Arrival, BodyBytes, Handshakes, Line, Patience, Places};
use account::{Accounts, Asked};
use counters::{Counters, OverloadCollector};
use gate::{Gate, Place, Room};
use memory::Memory;

pub(crate) use account::Account;
pub use class::Class;
use class::Kind;
pub use limits::{Limits, LimitsError};
use memory::State as MemoryState;
pub use memory::{Gauge, MemorySettings, allowed_bytes};
pub(crate) use queue::Queue;
use refusal::Refusal;
pub(crate) use refusal::RefusedOverHttp;
pub(crate) use size::Announced;

/// How a server guards itself.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How much callers may ask for, to begin with.
    pub limits: Arc<LimitsInForce>,
    /// Connections at once, those of metrics aside.
    pub connections_max: usize,
    /// Connections at once from one address that is not this machine's; none for no such limit.
    pub connections_per_peer_max: Option<usize>,
    /// Handshakes of TLS under way, those of metrics aside; more wait.
    pub handshakes_max: usize,
    /// Calls that one connection may have under way; more wait at the client.
    pub connection_calls_max: u32,
    /// How long a connection may take for its handshake, and then to say what it speaks.
    pub greeting_max: Duration,
    /// How long a client may neither send what it began nor take what it asked for.
    pub stall_max: Duration,
    /// How long a connection may be without a call.
    pub idle_max: Duration,
    /// How much memory there may be.
    pub memory: MemorySettings,
    /// How long connections are still taken after it was said that there are to be none.
    pub drain: Duration,
}

/// The limits of callers, which can be replaced while the server runs.
#[derive(Debug)]
pub struct LimitsInForce(Accounts);

/// The guard of one server.
#[derive(Debug)]
pub(crate) struct Overload {
    began: Instant,
    settings: Settings,
    gates: [Arc<Gate>; 4],
    memory: Memory,
    counters: Counters,
    places: Arc<Places>,
    handshakes: Arc<Handshakes>,
    /// The longest that a call waited for a processor lately, in microseconds.
    lag: AtomicU64,
}

/// A call that was let in. What it cost is known when this is dropped.
#[derive(Debug)]
pub(crate) struct Pass {
    overload: Arc<Overload>,
    account: Arc<Account>,
    class: Class,
    bytes: BodyBytes,
    began: Instant,
    _place: Place,
    _asked: Asked,
}

/// Ends what the guard does beside calls when it is dropped.
#[derive(Debug)]
pub(crate) struct Tending([AbortHandle; 2]);

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: LimitsInForce::new(Limits::default()),
            connections_max: 10_000,
            connections_per_peer_max: None,
            handshakes_max: 512,
            connection_calls_max: 1_024,
            greeting_max: Duration::from_secs(10),
            stall_max: Duration::from_secs(30),
            idle_max: Duration::from_secs(900),
            memory: MemorySettings::default(),
            drain: Duration::ZERO,
        }
    }
}

impl Settings {
    pub(crate) fn patience(&self) -> Patience {
        Patience {
            greeting_max: self.greeting_max,
            stall_max: self.stall_max,
            idle_max: self.idle_max,
        }
    }
}

impl LimitsInForce {
    /// Takes these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self(Accounts::new(limits)))
    }

    /// Takes other limits, for every call after it. What callers owe stays owed.
    pub fn replace(&self, limits: Limits) {
        self.0.replace(limits);
    }
}

impl Overload {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            gates: Class::ALL.map(|class| Gate::new(class, room(class))),
            memory: Memory::new(settings.memory.clone()),
            counters: Counters::default(),
            places: Places::new(settings.connections_max, settings.connections_per_peer_max),
            handshakes: Handshakes::new(settings.handshakes_max),
            lag: AtomicU64::new(0),
            settings,
        })
    }

    /// Starts what is done beside calls: looking at the memory, and at how long calls wait for a processor.
    pub(crate) fn tend(self: &Arc<Self>) -> Tending {
        let (memory, pressure) = (Arc::clone(self), Arc::clone(self));
        let memory = tokio::spawn(async move { memory.memory.watch().await });
        let pressure = tokio::spawn(async move { pressure.keep_pressure().await });
        Tending([memory.abort_handle(), pressure.abort_handle()])
    }

    pub(crate) fn register(self: &Arc<Self>, registry: &mut Registry) {
        self.counters.register(registry);
        registry.register_collector(Box::new(OverloadCollector::of(self)));
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The places of connections, those of metrics aside.
    pub(crate) fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// The handshakes of connections, those of metrics aside.
    pub(crate) fn handshakes(&self) -> &Arc<Handshakes> {
        &self.handshakes
    }

    pub(crate) fn note_connection(&self, reason: &'static str) {
        self.counters.note_connection(reason);
    }

    /// A call waited so long for a processor.
    pub(crate) fn note_lag(&self, waited: Duration) {
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        if micros > self.lag.load(Ordering::Relaxed) {
            self.lag.store(micros, Ordering::Relaxed);
        }
    }

    /// Lets in what is asked at `path` by the caller called `name`, who has `waited` and waits no longer than `left`; none for what is never
    /// refused.
    ///
    /// # Errors
    /// The answer to a call that is refused.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        (path, name): (&str, &str),
        arrival: Option<&Arrival>,
        (waited, left): (Duration, Duration),
        request: Request<Body>,
    ) -> Result<(Option<Pass>, Request<Body>), Response<Body>> {
        let began = Instant::now();
        let (class, request) = match Kind::of(path) {
            Kind::Free => return Ok((None, request)),
            Kind::Of(class) => (class, size::begun(request).await),
            Kind::BySize => size::class_of(request).await,
        };
        let came = began.elapsed();
        let left = left.saturating_sub(came);
        // Where more is sent than is read, a head comes long before its body. Who is slow to send by itself waits for nobody.
        let has_backlog = arrival.is_some_and(|it| it.line.has_backlog());
        let waited = if has_backlog {
            waited.saturating_add(came)
        } else {
            waited
        };
        if let Some(refused) = self.too_late(class, arrival, (waited, left)) {
            return Err(refused);
        }
        let account = self.account(name, arrival.map(|it| &*it.line));
        let class = match (class, account.allowance().class) {
            (Class::Check, Class::Bulk) => Class::Bulk,
            (class, _) => class,
        };
        let refused = |refusal: Refusal| {
            self.counters.note_refused(class, refusal);
            refusal.into_http(class)
        };
        let is_import = path.contains("Import");
        if !self.memory.state().admits(class, is_import) {
            return Err(refused(Refusal::Memory));
        }
        let asked = account.ask(class);
        let asked = asked.ok_or_else(|| refused(Refusal::Concurrency))?;
        let taken = account.take(class.units(), self.began.elapsed());
        taken.map_err(|after| refused(Refusal::Rate { after }))?;
        let entered = self.gate(class).enter(&account, left).await;
        let (place, waited) = entered.map_err(refused)?;
        if let Some(waited) = waited {
            self.counters.note_wait(class, waited);
        }
        let pass = Pass {
            overload: Arc::clone(self),
            account,
            class,
            bytes: arrival.map(|it| it.bytes.clone()).unwrap_or_default(),
            began: Instant::now(),
            _place: place,
            _asked: asked,
        };
        Ok((Some(pass), request))
    }

    /// The refusal of a call that comes too late by what came before it on its connection. Before anything else is asked: most of what a flood
    /// brings ends here, and what that costs is taken from what is answered.
    fn too_late(
        &self,
        class: Class,
        arrival: Option<&Arrival>,
        (waited, left): (Duration, Duration),
    ) -> Option<Response<Body>> {
        let line = &arrival?.line;
        let patience = waited.saturating_add(left).min(wait_max(class));
        if !line.is_behind(waited, patience) {
            return None;
        }
        let refusal = Refusal::NotInTime { wait: waited };
        self.counters.note_refused(class, refusal);
        Some(refusal.into_http(class))
    }

    fn account(&self, name: &str, line: Option<&Line>) -> Arc<Account> {
        let accounts = &self.settings.limits.0;
        let now = self.began.elapsed();
        let Some(line) = line else {
            return accounts.of(name, None, now);
        };
        let last = line.account();
        let account = accounts.of(name, last.as_ref(), now);
        if !last
            .as_ref()
            .is_some_and(|last| Arc::ptr_eq(last, &account))
        {
            line.belongs_to(&account);
        }
        account
    }

    fn gate(&self, class: Class) -> &Arc<Gate> {
        let [check, write, bulk, stream] = &self.gates;
        match class {
            Class::Check => check,
            Class::Write => write,
            Class::Bulk => bulk,
            Class::Stream => stream,
        }
    }

    fn gates(&self) -> impl Iterator<Item = (Class, &Arc<Gate>)> {
        Class::ALL.into_iter().zip(&self.gates)
    }

    fn memory_state(&self) -> MemoryState {
        self.memory.state()
    }

    fn memory_bytes(&self) -> (u64, u64) {
        self.memory.bytes()
    }

    fn connections(&self) -> usize {
        self.places.taken()
    }

    fn callers(&self) -> usize {
        self.settings.limits.0.count()
    }

    /// Narrows the door of bulk while calls wait for a processor, and widens it while they do not.
    async fn keep_pressure(&self) {
        const INTERVAL: Duration = Duration::from_millis(20);
        let bounds = (processors(), room(Class::Bulk).running_max);
        loop {
            tokio::time::sleep(INTERVAL).await;
            let since = Instant::now();
            tokio::task::yield_now().await;
            self.note_lag(since.elapsed());
            let lag = Duration::from_micros(self.lag.swap(0, Ordering::Relaxed));
            let gate = self.gate(Class::Bulk);
            let now = gate.running_max();
            let next = next_width(now, lag, bounds);
            if next != now {
                gate.resize(next);
            }
        }
    }
}

/// How wide the door of bulk is to be after it was `now` wide, and calls waited for `lag`.
fn next_width(now: usize, lag: Duration, (least, most): (usize, usize)) -> usize {
    /// What a check may wait for a processor.
    const LAG_MAX: Duration = Duration::from_millis(5);
    if lag > LAG_MAX {
        return (now * 3 / 4).max(least);
    }
    (now + 1).min(most)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How much there may be of a class.
fn room(class: Class) -> Room {
    let (running_max, waiting_max) = match class {
        Class::Check => (4_096, 4_096),
        Class::Write | Class::Stream => (1_024, 1_024),
        Class::Bulk => (processors().saturating_mul(64), 1_024),
    };
    Room {
        running_max,
        // What is large has a processor for itself; what is small holds its place while it waits for its caller.
        running_of_one_max: match class {
            Class::Check | Class::Write | Class::Stream => running_max / 2,
            Class::Bulk => usize::MAX,
        },
        waiting_max,
        wait_max: wait_max(class),
    }
}

/// How long a call of a class waits at most.
const fn wait_max(class: Class) -> Duration {
    Duration::from_secs(match class {
        Class::Check => 2,
        Class::Write | Class::Stream => 10,
        Class::Bulk => 30,
    })
}

impl Drop for Pass {
    fn drop(&mut self) {
        /// What is read of a request for one unit, and how long a processor works for one.
        const UNIT_BYTES: u64 = 256;
        const UNIT_MICROS: u128 = 25;
        let mut units = self.bytes.get() / UNIT_BYTES;
        if self.class == Class::Bulk {
            let worked = self.began.elapsed().as_micros() / UNIT_MICROS;
            units = units.max(u64::try_from(worked).unwrap_or(u64::MAX));
        }
        let beyond = units.saturating_sub(self.class.units());
        self.account.owe(beyond, self.overload.began.elapsed());
    }
}

impl Drop for Tending {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_makes_room_quickly_and_comes_back_slowly() {
        let bounds = (2, 128);
        let lag = Duration::from_millis;
        let mut width = 128;
        let mut steps = 0;
        while width > 2 {
            width = next_width(width, lag(6), bounds);
            steps += 1;
        }
        assert!(steps <= 16, "{steps}");
        assert_eq!(next_width(2, lag(50), bounds), 2);
        assert_eq!(next_width(2, lag(1), bounds), 3);
        assert_eq!(next_width(128, lag(0), bounds), 128);
    }

    async fn ask(overload: &Arc<Overload>, path: &str, name: &str) -> Result<Option<Pass>, u16> {
        let request = Request::new(Body::empty());
        let left = Duration::from_secs(60);
        let admitted = overload
            .admit((path, name), None, (Duration::ZERO, left), request)
            .await;
        admitted.map(|(pass, _)| pass).map_err(|refused| {
            let mut told = Response::new(Body::empty());
            RefusedOverHttp::put(refused.extensions().get(), &mut told);
            told.status().as_u16()
        })
    }

    #[tokio::test]
    async fn a_quota_is_a_callers_own_and_locks_are_never_refused() {
        let limits = "callers: [{name: storm, rate: 1, burst: 2, concurrency: 2}]";
        let overload = Overload::new(Settings {
            limits: LimitsInForce::new(Limits::read(limits).unwrap()),
            ..Settings::default()
        });
        let check = "/authzed.api.v1.PermissionsService/CheckPermission";
        let first = ask(&overload, check, "storm").await.unwrap().unwrap();
        let _second = ask(&overload, check, "storm").await.unwrap().unwrap();
        assert_eq!(ask(&overload, check, "storm").await.unwrap_err(), 429);
        drop(first);
        let _third = ask(&overload, check, "storm").await.unwrap().unwrap();
        drop(_third);
        assert_eq!(
            ask(&overload, check, "storm").await.unwrap_err(),
            429,
            "its rate"
        );
        assert!(ask(&overload, check, "polite").await.is_ok());
        let lock = "/remit.v1.AccessService/Lock";
        assert!(ask(&overload, lock, "storm").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn checks_go_on_with_little_memory() {
        let overload = Overload::new(Settings {
            memory: MemorySettings {
                bytes_max: Some(100),
                gauge: Arc::new(|| Some(99)),
            },
            ..Settings::default()
        });
        let _tending = overload.tend();
        while overload.memory_state() == MemoryState::Enough {
            tokio::task::yield_now().await;
        }
        let service = "/authzed.api.v1.PermissionsService/";
        for (method, refused) in [
            ("CheckPermission", None),
            ("WriteRelationships", Some(503)),
            ("LookupResources", Some(503)),
        ] {
            let asked = ask(&overload, &format!("{service}{method}"), "ann").await;
            assert_eq!(asked.err(), refused, "{method}");
        }
    }
}
