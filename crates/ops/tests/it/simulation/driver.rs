//! One run: three nodes, their clients, and what happens to them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{HistoryId, Revision, StoreId};
use ops::{Node, Settings};
use store::{Base, ChangeRequest, CommitRequest, Provenance, Store as _};
use testkit::history::draw::{VIEWS, schema, updates};
use testkit::history::{
    Bounds, Call, Checked, Freshness, History, Operation, Question, Serving, Written,
};
use testkit::rng::Rng;
use tokio::task::JoinSet;

use super::clients::{Client, Serve, write_schemas};
use super::link::Link;
use super::world::{
    Broken, CLIENTS, CLOCK_OFFSET_MAX, NODES, NodeClock, Plan, STALENESS_MAX, Slot, WAIT_MAX,
    World, metadata,
};
use crate::running::caller;

/// How long everything heals at the end, in turns.
const HEALING: u64 = 400;

/// What a run did, and how often it met what it is made for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    pub(crate) history: History,
    pub(crate) crashes: usize,
    pub(crate) forks: usize,
    /// What nodes said that stopped for good.
    pub(crate) stopped: Vec<String>,
    /// Nodes that did not answer although all was well again.
    pub(crate) silent: Vec<String>,
}

/// Runs a plan; the same plan gives the same run.
pub(crate) fn run(plan: Plan) -> Run {
    // Shown if the run fails.
    eprintln!("SIMULATION_SEED={}: {plan:?}", plan.seed);
    block_on(async {
        let mut driver = Driver {
            world: World::new(plan),
            rng: Rng::new(plan.seed),
            run: Run {
                history: History {
                    identity: (StoreId([0; 8]), HistoryId([0; 8])),
                    operations: Vec::new(),
                    branches: Vec::new(),
                    jumps: Vec::new(),
                    bounds: Bounds {
                        clock_offset_max: CLOCK_OFFSET_MAX,
                        staleness_max: STALENESS_MAX,
                        depth_max: Settings::default().limits.depth_max,
                    },
                },
                crashes: 0,
                forks: 0,
                stopped: Vec::new(),
                silent: Vec::new(),
            },
        };
        driver.drive().await;
        driver.run
    })
}

struct Driver {
    world: Arc<World>,
    rng: Rng,
    run: Run,
}

