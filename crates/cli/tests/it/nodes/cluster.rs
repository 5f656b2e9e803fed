//! Three processes that serve, the two servers of PostgreSQL that they may use, and the wires between them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store::{PostgresConfig, PostgresStore};
use testkit::history::Serving;
use testkit::postgres::{Server, database_of, host};

use super::clock::Clock;
use super::faults::{About, Replication};
use super::network::Network;
use super::proxy::{Commit, Proxy};
use crate::REMIT;

pub(super) const NODES: usize = 3;
pub(super) const KEY: &str = "open-sesame";

/// A kill loses nothing that was written, synced or not; and a standby that lost its primary looks for it soon.
const SETTINGS: [&str; 2] = ["fsync=off", "wal_retrieve_retry_interval=100ms"];
/// For how long a node may answer when it is cut off, where runs are about that.
pub(super) const STALENESS_MAX: Duration = Duration::from_secs(2);
/// How long PostgreSQL may take for what it is asked.
const PATIENCE: Duration = Duration::from_secs(30);

/// What clients see of a node.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// How many times it was started.
    started: usize,
    /// Where it serves, once it is ready.
    address: Option<SocketAddr>,
    /// What it said when it stopped following.
    stopped: Option<String>,
    /// All that it said.
    said: Vec<String>,
}

pub(super) type Places = Arc<[Mutex<Place>; NODES]>;

/// Where a node serves, and which of its starts that is; none while it does not.
pub(super) fn serving(places: &Places, node: usize) -> Option<(Serving, SocketAddr)> {
    let place = place(places, node);
    let starts = place.started.checked_sub(1)?;
    Some((Serving { node, starts }, place.address?))
}

fn place(places: &Places, node: usize) -> MutexGuard<'_, Place> {
    places[node].lock().unwrap_or_else(PoisonError::into_inner)
}

/// All processes; they end with the value.
pub(super) struct Cluster {
    pub(super) nodes: [Node; NODES],
    pub(super) places: Places,
    servers: [Server; 2],
    primary: usize,
    /// Whether the primary is stopped.
    is_down: bool,
    database: String,
}

impl Cluster {
    /// PostgreSQL with a standby, and three nodes that are starting.
    pub(super) fn start(about: About) -> Self {
        let primary = Server::start(&SETTINGS);
        let url = primary.database();
        let config: PostgresConfig = url.parse().unwrap();
        PostgresStore::migrate(&config, None).unwrap();
        let standby = primary.standby();
        if about == About::FailOver(Replication::Synchronous) {
            let wait = "ALTER SYSTEM SET synchronous_standby_names = '*'";
            for sql in [wait, "SELECT pg_reload_conf()"] {
                primary.query(&url, sql);
            }
        }
        let places = Places::default();
        let servers = [primary, standby];
        let database = database_of(&url).to_owned();
        let mut cluster = Self {
            nodes: std::array::from_fn(|number| {
                Node::new(number, about, (&places, &servers, &database))
            }),
            places,
            servers,
            primary: 0,
            is_down: false,
            database,
        };
        cluster.nodes.iter_mut().for_each(Node::start);
        cluster
    }

    /// Kills the primary.
    pub(super) fn stop_primary(&mut self) {
        self.servers[self.primary].stop("immediate");
        self.is_down = true;
    }

    /// Starts it again, if it is stopped.
    pub(super) fn start_primary(&mut self) {
        if std::mem::take(&mut self.is_down) {
            self.servers[self.primary].resume();
        }
    }

    pub(super) fn standby(&self) -> &Server {
        &self.servers[1]
    }

    /// The standby has all that the primary has; what comes after this it has or not.
    pub(super) fn wait_for_standby(&self) {
        let [primary, standby] = self.servers.each_ref();
        let written = self.ask(primary, "SELECT pg_current_wal_flush_lsn()");
        let has_it = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
        wait_until(|| self.ask(standby, &has_it) == "t");
    }

    /// Waits until the primary is at nothing that a node has asked of it. Who waits there for a lock can commit nothing yet.
    pub(super) fn wait_for_quiet(&self) {
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'remit' AND state = 'active' \
             AND wait_event_type IS DISTINCT FROM 'Lock'";
        wait_until(|| self.ask(&self.servers[0], busy) == "0");
    }

