//! What it costs a check to ask first what its caller may do: beside a check of one whom nothing is asked, on the same graph.
//!
//! Other benchmarks make no difference between callers: theirs is let through without a look.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints what it finds, and ends where something fails"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use identity::{Authenticator, Authorization, Caller, Presented, PresharedKeys};
use model::{Context, Operation, RelationshipUpdate, SystemClock};
use ops::check::{Question, check};
use ops::write::Write;
use ops::{Consistency, Node, Settings};
use store::SqliteStore;

const SCHEMA: &str = "definition user {}\ndefinition document {\n relation viewer: user\n permission view = viewer\n}";
/// What each caller holds, from no question to the longest way.
const CALLERS: [(&str, &[&str]); 5] = [
    ("nobody asked", &[]),
    (
        "administrator",
        &["remit/system:main#administrator@remit/key:a"],
    ),
    (
        "checker of the definition",
        &["remit/type:document#checker@remit/key:a"],
    ),
    (
        "checker of the permission",
        &["remit/type_member:document/view#checker@remit/key:a"],
    ),
    (
        "checker of the definition, two groups away",
        &[
            "remit/type:document#checker@remit/group:outer#member",
            "remit/group:outer#member@remit/group:inner#member",
            "remit/group:inner#member@remit/key:a",
        ],
    ),
];
const DOCUMENTS: usize = 100_000;
const GRANTS: usize = 1_000;
const ROUNDS: usize = 5;
const CHECKS: usize = 200_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for (what, grants) in CALLERS {
        let node = node(grants).await;
        let caller = if grants.is_empty() {
            Caller::without_authentication()
        } else {
            key("a").await
        };
        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..ROUNDS {
            times.push(round(&node, &caller).await);
        }
        times.sort_unstable();
        let nanos = times.get(ROUNDS / 2).unwrap().as_nanos() / CHECKS as u128;
        println!("{what}: {nanos} ns a check, the median of {ROUNDS} rounds");
        node.stop();
    }
}

async fn key(name: &str) -> Caller {
    let keys = PresharedKeys::new([format!("{name}:secret").as_str()]).unwrap();
    let keys = Some(Arc::new(keys));
    let clock = Arc::new(SystemClock);
    let door = Authenticator::new(keys, Arc::default(), identity::Settings::default(), clock);
    let presented = Presented {
        authorization: Authorization::One("Bearer secret"),
        certificate: None,
    };
    door.authenticate(&presented).await.unwrap()
}

/// A node with documents, other callers' rights, and those of the one.
async fn node(grants: &[&str]) -> Arc<Node> {
    let store = Arc::new(SqliteStore::memory().unwrap());
    let node = Node::start(store, Arc::new(SystemClock), Settings::default());
    let node = node.await.unwrap();
    let root = Caller::without_authentication();
    ops::schema::write(&node, &root, SCHEMA).await.unwrap();
    let mut import = ops::bulk::Import::default();
    let rows = (0..DOCUMENTS).map(|row| {
        let text = format!("document:d{row}#viewer@user:u{}", row % 1_000);
        text.parse().unwrap()
    });
    import.add(&node, rows).unwrap();
    import.commit(&node, &root).await.unwrap();
    let others = (0..GRANTS).map(|row| format!("remit/type:t{row}#checker@remit/key:k{row}"));
    let first = "remit/system:main#administrator@remit/key:other".to_owned();
    let own = grants.iter().map(|row| (*row).to_owned());
    let rows: Vec<String> = own.chain([first]).chain(others).collect();
    for rows in rows.chunks(500) {
        let updates = rows.iter().map(|row| RelationshipUpdate {
            operation: Operation::Touch,
            relationship: row.parse().unwrap(),
        });
        let write = Write {
            updates: updates.collect(),
            ..Write::default()
        };
        ops::write::write(&node, &root, write).await.unwrap();
    }
    node
}

async fn round(node: &Node, caller: &Caller) -> Duration {
    let questions: Vec<Question> = (0..1_000)
        .map(|row| Question {
            resource: format!("document:d{}", row * 97 % DOCUMENTS)
                .parse()
                .unwrap(),
            permission: "view".to_owned(),
            subject: format!("user:u{}", row % 1_000).parse().unwrap(),
            context: Context::default(),
        })
        .collect();
    let begun = Instant::now();
    for question in questions.iter().cycle().take(CHECKS) {
        let answer = check(node, caller, Consistency::MinimizeLatency, question).await;
        black_box(answer.unwrap());
    }
    begun.elapsed()
}
