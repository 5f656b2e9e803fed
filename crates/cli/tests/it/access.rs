//! The first start, and what callers are given from then on, at the command line.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{REMIT, SCHEMA, Served, run};

/// A server without a key of its own, what it said until it was ready, and its address.
fn serve(folder: &Path, store: &str) -> (Served, Vec<String>, String) {
    let mut child: Child = Command::new(REMIT)
        .args(["serve", "--store", store, "--grpc-addr", "127.0.0.1:0"])
        .args(["--http-addr", "none", "--metrics-addr", "none"])
        .current_dir(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    let ready = loop {
        let line = lines.next().unwrap().unwrap();
        if line.starts_with("remit is ready") {
            break line;
        }
        said.push(line);
    };
    std::thread::spawn(move || lines.count());
    let address = ready.split_once("gRPC on ").unwrap().1;
    let address = address.split_once(',').unwrap().0.to_owned();
    (Served(child), said, address)
}

/// Runs a command as whoever has the key; its code, and all that it told.
fn at(folder: &Path, address: &str, key: &str, arguments: &[&str]) -> (i32, String) {
    let connection = ["--endpoint", address, "--insecure", "--token", key];
    let (code, out, told) = run(folder, &[arguments, &connection].concat());
    (code, out + &told)
}

fn key_among(said: &[String]) -> String {
    let key = said.iter().find(|line| line.trim().len() == 64);
    key.unwrap().trim().to_owned()
}

#[test]
fn the_first_key_is_told_once_and_is_on_record() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::write(here.join("schema.zed"), SCHEMA).unwrap();
    let (served, said, address) = serve(here, "sqlite:remit.db");
    let admin = key_among(&said);
    let wrote = at(here, &address, &admin, &["schema", "write", "schema.zed"]);
    assert_eq!(wrote.0, 0, "{}", wrote.1);
    assert_eq!(at(here, &address, "guessed", &["schema", "show"]).0, 4);
    let listed = at(here, &address, &admin, &["access", "list", "--json"]);
    assert!(
        listed.1.contains(r#""subject":"remit/key:admin""#),
        "{}",
        listed.1
    );
    drop(served);
    // It is good after a restart, and not shown again.
    let (_served, said, address) = serve(here, "sqlite:remit.db");
    assert!(said.iter().all(|line| line.trim().len() != 64), "{said:?}");
    assert_eq!(at(here, &address, &admin, &["schema", "show"]).0, 0);
}

/// A server with an administrator, a document, and `billing`, who has a key and nothing else.
struct Site {
    folder: tempfile::TempDir,
    _served: Served,
    address: String,
    admin: String,
    billing: String,
}

const CHECK: [&str; 4] = ["check", "doc:a", "view", "user:ann"];
const READ: [&str; 4] = ["relationship", "read", "--resource-type", "doc"];
const CHECKER: [&str; 4] = ["remit/key:billing", "checker", "--definition", "doc"];

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("schema.zed"), SCHEMA).unwrap();
        let (served, said, address) = serve(folder.path(), "memory:");
        let mut site = Self {
            folder,
            _served: served,
            address,
            admin: key_among(&said),
            billing: String::new(),
        };
        site.well(&["schema", "write", "schema.zed"]);
        site.well(&["relationship", "write", "doc:a#viewer@user:ann"]);
        let billing = site.well(&["access", "key", "create", "billing"]);
        billing.trim().clone_into(&mut site.billing);
        site
    }

    /// What the administrator gets through.
    fn well(&self, arguments: &[&str]) -> String {
        let (code, told) = at(self.folder.path(), &self.address, &self.admin, arguments);
        assert_eq!(code, 0, "{arguments:?}: {told}");
        told
    }

    fn grant(&self, right: &[&str], more: &[&str]) {
        self.well(&[&["access", "grant"], right, more].concat());
    }

    fn billing(&self, arguments: &[&str]) -> (i32, String) {
        at(self.folder.path(), &self.address, &self.billing, arguments)
    }
}

#[test]
fn a_caller_gets_a_role_and_loses_it() {
    let site = Site::start();
    let (code, told) = site.billing(&CHECK);
    assert!(code == 4 && told.contains("`doc` not found"), "{told}");
    site.grant(&CHECKER, &["--for", "8h", "--reason", "ticket 1"]);
    assert_eq!(site.billing(&CHECK).0, 0);
    let (code, told) = site.billing(&["relationship", "write", "doc:b#viewer@user:ann"]);
    let hint = "remit access grant remit/key:billing writer --definition doc";
    assert!(code == 4 && told.contains(hint), "{told}");
    let why = [
        "access",
        "explain",
        "remit/key:billing",
        "check",
        "--definition",
        "doc",
    ];
    assert!(
        site.well(&why)
            .contains("remit/type:doc#checker@remit/key:billing")
    );
    let listed = site.well(&["access", "list", "--subject", "remit/key:billing"]);
    assert!(
        listed.contains("checker") && listed.contains("remit/type:doc"),
        "{listed}"
    );
    site.well(&[&["access", "revoke"], &CHECKER[..]].concat());
    assert_eq!(site.billing(&CHECK).0, 4);
}

