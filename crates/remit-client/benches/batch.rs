//! What putting checks together saves: checks a second, and checks a second of the processor, of one client and one server in this
//! process, with callers that each ask again when they have their answer.
//!
//! The processor's time is that of the whole process: client, server, runtime. Both ways are measured in turns, so that what else the machine
//! does falls on both; the last line has the ratios of their medians.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark ends where something fails, and tells what it found"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use identity::{Authenticator, PresharedKeys};
use model::{Clock, SystemClock};
use ops::{Node, Settings};
use remit_client::proto::authzed::api::v1::WriteSchemaRequest;
use remit_client::{Batching, Check, Client, Credentials, Relationship, Write};
use server::{Authentication, Config};
use store::SqliteStore;

const KEY: &str = "bench-key";
const SCHEMA: &str = "definition user {}\ndefinition group {\n relation member: user\n}\ndefinition document {\n \
    relation viewer: user | group#member\n permission view = viewer\n}\n";
const DOCUMENTS: usize = 1_000;
const TURNS: usize = 5;
const TURN: Duration = Duration::from_secs(2);

/// What one turn came to.
#[derive(Clone, Copy)]
struct Turn {
    checks: f64,
    seconds: f64,
    cpu_seconds: f64,
}

fn main() {
    // What `cargo test` asks of every benchmark is that it builds.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let endpoint = serve().await;
    let client = |batching: Batching| {
        Client::builder([&endpoint])
            .credentials(Credentials::key(KEY).unwrap())
            .batching(batching)
            .build()
            .unwrap()
    };
    fill(&client(Batching::off())).await;
    println!("callers  way       checks/s  checks/CPU s  us/check  checks/call");
    for callers in [1, 16, 64, 256] {
        let mut alone = Vec::new();
        let mut together = Vec::new();
        for _ in 0..TURNS {
            alone.push(turn(&client(Batching::off()), callers).await);
            together.push(turn(&client(Batching::default()), callers).await);
        }
        let (of_alone, size) = median(&alone);
        print(callers, "alone", of_alone, size);
        let (of_together, size) = median(&together);
        print(callers, "together", of_together, size);
        let (alone, together) = (rate(of_alone), rate(of_together));
        let (per_second, per_cpu) = (together.0 / alone.0, together.1 / alone.1);
        println!("{callers:>7}  ratio     {per_second:>8.2}  {per_cpu:>12.2}");
    }
}

/// Callers ask for the length of a turn; with it comes how many checks a call had.
async fn turn(client: &Client, callers: usize) -> (Turn, f64) {
    // The connection is made before.
    assert!(client.check(question(0)).await.unwrap().is_allowed());
    let (calls, began, cpu) = (client.counts().calls, Instant::now(), cpu_seconds());
    let asking: Vec<_> = (0..callers)
        .map(|caller| {
            let client = client.clone();
            tokio::spawn(async move {
                let (mut count, mut number) = (0_u64, caller * 7_919);
                while began.elapsed() < TURN {
                    number += 1;
                    let decision = client.check(question(number)).await.unwrap();
                    assert_eq!(decision.is_allowed(), number.is_multiple_of(2));
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut checks = 0;
    for one in asking {
        checks += one.await.unwrap();
    }
    let turn = Turn {
        checks: checks as f64,
        seconds: began.elapsed().as_secs_f64(),
        cpu_seconds: cpu_seconds() - cpu,
    };
    let calls = client.counts().calls - calls;
    (turn, checks as f64 / calls as f64)
}

/// Ann is in the group of each second document.
fn question(number: usize) -> Check {
    let number = number % DOCUMENTS;
    Check::new(&format!("document:{number}"), "view", "user:ann").unwrap()
}

fn rate(turn: Turn) -> (f64, f64) {
    (turn.checks / turn.seconds, turn.checks / turn.cpu_seconds)
}

fn median(turns: &[(Turn, f64)]) -> (Turn, f64) {
    let mut turns = turns.to_vec();
    turns.sort_by(|one, other| rate(one.0).1.total_cmp(&rate(other.0).1));
    turns[turns.len() / 2]
}

fn print(callers: usize, way: &str, turn: Turn, size: f64) {
    let (per_second, per_cpu) = rate(turn);
    let micros = 1e6 / per_cpu;
    println!(
        "{callers:>7}  {way:<8}  {per_second:>8.0}  {per_cpu:>12.0}  {micros:>8.2}  {size:>11.1}"
    );
}

/// What this process has used of the processor, by the kernel's account.
fn cpu_seconds() -> f64 {
    // In hundredths of a second on every Linux that there is.
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
    // The fields 14 and 15 are the 12th and 13th after the name.
    (ticks(11) + ticks(12)) / TICKS_A_SECOND
}

async fn fill(client: &Client) {
    let schema = SCHEMA.to_owned();
    client
        .schema()
        .write_schema(WriteSchemaRequest { schema })
        .await
        .unwrap();
    let mut rows = vec!["group:all#member@user:ann".to_owned()];
    rows.extend((0..DOCUMENTS).map(|number| match number % 2 {
        0 => format!("document:{number}#viewer@group:all#member"),
        _ => format!("document:{number}#viewer@user:bob"),
    }));
    for some in rows.chunks(1_000) {
        let write = some.iter().fold(Write::new(), |write, row| {
            write.touch(Relationship::new(row).unwrap())
        });
        client.write(write).await.unwrap();
    }
}

async fn serve() -> String {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = Arc::new(SqliteStore::memory().unwrap());
    let node = Node::start(store, Arc::clone(&clock), Settings::default());
    let node = node.await.unwrap();
    let keys = Arc::new(PresharedKeys::new([KEY]).unwrap());
    let settings = identity::Settings::default();
    let authenticator = Authenticator::new(Some(keys), node.recorded_keys(), settings, clock);
    let config = Config::new(Authentication::Required(authenticator));
    let listening = server::listen(node, config).await.unwrap();
    let endpoint = listening.address().to_string();
    tokio::spawn(listening.serve(std::future::pending()));
    endpoint
}
