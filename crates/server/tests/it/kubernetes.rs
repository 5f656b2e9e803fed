//! The webhook of Kubernetes: what an API server was seen to send, over real connections, and what nobody should send.

use std::time::Instant;

use hyper::Request;
use kubernetes::id::Cluster;
use kubernetes::import::{Target, desired};
use kubernetes::manifest::Manifests;
use kubernetes::schema::TEXT;
use serde_json::{Value, json};

use crate::callers::{Domain, own_certificate, settings};
use crate::http_client::{Answer, Body, Http, post, text};
use crate::life::touch;
use crate::running::{KEY, Running, start, start_letting_in, write_schema};

pub(crate) const PATH: &str = "/kubernetes/v1/authorize";
/// As an API server asks.
const ASKED: &str = "/kubernetes/v1/authorize?timeout=30s";
const RECORDED: &str = include_str!("kubernetes/recorded.jsonl");
const DEFAULTS: &str = include_str!("../../../../examples/kubernetes/defaults.yaml");
const COMPANY: &str = include_str!("../../../../examples/kubernetes/company.yaml");

/// What makes the recorded reviews come to what they are recorded with.
const ADMINS: &str = "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: admins}
roleRef: {kind: ClusterRole, name: cluster-admin}
subjects: [{kind: Group, name: admins}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: cluster-admin}
rules:
- {apiGroups: ['*'], resources: ['*'], verbs: ['*']}
- {nonResourceURLs: ['*'], verbs: ['*']}
";
const MALLORY: &str = "kubernetes/namespace:main/default#banned@kubernetes/user:mallory";

/// Writes what manifests come to.
async fn import(running: &Running, files: &[&str]) {
    let mut manifests = Manifests::default();
    for file in files {
        manifests.read("rbac.yaml", file, None);
    }
    assert_eq!(manifests.faults, []);
    let target = Target {
        cluster: Cluster::default(),
        source: "rbac".to_owned(),
    };
    let desired = desired(&target, &manifests.found).unwrap();
    let rows: Vec<String> = desired.relationships().map(ToString::to_string).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let client = running.client().await;
    for part in rows.chunks(1_000) {
        touch(&client, part).await.unwrap();
    }
}

/// A server that has the definitions and what `files` say.
async fn started(files: &[&str]) -> Running {
    let running = start().await;
    write_schema(&running.client().await, TEXT).await;
    import(&running, files).await;
    running
}

pub(crate) fn review(spec: &Value) -> Value {
    json!({
        "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "metadata": { "creationTimestamp": null }, "spec": spec, "status": { "allowed": false },
    })
}

fn get(user: &str, groups: &[&str], namespace: &str, resource: &str) -> Value {
    json!({ "user": user, "groups": groups, "resourceAttributes": {
        "namespace": namespace, "verb": "get", "resource": resource, "version": "v1",
    } })
}

/// A request with what an API server sends along.
fn request(path: &str, body: Body) -> Request<Body> {
    Request::post(path)
        .header("host", "localhost")
        .header("user-agent", "Go-http-client/1.1")
        .header("accept", "application/json, */*")
        .header("authorization", format!("Bearer {KEY}"))
        .header("content-type", "application/json")
        .header("accept-encoding", "gzip")
        .body(body)
        .unwrap()
}

async fn status(http: &mut Http, spec: &Value) -> Value {
    let answer = http.ask(request(ASKED, text(review(spec)))).await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    answer.json()["status"].clone()
}

