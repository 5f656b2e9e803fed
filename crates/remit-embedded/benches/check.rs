//! What a check costs in the process: the engine alone, and a replica by each of the ways to ask it, on the same million of
//! relationships, in turns. And what a replica takes to load them, from its server and from its cache, and to hear of a write.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints what it finds, and ends where something fails"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::eval::{self, Environment, Query};
use identity::Caller;
use model::{Clock as _, Context, Operation, RelationshipUpdate, SystemClock};
use ops::bulk::Import;
use ops::{Node, Settings};
use remit_embedded::{
    Consistency, Engine, Follow, Limits, Question, Replica, Server, Transport, Write,
};
use server::{Authentication, Config};
use store::SqliteStore;

const SCHEMA: &str = "definition user {}\ndefinition document {\n relation viewer: user\n permission view = viewer\n}";
const RELATIONSHIPS: usize = 1_000_000;
const USERS: usize = 20_000;
const ROUNDS: usize = 9;
const CHECKS: usize = 100_000;
const WRITES: usize = 200;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(run());
}

async fn run() {
    let (node, address) = serve().await;
    let folder = tempfile::tempdir().unwrap();
    let follow = Follow {
        cache: Some(folder.path().join("replica.cache")),
        ..Follow::from(Server {
            endpoint: address,
            key: None,
            transport: Transport::Plaintext,
        })
    };
    let begun = Instant::now();
    let replica = Engine::follow(follow.clone()).await.unwrap();
    println!("loaded from the server: {:.2?}", begun.elapsed());
    let begun = Instant::now();
    replica.close().await.unwrap();
    println!("cache written: {:.2?}", begun.elapsed());
    let cache = std::fs::metadata(follow.cache.as_ref().unwrap())
        .unwrap()
        .len();
    println!(
        "cache: {} bytes a relationship",
        cache / RELATIONSHIPS as u64
    );
    let begun = Instant::now();
    let replica = loop {
        // The task that wrote the cache may still have it.
        match Engine::follow(follow.clone()).await {
            Ok(replica) => break replica,
            Err(remit_embedded::FollowError::CacheInUse { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error:?}"),
        }
    };
    println!("loaded from the cache: {:.2?}", begun.elapsed());
    assert_eq!(replica.relationship_count(), RELATIONSHIPS as u64);
    // What the cache of a processor holds, and what it does not.
    checks(&replica, 1_000).await;
    checks(&replica, CHECKS).await;
    news(&node, &replica).await;
}

async fn serve() -> (Arc<Node>, String) {
    let store = Arc::new(SqliteStore::memory().unwrap());
    let node = Node::start(store, Arc::new(SystemClock), Settings::default());
    let (node, anybody) = (node.await.unwrap(), Caller::without_authentication());
    ops::schema::write(&node, &anybody, SCHEMA).await.unwrap();
    let mut import = Import::default();
    let rows = (0..RELATIONSHIPS).map(|row| {
        let text = format!("document:d{row}#viewer@user:u{}", row % USERS);
        text.parse().unwrap()
    });
    import.add(&node, rows).unwrap();
    import.commit(&node, &anybody).await.unwrap();
    let config = Config::new(Authentication::None);
    let listening = server::listen(Arc::clone(&node), config).await.unwrap();
    let address = listening.address().to_string();
    tokio::spawn(listening.serve(std::future::pending()));
    (node, address)
}

/// Questions about so many documents all over the graph, half of them allowed.
fn questions(count: usize) -> Vec<Question> {
    let questions = (0..count).map(|number| {
        let document = number * 7_919 % RELATIONSHIPS;
        let user = (document + number % 2) % USERS;
        Question {
            resource: format!("document:d{document}").parse().unwrap(),
            permission: "view".to_owned(),
            subject: format!("user:u{user}").parse().unwrap(),
            context: Context::default(),
        }
    });
    questions.collect()
}

/// Each way to ask, in turns, so that what else the machine does befalls all of them.
async fn checks(replica: &Replica, count: usize) {
    const NAMES: [&str; 4] = [
        "engine alone",
        "pinned once",
        "pinned for each",
        "asynchronous check",
    ];
    let questions = questions(count);
    let again = CHECKS / count;
    let mut found: [Vec<Duration>; 4] = Default::default();
    for _ in 0..ROUNDS {
        for (way, times) in found.iter_mut().enumerate() {
            let begun = Instant::now();
            for _ in 0..again {
                match way {
                    0 => engine_alone(replica, &questions),
                    1 => pinned(replica, &questions, usize::MAX),
                    2 => pinned(replica, &questions, 1),
                    _ => asynchronous(replica, &questions).await,
                }
            }
            times.push(begun.elapsed());
        }
    }
    let nanos = found.map(|mut times| {
        times.sort_unstable();
        times.get(ROUNDS / 2).unwrap().as_nanos() as f64 / CHECKS as f64
    });
    println!("{count} questions, the median of {ROUNDS} rounds:");
    for (name, median) in NAMES.iter().zip(nanos) {
        let ratio = median / nanos[0];
        println!("  {name}: {median:.0} ns a check, {ratio:.2} times the engine");
    }
}

/// What the engine does with a question, and nothing else.
fn engine_alone(replica: &Replica, questions: &[Question]) {
    let (pinned, limits) = (replica.pin().unwrap(), Limits::default());
    let (snapshot, now) = (&pinned.view().snapshot, SystemClock.now());
    for question in questions {
        let Question {
            resource,
            permission,
            subject,
            context,
        } = question;
        let query = Query::resolve(snapshot, resource, permission, subject).unwrap();
        let environment = Environment {
            context,
            now,
            depth_max: limits.depth_max,
            edges_visited_max: limits.edges_visited_max,
        };
        let decision = eval::check(snapshot, &query, environment);
        let _ = black_box(decision.unwrap());
    }
}

/// With so many questions to a pinned snapshot.
fn pinned(replica: &Replica, questions: &[Question], each: usize) {
    for questions in questions.chunks(each.min(questions.len())) {
        let pinned = replica.pin().unwrap();
        for question in questions {
            let decision = pinned.check(
                &question.resource,
                &question.permission,
                &question.subject,
                &question.context,
            );
            let _ = black_box(decision.unwrap());
        }
    }
}

async fn asynchronous(replica: &Replica, questions: &[Question]) {
    for question in questions {
        let answer = replica.check(Consistency::MinimizeLatency, question).await;
        let _ = black_box(answer.unwrap());
    }
}

/// How long after a write is acknowledged the replica answers from it.
async fn news(node: &Node, replica: &Replica) {
    let anybody = Caller::without_authentication();
    let mut times = Vec::new();
    for number in 0..WRITES {
        let write = Write {
            updates: vec![RelationshipUpdate {
                operation: Operation::Touch,
                relationship: format!("document:new{number}#viewer@user:u1")
                    .parse()
                    .unwrap(),
            }],
            ..Write::default()
        };
        let token = ops::write::write(node, &anybody, write).await.unwrap();
        let begun = Instant::now();
        replica
            .pin_at(Consistency::AtLeastAsFresh(token))
            .await
            .unwrap();
        times.push(begun.elapsed());
        // So that what comes next is not told together with it.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    times.sort_unstable();
    let at = |percent: usize| *times.get(WRITES * percent / 100).unwrap();
    println!(
        "a write reaches the replica: p50 {:.2?}, p99 {:.2?}",
        at(50),
        at(99)
    );
}
