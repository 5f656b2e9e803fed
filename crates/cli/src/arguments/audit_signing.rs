//! The arguments of `remit serve` that are about signing the audit log.

use std::path::PathBuf;

use clap::Args;

/// How the audit log is signed.
#[derive(Debug, Args)]
pub(crate) struct AuditSigning {
    /// A file of audit keys, one a line (`remit audit key`), by which the root of the audit log is signed: the first signs. The same on
    /// every node; read again on SIGHUP and when it changes, so that keys can be rotated. Without it the log is kept, and not signed.
    #[arg(long, env = "REMIT_AUDIT_KEY_FILE", value_name = "FILE")]
    pub(crate) audit_key_file: Option<PathBuf>,
    /// Seconds between two looks whether there is something new to sign.
    #[arg(
        long,
        env = "REMIT_AUDIT_CHECKPOINT_SECONDS",
        default_value_t = 60,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub(crate) audit_checkpoint_seconds: u64,
}
