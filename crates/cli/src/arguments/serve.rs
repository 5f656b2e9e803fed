//! The arguments of `remit serve`.

use std::net::{AddrParseError, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use server::PublicUrl;

use super::traces::Traces;
use super::{AuditSigning, Overload};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit serve --demo --insecure-no-auth
  REMIT_PRESHARED_KEY=$(cat key) remit serve --store sqlite:/var/lib/remit/remit.db
  REMIT_STORE=postgres://remit@db.example.com/remit remit serve    (after `remit store migrate`)")]
pub(crate) struct Serve {
    /// Where the data is: `sqlite:PATH`, `postgres://USER@HOST/DATABASE` or `memory:`.
    #[arg(
        long,
        env = "REMIT_STORE",
        hide_env_values = true,
        value_name = "STORE"
    )]
    pub(crate) store: Option<String>,
    /// The address of the gRPC service.
    #[arg(
        long,
        env = "REMIT_GRPC_ADDR",
        default_value = "127.0.0.1:50051",
        value_name = "IP:PORT"
    )]
    pub(crate) grpc_addr: SocketAddr,
    /// The address of the same services as JSON over HTTP, which may be that of gRPC; `none` for nowhere.
    #[arg(
        long,
        env = "REMIT_HTTP_ADDR",
        default_value = "127.0.0.1:8443",
        value_name = "IP:PORT"
    )]
    pub(crate) http_addr: OptionalAddr,
    /// The address of metrics (`/metrics`, for Prometheus) and of health (`/healthz`), told to anybody who asks; `none` for
    /// nowhere.
    #[arg(
        long,
        env = "REMIT_METRICS_ADDR",
        default_value = "127.0.0.1:9090",
        value_name = "IP:PORT"
    )]
    pub(crate) metrics_addr: OptionalAddr,
    /// What this server is called by those who reach it over HTTP, for the metadata that it tells of itself; whatever a request
    /// calls it, if this is not given.
    #[arg(long, env = "REMIT_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<PublicUrl>,
    /// A key that callers present; `NAME:KEY` names it in records. Repeat for several.
    #[arg(
        long,
        env = "REMIT_PRESHARED_KEY",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "KEY"
    )]
    pub(crate) preshared_key: Vec<String>,
    /// A file of keys, one a line; read again on SIGHUP and when it changes, so that keys can be rotated.
    #[arg(long, env = "REMIT_PRESHARED_KEY_FILE", value_name = "FILE")]
    pub(crate) preshared_key_file: Option<PathBuf>,
    /// A file of token keys, one a line, by which callers are minted tokens that are good for less (`remit token`); the first
    /// mints, all verify. The same on every node; read again on SIGHUP and when it changes.
    #[arg(long, env = "REMIT_TOKEN_KEY_FILE", value_name = "FILE")]
    pub(crate) token_key_file: Option<PathBuf>,
    /// A file (TOML) that names the issuers of tokens and the trust domains of workloads that are let in, docs/identity.md;
    /// read again, with the files that it names, on SIGHUP and when one of them changes.
    #[arg(long, env = "REMIT_IDENTITY", value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// A file (YAML) of rules by which requests are judged that proxies ask about (Envoy, nginx, Caddy, Traefik), docs/edge.md;
    /// read again on SIGHUP and when it changes.
    #[arg(long, env = "REMIT_EDGE_RULES", value_name = "FILE")]
    pub(crate) edge_rules: Option<PathBuf>,
    /// Ask no key of anybody. On loopback addresses only.
    #[arg(long, env = "REMIT_INSECURE_NO_AUTH")]
    pub(crate) insecure_no_auth: bool,
    /// The server's certificate chain (PEM), with `--tls-key`; read again on SIGHUP and when it changes, like its key and the authorities.
    #[arg(long, env = "REMIT_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM), with `--tls-cert`.
    #[arg(long, env = "REMIT_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Demand from callers a certificate of these authorities (PEM), or one of a workload of a trust domain in `--identity`.
    #[arg(long, env = "REMIT_TLS_CLIENT_CA", value_name = "FILE")]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// Serve without TLS on an address that others can reach.
    #[arg(long, env = "REMIT_ALLOW_PLAINTEXT")]
    pub(crate) allow_plaintext: bool,
    /// Start with an example company in a fresh store, and print what to try.
    #[arg(long, env = "REMIT_DEMO")]
    pub(crate) demo: bool,
    /// Seconds that calls may take to end when the server stops.
    #[arg(
        long,
        env = "REMIT_SHUTDOWN_GRACE_SECONDS",
        default_value_t = 10,
        value_name = "SECONDS"
    )]
    pub(crate) shutdown_grace_seconds: u64,
    /// Seconds that a call may take until its answer begins, whatever deadline its caller gives it.
    #[arg(
        long,
        env = "REMIT_CALL_SECONDS_MAX",
        default_value_t = 600,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) call_seconds_max: u64,
    /// Seconds for which a node answers without having confirmed that it has all that was committed.
    #[arg(
        long,
        env = "REMIT_STALENESS_SECONDS_MAX",
        default_value_t = 300,
        value_name = "SECONDS"
    )]
    pub(crate) staleness_seconds_max: u64,
    /// Hours between two comparisons of this node with its store, by a digest of all relationships; 0 for none. A node that
    /// differs is no longer ready.
    #[arg(
        long,
        env = "REMIT_COMPARE_HOURS",
        default_value_t = 24,
        value_name = "HOURS"
    )]
    pub(crate) compare_hours: u32,
    /// Seconds for which a replaced snapshot can still be asked for.
    #[arg(
        long,
        env = "REMIT_SNAPSHOTS_RETAINED_SECONDS",
        default_value_t = 600,
        value_name = "SECONDS"
    )]
    pub(crate) snapshots_retained_seconds: u64,
    /// Seconds for which the log is kept.
    #[arg(
        long,
        env = "REMIT_LOG_RETAINED_SECONDS",
        default_value_t = 604_800,
        value_name = "SECONDS"
    )]
    pub(crate) log_retained_seconds: u64,
    /// Milliseconds between two checkpoints of a watch that asks for them.
    #[arg(long, env = "REMIT_WATCH_HEARTBEAT_MS", default_value_t = 1_000, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) watch_heartbeat_ms: u64,
    /// Seconds that a watch's reader may leave changes waiting before it is disconnected.
    #[arg(long, env = "REMIT_WATCH_STALL_SECONDS", default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) watch_stall_seconds: u64,
    /// Watches at the same time.
    #[arg(long, env = "REMIT_WATCHES_MAX", default_value_t = 10_000)]
    pub(crate) watches_max: u32,
    /// Replicas, engines in other processes, that follow this node at the same time.
    #[arg(long, env = "REMIT_REPLICAS_MAX", default_value_t = 256)]
    pub(crate) replicas_max: u32,
    #[command(flatten)]
    pub(crate) traces: Traces,
    #[command(flatten)]
    pub(crate) audit: AuditSigning,
    #[command(flatten)]
    pub(crate) decision_log: super::decision_log::DecisionLog,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) overload: Overload,
    /// How to write the log: `text` for people, `json` for programs.
    #[arg(long, env = "REMIT_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// What to log, such as `info` or `warn,ops=debug`.
    #[arg(long, env = "REMIT_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,
}

