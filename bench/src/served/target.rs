//! The servers that are measured: processes of their own, which end with their handle.

use std::fs;
use std::path::Path;
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

/// Longest that a server takes to accept its first connection.
const START_MAX: Duration = Duration::from_secs(60);

/// A server under load.
pub(crate) struct Target {
    address: String,
    process: Process,
    child: Child,
    _data: Option<TempDir>,
}

impl Target {
    /// Starts `remit` on a new store with the workload in it, and tells how many relationships that are.
    pub(crate) async fn remit(
        program: &Path,
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
        let address = free_address().await?;
        let store = format!("sqlite:{}", data.path().join("remit.db").display());
        let child = Command::new(program)
            .args(["serve", "--insecure-no-auth", "--store", &store])
            .args(["--grpc-addr", &address])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let target = Self::started(address, child, Some(data)).await?;
        let ask = async |arguments: &[&str], file: &Path| {
            let mut command = Command::new(program);
            let command = command.args(arguments).arg(file).args([
                "--endpoint",
                &target.address,
                "--insecure",
            ]);
            let done = command.output().await?;
            ensure!(
                done.status.success(),
                "{arguments:?}: {}",
                String::from_utf8_lossy(&done.stderr)
            );
            Ok(())
        };
        ask(&["schema", "write"], &schema).await?;
        ask(&["import", "--batch", "100000"], &rows).await?;
        fs::remove_file(&rows)?;
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
        Self::started(line.context("the floor did not start")?, child, None).await
    }

    async fn started(address: String, child: Child, data: Option<TempDir>) -> anyhow::Result<Self> {
        let id = child.id().context("the server has ended")?;
        let mut target = Self {
            address,
            process: Process::of(id),
            child,
            _data: data,
        };
        let connecting = async {
            while target.connect().await.is_err() {
                if let Some(status) = target.child.try_wait()? {
                    bail!("the server has ended ({status})");
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        let waited = tokio::time::timeout(START_MAX, connecting).await;
        waited.context("the server does not accept connections")??;
        Ok(target)
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

async fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Ok(listener.local_addr()?.to_string())
}