#[tokio::test]
async fn what_an_api_server_sent_is_answered() {
    let running = started(&[ADMINS]).await;
    touch(&running.client().await, &[MALLORY]).await.unwrap();
    let mut http = Http::to(&running).await;
    assert_eq!(RECORDED.lines().count(), 7);
    for line in RECORDED.lines() {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let answer = http.ask(request(ASKED, text(&recorded["review"]))).await;
        let expected = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "status": recorded["status"],
        });
        assert_eq!((answer.code, answer.json()), (200, expected), "{line}");
        assert_eq!(answer.headers["content-type"], "application/json");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_may_come_with_a_certificate_and_needs_four_roles() {
    let domain = Domain::new();
    let folder = tempfile::tempdir().unwrap();
    let of_domain = "[[trust_domain]]\nname = 'example.org'\nbundle_file = 'bundle.pem'\n";
    let read = settings(folder.path(), of_domain, &[("bundle.pem", &domain.pem)]);
    let tls = own_certificate();
    let ours = tls.certificate_pem.clone();
    let (running, _) = start_letting_in(read, Some(tls)).await;
    let mut admin = Http::connect_tls(running.http, &ours).await;
    admin
        .well("/v1/schema/write", json!({ "schema": TEXT }))
        .await;
    let row = |row: &str| {
        let row = server::convert::relationship_to_wire(&row.parse().unwrap());
        let object = |of: &remit_client::proto::authzed::api::v1::ObjectReference| json!({ "objectType": of.object_type, "objectId": of.object_id });
        let subject = row.subject.unwrap();
        json!({ "updates": [{ "operation": "OPERATION_TOUCH", "relationship": {
            "resource": object(&row.resource.unwrap()), "relation": row.relation,
            "subject": { "object": object(&subject.object.unwrap()) },
        } }] })
    };
    admin.well("/v1/relationships/write", row(MALLORY)).await;
    let own = domain.client(&["spiffe://example.org/apiserver"]);
    let mut http = Http::connect_as(running.http, &ours, own).await;
    let ask = async |http: &mut Http, user: &str| -> Answer {
        let mut asked = request(ASKED, text(review(&get(user, &["eng"], "default", "pods"))));
        asked.headers_mut().remove("authorization");
        http.ask(asked).await
    };
    // Without a role on each it is not known whether the user is banned or locked, and that is no answer.
    for definition in [
        "kubernetes/user",
        "kubernetes/cluster",
        "kubernetes/namespace",
        "kubernetes/group",
    ] {
        let refused = ask(&mut http, "bob").await;
        assert_eq!(refused.code, 400, "{}", refused.text);
        assert!(refused.text.contains("not found"), "{}", refused.text);
        let role =
            format!("remit/type:{definition}#checker@remit/workload:example=2Eorg/apiserver");
        admin.well("/v1/relationships/write", row(&role)).await;
    }
    let answer = ask(&mut http, "mallory").await;
    assert_eq!(
        (answer.code, &answer.json()["status"]["denied"]),
        (200, &json!(true))
    );
    let answer = ask(&mut http, "bob").await;
    assert_eq!(
        answer.json()["status"]["reason"],
        "no relationship grants this"
    );
    // Nobody is let in without a certificate or a key, and is told so as Kubernetes tells it.
    let mut without = Http::connect_tls(running.http, &ours).await;
    let refused = ask(&mut without, "bob").await;
    assert_eq!(
        (refused.code, &refused.json()["reason"]),
        (401, &json!("Unauthorized"))
    );
    running.stop().await;
}

