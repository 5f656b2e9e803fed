//! The arguments of `remit serve` that are about the decision log.

use std::path::PathBuf;

use clap::Args;

/// What is kept of decisions.
#[derive(Debug, Args)]
pub(crate) struct DecisionLog {
    /// A file (TOML) of rules by which decisions are logged, and of the sinks that they go to, docs/decision-log.md; its rules and labels
    /// are read again on SIGHUP and when it changes.
    #[arg(long = "decision-log", env = "REMIT_DECISION_LOG", value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,
}
