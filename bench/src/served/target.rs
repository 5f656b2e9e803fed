//! The servers that are measured: processes of their own, which end with their handle.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};

use crate::machine::Process;
use crate::workload::{Workload, relationship};

/// Longest that a server takes to accept its first connection.
const START_MAX: Duration = Duration::from_secs(60);

/// A server under load.
pub(crate) struct Target {
    address: String,
    process: Process,
    _child: Child,
    _data: Option<TempDir>,
}

impl Target {
    /// Starts `remit` on a new store with the workload in it.
    pub(crate) async fn remit(program: &Path, workload: &dyn Workload) -> anyhow::Result<Self> {
        ensure!(
            program.exists(),
            "there is no {}; build it with `cargo build --release`",
            program.display()
        );
        let data = tempfile::tempdir()?;
        let schema = data.path().join("schema.zed");
        fs::write(&schema, workload.schema())?;
        let rows = data.path().join("rows.txt");
        write_rows(&rows, workload)?;
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
        Ok(target)
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
        let target = Self {
            address,
            process: Process::of(id),
            _child: child,
            _data: data,
        };
        let connecting = async {
            while target.connect().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(START_MAX, connecting).await;
        waited.context("the server does not accept connections")?;
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

fn write_rows(path: &Path, workload: &dyn Workload) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(fs::File::create(path)?);
    let mut failed = None;
    workload.fill(&mut |row| {
        if let Err(error) = writeln!(out, "{}", relationship(&row)) {
            failed.get_or_insert(error);
        }
    });
    failed
        .map_or(Ok(()), Err)
        .context("cannot write the rows")?;
    Ok(out.flush()?)
}

/// How many rows a workload has.
pub(crate) fn rows(workload: &dyn Workload) -> u64 {
    let mut count = 0;
    workload.fill(&mut |_| count += 1);
    count
}
