//! `cargo xtask bench <command>`: builds the server and the tool that measures it in release, and runs the tool.

use std::process::{Command, Stdio};

use crate::check::ci_in;
use crate::command::{run, run_command, target};
use crate::root;

/// Where what `bench peers` needs from npm is named.
const PEERS: &str = "bench/peers";

/// Runs `bench` with `arguments`; for `peers`, with what it is measured beside.
///
/// # Errors
/// When it does not build, a package cannot be installed, or it does not end well.
pub fn bench(arguments: &[String]) -> anyhow::Result<()> {
    run(
        "cargo",
        &[
            "build",
            "--release",
            "--package",
            "cli",
            "--package",
            "bench",
        ],
    )?;
    if arguments.first().is_some_and(|command| command == "peers") {
        if !are_installed() {
            // What npm says is no result.
            run_command(Command::new("npm").args(ci_in(PEERS)).stdout(Stdio::null()))?;
        }
        // On its own, so that the server is the same as without the peers and the features that they turn on.
        let build = ["build", "--release", "--package", "bench"];
        run("cargo", &[&build[..], &["--features", "peers"]].concat())?;
    }
    run_command(Command::new(target().join("release/bench")).args(arguments))
}

/// The packages have been installed since the lock file was last changed.
fn are_installed() -> bool {
    let folder = root().join(PEERS);
    let changed = |file: &str| folder.join(file).metadata()?.modified();
    // npm leaves this file when it has installed the rest.
    match (
        changed("node_modules/.package-lock.json"),
        changed("package-lock.json"),
    ) {
        (Ok(installed), Ok(locked)) => installed >= locked,
        _ => false,
    }
}
