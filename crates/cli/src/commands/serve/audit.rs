//! Signing the audit log: the keys of a file, which are read again with what else is, and what signs with them.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ops::Node;
use ops::audit::signing::{self, Keys};
use tokio::sync::watch;

use crate::arguments::AuditSigning;

/// Starts to sign, if there are keys, and gives where to put others.
pub(super) fn sign(
    node: &Arc<Node>,
    keys: Option<Keys>,
    arguments: &AuditSigning,
) -> Option<watch::Sender<Keys>> {
    let (others, in_use) = watch::channel(keys?);
    let every = Duration::from_secs(arguments.audit_checkpoint_seconds);
    tokio::spawn(signing::run(Arc::clone(node), in_use, every));
    Some(others)
}

/// The keys of a file.
pub(super) fn read(file: &Path) -> anyhow::Result<Keys> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let keys = store::audit::note::signing_keys(&text)
        .with_context(|| format!("`{}` is no file of audit keys", file.display()))?;
    Ok(Arc::new(keys))
}
