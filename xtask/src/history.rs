//! What git knows of the repository, and the files of its commits.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::root;

/// When files that are taken out of a commit were written, as they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// When the commit was made.
    OfCommit,
    /// Now: what was built of another commit is older than they are.
    Now,
}

/// What git says, if it can.
///
/// # Errors
/// When git cannot be run, or says what is no text.
pub fn git_if(arguments: &[&str]) -> anyhow::Result<Option<String>> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root())
        .stderr(Stdio::null())
        .output();
    let output = output.context("git cannot be run")?;
    let told = String::from_utf8(output.stdout)?.trim().to_owned();
    Ok(output.status.success().then_some(told))
}

/// What git says.
///
/// # Errors
/// When it says nothing, too.
pub fn git(arguments: &[&str]) -> anyhow::Result<String> {
    git_if(arguments)?.with_context(|| format!("`git {}` failed", arguments.join(" ")))
}

/// Writes the files of a commit into `folder`, in the place of those that were there before.
///
/// # Errors
/// When they cannot be had or written.
pub fn take_out(commit: &str, folder: &Path, times: Times) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let mut archive = Command::new("git")
        .args(["archive", commit])
        .current_dir(root())
        .stdout(Stdio::piped())
        .spawn()
        .context("git cannot be run")?;
    let files = archive.stdout.take().context("git says nothing")?;
    let mut tar = Command::new("tar");
    tar.arg("--extract");
    if times == Times::Now {
        tar.arg("--touch");
    }
    let taken = tar
        .arg("--directory")
        .arg(folder)
        .stdin(files)
        .status()
        .context("tar cannot be run")?;
    let archived = archive.wait()?;
    ensure!(
        archived.success() && taken.success(),
        "the files of `{commit}` cannot be had: is this a checkout?"
    );
    Ok(())
}
