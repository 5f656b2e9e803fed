//! Disasters, as an operator meets them by the page for operators: what is lost, and how long it takes until callers are
//! answered again, is printed.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::postgres::Server;

use crate::{SCHEMA, Served, run, serve};

/// Commits before a backup or a point to go back to, and after it.
const KEPT: usize = 40;
const LOST: usize = 7;

/// A server in `folder` on a new store, with a schema.
fn begin(folder: &Path, url: &str) -> Served {
    let (code, _, told) = run(folder, &["store", "migrate", "--store", url]);
    assert_eq!(code, 0, "{told}");
    let served = serve(folder, url);
    std::fs::write(folder.join("schema.zed"), SCHEMA).unwrap();
    assert_eq!(run(folder, &["schema", "write", "schema.zed"]).0, 0);
    served
}

/// Commits one relationship each, and gives the token of the last.
fn commit(folder: &Path, name: &str, count: usize) -> String {
    let mut token = String::new();
    for number in 0..count {
        let row = format!("doc:{name}{number}#viewer@user:ann");
        let written = run(folder, &["relationship", "write", &row, "--json"]);
        assert_eq!(written.0, 0, "{}", written.2);
        token = part(&written.1, "written_at").as_str().unwrap().to_owned();
    }
    token
}

/// How a check is answered that has to be as fresh as `token`: the exit code, and what was told.
fn check(folder: &Path, doc: &str, token: &str) -> (i32, String) {
    let consistency = format!("at-least:{token}");
    let doc = format!("doc:{doc}");
    let asked = [
        "check",
        &doc,
        "view",
        "user:ann",
        "--consistency",
        &consistency,
    ];
    let (code, _, told) = run(folder, &asked);
    (code, told)
}

fn status(folder: &Path, url: &str) -> Value {
    let (code, told, why) = run(folder, &["store", "status", "--store", url, "--json"]);
    assert_eq!(code, 0, "{why}");
    serde_json::from_str(&told).unwrap()
}

fn digest(folder: &Path, of: &[&str]) -> Value {
    let (code, told, why) = run(folder, &[of, &["--json"]].concat());
    assert_eq!(code, 0, "{why}");
    part(&told, "digest")
}

/// A field of what was told in JSON.
fn part(told: &str, name: &str) -> Value {
    let told: Value = serde_json::from_str(told).unwrap();
    told.get(name).unwrap().clone()
}

fn say(what: &str, lost: usize, took: Duration) {
    eprintln!(
        "{what}: {lost} of {} commits lost, answered again after {:.1} s",
        KEPT + LOST,
        took.as_secs_f64()
    );
}

/// Somebody deletes what was needed. The database goes back to the moment before, from a base backup and the archive of its log;
/// it is the same history, so what callers hold of it stays good.
#[test]
fn a_database_goes_back_to_a_point_before_an_accident() {
    let (folder, archive) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = folder.path();
    let mut server = Server::start_with_archive(archive.path(), &["synchronous_commit=on"]);
    let url = server.database();
    let served = begin(at, &url);
    let mut recovered = server.base_backup();
    let kept = commit(at, "kept", KEPT);
    let before = digest(at, &["node", "digest", "--consistency", "fully-consistent"]);
    let point = "SELECT pg_create_restore_point('before')";
    server.query(&url, point);
    let lost = commit(at, "lost", LOST - 1);
    let accident = ["relationship", "delete", "--resource-type", "doc"];
    assert_eq!(run(at, &accident).0, 0);
    assert_eq!(check(at, "kept0", &lost).0, 1);
    server.query(&url, "SELECT pg_switch_wal()");
    server.stop("fast");
    drop(served);

    let begun = Instant::now();
    recovered.recover_to(archive.path(), "before");
    let url = recovered.url_of(&url);
    let told = status(at, &url);
    let _served = serve(at, &url);
    assert_eq!(check(at, "kept0", &kept).0, 0);
    say("a point in time", LOST, begun.elapsed());
    // The schema, and what was kept.
    assert_eq!(told["revision"], 1 + KEPT);
    assert_eq!(digest(at, &["store", "digest", "--store", &url]), before);
    assert_eq!(digest(at, &["node", "digest"]), before);
    // Nothing is taken for what was lost: not before there are others of its revisions, and not after.
    let (code, told) = check(at, "kept0", &lost);
    assert_eq!(code, 4);
    assert!(told.contains("beyond the head"), "{told}");
    let newer = commit(at, "newer", LOST);
    let (code, told) = check(at, "kept0", &lost);
    assert_eq!(code, 4);
    assert!(told.contains("invalid revision"), "{told}");
    assert_eq!(check(at, "newer0", &newer).0, 0);
}

/// The machine of the database is gone; what is left is last night's dump. It is given a history of its own, since the other one
/// went on after it.
#[test]
fn a_dump_becomes_a_store_with_a_history_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let server = Server::start(&["fsync=off"]);
    let url = server.database();
    let served = begin(at, &url);
    let kept = commit(at, "kept", KEPT);
    let before = digest(at, &["node", "digest", "--consistency", "fully-consistent"]);
    let dump = at.join("remit.dump");
    server.dump_to(&url, &dump);
    let lost = commit(at, "lost", LOST);
    let original = status(at, &url);
    drop(served);

    let begun = Instant::now();
    let restored = server.database();
    server.restore_from(&dump, &restored);
    assert_eq!(run(at, &["store", "migrate", "--store", &restored]).0, 0);
    let renewed = ["store", "renew-history", "--store", &restored, "--json"];
    let (code, told, why) = run(at, &renewed);
    assert_eq!(code, 0, "{why}");
    let told: Value = serde_json::from_str(&told).unwrap();
    let _served = serve(at, &restored);
    let own = commit(at, "newer", 1);
    assert_eq!(check(at, "kept0", &own).0, 0);
    say("a dump", LOST, begun.elapsed());
    assert_eq!(told["revision"], 1 + KEPT);
    assert_eq!(told["store_id"], original["store_id"]);
    assert_ne!(told["history_id"], original["history_id"]);
    assert_eq!(
        run(
            at,
            &["relationship", "delete", "doc:newer0#viewer@user:ann"]
        )
        .0,
        0
    );
    assert_eq!(
        digest(at, &["store", "digest", "--store", &restored]),
        before
    );
    // The original may still be read somewhere: neither takes the other's tokens for its own.
    for token in [kept, lost] {
        let (code, told) = check(at, "kept0", &token);
        assert_eq!(code, 4);
        assert!(told.contains("another history"), "{told}");
    }
    let (code, _, told) = run(at, &["store", "renew-history", "--store", "sqlite:x.db"]);
    assert_eq!(code, 4);
    assert!(told.contains("this is for `postgres://"), "{told}");
}
