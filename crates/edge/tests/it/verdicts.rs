//! What becomes of requests.

use edge::{Answer, Decision, Freshness, Outcome, Rules, Unmatched, User, Verdict};

use crate::request::{Request, map, request};

const RULES: &str = r#"
unauthenticated: {status: 401, headers: {www-authenticate: Bearer}}
routes:
  - name: both
    path: /todos/{id}
    methods: [GET]
    checks:
      - {resource: "todo:${params.id}", permission: view, subject: "user:${claims.sub}"}
      - {resource: "tenant:${headers[?\"x-tenant\"].orValue(\"none\")}", permission: use, subject: "user:${claims.sub}"}
    upstream: {set: {x-user: "${claims.sub}", x-roles: "${claims.roles.exists(r, r == 'admin') ? 'admin' : 'none'}"}, remove: [x-debug]}
    denied: {status: 404, body: "no such thing\n", headers: {x-why: "no ${params.id}"}}
  - name: either
    path: /todos/{id}
    methods: [PUT]
    any:
      - {resource: "todo:${params.id}", permission: edit, subject: "user:${claims.sub}"}
      - {resource: "desk:d", permission: work, subject: "user:${claims.sub}", context: {n: 7, at: "${path}", who: "u-${claims.sub}", roles: "${claims.roles}"}}
  - name: fresh
    path: /fresh
    consistency: at-least:${headers[?"x-token"].orValue("")}
    checks: [{resource: "doc:b", permission: view, subject: "${user.subject}"}]
  - name: shadowed
    path: /shadowed/{id}
    mode: shadow
    checks: [{resource: "todo:${params.id}", permission: view, subject: "user:${claims.sub}"}]
    upstream: {set: {x-user: "${claims.sub}"}, remove: [x-debug]}
  - name: observed
    path: /observed/{rest...}
    mode: observe
    checks: [{resource: "todo:${params.rest}", permission: view, subject: "user:${claims.sub}"}]
  - {name: open, path: /open, allow: true, reason: it is for anybody}
  - name: queried
    path: /queried
    checks: [{resource: "todo:${query.id}", permission: view, subject: "user:${claims.sub}"}]
"#;

const ANN: &str = r#"{"sub": "ann", "roles": ["admin"]}"#;

fn told(verdict: &Verdict<'_>) -> String {
    let decision = match &verdict.decision {
        Decision::Allow(upstream) => {
            let set: Vec<_> = upstream
                .set
                .iter()
                .map(|(name, value)| format!(" {name}={value}"))
                .collect();
            format!("pass{} -{}", set.concat(), upstream.remove.join(","))
        }
        Decision::Deny(denial) => {
            let headers: Vec<_> = denial
                .headers
                .iter()
                .map(|(name, value)| format!(" {name}={value}"))
                .collect();
            format!(
                "{}{} {}",
                denial.status,
                headers.concat(),
                denial.body.trim()
            )
        }
        Decision::Fail => "fail".to_owned(),
    };
    format!(
        "{} {} {decision}",
        verdict.route.unwrap_or("none"),
        verdict.outcome.text()
    )
}

/// The verdict with these answers, and the questions.
fn judge(request: &Request, answers: &[Answer]) -> (String, Vec<String>) {
    let rules = Rules::read("rules.yaml", RULES).unwrap_or_else(|faults| panic!("{faults}"));
    let found = match rules.find(request) {
        Ok(found) => found,
        Err(unmatched) => return (told(&Verdict::unmatched(unmatched)), Vec::new()),
    };
    let user = found.needs_user().then(|| User {
        subject: "user:eva".parse().unwrap(),
        groups: vec!["group:eng".parse().unwrap()],
    });
    let asked = found.ask(request, user.as_ref());
    let questions = asked.questions().iter().map(ToString::to_string).collect();
    (told(&asked.verdict(answers)), questions)
}

