//! One run: the nodes, their clients, and what happens to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::Timestamp;
use testkit::history::{Bounds, History, Jump, Operation};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::clients::{self, CLIENTS, Client, World, ask_head, now};
use super::cluster::{Cluster, NODES, Node, STALENESS_MAX, serving};
use super::digests;
use super::faults::{About, Fault, Plan, Replication, Step};
use super::log;
use super::proxy::Commit;

/// One clock is that of all, but for what the machine does to it.
const CLOCK_OFFSET_MAX: Duration = Duration::from_millis(20);
/// How far it may be off for all that a node knows.
const CLOCK_OFF_MAX: Duration = Duration::from_millis(500);
/// How far it is off where that is to be borne, and where it is not.
const CLOCK_OFF_MILLIS: i64 = 300;
const CLOCK_JUMP_MILLIS: i64 = 2_000;
/// A node looks at the clock of the store each second.
const CLOCK_NOTICED_MAX: Duration = Duration::from_secs(2);
/// How long it is to be silent.
const CLOCK_SILENT: Duration = Duration::from_secs(1);
/// TCP gives up after 15 seconds without an answer.
const UNPLUG_LONG: Duration = Duration::from_secs(17);
/// How long a node that is asked to write takes to have sent a commit.
const COMMIT_MAX: Duration = Duration::from_millis(100);
/// How often there is a look at the nodes.
const TICK: Duration = Duration::from_millis(20);
/// How long it takes until a process that ended is started again.
const RESTART: Duration = Duration::from_millis(200);
/// How long it takes until what is held back is lost.
const LOST_AFTER: Duration = Duration::from_millis(80);
/// How long clients go on once all is well.
const HEALING: Duration = Duration::from_secs(3);
/// How long nodes may take until all of them answer again.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a run did, and how often it met what it is made for.
pub(super) struct Run {
    pub(super) history: History,
    pub(super) faults: BTreeMap<Fault, usize>,
    pub(super) take_over: Option<TakeOver>,
    /// How many commits were in doubt.
    pub(super) in_doubt: BTreeMap<Commit, usize>,
    /// What nodes said that stopped for good, with what their health check answered then.
    pub(super) stopped: Vec<(String, Option<String>)>,
    /// Nodes that did not answer, or not write, although all was well again.
    pub(super) silent: Vec<usize>,
    /// What else was not as it has to be.
    pub(super) wrong: Vec<String>,
    /// What the processes said, by node.
    pub(super) said: Vec<Vec<String>>,
}

/// When a standby took over.
#[derive(Debug, Clone, Copy)]
pub(super) struct TakeOver {
    pub(super) replication: Replication,
    /// When the primary was gone for the nodes.
    pub(super) begun: Timestamp,
    /// When the standby was about to be made the primary.
    pub(super) promoted: Timestamp,
}

/// Runs a plan.
pub(super) fn run(plan: &Plan) -> Run {
    // Shown if the run fails.
    eprintln!("NODES_SEED={}: {plan:?}", plan.seed);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut driver = Driver::start(plan, runtime);
    for step in &plan.steps {
        driver.go_on(step.after);
        driver.break_something(*step);
    }
    driver.heal();
    driver.finish()
}

/// What ends a fault.
#[derive(Debug, Clone, Copy)]
enum End {
    Start(usize),
    Resume(usize),
    Release(usize),
    SetClock(usize),
    Plug(usize),
    /// It goes on until then.
    Lose(usize, Commit, Instant),
    Database,
}

struct Driver {
    begun: Timestamp,
    cluster: Cluster,
    world: Arc<World>,
    clients: Vec<JoinHandle<Vec<Operation>>>,
    ends: Vec<(Instant, End)>,
    run: Run,
    // The last, so that nothing is asked any more of what is gone.
    runtime: Runtime,
}

impl Driver {
    fn start(plan: &Plan, runtime: Runtime) -> Self {
        let begun = now();
        let cluster = Cluster::start(plan.about);
        let world = World::new(plan.seed, &cluster.places);
        let mut driver = Self {
            begun,
            cluster,
            world: Arc::clone(&world),
            clients: Vec::new(),
            ends: Vec::new(),
            run: Run {
                history: History {
                    identity: (model::StoreId([0; 8]), model::HistoryId([0; 8])),
                    operations: Vec::new(),
                    branches: Vec::new(),
                    jumps: Vec::new(),
                    bounds: Bounds {
                        clock_offset_max: match plan.about {
                            About::Clocks => CLOCK_OFFSET_MAX + CLOCK_OFF_MAX,
                            About::FailOver(_) | About::Staleness | About::Network => {
                                CLOCK_OFFSET_MAX
                            }
                        },
                        staleness_max: match plan.about {
                            About::Staleness => STALENESS_MAX,
                            About::FailOver(_) | About::Clocks | About::Network => {
                                ops::Settings::default().staleness_max
                            }
                        },
                        depth_max: ops::Settings::default().limits.depth_max,
                    },
                },
                faults: BTreeMap::new(),
                take_over: None,
                in_doubt: BTreeMap::new(),
                stopped: Vec::new(),
                silent: Vec::new(),
                wrong: Vec::new(),
                said: Vec::new(),
            },
            runtime,
        };
        driver.wait_for_all();
        driver.runtime.block_on(clients::begin(&world));
        drop(
            driver
                .runtime
                .spawn(clients::write_schemas(Arc::clone(&world))),
        );
        for number in 0..CLIENTS {
            let client = Client::new(&world, number);
            driver.clients.push(driver.runtime.spawn(client.run()));
        }
        driver
    }

