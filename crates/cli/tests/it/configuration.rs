//! The configuration: its reference, its example, what is told of what is wrong with it, and where each value comes from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{REMIT, run};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Holds a committed file to what a command prints; `UPDATE_EXPECT=1` rewrites the file.
fn held(file: &str, arguments: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let (code, told, failed) = run(folder.path(), arguments);
    assert_eq!(code, 0, "{failed}");
    let path = root().join(file);
    if is_rewritten() {
        fs::write(&path, &told).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == told,
        "{file} is out of date: UPDATE_EXPECT=1 cargo test -p cli --test it configuration"
    );
}

fn is_rewritten() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some()
}

#[test]
fn the_reference_and_the_example_are_those_of_the_flags() {
    held("docs/configuration.md", &["config", "reference"]);
    held("deploy/remit.toml", &["config", "reference", "--example"]);
}

/// Those that name files are named as they are, and are not there; the rest is the default.
#[test]
fn every_value_of_the_example_is_one_that_a_server_takes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let example = fs::read_to_string(root().join("deploy/remit.toml")).unwrap();
    let set: Vec<&str> = example
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| !line.starts_with(' '))
        .collect();
    assert!(set.len() > 30, "{set:?}");
    let files: Vec<&&str> = set.iter().filter(|line| line.contains("/etc/")).collect();
    assert_eq!(files.len(), 11, "{files:?}");
    let plain: Vec<&str> = set
        .iter()
        .copied()
        .filter(|line| !line.contains("/etc/"))
        .collect();
    fs::write(at.join("remit.toml"), plain.join("\n")).unwrap();
    let (code, told, failed) = run(at, &["config", "check"]);
    assert_eq!(code, 0, "{failed}");
    let said = format!("good: `remit.toml` is read, {} values", plain.len());
    assert!(told.starts_with(&said), "{told}");
    // With the files the names are right still, and the files are what is missed.
    fs::write(at.join("remit.toml"), set.join("\n")).unwrap();
    let (code, _, failed) = run(at, &["config", "check"]);
    assert_eq!(code, 2);
    assert!(
        failed.contains("cannot read `/etc/remit/tls-cert`"),
        "{failed}"
    );
    assert!(!failed.contains("is no flag"), "{failed}");
}

#[test]
fn a_faulty_file_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (text, line) in [
        (
            "store = \"memory:\"\ndepth-max = 9999\n",
            "line 2: `9999` is no value of `depth-max`: 9999 is not in 1..=250",
        ),
        (
            "\n\nstoer = \"memory:\"\n",
            "line 3: `stoer` is no flag of any command",
        ),
        (
            "grpc-addr = \"nowhere\"\n",
            "line 1: `nowhere` is no value of `grpc-addr`: invalid socket address syntax",
        ),
    ] {
        fs::write(at.join("remit.toml"), text).unwrap();
        for command in [&["serve"][..], &["config", "check"], &["config", "show"]] {
            let (code, _, told) = run(at, command);
            assert_eq!(code, 2, "{told}");
            assert!(told.contains(&format!("`remit.toml`, {line}")), "{told}");
        }
    }
    fs::write(
        at.join("remit.toml"),
        "store = \"mysql:x\"\nlog = \"=,=\"\n",
    )
    .unwrap();
    let (code, _, told) = run(at, &["config", "check"]);
    assert_eq!(code, 2);
    assert!(told.contains("error: store: this is no store"), "{told}");
    assert!(told.contains("error: log: it is no log filter"), "{told}");
}

#[test]
fn what_is_set_is_shown_with_its_source_and_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let text = "watches-max = 5\nstore = \"postgres://remit:hush@localhost/remit\"\ndepth-max = 7\npreshared-key = [\"a:hush\"]\n";
    fs::write(at.join("own.toml"), text).unwrap();
    let output = Command::new(REMIT)
        .args(["config", "show", "--json", "--config", "own.toml"])
        .args(["--compare-hours", "3"])
        .env("REMIT_DEPTH_MAX", "9")
        .env("REMIT_PRESHARED_KEY", "b:hush")
        .current_dir(at)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    for (name, value, source) in [
        ("watches-max", "5", "own.toml:1"),
        ("store", "(set, and not shown)", "own.toml:2"),
        ("depth-max", "9", "REMIT_DEPTH_MAX"),
        (
            "preshared-key",
            "(set, and not shown)",
            "REMIT_PRESHARED_KEY",
        ),
        ("compare-hours", "3", "--compare-hours"),
        ("log", "info", "default"),
        ("tls-cert", "(none)", "default"),
    ] {
        let line = format!(r#"{{"name":"{name}","source":"{source}","value":"{value}"}}"#);
        assert!(told.contains(&line), "no {line} in {told}");
    }
    assert!(!told.contains("hush"), "{told}");
}
