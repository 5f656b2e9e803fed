//! The audit log as auditors and operators meet it: searched, exported, verified, proven, signed with keys that are rotated, erased from.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{SCHEMA, Served, run, serve_with};

const WAIT_MAX: Duration = Duration::from_secs(60);

/// A server that signs with the keys of `audit.key`.
fn begin(at: &Path) -> Served {
    let store = format!("sqlite:{}", at.join("remit.db").display());
    let options = [
        "--preshared-key",
        "test:open-sesame",
        "--audit-key-file",
        "audit.key",
        "--audit-checkpoint-seconds",
        "1",
    ];
    serve_with(at, &store, "127.0.0.1:0", &options)
}

fn done(at: &Path, arguments: &[&str]) -> String {
    let (code, told, why) = run(at, arguments);
    assert_eq!(code, 0, "{arguments:?}: {told}{why}");
    told
}

fn json(at: &Path, arguments: &[&str]) -> Value {
    let told = done(at, &[arguments, &["--json"]].concat());
    serde_json::from_str(told.lines().next().unwrap()).unwrap()
}

/// Waits until all that was committed is signed, and gives how much that is.
fn signed(at: &Path) -> u64 {
    let begun = Instant::now();
    loop {
        let verify = ["audit", "verify", "--key", "audit.pub", "--json"];
        let (code, told, why) = run(at, &verify);
        assert!(code < 2, "{told}{why}");
        let told: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
        // Before the first signature the keys vouch for nothing, which is told.
        assert_eq!(told["is_whole"], told["signed_checkpoints"] != 0, "{told}");
        if told["signed_size"] == told["size"] {
            return told["size"].as_u64().unwrap();
        }
        assert!(begun.elapsed() < WAIT_MAX, "{told}");
    }
}

fn write(at: &Path, row: &str) {
    done(at, &["relationship", "write", row]);
}

/// A folder with a key, a server, and something done.
fn filled(at: &Path) -> Served {
    let key = done(at, &["audit", "key", "audit.example.com"]);
    fs::write(at.join("audit.key"), key).unwrap();
    let public = done(at, &["audit", "key", "--public", "audit.key"]);
    assert!(public.starts_with("audit.example.com+"), "{public}");
    fs::write(at.join("audit.pub"), public).unwrap();
    fs::write(at.join("schema.zed"), SCHEMA).unwrap();
    let served = begin(at);
    done(at, &["schema", "write", "schema.zed"]);
    write(at, "doc:a#viewer@user:ann");
    write(at, "doc:b#viewer@user:bob");
    done(
        at,
        &["access", "lock", "user:eve", "--reason", "lost a laptop"],
    );
    served
}

#[test]
fn what_was_done_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _served = filled(at);
    let found = json(at, &["audit", "search", "--object", "user:bob"]);
    assert_eq!(
        (&found["index"], &found["kind"]),
        (&2.into(), &"relationships".into())
    );
    let parts = found["parts"].as_array().unwrap();
    let of = |kind: &str| {
        let part = parts.iter().find(|part| part["kind"] == kind).unwrap();
        part["after"].as_str().unwrap().to_owned()
    };
    assert_eq!(of("actor"), "test");
    assert_eq!(of("relationship"), "doc:b#viewer@user:bob");
    let origin = of("origin");
    assert!(
        origin.starts_with("127.0.0.1:") && origin.ends_with(" by preshared key test"),
        "{origin}"
    );
    for (filter, entries) in [
        (["--kind", "schema"], 1),
        (["--kind", "administration"], 1),
        (["--relation", "viewer"], 2),
        (["--actor", "nobody"], 0),
        (["--first-revision", "2"], 3),
        (["--until", "2020-01-01T00:00:00Z"], 0),
        (["--limit", "2"], 2),
    ] {
        let told = done(at, &["audit", "search", "--json", filter[0], filter[1]]);
        assert_eq!(told.lines().count(), entries, "{filter:?}: {told}");
    }
    let table = done(at, &["audit", "search"]);
    assert!(
        table.contains("lost a laptop") && table.contains("user:eve"),
        "{table}"
    );
    assert_eq!(run(at, &["audit", "search", "--kind", "other"]).0, 4);
}

