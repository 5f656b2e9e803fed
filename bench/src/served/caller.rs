//! A caller in a process of its own: what it sends is encoded before it begins, and what it is answered is not decoded, so that a
//! processor of its own is enough to ask a server for several times what the server can do.
//!
//! It is told what to do on its standard input and tells what became of its calls on its standard output.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use hyper::body::{Buf as _, Bytes};
use prost::Message;
use prost::bytes::BufMut as _;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::load::{LATENCY_MAX, histogram};
use super::turns::Turns;
use crate::machine::Process;

/// How much lower than others a caller that floods runs: one that is measured beside it is not to wait for it at the client.
const FLOOD_NICENESS: &str = "10";

/// What a caller does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Caller {
    pub(super) address: String,
    pub(super) authorization: Option<String>,
    /// What is called, as gRPC has it.
    pub(super) method: String,
    /// Requests, each with its length before it, sent one after the other and over again.
    pub(super) requests: PathBuf,
    /// Calls a second that are begun, answered or not; without it the next begins when one is answered.
    pub(super) rate: Option<u32>,
    pub(super) connections: u16,
    /// Calls that may be under way at once; one that finds no room waits, and is late then.
    pub(super) in_flight: u16,
    pub(super) deadline: Duration,
    pub(super) duration: Duration,
}

/// What became of the calls of one caller.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Offered {
    /// Calls a second that were begun; none in a closed loop.
    pub(crate) rate: Option<u32>,
    /// Answered in time, a second.
    pub(crate) goodput: f64,
    pub(crate) p50_microseconds: f64,
    pub(crate) p99_microseconds: f64,
    /// Refused by the server, by name.
    pub(crate) refused: u64,
    /// Not answered in time.
    pub(crate) late: u64,
    /// Of those, the ones that could not be sent before they were.
    pub(crate) unsent: u64,
    pub(crate) failed: u64,
    /// Processors that the caller used: with one for itself, at 1 it is the caller that was measured.
    pub(crate) caller_processors: f64,
    /// What one of them was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
}

struct Tally {
    latencies: Histogram<u64>,
    told: Offered,
}

/// Messages as they are on the wire: bytes in, their number out.
#[derive(Debug, Clone, Copy, Default)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = usize;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = usize;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<usize>, Status> {
        let count = buffer.remaining();
        buffer.advance(count);
        Ok(Some(count))
    }
}

/// Messages in the form in which a [`Caller`] reads them.
pub(super) fn encoded<M: Message>(requests: &[M]) -> Vec<u8> {
    let each = requests.iter().map(Message::encode_length_delimited_to_vec);
    each.flatten().collect()
}

impl Caller {
    /// Runs in a process of its own, below others if it is to flood.
    pub(super) async fn spawned(&self, floods: bool) -> anyhow::Result<Offered> {
        let program = std::env::current_exe()?;
        let mut command = if floods {
            let mut nice = Command::new("nice");
            nice.args(["-n", FLOOD_NICENESS]).arg(program);
            nice
        } else {
            Command::new(program)
        };
        let mut child = command
            .arg("caller")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut to = child.stdin.take().context("no input")?;
        to.write_all(&serde_json::to_vec(self)?).await?;
        drop(to);
        let told = child.wait_with_output().await?;
        ensure!(told.status.success(), "a caller ended ({})", told.status);
        Ok(serde_json::from_slice(&told.stdout)?)
    }

    /// Calls until the time is over.
    async fn run(self) -> anyhow::Result<Offered> {
        let requests = Arc::new(read(fs::read(&self.requests)?.into())?);
        let mut channels = Vec::new();
        for _ in 0..self.connections {
            let endpoint = Endpoint::new(format!("http://{}", self.address))?;
            channels.push(endpoint.tcp_nodelay(true).connect().await?);
        }
        let own = Process::own();
        let before = own.cpu_seconds()?;
        let started = Instant::now();
        let turns = self
            .rate
            .map(|rate| Arc::new(Turns::new(rate, started, self.duration, self.in_flight)));
        let next = Arc::new(AtomicUsize::new(0));
        let tally = Arc::new(Mutex::new(Tally::new()?));
        let calling = (0..self.in_flight).zip(channels.iter().cycle());
        let calling: Vec<_> = calling
            .map(|(_, channel)| {
                let grpc = Grpc::new(channel.clone());
                let (turns, next) = (turns.clone(), Arc::clone(&next));
                let calls = Arc::clone(&requests);
                let tally = Arc::clone(&tally);
                tokio::spawn(
                    self.clone()
                        .calls(grpc, (turns, next), (calls, tally), started),
                )
            })
            .collect();
        for caller in calling {
            caller.await??;
        }
        let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        let took = started.elapsed();
        let processors = (own.cpu_seconds()? - before) / took.as_secs_f64();
        Ok(tally.offered(self.rate, took, processors))
    }

