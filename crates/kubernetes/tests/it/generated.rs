//! Random manifests and reviews, from few words, so that they meet.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

const VERSION: &str = "rbac.authorization.k8s.io/v1";
const NAMESPACES: [&str; 3] = ["prod", "dev", "kube-system"];
const ROLES: [&str; 5] = ["admin", "edit", "view", "system:node", "r.1"];
const USERS: [&str; 5] = [
    "ann@example.com",
    "bob",
    "a/b",
    "system:serviceaccount:prod:builder",
    "system:serviceaccount:prod",
];
const GROUPS: [&str; 4] = ["eng", "system:authenticated", "a=b", "eng/x"];
const VERBS: [&str; 4] = ["get", "get", "list", "*"];
const API_GROUPS: [&str; 4] = ["", "", "apps", "*"];
const RESOURCES: [&str; 9] = [
    "pods",
    "pods/log",
    "pods/status",
    "secrets",
    "*",
    "*/log",
    "*/status",
    "*/*",
    "secrets/*",
];
const NAMES: [&str; 3] = ["a", "b", ""];
const PATHS: [&str; 8] = [
    "/",
    "/healthz",
    "/healthz/*",
    "/api*",
    "/apis/**",
    "*",
    "/api",
    "/metrics",
];
const LABELS: [&str; 3] = ["to-view", "to-edit", "to-admin"];

fn some<T: Clone + std::fmt::Debug + 'static>(
    of: &'static [T],
    max: usize,
) -> BoxedStrategy<Vec<T>> {
    vec(select(of), 1..=max).boxed()
}

fn rule(is_clusters: bool) -> BoxedStrategy<Value> {
    let resources = (
        some(&VERBS, 3),
        some(&API_GROUPS, 3),
        some(&RESOURCES, 5),
        prop_oneof![3 => Just(Vec::new()), 1 => some(&NAMES, 2)],
    )
        .prop_map(|(verbs, groups, resources, names)| {
            json!({ "verbs": verbs, "apiGroups": groups, "resources": resources, "resourceNames": names })
        });
    if !is_clusters {
        return resources.boxed();
    }
    let urls = (some(&VERBS, 3), some(&PATHS, 4))
        .prop_map(|(verbs, urls)| json!({ "verbs": verbs, "nonResourceURLs": urls }));
    prop_oneof![3 => resources, 1 => urls].boxed()
}

fn labels() -> BoxedStrategy<Value> {
    vec((select(&LABELS[..]), select(&["true", "false"][..])), 0..3)
        .prop_map(|labels| {
            let labels = labels
                .into_iter()
                .map(|(key, value)| (key.to_owned(), json!(value)));
            Value::Object(labels.collect())
        })
        .boxed()
}

fn selector() -> BoxedStrategy<Value> {
    let requirement = (
        select(&LABELS[..]),
        select(&["In", "NotIn", "Exists", "DoesNotExist"][..]),
        select(&["true", "false"][..]),
    )
        .prop_map(|(key, operator, value)| {
            let values = if operator.ends_with("In") {
                vec![value]
            } else {
                Vec::new()
            };
            json!({ "key": key, "operator": operator, "values": values })
        });
    prop_oneof![
        2 => labels().prop_map(|labels| json!({ "matchLabels": labels })),
        1 => vec(requirement, 1..3).prop_map(|wanted| json!({ "matchExpressions": wanted })),
    ]
    .boxed()
}

fn cluster_role() -> BoxedStrategy<Value> {
    let aggregation = prop_oneof![
        3 => Just(Value::Null),
        1 => vec(selector(), 1..3).prop_map(|selectors| json!({ "clusterRoleSelectors": selectors })),
    ];
    (select(&ROLES[..]), labels(), aggregation, vec(rule(true), 0..6))
        .prop_map(|(name, labels, aggregation, rules)| {
            json!({
                "apiVersion": VERSION, "kind": "ClusterRole", "metadata": { "name": name, "labels": labels },
                "aggregationRule": aggregation, "rules": rules,
            })
        })
        .boxed()
}