impl Driver {
    async fn drive(&mut self) {
        self.world.is_well.store(true, Ordering::Relaxed);
        for node in 0..NODES {
            self.world.at(self.world.turn() + 1, Slot::Driver).await;
            start(&self.world, node).await;
        }
        let (node, _) = self.world.node(0).unwrap();
        ops::schema::write(&node, &caller(), &schema(VIEWS[0]))
            .await
            .unwrap();
        drop(node);
        self.world.is_well.store(false, Ordering::Relaxed);
        let author = tokio::spawn(write_schemas(Arc::clone(&self.world)));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(Client::new(&self.world, number).run());
        }
        while !clients.is_empty() {
            let pause = self.rng.between(3, 20) as u64;
            self.world.at(self.world.turn() + pause, Slot::Driver).await;
            while let Some(done) = clients.try_join_next() {
                self.run.history.operations.extend(done.unwrap());
            }
            self.mend().await;
            self.break_something();
        }
        author.abort();
        self.heal().await;
        let history = &mut self.run.history;
        history
            .operations
            .sort_by(|one, other| (one.begun, &one.name).cmp(&(other.begun, &other.name)));
        history.branches = self.world.branches();
        let identity = self.world.current_store().identity();
        history.identity = (identity.store, identity.history);
    }

    fn crash(&mut self, node: usize, turns: u64) {
        let mut place = self.world.place(node);
        if let Some(running) = place.node.take() {
            running.stop();
            place.down_until = self.world.turn() + turns;
            drop(place);
            self.world.starts[node].send_modify(|starts| *starts += 1);
        }
    }

    /// Starts one that is down, and does what a node that stopped asks its operator for.
    async fn mend(&mut self) {
        for node in 0..NODES {
            let running = self.world.node(node).map(|(running, _)| running);
            match running.map(|running| running.ready()) {
                None if self.world.turn() >= self.world.place(node).down_until => {
                    // What it does at first is not to meet the start of another one, which takes threads their time.
                    return start(&self.world, node).await;
                }
                Some(Err(error)) if error.message.contains("stopped following") => {
                    self.run.stopped.push(error.message);
                    let turns = self.rng.between(1, 30) as u64;
                    self.crash(node, turns);
                }
                None | Some(_) => {}
            }
        }
    }

    fn break_something(&mut self) {
        let node = self.rng.below(NODES);
        let turns = match self.rng.chance(15) {
            true => self.rng.between(60, 250) as u64,
            false => self.rng.between(1, 30) as u64,
        };
        let until = self.world.turn() + turns;
        match self.rng.below(20) {
            0..3 => {
                self.run.crashes += usize::from(self.world.node(node).is_some());
                self.crash(node, turns);
            }
            3..6 => self.world.place(node).paused_until = until,
            6..9 => self.world.place(node).cut_off_until = until,
            9 => (0..NODES).for_each(|node| self.world.place(node).cut_off_until = until),
            10..12 => {
                let offset_max = CLOCK_OFFSET_MAX.as_micros() as i64;
                let offset = self.rng.below(2 * offset_max as usize + 1) as i64 - offset_max;
                let is_back = node == 0 && self.world.plan.broken == Some(Broken::ClockRunsBack);
                let offset = if is_back { -20_000_000 } else { offset };
                self.world.set_clock(node, offset);
            }
            12 | 13 if self.world.plan.has_forks => self.fork(),
            _ => {}
        }
    }

    /// A standby that lags takes over; others have written to it before any node hears of that.
    fn fork(&mut self) {
        let head = self.world.current_store().head_now().unwrap().revision.0;
        let lost = self.rng.between(1, 4) as u64;
        if head <= lost + 1 {
            return;
        }
        self.world.fail_over(Revision(head - lost));
        self.run.forks += 1;
        for _ in 0..self.rng.below(7) {
            let name = format!("store-{}", self.run.history.operations.len());
            let updates = updates(&mut self.rng, self.world.now());
            let result = commit_at_store(&self.world, &name, &updates);
            let now = self.world.now();
            self.run.history.operations.push(Operation {
                name,
                node: None,
                begun: now,
                ended: now,
                call: Call::Write { updates, result },
            });
        }
    }

    /// Ends all faults, and asks each node once all is well again.
    async fn heal(&mut self) {
        self.world.is_well.store(true, Ordering::Relaxed);
        for node in 0..NODES {
            let mut place = self.world.place(node);
            place.paused_until = 0;
            place.cut_off_until = 0;
            place.down_until = 0;
            drop(place);
            self.world.set_clock(node, 0);
        }
        let end = self.world.turn() + HEALING;
        while self.world.turn() < end {
            self.world.at(self.world.turn() + 20, Slot::Driver).await;
            self.mend().await;
        }
        for place in 0..NODES {
            let (node, starts) = self.world.node(place).unwrap();
            let begun = self.world.now();
            let serve = Serve {
                node: &node,
                is_broken: place == 0,
                world: &self.world,
            };
            let question = Question {
                resource: "doc:d0".parse().unwrap(),
                member: "view".parse().unwrap(),
                subject: "user:u0".parse().unwrap(),
            };
            let call = Call::Check {
                question,
                freshness: Freshness::FullyConsistent,
                result: Checked::Failed(String::new()),
            };
            let name = format!("last-{place}");
            let operation = Operation {
                call: serve.answer(&name, call).await,
                name,
                node: Some(Serving {
                    node: place,
                    starts,
                }),
                begun,
                ended: self.world.now(),
            };
            if operation.token().is_none() {
                self.run.silent.push(operation.to_string());
            }
            self.run.history.operations.push(operation);
        }
    }
}

/// Starts a node, in the driver's slot.
pub(crate) async fn start(world: &Arc<World>, node: usize) {
    let settings = Settings {
        staleness_max: STALENESS_MAX,
        snapshots_retained: Duration::from_secs(10),
        wait_max: WAIT_MAX,
        ..Settings::default()
    };
    let clock = NodeClock {
        world: Arc::clone(world),
        node,
    };
    let link = Link::new(world, node);
    let started = Node::start(Arc::new(link), Arc::new(clock), settings).await;
    world.place(node).node = Some(started.unwrap());
}

/// Commits for a client that is at the store itself.
pub(crate) fn commit_at_store(
    world: &Arc<World>,
    name: &str,
    updates: &[model::RelationshipUpdate],
) -> Written {
    let store = world.current_store();
    let changes = updates.iter().cloned().map(ChangeRequest::Relationship);
    let request = CommitRequest {
        base: Base::of_schema(store.head_now().unwrap().schema_revision),
        preconditions: Vec::new(),
        changes: changes.collect(),
        idempotency_key: None,
        provenance: Provenance {
            actor: "store".to_owned(),
            reason: None,
            metadata: Some(metadata(name)),
            origin: None,
        },
        now: world.now(),
    };
    match store.commit_now(&request) {
        Ok(committed) => {
            world.spread(committed.revision);
            Written::Acknowledged(store.identity().token(committed.revision, &committed.hash))
        }
        Err(error) => Written::Refused {
            existing: None,
            why: error.to_string(),
        },
    }
}

/// Runs `future` in virtual time, on this thread alone.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(future)
}
