//! Copies of stores: what they hold, who can read them, what is told of those that are wrong, and what comes back of them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testkit::postgres::Server;

use crate::{REMIT, SCHEMA, run, serve};

/// A store with some relationships, which a server has open.
fn filled(at: &Path, store: &str) -> crate::Served {
    fs::write(at.join("schema.zed"), SCHEMA).unwrap();
    let served = serve(at, store);
    assert_eq!(run(at, &["schema", "write", "schema.zed"]).0, 0);
    for rows in [
        ["doc:a#viewer@user:ann", "doc:b#viewer@user:bob"],
        ["doc:c#viewer@user:cid", "doc:d#viewer@user:dan"],
    ] {
        let written = run(at, &[&["relationship", "write"][..], &rows].concat());
        assert_eq!(written.0, 0, "{}", written.2);
    }
    served
}

fn done(at: &Path, arguments: &[&str]) -> String {
    let (code, told, failed) = run(at, arguments);
    assert_eq!(code, 0, "{arguments:?}: {failed}");
    told
}

/// What a command fails with, which leaves nothing behind.
fn refused(at: &Path, arguments: &[&str]) -> String {
    let before = names(at);
    let (code, _, failed) = run(at, arguments);
    assert_eq!(code, 4, "{arguments:?}: {failed}");
    assert_eq!(names(at), before, "{arguments:?}");
    failed
}

fn names(at: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(at)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        // Those of a server beside, which come and go with its work.
        .filter(|name| !name.starts_with("one.db"))
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Changes the last byte of the first place at which a file has `text`.
fn change(path: &Path, text: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.windows(text.len()).position(|part| part == text);
    let last = at.unwrap() + text.len() - 1;
    *bytes.get_mut(last).unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_copy_is_read_again_and_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _served = filled(at, "sqlite:one.db");
    let told = done(at, &["backup", "copy.db", "--store", "sqlite:one.db"]);
    assert!(
        told.contains("verified: 4 relationships at revision "),
        "{told}"
    );
    assert_eq!(mode(&at.join("copy.db")), 0o600);
    let told = done(
        at,
        &[
            "backup",
            "quick.db",
            "--no-verify",
            "--store",
            "sqlite:one.db",
        ],
    );
    assert!(told.ends_with("not verified\n"), "{told}");
    let digest = done(
        at,
        &["store", "digest", "--json", "--store", "sqlite:one.db"],
    );
    let verified = done(at, &["backup", "verify", "copy.db", "--json"]);
    let part = |text: &str| {
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        (
            json.get("digest").cloned().unwrap(),
            json.get("revision").cloned().unwrap(),
        )
    };
    assert_eq!(part(&digest), part(&verified));
    let told = refused(at, &["backup", "copy.db", "--store", "sqlite:one.db"]);
    assert!(told.contains("overwrites nothing"), "{told}");

    // Nowhere near the end of the log, which is verified whenever a store is opened.
    change(&at.join("copy.db"), b"relation viewer");
    let told = refused(at, &["backup", "verify", "copy.db"]);
    assert!(told.contains("cannot be relied on"), "{told}");
    let told = refused(at, &["restore", "copy.db", "--store", "sqlite:new.db"]);
    assert!(told.contains("nothing was written"), "{told}");
}

/// The log that SQLite kept of a store that was moved away by its first name alone.
#[test]
fn nothing_is_restored_beside_what_is_left_of_another_store() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let served = filled(at, "sqlite:one.db");
    done(at, &["backup", "copy.db", "--store", "sqlite:one.db"]);
    let later = ["relationship", "write", "doc:e#viewer@user:eve"];
    done(at, &later);
    fs::copy(at.join("one.db-wal"), at.join("new.db-wal")).unwrap();
    drop(served);
    let restore = ["restore", "copy.db", "--store", "sqlite:new.db"];
    let told = refused(at, &restore);
    assert!(told.contains("`new.db-wal`"), "{told}");
    fs::remove_file(at.join("new.db-wal")).unwrap();
    done(at, &restore);
    let _served = serve(at, "sqlite:new.db");
    assert_eq!(run(at, &["check", "doc:d", "view", "user:dan"]).0, 0);
    assert_eq!(run(at, &["check", "doc:e", "view", "user:eve"]).0, 1);
}

