//! Cases that have a name: what RBAC is known for, bans, and groups that Remit knows.

use engine::eval::{self, Environment};
use kubernetes::question::{Ban, Verdict};
use model::{Context, Timestamp};
use serde_json::{Value, json};

use crate::graph::Graph;
use crate::rbac::{self, Asked};

const NO_OPINION: Verdict = Verdict::NoOpinion { failure: None };

fn binding(namespace: Option<&str>, role: (&str, &str), subject: Value) -> Value {
    let kind = if namespace.is_some() {
        "RoleBinding"
    } else {
        "ClusterRoleBinding"
    };
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
        "metadata": { "name": "b", "namespace": namespace },
        "roleRef": { "kind": role.0, "name": role.1 }, "subjects": [subject],
    })
}

fn role(kind: &str, namespace: Option<&str>, rules: Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
        "metadata": { "name": "r", "namespace": namespace }, "rules": rules,
    })
}

fn get(user: &str, groups: &[&str], namespace: &str, resource: &str) -> Value {
    json!({ "user": user, "groups": groups, "resourceAttributes": {
        "namespace": namespace, "verb": "get", "resource": resource,
    } })
}

fn ann() -> Value {
    json!({ "kind": "User", "name": "ann" })
}

fn everything() -> Value {
    json!([{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }])
}

#[test]
fn a_cluster_role_that_is_bound_in_a_namespace_counts_there_alone() {
    let manifests = [
        role("ClusterRole", None, everything()),
        binding(Some("prod"), ("ClusterRole", "r"), ann()),
    ];
    let graph = Graph::of(&manifests, &[]);
    for (namespace, expected) in [
        ("prod", Verdict::Allowed),
        ("dev", NO_OPINION),
        ("", NO_OPINION),
    ] {
        let spec = get("ann", &[], namespace, "pods");
        assert_eq!(graph.ask(&spec), expected, "{namespace}");
        assert_eq!(
            rbac::allows(&manifests, &Asked(&spec)),
            expected == Verdict::Allowed
        );
    }
    let url = json!({ "user": "ann", "groups": [], "nonResourceAttributes": { "verb": "get", "path": "/api" } });
    assert_eq!(graph.ask(&url), NO_OPINION);
}

#[test]
fn a_role_of_another_namespace_is_another_role() {
    let manifests = [
        role("Role", Some("dev"), everything()),
        binding(Some("prod"), ("Role", "r"), ann()),
    ];
    assert_eq!(
        Graph::of(&manifests, &[]).ask(&get("ann", &[], "prod", "pods")),
        NO_OPINION
    );
}

#[test]
fn a_ban_and_only_a_ban_is_a_deny() {
    let manifests = [
        role("ClusterRole", None, everything()),
        binding(
            None,
            ("ClusterRole", "r"),
            json!({ "kind": "Group", "name": "eng" }),
        ),
    ];
    let graph = Graph::of(
        &manifests,
        &[
            "kubernetes/namespace:main/prod#banned@kubernetes/user:eve",
            "kubernetes/namespace:main/prod#banned@kubernetes/group:contractors#anyone",
            "kubernetes/cluster:main#banned@kubernetes/user:mallory",
            "kubernetes/cluster:main#banned@kubernetes/user:zoe[expiration:1969-01-01T00:00:00Z]",
            "kubernetes/group:contractors#member@kubernetes/user:carl",
        ],
    );
    let here = Verdict::Denied(Ban::Namespace);
    let anywhere = Verdict::Denied(Ban::Cluster);
    for (user, groups, namespace, expected) in [
        ("ann", &["eng"][..], "prod", Verdict::Allowed),
        ("eve", &["eng"], "prod", here.clone()),
        ("eve", &["eng"], "dev", Verdict::Allowed),
        ("mallory", &["eng"], "dev", anywhere.clone()),
        ("mallory", &["eng"], "", anywhere),
        // Banned by a group that the API server says, and by one that Remit knows.
        ("dan", &["eng", "contractors"], "prod", here.clone()),
        ("carl", &["eng"], "prod", here),
        ("zoe", &["eng"], "prod", Verdict::Allowed),
        ("bob", &[], "prod", NO_OPINION),
    ] {
        assert_eq!(
            graph.ask(&get(user, groups, namespace, "pods")),
            expected,
            "{user} {namespace}"
        );
    }
}

#[test]
fn groups_that_remit_knows_count_and_nest() {
    let manifests = [
        role("ClusterRole", None, everything()),
        binding(
            None,
            ("ClusterRole", "r"),
            json!({ "kind": "Group", "name": "staff" }),
        ),
    ];
    let graph = Graph::of(
        &manifests,
        &[
            "kubernetes/group:staff#member@kubernetes/group:eng#anyone",
            "kubernetes/group:eng#member@kubernetes/user:ann",
        ],
    );
    assert_eq!(
        graph.ask(&get("ann", &[], "prod", "pods")),
        Verdict::Allowed
    );
    assert_eq!(
        graph.ask(&get("bob", &["eng"], "prod", "pods")),
        Verdict::Allowed
    );
    assert_eq!(
        graph.ask(&get("bob", &["other"], "prod", "pods")),
        NO_OPINION
    );
}

#[test]
fn what_is_allowed_is_granted_here_or_anywhere_and_not_banned() {
    let secrets = json!([{ "verbs": ["get"], "apiGroups": [""], "resources": ["secrets"] }]);
    let manifests = [
        role("ClusterRole", None, everything()),
        binding(
            None,
            ("ClusterRole", "r"),
            json!({ "kind": "User", "name": "root" }),
        ),
        role("Role", Some("prod"), secrets),
        binding(Some("prod"), ("Role", "r"), ann()),
    ];
    let graph = Graph::of(
        &manifests,
        &[
            "kubernetes/cluster_role_binding:main/b#subject@kubernetes/user:eve",
            "kubernetes/namespace:main/prod#banned@kubernetes/user:eve",
        ],
    );
    let context = |resource: &str| {
        let context = json!({ "verb": "get", "group": "", "resource": resource, "subresource": "", "name": "" });
        Context::from_json(&context.to_string()).unwrap()
    };
    let who = |resource: &str| -> Vec<String> {
        let (snapshot, context) = (graph.snapshot(), context(resource));
        let environment = Environment {
            context: &context,
            now: Timestamp::EPOCH,
            depth_max: 50,
            edges_visited_max: 10_000_000,
        };
        let users = ["ann", "bob", "eve", "root"];
        let has = |user: &&str| {
            let resource = "kubernetes/namespace:main/prod".parse().unwrap();
            let subject = format!("kubernetes/user:{user}").parse().unwrap();
            let query = eval::Query::resolve(snapshot, &resource, "allow", &subject).unwrap();
            eval::check(snapshot, &query, environment).unwrap() == model::Decision::Allowed
        };
        users.into_iter().filter(has).map(str::to_owned).collect()
    };
    assert_eq!(who("secrets"), ["ann", "root"]);
    assert_eq!(who("pods"), ["root"]);
}