fn verdict(request: &Request, answers: &[Answer]) -> String {
    judge(request, answers).0
}

#[test]
fn all_checks_have_to_allow() {
    use Answer::{Allowed, Denied, Failed};
    let read = request("GET /todos/7")
        .claims(ANN)
        .header("x-tenant", "t@1");
    let (passed, questions) = judge(&read, &[Allowed, Allowed]);
    assert_eq!(
        passed,
        "both allowed pass x-user=ann x-roles=admin -x-debug"
    );
    assert_eq!(
        questions,
        ["todo:7#view@user:ann", "tenant:t=401#use@user:ann"]
    );
    let denied = "both denied 404 x-why=no 7 no such thing";
    for answers in [
        [Denied, Allowed],
        [Allowed, Denied],
        [Denied, Failed],
        [Failed, Denied],
    ] {
        assert_eq!(verdict(&read, &answers), denied, "{answers:?}");
    }
    let missing = Answer::Conditional(vec!["day".to_owned()]);
    assert_eq!(verdict(&read, &[Allowed, missing]), denied);
    assert_eq!(verdict(&read, &[Allowed, Failed]), "both error fail");
    // An answer that is not there is none.
    assert_eq!(verdict(&read, &[Allowed]), "both error fail");
    assert_eq!(verdict(&read, &[]), "both error fail");
}

#[test]
fn any_check_may_allow() {
    use Answer::{Allowed, Denied, Failed};
    let write = request("PUT /todos/7").claims(ANN);
    let (passed, questions) = judge(&write, &[Denied, Allowed]);
    assert_eq!(passed, "either allowed pass -");
    let context = r#"{"at":"/todos/7","n":7,"roles":["admin"],"who":"u-ann"}"#;
    assert_eq!(
        questions,
        [
            "todo:7#edit@user:ann".to_owned(),
            format!("desk:d#work@user:ann with {context}")
        ]
    );
    assert_eq!(verdict(&write, &[Failed, Allowed]), "either allowed pass -");
    assert_eq!(
        verdict(&write, &[Denied, Denied]),
        "either denied 403 denied"
    );
    assert_eq!(verdict(&write, &[Denied, Failed]), "either error fail");
    let missing = Answer::Conditional(vec!["day".to_owned()]);
    let named = "either denied 403 denied: no value for `day`";
    assert_eq!(verdict(&write, &[missing, Denied]), named);
}

