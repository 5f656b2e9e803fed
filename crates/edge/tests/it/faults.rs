//! What is refused when rules are read, with its place.

use edge::{Cases, Rules};
use expect_test::{Expect, expect};

fn check(text: &str, expected: Expect) {
    let told = match Rules::read("rules.yaml", text) {
        Ok(_) => "no fault".to_owned(),
        Err(faults) => faults.to_string(),
    };
    expected.assert_eq(&told);
}

fn route(rest: &str) -> String {
    let check =
        "checks: [{resource: \"todo:1\", permission: view, subject: \"user:${claims.sub}\"}]";
    let checks = if rest.contains("checks:") || rest.contains("allow:") {
        ""
    } else {
        check
    };
    format!("routes:\n  - name: a\n    path: /a/{{id}}\n    {rest}\n    {checks}\n")
}

#[test]
fn every_fault_is_told_at_once_with_its_place() {
    let text = "\
mode: shdow
stripz: []
routes:
  - name: one
    path: /todos/{id}.json
    methods: [get]
    checks:
      - {resource: todo, permision: view, subject: \"user:${clams.sub}\"}
  - name: one
    path: /a
    allow: true
  - path: /b
    mode: 7
    checks: []
";
    check(
        text,
        expect![[r#"
            rules.yaml:1:7: `shdow` is no mode; expected `observe` or `shadow` or `enforce`
            rules.yaml:2:1: unknown key `stripz` of the rules; did you mean `strips`?
            rules.yaml:5:11: a parameter is a whole segment, as in `/todos/{id}`, and not a part of one: `{id}.json`
            rules.yaml:6:15: `get` is no method such as `GET`
            rules.yaml:8:9: a check has no `permission`
            rules.yaml:8:20: expected `type:id` in `todo`, as in `todo:${params.id}`
            rules.yaml:8:26: unknown key `permision` of a check; did you mean `permission`?
            rules.yaml:8:52: in `${clams.sub}`: ERROR: expression:1:1: undeclared reference to 'clams' (in container ''); did you mean `claims`?
            rules.yaml:11:12: say as `reason` why anybody may pass
            rules.yaml:12:5: a route has no `name`
            rules.yaml:13:11: expected a text for mode, found a number
            rules.yaml:14:13: there are 0 checks: expected 1 to 16"#]],
    );
}

#[test]
fn what_is_no_yaml_says_where() {
    let told = Rules::read("r", "routes: [").unwrap_err().to_string();
    assert!(told.starts_with("r:1:"), "{told}");
    let twice = Rules::read("r", "mode: shadow\nmode: enforce\n")
        .unwrap_err()
        .to_string();
    assert!(
        twice.starts_with("r:2:1") && twice.contains("duplicate"),
        "{twice}"
    );
    assert!(Rules::read("r", "").is_err() && Rules::read("r", "[]").is_err());
    let long = format!("#{}", "x".repeat(1 << 20));
    assert!(
        Rules::read("r", &long)
            .unwrap_err()
            .to_string()
            .contains("at most 1048576")
    );
}

#[test]
fn two_routes_for_one_request_are_refused() {
    let pair = |left: &str, right: &str| {
        let of = |name: &str, it: &str| {
            format!("  - {{name: {name}, allow: true, reason: test, {it}}}\n")
        };
        format!("routes:\n{}{}", of("left", left), of("right", right))
    };
    for (left, right) in [
        ("path: \"/{a}\"", "path: \"/{b}\""),
        ("path: \"/{a}/b\"", "path: \"/a/{b}\""),
        (
            "path: /a, methods: [GET, PUT]",
            "path: /a, methods: [PUT, POST]",
        ),
        ("path: /a, methods: [GET]", "path: /a, methods: [GET]"),
        ("path: /a, host: a.org", "path: /a, host: [b.org, a.org]"),
        ("path: /a, host: \"*.a.org\"", "path: /a, host: \"*.a.org\""),
    ] {
        let faults = Rules::read("r", &pair(left, right)).unwrap_err();
        let told = faults.to_string();
        assert!(
            told.contains("match the same requests") && told.starts_with("r:3:"),
            "{told}"
        );
        assert_eq!(faults.faults.len(), 1, "{told}");
    }
    for (left, right) in [
        ("path: \"/{a}\"", "path: /new"),
        ("path: \"/{a...}\"", "path: \"/a/{b}\""),
        ("path: /a, methods: [GET]", "path: /a, methods: [PUT]"),
        ("path: /a, methods: [GET]", "path: /a"),
        ("path: /a, methods: [GET]", "path: /a, methods: [GET, PUT]"),
        (
            "path: \"/{a}/b\", methods: [GET]",
            "path: \"/a/{b}\", methods: [PUT]",
        ),
        ("path: \"/{a}\", host: a.org", "path: \"/{b}\""),
        (
            "path: \"/{a}\", host: \"*.a.org\"",
            "path: \"/{b}\", host: \"*.b.a.org\"",
        ),
    ] {
        let read = Rules::read("r", &pair(left, right));
        assert!(read.is_ok(), "{left} {right}: {}", read.unwrap_err());
    }
}

#[test]
fn a_subject_rests_on_nothing_that_a_client_says() {
    let with = |subject: &str, strips: &str| {
        let check =
            format!("checks: [{{resource: \"todo:1\", permission: view, subject: '{subject}'}}]");
        Rules::read("r", &format!("strips: [{strips}]\n{}", route(&check)))
    };
    for subject in [
        r#"user:${headers["x-user"]}"#,
        r#"user:${headers["x-anything"]}"#,
        r#"user:${headers[?"x-user"].orValue("a")}"#,
        "user:${headers.exists(h, h == \"x\") ? \"a\" : \"b\"}",
        "user:${params.id}",
        "user:${query.user}",
        "user:${host}",
        "user:${path}",
        "user:${method}",
        r#"user:${headers["authorization"]}"#,
        r#"user:${headers["cookie"]}"#,
        r#"user:${headers["X-User"]}"#,
    ] {
        assert!(with(subject, "").is_err(), "{subject}");
    }
    assert!(with(r#"user:${headers["x-user"]}"#, "x-user").is_ok());
    assert!(with(r#"user:${headers["x-user"]}"#, "x-other").is_err());
    for subject in [
        "user:${claims.sub}",
        "workload:${peer.workload}",
        "${user.subject}",
        "user:${extensions.sub}",
    ] {
        assert!(with(subject, "").is_ok(), "{subject}");
    }
    // No declaration makes a credential readable, or all headers at once.
    for subject in [
        r#"user:${headers["authorization"]}"#,
        "user:${headers[claims.sub]}",
    ] {
        assert!(with(subject, "authorization").is_err(), "{subject}");
    }
}

#[test]
fn identity_headers_are_read_nowhere_unless_stripped() {
    for name in [
        "x-user",
        "x-forwarded-client-cert",
        "x-auth-request-email",
        "x-forwarded-for",
    ] {
        let rest = format!("upstream: {{set: {{x-a: '${{headers[\"{name}\"]}}'}}}}");
        let told = Rules::read("r", &route(&rest)).unwrap_err().to_string();
        assert!(told.contains(&format!("`strips: [{name}]`")), "{told}");
        let stripped = format!("strips: [{name}]\n{}", route(&rest));
        assert!(Rules::read("r", &stripped).is_ok(), "{name}");
    }
    let plain = "upstream: {set: {x-a: '${headers[\"x-tenant\"]}'}}";
    assert!(Rules::read("r", &route(plain)).is_ok());
}

#[test]
fn a_denial_is_no_success_and_no_header_frames_a_message() {
    for (rest, part) in [
        ("denied: {status: 200}", "from 300 to 599"),
        ("denied: {status: 299.5}", "from 300 to 599"),
        ("unauthenticated: {status: 204}", "from 300 to 599"),
        (
            "denied: {headers: {content-length: '5'}}",
            "not for rules to change",
        ),
        ("upstream: {set: {Host: a}}", "no name of a header"),
        ("upstream: {set: {host: a}}", "not for rules to change"),
        ("upstream: {set: {x-a: \"a\\nb\"}}", "visible ASCII"),
        (
            "upstream: {remove: [remit-authorization]}",
            "not for rules to change",
        ),
        ("allow: false", "can only be `true`"),
        ("allow: true\n    reason: ''", "`reason` is empty"),
        ("consistency: strong", "expected `minimize-latency`"),
        (
            "upstream: {set: {x-a: '${params.nosuch}'}}",
            "no parameter `nosuch`",
        ),
        ("host: Api.example.org", "no host"),
        ("host: 'a.org:443'", "no host"),
    ] {
        let told = Rules::read("r", &route(rest))
            .err()
            .map(|it| it.to_string());
        assert!(
            told.as_ref().is_some_and(|it| it.contains(part)),
            "{rest}: {told:?}"
        );
    }
}

#[test]
fn cases_are_read_as_strictly() {
    let told = Cases::read(
        "c.yaml",
        "cases:\n  - name: a\n    request: {method: GET, hosts: a}\n    expect: {verdict: yes}\n",
    );
    expect![[r#"
        c.yaml:3:14: a request has no `host`
        c.yaml:3:14: a request has no `path`
        c.yaml:3:28: unknown key `hosts` of a request; did you mean `host`?
        c.yaml:4:23: `yes` is no verdict; expected `allowed` or `denied` or `would_deny` or `unmatched` or `error`"#]]
    .assert_eq(&told.unwrap_err().to_string());
}