#[tokio::test]
async fn a_company_is_asked_about_as_its_manifests_say() {
    let running = started(&[DEFAULTS, COMPANY]).await;
    let mut http = Http::to(&running).await;
    let eng = ["harbour:engineering", "system:authenticated"];
    let platform = ["harbour:platform", "system:authenticated"];
    for (user, groups, namespace, resource, expected) in [
        ("ann@example.com", &eng[..], "prod", "pods", true),
        ("ann@example.com", &eng, "prod", "secrets", false),
        ("ann@example.com", &eng, "dev", "secrets", true),
        ("pat", &platform, "prod", "secrets", true),
        ("pat", &platform, "", "secrets", false),
        ("ann@example.com", &eng, "", "nodes", true),
        (
            "system:serviceaccount:monitoring:prometheus",
            &[],
            "prod",
            "services",
            true,
        ),
        (
            "system:serviceaccount:monitoring:other",
            &[],
            "prod",
            "services",
            false,
        ),
        ("root", &["system:masters"], "prod", "secrets", true),
        ("kate", &["harbour:audit"], "prod", "configmaps", true),
    ] {
        let told = status(&mut http, &get(user, groups, namespace, resource)).await;
        assert_eq!(
            told["allowed"], expected,
            "{user} {namespace} {resource}: {told}"
        );
    }
    let mut named = get("bob@example.com", &eng, "prod", "secrets");
    assert_eq!(status(&mut http, &named).await["allowed"], false);
    named["resourceAttributes"]["name"] = json!("payments-db");
    assert_eq!(status(&mut http, &named).await["allowed"], true);
    // By the name of a definition of the cluster's own, which roles that are made of others take in.
    let crontabs = json!({ "user": "pat", "groups": platform, "resourceAttributes": {
        "namespace": "prod", "verb": "patch", "group": "stable.example.com", "resource": "crontabs", "name": "nightly",
    } });
    assert_eq!(status(&mut http, &crontabs).await["allowed"], true);
    let scale = json!({ "user": "system:serviceaccount:autoscaling:keda", "resourceAttributes": {
        "namespace": "prod", "verb": "patch", "group": "apps", "resource": "deployments", "subresource": "scale",
    } });
    assert_eq!(status(&mut http, &scale).await["allowed"], true);
    for (path, expected) in [
        ("/readyz", true),
        ("/metrics", false),
        ("/apis/apps/v1", true),
    ] {
        let url = json!({ "user": "ann@example.com", "groups": eng,
            "nonResourceAttributes": { "path": path, "verb": "get" } });
        assert_eq!(status(&mut http, &url).await["allowed"], expected, "{path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_lock_denies_what_is_granted_and_another_cluster_is_another() {
    let running = started(&[ADMINS]).await;
    let mut http = Http::to(&running).await;
    let admin = get("alice", &["admins"], "prod", "secrets");
    assert_eq!(status(&mut http, &admin).await["allowed"], true);
    let elsewhere = http
        .ask(request(
            "/kubernetes/v1/authorize/eu-1",
            text(review(&admin)),
        ))
        .await;
    assert_eq!(
        elsewhere.json()["status"]["reason"],
        "no relationship grants this"
    );
    let alice = json!({ "objectType": "kubernetes/user", "objectId": "alice" });
    let lock = json!({ "subject": alice, "reason": "a secret of the security team" });
    http.well("/remit/v1/access/lock", lock).await;
    let told = json!({ "allowed": false, "denied": true, "reason": "the user or a group of it is locked" });
    assert_eq!(status(&mut http, &admin).await, told);
    assert_eq!(
        status(&mut http, &get("bob", &["admins"], "prod", "secrets")).await["allowed"],
        true
    );
    http.well("/remit/v1/access/unlock", json!({ "subject": alice }))
        .await;
    assert_eq!(status(&mut http, &admin).await["allowed"], true);
    running.stop().await;
}

#[tokio::test]
async fn a_lock_of_a_group_does_not_lift_its_ban() {
    let running = started(&[ADMINS]).await;
    let client = running.client().await;
    let by_name = "kubernetes/cluster_role_binding:main/admins#subject@kubernetes/user:eve";
    let ban = "kubernetes/cluster:main#banned@kubernetes/group:contractors#anyone";
    touch(&client, &[by_name, ban]).await.unwrap();
    let mut http = Http::to(&running).await;
    let told = |reason: &str| json!({ "allowed": false, "denied": true, "reason": reason });
    let banned = told("the user or a group of it is banned in the cluster");
    let locked = told("the user or a group of it is locked");
    let eve = get("eve", &["contractors"], "prod", "secrets");
    let ann = get("ann", &["admins"], "prod", "secrets");
    assert_eq!(status(&mut http, &eve).await, banned);
    for group in ["contractors", "admins"] {
        let group = json!({ "objectType": "kubernetes/group", "objectId": group });
        let lock = json!({ "subject": group, "reason": "its owner is gone" });
        http.well("/remit/v1/access/lock", lock).await;
    }
    assert_eq!(status(&mut http, &eve).await, locked);
    // And nobody has anything by a group that is locked.
    assert_eq!(status(&mut http, &ann).await, locked);
    running.stop().await;
}

#[tokio::test]
async fn what_cannot_be_decided_is_never_allowed() {
    let running = start().await;
    let client = running.client().await;
    // A company may put more conditions on a grant, and on a ban, than a review gives values for.
    let on_shift =
        "kubernetes/cluster_role_binding | kubernetes/cluster_role_binding with on_shift";
    let schema = TEXT
        .replacen(
            "relation binding: kubernetes/cluster_role_binding",
            &format!("relation binding: {on_shift}"),
            1,
        )
        .replacen(
            "relation banned: kubernetes/user |",
            "relation banned: kubernetes/user | kubernetes/user with on_shift |",
            1,
        );
    write_schema(
        &client,
        &format!("{schema}\ncaveat on_shift(shift string) {{ shift == \"day\" }}\n"),
    )
    .await;
    import(&running, &[ADMINS]).await;
    let conditional =
        "kubernetes/cluster:main#binding@kubernetes/cluster_role_binding:main/admins[on_shift]";
    touch(&client, &[conditional]).await.unwrap();
    let mut http = Http::to(&running).await;
    let told = status(&mut http, &get("alice", &["admins"], "", "pods")).await;
    assert_eq!(
        (&told["allowed"], told.get("denied")),
        (&json!(false), None)
    );
    assert_eq!(
        told["evaluationError"],
        "it depends on values that a review does not give: shift"
    );
    let ban = "kubernetes/cluster:main#banned@kubernetes/user:alice[on_shift]";
    touch(&client, &[ban]).await.unwrap();
    let refused = http
        .ask(request(
            ASKED,
            text(review(&get("alice", &["admins"], "", "pods"))),
        ))
        .await;
    assert_eq!(refused.code, 400, "{}", refused.text);
    let told = refused.json();
    assert_eq!(
        (&told["kind"], &told["status"]),
        (&json!("Status"), &json!("Failure"))
    );
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("it is not known whether the user is banned")
    );
    running.stop().await;
}

#[tokio::test]
async fn what_is_no_review_is_refused() {
    let running = started(&[ADMINS]).await;
    let good = review(&get("alice", &["admins"], "prod", "pods"));
    let with = |change: fn(&mut Value)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed.to_string()
    };
    let many: Vec<String> = (0..1_001).map(|n| format!("g{n}")).collect();
    let mut crowded = good.clone();
    crowded["spec"]["groups"] = json!(many);
    let twice = good
        .to_string()
        .replacen("\"spec\":", "\"spec\":{},\"spec\":", 1);
    for (body, part) in [
        (String::new(), "is not JSON"),
        ("[]".to_owned(), "is not a JSON object"),
        (twice, "gives a member twice"),
        (
            with(|it| it["apiVersion"] = json!("authorization.k8s.io/v1beta1")),
            "subjectAccessReviewVersion: v1",
        ),
        (
            with(|it| it["kind"] = json!("TokenReview")),
            "`kind` is `TokenReview`",
        ),
        (
            with(|it| it["spec"]["nonResourceAttributes"] = json!({})),
            "has either",
        ),
        (
            with(|it| it["spec"] = json!({ "user": "alice" })),
            "has either",
        ),
        (
            with(|it| it["spec"]["user"] = json!(["alice"])),
            "`spec.user` is no text",
        ),
        (
            with(|it| it["spec"]["groups"] = json!("admins")),
            "`spec.groups` is no list",
        ),
        (
            with(|it| it["spec"]["user"] = json!("@".repeat(400))),
            "at most 1024 are allowed",
        ),
        (
            with(|it| it["spec"]["resourceAttributes"]["namespace"] = json!("a/b")),
            "has a `/`",
        ),
        (
            crowded.to_string(),
            "has 1001 groups, at most 1000 are asked about",
        ),
        (
            format!("{}{good}", " ".repeat(1 << 20)),
            "more than 1048576 bytes",
        ),
    ] {
        // A body that is not read to its end costs the connection.
        let mut http = Http::to(&running).await;
        let answer = http.ask(request(ASKED, text(&body))).await;
        let told = answer.json();
        assert_eq!(
            (answer.code, &told["reason"]),
            (400, &json!("BadRequest")),
            "{told}"
        );
        let message = told["message"].as_str().unwrap();
        assert!(message.contains(part), "{message}");
    }
    running.stop().await;
}