/// What is decrypted comes from a pipe, which stops in the middle.
#[test]
fn an_interruption_leaves_nothing_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let served = filled(at, "sqlite:one.db");
    // More than is encrypted together.
    crate::files(at);
    done(at, &["import", "rows.txt"]);
    drop(served);
    let recipient = done(at, &["backup", "key", "own.key"]);
    fs::write(at.join("own.recipients"), recipient).unwrap();
    let store = ["--store", "sqlite:one.db", "--encrypt-to", "own.recipients"];
    done(at, &[&["backup", "copy.age"][..], &store].concat());
    let sealed = fs::read(at.join("copy.age")).unwrap();
    let before = names(at);
    for signal in ["-TERM", "-INT"] {
        for command in [
            &["backup", "verify", "pipe"][..],
            &["restore", "pipe", "--store", "sqlite:new.db"],
        ] {
            let pipe = at.join("pipe");
            let made = Command::new("mkfifo").arg(&pipe).status();
            assert!(made.unwrap().success());
            // Kept open at both ends, so that nobody waits for the other to open it.
            let mut fed = fs::OpenOptions::new();
            let fed = fed.read(true).write(true).open(&pipe).unwrap();
            let mut child = Command::new(REMIT)
                .args(command)
                .args(["--identity-file", "own.key"])
                .current_dir(at)
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            // It looks at the beginning first, whether it is encrypted, and then at the whole.
            let (begin, mut rest) = (b"age-encryption.org/v1", sealed.clone());
            rest.truncate(sealed.len() - 17);
            let mut feeding = fed.try_clone().unwrap();
            std::thread::spawn(move || {
                feeding.write_all(begin).unwrap();
                feeding.write_all(&rest).unwrap();
            });
            let opened = if command[0] == "restore" {
                at.join("new.db.opened")
            } else {
                at.join("pipe.opened")
            };
            let begun = Instant::now();
            while !fs::metadata(&opened).is_ok_and(|it| it.len() > 0) {
                assert!(begun.elapsed() < Duration::from_secs(60), "{command:?}");
                std::thread::yield_now();
            }
            let process = child.id().to_string();
            let sent = Command::new("kill").args([signal, &process]).status();
            assert!(sent.unwrap().success());
            let mut told = String::new();
            let mut said = child.stderr.take().unwrap();
            said.read_to_string(&mut told).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(4), "{told}");
            assert!(told.contains("interrupted"), "{told}");
            drop(fed);
            fs::remove_file(pipe).unwrap();
            assert_eq!(names(at), before, "{command:?}");
        }
    }
}

