//! Rules for proxies at the command line: checked, tested, and read again by a server that runs.

use std::path::Path;

use crate::run;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/edge");

fn edge(arguments: &[&str]) -> (i32, String) {
    let arguments = [&["edge"], arguments].concat();
    let (code, out, _) = run(Path::new(EXAMPLES), &arguments);
    (code, out)
}

#[test]
fn rules_are_checked_with_every_fault() {
    let (code, told) = edge(&["check", "rules.yaml"]);
    assert_eq!((code, told.as_str()), (0, "ok: rules.yaml: 9 routes\n"));
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.yaml");
    std::fs::write(
        &wrong,
        "mode: shdow\nroutes:\n  - {name: a, path: /a, alow: true}\n",
    )
    .unwrap();
    let wrong = wrong.display().to_string();
    let (code, told) = edge(&["check", &wrong]);
    assert_eq!(code, 1);
    for part in [
        ":1:7: `shdow` is no mode",
        ":3:25: unknown key `alow`",
        "did you mean `allow`?",
        "one of `checks`",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let (code, told) = edge(&["check", &wrong, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, json["faults"][0]["line"].as_u64()), (1, Some(1)));
    let (code, _) = edge(&["check", "nosuch.yaml"]);
    assert_eq!(code, 4);
}

#[test]
fn cases_tell_what_is_not_as_they_say() {
    let (code, told) = edge(&["test", "rules.yaml", "cases.yaml"]);
    assert_eq!(
        (code, told.as_str()),
        (0, "ok: cases.yaml: 16 cases, 0 failed\n")
    );
    let folder = tempfile::tempdir().unwrap();
    let cases = folder.path().join("cases.yaml");
    let text = "cases:\n  - name: unanswered\n    request: {method: GET, host: api.example.org, path: /todos/1, claims: {sub: ann}}\n    \
        expect: {verdict: allowed, checks: [\"todo:2#view@user:ann\"]}\n  - name: answered\n    request: {method: GET, host: \
        api.example.org, path: /todos/1, claims: {sub: ann}}\n    answers: {\"todo:1#view@user:ann\": denied}\n    expect: {verdict: denied, status: 403}\n";
    std::fs::write(&cases, text).unwrap();
    let (code, told) = edge(&["test", "rules.yaml", &cases.display().to_string()]);
    assert_eq!(code, 1);
    for part in [
        ":2: `unanswered`: nothing answers `todo:1#view@user:ann`",
        "expected the verdict `allowed`, got `error`: check 1 has no answer",
        "expected the checks `todo:2#view@user:ann`, got `todo:1#view@user:ann`",
        "FAILED: ",
        "2 cases, 1 failed",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_server_does_not_start_with_rules_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yaml"), "routes: []\n").unwrap();
    let serve = [
        "serve",
        "--store",
        "memory:",
        "--insecure-no-auth",
        "--edge-rules",
        "rules.yaml",
    ];
    let (code, _, told) = run(folder.path(), &serve);
    assert_eq!(code, 4);
    assert!(
        told.contains("rules.yaml:1:9: there are 0 routes"),
        "{told}"
    );
}
