//! RBAC as Kubernetes evaluates it, over the JSON of manifests. Written from its source, and knows nothing of the crate under test.
//!
//! SOURCE: `RuleAllows` and the visitor of rules in `plugin/pkg/auth/authorizer/rbac/rbac.go` and `pkg/registry/rbac/validation/rule.go`;
//! `evaluation_helpers.go` for what a rule matches; `clusterroleaggregation_controller.go` for roles that are made of others.

use serde_json::Value;

/// The `spec` of a review.
pub(crate) struct Asked<'a>(pub(crate) &'a Value);

impl Asked<'_> {
    fn of(&self, path: &str) -> &str {
        self.0.pointer(path).and_then(Value::as_str).unwrap_or("")
    }

    fn groups(&self) -> Vec<&str> {
        let groups = self.0["groups"].as_array().unwrap();
        groups.iter().map(|group| group.as_str().unwrap()).collect()
    }
}

/// Whether a cluster that has `manifests` lets it be done.
pub(crate) fn allows(manifests: &[Value], asked: &Asked<'_>) -> bool {
    let namespace = asked.of("/resourceAttributes/namespace");
    manifests.iter().any(|binding| {
        let of = match binding["kind"].as_str().unwrap() {
            "ClusterRoleBinding" => "",
            "RoleBinding" if !namespace.is_empty() => {
                if binding["metadata"]["namespace"] != namespace {
                    return false;
                }
                namespace
            }
            _ => return false,
        };
        let subjects = list(&binding["subjects"]);
        subjects.iter().any(|subject| applies(subject, asked, of))
            && rules(manifests, &binding["roleRef"], of)
                .iter()
                .any(|rule| rule_allows(rule, asked))
    })
}

fn applies(subject: &Value, asked: &Asked<'_>, namespace: &str) -> bool {
    let name = subject["name"].as_str().unwrap();
    let user = asked.of("/user");
    match subject["kind"].as_str().unwrap() {
        "User" => user == name,
        "Group" => asked.groups().contains(&name),
        "ServiceAccount" => {
            let of = subject["namespace"].as_str().filter(|of| !of.is_empty());
            let of = of.unwrap_or(namespace);
            !of.is_empty() && user == format!("system:serviceaccount:{of}:{name}")
        }
        _ => false,
    }
}

fn rules(manifests: &[Value], role: &Value, namespace: &str) -> Vec<Value> {
    let kind = role["kind"].as_str().unwrap();
    let found = manifests.iter().find(|manifest| {
        manifest["kind"] == kind
            && manifest["metadata"]["name"] == role["name"]
            && (kind == "ClusterRole" || manifest["metadata"]["namespace"] == namespace)
    });
    let Some(found) = found else {
        return Vec::new();
    };
    if found.get("aggregationRule").is_none_or(Value::is_null) {
        return list(&found["rules"]);
    }
    let mut rules = Vec::new();
    for role in aggregated(manifests, found) {
        rules.extend(list(&role["rules"]));
    }
    rules
}

/// The roles with rules of their own that a role comes to be made of, once its controller has nothing more to do.
fn aggregated<'a>(manifests: &'a [Value], role: &'a Value) -> Vec<&'a Value> {
    let (mut seen, mut to_see, mut own) = (vec![role], vec![role], Vec::new());
    while let Some(role) = to_see.pop() {
        if role.get("aggregationRule").is_none_or(Value::is_null) {
            own.push(role);
            continue;
        }
        for other in manifests {
            let selectors = list(&role["aggregationRule"]["clusterRoleSelectors"]);
            if other["kind"] == "ClusterRole"
                && !seen.contains(&other)
                && selectors.iter().any(|selector| selects(selector, other))
            {
                seen.push(other);
                to_see.push(other);
            }
        }
    }
    own
}

fn selects(selector: &Value, role: &Value) -> bool {
    let label = |key: &str| role["metadata"]["labels"].get(key).and_then(Value::as_str);
    if let Some(labels) = selector["matchLabels"].as_object()
        && !labels
            .iter()
            .all(|(key, value)| label(key) == value.as_str())
    {
        return false;
    }
    list(&selector["matchExpressions"]).iter().all(|wanted| {
        let label = label(wanted["key"].as_str().unwrap());
        let values = list(&wanted["values"]);
        let is_among = label.is_some_and(|label| values.iter().any(|value| value == label));
        match wanted["operator"].as_str().unwrap() {
            "In" => is_among,
            "NotIn" => !is_among,
            "Exists" => label.is_some(),
            "DoesNotExist" => label.is_none(),
            other => panic!("{other}"),
        }
    })
}

fn rule_allows(rule: &Value, asked: &Asked<'_>) -> bool {
    let has = |of: &str, text: &str| list(&rule[of]).iter().any(|one| one == "*" || one == text);
    if asked.0.get("resourceAttributes").is_none() {
        return has("verbs", asked.of("/nonResourceAttributes/verb"))
            && url_matches(rule, asked.of("/nonResourceAttributes/path"));
    }
    let names = list(&rule["resourceNames"]);
    has("verbs", asked.of("/resourceAttributes/verb"))
        && has("apiGroups", asked.of("/resourceAttributes/group"))
        && resource_matches(rule, asked)
        && (names.is_empty()
            || names
                .iter()
                .any(|name| name == asked.of("/resourceAttributes/name")))
}

fn resource_matches(rule: &Value, asked: &Asked<'_>) -> bool {
    let subresource = asked.of("/resourceAttributes/subresource");
    let mut combined = asked.of("/resourceAttributes/resource").to_owned();
    if !subresource.is_empty() {
        combined = format!("{combined}/{subresource}");
    }
    list(&rule["resources"]).iter().any(|resource| {
        let resource = resource.as_str().unwrap();
        if resource == "*" || resource == combined {
            return true;
        }
        !subresource.is_empty()
            && resource.len() == subresource.len() + 2
            && resource.starts_with("*/")
            && resource.ends_with(subresource)
    })
}

fn url_matches(rule: &Value, path: &str) -> bool {
    list(&rule["nonResourceURLs"]).iter().any(|url| {
        let url = url.as_str().unwrap();
        url == "*"
            || url == path
            || url.ends_with('*') && path.starts_with(url.trim_end_matches('*'))
    })
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}