    /// The primary, which was stopped, is replaced.
    pub(super) fn promote(&mut self) {
        self.standby().promote();
        (self.primary, self.is_down) = (1, false);
    }

    /// Holds back all that goes between the nodes and the primary, from the next commit of each on.
    pub(super) fn isolate_primary_soon(&self) {
        for node in &self.nodes {
            node.wires[self.primary].hold_next(Some(Commit::Arrives));
        }
    }

    /// Holds it back at once.
    pub(super) fn isolate_primary(&self) {
        for node in &self.nodes {
            node.wires[self.primary].hold();
        }
    }

    /// How many commits were in doubt: they got to the database and their answers did not get back, or neither.
    pub(super) fn commits_in_doubt(&self) -> BTreeMap<Commit, usize> {
        let mut all = BTreeMap::new();
        for wire in self.nodes.iter().flat_map(|node| &node.wires) {
            for (commit, count) in wire.commits() {
                *all.entry(commit).or_default() += count;
            }
        }
        all
    }

    /// Loses what was held back of the former primary.
    pub(super) fn forget_former(&self) {
        for node in &self.nodes {
            node.wires[0].cut();
        }
    }

    /// The URL of the primary, without a proxy.
    pub(super) fn primary_url(&self) -> String {
        self.direct(&self.servers[self.primary])
    }

    /// Starts the primary that was replaced, which no node may reach any more; its URL.
    pub(super) fn resume_former(&mut self) -> String {
        self.servers[0].resume();
        self.direct(&self.servers[0])
    }

    /// Whether the standby has the same commits as the primary.
    pub(super) fn standby_has_all(&self) -> bool {
        let head = "SELECT revision FROM remit.head";
        let [primary, standby] = self.servers.each_ref();
        self.ask(primary, head) == self.ask(standby, head)
    }

    fn direct(&self, server: &Server) -> String {
        format!(
            "postgres://remit@{}/{}",
            host(server.folder()),
            self.database
        )
    }

    fn ask(&self, server: &Server, sql: &str) -> String {
        server.query(&self.database, sql)
    }
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "PostgreSQL takes too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One node, running or not.
pub(super) struct Node {
    number: usize,
    places: Places,
    /// To each of the servers.
    wires: [Proxy; 2],
    store: String,
    /// A clock that can be off.
    clock: Option<Clock>,
    /// A network that can lose what is sent.
    network: Option<Network>,
    /// For how long it may answer when it is cut off, if not for as long as usual.
    staleness_max: Option<Duration>,
    process: Option<Child>,
}

impl Node {
    fn new(
        number: usize,
        about: About,
        (places, servers, database): (&Places, &[Server; 2], &str),
    ) -> Self {
        let network = (about == About::Network).then(|| Network::new(number));
        let address = network.as_ref().map(Network::database);
        let wires = servers
            .each_ref()
            .map(|server| Proxy::start(server.folder(), address));
        let [one, other] = wires.each_ref().map(Proxy::host);
        Self {
            number,
            places: Arc::clone(places),
            store: format!("postgres://remit@{one},{other}/{database}?sslmode=disable"),
            wires,
            clock: (about == About::Clocks).then(Clock::new).flatten(),
            network,
            staleness_max: (about == About::Staleness).then_some(STALENESS_MAX),
            process: None,
        }
    }

    /// Starts the process. It serves once it says so.
    pub(super) fn start(&mut self) {
        let mut process = self.command().stderr(Stdio::piped()).spawn().unwrap();
        let mut place = self.place();
        place.started += 1;
        place.stopped = None;
        let started = place.started;
        place.said.push(format!("start {started}"));
        drop(place);
        let stderr = process.stderr.take().unwrap();
        let (places, number) = (Arc::clone(&self.places), self.number);
        std::thread::spawn(move || listen(stderr, &places, number, started));
        self.process = Some(process);
    }

