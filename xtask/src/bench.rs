//! `cargo xtask bench <command>`: builds the server and the tool that measures it in release, and runs the tool.

use std::process::Command;

use crate::command::{run, run_command, target};

/// Runs `bench` with `arguments`.
///
/// # Errors
/// When it does not build, or does not end well.
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
    run_command(Command::new(target().join("release/bench")).args(arguments))
}
