//! The four kinds of RBAC: their shape, and what an API server asks of them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{FaultKind, Manifest};

const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// A `Role`, or a `ClusterRole` where it has no namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The namespace of a `Role`.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// What the role lets its holders do. That of an aggregated role is what others let.
    pub rules: Vec<Rule>,
    /// Which roles it is made of, if it is made of others.
    pub aggregation: Option<AggregationRule>,
    /// By what others choose it.
    pub labels: BTreeMap<String, String>,
}

/// What a role permits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// To do what.
    #[serde(default, deserialize_with = "or_empty")]
    pub verbs: Vec<String>,
    /// With resources of which groups.
    #[serde(default, deserialize_with = "or_empty")]
    pub api_groups: Vec<String>,
    /// With which of them.
    #[serde(default, deserialize_with = "or_empty")]
    pub resources: Vec<String>,
    /// Of which names; of any, if there is none.
    #[serde(default, deserialize_with = "or_empty")]
    pub resource_names: Vec<String>,
    /// With which paths that are no resources.
    #[serde(default, rename = "nonResourceURLs", deserialize_with = "or_empty")]
    pub non_resource_urls: Vec<String>,
}

/// Of which roles a role is made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AggregationRule {
    /// A role that one of these chooses is taken in.
    #[serde(default, deserialize_with = "or_empty")]
    pub cluster_role_selectors: Vec<LabelSelector>,
}

/// Chooses by labels: by all that it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels with these values.
    #[serde(default, deserialize_with = "or_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// What else is asked of labels.
    #[serde(default, deserialize_with = "or_empty")]
    pub match_expressions: Vec<Requirement>,
}

/// What is asked of one label.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// What is asked: `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// Of which values.
    #[serde(default, deserialize_with = "or_empty")]
    pub values: Vec<String>,
}

/// A `RoleBinding`, or a `ClusterRoleBinding` where it has no namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The namespace of a `RoleBinding`.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// The role that is given.
    pub role: RoleRef,
    /// Whom it is given to.
    pub subjects: Vec<Subject>,
}

/// The role of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleRef {
    /// A role of the binding's namespace.
    Role(String),
    /// A role of the cluster.
    ClusterRole(String),
}

/// Whom a binding gives its role to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A user.
    User(String),
    /// A group.
    Group(String),
    /// A service account.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// What is known of a manifest before it is read.
pub(super) struct Header<'a> {
    pub(super) kind: &'a str,
    /// The namespace of those that name none.
    pub(super) namespace: Option<&'a str>,
}

pub(super) fn is_of_rbac(kind: &str) -> bool {
    matches!(
        kind,
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding"
    )
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: Option<String>,
    #[serde(default, deserialize_with = "or_empty")]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenRole {
    metadata: Metadata,
    #[serde(default, deserialize_with = "or_empty")]
    rules: Vec<Rule>,
    aggregation_rule: Option<AggregationRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenBinding {
    metadata: Metadata,
    role_ref: WrittenRef,
    #[serde(default, deserialize_with = "or_empty")]
    subjects: Vec<WrittenRef>,
}

/// A role or a subject, as a binding names it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenRef {
    kind: String,
    name: String,
    namespace: Option<String>,
    api_group: Option<String>,
}

/// A part that may be null where it may be absent.
fn or_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a manifest of one of the four kinds.
pub(super) fn read(header: &Header<'_>, object: Map<String, Value>) -> Result<Manifest, FaultKind> {
    let is_clusters = header.kind.starts_with("Cluster");
    if header.kind.ends_with("Binding") {
        let written: WrittenBinding = shaped(header, object)?;
        let (namespace, name) = header.place(is_clusters, &written.metadata)?;
        let invalid = |why: String| header.invalid(namespace.as_deref(), &name, why);
        let role = role_ref(is_clusters, written.role_ref).map_err(invalid)?;
        let subjects = written.subjects.into_iter();
        let subjects = subjects.map(|subject| read_subject(namespace.as_deref(), subject));
        let subjects: Result<_, String> = subjects.collect();
        return Ok(Manifest::Binding(Binding {
            role,
            subjects: subjects.map_err(invalid)?,
            namespace,
            name,
        }));
    }
    let written: WrittenRole = shaped(header, object)?;
    let (namespace, name) = header.place(is_clusters, &written.metadata)?;
    let invalid = |why: String| header.invalid(namespace.as_deref(), &name, why);
    if let Some(aggregation) = &written.aggregation_rule {
        check_aggregation(is_clusters, aggregation).map_err(invalid)?;
    }
    for (ix, rule) in written.rules.iter().enumerate() {
        let checked = check_rule(is_clusters, rule);
        checked.map_err(|why| invalid(format!("rule {}: {why}", ix + 1)))?;
    }
    Ok(Manifest::Role(Role {
        namespace,
        name,
        rules: written.rules,
        aggregation: written.aggregation_rule,
        labels: written.metadata.labels,
    }))
}

fn shaped<T: DeserializeOwned>(
    header: &Header<'_>,
    object: Map<String, Value>,
) -> Result<T, FaultKind> {
    let name = object
        .get("metadata")
        .and_then(|metadata| metadata.get("name"));
    let kind = match name.and_then(Value::as_str) {
        Some(name) => format!("{} {name}", header.kind),
        None => header.kind.to_owned(),
    };
    serde_json::from_value(Value::Object(object)).map_err(|error| FaultKind::Shape {
        kind,
        message: error.to_string(),
    })
}

