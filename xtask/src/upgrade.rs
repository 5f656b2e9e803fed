//! `cargo xtask upgrade`: the version before and this one, with one database under calls.
//!
//! The version before is the newest tag, or, while there is none, the last commit before the present one in which the product was another. It is
//! built once for each commit, from the files that git has of it, in a folder of its own below the target folder: nothing of it gets among
//! what is built of this version. What it depends on stays built from one commit to the next.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::command::{run_command, target};
use crate::history::{Times, git_if, take_out};

/// The files whose change makes another product.
const PRODUCT: [&str; 2] = ["crates", "Cargo.lock"];

/// Builds the version before, and upgrades it.
///
/// # Errors
/// When it cannot be built, or something is lost on the way.
pub fn upgrade() -> anyhow::Result<()> {
    let Some(commit) = previous()? else {
        eprintln!(
            "SKIPPED: THE UPGRADE FROM THE VERSION BEFORE. The history is not here: fetch it (git fetch --unshallow --tags)"
        );
        return Ok(());
    };
    let binary = built(&commit)?;
    run_command(
        Command::new("cargo")
            .args(["test", "--package", "cli", "--test", "it", "upgrade::"])
            .args(["--", "--ignored", "--nocapture"])
            .env("REMIT_PREVIOUS", &binary),
    )
}

/// The commit of the version before; none where the history does not reach it.
#[expect(
    clippy::disallowed_methods,
    reason = "from which commit is said by whoever runs it"
)]
fn previous() -> anyhow::Result<Option<String>> {
    if let Ok(asked) = std::env::var("UPGRADE_FROM") {
        let commit = git_if(&["rev-parse", "--verify", &format!("{asked}^{{commit}}")])?;
        return commit
            .with_context(|| format!("there is no commit `{asked}`"))
            .map(Some);
    }
    let tagged = git_if(&["describe", "--tags", "--abbrev=0", "HEAD^"])?;
    if let Some(tag) = tagged {
        return git_if(&["rev-parse", &format!("{tag}^{{commit}}")]);
    }
    // The commit that made the product what it is; what was before it is its parent.
    let newest = [&["log", "-1", "--format=%H", "--"][..], &PRODUCT].concat();
    let Some(newest) = git_if(&newest)?.filter(|commit| !commit.is_empty()) else {
        return Ok(None);
    };
    git_if(&["rev-parse", "--verify", "--quiet", &format!("{newest}^")])
}

/// The binary of a commit, built if it is not there.
fn built(commit: &str) -> anyhow::Result<PathBuf> {
    let folder = target().join("previous");
    let binary = folder.join(format!("remit-{commit}"));
    if binary.exists() {
        return Ok(binary);
    }
    let source = folder.join("source");
    take_out(commit, &source, Times::Now)?;
    let built = folder.join("target");
    run_command(
        Command::new("cargo")
            .args(["build", "--locked", "--package", "cli", "--manifest-path"])
            .arg(source.join("Cargo.toml"))
            .env("CARGO_TARGET_DIR", &built)
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_PROFILE_DEV_DEBUG", "0"),
    )?;
    forget_others(&folder)?;
    // Given its name when it is whole.
    let partial = folder.join("partial");
    fs::copy(built.join("debug/remit"), &partial)?;
    fs::rename(&partial, &binary)?;
    Ok(binary)
}

/// Removes the binaries of other commits: one is enough, and they are large.
fn forget_others(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("remit-") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
