//! The arguments of `remit doctor`.

use std::path::PathBuf;

use clap::Args;

use super::Serve;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit doctor --config /etc/remit/remit.toml                      the store and all that a server here is given
  remit doctor --store postgres://remit@db.example.com/remit       as the role that serves
  remit doctor --endpoint remit-1:50051 --tls-ca ca.pem            with a node that runs

Give it what `remit serve` is given, by flags, environment or configuration file, as the user that serves: it checks that, changes
nothing, and asks each node at an --endpoint for its health. Where nothing is said of a store and there is no `remit.db`, none is looked
at.

Exit codes: 0 all is well, or there are warnings alone; 1 something is wrong.")]
pub(crate) struct Doctor {
    /// A node to ask. Repeat for several.
    #[arg(
        long,
        env = "REMIT_ENDPOINT",
        value_delimiter = ',',
        value_name = "HOST:PORT"
    )]
    pub(crate) endpoint: Vec<String>,
    /// Connect to the endpoints without TLS.
    #[arg(long, env = "REMIT_INSECURE")]
    pub(crate) insecure: bool,
    /// Trust the authorities in this file (PEM) when connecting to the endpoints.
    #[arg(
        long,
        env = "REMIT_TLS_CA",
        value_name = "FILE",
        conflicts_with = "insecure"
    )]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, env = "REMIT_JSON")]
    pub(crate) json: bool,
    #[command(flatten, next_help_heading = "What the server is given")]
    pub(crate) serve: Serve,
}
