//! `remit serve`: the server, with its store, its keys and its end.

mod audit;
pub(crate) mod credentials;
pub(crate) mod decisions;
mod demo;
pub(crate) mod exposure;
mod loading;
mod log;
mod overload;
pub(crate) mod reload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use model::{Clock, Limits, SystemClock};
use ops::{LoadProgress, Node, Settings, replica, watch};
use server::{Addresses, Authentication, Config, HttpAddress, Listening, Tls};
use store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::arguments::{OptionalAddr, Serve};
use crate::exit::Outcome;
use crate::place::Place;
use credentials::{InUse, Sources};
use loading::Telling;
use reload::Configured;

const DEFAULT_STORE: &str = "remit.db";

pub(crate) async fn run(arguments: Box<Serve>) -> anyhow::Result<Outcome> {
    let set_log = log::start(&arguments.log, arguments.log_format)?;
    exposure::check(&arguments)?;
    overload::raise_file_limit(&arguments.overload);
    // Listened for from the start: a node that loads is not to be ended by it.
    let sources = Sources::of(&arguments);
    credentials::refuse_faults(&arguments)?;
    let configured = Configured::begin()?;
    let is_read_again = sources.has_files() || configured.is_some();
    let hangups = is_read_again.then(|| signal(SignalKind::hangup()));
    let hangups = hangups
        .transpose()
        .context("SIGHUP cannot be listened for")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let progress = Arc::new(LoadProgress::default());
    let tls = sources.tls()?;
    let addresses = addresses(&arguments);
    let starting = server::start(&addresses, tls.as_ref(), Arc::clone(&progress)).await?;
    let telling = Telling::of(Arc::clone(&progress));
    let store = open_store(&arguments).await?;
    let log = decisions::start(arguments.decision_log.rules.as_deref(), &*store)?;
    let settings = Settings {
        decisions: decisions::recorder(log.as_ref()),
        ..settings(&arguments)
    };
    let started = (Arc::clone(&store), Arc::clone(&clock), settings);
    let node = Node::start_telling(started, &progress).await?;
    drop(telling);
    let (authentication, mut in_use) = if arguments.insecure_no_auth {
        eprintln!(
            "WARNING: anybody on this machine may do anything: no key is asked for (--insecure-no-auth)"
        );
        (Authentication::None, InUse::nothing())
    } else {
        sources.authentication(&node, clock).await?
    };
    if arguments.demo {
        demo::load(&node).await?;
    }
    in_use.edge = sources.edge()?;
    in_use.decision_log = log.clone();
    in_use.limits = sources.limits()?;
    tend(&node, &arguments);
    in_use.audit_keys = audit::sign(&node, sources.audit_keys()?, &arguments.audit);
    let of_server = (addresses, tls, authentication);
    let config = config(&arguments, &in_use, of_server)?;
    let listening = starting.loaded(Arc::clone(&node), config).await?;
    in_use.tls = listening.tls();
    if let Some(hangups) = hangups {
        let reload = configured.map(|it| it.reload(Arc::clone(&node), set_log));
        tokio::spawn(sources.keep(hangups, in_use, reload));
    }
    let stop = Stop::listen()?;
    let grace = Duration::from_secs(arguments.shutdown_grace_seconds);
    tokio::spawn(say_ready(
        Arc::clone(&node),
        Places::of(&listening),
        arguments,
    ));
    listening.serve(stop.asked()).await?;
    node.stop();
    if let Some(log) = log {
        decisions::stop(log, grace).await;
    }
    store
        .close()
        .await
        .context("the store did not close well")?;
    tracing::info!("stopped");
    Ok(Outcome::Success)
}

/// What the server is set to, of which `in_use` has what is read again.
fn config(
    arguments: &Serve,
    in_use: &InUse,
    (addresses, tls, authentication): (Addresses, Option<Tls>, Authentication),
) -> anyhow::Result<Config> {
    Ok(Config {
        grpc_addr: addresses.grpc,
        http_addr: addresses.http,
        metrics_addr: addresses.metrics,
        public_url: arguments.public_url.clone(),
        edge: in_use.edge.clone(),
        traces: arguments.traces.settings()?,
        decision_log: in_use.decision_log.clone(),
        tls,
        authentication,
        request_bytes_max: arguments.limits.request_bytes_max,
        call_max: Duration::from_secs(arguments.call_seconds_max),
        shutdown_grace: Duration::from_secs(arguments.shutdown_grace_seconds),
        overload: overload::settings(&arguments.overload, Arc::clone(&in_use.limits)),
    })
}

