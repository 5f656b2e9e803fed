//! A node among others of a later version: it never skips what it does not know.

#![expect(
    clippy::disallowed_methods,
    reason = "what other processes do can only be asked for, again and again"
)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::postgres::Server;

use crate::{REMIT, SCHEMA, Served, run, serve};

/// Commits an entry of a form that there is not, with one relationship, as a node of a later version would.
const NEWER_ENTRY: &str = "
BEGIN;
INSERT INTO remit.log_entry
  SELECT revision + 1, time, sha256(hash), hash, housekeeping, false, 'later', reason, metadata, NULL, NULL, 0, true, '\\x09', batch
  FROM remit.log_entry ORDER BY revision DESC LIMIT 1;
INSERT INTO remit.relationship VALUES ((SELECT revision + 1 FROM remit.head), NULL, 'doc', 'b', 'viewer', 'user', 'ann', '');
UPDATE remit.head SET revision = revision + 1, audit_size = audit_size + 1, hash = sha256(hash);
COMMIT;";

/// How long a node may take to find it.
const FOUND_MAX: Duration = Duration::from_secs(10);

#[test]
fn a_node_stops_at_an_entry_of_a_later_form_and_says_so() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(&["fsync=off"]);
    let url = server.database();
    assert_eq!(run(one.path(), &["store", "migrate", "--store", &url]).0, 0);
    let _nodes: [Served; 2] = [&one, &other].map(|folder| serve(folder.path(), &url));
    std::fs::write(one.path().join("schema.zed"), SCHEMA).unwrap();
    assert_eq!(run(one.path(), &["schema", "write", "schema.zed"]).0, 0);
    let row = "doc:a#viewer@user:ann";
    let written = run(one.path(), &["relationship", "write", row]);
    assert_eq!(written.0, 0, "{}", written.2);
    let head = ["--consistency", "fully-consistent"];
    for folder in [&one, &other] {
        assert_eq!(check(folder.path(), "doc:a", &head).0, 0);
    }

    server.query(&url, NEWER_ENTRY);
    for folder in [&one, &other] {
        let folder = folder.path();
        let begun = Instant::now();
        while run(folder, &["node", "health"]).0 == 0 {
            assert!(begun.elapsed() < FOUND_MAX, "the node is ready still");
            std::thread::sleep(Duration::from_millis(20));
        }
        // Neither from what it has nor from what it does not know; and it writes nothing on top of that.
        for freshness in [&[][..], &head] {
            let (code, told) = check(folder, "doc:a", freshness);
            assert_eq!(code, 4, "{told}");
            assert!(told.contains("format 9"), "{told}");
        }
        let (code, _, told) = run(folder, &["relationship", "write", "doc:c#viewer@user:ann"]);
        assert_eq!(code, 4, "{told}");
        assert!(told.contains("stopped following"), "{told}");
    }
    // Nor does one come up on it: to load the head would be to skip how it came to be.
    let serve = ["serve", "--store", &url, "--insecure-no-auth"];
    let nowhere = ["--grpc-addr", "127.0.0.1:0", "--http-addr", "none"];
    let seconds = ["10", REMIT];
    let started = Command::new("timeout")
        .args(seconds)
        .args(serve)
        .args(nowhere)
        .args(["--metrics-addr", "none"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&started.stderr);
    assert!(told.contains("format 9"), "{told}");
    assert!(!told.contains("remit is ready"), "{told}");
}

fn check(folder: &Path, doc: &str, freshness: &[&str]) -> (i32, String) {
    let asked = ["check", doc, "view", "user:ann"];
    let (code, _, told) = run(folder, &[&asked[..], freshness].concat());
    (code, told)
}