#[test]
fn a_group_has_a_role_and_nobody_gives_more_than_they_have() {
    let site = Site::start();
    site.grant(&["remit/group:eng", "reader", "--definition", "doc"], &[]);
    site.grant(&["remit/key:billing", "member", "--group", "eng"], &[]);
    assert_eq!(site.billing(&READ).0, 0);
    site.grant(&CHECKER, &["--for", "8h"]);
    let more = [
        "access",
        "grant",
        "remit/key:other",
        "checker",
        "--definition",
        "doc",
    ];
    assert_eq!(site.billing(&more).0, 4);
    site.grant(
        &["remit/key:billing", "granter", "--definition", "doc"],
        &[],
    );
    let (code, told) = site.billing(&more);
    assert!(code == 4 && told.contains("not for that long"), "{told}");
    assert_eq!(site.billing(&[&more[..], &["--for", "1h"]].concat()).0, 0);
    let last = [
        "access",
        "revoke",
        "remit/key:admin",
        "administrator",
        "--system",
    ];
    let (code, told) = at(site.folder.path(), &site.address, &site.admin, &last);
    assert!(code == 4 && told.contains("no administrator"), "{told}");
}

#[test]
fn subjects_and_callers_are_locked_and_keys_revoked() {
    let site = Site::start();
    site.grant(&CHECKER, &[]);
    site.well(&[
        "access",
        "lock",
        "remit/key:billing",
        "--reason",
        "it leaked",
    ]);
    let (code, told) = site.billing(&CHECK);
    assert!(code == 4 && told.contains("is locked"), "{told}");
    assert!(site.well(&["access", "locks"]).contains("it leaked"));
    site.well(&["access", "unlock", "remit/key:billing"]);
    assert_eq!(site.billing(&CHECK).0, 0);
    site.well(&["access", "lock", "user:ann", "--reason", "lost a laptop"]);
    assert_eq!(site.billing(&CHECK).0, 1);
    site.well(&["access", "unlock", "user:ann"]);
    site.well(&["access", "key", "revoke", "billing"]);
    let (code, told) = site.billing(&CHECK);
    assert!(
        code == 4 && told.contains("invalid preshared key"),
        "{told}"
    );
    assert_eq!(site.well(&["access", "key", "list"]), "admin\n");
    let (code, told, _) = run(site.folder.path(), &["access", "schema"]);
    assert!(
        code == 0 && told.contains("definition remit/system {"),
        "{told}"
    );
}

#[test]
fn manifests_are_imported_by_who_may_and_by_nobody_else() {
    let site = Site::start();
    let here = site.folder.path();
    let schema = ["kubernetes", "schema", "--with", "schema.zed"];
    let (_, definitions, _) = run(here, &schema);
    std::fs::write(here.join("merged.zed"), definitions).unwrap();
    site.well(&["schema", "write", "merged.zed"]);
    let binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b}\n\
                   roleRef: {kind: ClusterRole, name: view}\nsubjects: [{kind: User, name: ann}]\n";
    std::fs::write(here.join("rbac.yaml"), binding).unwrap();
    let import = ["kubernetes", "import", "rbac.yaml"];
    let who_can = ["kubernetes", "who-can", "get", "pods"];
    for command in [&import[..], &who_can] {
        let (code, told) = site.billing(command);
        assert!(code == 4 && told.contains("not found"), "{told}");
    }
    let names = [
        "role",
        "cluster_role",
        "role_binding",
        "cluster_role_binding",
        "rule",
        "namespace",
        "cluster",
    ];
    for name in names {
        let definition = format!("kubernetes/{name}");
        site.grant(
            &["remit/key:billing", "reader", "--definition", &definition],
            &[],
        );
    }
    let (code, told) = site.billing(&import);
    assert!(
        code == 4 && told.contains("`remit/key:billing` may not"),
        "{told}"
    );
    assert!(
        site.billing(&[&import[..], &["--dry-run"]].concat())
            .1
            .contains("1 added")
    );
    for name in ["cluster_role_binding", "cluster"] {
        let definition = format!("kubernetes/{name}");
        site.grant(
            &["remit/key:billing", "writer", "--definition", &definition],
            &[],
        );
    }
    let (code, told) = site.billing(&import);
    assert!(code == 0 && told.contains("1 added"), "{told}");
}