/// The database stands still while it is copied.
#[test]
fn an_interrupted_backup_leaves_nothing_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("pass"), "correct horse\n").unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "postgres://remit@{}/remit?sslmode=disable",
        silent.local_addr().unwrap()
    );
    let mut child = Command::new(REMIT)
        .args(["backup", "copy.age", "--store", &url])
        .args(["--passphrase-file", "pass"])
        .current_dir(at)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It asks the database once it has begun.
    let _asked = silent.accept().unwrap();
    // As the copying would leave it.
    fs::write(at.join("copy.age.copy.partial"), "in the clear").unwrap();
    let process = child.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &process]).status();
    assert!(sent.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(4));
    let left: Vec<_> = names(at)
        .into_iter()
        .filter(|it| it.starts_with("copy"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn an_encrypted_copy_opens_with_its_key_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let served = filled(at, "sqlite:one.db");
    for name in ["own", "other"] {
        let recipient = done(at, &["backup", "key", &format!("{name}.key")]);
        assert!(recipient.starts_with("age1"), "{recipient}");
        fs::write(at.join(format!("{name}.recipients")), recipient).unwrap();
        assert_eq!(mode(&at.join(format!("{name}.key"))), 0o600);
    }
    let backup = [
        "backup",
        "copy.age",
        "--store",
        "sqlite:one.db",
        "--encrypt-to",
        "own.recipients",
    ];
    let before = names(at);
    let told = done(at, &backup);
    assert!(
        told.contains("encrypted") && told.contains("verified: 4 "),
        "{told}"
    );
    let mut after = before.clone();
    after.insert(0, "copy.age".to_owned());
    assert_eq!(names(at), after, "nothing in the clear is left");
    assert_eq!(mode(&at.join("copy.age")), 0o600);
    let sealed = fs::read(at.join("copy.age")).unwrap();
    assert!(sealed.starts_with(b"age-encryption.org/v1"));
    assert!(!sealed.windows(6).any(|part| part == b"viewer"));
    drop(served);

    let own = ["--identity-file", "own.key"];
    let verify = ["backup", "verify", "copy.age"];
    let restore = ["restore", "copy.age", "--store", "sqlite:new.db"];
    assert!(done(at, &[&verify[..], &own].concat()).contains("4 relationships"));
    fs::write(at.join("pass"), "correct horse\n").unwrap();
    for (arguments, expected) in [
        (&[][..], "is encrypted: give"),
        (&["--identity-file", "other.key"], "encrypted to other keys"),
        (
            &["--identity-file", "own.recipients"],
            "line 1: expected a secret key",
        ),
        (&["--passphrase-file", "pass"], "give `--identity-file`"),
    ] {
        for command in [&verify[..], &restore] {
            let told = refused(at, &[command, arguments].concat());
            assert!(told.contains(expected), "{told}");
        }
    }
    damaged_are_refused(at, &sealed);

    let told = done(at, &[&restore[..], &own].concat());
    assert!(told.contains("4 relationships"), "{told}");
    let _served = serve(at, "sqlite:new.db");
    assert_eq!(run(at, &["check", "doc:c", "view", "user:cid"]).0, 0);
    let told = refused(at, &[&restore[..], &own].concat());
    assert!(told.contains("overwrites nothing"), "{told}");
}

/// Whatever is missing of a copy, or changed: nothing is restored.
fn damaged_are_refused(at: &Path, sealed: &[u8]) {
    let cut = sealed.len() - 17;
    let mut flipped = sealed.to_vec();
    let middle = flipped.get_mut(sealed.len() / 2).unwrap();
    *middle ^= 1;
    for bytes in [
        sealed.get(..cut).unwrap(),
        sealed.get(..sealed.len() / 2).unwrap(),
        &flipped,
    ] {
        fs::write(at.join("bad.age"), bytes).unwrap();
        let told = refused(
            at,
            &[
                "restore",
                "bad.age",
                "--store",
                "sqlite:new.db",
                "--identity-file",
                "own.key",
            ],
        );
        assert!(told.contains("damaged or cut short"), "{told}");
    }
}

#[test]
fn a_passphrase_opens_what_it_closed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    drop(filled(at, "sqlite:one.db"));
    fs::write(at.join("pass"), "correct horse\n").unwrap();
    fs::write(at.join("wrong"), "battery staple\n").unwrap();
    fs::write(at.join("empty"), "\n").unwrap();
    let backup = [
        "backup",
        "copy.age",
        "--store",
        "sqlite:one.db",
        "--passphrase-file",
    ];
    let told = refused(at, &[&backup[..], &["empty"]].concat());
    assert!(told.contains("holds no passphrase"), "{told}");
    done(at, &[&backup[..], &["pass"]].concat());
    let verify = ["backup", "verify", "copy.age", "--passphrase-file"];
    assert!(done(at, &[&verify[..], &["pass"]].concat()).contains("4 relationships"));
    let told = refused(at, &[&verify[..], &["wrong"]].concat());
    assert!(told.contains("the passphrase is another"), "{told}");
    assert!(!told.contains("battery"), "{told}");
}

#[test]
fn a_database_is_copied_to_a_file_and_comes_back_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let server = Server::start(&["fsync=off"]);
    let (url, other) = (server.database(), server.database());
    for url in [&url, &other] {
        done(at, &["store", "migrate", "--store", url]);
    }
    let served = filled(at, &url);
    done(at, &["backup", "key", "own.key"]);
    let recipient = fs::read_to_string(at.join("own.key")).unwrap();
    let recipient = recipient
        .lines()
        .next()
        .unwrap()
        .trim_start_matches("# public key: ");
    fs::write(at.join("own.recipients"), recipient).unwrap();
    let backup = [
        "backup",
        "copy.age",
        "--store",
        &url,
        "--encrypt-to",
        "own.recipients",
    ];
    let told = done(at, &backup);
    assert!(told.contains("verified: 4 relationships"), "{told}");
    let plain = done(at, &["backup", "copy.db", "--store", &url]);
    assert!(plain.contains("verified: 4 relationships"), "{plain}");
    assert_eq!(mode(&at.join("copy.db")), 0o600);
    drop(served);
    let restore = [
        "restore",
        "copy.age",
        "--identity-file",
        "own.key",
        "--store",
    ];
    done(at, &[&restore[..], &[other.as_str()]].concat());
    let told = refused(at, &[&restore[..], &[other.as_str()]].concat());
    assert!(told.contains("overwrites nothing"), "{told}");
    let _served = serve(at, &other);
    assert_eq!(run(at, &["check", "doc:d", "view", "user:dan"]).0, 0);
    assert_eq!(run(at, &["check", "doc:d", "view", "user:ann"]).0, 1);
}
