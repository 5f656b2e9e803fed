//! The other server: SpiceDB in a Node process, asked over its standard input and output (`e2e/peer`).

use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost::bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tonic::{Code, Status};

use crate::wire::{Answer, Failure};

/// Datastores that one process serves in turn; it keeps some memory of each.
const STARTS_MAX: u32 = 200;

/// A peer with a datastore of its own.
pub(super) struct Peer {
    process: Process,
    starts: u32,
}

struct Process {
    /// Ends with its handle.
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    /// Starts a process.
    pub(super) fn new() -> Self {
        Self {
            process: Process::spawn(),
            starts: 0,
        }
    }

    /// Puts an empty datastore in place of the one before.
    pub(super) async fn start(&mut self) {
        if self.starts == STARTS_MAX {
            *self = Self::new();
        }
        self.starts += 1;
        self.process.ask(&json!({ "start": true })).await;
    }

    /// Calls `method`. Failures of calls with a single answer come without a reason.
    pub(super) async fn call(&mut self, method: &str, requests: &[Vec<u8>]) -> Answer {
        let requests: Vec<String> = requests
            .iter()
            .map(|request| BASE64_STANDARD.encode(request))
            .collect();
        let told = self
            .process
            .ask(&json!({ "method": method, "requests": requests }))
            .await;
        let messages = told["messages"].as_array().unwrap().iter();
        Answer {
            messages: messages.map(|message| bytes(message).unwrap()).collect(),
            failure: failure(&told),
        }
    }
}

impl Process {
    fn spawn() -> Self {
        let program = folder().join("peer.mjs");
        let mut child = Command::new("node")
            .arg(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()).lines(),
            _child: child,
        }
    }

    async fn ask(&mut self, line: &Value) -> Value {
        self.input
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
        let line = self.output.next_line().await;
        let line = line.unwrap().unwrap_or_else(|| {
            panic!("the peer has ended; is it installed (`cargo xtask peer` does it)?")
        });
        serde_json::from_str(&line).unwrap()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/peer")
}

fn bytes(text: &Value) -> Option<Bytes> {
    let text = text.as_str()?;
    Some(BASE64_STANDARD.decode(text).unwrap().into())
}

fn failure(told: &Value) -> Option<Failure> {
    let code = i32::try_from(told["code"].as_i64().unwrap()).unwrap();
    if code == 0 {
        return None;
    }
    let message = told["message"].as_str().unwrap_or_default().to_owned();
    Some(match bytes(&told["details"]) {
        Some(details) => {
            Failure::from_status(&Status::with_details(Code::from(code), message, details))
        }
        None => Failure {
            code: Code::from(code),
            message,
            reason: None,
        },
    })
}
