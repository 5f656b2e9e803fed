//! The arguments of `remit serve` by which it guards itself against more than it can do.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Overload {
    /// A file (YAML) of how much callers may ask for, docs/overload.md; read again on SIGHUP and when it changes. Without it
    /// callers share what there is.
    #[arg(long = "limits", env = "REMIT_LIMITS", value_name = "FILE")]
    pub(crate) limits_file: Option<PathBuf>,
    /// Connections at the same time, those to the address of metrics aside; more are closed at once.
    #[arg(long, env = "REMIT_CONNECTIONS_MAX", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections_max: u32,
    /// Connections at the same time from one address other than this machine's; 0 for no such limit. Behind a balancer all come
    /// from a few addresses.
    #[arg(long, env = "REMIT_CONNECTIONS_PER_ADDRESS_MAX", default_value_t = 0)]
    pub(crate) connections_per_address_max: u32,
    /// Handshakes of TLS under way at the same time, those to the address of metrics aside; more wait, and take the places of those whose
    /// clients take over a second.
    #[arg(long, env = "REMIT_TLS_HANDSHAKES_MAX", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tls_handshakes_max: u32,
    /// Calls that one connection may have under way, watches among them; more wait at the client.
    #[arg(long, env = "REMIT_CONNECTION_CALLS_MAX", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) connection_calls_max: u32,
    /// Seconds that a client may pause in what it sends, or in taking what it asked for.
    #[arg(long, env = "REMIT_STALL_SECONDS_MAX", default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) stall_seconds_max: u64,
    /// Seconds after which a connection is let go on which nothing was asked.
    #[arg(long, env = "REMIT_IDLE_SECONDS_MAX", default_value_t = 900, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) idle_seconds_max: u64,
    /// Memory that this process may have, in MiB; 0 for no guard. Without it what its control group has, or 90% of the machine's. From 85%
    /// of it on, what takes much is refused, and from 95% on all but checks.
    #[arg(long, env = "REMIT_MEMORY_MAX_MIB", value_name = "MIB")]
    pub(crate) memory_max_mib: Option<u64>,
    /// Seconds for which the server still answers, and takes connections, after it was asked to stop and says that it is not serving: as long
    /// as those take to notice who send callers to it.
    #[arg(
        long,
        env = "REMIT_DRAIN_SECONDS",
        default_value_t = 0,
        value_name = "SECONDS"
    )]
    pub(crate) drain_seconds: u64,
}
