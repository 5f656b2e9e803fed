//! What protects a server is asked for as a whole, wherever its parts are set: by flags, in the environment or in the file.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{REMIT, run};

/// Written as the configuration file of a server that others can reach; what each command has against it. The store cannot be
/// opened, so that nothing is served in any case.
fn refused(at: &Path, configuration: &str, expected: &str) {
    fs::write(at.join("garbage.db"), "garbage").unwrap();
    let text = format!("store = \"sqlite:garbage.db\"\n{configuration}");
    fs::write(at.join("remit.toml"), text).unwrap();
    for command in [&["serve"][..], &["config", "check"]] {
        let (code, _, told) = run(at, command);
        assert_eq!(code, 2, "{command:?}: {told}");
        assert!(told.contains(expected), "{command:?}: {told}");
    }
    let (code, told, _) = run(at, &["doctor", "--json"]);
    assert_eq!(code, 1, "{told}");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let checks = told["checks"].as_array().unwrap();
    let exposure = checks.iter().find(|it| it["check"] == "exposure").unwrap();
    assert_eq!(exposure["result"], "fail", "{exposure}");
    let found = exposure["found"].as_str().unwrap();
    assert!(found.contains(expected), "{exposure}");
}

#[test]
fn half_of_what_protects_a_server_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let reached = "grpc-addr = \"0.0.0.0:0\"\npreshared-key = [\"test:open-sesame\"]\n";
    let certificate = format!("{reached}tls-cert = \"cert.pem\"\n");
    refused(at, &certificate, "`--tls-cert` needs `--tls-key`");
    let key = format!("{reached}allow-plaintext = true\ntls-key = \"key.pem\"\n");
    refused(at, &key, "`--tls-key` needs `--tls-cert`");
    let authorities = format!("{reached}allow-plaintext = true\ntls-client-ca = \"ca.pem\"\n");
    refused(at, &authorities, "`--tls-client-ca` needs `--tls-cert`");
    for name in ["identity", "token-key-file"] {
        let text = format!("insecure-no-auth = true\n{name} = \"a-file\"\n");
        let expected = format!("`--{name}` cannot be used with `--insecure-no-auth`");
        refused(at, &text, &expected);
    }
}

#[test]
fn the_parts_may_be_set_in_different_places() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(at.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(at.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(at.join("remit.toml"), "tls-key = \"key.pem\"\n").unwrap();
    let checked = Command::new(REMIT)
        .args(["config", "check"])
        .env("REMIT_TLS_CERT", "cert.pem")
        .current_dir(at)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&checked.stderr);
    assert_eq!(checked.status.code(), Some(0), "{told}");
}

/// What was typed is stronger than the file, and a key is not sent in the clear by whoever named an authority.
#[test]
fn a_client_is_not_talked_out_of_tls_by_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("remit.toml"), "insecure = true\n").unwrap();
    let asked = ["schema", "read", "--tls-ca", "ca.pem", "--token", "k"];
    let (code, _, told) = run(at, &asked);
    assert_eq!(code, 2, "{told}");
    assert!(
        told.contains("`--tls-ca` cannot be used with `--insecure`"),
        "{told}"
    );
}