#[test]
fn what_was_done_is_exported_verified_and_proven() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _served = filled(at);
    assert_eq!(signed(at), 4);
    done(at, &["audit", "export", "audit.jsonl"]);
    let verify = ["audit", "verify", "audit.jsonl", "--key", "audit.pub"];
    let told = done(at, &verify);
    assert!(
        told.starts_with("whole: 4 entries, revisions 1 to 4"),
        "{told}"
    );
    let store = format!("sqlite:{}", at.join("remit.db").display());
    done(
        at,
        &["audit", "verify", "--store", &store, "--key", "audit.pub"],
    );
    let exported = fs::read_to_string(at.join("audit.jsonl")).unwrap();
    fs::write(
        at.join("other.jsonl"),
        exported.replace("user:bob", "user:eve"),
    )
    .unwrap();
    let (code, told, _) = run(
        at,
        &["audit", "verify", "other.jsonl", "--key", "audit.pub"],
    );
    assert_eq!(code, 1, "{told}");
    assert!(
        told.contains("entry 2: what it says is not what its leaf was made of"),
        "{told}"
    );

    let proof = done(at, &["audit", "prove", "--revision", "3"]);
    assert_eq!(proof, done(at, &["audit", "prove", "2"]));
    fs::write(at.join("entry.proof"), proof).unwrap();
    let check = [
        "audit",
        "prove",
        "--check",
        "entry.proof",
        "--key",
        "audit.pub",
    ];
    let told = done(at, &check);
    assert!(
        told.contains("proven: entry 2") && told.contains("user:bob"),
        "{told}"
    );
    let key = done(at, &["audit", "key", "audit.example.com"]);
    fs::write(at.join("other.key"), key).unwrap();
    let (code, told, _) = run(
        at,
        &[
            "audit",
            "prove",
            "--check",
            "entry.proof",
            "--key",
            "other.key",
        ],
    );
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("none of the given keys"), "{told}");
}

#[test]
fn a_key_is_rotated_while_the_server_serves_and_an_older_backup_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let served = filled(at);
    signed(at);
    let store = at.join("remit.db").display().to_string();
    done(
        at,
        &["backup", "backup.db", "--store", &format!("sqlite:{store}")],
    );
    let old = fs::read_to_string(at.join("audit.key")).unwrap();
    let new = done(at, &["audit", "key", "audit.example.com"]);
    fs::write(at.join("audit.key"), format!("{new}{old}")).unwrap();
    let public = done(at, &["audit", "key", "--public", "audit.key"]);
    assert_eq!(public.lines().count(), 2);
    fs::write(at.join("audit.pub"), &public).unwrap();
    let process = served.0.id().to_string();
    let sent = Command::new("kill").args(["-HUP", &process]).status();
    assert!(sent.unwrap().success());
    // Until the new one has signed, something is there to sign.
    fs::write(at.join("new.pub"), public.lines().next().unwrap()).unwrap();
    let begun = Instant::now();
    for number in 0.. {
        write(at, &format!("doc:c{number}#viewer@user:ann"));
        signed(at);
        let (_, told, _) = run(at, &["audit", "verify", "--key", "new.pub", "--json"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        // The checkpoints of the old key are told, since nobody vouches for them.
        assert_eq!(told["is_whole"], false);
        if told["signed_checkpoints"].as_u64().unwrap() > 0 {
            break;
        }
        assert!(begun.elapsed() < WAIT_MAX);
    }
    let size = signed(at);
    done(at, &["audit", "export", "audit.jsonl"]);
    let proof = done(at, &["audit", "prove", "0"]);
    fs::write(at.join("kept"), proof).unwrap();
    drop(served);

    let (code, told, _) = run(
        at,
        &[
            "audit",
            "verify",
            "--store",
            "sqlite:backup.db",
            "--key",
            "audit.pub",
            "--checkpoint",
            "kept",
        ],
    );
    assert_eq!(code, 1, "{told}");
    assert!(
        told.contains(&format!("it is of {size} entries, and the log has 4")),
        "{told}"
    );
    done(
        at,
        &[
            "audit",
            "verify",
            "--store",
            "sqlite:backup.db",
            "--key",
            "audit.pub",
        ],
    );
}

#[test]
fn somebody_is_erased_and_the_log_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _served = filled(at);
    signed(at);
    let erase = [
        "audit",
        "erase",
        "--subject",
        "user:bob",
        "--reason",
        "TICKET-7",
    ];
    let told = done(at, &erase);
    assert!(
        told.starts_with("1 parts of 1 entries name `user:bob`"),
        "{told}"
    );
    assert!(
        told.contains("delete first: `doc:b#viewer@user:bob`"),
        "{told}"
    );
    let yes = [&erase[..], &["--yes"]].concat();
    let (code, _, why) = run(at, &yes);
    assert_eq!(code, 4);
    assert!(why.contains("delete that first"), "{why}");
    done(at, &["relationship", "delete", "doc:b#viewer@user:bob"]);
    let told = done(at, &yes);
    assert_eq!(told, "erased 2 parts of 2 entries\n");
    assert_eq!(
        done(at, &["audit", "search", "--object", "user:bob", "--json"]),
        ""
    );
    let told = json(at, &["audit", "search", "--kind", "erasure"]);
    assert!(told.to_string().contains("TICKET-7"), "{told}");
    signed(at);
    done(at, &["audit", "export", "audit.jsonl"]);
    let exported = fs::read_to_string(at.join("audit.jsonl")).unwrap();
    assert!(!exported.contains("user:bob") && exported.contains("user:ann"));
    let told = done(
        at,
        &["audit", "verify", "audit.jsonl", "--key", "audit.pub"],
    );
    assert!(told.contains("2 parts were erased"), "{told}");
    let named = [
        "audit",
        "erase",
        "--subject",
        "user:ann",
        "--reason",
        "user:ann asked",
    ];
    let (code, _, why) = run(at, &named);
    assert_eq!(code, 4);
    assert!(why.contains("may not name"), "{why}");
}
