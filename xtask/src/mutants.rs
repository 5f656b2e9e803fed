//! `cargo xtask mutants`: does the corpus catch every fault that it is there to catch?
//!
//! Each mutant of `crates/testkit/mutants.toml` is put into a copy of the tree; the scenario that it names has to fail
//! there. The tree itself is never touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use toml::{Table, Value};

use crate::command::target;
use crate::root;

struct Mutant {
    fault: String,
    scenario: String,
    file: String,
    from: String,
    to: String,
}

/// Applies the mutants in turn.
///
/// # Errors
/// When the corpus fails without a mutant, a mutant does not fit the code any more, or one is not caught.
pub fn mutants() -> anyhow::Result<()> {
    let mutants = read()?;
    let tree = copy_tree()?;
    ensure!(
        corpus(&tree)?.is_empty(),
        "the corpus fails without a mutant"
    );
    let mut survivors = Vec::new();
    for mutant in &mutants {
        let path = tree.join(&mutant.file);
        let code = fs::read_to_string(&path)?;
        ensure!(
            code.matches(&mutant.from).count() == 1,
            "the mutant `{}` does not fit {} any more",
            mutant.fault,
            mutant.file
        );
        fs::write(&path, code.replace(&mutant.from, &mutant.to))?;
        let failed = corpus(&tree);
        fs::write(&path, code)?;
        let is_caught = failed?.iter().any(|name| name.contains(&mutant.scenario));
        eprintln!(
            "{} {}",
            if is_caught { "caught  " } else { "SURVIVED" },
            mutant.fault
        );
        if !is_caught {
            survivors.push(mutant.fault.as_str());
        }
    }
    ensure!(survivors.is_empty(), "not caught: {}", survivors.join("; "));
    eprintln!("{} mutants, all caught", mutants.len());
    Ok(())
}

fn read() -> anyhow::Result<Vec<Mutant>> {
    let path = root().join("crates/testkit/mutants.toml");
    let table: Table = fs::read_to_string(path)?.parse()?;
    let list = table
        .get("mutant")
        .and_then(Value::as_array)
        .context("there is no mutant")?;
    let text = |mutant: &Value, key: &str| {
        let text = mutant.get(key).and_then(Value::as_str);
        text.map(str::to_owned)
            .with_context(|| format!("a mutant lacks `{key}`"))
    };
    let mutants = list.iter().map(|mutant| {
        Ok(Mutant {
            fault: text(mutant, "fault")?,
            scenario: text(mutant, "scenario")?,
            file: text(mutant, "file")?,
            from: text(mutant, "from")?,
            to: text(mutant, "to")?,
        })
    });
    mutants.collect()
}

fn copy_tree() -> anyhow::Result<PathBuf> {
    let tree = target().join("mutants");
    for folder in ["crates", "scenarios", "xtask", "bench", "proto", "examples"] {
        // What was built before stays; the sources are those of now.
        let stale = tree.join(folder);
        if stale.exists() {
            fs::remove_dir_all(&stale)?;
        }
        copy(&root().join(folder), &tree.join(folder))?;
    }
    for file in ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml"] {
        fs::copy(root().join(file), tree.join(file))?;
    }
    Ok(tree)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The lines that name scenarios which failed in `tree`.
fn corpus(tree: &Path) -> anyhow::Result<Vec<String>> {
    let arguments = [
        "test",
        "--package",
        "engine",
        "--lib",
        "--",
        "the_engine_agrees_with_every_scenario",
    ];
    let output = Command::new("cargo")
        .args(arguments)
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", tree.join("target"))
        .output()
        .context("cannot run cargo")?;
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.status.success() {
        return Ok(Vec::new());
    }
    if told.contains("could not compile") {
        bail!("a mutant does not compile:\n{told}");
    }
    let failed = told.lines().filter(|line| line.contains(".yaml"));
    let failed: Vec<String> = failed.map(str::to_owned).collect();
    ensure!(!failed.is_empty(), "the corpus was not run:\n{told}");
    Ok(failed)
}
