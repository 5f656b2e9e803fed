//! `cargo xtask deploy`: what operators are given in `deploy/`, linted, rendered, and held to what it has to be.
//!
//! The programs for it are built from the modules that `deploy/check/go.sum` locks; the schemas of Kubernetes come with a package of
//! Python. Nothing runs in containers: the compose file's own commands are run on this machine instead.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::command::{python_in, run, run_command, target};
use crate::root;

/// The version of Kubernetes that the chart is linted for; `deploy/check/rendered.py` has those that it is rendered for.
const KUBERNETES: &str = "1.37.0";

/// How exposed a unit may be, in tenths of what `systemd-analyze security` counts.
const EXPOSURE_MAX: &str = "15";

/// Checks the chart, the compose file and the units.
///
/// # Errors
/// When a program for it cannot be had, or what it checks is not as it has to be.
pub fn deploy() -> anyhow::Result<()> {
    let folder = target().join("deploy");
    fs::create_dir_all(&folder)?;
    units(&folder)?;
    rules()?;
    let Some(programs) = programs(&folder)? else {
        return Ok(());
    };
    let helm = programs.join("helm").display().to_string();
    let chart = "deploy/helm/remit";
    run(
        &helm,
        &["lint", "--strict", "--kube-version", KUBERNETES, chart],
    )?;
    let project = project(&folder, &programs)?;
    let python = python_in(&folder.join("python"), "deploy/check/requirements.txt")?;
    run(
        &python,
        &[
            "deploy/check/rendered.py",
            "--helm",
            &helm,
            "--chart",
            chart,
            "--image",
            "deploy/Dockerfile",
            "--compose",
            &project,
        ],
    )?;
    run("cargo", &["build", "--package", "cli"])?;
    let remit = target().join("debug/remit").display().to_string();
    run(
        &python,
        &[
            "deploy/check/story.py",
            "--remit",
            &remit,
            "--compose",
            "deploy/compose/compose.yaml",
            "--project",
            &project,
        ],
    )
}

/// Has Prometheus read the rules, and try the alarms on series that are made up. That each metric is told, a test of the server shows.
fn rules() -> anyhow::Result<()> {
    if Command::new("promtool").arg("--version").output().is_err() {
        eprintln!("SKIPPED: the alarms are not tried: that needs promtool (Debian: prometheus)");
        return Ok(());
    }
    let folder = "deploy/observability";
    run(
        "promtool",
        &["check", "rules", &format!("{folder}/alerts.yaml")],
    )?;
    run(
        "promtool",
        &["test", "rules", &format!("{folder}/alerts.test.yaml")],
    )
}

/// Builds helm and the reader of compose files; none where there is no Go to build them with, or their modules cannot be had.
fn programs(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    let download = ["-C", "deploy/check", "mod", "download"];
    let downloaded = Command::new("go").args(download).status();
    if !downloaded.is_ok_and(|downloaded| downloaded.success()) {
        eprintln!(
            "SKIPPED: the chart, the image and the compose file are not checked: that needs Go 1.26 or newer and its modules"
        );
        return Ok(None);
    }
    let programs = folder.join("bin");
    fs::create_dir_all(&programs)?;
    run_command(
        Command::new("go")
            .args(["-C", "deploy/check", "build", "-mod=readonly", "-o"])
            .arg(&programs)
            .args([
                "helm.sh/helm/v3/cmd/helm",
                "github.com/compose-spec/compose-go/v2/cmd",
            ]),
    )?;
    Ok(Some(programs))
}

/// Reads the compose file as its specification says, and writes what it comes to; returns where.
fn project(folder: &Path, programs: &Path) -> anyhow::Result<String> {
    let read = Command::new(programs.join("cmd"))
        .args(["--no-path-resolution", "--format", "json", "compose.yaml"])
        .current_dir(root().join("deploy/compose"))
        .output()
        .context("the compose file cannot be read")?;
    let told = String::from_utf8_lossy(&read.stderr);
    ensure!(
        read.status.success() && told.is_empty(),
        "the compose file is wrong: {told}"
    );
    let project = folder.join("compose.json");
    fs::write(&project, &read.stdout)?;
    Ok(project.display().to_string())
}

/// Has systemd read the units, and say what they leave open.
fn units(folder: &Path) -> anyhow::Result<()> {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        let installed = run("apt-get", &["install", "--yes", "systemd"]);
        installed.context("the units are checked by systemd")?;
    }
    let copies = folder.join("systemd");
    fs::create_dir_all(&copies)?;
    let mut paths = Vec::new();
    for entry in fs::read_dir(root().join("deploy/systemd"))? {
        let path = entry?.path();
        let name = path.file_name().context("a unit has a name")?;
        let is_unit = path
            .extension()
            .is_some_and(|extension| extension == "service" || extension == "timer");
        if is_unit {
            // Remit is not installed on this machine, and what a unit starts has to be there.
            let text = fs::read_to_string(&path)?.replace("/usr/local/bin/remit", "/bin/true");
            fs::write(copies.join(name), text)?;
            paths.push(copies.join(name).display().to_string());
        }
    }
    ensure!(paths.len() == 3, "the units are {paths:?}");
    paths.sort();
    let mut arguments = vec!["verify", "--man=no"];
    arguments.extend(paths.iter().map(String::as_str));
    run("systemd-analyze", &arguments)?;
    let services = paths.iter().filter(|path| path.ends_with(".service"));
    for service in services {
        // What it prints is a page; whoever wants to know runs it by hand.
        run_command(
            Command::new("systemd-analyze")
                .args(["security", "--offline=true", "--no-pager"])
                .arg(format!("--threshold={EXPOSURE_MAX}"))
                .arg(service)
                .stdout(Stdio::null()),
        )?;
    }
    Ok(())
}
