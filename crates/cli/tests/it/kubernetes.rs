//! RBAC manifests at the command line: imported, changed, pruned, and asked about.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Served, run, serve};

/// The manifests that are in the repository for everybody to try.
fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/kubernetes")
}

/// A server with a company's schema and the definitions.
fn started(folder: &Path) -> Served {
    let served = serve(folder, "memory:");
    std::fs::write(folder.join("company.zed"), crate::SCHEMA).unwrap();
    let merged = well(folder, &["kubernetes", "schema", "--with", "company.zed"]);
    std::fs::write(folder.join("merged.zed"), &merged).unwrap();
    well(folder, &["schema", "validate", "merged.zed"]);
    well(folder, &["schema", "write", "merged.zed"]);
    served
}

fn well(folder: &Path, arguments: &[&str]) -> String {
    let (code, told, failed) = run(folder, arguments);
    assert_eq!(code, 0, "{arguments:?}: {told}{failed}");
    told
}

fn import(folder: &Path, more: &[&str]) -> String {
    well(folder, &[&["kubernetes", "import"], more].concat())
}

fn who_can(folder: &Path, arguments: &[&str]) -> Vec<String> {
    let told = run(folder, &[&["kubernetes", "who-can"], arguments].concat()).1;
    told.lines().map(str::to_owned).collect()
}

#[test]
fn a_companys_manifests_are_imported_once_and_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _served = started(at);
    let files = ["defaults.yaml", "company.yaml"].map(|name| examples().join(name));
    let files = files.each_ref().map(|file| file.to_str().unwrap());
    let dry = import(at, &[&files[..], &["--dry-run"]].concat());
    assert!(dry.contains(
        "+ kubernetes/cluster_role:main/admin#aggregate@kubernetes/cluster_role:main/edit"
    ));
    assert!(
        dry.contains("skipped 2 of kind Namespace") && dry.contains(", not written"),
        "{dry}"
    );
    assert!(who_can(at, &["get", "pods"]).is_empty());
    let told: Value =
        serde_json::from_str(&import(at, &[&files[..], &["--json"]].concat())).unwrap();
    assert_eq!(
        told["added"].as_array().unwrap().len(),
        told["manifests"].as_u64().unwrap() as usize
    );
    assert!(told["manifests"].as_u64().unwrap() >= 55, "{told}");
    let again = import(at, &files);
    assert!(
        again.contains("0 added, 0 changed, 0 removed, ") && again.contains("; 0 updates"),
        "{again}"
    );
}

#[test]
fn who_can_do_something_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _served = started(at);
    let files = ["defaults.yaml", "company.yaml"].map(|name| examples().join(name));
    import(at, &files.each_ref().map(|file| file.to_str().unwrap()));
    let secrets = ["get", "secrets", "--namespace", "prod"];
    let cluster_wide = [
        "kubernetes/group:kubeadm=3Acluster-admins",
        "kubernetes/group:system=3Amasters",
    ];
    assert_eq!(
        who_can(at, &secrets),
        [&["kubernetes/group:harbour=3Aplatform"], &cluster_wide[..]].concat()
    );
    assert_eq!(
        who_can(at, &[&secrets[..], &["--name", "payments-db"]].concat()),
        [
            &["kubernetes/group:harbour=3Aplatform"],
            &cluster_wide[..],
            &[
                "kubernetes/serviceaccount:main/prod/payments",
                "kubernetes/user:bob=40example=2Ecom"
            ]
        ]
        .concat()
    );
    assert_eq!(
        who_can(
            at,
            &[
                "patch",
                "deployments.apps/scale",
                "--namespace",
                "dev",
                "--name",
                "web"
            ]
        ),
        [
            "kubernetes/group:harbour=3Aengineering",
            "kubernetes/group:harbour=3Aplatform",
            cluster_wide[0],
            cluster_wide[1],
            "kubernetes/serviceaccount:main/autoscaling/keda"
        ]
    );
    let metrics = who_can(at, &["get", "/metrics"]);
    assert!(metrics.contains(&"kubernetes/serviceaccount:main/monitoring/prometheus".to_owned()));
    groups_and_bans_are_looked_through(at, &secrets);
}

fn groups_and_bans_are_looked_through(at: &Path, secrets: &[&str]) {
    // Groups that Remit knows are told by their members, and who is banned is left out.
    let row = "kubernetes/group:harbour=3Aplatform#member@kubernetes/user:pat";
    let ban = "kubernetes/namespace:main/prod#banned@kubernetes/user:bob=40example=2Ecom";
    well(at, &["relationship", "write", row, ban]);
    let named = who_can(at, &[secrets, &["--name", "payments-db"]].concat());
    assert!(
        named.contains(&"kubernetes/user:pat".to_owned()),
        "{named:?}"
    );
    assert!(!named.iter().any(|who| who.contains("bob")), "{named:?}");
    // The look-up of the schema's own says the same.
    let context = r#"{"verb":"get","group":"","resource":"secrets","subresource":"","name":""}"#;
    let plain = [
        "lookup",
        "subjects",
        "kubernetes/namespace:main/prod",
        "allow",
        "kubernetes/user",
        "--context",
        context,
    ];
    assert!(well(at, &plain).contains("pat"));
}

const DEPLOYERS: &str = "apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployers}
roleRef: {kind: Role, name: deployer}
subjects:
- {kind: User, name: ann}
- {kind: User, name: bob}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: deployer}
rules:
- {apiGroups: [apps], resources: [deployments], verbs: [get]}
- {apiGroups: [apps], resources: [deployments], verbs: [patch]}
";

