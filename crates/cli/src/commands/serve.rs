//! `remit serve`: the server, with its store, its keys and its end.

mod demo;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use identity::PresharedKeys;
use model::{Clock, Limits, SystemClock};
use ops::{Node, Settings, watch};
use server::{Authentication, Config, HttpAddress, Tls};
use store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::arguments::{LogFormat, OptionalAddr, Serve};
use crate::exit::Outcome;
use crate::place::Place;

const DEFAULT_STORE: &str = "remit.db";

pub(crate) async fn run(arguments: Box<Serve>) -> anyhow::Result<Outcome> {
    start_log(&arguments)?;
    check_exposure(&arguments)?;
    // Listened for from the start: a node that loads is not to be ended by it.
    let hangups = match arguments.preshared_key_file.clone() {
        Some(file) => {
            let hangups = signal(SignalKind::hangup()).context("SIGHUP cannot be listened for")?;
            Some((file, hangups))
        }
        None => None,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = open_store(&arguments)?;
    let node = Node::start(Arc::clone(&store), clock, settings(&arguments)).await?;
    let is_empty = node.snapshot().schema().is_empty();
    let authentication = authentication(&arguments, is_empty)?;
    if arguments.demo {
        demo::load(&node).await?;
    }
    if let (Authentication::PresharedKeys(keys), Some((file, hangups))) = (&authentication, hangups)
    {
        let given = Arc::from(arguments.preshared_key.clone());
        tokio::spawn(rotate(hangups, Arc::clone(keys), given, file));
    }
    tokio::spawn(ops::housekeeping::run(
        Arc::clone(&node),
        Duration::from_secs(arguments.log_retained_seconds),
    ));
    if arguments.compare_hours > 0 {
        let every = Duration::from_secs(u64::from(arguments.compare_hours) * 60 * 60);
        tokio::spawn(ops::digest::run(Arc::clone(&node), every));
    }
    let config = Config {
        grpc_addr: arguments.grpc_addr,
        http_addr: http_address(&arguments),
        metrics_addr: arguments.metrics_addr.get(),
        tls: tls(&arguments)?,
        authentication,
        request_bytes_max: arguments.limits.request_bytes_max,
        call_max: Duration::from_secs(arguments.call_seconds_max),
        shutdown_grace: Duration::from_secs(arguments.shutdown_grace_seconds),
    };
    let listening = server::listen(Arc::clone(&node), config).await?;
    let address = listening.address();
    let http = listening.http_address();
    let on = |what, address: Option<SocketAddr>| match address {
        Some(address) => format!("{what} on {address}"),
        None => format!("no {what}"),
    };
    let (told_http, told_metrics) = (on("HTTP", http), on("metrics", listening.metrics_address()));
    let snapshot = node.snapshot();
    eprintln!(
        "remit is ready: gRPC on {address}, {told_http}, {told_metrics}, {} relationships at revision {}",
        snapshot.relationship_count(),
        snapshot.revision()
    );
    drop(snapshot);
    if arguments.demo {
        let has_tls = arguments.tls_cert.is_some();
        demo::say_what_to_try(address, http, has_tls, arguments.insecure_no_auth);
    }
    listening.serve(stopped()).await?;
    node.stop();
    store
        .close()
        .await
        .context("the store did not close well")?;
    tracing::info!("stopped");
    Ok(Outcome::Success)
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
        ..Settings::default()
    }
}

fn authentication(arguments: &Serve, is_empty: bool) -> anyhow::Result<Authentication> {
    if arguments.insecure_no_auth {
        eprintln!(
            "WARNING: anybody on this machine may do anything: no key is asked for (--insecure-no-auth)"
        );
        return Ok(Authentication::None);
    }
    let given = (
        !arguments.preshared_key.is_empty(),
        arguments.preshared_key_file.is_some(),
    );
    if given == (false, false) {
        if !is_empty {
            bail!(
                "no key is given: use `--preshared-key`, `--preshared-key-file`, or `--insecure-no-auth` on loopback"
            );
        }
        // Shown once and kept nowhere: whoever starts an empty store is its first administrator.
        let key = identity::generate_key()
            .map_err(|error| anyhow!("no random key can be made: {error}"))?;
        eprintln!("no key was given and the store is empty; the key of this run is\n\n    {key}\n");
        return Ok(Authentication::PresharedKeys(Arc::new(PresharedKeys::new(
            [key.as_str()],
        )?)));
    }
    let keys = read_keys(
        &arguments.preshared_key,
        arguments.preshared_key_file.as_deref(),
    )?;
    for name in keys.short() {
        tracing::warn!(
            key = name,
            "a preshared key is short enough to be guessed; use 32 random bytes"
        );
    }
    Ok(Authentication::PresharedKeys(Arc::new(keys)))
}

fn read_keys(given: &[String], file: Option<&Path>) -> anyhow::Result<PresharedKeys> {
    let of_file = file
        .map(|path| {
            let text = fs::read_to_string(path)
                .with_context(|| format!("cannot read `{}`", path.display()))?;
            PresharedKeys::from_file_text(&text)
                .with_context(|| format!("`{}` is no file of keys", path.display()))
        })
        .transpose()?;
    if given.is_empty() {
        return of_file.context("there is no key");
    }
    let keys = PresharedKeys::new(given.iter().map(String::as_str))?;
    match of_file {
        Some(of_file) => Ok(keys.joined(&of_file)?),
        None => Ok(keys),
    }
}

/// Reads the keys again on each SIGHUP. What cannot be read leaves the keys as they are.
async fn rotate(
    mut hangups: Signal,
    keys: Arc<PresharedKeys>,
    given: Arc<[String]>,
    file: PathBuf,
) {
    while hangups.recv().await.is_some() {
        match read_keys(&given, Some(&file)) {
            Ok(read) => {
                keys.replace(read);
                tracing::info!("read the keys again");
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the keys stay as they were")
            }
        }
    }
}

fn tls(arguments: &Serve) -> anyhow::Result<Option<Tls>> {
    let read = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
    };
    let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) else {
        return Ok(None);
    };
    Ok(Some(Tls {
        certificate_pem: read(certificate)?,
        key_pem: read(key)?,
        client_authorities_pem: arguments.tls_client_ca.as_deref().map(read).transpose()?,
    }))
}

/// Done when the process is asked to stop.
async fn stopped() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals cannot be listened for; stop this process by killing it");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: calls under way may end");
}
