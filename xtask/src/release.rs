//! `cargo xtask release`: the binary as it is handed out, with its bill of materials and the sums of both; the same bytes wherever it
//! is built.
//!
//! What would tell one machine from another is taken out of a build: paths are named anew, times are the commit's, sums of
//! sources and the compiler are those of the lock file and of `rust-toolchain.toml`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::command::{run_command, target};
use crate::history::{Times, git, take_out};
use crate::root;
use crate::supply::bill;

/// What is handed out.
const BINARY: &str = "remit";
const BILL: &str = "remit.cdx.json";
const SUMS: &str = "SHA256SUMS";

/// Builds the commit that is checked out, whatever is changed beside it, and puts what comes of it into `target/dist`.
/// With `is_twice` a second build, in another folder, has to come to the same.
///
/// # Errors
/// When it cannot be built, or two builds differ.
pub fn release(is_twice: bool) -> anyhow::Result<()> {
    let dist = target().join("dist");
    let folder = target().join("release-build");
    build(&folder.join("one"), &dist)?;
    if is_twice {
        let again = folder.join("dist");
        build(&folder.join("the-other-folder"), &again)?;
        for name in [BINARY, BILL] {
            let alike = fs::read(dist.join(name))? == fs::read(again.join(name))?;
            ensure!(
                alike,
                "two builds of one commit differ in `{name}`: {} and {}",
                dist.display(),
                again.display()
            );
        }
        eprintln!("two builds in two folders are the same, byte for byte");
    }
    fs::remove_dir_all(&folder)?;
    eprintln!("{}", fs::read_to_string(dist.join(SUMS))?);
    eprintln!("in {}", dist.display());
    Ok(())
}

/// Builds the commit in `folder`, from nothing, into `dist`.
fn build(folder: &Path, dist: &Path) -> anyhow::Result<()> {
    let (source, built) = (folder.join("source"), folder.join("target"));
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(dist)?;
    take_out("HEAD", &source, Times::OfCommit)?;
    let epoch = git(&["log", "-1", "--format=%ct"])?;
    let home = cargo_home()?;
    let names = [(&source, "/remit"), (&built, "/built"), (&home, "/cargo")];
    let flags = |flag: &str| -> String {
        let named = names.map(|(path, name)| format!("{flag}={}={name}", path.display()));
        named.join(" ")
    };
    run_command(
        Command::new("cargo")
            .args([
                "build",
                "--release",
                "--locked",
                "--package",
                "cli",
                "--bin",
                BINARY,
            ])
            .arg("--manifest-path")
            .arg(source.join("Cargo.toml"))
            .env("CARGO_TARGET_DIR", &built)
            .env("CARGO_INCREMENTAL", "0")
            .env("SOURCE_DATE_EPOCH", &epoch)
            .env("REMIT_COMMIT", git(&["rev-parse", "HEAD"])?)
            .env("RUSTFLAGS", flags("--remap-path-prefix"))
            .env("CFLAGS", flags("-ffile-prefix-map")),
    )?;
    fs::copy(built.join("release").join(BINARY), dist.join(BINARY))?;
    bill(&source, (&dist.join(BILL), &epoch))?;
    let sums = Command::new("sha256sum")
        .args([BINARY, BILL])
        .current_dir(dist)
        .output()?;
    ensure!(sums.status.success(), "the sums cannot be worked out");
    fs::write(dist.join(SUMS), sums.stdout)?;
    Ok(())
}

/// Where cargo keeps the sources of what is depended on: it is the folder above this program's `cargo` registry.
fn cargo_home() -> anyhow::Result<PathBuf> {
    // `cargo config get` is not stable; the path of a package that is depended on is told by `cargo metadata`.
    let metadata = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(root())
        .output()?;
    ensure!(metadata.status.success(), "`cargo metadata` failed");
    let text = String::from_utf8(metadata.stdout)?;
    let (before, _) = text
        .split_once("/registry/src/")
        .context("no package comes from a registry")?;
    let start = before.rfind('"').map_or(0, |quote| quote + 1);
    Ok(PathBuf::from(before.get(start..).unwrap_or_default()))
}
