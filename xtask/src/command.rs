//! Running other programs, loudly.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::root;

/// Runs a program in the root of the repository and fails if it does.
///
/// # Errors
/// When the program cannot be started or does not end well.
pub fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    run_command(Command::new(program).args(arguments))
}

/// As [`run`], for a command that sets more than its arguments.
///
/// # Errors
/// When the program cannot be started or does not end well.
pub fn run_command(command: &mut Command) -> anyhow::Result<()> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    let what = words.join(" ");
    eprintln!("── {what}");
    let started = Instant::now();
    let status = command
        .current_dir(root())
        .status()
        .with_context(|| format!("cannot run `{what}`"))?;
    eprintln!("── {:.1} s", started.elapsed().as_secs_f32());
    ensure!(status.success(), "`{what}` failed");
    Ok(())
}

/// Installs what a file names into an environment of Python of its own; gives the interpreter.
///
/// # Errors
/// When it cannot be made, or a package cannot be had.
pub fn python_in(environment: &Path, requirements: &str) -> anyhow::Result<String> {
    let python = environment.join("bin/python").display().to_string();
    if !Path::new(&python).exists() {
        let environment = environment.display().to_string();
        run("python3", &["-m", "venv", &environment])?;
    }
    let install = ["-m", "pip", "install", "--quiet", "--requirement"];
    run(&python, &[&install[..], &[requirements]].concat())?;
    Ok(python)
}

/// The folder that cargo builds into.
#[must_use]
pub fn target() -> PathBuf {
    // This program runs from `target/debug/xtask`.
    let own = std::env::current_exe().ok();
    let folder = own
        .as_deref()
        .and_then(|own| own.parent())
        .and_then(|debug| debug.parent());
    folder.map_or_else(|| root().join("target"), Path::to_path_buf)
}
