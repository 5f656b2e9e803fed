//! `cargo xtask supply`: what Remit is made of that others wrote, held to `deny.toml`; and the bill of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::command::{run, run_command, target};
use crate::root;

/// A program of cargo's that is built from its source: its package, its version, and what it puts into `bin`.
type Program = (&'static str, &'static str);

const DENY: Program = ("cargo-deny", "0.20.2");
const CYCLONEDX: Program = ("cargo-cyclonedx", "0.5.9");

/// The version of CycloneDX that the bill is written in.
const BILL_VERSION: &str = "1.5";

/// Holds every crate of the lock files to `deny.toml`: licences, bans, sources. Advisories need a database that no registry of
/// packages has: `cargo deny check advisories` reads it where there is a network.
///
/// # Errors
/// When a crate is not as it has to be, or the program cannot be built.
pub fn supply() -> anyhow::Result<()> {
    let deny = program(DENY)?.display().to_string();
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let of = ["--manifest-path", manifest, "--config", "deny.toml"];
        let whole = ["--locked", "--all-features"];
        let check = ["check", "licenses", "bans", "sources"];
        run(&deny, &[&of[..], &whole, &check].concat())?;
    }
    Ok(())
}

/// Writes what the binary of the tree at `source` is made of to `path`, as CycloneDX in JSON.
///
/// # Errors
/// When the program cannot be built, or does not write it.
pub fn bill(source: &Path, (path, epoch): (&Path, &str)) -> anyhow::Result<()> {
    /// Beside the manifest of the crate is the one place where it can be written.
    const NAME: &str = "remit-bill";
    run_command(
        Command::new(program(CYCLONEDX)?)
            .args(["cyclonedx", "--manifest-path"])
            .arg(source.join("crates/cli/Cargo.toml"))
            .args(["--format", "json", "--spec-version", BILL_VERSION])
            .args(["--target", "all", "--no-build-deps"])
            .args(["--override-filename", NAME, "--quiet"])
            .env("SOURCE_DATE_EPOCH", epoch),
    )?;
    let written = source.join("crates/cli").join(format!("{NAME}.json"));
    let text = fs::read_to_string(&written).context("the bill was not written")?;
    // Where it was made says nothing of what it is made of.
    let folder = source.display().to_string();
    fs::write(path, text.replace(&folder, "/remit"))?;
    Ok(())
}

/// Where a program is, built once for each of its versions.
fn program((name, version): Program) -> anyhow::Result<PathBuf> {
    let folder = target().join("tools").join(format!("{name}-{version}"));
    let binary = folder.join("bin").join(name);
    if !binary.exists() {
        run_command(
            Command::new("cargo")
                .args(["install", "--locked", "--debug", "--quiet"])
                .args(["--version", version, "--root"])
                .arg(&folder)
                .arg(name)
                .env("CARGO_TARGET_DIR", target().join("tools/target"))
                .env("CARGO_PROFILE_DEV_DEBUG", "0")
                .current_dir(root()),
        )?;
        // What it was built from is of no use any more.
        fs::remove_dir_all(target().join("tools/target"))?;
    }
    ensure!(binary.exists(), "`{name}` was not built");
    Ok(binary)
}
