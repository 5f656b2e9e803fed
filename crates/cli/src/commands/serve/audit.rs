//! Signing the audit log: the keys of a file, read again while the server runs, and what signs with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use ops::Node;
use ops::audit::signing::{self, Keys};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::arguments::AuditSigning;

/// How often it is looked whether the file changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Starts to sign, if there are keys.
pub(super) fn sign(node: &Arc<Node>, arguments: &AuditSigning) -> anyhow::Result<()> {
    let Some(file) = arguments.audit_key_file.clone() else {
        return Ok(());
    };
    let seen = mark(&file);
    let (keys, in_use) = watch::channel(read(&file)?);
    let hangups = signal(SignalKind::hangup()).context("SIGHUP cannot be listened for")?;
    let every = Duration::from_secs(arguments.audit_checkpoint_seconds);
    tokio::spawn(signing::run(Arc::clone(node), in_use, every));
    tokio::spawn(keep(file, seen, hangups, keys));
    Ok(())
}

type Mark = Option<(SystemTime, u64)>;

/// Reads the file again on SIGHUP and when it changed. What cannot be read leaves what there was.
async fn keep(
    file: PathBuf,
    mut seen: Mark,
    mut hangups: tokio::signal::unix::Signal,
    keys: watch::Sender<Keys>,
) {
    while !keys.is_closed() {
        tokio::select! {
            _ = hangups.recv() => {}
            () = keys.closed() => return,
            () = tokio::time::sleep(LOOK_INTERVAL) => {
                if mark(&file) == seen {
                    continue;
                }
            }
        }
        seen = mark(&file);
        match read(&file) {
            Ok(read) => {
                keys.send_replace(read);
                tracing::info!(what = "audit keys", "read again");
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(
                    what = "audit keys",
                    error,
                    "cannot be read again, and stays as it was"
                );
            }
        }
    }
}

fn mark(file: &Path) -> Mark {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(file: &Path) -> anyhow::Result<Keys> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let keys = store::audit::note::signing_keys(&text)
        .with_context(|| format!("`{}` is no file of audit keys", file.display()))?;
    Ok(Arc::new(keys))
}
