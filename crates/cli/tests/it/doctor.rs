//! What `remit doctor` finds: in order, and when something is not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use testkit::postgres::Server;

use crate::{SCHEMA, run, serve};

/// The checks of that name in what `remit doctor --json` printed.
fn results(told: &str, check: &str) -> Vec<String> {
    let told: serde_json::Value = serde_json::from_str(told).unwrap();
    let checks = told.get("checks").unwrap().as_array().unwrap();
    let text = |it: &serde_json::Value, key| it.get(key).unwrap().as_str().unwrap().to_owned();
    let of_name = checks.iter().filter(|it| text(it, "check") == check);
    of_name.map(|it| text(it, "result")).collect()
}

fn doctor(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let all = [
        &["doctor", "--json", "--metrics-addr", "none"][..],
        arguments,
    ]
    .concat();
    let (code, told, failed) = run(folder, &all);
    assert!(matches!(code, 0 | 1), "{failed}");
    (code, told)
}

#[test]
fn a_node_and_its_file_are_well() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("schema.zed"), SCHEMA).unwrap();
    let served = serve(at, "sqlite:one.db");
    assert_eq!(run(at, &["schema", "write", "schema.zed"]).0, 0);
    fs::set_permissions(at.join("one.db"), fs::Permissions::from_mode(0o600)).unwrap();
    // The endpoint is that of the configuration file.
    let (code, told) = doctor(at, &["--store", "sqlite:one.db"]);
    assert_eq!(code, 0, "{told}");
    for check in ["store", "store, writable", "store, permissions", "exposure"] {
        assert_eq!(results(&told, check), ["ok"], "{check}: {told}");
    }
    assert!(told.contains("is whole at revision"), "{told}");
    assert!(!told.contains("open-sesame"), "{told}");
    drop(served);
    let (code, told) = doctor(at, &["--store", "sqlite:one.db"]);
    assert_eq!(code, 1, "the node is gone: {told}");
    assert!(told.contains("is it running"), "{told}");
}

#[test]
fn what_is_wrong_with_files_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("damaged.db"), "garbage").unwrap();
    fs::write(at.join("keys"), "a-very-secret-key-indeed\n").unwrap();
    fs::set_permissions(at.join("keys"), fs::Permissions::from_mode(0o644)).unwrap();
    let names = ["remit.example.com".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let other = rcgen::generate_simple_self_signed(Vec::new()).unwrap();
    fs::write(at.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(at.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(at.join("other.pem"), other.signing_key.serialize_pem()).unwrap();
    for file in ["key.pem", "other.pem"] {
        fs::set_permissions(at.join(file), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let base = ["--preshared-key-file", "keys", "--tls-cert", "cert.pem"];
    let with = |rest: &[&str]| doctor(at, &[&base[..], rest].concat());

    let (code, told) = with(&["--tls-key", "key.pem", "--store", "memory:"]);
    assert_eq!(code, 1, "anybody can read the keys: {told}");
    assert_eq!(results(&told, "keys, permissions"), ["fail"]);
    assert!(told.contains("chmod 0600 keys"), "{told}");
    assert_eq!(results(&told, "certificate and key"), ["ok"]);
    assert_eq!(
        results(&told, "key of the certificate, permissions"),
        ["ok"]
    );
    assert_eq!(results(&told, "certificate"), ["ok"]);
    assert_eq!(results(&told, "store"), ["warn"]);
    assert!(!told.contains("a-very-secret"), "{told}");

    fs::set_permissions(at.join("keys"), fs::Permissions::from_mode(0o600)).unwrap();
    let (code, told) = with(&["--tls-key", "key.pem", "--store", "memory:"]);
    assert_eq!(code, 0, "{told}");
    let (code, told) = with(&["--tls-key", "other.pem", "--store", "memory:"]);
    assert_eq!(code, 1);
    assert_eq!(results(&told, "certificate and key"), ["fail"], "{told}");
    let asked = [
        "--tls-key",
        "key.pem",
        "--endpoint",
        "127.0.0.1:1",
        "--insecure",
    ];
    let (_, told) = with(&asked);
    assert_eq!(results(&told, "certificate, names"), ["fail"], "{told}");
    assert_eq!(results(&told, "store"), ["skipped"], "{told}");

    let (code, told) = doctor(at, &["--store", "sqlite:damaged.db"]);
    assert_eq!(
        (code, results(&told, "store")),
        (1, vec!["fail".to_owned()])
    );
    let (code, told) = doctor(at, &["--store", "mysql://a:secret@b"]);
    assert_eq!(code, 1);
    assert!(!told.contains("secret"), "{told}");
    let (code, told) = doctor(at, &["--grpc-addr", "0.0.0.0:1", "--store", "memory:"]);
    assert_eq!(
        (code, results(&told, "exposure")),
        (1, vec!["fail".to_owned()])
    );
}

#[test]
fn a_database_is_looked_at_as_the_role_that_serves() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let server = Server::start(&["fsync=off"]);
    let url = server.database();
    let (code, told) = doctor(at, &["--store", &url]);
    assert_eq!(
        (code, results(&told, "store")),
        (1, vec!["fail".to_owned()])
    );
    assert!(told.contains("remit store migrate"), "{told}");

    server.query(&url, "CREATE ROLE serving LOGIN");
    let migrate = ["store", "migrate", "--store", &url];
    assert_eq!(run(at, &migrate).0, 0);
    let (code, told) = doctor(at, &["--store", &url]);
    assert_eq!(code, 1, "its server does not sync: {told}");
    assert_eq!(results(&told, "database, durable"), ["fail"]);
    assert_eq!(results(&told, "database, role"), ["warn"], "{told}");
    assert_eq!(results(&told, "clock, store"), ["ok"], "{told}");

    let serving = url.replace("remit@", "serving@");
    let (_, told) = doctor(at, &["--store", &serving]);
    assert_eq!(
        results(&told, "store"),
        ["fail"],
        "it was granted nothing: {told}"
    );
    assert_eq!(
        run(at, &[&migrate[..], &["--serving-role", "serving"]].concat()).0,
        0
    );
    let (_, told) = doctor(at, &["--store", &serving]);
    for check in [
        "store",
        "database, role",
        "database, writable",
        "database, encryption",
    ] {
        let found = results(&told, check);
        assert!(found.iter().all(|found| found == "ok"), "{check}: {told}");
    }
    assert_eq!(results(&told, "database, rights"), Vec::<String>::new());
    assert!(told.contains("the audit log"), "{told}");
    // Each of them is needed by some commit, or by trimming.
    for right in [
        "INSERT ON remit.audit_entry",
        "UPDATE (body) ON remit.audit_entry",
        "INSERT ON remit.audit_node",
        "INSERT ON remit.audit_checkpoint",
        "UPDATE ON remit.record",
        "DELETE ON remit.record",
        "DELETE ON remit.log_entry",
        "DELETE ON remit.schema_version",
        "SELECT ON remit.audit_entry",
        "UPDATE ON remit.head",
    ] {
        server.query(&url, &format!("REVOKE {right} FROM serving"));
        let (_, told) = doctor(at, &["--store", &serving]);
        let found = results(&told, "database, rights");
        assert_eq!(found, ["fail"], "without {right}: {told}");
        assert!(!told.contains("reads and commits"), "{told}");
        server.query(&url, &format!("GRANT {right} TO serving"));
    }
}
