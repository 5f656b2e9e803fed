//! `cargo xtask check`: everything that has to hold before a change lands. CI runs this and nothing else.

use std::process::Command;

use anyhow::Context as _;

use crate::command::{python_in, run, target};
use crate::deploy::deploy;
use crate::fuzz::fuzz;
use crate::mutants::mutants;
use crate::supply::supply;
use crate::upgrade::upgrade;

/// Sets up what the tests need and runs them all.
///
/// # Errors
/// At the first step that fails.
pub fn check() -> anyhow::Result<()> {
    run("cargo", &["fmt", "--all", "--check"])?;
    run(
        "cargo",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
    )?;
    supply()?;
    install_programs()?;
    run("cargo", &["test", "--workspace"])?;
    upgrade()?;
    mutants()?;
    fuzz()?;
    peer()?;
    deploy()?;
    clients()
}

/// What the tests need of the system: a file, the package that has it, and what it is for.
const PROGRAMS: [(&str, &str, &str); 4] = [
    (
        "/usr/lib/postgresql",
        "postgresql",
        "the tests of the store start servers of PostgreSQL",
    ),
    (
        "/usr/bin/strace",
        "strace",
        "the tests of losses of power record what a store asks of its disk",
    ),
    (
        "/usr/bin/faketime",
        "faketime",
        "the tests of several nodes have a clock run off",
    ),
    (
        "/sbin/ip",
        "iproute2",
        "the tests of several nodes have a network lose what is sent",
    ),
];

/// Installs what the tests need where it is not.
fn install_programs() -> anyhow::Result<()> {
    for (file, package, why) in PROGRAMS {
        if !std::path::Path::new(file).exists() {
            run("apt-get", &["install", "--yes", package]).context(why)?;
        }
    }
    Ok(())
}

/// Mends what can be mended by a program.
///
/// # Errors
/// At the first step that fails.
pub fn fix() -> anyhow::Result<()> {
    run("cargo", &["fmt", "--all"])?;
    run(
        "cargo",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--fix",
            "--allow-dirty",
        ],
    )
}

/// Compares Remit with the peer, a SpiceDB that its package carries: random cases, asked of both.
///
/// # Errors
/// When the package cannot be installed, or the two differ without a known cause.
pub fn peer() -> anyhow::Result<()> {
    run("npm", &ci_in("e2e/peer"))?;
    run(
        "cargo",
        &[
            "test",
            "--package",
            "server",
            "--test",
            "it",
            "peer::",
            "--",
            "--ignored",
            "--nocapture",
        ],
    )
}

/// The arguments by which npm installs what the lock file of `folder` names.
pub(crate) fn ci_in(folder: &str) -> [&str; 6] {
    [
        "ci",
        "--prefix",
        folder,
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
    ]
}

/// Has the authorizer of kube-apiserver ask a served Remit, where there is Go to build it with.
fn kubernetes(remit: &str) -> anyhow::Result<()> {
    let download = ["-C", "e2e/kubernetes", "mod", "download"];
    let downloaded = Command::new("go").args(download).status();
    if !downloaded.is_ok_and(|downloaded| downloaded.success()) {
        eprintln!(
            "SKIPPED: no authorizer of kube-apiserver asks: that needs Go 1.26 or newer and its modules"
        );
        return Ok(());
    }
    let story = target().join("kubernetes-story").display().to_string();
    let build = [
        "-C",
        "e2e/kubernetes",
        "build",
        "-mod=readonly",
        "-o",
        &story,
    ];
    run("go", &build)?;
    run(&story, &[remit, "examples/kubernetes"])
}

/// Runs the stock Python clients against a served Remit, with the example company and the Debian archive, a package of
/// others that uses them, a client of JSON over HTTP, real proxies that ask, the AuthZEN certification scenario, the stock Node client, tokens of an
/// OpenID provider, and the authorizer of kube-apiserver.
///
/// # Errors
/// When the client cannot be installed or does not get the answers it expects.
pub fn clients() -> anyhow::Result<()> {
    run("cargo", &["build", "--package", "cli"])?;
    let python = python_in(
        &target().join("python-client"),
        "e2e/python/requirements.txt",
    )?;
    let remit = target().join("debug/remit").display().to_string();
    run(&python, &["e2e/python/story.py", "--remit", &remit])?;
    run(&python, &["e2e/python/both_clients.py", "--remit", &remit])?;
    run(&python, &["e2e/python/documents.py", "--remit", &remit])?;
    run(&python, &["e2e/python/gateway.py", "--remit", &remit])?;
    run(&python, &["e2e/python/authzen.py", "--remit", &remit])?;
    let proxies = python_in(&target().join("python-edge"), "e2e/edge/requirements.txt")?;
    run(&proxies, &["e2e/edge/story.py", "--remit", &remit])?;
    run("npm", &ci_in("e2e/node"))?;
    run(&python, &["e2e/python/node.py", "--remit", &remit])?;
    run("npm", &ci_in("e2e/identity"))?;
    run("node", &["e2e/identity/story.mjs", &remit])?;
    kubernetes(&remit)?;
    run(&python, &["e2e/python/debian.py", "--remit", &remit])
}