fn role() -> BoxedStrategy<Value> {
    (select(&ROLES[..]), select(&NAMESPACES[..]), vec(rule(false), 0..6))
        .prop_map(|(name, namespace, rules)| {
            json!({
                "apiVersion": VERSION, "kind": "Role", "metadata": { "name": name, "namespace": namespace },
                "rules": rules,
            })
        })
        .boxed()
}

fn subject(is_clusters: bool) -> BoxedStrategy<Value> {
    let namespace = if is_clusters {
        select(&NAMESPACES[..])
            .prop_map(|namespace| json!(namespace))
            .boxed()
    } else {
        let given = select(&NAMESPACES[..]).prop_map(|namespace| json!(namespace));
        prop_oneof![given, Just(Value::Null), Just(json!(""))].boxed()
    };
    prop_oneof![
        select(&USERS[..]).prop_map(|name| json!({ "kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io" })),
        select(&GROUPS[..]).prop_map(|name| json!({ "kind": "Group", "name": name })),
        namespace.prop_map(|namespace| json!({ "kind": "ServiceAccount", "name": "builder", "namespace": namespace })),
    ]
    .boxed()
}

fn binding() -> BoxedStrategy<Value> {
    let clusters = (select(&ROLES[..]), vec(subject(true), 0..5), 0..3_u8).prop_map(|(role, subjects, name)| {
        json!({
            "apiVersion": VERSION, "kind": "ClusterRoleBinding", "metadata": { "name": format!("b:{name}") },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": subjects,
        })
    });
    let role = (select(&["Role", "ClusterRole"][..]), select(&ROLES[..]));
    let of_namespace = (
        select(&NAMESPACES[..]),
        role,
        vec(subject(false), 0..5),
        0..3_u8,
    )
        .prop_map(|(namespace, (kind, role), subjects, name)| {
            json!({
                "apiVersion": VERSION, "kind": "RoleBinding",
                "metadata": { "name": format!("b:{name}"), "namespace": namespace },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role },
                "subjects": subjects,
            })
        });
    prop_oneof![clusters, of_namespace].boxed()
}

/// Manifests, no two of one name.
pub(crate) fn manifests() -> BoxedStrategy<Vec<Value>> {
    let roles = vec(prop_oneof![2 => cluster_role(), 1 => role()], 2..10);
    (roles, vec(binding(), 2..12))
        .prop_map(|(roles, bindings)| {
            let mut kept: Vec<Value> = Vec::new();
            for manifest in roles.into_iter().chain(bindings) {
                let is_same = |other: &Value| {
                    ["/kind", "/metadata/name", "/metadata/namespace"]
                        .iter()
                        .all(|path| other.pointer(path) == manifest.pointer(path))
                };
                if !kept.iter().any(is_same) {
                    kept.push(manifest);
                }
            }
            kept
        })
        .boxed()
}

/// The `spec` of a review.
pub(crate) fn spec() -> BoxedStrategy<Value> {
    let verb = || select(&["get", "get", "list", "delete", "*"][..]);
    let resource = (
        prop_oneof![1 => Just(""), 6 => select(&NAMESPACES[..]), 1 => Just("other")],
        verb(),
        select(&["", "", "apps", "*", "batch"][..]),
        select(&["pods", "pods", "secrets", "pods/log", "*", "*/log", "jobs"][..]),
        select(&["", "", "log", "status", "*", "x"][..]),
        select(&["", "a", "b", "c"][..]),
    )
        .prop_map(|(namespace, verb, group, resource, subresource, name)| {
            json!({ "resourceAttributes": {
                "namespace": namespace, "verb": verb, "group": group, "resource": resource,
                "subresource": subresource, "name": name, "version": "v1",
            } })
        });
    let paths = [
        "/",
        "/healthz",
        "/healthz/ready",
        "/api",
        "/apis/x",
        "/api*",
        "/metrics",
        "",
        "/apis/",
    ];
    let url = (verb(), select(paths.to_vec())).prop_map(
        |(verb, path)| json!({ "nonResourceAttributes": { "verb": verb, "path": path } }),
    );
    (
        select(&USERS[..]),
        vec(select(&GROUPS[..]), 0..4),
        prop_oneof![4 => resource, 1 => url],
    )
        .prop_map(|(user, groups, mut spec)| {
            spec["user"] = json!(user);
            spec["groups"] = json!(groups);
            spec
        })
        .boxed()
}
