//! The servers that are measured: processes of their own, which end with their handle.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};

use super::asking::{Asking, Credentials, Header};
use super::ext_authz;
use crate::machine::Process;
use crate::workload::{Workload, write_rows};

/// Longest that a server takes to accept its first connection, with a store that it reads before.
const START_MAX: Duration = Duration::from_secs(600);

/// A server under load.
pub(crate) struct Target {
    address: String,
    process: Process,
    child: Child,
    store: Option<Store>,
    header: Header,
}

/// How Remit is started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Serving {
    pub(crate) asking: Asking,
    /// On the address of gRPC.
    pub(crate) serves_http: bool,
    /// The file of rules of a decision log, whose paths begin in a folder of the server's own.
    pub(crate) decision_log: Option<&'static str>,
    /// What else it is set to.
    pub(crate) flags: Vec<String>,
}

/// What Remit is started with.
struct Store {
    program: PathBuf,
    data: TempDir,
    credentials: Credentials,
    serves_http: bool,
    /// What else it is set to.
    flags: Vec<String>,
    decision_log: Option<PathBuf>,
}

impl Target {
    /// Starts `remit` on a new store with the workload in it, and tells how many relationships that are.
    pub(crate) async fn remit(
        program: PathBuf,
        workload: &dyn Workload,
        serving: Serving,
    ) -> anyhow::Result<(Self, u64)> {
        ensure!(
            program.exists(),
            "there is no {}; build it with `cargo build --release`",
            program.display()
        );
        let data = tempfile::tempdir()?;
        let schema = data.path().join("schema.zed");
        fs::write(&schema, workload.schema())?;
        let rows = data.path().join("rows.txt");
        let count = write_rows(workload, fs::File::create(&rows)?)?;
        let credentials = serving.asking.credentials(data.path())?;
        let rules = data.path().join("edge.yaml");
        fs::write(&rules, ext_authz::RULES)?;
        let decision_log = serving.decision_log.map(|rules| {
            let file = data.path().join("decision-log.toml");
            fs::write(&file, rules).map(|()| file)
        });
        let store = Store {
            program,
            credentials,
            serves_http: serving.serves_http,
            flags: serving.flags,
            decision_log: decision_log.transpose()?,
            data,
        };
        let (address, child) = store.serve().await?;
        let mut target = Self::new(address, child)?;
        target.accepts().await?;
        store.is_ready(&target.address).await?;
        let [schema, rows_file] = [&schema, &rows].map(|file| file.display().to_string());
        store
            .ask(&target.address, &["schema", "write", &schema])
            .await?;
        let import = ["import", "--batch", "100000", &rows_file];
        store.ask(&target.address, &import).await?;
        fs::remove_file(&rows)?;
        store.grant(&target.address, workload.schema()).await?;
        target.header = store.credentials.header.clone();
        target.store = Some(store);
        Ok((target, count))
    }

    /// Starts this program as the floor.
    pub(crate) async fn floor() -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("floor")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().context("no output")?;
        let line = BufReader::new(out).lines().next_line().await?;
        Self::started(line.context("the floor did not start")?, child).await
    }

    /// Ends Remit, and starts it on the store that it had.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        let store = self.store.as_ref().context("the floor has no store")?;
        self.child.kill().await?;
        let (address, child) = store.serve().await?;
        let started = Self::new(address, child)?;
        self.address = started.address;
        self.process = started.process;
        self.child = started.child;
        self.accepts().await?;
        let store = self.store.as_ref().context("the floor has no store")?;
        store.is_ready(&self.address).await
    }

    /// The server that listens on `address` once it does.
    pub(crate) async fn started(address: String, child: Child) -> anyhow::Result<Self> {
        let mut target = Self::new(address, child)?;
        target.accepts().await?;
        Ok(target)
    }

    fn new(address: String, child: Child) -> anyhow::Result<Self> {
        let id = child.id().context("the server has ended")?;
        Ok(Self {
            address,
            process: Process::of(id),
            child,
            store: None,
            header: Header::default(),
        })
    }

    /// Waits until it accepts connections.
    async fn accepts(&mut self) -> anyhow::Result<()> {
        let connecting = async {
            while self.connect().await.is_err() {
                if let Some(status) = self.child.try_wait()? {
                    bail!("the server has ended ({status})");
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        let waited = tokio::time::timeout(START_MAX, connecting).await;
        waited.context("the server does not accept connections")?
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> anyhow::Result<Channel> {
        let endpoint = Endpoint::new(format!("http://{}", self.address))?.tcp_nodelay(true);
        Ok(endpoint.connect().await?)
    }

    /// This server, called with what `other` is called with.
    pub(crate) fn asked_as(mut self, other: &Self) -> Self {
        self.header = other.header.clone();
        self
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// What each call carries.
    pub(super) fn header(&self) -> Header {
        self.header.clone()
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }
}

impl Store {
    /// Starts the server, and tells the address that it is to listen on.
    async fn serve(&self) -> anyhow::Result<(String, Child)> {
        let address = free_address().await?;
        let store = format!("sqlite:{}", self.data.path().join("remit.db").display());
        let decision_log = self.decision_log.iter();
        let decision_log = decision_log.map(|file| format!("--decision-log={}", file.display()));
        let child = Command::new(&self.program)
            .args(["serve", "--store", &store])
            .args(decision_log)
            .args(&self.credentials.serve)
            .args(&self.flags)
            .arg("--edge-rules")
            .arg(self.data.path().join("edge.yaml"))
            .args([
                "--grpc-addr",
                &address,
                "--http-addr",
                if self.serves_http { &address } else { "none" },
                "--metrics-addr",
                "none",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        Ok((address, child))
    }

    /// Waits until the server has loaded: it listens before that.
    async fn is_ready(&self, address: &str) -> anyhow::Result<()> {
        let loading = async {
            while self.ask(address, &["node", "health"]).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(START_MAX, loading).await;
        waited.context("the server does not get ready")
    }

    /// Lets the load check, and nothing else.
    async fn grant(&self, address: &str, schema: &str) -> anyhow::Result<()> {
        let Some(subject) = self.credentials.subject else {
            return Ok(());
        };
        let grant = ["access", "grant"];
        let first = ["remit/key:admin", "administrator", "--system"];
        self.ask(address, &[&grant[..], &first].concat()).await?;
        let lines = schema.lines().map(str::trim_start);
        let names = lines.filter_map(|line| line.strip_prefix("definition ")?.split(' ').next());
        for name in names {
            let checker = [subject, "checker", "--definition", name];
            self.ask(address, &[&grant[..], &checker].concat()).await?;
        }
        Ok(())
    }

    /// Runs a command of the client.
    async fn ask(&self, address: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        let command = command.args(arguments);
        let command = command.args(["--endpoint", address, "--insecure"]);
        if let Some(key) = self.credentials.administrator {
            command.env("REMIT_TOKEN", key);
        }
        let done = command.output().await?;
        ensure!(
            done.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }
}

pub(crate) async fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Ok(listener.local_addr()?.to_string())
}
