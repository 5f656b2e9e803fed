//! Files that a server is given and that are wrong: told before anything is loaded, by whatever looks at them.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::run;

/// A value that is wrong, what it is called, and what is told of it.
const WRONG: [(&str, &str, &str, &str); 6] = [
    (
        "--decision-log",
        "bad",
        "rules of the decision log",
        "`bad` is no file of rules for a decision log",
    ),
    (
        "--audit-key-file",
        "bad",
        "audit keys",
        "`bad` is no file of audit keys",
    ),
    (
        "--otlp-endpoint",
        "nowhere",
        "traces",
        "`nowhere` is no address of a collector",
    ),
    (
        "--identity",
        "bad",
        "identity",
        "`bad` is no file of settings",
    ),
    (
        "--edge-rules",
        "bad",
        "rules for proxies",
        "`bad` is no file of rules for proxies",
    ),
    (
        "--limits",
        "bad",
        "limits of callers",
        "`bad` is no file of limits of callers",
    ),
];

#[test]
fn all_that_looks_at_a_file_tells_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("bad"), "test:open-sesame\n").unwrap();
    // It takes connections, and says nothing: nothing is ever loaded from it.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let store = format!(
        "postgres://remit@{}/remit?sslmode=disable",
        silent.local_addr().unwrap()
    );
    for (flag, value, what, expected) in WRONG {
        let (code, _, told) = run(at, &["config", "check", flag, value]);
        assert_eq!(code, 2, "{flag}: {told}");
        assert!(told.contains(&format!("error: {what}: ")), "{flag}: {told}");
        assert!(told.contains(expected), "{flag}: {told}");
        assert!(!told.contains("sesame"), "{flag}: {told}");

        let (_, told, _) = run(at, &["doctor", "--json", "--store", "memory:", flag, value]);
        let found: Value = serde_json::from_str(&told).unwrap();
        let checks = found["checks"].as_array().unwrap();
        let check = checks.iter().find(|it| it["check"] == what);
        let check = check.unwrap_or_else(|| panic!("no {what} in {told}"));
        assert_eq!(check["result"], "fail", "{check}");

        let addresses = ["--grpc-addr", "127.0.0.1:0", "--http-addr", "none"];
        let serve = ["serve", "--store", &store, "--metrics-addr", "none"];
        let (code, _, told) = run(at, &[&serve[..], &addresses, &[flag, value]].concat());
        assert_eq!(code, 4, "{flag}: {told}");
        assert!(told.contains(expected), "{flag}: {told}");
        assert!(!told.contains("sesame"), "{flag}: {told}");
    }
}

#[test]
fn files_of_keys_and_salts_are_their_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (code, key, failed) = run(at, &["audit", "key", "audit.example.com"]);
    assert_eq!(code, 0, "{failed}");
    fs::write(at.join("audit.key"), key).unwrap();
    fs::write(at.join("salt"), "0123456789abcdef").unwrap();
    let rules = "salt_file = \"salt\"\n[[sink]]\nfile = \"decisions.jsonl\"\n";
    fs::write(at.join("rules.toml"), rules).unwrap();
    let given = [
        "--audit-key-file",
        "audit.key",
        "--decision-log",
        "rules.toml",
    ];
    let doctor = [
        "doctor",
        "--json",
        "--store",
        "memory:",
        "--metrics-addr",
        "none",
    ];
    for (mode, expected) in [(0o644, "fail"), (0o600, "ok")] {
        for name in ["audit.key", "salt"] {
            fs::set_permissions(at.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let (_, told, failed) = run(at, &[&doctor[..], &given].concat());
        let found: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{failed}"));
        let checks = found["checks"].as_array().unwrap();
        for what in ["audit keys", "salt of the decision log"] {
            let name = format!("{what}, permissions");
            let check = checks.iter().find(|it| it["check"] == name.as_str());
            assert_eq!(check.unwrap()["result"], expected, "{told}");
        }
    }
}
