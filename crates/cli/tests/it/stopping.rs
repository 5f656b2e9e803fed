//! Nodes that are asked to stop, one after the other, while callers go on: no call that a node took is lost.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use remit_client::{Check, Client, Credentials, Retry};
use testkit::postgres::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{REMIT, SCHEMA, run};

/// Nothing here may depend on how busy the machine is.
const LONG: Duration = Duration::from_secs(120);

/// A node; killed with its test.
struct Node {
    child: Child,
    address: String,
}

impl Node {
    /// Starts one that serves gRPC and HTTP on `port` and drains for a second before it goes.
    async fn start(folder: &Path, url: &str, port: u16) -> Self {
        let address = format!("127.0.0.1:{port}");
        let child = Command::new(REMIT)
            .args([
                "serve",
                "--store",
                url,
                "--preshared-key",
                "test:open-sesame",
            ])
            .args(["--grpc-addr", &address, "--http-addr", &address])
            .args(["--metrics-addr", "none", "--drain-seconds", "1"])
            .current_dir(folder)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let node = Self { child, address };
        let ready = async {
            while ask_health(&node.address).await != Some(200) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LONG, ready)
            .await
            .expect("it does not start");
        node
    }

    /// Asks it to stop, and waits until it did.
    async fn stop(mut self) {
        let process = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &process]).status();
        assert!(sent.unwrap().success());
        let ended = async {
            loop {
                match self.child.try_wait().unwrap() {
                    Some(status) => return status,
                    None => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let status = tokio::time::timeout(LONG, ended).await.expect("it stays");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// A connection of HTTP/1.1 that is used again and again.
struct KeptAlive(TcpStream);

/// What came back, and whether the connection goes on.
struct Answer {
    code: u16,
    goes_on: bool,
}

impl KeptAlive {
    async fn connect(address: &str) -> Option<Self> {
        TcpStream::connect(address).await.ok().map(Self)
    }

    /// None if the connection ended before anything of an answer came.
    async fn ask(&mut self, request: &str) -> Option<Answer> {
        self.0.write_all(request.as_bytes()).await.ok()?;
        let mut read = Vec::new();
        let head = loop {
            let text = String::from_utf8_lossy(&read).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let head = head.to_lowercase();
                let length = head.split("content-length: ").nth(1)?;
                let length: usize = length.split("\r\n").next()?.parse().ok()?;
                if body.len() >= length {
                    break head;
                }
            }
            let mut buffer = [0; 4_096];
            let count = self.0.read(&mut buffer).await.ok()?;
            if count == 0 {
                return None;
            }
            read.extend(buffer.iter().take(count));
        };
        Some(Answer {
            code: head.split(' ').nth(1)?.parse().ok()?,
            goes_on: !head.contains("connection: close"),
        })
    }
}

async fn ask_health(address: &str) -> Option<u16> {
    let mut connection = KeptAlive::connect(address).await?;
    let answer = connection
        .ask("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        .await?;
    Some(answer.code)
}

/// Checks over HTTP/1.1, at whichever node takes connections; each that was sent on a connection that a node keeps open is to be answered.
async fn check_over_http(
    nodes: [String; 2],
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
) -> Vec<String> {
    let body = r#"{"resource":{"objectType":"doc","objectId":"a"},"permission":"view","subject":{"object":{"objectType":"user","objectId":"ann"}}}"#;
    let request = format!(
        "POST /v1/permissions/check HTTP/1.1\r\nhost: a\r\nauthorization: Bearer open-sesame\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (mut lost, mut at) = (Vec::new(), 0);
    let mut open: Option<KeptAlive> = None;
    while !stop.load(Ordering::Relaxed) {
        let mut connection = match open.take() {
            Some(connection) => connection,
            None => {
                let address = &nodes[at % 2];
                let is_serving = ask_health(address).await == Some(200);
                match KeptAlive::connect(address).await.filter(|_| is_serving) {
                    Some(connection) => connection,
                    None => {
                        at += 1;
                        tokio::time::sleep(Duration::from_millis(2)).await;
                        continue;
                    }
                }
            }
        };
        match connection.ask(&request).await {
            Some(Answer { code: 200, goes_on }) => {
                done.fetch_add(1, Ordering::Relaxed);
                open = goes_on.then_some(connection);
            }
            Some(Answer { code, .. }) => lost.push(format!("HTTP: {code}")),
            None => lost.push("HTTP: no answer".to_owned()),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    lost
}

/// Checks over gRPC by a client that tries nothing again which a server has seen.
async fn check_over_grpc(
    nodes: [String; 2],
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
) -> Vec<String> {
    let client = Client::builder(nodes).credentials(Credentials::key("open-sesame").unwrap());
    let client = client.retry(Retry::never()).build().unwrap();
    let mut lost = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let check = Check::new("doc:a", "view", "user:ann").unwrap();
        match client.check(check.with_deadline(LONG)).await {
            Ok(decision) => {
                assert!(decision.is_allowed());
                done.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => lost.push(format!("gRPC: {error}")),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    lost
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_stop_one_after_the_other_lose_no_call() {
    let server = Server::start(&[]);
    let url = server.database();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert_eq!(run(at, &["store", "migrate", "--store", &url]).0, 0);
    let ports = [free_port(), free_port()];
    let mut nodes = Vec::new();
    for port in ports {
        nodes.push(Node::start(at, &url, port).await);
    }
    let addresses = ports.map(|port| format!("127.0.0.1:{port}"));
    std::fs::write(at.join("schema.zed"), SCHEMA).unwrap();
    let first = &addresses[0];
    let given = ["--endpoint", first, "--insecure", "--token", "open-sesame"];
    let schema = ["schema", "write", "schema.zed"];
    assert_eq!(run(at, &[&schema[..], &given].concat()).0, 0);
    let row = ["relationship", "write", "doc:a#viewer@user:ann"];
    assert_eq!(run(at, &[&row[..], &given].concat()).0, 0);
    // The other node has it, too.
    let check = [
        "check",
        "doc:a",
        "view",
        "user:ann",
        "--consistency",
        "fully-consistent",
    ];
    let given = [
        "--endpoint",
        &addresses[1],
        "--insecure",
        "--token",
        "open-sesame",
    ];
    assert_eq!(run(at, &[&check[..], &given].concat()).0, 0);

    let stop = Arc::new(AtomicBool::new(false));
    let (by_grpc, by_http) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut callers = Vec::new();
    for _ in 0..4 {
        let load = |done: &Arc<AtomicU64>| (addresses.clone(), Arc::clone(&stop), Arc::clone(done));
        let (nodes, stopped, done) = load(&by_grpc);
        callers.push(tokio::spawn(check_over_grpc(nodes, stopped, done)));
        let (nodes, stopped, done) = load(&by_http);
        callers.push(tokio::spawn(check_over_http(nodes, stopped, done)));
    }
    let answered = || [&by_grpc, &by_http].map(|done| done.load(Ordering::Relaxed));
    // One after the other, each back before the next goes.
    for port in ports {
        let before = answered();
        let more = async {
            while answered()
                .iter()
                .zip(before)
                .any(|(now, before)| *now < before + 200)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, more)
            .await
            .expect("nothing is answered");
        nodes.remove(0).stop().await;
        nodes.push(Node::start(at, &url, port).await);
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Vec::<String>::new());
    }
    eprintln!("{:?} checks over gRPC and HTTP/1.1, none lost", answered());
}
