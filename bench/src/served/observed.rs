//! What it costs to be watched: the same checks, asked of servers that are alike but for what they tell, in turn.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use clap::Args;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use super::calls::{self, Calls};
use super::load::Measured;
use super::setup::{Setup, middle};
use super::target::Target;
use crate::results::{Entry, Results, ratio};
use crate::workload::{Draw, Popularity, Workload};

/// What is compared.
#[derive(Debug, Clone, Args)]
pub(crate) struct ObservedArguments {
    #[command(flatten)]
    setup: Setup,
    /// Calls that are under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
    /// Which resources and subjects are asked about.
    #[arg(long, value_enum, default_value = "zipf")]
    popularity: Popularity,
    /// The part of the calls that is traced.
    #[arg(long, default_value_t = 0.01)]
    trace_ratio: f64,
    /// A program `remit` from before, to compare with as well.
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
    /// One more server, by its name and further flags of `remit serve`, after spaces. Repeat for several; `{otlp}` stands for the
    /// address of the sink of traces.
    #[arg(long = "with", value_name = "NAME=FLAGS")]
    more: Vec<String>,
}

/// Checks of a server that tells something, beside those of one that does not.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Observed {
    pub(crate) workload: String,
    pub(crate) relationships: u64,
    pub(crate) in_flight: u16,
    pub(crate) what: String,
    pub(crate) measured: Measured,
    pub(crate) plain: Measured,
    /// Calls a second, against the plain server's.
    pub(crate) throughput_ratio: Option<f64>,
    /// Processor time of the server a call, against the plain server's.
    pub(crate) cpu_ratio: Option<f64>,
    /// Spans that the sink took, of all servers up to then.
    pub(crate) spans: u64,
}

/// A collector that counts what it gets.
#[derive(Debug, Clone, Default)]
struct Sink(Arc<AtomicU64>);

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let scopes = resources.iter().flat_map(|it| &it.scope_spans);
        let spans: usize = scopes.map(|scope| scope.spans.len()).sum();
        self.0.fetch_add(spans as u64, Ordering::Relaxed);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Sink {
    /// Starts a sink, and tells its address.
    async fn start() -> anyhow::Result<(Self, String)> {
        let sink = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let service = TraceServiceServer::new(sink.clone());
        let serving = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok((sink, address))
    }
}

/// Asks each server in turn.
///
/// # Errors
/// When a server does not start, or all calls of a round fail.
pub(crate) async fn run(
    workload: &dyn Workload,
    seed: u64,
    arguments: &ObservedArguments,
    results: &mut Results<'_>,
) -> anyhow::Result<()> {
    let setup = &arguments.setup;
    let questions = calls::questions(&mut Draw::new(seed, arguments.popularity), workload);
    let load = setup.load(Calls::checks(&questions), arguments.in_flight, None);
    let (sink, otlp) = Sink::start().await?;
    let (plain, relationships) = setup.remit_set(workload, None, &[]).await?;
    for (what, program, flags) in servers(arguments, &otlp)? {
        let (watched, _) = setup.remit_set(workload, program, &flags).await?;
        let (of_plain, of_watched) = in_turn(setup, &load, &plain, &watched).await?;
        results(Entry::Observed(Observed {
            workload: workload.name().to_owned(),
            relationships,
            in_flight: arguments.in_flight,
            what,
            throughput_ratio: ratio(
                of_watched.latencies.calls_per_second,
                of_plain.latencies.calls_per_second,
            ),
            cpu_ratio: ratio(
                of_watched.server_cpu_microseconds,
                of_plain.server_cpu_microseconds,
            ),
            measured: of_watched,
            plain: of_plain,
            spans: sink.0.load(Ordering::Relaxed),
        }))?;
    }
    Ok(())
}

/// A server: what it is called, its program if that is another, and its flags.
type Server = (String, Option<PathBuf>, Vec<String>);

/// The servers that are compared with the plain one.
fn servers(arguments: &ObservedArguments, otlp: &str) -> anyhow::Result<Vec<Server>> {
    let ratio = arguments.trace_ratio.to_string();
    let traced = ["--otlp-endpoint", otlp, "--trace-ratio", &ratio];
    let traced = traced.map(str::to_owned).to_vec();
    // The same once more shows how far two runs of one program are apart.
    let mut servers = vec![
        ("nothing".to_owned(), None, Vec::new()),
        (format!("traces of {ratio} of the calls"), None, traced),
    ];
    if let Some(before) = &arguments.before {
        servers.push((
            "the program from before".to_owned(),
            Some(before.clone()),
            Vec::new(),
        ));
    }
    for more in &arguments.more {
        let (name, flags) = more.split_once('=').context("--with takes NAME=FLAGS")?;
        let flags = flags.replace("{otlp}", otlp);
        let flags = flags.split_whitespace().map(str::to_owned);
        servers.push((name.to_owned(), None, flags.collect()));
    }
    Ok(servers)
}

async fn in_turn(
    setup: &Setup,
    load: &super::load::Load,
    plain: &Target,
    watched: &Target,
) -> anyhow::Result<(Measured, Measured)> {
    // Neither is measured cold.
    load.run(plain).await?;
    load.run(watched).await?;
    let (mut of_plain, mut of_watched) = (Vec::new(), Vec::new());
    for round in 0..setup.rounds {
        // Each is first as often as the other, as far as that can be.
        if round % 2 == 0 {
            of_plain.push(load.run(plain).await?);
            of_watched.push(load.run(watched).await?);
        } else {
            of_watched.push(load.run(watched).await?);
            of_plain.push(load.run(plain).await?);
        }
    }
    Ok((middle(of_plain)?, middle(of_watched)?))
}
