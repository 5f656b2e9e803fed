//! A Remit in this process with some documents, and the services as processes before it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use identity::{Authenticator, PresharedKeys};
use model::{Clock, SystemClock};
use ops::{Node, Settings};
use remit_client::proto::authzed::api::v1::WriteSchemaRequest;
use remit_client::{Client, Credentials, Relationship, Write};
use server::{Authentication, Config};
use store::SqliteStore;

const KEY: &str = "example-key";
const ROWS: [&str; 5] = [
    "service:documents#caller@user:ann",
    "service:documents#caller@user:bob",
    "document:plan#owner@user:ann",
    "document:draft#owner@user:ann",
    "document:plan#viewer@user:eve",
];

/// A service as a process. Dropped, it ends.
pub(crate) struct Process {
    child: Child,
    /// Host and port.
    pub(crate) address: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Starts a Remit, and the binary at `path` before it.
pub(crate) async fn start(path: &str) -> Process {
    let remit = remit().await;
    let key_file = std::env::temp_dir().join(format!("rust-services-{remit}.key"));
    std::fs::write(&key_file, KEY).unwrap();
    let mut child = Command::new(path)
        .args(["127.0.0.1:0", &remit])
        .arg(&key_file)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut told = BufReader::new(child.stderr.take().unwrap());
    told.read_line(&mut line).unwrap();
    std::fs::remove_file(key_file).unwrap();
    let address = line.trim().rsplit([' ', '/']).next().unwrap().to_owned();
    assert!(line.starts_with("serving documents"), "{line}");
    Process { child, address }
}

/// Starts a Remit with the schema and the relationships of the example, and tells where it is.
async fn remit() -> String {
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
    let client = Client::builder([&endpoint]).credentials(Credentials::key(KEY).unwrap());
    let client = client.build().unwrap();
    let schema = include_str!("../../schema.zed").to_owned();
    let request = WriteSchemaRequest { schema };
    client.schema().write_schema(request).await.unwrap();
    let rows = ROWS.iter().fold(Write::new(), |write, row| {
        write.touch(Relationship::new(row).unwrap())
    });
    client.write(rows).await.unwrap();
    endpoint
}
