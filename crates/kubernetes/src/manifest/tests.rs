//! Manifests as they are written, well and badly.

use super::*;

fn read(text: &str) -> Manifests {
    let mut manifests = Manifests::default();
    manifests.read("rbac.yaml", text, None);
    manifests
}

fn faults(text: &str) -> String {
    let faults = read(text).faults;
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}

fn names(manifests: &Manifests) -> Vec<String> {
    let found = manifests.found.iter();
    found.map(|(_, manifest)| manifest.to_string()).collect()
}

const ROLE: &str = "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: deployer, namespace: prod}
rules:
- apiGroups: [apps]
  resources: [deployments]
  verbs: ['*']
";

#[test]
fn documents_lists_and_other_kinds_are_told_apart() {
    let text = format!(
        "# A comment.\n---\n{ROLE}---\n---\n# Nothing.\n--- \napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\n\
         data: {{text: \"a\\n--- b\"}}\n---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n\
         - apiVersion: rbac.authorization.k8s.io/v1\n  kind: ClusterRoleBinding\n  metadata: {{name: all}}\n\
         \x20 roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}}\n\
         \x20 subjects: null\n"
    );
    let manifests = read(&text);
    assert_eq!(manifests.faults, []);
    assert_eq!(
        names(&manifests),
        ["Role prod/deployer", "ClusterRoleBinding all"]
    );
    assert_eq!(
        manifests.found[1].0.to_string(),
        "rbac.yaml, document 5, item 2"
    );
    let skipped: Vec<_> = manifests.skipped.into_iter().collect();
    assert_eq!(
        skipped,
        [("ConfigMap".to_owned(), 1), ("Secret".to_owned(), 1)]
    );
}

#[test]
fn json_is_read_and_items_of_a_list_of_one_kind_need_not_say_so() {
    let text = r#"{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleList", "metadata": {}, "items": [
        {"metadata": {"name": "view", "labels": {"a": "b"}}, "rules": null},
        {"metadata": {"name": "admin"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}]}"#;
    let manifests = read(text);
    assert_eq!(manifests.faults, []);
    assert_eq!(names(&manifests), ["ClusterRole view", "ClusterRole admin"]);
    let twice = r#"{"apiVersion": "v1", "kind": "List", "items": [], "kind": "Role"}"#;
    assert!(!read(twice).faults.is_empty());
}

#[test]
fn what_is_given_twice_says_the_same() {
    let manifests = read(&format!("{ROLE}---\n{ROLE}"));
    assert_eq!((manifests.found.len(), manifests.faults.len()), (1, 0));
    let other = ROLE.replace("deployments", "pods");
    assert_eq!(
        faults(&format!("{ROLE}---\n{other}")),
        "rbac.yaml, document 2: Role prod/deployer is given before, otherwise, by rbac.yaml, document 1\n"
    );
}

#[test]
fn a_namespace_may_be_given_for_those_that_name_none() {
    let text = ROLE.replace(", namespace: prod", "");
    assert!(
        faults(&text).contains(
            "Role deployer: it has no namespace; write it, or say which by `--namespace`"
        )
    );
    let mut manifests = Manifests::default();
    manifests.read("rbac.yaml", &text, Some("dev"));
    assert_eq!(names(&manifests), ["Role dev/deployer"]);
}

fn with_rule(kind: &str, rule: &str) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata: {{name: r, namespace: dev}}\nrules: [{rule}]\n"
    )
}

fn with_requirement(requirement: &str) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: r}}\n\
         aggregationRule: {{clusterRoleSelectors: [{{matchExpressions: [{requirement}]}}]}}\n"
    )
}

fn with_role(role: &str) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: b}}\n{role}\n"
    )
}

fn with_subject(subject: &str) -> String {
    with_role(&format!(
        "roleRef: {{kind: ClusterRole, name: view}}\nsubjects: [{subject}]"
    ))
}

/// Each text has a fault that says so.
fn each_says(cases: &[(String, &str)]) {
    for (text, part) in cases {
        let told = faults(text);
        assert!(told.contains(part), "{text}\n{told}");
        assert!(told.starts_with("rbac.yaml, document "), "{told}");
    }
}

#[test]
fn a_fault_says_where_and_what() {
    each_says(&[
        (format!("{ROLE}---\na: [\n"), "document 2: line "),
        ("a: b\n".to_owned(), "document 1: it is no manifest"),
        ("- a\n".to_owned(), "it is no manifest"),
        (
            "apiVersion: v1\nkind: List\nitems: [1]\n".to_owned(),
            "item 1: it is no manifest",
        ),
        (
            ROLE.replace("/v1", "/v1beta1"),
            "`rbac.authorization.k8s.io/v1beta1` is not read",
        ),
        (
            ROLE.replace("[apps]", "apps"),
            "Role deployer: invalid type",
        ),
        (
            ROLE.replace("name: deployer, ", ""),
            "Role: missing field `name`",
        ),
        (
            ROLE.replace("name: deployer", "name: a%b"),
            "has `/` or `%`",
        ),
        (
            ROLE.replace("namespace: prod", "namespace: a/b"),
            "its namespace has `/`",
        ),
    ]);
}

#[test]
fn what_an_api_server_would_refuse_is_a_fault() {
    let urls = "verbs: [get], nonResourceURLs: [/x]";
    each_says(&[
        (
            with_rule("Role", "{apiGroups: [''], resources: [pods]}"),
            "rule 1: it has no verbs",
        ),
        (
            with_rule("Role", "{verbs: [get], resources: [pods]}"),
            "it has no `apiGroups`",
        ),
        (
            with_rule("Role", "{verbs: [get], apiGroups: ['']}"),
            "it has no `resources`",
        ),
        (
            with_rule("Role", &format!("{{{urls}}}")),
            "has no `nonResourceURLs`",
        ),
        (
            with_rule("ClusterRole", &format!("{{{urls}, resources: [pods]}}")),
            "both resources and",
        ),
        (
            with_role("roleRef: {kind: Role, name: view}"),
            "ClusterRoleBinding b: a role of a namespace is not given in all of the cluster",
        ),
        (
            with_role("roleRef: {kind: Pod, name: view}"),
            "is a `Pod`, which is no role",
        ),
        (
            with_role("roleRef: {kind: ClusterRole, name: view, apiGroup: v1}"),
            "is of `v1`",
        ),
        (with_role(""), "missing field `roleRef`"),
        (
            with_subject("{kind: ServiceAccount, name: s}"),
            "`s` has no namespace",
        ),
        (
            with_subject("{kind: ServiceAccount, name: 'a:b', namespace: dev}"),
            "`dev:a:b` has `/` or `:`",
        ),
        (
            with_subject("{kind: Robot, name: s}"),
            "`Robot` is no kind of subject",
        ),
        (with_subject("{kind: User, name: ''}"), "has no name"),
        (
            with_subject("{kind: User, name: s, apiGroup: v1}"),
            "is of `v1`, which has none",
        ),
        (
            with_requirement("{key: a, operator: Like, values: [b]}"),
            "`Like` on the label `a`",
        ),
        (
            with_requirement("{key: a, operator: In}"),
            "`In` on the label `a` is no requirement with 0 values",
        ),
    ]);
}

#[test]
fn lists_end_somewhere() {
    let mut text = "{apiVersion: v1, kind: Secret}".to_owned();
    for _ in 0..6 {
        text = format!("{{apiVersion: v1, kind: List, items: [{text}]}}");
    }
    assert!(faults(&text).contains("nested more than 4 deep"));
    assert!(read("").found.is_empty() && read("").faults.is_empty());
}