    /// Lets so much time pass, in which faults end.
    fn go_on(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            let due = |(at, _): &mut (Instant, End)| *at <= Instant::now();
            let ends: Vec<_> = self.ends.extract_if(.., due).collect();
            for (_, end) in ends {
                self.end(end);
            }
            self.mend();
            if Instant::now() >= until {
                return;
            }
            std::thread::sleep(TICK);
        }
    }

    fn end(&mut self, end: End) {
        match end {
            End::Start(node) if self.cluster.nodes[node].is_running() => {}
            End::Start(node) => self.cluster.nodes[node].start(),
            End::Resume(node) => self.cluster.nodes[node].signal("CONT"),
            End::Release(node) => self.cluster.nodes[node].release(),
            End::SetClock(node) => self.cluster.nodes[node].set_clock(0),
            End::Plug(node) => self.cluster.nodes[node].plug(),
            End::Lose(node, commit, until) => {
                let next = Some(commit).filter(|_| Instant::now() < until);
                self.cluster.nodes[node].lose(next);
                if next.is_some() {
                    self.ends.push((Instant::now() + LOST_AFTER, end));
                }
            }
            End::Database => self.cluster.start_primary(),
        }
    }

    /// Starts again what could not start, and what stopped and asks its operator for that.
    fn mend(&mut self) {
        for number in 0..NODES {
            let starts =
                |(_, end): &(Instant, End)| matches!(end, End::Start(node) if *node == number);
            if self.ends.iter().any(starts) {
                continue;
            }
            let node = &mut self.cluster.nodes[number];
            if let Some(why) = node.stopped() {
                self.run.stopped.push((why, node.unready()));
                node.kill();
            }
            if !node.is_running() {
                node.kill();
                self.ends
                    .push((Instant::now() + RESTART, End::Start(number)));
            }
        }
    }

    fn break_something(&mut self, step: Step) {
        *self.run.faults.entry(step.fault).or_default() += 1;
        let (node, until) = (step.node, Instant::now() + step.lasts);
        let end = match step.fault {
            Fault::Kill => {
                self.cluster.nodes[node].kill();
                End::Start(node)
            }
            Fault::Pause => {
                self.cluster.nodes[node].signal("STOP");
                End::Resume(node)
            }
            Fault::HoldBack => {
                self.cluster.nodes[node].hold();
                End::Release(node)
            }
            Fault::LoseAnswers => return self.end(End::Lose(node, Commit::Arrives, until)),
            Fault::LoseCommits => return self.end(End::Lose(node, Commit::IsHeld, until)),
            Fault::RestartDatabase => {
                self.cluster.stop_primary();
                End::Database
            }
            Fault::FailOver(replication) => return self.fail_over(replication, step.lasts),
            Fault::ClockOff => {
                // One at a time: nodes may be apart by as much as one may be off.
                self.cluster.nodes.iter().for_each(|node| node.set_clock(0));
                self.cluster.nodes[node].set_clock(step.millis(CLOCK_OFF_MILLIS));
                End::SetClock(node)
            }
            Fault::ClockJump => return self.clock_jump(step),
            Fault::CutOff => {
                self.calm();
                self.cluster.nodes[node].hold();
                self.go_on(STALENESS_MAX * 2);
                return self.cluster.nodes[node].release();
            }
            Fault::Unplug => {
                self.cluster.nodes[node].unplug();
                End::Plug(node)
            }
            Fault::UnplugLong => {
                self.calm();
                self.cluster.nodes[node].unplug();
                self.must_be_alone(node);
                self.go_on(UNPLUG_LONG);
                return self.cluster.nodes[node].plug();
            }
        };
        self.ends.push((until, end));
    }

    fn fail_over(&mut self, replication: Replication, lag: Duration) {
        // The standby is to be as far as the kind of replication says, so a primary that is down is started first.
        self.cluster.start_primary();
        self.cluster.wait_for_standby();
        let mut begun = now();
        match replication {
            Replication::Synchronous => {}
            Replication::Awaited => {
                self.cluster.isolate_primary_soon();
                self.go_on(COMMIT_MAX);
                self.cluster.isolate_primary();
                self.cluster.wait_for_quiet();
                self.cluster.wait_for_standby();
            }
            Replication::Lagging => {
                self.cluster.standby().stop_following();
                self.go_on(lag);
                let stopped = Instant::now();
                while self.cluster.standby_has_all() {
                    assert!(stopped.elapsed() < PATIENCE, "nobody writes");
                    self.go_on(TICK);
                }
                begun = now();
            }
        }
        self.cluster.stop_primary();
        let promoted = now();
        self.cluster.promote();
        self.cluster.forget_former();
        self.run.take_over = Some(TakeOver {
            replication,
            begun,
            promoted,
        });
    }

    /// The node reaches the database no more.
    fn must_be_alone(&mut self, node: usize) {
        let asked = ask_head(&self.world, node, Duration::from_millis(500));
        let asked = self.runtime.block_on(asked);
        if asked.iter().any(|call| call.token().is_some()) {
            let wrong = format!("node {node} is unplugged, and reaches the database");
            self.run.wrong.push(wrong);
        }
        self.run.history.operations.extend(asked);
    }

    /// The node has a wrong clock, has to notice, and is silent until it is set again.
    fn clock_jump(&mut self, step: Step) {
        self.calm();
        let node = step.node;
        let at = now();
        self.cluster.nodes[node].set_clock(step.millis(CLOCK_JUMP_MILLIS));
        self.go_on(CLOCK_NOTICED_MAX);
        let noticed = now();
        if self.cluster.nodes[node].is_ready() {
            let wrong = format!("node {node} is ready although its clock is off");
            self.run.wrong.push(wrong);
        }
        self.go_on(CLOCK_SILENT);
        let back = now();
        self.cluster.nodes[node].set_clock(0);
        self.go_on(CLOCK_NOTICED_MAX);
        if !self.cluster.nodes[node].is_ready() {
            let wrong = format!("node {node} is not ready although its clock is set again");
            self.run.wrong.push(wrong);
        }
        self.run.history.jumps.push(Jump {
            node,
            by: Duration::from_millis(CLOCK_JUMP_MILLIS.unsigned_abs()),
            at,
            noticed,
            back,
        });
    }

    /// Ends all faults, and waits for all nodes.
    fn calm(&mut self) {
        for (_, end) in std::mem::take(&mut self.ends) {
            self.end(end);
        }
        self.ends.clear();
        self.cluster.nodes.iter().for_each(Node::release);
        self.wait_for_all();
    }

    /// Ends all faults, and lets clients go on for a while.
    fn heal(&mut self) {
        self.calm();
        self.go_on(HEALING);
        self.world.is_over.store(true, Ordering::Relaxed);
        for client in std::mem::take(&mut self.clients) {
            let done = self.runtime.block_on(client).unwrap();
            self.run.history.operations.extend(done);
        }
        for node in 0..NODES {
            let begun = Instant::now();
            let is_answered = loop {
                let asked = ask_head(&self.world, node, Duration::from_secs(5));
                let asked = self.runtime.block_on(asked);
                let answered = asked.iter().filter(|call| call.token().is_some());
                let is_answered = answered.count() == 2;
                self.run.history.operations.extend(asked);
                if is_answered || begun.elapsed() > PATIENCE {
                    break is_answered;
                }
                self.go_on(TICK);
            };
            if !is_answered {
                self.run.silent.push(node);
            }
        }
        let url = self.cluster.primary_url();
        let differences = digests::differences(&self.runtime, &self.cluster.places, &url);
        self.run.wrong.extend(differences);
    }

    fn wait_for_all(&mut self) {
        let begun = Instant::now();
        while (0..NODES).any(|node| serving(&self.cluster.places, node).is_none()) {
            assert!(begun.elapsed() < PATIENCE, "the nodes do not start");
            self.go_on(TICK);
        }
    }

    /// Ends the nodes, and reads the logs.
    fn finish(mut self) -> Run {
        for node in &mut self.cluster.nodes {
            node.kill();
            self.run.said.push(node.said());
        }
        self.run.in_doubt = self.cluster.commits_in_doubt();
        let mut since = self.begun;
        let is_lossy = |take_over: &TakeOver| take_over.replication == Replication::Lagging;
        if let Some(take_over) = self.run.take_over.filter(is_lossy) {
            let url = self.cluster.resume_former();
            let (_, lost) = self.runtime.block_on(log::read(&url, since));
            self.run.history.branches.push(lost);
            since = take_over.promoted;
        }
        let url = self.cluster.primary_url();
        let (identity, branch) = self.runtime.block_on(log::read(&url, since));
        self.run.history.branches.push(branch);
        self.run.history.identity = identity;
        self.run
    }
}