/// Starts what a node does beside answering.
fn tend(node: &Arc<Node>, arguments: &Serve) {
    tokio::spawn(ops::housekeeping::run(
        Arc::clone(node),
        Duration::from_secs(arguments.log_retained_seconds),
    ));
    if arguments.compare_hours > 0 {
        let every = Duration::from_secs(u64::from(arguments.compare_hours) * 60 * 60);
        tokio::spawn(ops::digest::run(Arc::clone(node), every));
    }
}

/// Where a server listens.
struct Places {
    grpc: SocketAddr,
    http: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
}

impl Places {
    fn of(listening: &Listening) -> Self {
        Self {
            grpc: listening.address(),
            http: listening.http_address(),
            metrics: listening.metrics_address(),
        }
    }
}

/// Says that the node answers, once it does.
async fn say_ready(node: Arc<Node>, places: Places, arguments: Box<Serve>) {
    loading::until_ready(&node).await;
    let on = |what, address: Option<SocketAddr>| match address {
        Some(address) => format!("{what} on {address}"),
        None => format!("no {what}"),
    };
    let snapshot = node.snapshot();
    eprintln!(
        "remit is ready: gRPC on {}, {}, {}, {} relationships at revision {}",
        places.grpc,
        on("HTTP", places.http),
        on("metrics", places.metrics),
        snapshot.relationship_count(),
        snapshot.revision()
    );
    if arguments.demo {
        let has_tls = arguments.tls_cert.is_some();
        let without_key = arguments.insecure_no_auth;
        demo::say_what_to_try(places.grpc, places.http, has_tls, without_key);
    }
}

fn addresses(arguments: &Serve) -> Addresses {
    Addresses {
        grpc: arguments.grpc_addr,
        http: match arguments.http_addr {
            OptionalAddr::None => HttpAddress::Off,
            OptionalAddr::At(address) if address == arguments.grpc_addr => HttpAddress::WithGrpc,
            OptionalAddr::At(address) => HttpAddress::Own(address),
        },
        metrics: arguments.metrics_addr.get(),
    }
}

/// Opens the store, on a thread of its own: it is told meanwhile that it is being opened.
async fn open_store(arguments: &Serve) -> anyhow::Result<Arc<dyn Store>> {
    let place = match &arguments.store {
        Some(place) => place.parse()?,
        None if arguments.demo => Place::Memory,
        None => Place::Sqlite(DEFAULT_STORE.into()),
    };
    let opening = tokio::task::spawn_blocking(move || place.open());
    opening.await.context("the store could not be opened")?
}

fn settings(arguments: &Serve) -> Settings {
    let given = &arguments.limits;
    Settings {
        limits: Limits {
            depth_max: given.depth_max,
            edges_visited_max: given.edges_visited_max,
            look_up_edges_visited_max: given.look_up_edges_visited_max,
            updates_max: given.updates_max,
            bulk_check_items_max: given.bulk_check_items_max,
            import_relationships_max: given.import_relationships_max,
            request_bytes_max: given.request_bytes_max,
            answer_bytes_max: given.answer_bytes_max,
            ..Limits::default()
        },
        staleness_max: Duration::from_secs(arguments.staleness_seconds_max),
        snapshots_retained: Duration::from_secs(arguments.snapshots_retained_seconds),
        watch: watch::Settings {
            heartbeat: Duration::from_millis(arguments.watch_heartbeat_ms),
            stall_max: Duration::from_secs(arguments.watch_stall_seconds),
            watches_max: arguments.watches_max as usize,
            ..watch::Settings::default()
        },
        replica: replica::Settings {
            replicas_max: arguments.replicas_max as usize,
            ..replica::Settings::default()
        },
        ..Settings::default()
    }
}

/// What asks the process to stop.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Listens from here on: who asks a server to stop that has said that it is ready must not cut it off.
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals to stop cannot be listened for");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Done when the process is asked to.
    async fn asked(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        tracing::info!("stopping: calls under way may end");
    }
}
