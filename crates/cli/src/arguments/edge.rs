//! The arguments of `remit edge`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum EdgeCommand {
    /// Check a file of rules without a server, and tell every fault; exits with 1 if there is one.
    Check(EdgeCheck),
    /// Run cases on rules without a server; exits with 1 if one is not as it says.
    Test(EdgeTest),
}

#[derive(Debug, Args)]
pub(crate) struct EdgeCheck {
    /// The rules.
    pub(crate) rules: PathBuf,
    /// Print JSON.
    #[arg(long, env = "REMIT_JSON")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  remit edge test rules.yaml cases.yaml    docs/edge.md says what stands in them")]
pub(crate) struct EdgeTest {
    /// The rules.
    pub(crate) rules: PathBuf,
    /// The cases.
    pub(crate) cases: PathBuf,
    /// Print JSON.
    #[arg(long, env = "REMIT_JSON")]
    pub(crate) json: bool,
}