#[tokio::test]
async fn what_is_sent_otherwise_than_an_api_server_does_is_told_so() {
    let running = started(&[ADMINS]).await;
    let mut http = Http::to(&running).await;
    let good = review(&get("alice", &["admins"], "prod", "pods"));
    // What is longer than caveats may be given is a grant that cannot be decided.
    let long = json!({ "user": "alice", "groups": ["admins"],
        "nonResourceAttributes": { "path": "/x".repeat(4_000), "verb": "get" } });
    let told = status(&mut http, &long).await;
    assert_eq!(told["allowed"], false);
    assert!(
        told["evaluationError"]
            .as_str()
            .unwrap()
            .contains("4096 bytes"),
        "{told}"
    );
    let mut other_type = post(ASKED, &good);
    other_type
        .headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(http.ask(other_type).await.code, 400);
    let mut zipped = post(ASKED, &good);
    zipped
        .headers_mut()
        .insert("content-encoding", "gzip".parse().unwrap());
    assert!(http.ask(zipped).await.text.contains("is not compressed"));
    let got = http.get(PATH).await;
    assert_eq!(
        (got.code, &got.headers["allow"]),
        (405, &"POST".parse().unwrap())
    );
    assert_eq!(
        http.post("/kubernetes/v1/authorize/a/b", &good).await.code,
        404
    );
    assert_eq!(
        http.post("/kubernetes/v1/authorized", &good).await.code,
        404
    );
    let mut unknown = post(ASKED, &good);
    unknown
        .headers_mut()
        .insert("authorization", "Bearer wrong".parse().unwrap());
    let refused = http.ask(unknown).await;
    assert_eq!(
        (refused.code, &refused.json()["kind"]),
        (401, &json!("Status"))
    );
    running.stop().await;
}

