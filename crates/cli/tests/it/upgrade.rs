//! A rolling upgrade: nodes of the version before, a database of it, and calls all the while; then nodes of this version, one after the
//! other.
//!
//! `cargo xtask upgrade` builds the binary of before and runs this; `REMIT_PREVIOUS` says where it is.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use remit_client::proto::authzed::api::v1 as wire;
use remit_client::{Client, Connection, Transport};
use testkit::postgres::Server;
use wire::consistency::Requirement;
use wire::relationship_update::Operation;

use crate::asking::{is_allow, may_view, viewer};
use crate::{REMIT, SCHEMA, Served};

/// How long a busy machine may take for anything here.
const PATIENCE: Duration = Duration::from_secs(120);
/// Writes that are acknowledged between two steps of the upgrade.
const WRITES: usize = 40;

fn previous() -> PathBuf {
    let path = std::env::var_os("REMIT_PREVIOUS");
    PathBuf::from(path.expect("REMIT_PREVIOUS: run this by `cargo xtask upgrade`"))
}

fn done(program: &Path, folder: &Path, arguments: &[&str]) -> Output {
    let command = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output();
    command.unwrap()
}

fn succeed(program: &Path, folder: &Path, arguments: &[&str]) -> String {
    let output = done(program, folder, arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program:?} {arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

/// A node at an address of its own, whichever binary it runs.
struct Node {
    address: String,
    process: Option<Served>,
}

impl Node {
    fn new() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        Self {
            address,
            process: None,
        }
    }

    /// Starts it, and waits until it is ready.
    async fn start(&mut self, program: &Path, folder: &Path, store: &str) {
        let started = Command::new(program)
            .args(["serve", "--insecure-no-auth", "--store", store])
            .args(["--grpc-addr", &self.address, "--http-addr", "none"])
            .args(["--metrics-addr", "none"])
            .current_dir(folder)
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(Served(started.unwrap()));
        let begun = Instant::now();
        loop {
            if let Ok(client) = connect(&self.address).await
                && client.is_serving().await.is_ok_and(|is| is)
            {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{program:?} does not get ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops it as an operator does, and waits for its end.
    fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        let pid = process.0.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        process.0.wait().unwrap();
    }
}

async fn connect(address: &str) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
    let described = Connection {
        endpoint: address.to_owned(),
        key: None,
        transport: Transport::Plaintext,
        connect_timeout: Duration::from_secs(10),
    };
    Ok(Client::connect(&described).await?)
}

/// Creates `doc:ID#viewer@user:ann` under an idempotency key, so that it can be sent again.
async fn create(client: &Client, id: &str) -> Result<wire::ZedToken, tonic::Status> {
    let request = viewer(Operation::Create, id, None);
    let mut request = tonic::Request::new(request);
    request.set_timeout(Duration::from_secs(10));
    let key = id.parse().unwrap();
    request.metadata_mut().insert("remit-idempotency-key", key);
    let written = client.permissions().write_relationships(request).await?;
    Ok(written.into_inner().written_at.unwrap())
}

async fn is_allowed(
    client: &Client,
    id: &str,
    freshness: Requirement,
) -> Result<bool, tonic::Status> {
    let request = may_view(id, Some(freshness));
    let mut request = tonic::Request::new(request);
    request.set_timeout(Duration::from_secs(10));
    let answer = client.permissions().check_permission(request).await?;
    Ok(is_allow(&answer.into_inner()))
}

/// What the calls came to.
#[derive(Default)]
struct Calls {
    /// What was acknowledged, with its token.
    acknowledged: Mutex<Vec<(String, wire::ZedToken)>>,
    /// What the watch told of, in order.
    watched: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Calls {
    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    async fn go_on(&self) {
        let until = self.count() + WRITES;
        let begun = Instant::now();
        while self.count() < until {
            assert!(begun.elapsed() < PATIENCE, "writes do not go on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Writes, each time at one node, and asks the other by the token of what was written. What fails for now is sent again elsewhere.
async fn write_and_check(calls: Arc<Calls>, addresses: Vec<String>) {
    let mut number = 0;
    while !calls.is_over.load(Ordering::Relaxed) {
        let id = format!("d{number}");
        let token =
            until_answered(&addresses, number, async |client| create(client, &id).await).await;
        let fresh = || Requirement::AtLeastAsFresh(token.clone());
        let is_there = until_answered(&addresses, number + 1, async |client| {
            is_allowed(client, &id, fresh()).await
        });
        assert!(is_there.await, "{id} was acknowledged");
        calls.acknowledged.lock().unwrap().push((id, token));
        number += 1;
    }
}

/// [`write_and_check`], on a thread of its own.
fn writing(calls: &Arc<Calls>, addresses: &[String]) -> std::thread::JoinHandle<()> {
    let (calls, addresses) = (Arc::clone(calls), addresses.to_vec());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(write_and_check(calls, addresses));
    })
}

/// The answer of the first node, beginning with one of them, that gives one. Only what may be over soon is asked again.
async fn until_answered<T>(
    addresses: &[String],
    first: usize,
    ask: impl AsyncFn(&Client) -> Result<T, tonic::Status>,
) -> T {
    let begun = Instant::now();
    for address in addresses.iter().cycle().skip(first % addresses.len()) {
        assert!(begun.elapsed() < PATIENCE, "no node answers");
        let Ok(client) = connect(address).await else {
            continue;
        };
        match ask(&client).await {
            Ok(answer) => return answer,
            Err(status) => assert!(
                matches!(
                    status.code(),
                    tonic::Code::Unavailable
                        | tonic::Code::DeadlineExceeded
                        | tonic::Code::Cancelled
                ),
                "{status:?}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    unreachable!("addresses go round")
}

/// Watches at whichever node there is, from where it was cut.
async fn watch(calls: Arc<Calls>, addresses: Vec<String>, from: wire::ZedToken) {
    let mut cursor = from;
    for address in addresses.iter().cycle() {
        if calls.is_over.load(Ordering::Relaxed) && all_watched(&calls) {
            return;
        }
        let request = wire::WatchRequest {
            optional_start_cursor: Some(cursor.clone()),
            ..Default::default()
        };
        let Ok(client) = connect(address).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let Ok(stream) = client.watch().watch(request).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let mut stream = stream.into_inner();
        // A wait that ends lets the end of the calls be seen; the stream is taken up again from its last token.
        while let Ok(Ok(Some(told))) =
            tokio::time::timeout(Duration::from_secs(2), stream.message()).await
        {
            let ids = told
                .updates
                .into_iter()
                .filter_map(|update| Some(update.relationship?.resource?.object_id));
            calls.watched.lock().unwrap().extend(ids);
            if let Some(through) = told.changes_through {
                cursor = through;
            }
        }
    }
}

fn all_watched(calls: &Calls) -> bool {
    calls.watched.lock().unwrap().len() >= calls.count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the binary of the version before: cargo xtask upgrade"]
async fn nodes_are_replaced_one_after_the_other_and_nothing_is_lost() {
    let (old, new) = (previous(), PathBuf::from(REMIT));
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let server = Server::start(&["fsync=off"]);
    let url = server.database();
    succeed(&old, at, &["store", "migrate", "--store", &url]);
    let mut nodes = [Node::new(), Node::new()];
    for node in &mut nodes {
        node.start(&old, at, &url).await;
    }
    let addresses: Vec<_> = nodes.iter().map(|node| node.address.clone()).collect();
    let client = connect(&addresses[0]).await.unwrap();
    let schema = wire::WriteSchemaRequest {
        schema: SCHEMA.to_owned(),
    };
    let from = client.schema().write_schema(schema).await.unwrap();
    let from = from.into_inner().written_at.unwrap();
    let calls = Arc::new(Calls::default());
    let watching = tokio::spawn(watch(Arc::clone(&calls), addresses.clone(), from));
    let writing = writing(&calls, &addresses);

    calls.go_on().await;
    succeed(&new, at, &["store", "migrate", "--store", &url]);
    // Where the new form is one that the version before does not write, its nodes answer checks, and writes wait for the first new node.
    nodes[0].stop();
    nodes[0].start(&new, at, &url).await;
    // Both versions side by side, each asked by tokens of the other.
    calls.go_on().await;
    nodes[1].stop();
    calls.go_on().await;
    nodes[1].start(&new, at, &url).await;
    calls.go_on().await;
    calls.is_over.store(true, Ordering::Relaxed);
    tokio::task::spawn_blocking(|| writing.join().unwrap())
        .await
        .unwrap();
    watching.await.unwrap();

    let acknowledged = calls.acknowledged.lock().unwrap().clone();
    let expected: Vec<_> = acknowledged.iter().map(|(id, _)| id.clone()).collect();
    assert!(expected.len() >= 4 * WRITES);
    assert_eq!(
        *calls.watched.lock().unwrap(),
        expected,
        "each once, in order"
    );
    let distinct: BTreeSet<_> = expected.iter().collect();
    assert_eq!(distinct.len(), expected.len());
    for address in &addresses {
        let client = connect(address).await.unwrap();
        for (id, token) in [acknowledged.first().unwrap(), acknowledged.last().unwrap()] {
            let fresh = Requirement::AtLeastAsFresh(token.clone());
            assert!(is_allowed(&client, id, fresh).await.unwrap(), "{id}");
        }
        for id in &expected {
            let newest = Requirement::MinimizeLatency(true);
            assert!(
                is_allowed(&client, id, newest).await.unwrap(),
                "{id} is lost"
            );
        }
    }
    back_to(&old, at, &url, acknowledged.last().unwrap()).await;
}

/// What the version before makes of the database now: it says by its status whether it can serve it, and does as it says.
async fn back_to(old: &Path, at: &Path, url: &str, newest: &(String, wire::ZedToken)) {
    let status = done(old, at, &["store", "status", "--store", url]);
    match status.status.code() {
        Some(0) => {
            let mut node = Node::new();
            node.start(old, at, url).await;
            let client = connect(&node.address).await.unwrap();
            let fresh = Requirement::AtLeastAsFresh(newest.1.clone());
            assert!(is_allowed(&client, &newest.0, fresh).await.unwrap());
            eprintln!("the version before serves the migrated database");
        }
        Some(1) => {
            let serve = [
                "serve",
                "--insecure-no-auth",
                "--store",
                url,
                "--http-addr",
                "none",
            ];
            let nowhere = ["--grpc-addr", "127.0.0.1:0", "--metrics-addr", "none"];
            let refused = done(old, at, &[&serve[..], &nowhere].concat());
            let told = String::from_utf8_lossy(&refused.stderr);
            assert!(
                !refused.status.success() && told.contains("format"),
                "{told}"
            );
            eprintln!("the version before refuses the migrated database: {told}");
        }
        code => panic!("{code:?}: {}", String::from_utf8_lossy(&status.stderr)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the binary of the version before: cargo xtask upgrade"]
async fn a_file_of_the_version_before_opens_in_this_one() {
    let (old, new) = (previous(), PathBuf::from(REMIT));
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut node = Node::new();
    node.start(&old, at, "sqlite:one.db").await;
    let client = connect(&node.address).await.unwrap();
    let schema = wire::WriteSchemaRequest {
        schema: SCHEMA.to_owned(),
    };
    client.schema().write_schema(schema).await.unwrap();
    let token = create(&client, "a").await.unwrap();
    succeed(&old, at, &["backup", "old.db", "--store", "sqlite:one.db"]);
    node.stop();
    node.start(&new, at, "sqlite:one.db").await;
    let client = connect(&node.address).await.unwrap();
    let fresh = Requirement::AtLeastAsFresh(token.clone());
    assert!(is_allowed(&client, "a", fresh).await.unwrap());
    // The write of before is known again by its key, and is not made twice.
    assert_eq!(create(&client, "a").await.unwrap(), token);
    create(&client, "b").await.unwrap();
    node.stop();
    succeed(&new, at, &["backup", "verify", "old.db"]);
    succeed(
        &new,
        at,
        &["restore", "old.db", "--store", "sqlite:restored.db"],
    );
}
