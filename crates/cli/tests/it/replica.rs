//! A replica of a real server that is killed and started again under load: every answer of both is explained by one order of commits.
//!
//! Clients write to the server and check at the server and at the replica, with tokens of each other. The server is killed at random
//! moments (SIGKILL); once the replica is dropped meanwhile, and starts from its cache while there is no server.
//! `testkit::history` holds every call to the log that is in the file in the end.

#![expect(
    clippy::disallowed_methods,
    reason = "the seed of a run may be given by the environment"
)]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{Clock as _, Revision, SystemClock, Timestamp, Token};
use remit_client::{Connection, Transport};
use remit_embedded::{Consistency, Engine, Follow, Pace, Replica, Server, Settings};
use store::{LogQuery, SqliteStore, Store as _};
use testkit::history::draw::{VIEWS, freshness, question, schema, updates};
use testkit::history::{
    self, Bounds, Branch, Call, Checked, Freshness, History, Operation, Serving, Written,
};
use testkit::rng::Rng;

use crate::nodes::{entry, wire};
use crate::{Served, serve_at};

/// How long the replica answers without its server.
const STALENESS_MAX: Duration = Duration::from_secs(3);
/// How long a call may take.
const DEADLINE: Duration = Duration::from_millis(800);
const KILLS: usize = 6;
const CLIENTS: usize = 6;

/// The replica of the moment, and which of its starts it is of.
type Followed = Mutex<Option<(usize, Arc<Replica>)>>;

