//! The binary as its users run it: files in, text and exit codes out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
#[cfg(test)]
mod asking;
// The attribute tells the lints that everything below is test code, helpers included.
#[cfg(test)]
mod audit;
mod backup;
#[cfg(test)]
mod chaos;
mod configuration;
mod decisions;
mod doctor;
mod drills;
mod edge;
#[cfg(test)]
mod exposure;
#[cfg(test)]
mod faults;
mod identity;
mod keys;
mod kubernetes;
mod lookup;
#[cfg(test)]
mod nodes;
mod reload;
#[cfg(test)]
mod replica;
mod starting;
#[cfg(test)]
mod stopping;
mod tokens;
#[cfg(test)]
mod upgrade;
mod versions;
mod watch;

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
    serve_at(folder, store, "127.0.0.1:0")
}

fn serve_at(folder: &Path, store: &str, address: &str) -> Served {
    serve_with(
        folder,
        store,
        address,
        &["--preshared-key", "test:open-sesame"],
    )
}

fn serve_with(folder: &Path, store: &str, address: &str, keys: &[&str]) -> Served {
    serve_by(Command::new(REMIT), folder, store, address, keys)
}

/// Starts a server by a command that says in which surroundings.
fn serve_by(
    mut command: Command,
    folder: &Path,
    store: &str,
    address: &str,
    keys: &[&str],
) -> Served {
    let mut child = command
        .args(["serve", "--grpc-addr", address, "--store", store])
        .args(["--http-addr", address, "--metrics-addr", "127.0.0.1:0"])
        .args(keys)
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

/// Five commits.
const IMPORT: [&str; 6] = [
    "import",
    "rows.txt",
    "--batch",
    "700",
    "--checkpoint",
    "done",
];

fn files(folder: &Path) -> PathBuf {
    std::fs::write(folder.join("schema.zed"), SCHEMA).unwrap();
    let rows: String = (0..3_000)
        .map(|n| format!("doc:d{}#viewer@user:u{n}\n", n % 70))
        .collect();
    let path = folder.join("rows.txt");
    std::fs::write(&path, rows).unwrap();
    path
}

/// The batch after the one that fails has been sent already, and is not stored.
#[test]
fn an_import_stops_where_it_fails_and_goes_on_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    files(at);
    let _served = serve(at, "memory:");
    assert_eq!(run(at, &["schema", "write", "schema.zed"]).0, 0);
    // In the order of an import it is in the third of five batches.
    let there = "doc:d50#viewer@user:u50";
    assert_eq!(run(at, &["relationship", "write", there]).0, 0);
    assert_eq!(run(at, &IMPORT).0, 4);
    let stored = || {
        let told = run(
            at,
            &["relationship", "read", "--resource-type", "doc", "--json"],
        )
        .1;
        told.lines().count()
    };
    assert_eq!(stored(), 1_400 + 1);
    assert_eq!(run(at, &["relationship", "delete", there]).0, 0);
    assert_eq!(run(at, &IMPORT).1, "imported 3000 relationships\n");
    assert_eq!(stored(), 3_000);
}

#[test]
fn a_store_is_filled_asked_copied_and_filled_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    files(at);
    let served = serve(at, "sqlite:one.db");
    assert_eq!(run(at, &["schema", "write", "schema.zed"]).0, 0);
    let (code, told, _) = run(at, &IMPORT);
    assert_eq!((code, told.as_str()), (0, "imported 3000 relationships\n"));
    // All of it is done, says the checkpoint; without it the rows are there already.
    assert_eq!(run(at, &IMPORT).1, "imported 3000 relationships\n");
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
    let explained = run(at, &["check", "doc:d0", "view", "user:u70", "--explain"]);
    let told = "allowed\n✓ doc:d0#view\n└─ ✓ doc:d0#viewer\n   └─ ✓ doc:d0#viewer@user:u70\n";
    assert_eq!(explained, (0, told.to_owned(), String::new()));
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
fn a_schema_is_looked_into() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    files(at);
    let _served = serve(at, "memory:");
    let commented = SCHEMA.replace("definition doc", "// a page\ndefinition doc");
    std::fs::write(at.join("schema.zed"), &commented).unwrap();
    assert_eq!(run(at, &["schema", "write", "schema.zed"]).0, 0);
    let shown = "// a page\ndefinition doc\n  relation viewer: user\n  permission view\n";
    let show = ["schema", "show", "--definition", "do"];
    assert_eq!(run(at, &show).1, shown);
    let (_, told, _) = run(at, &["schema", "reflect", "--json"]);
    assert!(
        told.contains(r#""relations":[{"comment":"","name":"viewer","types":["user"]}]"#),
        "{told}"
    );
    assert_eq!(
        run(at, &["schema", "used-by", "doc#viewer"]).1,
        "permission doc#view\n"
    );
    assert_eq!(
        run(at, &["schema", "used-by", "user"]).1,
        "permission doc#view\nrelation doc#viewer\n"
    );
    assert_eq!(
        run(at, &["schema", "rests-on", "doc#view"]).1,
        "relation doc#viewer\n"
    );
    let (code, _, told) = run(at, &["schema", "dependent", "doc#viewer"]);
    assert_eq!(code, 4);
    assert!(
        told.contains("the relation `viewer` is not a permission"),
        "{told}"
    );
}

