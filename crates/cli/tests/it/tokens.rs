//! Tokens that are minted by a served node, narrowed without it, and gone with the keys that they rest on.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{REMIT, SCHEMA, run, serve, serve_with};

const KEY: [&str; 4] = [
    "--preshared-key",
    "test:open-sesame",
    "--token-key-file",
    "token-keys",
];

fn fresh_key(at: &Path, name: &str) -> String {
    let (code, line, _) = run(at, &["token", "key", "--name", name]);
    assert_eq!(code, 0);
    line
}

fn mint(at: &Path, more: &[&str]) -> String {
    let (code, token, told) = run(at, &[&["token", "mint"][..], more].concat());
    assert_eq!((code, told.as_str()), (0, ""));
    token.trim().to_owned()
}

/// What `remit token` makes of a token on its standard input.
fn piped(at: &Path, token: &str, arguments: &[&str]) -> (i32, String) {
    let mut child = Command::new(REMIT)
        .arg("token")
        .args(arguments)
        .current_dir(at)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{token}").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), told.trim().to_owned())
}

#[test]
fn a_token_is_narrowed_without_the_server_and_does_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("schema.zed"), SCHEMA).unwrap();
    std::fs::write(at.join("token-keys"), fresh_key(at, "k1")).unwrap();
    let _served = serve_with(at, "memory:", "127.0.0.1:0", &KEY);
    assert_eq!(run(at, &["schema", "write", "schema.zed"]).0, 0);
    let token = mint(
        at,
        &["--action", "check", "--action", "read", "--life", "10m"],
    );
    let ask = |token: &str, what: &[&str]| run(at, &[what, &["--token", token]].concat());
    let check = ["check", "doc:a", "view", "user:ann"];
    let read = ["relationship", "read", "--resource-type", "doc"];
    let schema = ["schema", "read"];
    let told = "leaves no `write_schema`";
    assert_eq!(ask(&token, &check).0, 1);
    assert_eq!(ask(&token, &read).0, 0);
    assert_eq!(ask(&token, &schema).0, 4);
    let written = ask(&token, &["schema", "write", "schema.zed"]).2;
    assert!(written.contains(told), "{written}");

    let narrow = [
        "narrow",
        "--action",
        "check",
        "--definition",
        "doc",
        "--life",
        "1m",
    ];
    let (code, narrower) = piped(at, &token, &narrow);
    assert_eq!(code, 0);
    assert_eq!(ask(&narrower, &check).0, 1);
    assert_eq!(ask(&narrower, &read).0, 4);
    // Wider again it does not get, whatever is added.
    let (_, wider) = piped(
        at,
        &narrower,
        &["narrow", "--action", "read", "--action", "check"],
    );
    assert_eq!(ask(&wider, &read).0, 4);
    assert_eq!(ask(&wider, &check).0, 1);
    assert_ne!(piped(at, &narrower, &["narrow"]).0, 0);
    assert_ne!(piped(at, "open-sesame", &["show"]).0, 0);

    let (_, shown) = piped(at, &narrower, &["show", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["subject"], "remit/key:test");
    assert_eq!(shown["minted_with"], "preshared key test");
    assert_eq!(shown["actions"], serde_json::json!(["check"]));
    assert_eq!(shown["definitions"], serde_json::json!(["doc"]));
    let (_, shown) = piped(at, &token, &["show"]);
    assert!(
        shown.contains("actions      check read\ndefinitions  all\n"),
        "{shown}"
    );
}

#[test]
fn token_keys_are_read_again_when_their_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (old, new) = (fresh_key(at, "old"), fresh_key(at, "new"));
    let write = |text: &str| std::fs::write(at.join("token-keys"), text).unwrap();
    write(&old);
    let _served = serve_with(at, "memory:", "127.0.0.1:0", &KEY);
    let is_in = |token: &str| {
        let told = run(at, &["schema", "read", "--token", token]).2;
        !told.contains("token")
    };
    let token = mint(at, &[]);
    assert!(is_in(&token));
    let until_minted_by = |name: &str| {
        let begun = Instant::now();
        loop {
            let token = mint(at, &[]);
            let shown = piped(at, &token, &["show", "--json"]).1;
            let shown: Value = serde_json::from_str(&shown).unwrap();
            if shown["token_key"] == name {
                return token;
            }
            assert!(begun.elapsed() < Duration::from_secs(30));
        }
    };
    write(&format!("{new}{old}"));
    let newer = until_minted_by("new");
    assert!(is_in(&token) && is_in(&newer));
    write(&new);
    let begun = Instant::now();
    while is_in(&token) {
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    assert!(is_in(&newer));
}

#[test]
fn without_token_keys_nothing_is_minted_and_a_wrong_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let served = serve(at, "memory:");
    let (code, token, told) = run(at, &["token", "mint"]);
    assert_eq!((code, token.as_str()), (4, ""));
    assert!(told.contains("--token-key-file FILE"), "{told}");
    drop(served);
    std::fs::write(at.join("token-keys"), "k1:0123\n").unwrap();
    let (code, _, told) = run(at, &[&["serve", "--store", "memory:"][..], &KEY].concat());
    assert_ne!(code, 0);
    assert!(
        told.contains("line 1 is not `NAME:KEY`") && !told.contains("0123"),
        "{told}"
    );
    let life = run(at, &["token", "mint", "--life", "25h"]).2;
    assert!(life.contains("1 second to 24 hours"), "{life}");
}
