//! `remit watch`: what it prints, and that it outlives its server.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::{REMIT, SCHEMA, Served, run, serve, serve_at};

const PATIENCE: Duration = Duration::from_secs(60);

/// A running `remit watch` and the lines that it prints.
struct Watching {
    child: Served,
    lines: Receiver<String>,
}

impl Watching {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child: Child = Command::new(REMIT)
            .arg("watch")
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in printed.lines() {
                // The test may have ended.
                if sender.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        Self {
            child: Served(child),
            lines,
        }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    /// A line as it is without its token, and the token.
    fn line_and_token(&self) -> (String, String) {
        let line = self.line();
        let (text, token) = line.split_once("  (").unwrap();
        (text.to_owned(), token.strip_suffix(')').unwrap().to_owned())
    }

    fn interrupt(mut self) -> Option<i32> {
        let pid = self.child.0.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        self.child.0.wait().unwrap().code()
    }
}

fn write(folder: &Path, row: &str) {
    assert_eq!(run(folder, &["relationship", "write", row]).0, 0, "{row}");
}

#[test]
fn changes_are_printed_from_any_token_and_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("schema.zed"), SCHEMA).unwrap();
    let _served = serve(at, "memory:");
    assert_eq!(run(at, &["schema", "write", "schema.zed"]).0, 0);
    write(at, "doc:1#viewer@user:tom");
    write(at, "doc:2#viewer@user:ann");
    assert_eq!(
        run(at, &["relationship", "delete", "doc:1#viewer@user:tom"]).0,
        0
    );

    let all = Watching::start(at, &["--from", "oldest", "--schema"]);
    let (line, token) = all.line_and_token();
    assert_eq!(line, "schema updated");
    for expected in [
        "+ doc:1#viewer@user:tom",
        "+ doc:2#viewer@user:ann",
        "- doc:1#viewer@user:tom",
    ] {
        assert_eq!(all.line_and_token().0, expected);
    }
    assert_eq!(all.interrupt(), Some(0));

    let one = Watching::start(at, &["--from", &token, "--filter", "doc:1", "--json"]);
    for operation in ["touch", "delete"] {
        let line = one.line();
        let expected =
            format!(r#"{{"operation":"{operation}","relationship":"doc:1#viewer@user:tom"}}"#);
        assert!(line.contains(&expected), "{line}");
        assert!(line.contains(r#""through":""#), "{line}");
    }
    assert_eq!(one.interrupt(), Some(0));

    let checkpoints = Watching::start(at, &["--checkpoints", "--object-type", "nosuch"]);
    assert_eq!(checkpoints.line_and_token().0, "checkpoint");
    assert_eq!(checkpoints.interrupt(), Some(0));

    assert_eq!(run(at, &["watch", "--from", "nonsense"]).0, 4);
    assert_eq!(run(at, &["watch", "--filter", "doc:"]).0, 2);
    assert_eq!(
        run(at, &["watch", "--filter", "doc", "--object-type", "doc"]).0,
        2
    );
}

#[test]
fn a_watch_goes_on_after_its_server_was_away() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("schema.zed"), SCHEMA).unwrap();
    let served = serve(at, "sqlite:one.db");
    assert_eq!(run(at, &["schema", "write", "schema.zed"]).0, 0);
    write(at, "doc:1#viewer@user:tom");
    let configuration = std::fs::read_to_string(at.join("remit.toml")).unwrap();
    let address = configuration.split('"').nth(1).unwrap().to_owned();

    let watching = Watching::start(at, &["--from", "oldest"]);
    assert_eq!(watching.line_and_token().0, "+ doc:1#viewer@user:tom");
    // Killed, then asked to stop.
    drop(served);
    let mut served = serve_at(at, "sqlite:one.db", &address);
    write(at, "doc:2#viewer@user:tom");
    assert_eq!(watching.line_and_token().0, "+ doc:2#viewer@user:tom");
    let pid = served.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert!(served.0.wait().unwrap().success());
    let _served = serve_at(at, "sqlite:one.db", &address);
    write(at, "doc:3#viewer@user:tom");
    assert_eq!(watching.line_and_token().0, "+ doc:3#viewer@user:tom");
    assert_eq!(watching.interrupt(), Some(0));
}
