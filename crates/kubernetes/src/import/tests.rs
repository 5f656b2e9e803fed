//! Which relationships manifests come to.

use super::*;
use crate::manifest::Manifests;

fn told(text: &str) -> Vec<String> {
    let mut manifests = Manifests::default();
    manifests.read("rbac.yaml", text, None);
    assert_eq!(manifests.faults, []);
    let target = Target {
        cluster: Cluster::default(),
        source: "rbac".to_owned(),
    };
    let desired = desired(&target, &manifests.found).unwrap();
    desired
        .relationships()
        .map(Relationship::to_string)
        .collect()
}

#[test]
fn a_role_is_its_rules_for_everybody_on_a_condition() {
    let role = "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: deployer, namespace: prod}
rules:
- {apiGroups: [apps], resources: [deployments], verbs: [get]}
";
    let permits = r#"[kubernetes/permits:{"groups":["apps"],"names":[],"resources":["deployments"],"verbs":["get"]}]"#;
    assert_eq!(
        told(role),
        [
            "kubernetes/role:main/prod/deployer#rule@kubernetes/rule:main/prod/deployer/0"
                .to_owned(),
            "kubernetes/role:main/prod/deployer#source@kubernetes/source:main/rbac".to_owned(),
            format!("kubernetes/rule:main/prod/deployer/0#matches@kubernetes/group:*{permits}"),
            format!(
                "kubernetes/rule:main/prod/deployer/0#matches@kubernetes/serviceaccount:*{permits}"
            ),
            format!("kubernetes/rule:main/prod/deployer/0#matches@kubernetes/user:*{permits}"),
            "kubernetes/namespace:main/prod#cluster@kubernetes/cluster:main".to_owned(),
        ]
    );
}

#[test]
fn a_binding_gives_in_its_namespace() {
    let binding = "apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployers, namespace: prod}
roleRef: {kind: ClusterRole, name: edit}
subjects:
- {kind: User, name: ann@example.com}
- {kind: User, name: 'system:serviceaccount:ci:builder'}
- {kind: ServiceAccount, name: builder, namespace: ci}
- {kind: ServiceAccount, name: own}
- {kind: Group, name: 'oidc:eng'}
";
    assert_eq!(
        told(binding),
        [
            "kubernetes/namespace:main/prod#binding@kubernetes/role_binding:main/prod/deployers",
            "kubernetes/role_binding:main/prod/deployers#role@kubernetes/cluster_role:main/edit",
            "kubernetes/role_binding:main/prod/deployers#source@kubernetes/source:main/rbac",
            "kubernetes/role_binding:main/prod/deployers#subject@kubernetes/group:oidc=3Aeng#anyone",
            "kubernetes/role_binding:main/prod/deployers#subject@kubernetes/serviceaccount:main/ci/builder",
            "kubernetes/role_binding:main/prod/deployers#subject@kubernetes/serviceaccount:main/prod/own",
            "kubernetes/role_binding:main/prod/deployers#subject@kubernetes/user:ann=40example=2Ecom",
            "kubernetes/namespace:main/prod#cluster@kubernetes/cluster:main",
        ]
    );
}

#[test]
fn an_aggregated_role_is_the_others_and_not_its_own_rules() {
    let roles = "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: admin, labels: {to: admin}}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {to: admin}}]}
rules:
- {apiGroups: ['*'], resources: ['*'], verbs: ['*']}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: edit, labels: {to: admin}}
rules: []
";
    assert_eq!(
        told(roles),
        [
            "kubernetes/cluster_role:main/admin#aggregate@kubernetes/cluster_role:main/edit",
            "kubernetes/cluster_role:main/admin#source@kubernetes/source:main/rbac",
            "kubernetes/cluster_role:main/edit#source@kubernetes/source:main/rbac",
        ]
    );
}

#[test]
fn a_name_without_an_id_says_where_it_is() {
    let name = "@".repeat(400);
    let mut manifests = Manifests::default();
    let binding = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: b}}\n\
         roleRef: {{kind: ClusterRole, name: view}}\nsubjects: [{{kind: User, name: '{name}'}}]\n"
    );
    manifests.read("rbac.yaml", &binding, None);
    let target = Target {
        cluster: Cluster::default(),
        source: "rbac".to_owned(),
    };
    let told = desired(&target, &manifests.found).unwrap_err().to_string();
    assert!(
        told.starts_with("rbac.yaml, document 1: ClusterRoleBinding b: ")
            && told.contains("1200 bytes"),
        "{told}"
    );
}
