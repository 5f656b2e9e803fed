//! What clients ask, and how their calls are recorded.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Clock as _, Operation as Update, RelationshipUpdate, SystemClock, Timestamp, Token};
use remit_client::{Connection, Transport};
use testkit::history::draw::{VIEWS, freshness, question, schema, updates};
use testkit::history::{Call, Checked, Freshness, Operation, Serving, Written};
use testkit::rng::Rng;

use super::cluster::{KEY, NODES, Places, serving};
use super::wire;

pub(super) const CLIENTS: usize = 16;
const CONNECT_MAX: Duration = Duration::from_millis(500);

/// The clock of all: that of the machine.
pub(super) fn now() -> Timestamp {
    SystemClock.now()
}

/// What clients share.
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) places: Places,
    pub(super) is_over: AtomicBool,
    /// The newest token of each client.
    newest: Mutex<[Option<Token>; CLIENTS]>,
}

impl World {
    pub(super) fn new(seed: u64, places: &Places) -> Arc<Self> {
        Arc::new(Self {
            seed,
            places: Arc::clone(places),
            is_over: AtomicBool::new(false),
            newest: Mutex::default(),
        })
    }

    fn newest(&self) -> MutexGuard<'_, [Option<Token>; CLIENTS]> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }
}

/// Connections to the nodes, each to one of its starts.
#[derive(Default)]
struct Connections([Option<(Serving, remit_client::Client)>; NODES]);

impl Connections {
    /// A connection to a node that serves.
    async fn to(
        &mut self,
        places: &Places,
        node: usize,
    ) -> Option<(Serving, remit_client::Client)> {
        let (serving, address) = serving(places, node)?;
        let kept = &mut self.0[node];
        if kept.as_ref().is_none_or(|(of, _)| *of != serving) {
            *kept = Some((serving, connect(address).await?));
        }
        kept.clone()
    }
}

pub(super) async fn connect(address: SocketAddr) -> Option<remit_client::Client> {
    let connection = Connection {
        endpoint: address.to_string(),
        key: Some(KEY.to_owned()),
        transport: Transport::Plaintext,
        connect_timeout: CONNECT_MAX,
    };
    remit_client::Client::connect(&connection).await.ok()
}

/// Writes the first schema.
pub(super) async fn begin(world: &World) {
    while !try_schema(world, &mut Connections::default(), 0, VIEWS[0]).await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn try_schema(world: &World, connections: &mut Connections, node: usize, view: &str) -> bool {
    let Some((_, client)) = connections.to(&world.places, node).await else {
        return false;
    };
    wire::write_schema(&client, &schema(view), Duration::from_secs(1)).await
}

/// Writes schemas until all is over; who wrote one need not be known, since the log tells it.
pub(super) async fn write_schemas(world: Arc<World>) {
    let mut rng = Rng::new(world.seed ^ u64::MAX);
    let mut connections = Connections::default();
    while world.goes_on() {
        let pause = rng.between(100, 2_000) as u64;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let (node, view) = (rng.below(NODES), *rng.pick(&VIEWS));
        try_schema(&world, &mut connections, node, view).await;
    }
}

/// Asks a node to write, and for an answer from the head; what came of both, if it serves at all.
pub(super) async fn ask_head(world: &World, node: usize, deadline: Duration) -> Vec<Operation> {
    let Some((serving, client)) = Connections::default().to(&world.places, node).await else {
        return Vec::new();
    };
    let mut rng = Rng::new(world.seed);
    let relationship = "doc:d0#reader@user:u0".parse().unwrap();
    let write = Call::Write {
        updates: vec![RelationshipUpdate {
            operation: Update::Touch,
            relationship,
        }],
        result: Written::Unknown,
    };
    let check = Call::Check {
        question: question(&mut rng),
        freshness: Freshness::FullyConsistent,
        result: Checked::Failed(String::new()),
    };
    let mut done = Vec::new();
    for (what, call) in [("write", write), ("check", check)] {
        let name = format!("head-{what}-{node}-{}", now().as_micros());
        done.push(record(&client, serving, name, call, deadline).await);
    }
    done
}

async fn record(
    client: &remit_client::Client,
    node: Serving,
    name: String,
    call: Call,
    deadline: Duration,
) -> Operation {
    let begun = now();
    let call = wire::answer(client, &name, call, deadline).await;
    Operation {
        name,
        node: Some(node),
        begun,
        ended: now(),
        call,
    }
}

/// A client that asks one thing after the other, of any node.
pub(super) struct Client {
    world: Arc<World>,
    number: usize,
    rng: Rng,
    connections: Connections,
    /// Tokens it was given, the newest last.
    tokens: Vec<Token>,
}

impl Client {
    pub(super) fn new(world: &Arc<World>, number: usize) -> Self {
        Self {
            world: Arc::clone(world),
            number,
            rng: Rng::new(world.seed ^ (number as u64 + 1) << 32),
            connections: Connections::default(),
            tokens: Vec::new(),
        }
    }

    /// Asks until all is over.
    pub(super) async fn run(mut self) -> Vec<Operation> {
        let mut done = Vec::new();
        while self.world.goes_on() {
            let pause = self.rng.between(5, 45) as u64;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let node = self.rng.below(NODES);
            let deadline = Duration::from_millis(self.rng.between(200, 1_200) as u64);
            let call = self.draw();
            let connection = self.connections.to(&self.world.places, node).await;
            let Some((serving, client)) = connection else {
                continue;
            };
            let name = format!("c{}-{}", self.number, done.len());
            let operation = record(&client, serving, name, call, deadline).await;
            self.learn(&operation);
            done.push(operation);
        }
        done
    }

    /// Keeps the token of an answer; forgets those of a log that is no more.
    fn learn(&mut self, operation: &Operation) {
        if let Some(token) = operation.token() {
            let newest = self.tokens.last();
            if newest.is_none_or(|newest| newest.revision <= token.revision) {
                self.tokens.push(token);
            }
        } else if let Call::Check {
            result: Checked::Failed(why),
            ..
        } = &operation.call
            && wire::is_of_lost_commit(why)
        {
            self.tokens.clear();
        }
        self.world.newest()[self.number] = self.tokens.last().copied();
    }

    /// What to ask next; nothing has come of it yet.
    fn draw(&mut self) -> Call {
        if self.rng.chance(40) {
            return Call::Write {
                updates: updates(&mut self.rng, now()),
                result: Written::Unknown,
            };
        }
        Call::Check {
            question: question(&mut self.rng),
            freshness: self.freshness(),
            result: Checked::Failed(String::new()),
        }
    }

    fn freshness(&mut self) -> Freshness {
        // Tokens are passed on, so a client may have another's.
        let newest = *self.rng.pick(&*self.world.newest());
        freshness(&mut self.rng, newest, &self.tokens)
    }
}
