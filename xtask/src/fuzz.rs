//! `cargo xtask fuzz`: inputs that nobody thought of, guided by which code they reach.
//!
//! The stable compiler is enough: the coverage comes from LLVM's own pass, and libFuzzer is linked in by its crate. What
//! was found worth keeping stays in `fuzz/corpus` of the target folder, so that the next run starts from there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::command::{run, run_command, target};
use crate::root;

/// How long each target runs unless `FUZZ_SECONDS` says otherwise, in seconds.
const SECONDS: &str = "10";

/// Longest input, in bytes: the code has its own limits, and short inputs go further in the same time.
const INPUT_BYTES_MAX: &str = "4096";

/// Most memory one target may take, in MiB. What takes more is a finding.
const MEMORY_MIB_MAX: &str = "2048";

/// Longest that one input may take, in seconds.
const INPUT_SECONDS_MAX: &str = "20";

/// Coverage in the form that libFuzzer reads.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// Builds the targets and runs each for a while.
///
/// # Errors
/// When a target does not build, or an input makes it panic, run away or take too much memory.
#[expect(
    clippy::disallowed_methods,
    reason = "how long to run is said by whoever runs it"
)]
pub fn fuzz() -> anyhow::Result<()> {
    let seconds = std::env::var("FUZZ_SECONDS").unwrap_or_else(|_| SECONDS.to_owned());
    let only = std::env::var("FUZZ_TARGET").ok();
    let folder = target().join("fuzz");
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    if Command::new("c++").arg("--version").output().is_err() {
        let installed = run("apt-get", &["install", "--yes", "g++"]);
        installed.context("libFuzzer needs a C++ compiler")?;
    }
    run_command(
        Command::new("cargo")
            .args(["build", "--release", "--locked", "--target", &platform])
            .args(["--manifest-path", "fuzz/Cargo.toml"])
            .env("CARGO_TARGET_DIR", &folder)
            .env("RUSTFLAGS", COVERAGE),
    )?;
    let names = names()?;
    if let Some(only) = &only {
        ensure!(names.contains(only), "no target `{only}` in {names:?}");
    }
    let wanted = names
        .iter()
        .filter(|name| only.as_ref().is_none_or(|only| only == *name));
    for name in wanted {
        let corpus = folder.join("corpus").join(name);
        let findings = folder.join("findings").join(name);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&findings)?;
        let program = folder.join(&platform).join("release").join(name);
        let mut command = Command::new(program);
        command
            .arg(&corpus)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={INPUT_BYTES_MAX}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
            .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
            .arg(format!("-artifact_prefix={}/", findings.display()))
            .arg("-verbosity=0")
            .arg("-print_final_stats=1");
        let seeds = root().join("fuzz/seeds").join(name);
        if seeds.exists() {
            command.arg(seeds);
        }
        let dictionary = root().join("fuzz/words").join(name);
        if dictionary.exists() {
            command.arg(format!("-dict={}", dictionary.display()));
        }
        run_command(&mut command)?;
    }
    Ok(())
}

/// The targets: one for each program of the fuzzing workspace.
fn names() -> anyhow::Result<Vec<String>> {
    let programs = fs::read_dir(root().join("fuzz/src/bin"))?;
    let paths = programs.map(|entry| Ok(entry?.path()));
    let paths = paths.collect::<std::io::Result<Vec<PathBuf>>>()?;
    let mut names = Vec::new();
    for path in &paths {
        let name = Path::file_stem(path).and_then(|stem| stem.to_str());
        names.push(name.context("a target has no name")?.to_owned());
    }
    names.sort();
    Ok(names)
}
