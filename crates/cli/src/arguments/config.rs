//! The arguments of `remit config`.

use clap::{Args, Subcommand};

use super::Serve;

/// What `remit serve` would be set to, by flags, environment and configuration file.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print what a server would be set to, and where each value comes from.
    Show(ConfigShow),
    /// Say what is wrong with what a server would be set to, and with the files that it names.
    Check(ConfigCheck),
    /// Print the reference of all that a server and its clients can be set to, in Markdown.
    #[command(hide = true)]
    Reference(ConfigReference),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  remit config show --config /etc/remit/remit.toml

Keys, and stores, whose URL may have a password, are not shown.")]
pub(crate) struct ConfigShow {
    /// Print JSON.
    #[arg(long, env = "REMIT_JSON")]
    pub(crate) json: bool,
    #[command(flatten, next_help_heading = "What the server is given")]
    pub(crate) serve: Serve,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  remit config check --config /etc/remit/remit.toml

Exit codes: 0 it can be served with, 2 something is wrong.")]
pub(crate) struct ConfigCheck {
    #[command(flatten, next_help_heading = "What the server is given")]
    pub(crate) serve: Serve,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigReference {
    /// A configuration file with every value, commented.
    #[arg(long)]
    pub(crate) example: bool,
}