struct World {
    server: SocketAddr,
    /// How many times the server was started before.
    starts: Mutex<Option<usize>>,
    replica: Followed,
    newest: Mutex<Option<Token>>,
    is_over: AtomicBool,
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> Timestamp {
    SystemClock.now()
}

#[test]
fn answers_of_a_replica_are_explained_while_its_server_is_killed() {
    let seed = std::env::var("NODES_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(11);
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let operations = runtime.block_on(run(folder.path(), seed));
    runtime.shutdown_background();
    let history = history_of(&folder.path().join("remit.db"), operations);
    let count = |node: usize, kind: &str| {
        let calls = history.operations.iter();
        let of_kind = calls.filter(|call| {
            call.node.is_some_and(|serving| serving.node == node) && call.kind() == kind
        });
        of_kind.count()
    };
    let kinds = [
        "minimize latency",
        "at least as fresh",
        "exactly",
        "fully consistent",
    ];
    let counts = kinds.map(|kind| count(1, kind));
    let commits = history
        .branches
        .iter()
        .map(|branch| branch.entries.len())
        .sum::<usize>();
    eprintln!(
        "seed {seed}: {commits} commits, {} writes acknowledged; of the replica {counts:?} answers ({kinds:?}), {} failed",
        count(0, "acknowledged"),
        count(1, "failed")
    );
    let violations = history::check(&history);
    assert!(
        violations.is_empty(),
        "seed {seed}: {:#?}",
        violations.first()
    );
    assert!(counts.iter().all(|count| *count >= 20), "{counts:?}");
    assert!(count(0, "acknowledged") >= 100 && count(1, "failed") > 0);
}

/// Kills, starts, and what all clients saw meanwhile.
async fn run(folder: &Path, seed: u64) -> Vec<Operation> {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = free.local_addr().unwrap();
    drop(free);
    let world = Arc::new(World {
        server,
        starts: Mutex::new(None),
        replica: Mutex::new(None),
        newest: Mutex::new(None),
        is_over: AtomicBool::new(false),
    });
    let mut served = Some(start(folder, &world, 0).await);
    let client = connect(server).await.unwrap();
    assert!(wire::write_schema(&client, &schema(VIEWS[0]), Duration::from_secs(5)).await);
    follow(folder, &world, 0).await;
    let clients = (0..CLIENTS).map(|number| tokio::spawn(ask(Arc::clone(&world), seed, number)));
    let clients: Vec<_> = clients.collect();
    let mut rng = Rng::new(seed);
    for kill in 0..KILLS {
        pause(&mut rng, 500, 1_200).await;
        if let Some(client) = connect(server).await {
            let view = *rng.pick(&VIEWS);
            wire::write_schema(&client, &schema(view), DEADLINE).await;
        }
        pause(&mut rng, 100, 500).await;
        *held(&world.starts) = None;
        drop(served.take());
        if kill == KILLS / 2 {
            // As a process that is started anew, while there is no server.
            let before = held(&world.replica).take();
            drop(before);
            follow(folder, &world, 1).await;
        }
        pause(&mut rng, 100, 900).await;
        served = Some(start(folder, &world, kill + 1).await);
    }
    pause(&mut rng, 1_000, 1_500).await;
    world.is_over.store(true, Ordering::Relaxed);
    let mut operations = Vec::new();
    for client in clients {
        operations.extend(client.await.unwrap());
    }
    drop(held(&world.replica).take());
    drop(served);
    operations
}

async fn pause(rng: &mut Rng, least: usize, most: usize) {
    let millis = rng.between(least, most) as u64;
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

async fn start(folder: &Path, world: &World, starts: usize) -> Served {
    let (folder, address) = (folder.to_owned(), world.server.to_string());
    let starting =
        tokio::task::spawn_blocking(move || serve_at(&folder, "sqlite:remit.db", &address));
    let served = starting.await.unwrap();
    *held(&world.starts) = Some(starts);
    served
}

/// Starts the replica; for as long as its last task has the cache, it is asked again.
async fn follow(folder: &Path, world: &World, starts: usize) {
    let follow = Follow {
        server: Server {
            endpoint: world.server.to_string(),
            key: Some("open-sesame".to_owned()),
            transport: remit_embedded::Transport::Plaintext,
        },
        cache: Some(folder.join("replica.cache")),
        settings: Settings {
            staleness_max: STALENESS_MAX,
            wait_max: DEADLINE,
            ..Settings::default()
        },
        pace: Pace {
            connect_max: Duration::from_millis(300),
            call_max: Duration::from_millis(500),
            silence_max: Duration::from_secs(2),
            wait_max: Duration::from_millis(200),
            cache_every: Duration::from_millis(300),
            ..Pace::default()
        },
    };
    loop {
        match Engine::follow(follow.clone()).await {
            Ok(replica) => {
                *held(&world.replica) = Some((starts, Arc::new(replica)));
                return;
            }
            Err(remit_embedded::FollowError::CacheInUse { .. }) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn connect(server: SocketAddr) -> Option<remit_client::Client> {
    let connection = Connection {
        endpoint: server.to_string(),
        key: Some("open-sesame".to_owned()),
        transport: Transport::Plaintext,
        connect_timeout: Duration::from_millis(300),
    };
    remit_client::Client::connect(&connection).await.ok()
}

/// One client: it writes to the server, and checks at the server and more often at the replica.
async fn ask(world: Arc<World>, seed: u64, number: usize) -> Vec<Operation> {
    let mut rng = Rng::new(seed ^ ((number as u64 + 1) << 32));
    let (mut done, mut tokens) = (Vec::new(), Vec::new());
    let mut connection: Option<(usize, remit_client::Client)> = None;
    while !world.is_over.load(Ordering::Relaxed) {
        pause(&mut rng, 1, 25).await;
        let name = format!("c{number}-{}", done.len());
        let is_write = rng.chance(35);
        let call = if is_write {
            Call::Write {
                updates: updates(&mut rng, now()),
                result: Written::Unknown,
            }
        } else {
            let newest = *held(&world.newest);
            Call::Check {
                question: question(&mut rng),
                freshness: freshness(&mut rng, newest, &tokens),
                result: Checked::Failed(String::new()),
            }
        };
        let begun = now();
        let answered = if is_write || rng.chance(15) {
            at_server(&world, &mut connection, &name, call).await
        } else {
            at_replica(&world, call).await
        };
        let Some((serving, call)) = answered else {
            continue;
        };
        let operation = Operation {
            name,
            node: Some(serving),
            begun,
            ended: now(),
            call,
        };
        if let Some(token) = operation.token() {
            if tokens
                .last()
                .is_none_or(|last: &Token| last.revision <= token.revision)
            {
                tokens.push(token);
            }
            let mut newest = held(&world.newest);
            if newest.is_none_or(|newest| newest.revision < token.revision) {
                *newest = Some(token);
            }
        }
        done.push(operation);
    }
    done
}

async fn at_server(
    world: &World,
    connection: &mut Option<(usize, remit_client::Client)>,
    name: &str,
    call: Call,
) -> Option<(Serving, Call)> {
    let starts = (*held(&world.starts))?;
    if connection.as_ref().is_none_or(|(of, _)| *of != starts) {
        *connection = Some((starts, connect(world.server).await?));
    }
    let (_, client) = connection.as_ref()?;
    let serving = Serving { node: 0, starts };
    Some((serving, wire::answer(client, name, call, DEADLINE).await))
}

async fn at_replica(world: &World, call: Call) -> Option<(Serving, Call)> {
    let (starts, replica) = held(&world.replica).clone()?;
    let Call::Check {
        question,
        freshness,
        ..
    } = call
    else {
        return None;
    };
    let consistency = match freshness {
        Freshness::MinimizeLatency => Consistency::MinimizeLatency,
        Freshness::AtLeastAsFresh(token) => Consistency::AtLeastAsFresh(token),
        Freshness::AtExactSnapshot(token) => Consistency::AtExactSnapshot(token),
        Freshness::FullyConsistent => Consistency::FullyConsistent,
    };
    let asked = remit_embedded::Question {
        resource: question.resource.clone(),
        permission: question.member.to_string(),
        subject: question.subject.clone(),
        context: model::Context::default(),
    };
    // Some go the short way, which is to be as strict.
    let is_pinned = starts == 0 && freshness == Freshness::MinimizeLatency;
    let answered = if is_pinned {
        replica.pin().and_then(|pinned| {
            let (resource, subject) = (&asked.resource, &asked.subject);
            let decision = pinned.check(resource, &asked.permission, subject, &asked.context)?;
            Ok((decision, pinned.token()))
        })
    } else {
        let answered = replica.check(consistency, &asked).await;
        answered.map(|answered| (answered.answer, answered.at))
    };
    let result = match answered {
        Ok((decision, at)) => Checked::Answered { decision, at },
        Err(error) => Checked::Failed(format!("{:?}: {}", error.kind, error.message)),
    };
    let call = Call::Check {
        question,
        freshness,
        result,
    };
    Some((Serving { node: 1, starts }, call))
}

fn history_of(path: &Path, operations: Vec<Operation>) -> History {
    let store = SqliteStore::open(path).unwrap();
    let query = LogQuery {
        after: Revision(0),
        entries_max: usize::MAX,
        bytes_max: usize::MAX,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let entries = runtime.block_on(store.log(query)).unwrap();
    let identity = store.identity();
    History {
        identity: (identity.store, identity.history),
        operations,
        branches: vec![Branch {
            since: Timestamp::EPOCH,
            entries: entries.into_iter().map(entry).collect(),
        }],
        jumps: Vec::new(),
        bounds: Bounds {
            clock_offset_max: Duration::from_millis(20),
            staleness_max: STALENESS_MAX,
            depth_max: 50,
        },
    }
}
