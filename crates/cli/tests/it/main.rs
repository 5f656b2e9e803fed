//! The binary as its users run it: files in, text and exit codes out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const REMIT: &str = env!("CARGO_BIN_EXE_remit");
const SCHEMA: &str = "definition user {}\ndefinition doc {\n\trelation viewer: user\n\tpermission view = viewer\n}\n";

/// Runs `remit` in `folder`, where a configuration file may be.
fn remit(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(REMIT)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = remit(folder, arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A server that is killed with its test.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// Starts a server in `folder` and writes the configuration file that its clients read there.
fn serve(folder: &Path, store: &str) -> Served {
    let mut child = Command::new(REMIT)
        .args(["serve", "--grpc-addr", "127.0.0.1:0", "--store", store])
        .args(["--http-addr", "127.0.0.1:0"])
        .args(["--preshared-key", "test:open-sesame"])
        .current_dir(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let ready = lines
        .find(|line| line.as_ref().unwrap().starts_with("remit is ready"))
        .unwrap()
        .unwrap();
    // Whatever else it says is of no interest, but has to go somewhere.
    std::thread::spawn(move || lines.count());
    // One address was given for both, so one listener has it.
    let after = |name: &str| {
        let rest = ready.split_once(name).unwrap().1;
        rest.split_once(',').unwrap().0.to_owned()
    };
    assert_eq!(after("gRPC on "), after("HTTP on "), "{ready}");
    let address = after("gRPC on ");
    let configuration =
        format!("endpoint = \"{address}\"\ninsecure = true\ntoken = \"open-sesame\"\n");
    std::fs::write(folder.join("remit.toml"), configuration).unwrap();
    Served(child)
}

fn files(folder: &Path) -> PathBuf {
    std::fs::write(folder.join("schema.zed"), SCHEMA).unwrap();
    let rows: String = (0..3_000)
        .map(|n| format!("doc:d{}#viewer@user:u{n}\n", n % 70))
        .collect();
    let path = folder.join("rows.txt");
    std::fs::write(&path, rows).unwrap();
    path
}

#[test]
fn a_store_is_filled_asked_copied_and_filled_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    files(at);
    let served = serve(at, "sqlite:one.db");
    assert_eq!(run(at, &["schema", "write", "schema.zed"]).0, 0);
    let import = [
        "import",
        "rows.txt",
        "--batch",
        "700",
        "--checkpoint",
        "done",
    ];
    let (code, told, _) = run(at, &import);
    assert_eq!((code, told.as_str()), (0, "imported 3000 relationships\n"));
    // All of it is done, says the checkpoint; without it the rows are there already.
    assert_eq!(run(at, &import).1, "imported 3000 relationships\n");
    let (code, _, told) = run(at, &["import", "rows.txt"]);
    assert_eq!(code, 4);
    assert!(told.contains("ATTEMPT_TO_RECREATE_RELATIONSHIP"), "{told}");
    assert_eq!(run(at, &["import", "rows.txt", "--touch"]).0, 0);

    assert_eq!(
        run(at, &["check", "doc:d0", "view", "user:u70"]),
        (0, "allowed\n".to_owned(), String::new())
    );
    assert_eq!(run(at, &["check", "doc:d1", "view", "user:u70"]).0, 1);
    let (code, told, _) = run(at, &["check", "doc:d1", "view", "user:u70", "--json"]);
    assert_eq!(code, 1);
    assert!(told.starts_with(r#"{"checked_at":"#), "{told}");
    let (code, told, _) = run(at, &["explain", "doc:d1", "view", "user:u70"]);
    assert_eq!(code, 1);
    assert!(told.contains("no relationship with user:u70"), "{told}");
    assert_eq!(
        run(
            at,
            &["check", "doc:d1", "view", "user:u70", "--token", "wrong"]
        )
        .0,
        4
    );

    assert_eq!(run(at, &["export", "all.csv.gz"]).0, 0);
    assert_eq!(
        run(at, &["export", "all.txt", "--checkpoint", "exported"]).0,
        0
    );
    let (code, told, _) = run(at, &["backup", "copy.db", "--store", "sqlite:one.db"]);
    assert_eq!(code, 0, "{told}");
    assert_eq!(
        run(at, &["backup", "copy.db", "--store", "sqlite:one.db"]).0,
        4
    );
    drop(served);

    // The copy holds the same; so does a fresh store that the export is read into.
    let served = serve(at, "sqlite:copy.db");
    assert_eq!(run(at, &["export", "copied.txt"]).0, 0);
    drop(served);
    let served = serve(at, "memory:");
    assert_eq!(run(at, &["schema", "write", "schema.zed"]).0, 0);
    assert_eq!(run(at, &["import", "all.csv.gz"]).0, 0);
    assert_eq!(run(at, &["export", "again.txt"]).0, 0);
    drop(served);
    let read = |name: &str| std::fs::read_to_string(at.join(name)).unwrap();
    assert_eq!(read("all.txt").lines().count(), 3_000);
    assert_eq!(read("copied.txt"), read("all.txt"));
    assert_eq!(read("again.txt"), read("all.txt"));
}

#[test]
fn what_needs_no_server_runs_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    files(at);
    let good = "schemaFile: schema.zed\nrelationships: |-\n  doc:a#viewer@user:ann\nassertions:\n  assertTrue: [\"doc:a#view@user:ann\"]\n";
    std::fs::write(at.join("good.yaml"), good).unwrap();
    std::fs::write(
        at.join("bad.yaml"),
        good.replace("view@user:ann", "view@user:bob"),
    )
    .unwrap();
    assert_eq!(run(at, &["validate", "good.yaml"]).0, 0);
    let (code, told, _) = run(at, &["validate", "good.yaml", "bad.yaml"]);
    assert_eq!(code, 1);
    assert!(
        told.contains("doc:a#view@user:bob: expected allowed, got denied"),
        "{told}"
    );
    assert_eq!(run(at, &["schema", "format", "schema.zed", "--check"]).0, 1);
    assert_eq!(run(at, &["schema", "format", "schema.zed", "--write"]).0, 0);
    assert_eq!(run(at, &["schema", "format", "schema.zed", "--check"]).0, 0);
    std::fs::write(
        at.join("new.zed"),
        SCHEMA.replace("view = viewer", "view = nil"),
    )
    .unwrap();
    let (code, told, _) = run(at, &["schema", "diff", "schema.zed", "new.zed"]);
    assert_eq!(
        (code, told.as_str()),
        (1, "~ permission doc#view: viewer  =>  nil\n")
    );
    assert!(run(at, &["completions", "bash"]).1.contains("_remit"));
}

#[test]
fn what_is_wrong_is_refused_before_anything_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("garbage.db"), "garbage").unwrap();
    for (arguments, expected) in [
        (
            &["serve", "--store", "sqlite:garbage.db"][..],
            "is not a SQLite database",
        ),
        (&["serve", "--store", "postgres://x"], "is no store"),
        (
            &["serve", "--grpc-addr", "0.0.0.0:0", "--insecure-no-auth"],
            "loopback addresses alone",
        ),
        (
            &[
                "serve",
                "--store",
                "memory:",
                "--grpc-addr",
                "0.0.0.0:0",
                "--preshared-key",
                "k",
            ],
            "--allow-plaintext",
        ),
        (
            &[
                "serve",
                "--store",
                "memory:",
                "--http-addr",
                "0.0.0.0:0",
                "--preshared-key",
                "k",
            ],
            "0.0.0.0:0 can be reached by others",
        ),
        (&["check", "doc:a", "view", "user:a"], "--insecure"),
        (
            &["schema", "validate", "nosuch.zed"],
            "cannot read `nosuch.zed`",
        ),
    ] {
        let (code, _, told) = run(at, arguments);
        assert_eq!(code, 4, "{arguments:?}");
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
    assert_eq!(run(at, &["check", "doc", "view", "user:a"]).0, 2);
    std::fs::write(at.join("remit.toml"), "bogus = 1\n").unwrap();
    let (code, _, told) = run(at, &["completions", "bash"]);
    assert_eq!(code, 4);
    assert!(
        told.contains("`bogus`, which is no flag of any command"),
        "{told}"
    );
}