impl Header<'_> {
    /// The namespace and the name of a manifest.
    fn place(
        &self,
        is_clusters: bool,
        metadata: &Metadata,
    ) -> Result<(Option<String>, String), FaultKind> {
        let name = metadata.name.as_str();
        let given = metadata.namespace.as_deref().filter(|it| !it.is_empty());
        if name.is_empty() || matches!(name, "." | "..") || name.contains(['/', '%']) {
            let why = "its name is empty, or has `/` or `%`".to_owned();
            return Err(self.invalid(given, name, why));
        }
        if is_clusters {
            return Ok((None, name.to_owned()));
        }
        match given.or(self.namespace) {
            Some(namespace) if namespace.contains('/') => {
                let why = "its namespace has `/`".to_owned();
                Err(self.invalid(Some(namespace), name, why))
            }
            Some(namespace) => Ok((Some(namespace.to_owned()), name.to_owned())),
            None => Err(self.invalid(
                None,
                name,
                "it has no namespace; write it, or say which by `--namespace`".to_owned(),
            )),
        }
    }

    fn invalid(&self, namespace: Option<&str>, name: &str, why: String) -> FaultKind {
        let object = match namespace {
            Some(namespace) => format!("{} {namespace}/{name}", self.kind),
            None => format!("{} {name}", self.kind),
        };
        FaultKind::Invalid { object, why }
    }
}

fn role_ref(is_clusters: bool, written: WrittenRef) -> Result<RoleRef, String> {
    let group = written.api_group.as_deref().unwrap_or(RBAC_GROUP);
    if group != RBAC_GROUP {
        return Err(format!(
            "its `roleRef` is of `{group}`, not of `{RBAC_GROUP}`"
        ));
    }
    if written.name.is_empty() {
        return Err("its `roleRef` has no name".to_owned());
    }
    match written.kind.as_str() {
        "ClusterRole" => Ok(RoleRef::ClusterRole(written.name)),
        "Role" if !is_clusters => Ok(RoleRef::Role(written.name)),
        "Role" => Err("a role of a namespace is not given in all of the cluster".to_owned()),
        kind => Err(format!("its `roleRef` is a `{kind}`, which is no role")),
    }
}

fn read_subject(namespace: Option<&str>, written: WrittenRef) -> Result<Subject, String> {
    let name = written.name;
    if name.is_empty() {
        return Err(format!("a subject of kind `{}` has no name", written.kind));
    }
    let group = written
        .api_group
        .as_deref()
        .filter(|group| !group.is_empty());
    let is_of = |expected: Option<&str>| group.is_none() || group == expected;
    match written.kind.as_str() {
        "User" if is_of(Some(RBAC_GROUP)) => Ok(Subject::User(name)),
        "Group" if is_of(Some(RBAC_GROUP)) => Ok(Subject::Group(name)),
        "ServiceAccount" if is_of(None) => {
            let given = written.namespace.filter(|it| !it.is_empty());
            match given.or_else(|| namespace.map(str::to_owned)) {
                Some(namespace)
                    if [&namespace, &name]
                        .iter()
                        .any(|text| text.contains(['/', ':'])) =>
                {
                    Err(format!(
                        "the service account `{namespace}:{name}` has `/` or `:`"
                    ))
                }
                Some(namespace) => Ok(Subject::ServiceAccount { namespace, name }),
                None => Err(format!("the service account `{name}` has no namespace")),
            }
        }
        "User" | "Group" | "ServiceAccount" => Err(format!(
            "the {} `{name}` is of `{}`, which has none",
            written.kind,
            group.unwrap_or_default()
        )),
        kind => Err(format!(
            "`{kind}` is no kind of subject: they are User, Group and ServiceAccount"
        )),
    }
}

fn check_rule(is_clusters: bool, rule: &Rule) -> Result<(), &'static str> {
    if rule.verbs.is_empty() {
        return Err("it has no verbs");
    }
    let is_of_resources = !rule.resources.is_empty()
        || !rule.api_groups.is_empty()
        || !rule.resource_names.is_empty();
    match (rule.non_resource_urls.is_empty(), is_of_resources) {
        (false, _) if !is_clusters => Err("a role of a namespace has no `nonResourceURLs`"),
        (false, true) => Err("it has both resources and `nonResourceURLs`"),
        (false, false) => Ok(()),
        (true, _) if rule.api_groups.is_empty() => Err("it has no `apiGroups`"),
        (true, _) if rule.resources.is_empty() => Err("it has no `resources`"),
        (true, _) => Ok(()),
    }
}

fn check_aggregation(is_clusters: bool, aggregation: &AggregationRule) -> Result<(), String> {
    if !is_clusters {
        return Err("a role of a namespace is not made of others".to_owned());
    }
    if aggregation.cluster_role_selectors.is_empty() {
        return Err("its `aggregationRule` has no `clusterRoleSelectors`".to_owned());
    }
    let selectors = aggregation.cluster_role_selectors.iter();
    for requirement in selectors.flat_map(|selector| &selector.match_expressions) {
        let has_values = !requirement.values.is_empty();
        let is_well = match requirement.operator.as_str() {
            "In" | "NotIn" => has_values,
            "Exists" | "DoesNotExist" => !has_values,
            _ => false,
        };
        if !is_well {
            return Err(format!(
                "`{}` on the label `{}` is no requirement with {} values",
                requirement.operator,
                requirement.key,
                requirement.values.len()
            ));
        }
    }
    Ok(())
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "Role {namespace}/{}", self.name),
            None => write!(f, "ClusterRole {}", self.name),
        }
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "RoleBinding {namespace}/{}", self.name),
            None => write!(f, "ClusterRoleBinding {}", self.name),
        }
    }
}