#[test]
fn what_has_no_value_is_denied() {
    let allowed = [Answer::Allowed, Answer::Allowed];
    let nobody = request("GET /todos/7");
    let unauthenticated = "both denied 401 www-authenticate=Bearer denied";
    assert_eq!(verdict(&nobody, &allowed), unauthenticated);
    assert_eq!(
        verdict(&nobody.clone().claims("{}"), &allowed),
        unauthenticated
    );
    assert_eq!(
        verdict(&nobody.clone().claims(r#"{"sub": ["a"]}"#), &allowed),
        unauthenticated
    );
    assert_eq!(
        verdict(&nobody.clone().claims(r#"{"sub": ""}"#), &allowed),
        unauthenticated
    );
    // The header that tells the roles has no value: what is allowed is not passed on without it.
    let roles = request("GET /todos/7").claims(r#"{"sub": "ann"}"#);
    assert!(verdict(&roles, &allowed).starts_with("both denied 404"));
    let forged = request("GET /todos/7").claims(r#"{"sub": "a\r\nx-admin: 1", "roles": []}"#);
    assert!(verdict(&forged, &allowed).starts_with("both denied 404"));
    let claims = request("PUT /todos/7").claims(r#"{"sub": "ann"}"#);
    assert_eq!(verdict(&claims, &allowed), "either denied 403 denied");
}

#[test]
fn a_query_that_can_be_read_two_ways_is_denied() {
    let ask = |target: &str| {
        judge(
            &request(&format!("GET {target}")).claims(ANN),
            &[Answer::Allowed],
        )
    };
    assert_eq!(ask("/queried?id=7").1, ["todo:7#view@user:ann"]);
    assert_eq!(ask("/queried?id=7&id=8").0, "queried denied 403 denied");
    assert_eq!(ask("/queried?id=7&%69d=8").0, "queried denied 403 denied");
    assert_eq!(ask("/queried").0, "queried denied 403 denied");
    // Where the query is not read it may be as it likes.
    assert_eq!(ask("/open?a=1&a=2").0, "open allowed pass -");
}

#[test]
fn modes_let_pass_what_they_count() {
    use Answer::{Allowed, Denied, Failed};
    let read = request("GET /shadowed/7").claims(ANN);
    let passes = |outcome: &str| format!("shadowed {outcome} pass x-user=ann -x-debug");
    assert_eq!(verdict(&read, &[Allowed]), passes("allowed"));
    assert_eq!(verdict(&read, &[Denied]), passes("would_deny"));
    assert_eq!(verdict(&read, &[Failed]), passes("error"));
    // A header that cannot be set is taken out: a client's does not stand for it.
    let nobody = request("GET /shadowed/7");
    assert_eq!(
        verdict(&nobody, &[]),
        "shadowed would_deny pass -x-debug,x-user"
    );
    let observed = request("GET /observed/a/b").claims(ANN);
    let (told, questions) = judge(&observed, &[]);
    assert_eq!(told, "observed allowed pass -");
    assert_eq!(questions, ["todo:a/b#view@user:ann"]);
    let rules = Rules::read("r", RULES).unwrap();
    let asked = rules.find(&observed).unwrap().ask(&observed, None);
    assert!(asked.to_answer().is_none());
}

#[test]
fn no_route_no_pass() {
    for line in [
        "POST /todos/7",
        "get /todos/7",
        "GET /todos",
        "GET /todos/7/",
        "GET /",
        "GET /Todos/7",
    ] {
        assert_eq!(
            verdict(&request(line).claims(ANN), &[Answer::Allowed]),
            "none unmatched 403 denied",
            "{line}"
        );
    }
    for line in [
        "GET /todos/../todos/7",
        "GET /todos/%2e%2e/7",
        "GET //todos/7",
        "GET /todos//7",
        "GET /open/..;/todos/7",
        "GET /todos/7;x",
        "GET /open;x",
        "GET /open%2f..%2ftodos",
        "GET /todos/%252e%252e",
        "GET todos/7",
        "GET http://api.example.org/todos/7",
        "GET ",
    ] {
        let told = verdict(
            &request(line).claims(ANN),
            &[Answer::Allowed, Answer::Allowed],
        );
        assert!(
            told.starts_with("none unmatched 403 denied"),
            "{line}: {told}"
        );
    }
    let mut odd = request("GET /open");
    odd.host = "a b".to_owned();
    assert!(
        verdict(&odd, &[]).contains("the host is no name of a host")
            || verdict(&odd, &[]).contains("denied")
    );
}

#[test]
fn how_fresh_is_said_by_a_token_or_none() {
    let rules = Rules::read("r", RULES).unwrap();
    let fresh = |request: &Request| {
        let user = User {
            subject: "user:eva".parse().unwrap(),
            groups: Vec::new(),
        };
        let asked = rules.find(request).unwrap().ask(request, Some(&user));
        asked.to_answer().map(|(_, freshness)| freshness)
    };
    assert_eq!(
        fresh(&request("GET /fresh")),
        Some(Freshness::MinimizeLatency)
    );
    let wrong = request("GET /fresh").header("x-token", "nonsense");
    assert_eq!(fresh(&wrong), None);
    assert_eq!(
        verdict(&wrong, &[Answer::Allowed]),
        "fresh denied 403 denied"
    );
}

#[test]
fn the_narrowest_route_is_the_one() {
    let text = r#"
routes:
  - {name: any, path: "/{rest...}", allow: true, reason: test}
  - {name: one, path: "/a/{id}", allow: true, reason: test}
  - {name: new, path: "/a/new", allow: true, reason: test}
  - {name: put, path: "/a/new", methods: [PUT], allow: true, reason: test}
  - {name: below, host: "*.example.org", path: "/{rest...}", allow: true, reason: test}
  - {name: host, host: api.example.org, path: "/a/{id}", methods: [GET], allow: true, reason: test}
"#;
    let rules = Rules::read("r", text).unwrap();
    let found = |host: &str, line: &str| {
        let mut request = request(line);
        request.host = host.to_owned();
        rules.find(&request).unwrap().name().to_owned()
    };
    assert_eq!(found("other.net", "GET /x"), "any");
    assert_eq!(found("other.net", "GET /a/1"), "one");
    assert_eq!(found("other.net", "GET /a/new"), "new");
    assert_eq!(found("other.net", "PUT /a/new"), "put");
    assert_eq!(found("www.example.org", "GET /a/new"), "below");
    assert_eq!(found("API.example.org.:443", "GET /a/1"), "host");
    assert_eq!(found("api.example.org", "PUT /a/1"), "below");
    assert_eq!(found("example.org", "GET /x"), "any");
}

#[test]
fn what_the_narrowest_route_does_not_take_goes_to_no_wider_one() {
    let text = r#"
routes:
  - {name: any, path: "/{rest...}", allow: true, reason: test}
  - {name: wide, path: "/files/{name}", allow: true, reason: test}
  - name: guarded
    host: api.example.org
    path: /files/{rest...}
    checks: [{resource: "file:${params.rest}", permission: view, subject: "user:${claims.sub}"}]
"#;
    let rules = Rules::read("r", text).unwrap();
    let found = |host: &str, line: &str| {
        let mut request = request(line);
        request.host = host.to_owned();
        rules.find(&request).map(|found| found.name().to_owned())
    };
    let plain = found("api.example.org", "GET /files/a/b");
    assert_eq!(plain, Ok("guarded".to_owned()));
    let encoded = found("api.example.org", "GET /files/a%2Fb");
    assert_eq!(encoded, Err(Unmatched::Slash));
    let elsewhere = found("other.net", "GET /files/a%2Fb");
    assert_eq!(elsewhere, Ok("wide".to_owned()));
}

#[test]
fn services_are_known_by_their_certificates() {
    let text = r#"
routes:
  - name: a
    path: /{id}
    checks: [{resource: "${extensions.kind}:${params.id}", permission: view, subject: "workload:${peer.workload}"}]
"#;
    let rules = Rules::read("r", text).unwrap();
    let questions = |principal: &str, kind: &str| {
        let request = Request {
            principal: Some(principal.to_owned()),
            extensions: Some(map(kind)),
            ..request("GET /7")
        };
        let asked = rules.find(&request).unwrap().ask(&request, None);
        let told: Vec<String> = asked.questions().iter().map(ToString::to_string).collect();
        (told.join(" "), asked.verdict(&[Answer::Allowed]).outcome)
    };
    let (told, outcome) = questions("spiffe://example.org/ns/web", r#"{"kind": "todo"}"#);
    assert_eq!(
        (told.as_str(), outcome),
        (
            "todo:7#view@workload:example=2Eorg/ns/web",
            Outcome::Allowed
        )
    );
    // Whom a certificate names otherwise is no workload, and what a route does not add is no type.
    assert_eq!(
        questions("CN=frontend", r#"{"kind": "todo"}"#).1,
        Outcome::Denied
    );
    assert_eq!(
        questions("spiffe://example.org/ns/web", "{}").1,
        Outcome::Denied
    );
    assert_eq!(
        questions("spiffe://example.org/ns/web", r#"{"kind": "todo:1#x@"}"#).1,
        Outcome::Denied
    );
}