    fn command(&self) -> Command {
        let (mut command, address) = match &self.network {
            Some(network) => (network.command(REMIT), network.node()),
            None => (Command::new(REMIT), Ipv4Addr::LOCALHOST),
        };
        let address = format!("{address}:0");
        command
            .args(["serve", "--allow-plaintext", "--grpc-addr", &address])
            .args(["--http-addr", &address, "--metrics-addr", "127.0.0.1:0"])
            .args(["--preshared-key", KEY, "--store", &self.store])
            .env("NO_COLOR", "1");
        if let Some(staleness_max) = self.staleness_max {
            let seconds = staleness_max.as_secs().to_string();
            command.args(["--staleness-seconds-max", &seconds]);
        }
        if let Some(clock) = &self.clock {
            clock.give_to(&mut command);
        }
        command
    }

    /// Sets its clock so far off the right time, if it has one of its own.
    pub(super) fn set_clock(&self, millis: i64) {
        if let Some(clock) = &self.clock {
            clock.set(millis);
        }
    }

    /// Loses what goes between the node and the database, if there is a network between them.
    pub(super) fn unplug(&self) {
        self.network.iter().for_each(Network::pull);
    }

    /// Loses it no more.
    pub(super) fn plug(&self) {
        self.network.iter().for_each(Network::plug);
    }

    /// Kills the process.
    pub(super) fn kill(&mut self) {
        // Before anything else may get its port.
        self.place().address = None;
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            process.wait().unwrap();
        }
    }

    /// Stops the process where it is, or lets it go on.
    pub(super) fn signal(&self, name: &str) {
        if let Some(process) = &self.process {
            let mut kill = Command::new("kill");
            let done = kill.arg(format!("-{name}")).arg(process.id().to_string());
            // It may have ended by itself.
            let _ = done.stderr(Stdio::null()).status().unwrap();
        }
    }

    /// Whether the process runs; one that could not start has ended.
    pub(super) fn is_running(&mut self) -> bool {
        let process = self.process.as_mut();
        process.is_some_and(|process| process.try_wait().unwrap().is_none())
    }

    /// Holds back all that goes between the node and the database.
    pub(super) fn hold(&self) {
        self.wires.iter().for_each(Proxy::hold);
    }

    /// Lets it through.
    pub(super) fn release(&self) {
        self.wires.iter().for_each(Proxy::release);
    }

    /// Loses what is held back, so that the node can find out what became of its commit; else has the next commit held back,
    /// if there is to be one.
    pub(super) fn lose(&self, next: Option<Commit>) {
        for wire in &self.wires {
            if wire.is_held() {
                wire.cut();
            } else {
                wire.hold_next(next);
            }
        }
    }

    /// What the node said when it stopped following, if it did since its start.
    pub(super) fn stopped(&self) -> Option<String> {
        self.place().stopped.clone()
    }

    /// Whether its health check says so.
    pub(super) fn is_ready(&self) -> bool {
        self.health().is_some_and(|line| line.contains("200"))
    }

    /// What its health check answers in the end, of a node that is no longer ready: the first line.
    pub(super) fn unready(&self) -> Option<String> {
        // It is told of soon after.
        const TOLD_MAX: Duration = Duration::from_secs(3);
        let begun = Instant::now();
        loop {
            let health = self.health();
            let is_ready = health.as_ref().is_some_and(|line| line.contains("200"));
            if !is_ready || begun.elapsed() > TOLD_MAX {
                return health;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn health(&self) -> Option<String> {
        const ANSWER_MAX: Duration = Duration::from_secs(2);
        let address = self.place().address?;
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX).ok()?;
        stream.set_read_timeout(Some(ANSWER_MAX)).ok()?;
        let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.lines().next().map(str::to_owned)
    }

    /// All that its processes said.
    pub(super) fn said(&self) -> Vec<String> {
        self.place().said.clone()
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        place(&self.places, self.number)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Takes in what a process says, to its end.
fn listen(stderr: ChildStderr, places: &Places, number: usize, started: usize) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let mut place = place(places, number);
        if place.started == started {
            let ready = line.strip_prefix("remit is ready: gRPC on ");
            if let Some((address, _)) = ready.and_then(|ready| ready.split_once(',')) {
                place.address = Some(address.parse().unwrap());
            }
            if line.contains("stopped following the store") {
                place.stopped = Some(line.clone());
            }
        }
        place.said.push(line);
    }
}