    async fn calls(
        self,
        mut grpc: Grpc<Channel>,
        (turns, next): (Option<Arc<Turns>>, Arc<AtomicUsize>),
        (requests, tally): (Arc<Vec<Bytes>>, Arc<Mutex<Tally>>),
        started: Instant,
    ) -> anyhow::Result<()> {
        let method: PathAndQuery = self.method.parse()?;
        let authorization = self.authorization.as_deref().map(str::parse).transpose()?;
        let noted = || tally.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let intended = match &turns {
                Some(turns) => turns.next().await,
                None => Instant::now(),
            };
            if intended.duration_since(started) >= self.duration {
                return Ok(());
            }
            let number = next.fetch_add(1, Ordering::Relaxed);
            let left = self.deadline.saturating_sub(intended.elapsed());
            if left.is_zero() {
                noted().note_unsent();
                continue;
            }
            let request = requests.get(number % requests.len().max(1));
            let request = request.cloned().context("a caller without requests")?;
            let sending = send(&mut grpc, method.clone(), request, (&authorization, left));
            match tokio::time::timeout(left, sending).await {
                Err(_) => noted().told.late += 1,
                Ok(answer) => noted().note(answer, intended.elapsed())?,
            }
        }
    }
}

async fn send(
    grpc: &mut Grpc<Channel>,
    method: PathAndQuery,
    request: Bytes,
    (authorization, left): (&Option<MetadataValue<Ascii>>, Duration),
) -> Result<(), Status> {
    let unready = |error| Status::unavailable(format!("{error}"));
    grpc.ready().await.map_err(unready)?;
    let mut request = Request::new(request);
    request.set_timeout(left);
    if let Some(authorization) = authorization {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", authorization.clone());
    }
    grpc.unary(request, method, Encoded).await.map(drop)
}

/// What lies behind an error, for whom its message says too little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut causes = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push_str(&format!(": {error}"));
        cause = error.source();
    }
    causes
}

/// The messages of a file of them.
fn read(mut file: Bytes) -> anyhow::Result<Vec<Bytes>> {
    let mut requests = Vec::new();
    while file.has_remaining() {
        let length = prost::decode_length_delimiter(&mut file)?;
        ensure!(length <= file.len(), "a request is cut off");
        requests.push(file.split_to(length));
    }
    Ok(requests)
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latencies: histogram()?,
            told: Offered::default(),
        })
    }

    fn note(&mut self, answer: Result<(), Status>, took: Duration) -> anyhow::Result<()> {
        let Err(status) = answer else {
            let nanoseconds = u64::try_from(took.as_nanos())?;
            self.latencies.record(nanoseconds.min(LATENCY_MAX))?;
            return Ok(());
        };
        // A client gives up by the same deadline.
        let is_late = |code| [Code::DeadlineExceeded, Code::Cancelled].contains(&code);
        if status.code() == Code::ResourceExhausted {
            self.told.refused += 1;
        } else if is_late(status.code()) {
            self.told.late += 1;
        } else {
            self.told.failed += 1;
            let failure = || {
                format!(
                    "{:?}: {}{}",
                    status.code(),
                    status.message(),
                    causes(&status)
                )
            };
            self.told.failure.get_or_insert_with(failure);
        }
        Ok(())
    }

    fn note_unsent(&mut self) {
        self.told.late += 1;
        self.told.unsent += 1;
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
    fn offered(&self, rate: Option<u32>, took: Duration, caller_processors: f64) -> Offered {
        let quantile = |share| self.latencies.value_at_quantile(share) as f64 / 1_000.0;
        Offered {
            rate,
            caller_processors,
            goodput: self.latencies.len() as f64 / took.as_secs_f64(),
            p50_microseconds: quantile(0.5),
            p99_microseconds: quantile(0.99),
            ..self.told.clone()
        }
    }
}

/// Does as it is told on the standard input.
///
/// # Errors
/// When that is not understood, or the server cannot be reached.
pub(crate) async fn run() -> anyhow::Result<Offered> {
    let caller: Caller = serde_json::from_reader(std::io::stdin().lock())?;
    caller.run().await
}

#[cfg(test)]
mod tests {
    use remit_proto::authzed::api::v1 as wire;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let requests = [10, 0, 300].map(|length| wire::WriteSchemaRequest {
            schema: "x".repeat(length),
        });
        let read = read(encoded(&requests).into()).unwrap();
        let sent: Vec<_> = requests.iter().map(Message::encode_to_vec).collect();
        assert_eq!(read, sent);
        let cut = encoded(&requests);
        let cut = cut.get(..cut.len() - 1).unwrap().to_vec();
        assert!(super::read(cut.into()).is_err());
    }
}
