//! `remit serve`: the server, with its store, its keys and its end.

mod credentials;
mod demo;
mod overload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use model::{Clock, Limits, SystemClock};
use ops::{Node, Settings, replica, watch};
use server::{Authentication, Config, HttpAddress};
use store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::arguments::{LogFormat, OptionalAddr, Serve};
use crate::exit::Outcome;
use crate::place::Place;
use credentials::{InUse, Sources};

const DEFAULT_STORE: &str = "remit.db";

pub(crate) async fn run(arguments: Box<Serve>) -> anyhow::Result<Outcome> {
    start_log(&arguments)?;
    check_exposure(&arguments)?;
    // Listened for from the start: a node that loads is not to be ended by it.
    let sources = Sources::of(&arguments);
    let hangups = sources.has_files().then(|| signal(SignalKind::hangup()));
    let hangups = hangups
        .transpose()
        .context("SIGHUP cannot be listened for")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = open_store(&arguments)?;
    let started = Node::start(Arc::clone(&store), Arc::clone(&clock), settings(&arguments));
    let node = started.await?;
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
    in_use.limits = sources.limits()?;
    overload::raise_file_limit(&arguments.overload);
    tend(&node, &arguments);
    let config = Config {
        grpc_addr: arguments.grpc_addr,
        http_addr: http_address(&arguments),
        metrics_addr: arguments.metrics_addr.get(),
        public_url: arguments.public_url.clone(),
        edge: in_use.edge.clone(),
        tls: sources.tls()?,
        authentication,
        request_bytes_max: arguments.limits.request_bytes_max,
        call_max: Duration::from_secs(arguments.call_seconds_max),
        shutdown_grace: Duration::from_secs(arguments.shutdown_grace_seconds),
        overload: overload::settings(&arguments.overload, Arc::clone(&in_use.limits)),
    };
    let listening = server::listen(Arc::clone(&node), config).await?;
    in_use.tls = listening.tls();
    if let Some(hangups) = hangups {
        tokio::spawn(sources.keep(hangups, in_use));
    }
    let stop = Stop::listen()?;
    let address = listening.address();
    let http = listening.http_address();
    say_ready(&node, address, http, listening.metrics_address());
    if arguments.demo {
        let has_tls = arguments.tls_cert.is_some();
        demo::say_what_to_try(address, http, has_tls, arguments.insecure_no_auth);
    }
    listening.serve(stop.asked()).await?;
    node.stop();
    store
        .close()
        .await
        .context("the store did not close well")?;
    tracing::info!("stopped");
    Ok(Outcome::Success)
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

fn say_ready(node: &Node, grpc: SocketAddr, http: Option<SocketAddr>, metrics: Option<SocketAddr>) {
    let on = |what, address: Option<SocketAddr>| match address {
        Some(address) => format!("{what} on {address}"),
        None => format!("no {what}"),
    };
    let snapshot = node.snapshot();
    eprintln!(
        "remit is ready: gRPC on {grpc}, {}, {}, {} relationships at revision {}",
        on("HTTP", http),
        on("metrics", metrics),
        snapshot.relationship_count(),
        snapshot.revision()
    );
}

fn start_log(arguments: &Serve) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&arguments.log)
        .with_context(|| format!("`{}` is no log filter", arguments.log))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match arguments.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

/// Refuses to be reachable without protection, unless that is said aloud.
fn check_exposure(arguments: &Serve) -> anyhow::Result<()> {
    let others = [arguments.http_addr.get(), arguments.metrics_addr.get()];
    let mut addresses = std::iter::once(arguments.grpc_addr).chain(others.into_iter().flatten());
    let Some(address) = addresses.find(|address| !address.ip().is_loopback()) else {
        return Ok(());
    };
    if arguments.insecure_no_auth {
        bail!("`--insecure-no-auth` serves loopback addresses alone, not {address}");
    }
    if arguments.tls_cert.is_none() && !arguments.allow_plaintext {
        bail!(
            "{address} can be reached by others: give `--tls-cert` and `--tls-key`, or `--allow-plaintext`"
        );
    }
    Ok(())
}

fn http_address(arguments: &Serve) -> HttpAddress {
    match arguments.http_addr {
        OptionalAddr::None => HttpAddress::Off,
        OptionalAddr::At(address) if address == arguments.grpc_addr => HttpAddress::WithGrpc,
        OptionalAddr::At(address) => HttpAddress::Own(address),
    }
}

fn open_store(arguments: &Serve) -> anyhow::Result<Arc<dyn Store>> {
    let place = match &arguments.store {
        Some(place) => place.parse()?,
        None if arguments.demo => Place::Memory,
        None => Place::Sqlite(DEFAULT_STORE.into()),
    };
    place.open()
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
