//! The servers that are measured: processes of their own, which end with their handle.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};

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
}

/// What Remit is started with.
struct Store {
    program: PathBuf,
    data: TempDir,
}

impl Target {
    /// Starts `remit` on a new store with the workload in it, and tells how many relationships that are.
    pub(crate) async fn remit(
        program: PathBuf,
        workload: &dyn Workload,
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
        let store = Store { program, data };
        let (address, child) = store.serve().await?;
        let mut target = Self::new(address, child)?;
        target.accepts().await?;
        store
            .ask(&target.address, &["schema", "write"], &schema)
            .await?;
        let import = ["import", "--batch", "100000"];
        store.ask(&target.address, &import, &rows).await?;
        fs::remove_file(&rows)?;
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
        self.accepts().await
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

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }
}

impl Store {
    /// Starts the server, and tells the address that it is to listen on.
    async fn serve(&self) -> anyhow::Result<(String, Child)> {
        let address = free_address().await?;
        let store = format!("sqlite:{}", self.data.path().join("remit.db").display());
        let child = Command::new(&self.program)
            .args(["serve", "--insecure-no-auth", "--store", &store])
            .args([
                "--grpc-addr",
                &address,
                "--http-addr",
                "none",
                "--metrics-addr",
                "none",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        Ok((address, child))
    }

    /// Runs a command of the client with `file`.
    async fn ask(&self, address: &str, arguments: &[&str], file: &Path) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        let command = command.args(arguments).arg(file);
        let command = command.args(["--endpoint", address, "--insecure"]);
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
