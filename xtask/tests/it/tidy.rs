//! The rules of the repository that no lint knows: direction of dependencies, size and openings of files, words.

use std::fs;
use std::path::{Path, PathBuf};

use xtask::root;

/// Which of our crates each of our crates may depend on. A new edge is a decision (docs/decisions), not an import.
const EDGES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("schema", &["model"]),
    ("engine", &["model", "schema"]),
    ("governance", &["model", "schema"]),
    ("edge", &["model", "schema"]),
    ("identity", &["model"]),
    ("store", &["model"]),
    ("testkit", &["model", "schema"]),
    ("kubernetes", &["model", "schema"]),
    ("ops", &["model", "schema", "engine", "identity", "store"]),
    ("decision-log", &["model", "identity", "ops"]),
    ("remit-proto", &[]),
    ("remit-client", &["remit-proto"]),
    (
        "remit-embedded",
        &[
            "model",
            "schema",
            "engine",
            "identity",
            "store",
            "ops",
            "remit-proto",
        ],
    ),
    (
        "server",
        &[
            "model",
            "schema",
            "engine",
            "edge",
            "identity",
            "store",
            "ops",
            "decision-log",
            "kubernetes",
            "remit-proto",
        ],
    ),
    (
        "cli",
        &[
            "model",
            "schema",
            "engine",
            "edge",
            "identity",
            "store",
            "ops",
            "decision-log",
            "kubernetes",
            "server",
            "remit-client",
        ],
    ),
];

/// The crates that only tests may depend on.
const TEST_ONLY: &str = "testkit";

/// Lines of code that a file may have before its tests, unless it is listed with a reason.
const LINES_MAX: usize = 600;
const LONG_FILES: &[(&str, &str)] = &[];

#[test]
fn dependencies_point_one_way() {
    for (name, allowed) in EDGES {
        let manifest = read(&root().join("crates").join(name).join("Cargo.toml"));
        for dependency in own_dependencies(&manifest, "[dependencies]") {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} may not depend on {dependency}"
            );
            assert_ne!(dependency, TEST_ONLY);
        }
    }
    let listed: Vec<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            listed.contains(&name.as_str()),
            "crate {name} is not in the table of edges"
        );
    }
}

#[test]
fn every_file_says_what_it_is() {
    for file in rust_files() {
        let text = read(&file);
        assert!(
            text.starts_with("//!"),
            "{} does not open with `//!`",
            file.display()
        );
    }
}

#[test]
fn no_file_outgrows_its_idea() {
    for file in rust_files() {
        let text = read(&file);
        let code = text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .count();
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        let is_test =
            name.ends_with("tests.rs") || name.contains("/tests/") || name.contains("/benches/");
        let is_listed = LONG_FILES.iter().any(|(listed, _)| *listed == name);
        assert!(
            code <= LINES_MAX || is_test || is_listed,
            "{name} has {code} lines of code"
        );
    }
}

#[test]
fn nothing_is_left_unfinished() {
    // Put together here, so that this file does not hold them itself.
    let words = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["to", "do!("].concat(),
        ["unimplemen", "ted!("].concat(),
    ];
    for file in rust_files() {
        let text = read(&file);
        for word in &words {
            assert!(
                !text.contains(word.as_str()),
                "{} holds `{word}`",
                file.display()
            );
        }
    }
}

#[test]
fn folders_have_no_mod_file() {
    for file in rust_files() {
        assert_ne!(file.file_name().unwrap(), "mod.rs", "{}", file.display());
    }
}

/// What the threat model says is shown has to be shown by a test that is there.
#[test]
fn the_threat_model_names_tests_that_exist() {
    let page = read(&root().join("docs/threat-model.md"));
    let sources: String = rust_files().iter().map(|file| read(file)).collect();
    let mut named = 0;
    for name in page.split('`').skip(1).step_by(2) {
        let is_name =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        // A name of one word is one of something else.
        if name.contains('_') && name.chars().all(is_name) {
            assert!(
                sources.contains(&format!("fn {name}(")),
                "there is no test `{name}`"
            );
            named += 1;
        }
    }
    assert!(named > 40, "{named}");
}

fn own_dependencies(manifest: &str, section: &str) -> Vec<String> {
    let lines = manifest.lines().skip_while(|line| *line != section).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| EDGES.iter().any(|(own, _)| own == name))
        .map(str::to_owned)
        .collect()
}

/// Our own Rust files: neither generated nor built.
fn rust_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["crates", "xtask"] {
        collect(&root().join(folder), &mut found);
    }
    assert!(found.len() > 50, "too few files to be all of them");
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "generated" && name != "target" && name != "node_modules" {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}