#[test]
fn what_manifests_no_longer_say_is_taken_away_and_all_else_stays() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _served = started(at);
    let write = |text: &str| std::fs::write(at.join("rbac.yaml"), text).unwrap();
    let prod = ["rbac.yaml", "--namespace", "prod"];
    write(DEPLOYERS);
    import(at, &prod);
    let patch = ["patch", "deployments.apps", "--namespace", "prod"];
    assert_eq!(
        who_can(at, &patch),
        ["kubernetes/user:ann", "kubernetes/user:bob"]
    );
    // By hand, and from elsewhere.
    let by_hand = "kubernetes/role_binding:main/prod/hand";
    let rows = [
        format!("{by_hand}#role@kubernetes/role:main/prod/deployer"),
        format!("{by_hand}#subject@kubernetes/user:cat"),
        format!("kubernetes/namespace:main/prod#binding@{by_hand}"),
    ];
    let rows = rows.each_ref().map(String::as_str);
    well(at, &[&["relationship", "write"], &rows[..]].concat());
    let other = DEPLOYERS
        .replace("name: deployers", "name: others")
        .replace("ann", "dan");
    let other = other.split("---").next().unwrap();
    std::fs::write(at.join("other.yaml"), other).unwrap();
    import(
        at,
        &["other.yaml", "--namespace", "prod", "--source", "other"],
    );

    let changed = DEPLOYERS
        .replace("- {kind: User, name: bob}\n", "")
        .replace("[get]", "['*']");
    write(&changed);
    let told = import(at, &prod);
    assert!(
        told.contains("0 added, 2 changed, 0 removed, 0 unchanged"),
        "{told}"
    );
    let users = ["ann", "bob", "cat", "dan"].map(|user| format!("kubernetes/user:{user}"));
    // Who is no longer in a binding is gone; Bob is still in the other one.
    assert_eq!(
        who_can(at, &["delete", "deployments.apps", "--namespace", "prod"]),
        users
    );

    write(changed.split("---").nth(1).unwrap());
    let told = import(at, &prod);
    assert!(
        told.contains("1 that were imported before are in none of the files"),
        "{told}"
    );
    assert!(who_can(at, &patch).contains(&users[0]));
    let told = import(at, &[&prod[..], &["--prune"]].concat());
    assert!(told.contains("1 removed, 1 unchanged"), "{told}");
    assert_eq!(who_can(at, &patch), users[1..]);
    let left = well(
        at,
        &[
            "relationship",
            "read",
            "--resource-type",
            "kubernetes/role_binding",
            "--json",
        ],
    );
    assert!(!left.contains("main/prod/deployers"), "{left}");
    what_is_of_others_is_not_taken_over(at);
}

fn what_is_of_others_is_not_taken_over(at: &Path) {
    let (code, _, failed) = run(
        at,
        &["kubernetes", "import", "other.yaml", "--namespace", "prod"],
    );
    assert!(
        code == 4 && failed.contains("was imported from `main/other`"),
        "{failed}"
    );
    std::fs::write(at.join("hand.yaml"), DEPLOYERS.replace("deployers", "hand")).unwrap();
    let (code, _, failed) = run(
        at,
        &["kubernetes", "import", "hand.yaml", "--namespace", "prod"],
    );
    assert!(
        code == 4 && failed.contains("was not imported: delete it"),
        "{failed}"
    );
}

#[test]
fn of_manifests_with_faults_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _served = started(at);
    let faulty = DEPLOYERS.replace("kind: User, name: bob", "kind: Robot, name: bob");
    std::fs::write(at.join("rbac.yaml"), faulty).unwrap();
    let (code, told, _) = run(at, &["kubernetes", "import", "rbac.yaml"]);
    assert_eq!(code, 1);
    assert!(
        told.contains("rbac.yaml, document 1: RoleBinding deployers: it has no namespace"),
        "{told}"
    );
    let arguments = [
        "kubernetes",
        "import",
        "rbac.yaml",
        "--namespace",
        "prod",
        "--json",
    ];
    let (code, told, _) = run(at, &arguments);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &told["faults"][0]["document"]), (1, &Value::from(1)));
    assert!(
        told["faults"][0]["message"]
            .as_str()
            .unwrap()
            .contains("`Robot` is no kind of subject")
    );
    assert!(who_can(at, &["get", "deployments.apps", "--namespace", "prod"]).is_empty());
    assert_eq!(run(at, &["kubernetes", "import", "absent.yaml"]).0, 4);
    assert_eq!(
        run(
            at,
            &["kubernetes", "import", "rbac.yaml", "--cluster", "a/b"]
        )
        .0,
        2
    );
    let merged = ["kubernetes", "schema", "--with", "merged.zed"];
    let (code, _, failed) = run(at, &merged);
    assert!(code == 4 && failed.contains("already"), "{failed}");
    // A server that lacks the definitions says what to do.
    let bare = tempfile::tempdir().unwrap();
    let _served = serve(bare.path(), "memory:");
    std::fs::write(bare.path().join("rbac.yaml"), DEPLOYERS).unwrap();
    let arguments = ["kubernetes", "import", "rbac.yaml", "--namespace", "prod"];
    let (code, _, failed) = run(bare.path(), &arguments);
    assert!(
        code == 4 && failed.contains("remit kubernetes schema --with FILE"),
        "{failed}"
    );
}