/// Where something is served that need not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OptionalAddr {
    /// Nowhere.
    None,
    /// On this address.
    At(SocketAddr),
}

impl OptionalAddr {
    pub(crate) fn get(self) -> Option<SocketAddr> {
        match self {
            Self::None => None,
            Self::At(address) => Some(address),
        }
    }
}

impl FromStr for OptionalAddr {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        match text {
            "none" => Ok(Self::None),
            address => address.parse().map(Self::At),
        }
    }
}

/// The limits of requests.
#[derive(Debug, Args)]
pub(crate) struct Limits {
    /// Longest derivation of a permission, in relations and permissions.
    #[arg(long, env = "REMIT_DEPTH_MAX", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=250))]
    pub(crate) depth_max: u16,
    /// Relationships that one evaluation may look at.
    #[arg(long, env = "REMIT_EDGES_VISITED_MAX", default_value_t = 1_000_000)]
    pub(crate) edges_visited_max: u64,
    /// Relationships that one look-up may look at.
    #[arg(
        long,
        env = "REMIT_LOOK_UP_EDGES_VISITED_MAX",
        default_value_t = 100_000_000
    )]
    pub(crate) look_up_edges_visited_max: u64,
    /// Updates in one write.
    #[arg(long, env = "REMIT_UPDATES_MAX", default_value_t = 1_000)]
    pub(crate) updates_max: usize,
    /// Items in one bulk check.
    #[arg(long, env = "REMIT_BULK_CHECK_ITEMS_MAX", default_value_t = 10_000)]
    pub(crate) bulk_check_items_max: usize,
    /// Relationships in one import, which is one commit.
    #[arg(
        long,
        env = "REMIT_IMPORT_RELATIONSHIPS_MAX",
        default_value_t = 1_000_000
    )]
    pub(crate) import_relationships_max: usize,
    /// Bytes in one answer whose size depends on data: a tree of who has a permission, or the traces of checks.
    #[arg(long, env = "REMIT_ANSWER_BYTES_MAX", default_value_t = 4_194_304)]
    pub(crate) answer_bytes_max: usize,
    /// Bytes in one request.
    #[arg(long, env = "REMIT_REQUEST_BYTES_MAX", default_value_t = 4_194_304)]
    pub(crate) request_bytes_max: usize,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// Lines of JSON.
    Json,
}
