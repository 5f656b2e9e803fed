//! A server whose configuration file changes while it is asked.

#![expect(
    clippy::disallowed_methods,
    reason = "what another process does can only be asked for, again and again"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use remit_client::proto::authzed::api::v1 as wire;
use remit_client::{Client, Connection, Transport};

use crate::{REMIT, Served};

/// How long a busy machine may take for anything here.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with a configuration file, and what it says.
struct Server {
    process: Served,
    said: Arc<Mutex<Vec<String>>>,
    address: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut process: Child = Command::new(REMIT)
            .args([
                "serve",
                "--config",
                "server.toml",
                "--grpc-addr",
                "127.0.0.1:0",
            ])
            .args(["--http-addr", "none", "--metrics-addr", "none"])
            .current_dir(folder)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let said = Arc::new(Mutex::new(Vec::new()));
        let saying = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                saying.lock().unwrap().push(line);
            }
        });
        let server = Self {
            process: Served(process),
            said,
            address: String::new(),
        };
        let ready = server.says("remit is ready: gRPC on ", 0);
        let address = ready.split("gRPC on ").nth(1).unwrap();
        let address = address.split(',').next().unwrap().to_owned();
        Self { address, ..server }
    }

    /// The first line with `text` after the first `seen`.
    fn says(&self, text: &str, seen: usize) -> String {
        let begun = Instant::now();
        loop {
            let said = self.said.lock().unwrap();
            if let Some(line) = said.iter().skip(seen).find(|line| line.contains(text)) {
                return line.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "no `{text}` in {said:#?}");
            drop(said);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Writes the file and has it read; gives what is said of `text` then.
    fn reload(&self, folder: &Path, configuration: &str, text: &str) -> String {
        let seen = self.said.lock().unwrap().len();
        let new = folder.join("new.toml");
        fs::write(&new, format!("{BASE}{configuration}")).unwrap();
        // Never read half-written.
        fs::rename(new, folder.join("server.toml")).unwrap();
        let pid = self.process.0.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-HUP", &pid])
                .status()
                .unwrap()
                .success()
        );
        self.says(text, seen)
    }
}

const BASE: &str = "store = \"memory:\"\ninsecure-no-auth = true\nlog-format = \"json\"\n";

async fn connected(address: &str) -> Client {
    let described = Connection {
        endpoint: address.to_owned(),
        key: None,
        transport: Transport::Plaintext,
        connect_timeout: PATIENCE,
    };
    Client::connect(&described).await.unwrap()
}

fn item(id: u64) -> wire::CheckBulkPermissionsRequestItem {
    let object = |kind: &str, id: String| wire::ObjectReference {
        object_type: kind.to_owned(),
        object_id: id,
    };
    wire::CheckBulkPermissionsRequestItem {
        resource: Some(object("doc", format!("d{id}"))),
        permission: "view".to_owned(),
        subject: Some(wire::SubjectReference {
            object: Some(object("user", "ann".to_owned())),
            optional_relation: String::new(),
        }),
        context: None,
    }
}

/// One attempt each, none of them made again: what fails is seen.
async fn ask(client: &Client, items: u64) -> Result<(), tonic::Status> {
    let request = wire::CheckBulkPermissionsRequest {
        items: (0..items).map(item).collect(),
        ..Default::default()
    };
    let asked = client.permissions().check_bulk_permissions(request).await;
    asked.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_change_does_and_no_call_fails_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("server.toml"), BASE).unwrap();
    let server = Server::start(at);
    let client = connected(&server.address).await;
    let schema = wire::WriteSchemaRequest {
        schema: crate::SCHEMA.to_owned(),
    };
    client.schema().write_schema(schema).await.unwrap();

    let (is_over, asked) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (client, is_over) = (client.clone(), Arc::clone(&is_over));
            let asked = Arc::clone(&asked);
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    ask(&client, 2).await.unwrap();
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..10 {
        let before = asked.load(Ordering::Relaxed);
        let depth = 60 + round;
        let log = if round % 2 == 0 {
            "debug,h2=info,hyper=info"
        } else {
            "info"
        };
        let changes = format!(
            "depth-max = {depth}\nbulk-check-items-max = {}\nlog = \"{log}\"\n",
            2 + round
        );
        server.reload(at, &changes, "and in effect");
        server.reload(at, "depth-max = 9999\n", "cannot be read again");
        while asked.load(Ordering::Relaxed) < before + 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }

    // The last good one, with 11 items, is in effect; a smaller one is then.
    ask(&client, 11).await.unwrap();
    let told = ask(&client, 12).await.unwrap_err();
    assert!(told.message().contains("11"), "{told:?}");
    let seen = server.reload(
        at,
        "bulk-check-items-max = 3\nlog = \"info\"\n",
        r#""name":"bulk-check-items-max""#,
    );
    assert!(seen.contains("and in effect"), "{seen}");
    ask(&client, 3).await.unwrap();
    ask(&client, 4).await.unwrap_err();
    let told = server.reload(at, "watches-max = 3\n", "takes a restart");
    assert!(
        told.contains("WARN") && told.contains("watches-max"),
        "{told}"
    );
    let told = server.reload(at, "log = \"=,=\"\n", "cannot be read again");
    assert!(told.contains("configuration file"), "{told}");
    // A certificate without its key is none, here as at a start.
    let told = server.reload(at, "tls-cert = \"cert.pem\"\n", "tls-cert");
    assert!(told.contains("needs `--tls-key`"), "{told}");
    let told = server.reload(at, "token = \"hush\n", "cannot be read again");
    assert!(!told.contains("hush") && told.contains("line 4"), "{told}");
}