/// What a review costs; `RUN_SLOW_TESTS=1 cargo test --release -p server --test it kubernetes::costs -- --nocapture` prints it.
#[tokio::test(flavor = "multi_thread")]
async fn costs_are_bounded_at_a_realistic_size() {
    let is_long = std::env::var_os("RUN_SLOW_TESTS").is_some();
    let (roles, bindings, asked) = if is_long {
        (500, 5_000, 2_000)
    } else {
        (50, 500, 20)
    };
    let running = started(&[DEFAULTS, &crowd(roles, bindings)]).await;
    let mut http = Http::to(&running).await;
    let groups = ["harbour:engineering", "team-7", "system:authenticated"];
    for (what, spec, expected) in [
        (
            "granted in the namespace",
            get("user-17@example.com", &groups, "ns-17", "r-17"),
            true,
        ),
        (
            "not granted",
            get("user-17@example.com", &groups, "ns-18", "nothing"),
            false,
        ),
    ] {
        let begun = Instant::now();
        for _ in 0..asked {
            assert_eq!(
                status(&mut http, &spec).await["allowed"],
                expected,
                "{what}"
            );
        }
        eprintln!(
            "{what}: {} us a review",
            begun.elapsed().as_micros() / asked
        );
    }
    let plain = json!({
        "resource": { "objectType": "kubernetes/group", "objectId": "team-7" }, "permission": "member",
        "subject": { "object": { "objectType": "kubernetes/user", "objectId": "bob" } },
    });
    let begun = Instant::now();
    for _ in 0..asked {
        http.well("/v1/permissions/check", &plain).await;
    }
    eprintln!("a plain check: {} us", begun.elapsed().as_micros() / asked);
    running.stop().await;
}

/// Roles of five rules each, and bindings: a tenth of the cluster, the others spread over namespaces.
fn crowd(roles: usize, bindings: usize) -> String {
    let namespaces = bindings / 15;
    let mut items = Vec::new();
    let version = "rbac.authorization.k8s.io/v1";
    for n in 0..roles {
        let rules: Vec<Value> = (0..5)
            .map(|rule| json!({
                "apiGroups": ["", "apps"], "resources": [format!("r-{n}"), format!("r-{n}-{rule}"), "pods", "pods/log"],
                "verbs": ["get", "list", "watch"],
            }))
            .collect();
        items.push(json!({ "apiVersion": version, "kind": "ClusterRole", "metadata": { "name": format!("role-{n}") }, "rules": rules }));
    }
    for n in 0..bindings {
        let is_clusters = n % 10 == 9;
        let kind = if is_clusters {
            "ClusterRoleBinding"
        } else {
            "RoleBinding"
        };
        let namespace = (!is_clusters).then(|| format!("ns-{}", n % namespaces));
        items.push(json!({
            "apiVersion": version, "kind": kind,
            "metadata": { "name": format!("binding-{n}"), "namespace": namespace },
            "roleRef": { "kind": "ClusterRole", "name": format!("role-{}", n % roles) },
            "subjects": [
                { "kind": "User", "name": format!("user-{n}@example.com") },
                { "kind": "Group", "name": format!("team-{}", n % 200) },
                { "kind": "ServiceAccount", "name": "robot", "namespace": format!("ns-{}", n % namespaces) },
            ],
        }));
    }
    json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
}