#[test]
fn a_change_of_the_schema_is_planned() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    files(at);
    let _served = serve(at, "memory:");
    let dry_run = |file: &str| run(at, &["schema", "write", file, "--dry-run"]);
    let (code, told, _) = dry_run("schema.zed");
    assert_eq!(
        (code, told.as_str()),
        (0, "+ definition doc\n+ definition user\n")
    );
    assert_eq!(run(at, &["schema", "read"]).0, 4, "nothing is written yet");
    assert_eq!(run(at, &["schema", "write", "schema.zed"]).0, 0);
    assert_eq!(
        dry_run("schema.zed"),
        (0, "nothing would change\n".to_owned(), String::new())
    );
    assert_eq!(
        run(at, &["schema", "diff", "schema.zed"]),
        (0, String::new(), String::new())
    );
    assert_eq!(run(at, &["import", "rows.txt"]).0, 0);

    std::fs::write(
        at.join("new.zed"),
        "definition user {}\ndefinition doc {\n\tpermission view = nil\n}\n",
    )
    .unwrap();
    let (code, told, _) = dry_run("new.zed");
    assert_eq!(code, 1);
    let forbidden = "! cannot delete relation `viewer` in object definition `doc`, as at least one relationship exists under it: \
                     doc:d0#viewer@user:u0 (3000 relationships)\n";
    assert_eq!(
        told,
        format!("~ permission doc#view: viewer  =>  nil\n- relation doc#viewer\n{forbidden}")
    );
    assert_eq!(
        run(at, &["schema", "diff", "new.zed"]),
        (1, told, String::new())
    );
    let (code, _, refused) = run(at, &["schema", "write", "new.zed"]);
    assert_eq!(code, 4);
    assert!(
        refused.contains("exists under it: doc:d0#viewer@user:u0"),
        "{refused}"
    );

    std::fs::write(
        at.join("bad.zed"),
        "definition doc {\n\trelation aaa: nobody\n\tpermission bbb = ccc\n}\n",
    )
    .unwrap();
    let (code, told, _) = dry_run("bad.zed");
    assert_eq!(code, 1);
    let (validated, alike, _) = run(at, &["schema", "validate", "bad.zed", "schema.zed"]);
    assert_eq!(validated, 1);
    for text in [told, alike.clone()] {
        assert!(
            text.contains("object definition `nobody` not found"),
            "{text}"
        );
        assert!(
            text.contains("relation/permission `ccc` not found"),
            "{text}"
        );
    }
    assert!(
        alike.contains("bad.zed:2:16") && alike.ends_with("schema.zed: 2 definitions, 0 caveats\n"),
        "{alike}"
    );
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
        (&["serve", "--store", "mysql://x"], "is no store"),
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
    assert_eq!(code, 2);
    assert!(
        told.contains("`remit.toml`, line 1: `bogus` is no flag of any command"),
        "{told}"
    );
}

#[test]
fn a_permission_is_expanded_for_people_and_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _served = serve(at, "memory:");
    let schema = "definition user {}\ndefinition group {\n\trelation member: user\n}\ndefinition doc {\n\trelation viewer: \
                  group#member | user\n\trelation banned: user\n\trelation parent: doc\n\tpermission view = (viewer + \
                  parent->view) - banned\n}\n";
    std::fs::write(at.join("schema.zed"), schema).unwrap();
    assert_eq!(run(at, &["schema", "write", "schema.zed"]).0, 0);
    let rows = [
        "doc:a#viewer@user:zoe",
        "doc:a#viewer@user:ann",
        "doc:a#viewer@group:eng#member",
    ];
    assert_eq!(
        run(at, &[&["relationship", "write"], &rows[..]].concat()).0,
        0
    );
    let told = "doc:a#view: the first without the second of\n\
                ├─ doc:a#view: any of\n\
                │  ├─ doc:a#viewer\n\
                │  │  ├─ user:ann\n\
                │  │  ├─ user:zoe\n\
                │  │  └─ group:eng#member\n\
                │  └─ doc:a#view: nobody\n\
                └─ doc:a#banned: nobody\n";
    let expanded = run(
        at,
        &["expand", "doc:a#view", "--consistency", "fully-consistent"],
    );
    assert_eq!(expanded, (0, told.to_owned(), String::new()));
    let (code, told, _) = run(at, &["expand", "doc:a#viewer", "--json"]);
    assert_eq!(code, 0);
    let root =
        r#""root":{"of":"doc:a#viewer","subjects":["user:ann","user:zoe","group:eng#member"]}"#;
    assert!(told.contains(root), "{told}");
    let (code, _, told) = run(at, &["expand", "doc:a#nothing"]);
    assert_eq!(code, 4);
    assert!(told.contains("UNKNOWN_RELATION_OR_PERMISSION"), "{told}");
    let (code, _, told) = run(at, &["expand", "doc:a"]);
    assert_eq!(code, 2);
    assert!(told.contains("RESOURCE#PERMISSION"), "{told}");
}
