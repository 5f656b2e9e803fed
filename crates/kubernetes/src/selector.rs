//! Whether a selector chooses a role by its labels.

use std::collections::BTreeMap;

use crate::manifest::{LabelSelector, Requirement};

/// Whether `selector` chooses what has `labels`; one that says nothing chooses everything.
pub(crate) fn chooses(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let has = |(key, value): (&String, &String)| labels.get(key) == Some(value);
    selector.match_labels.iter().all(has)
        && selector
            .match_expressions
            .iter()
            .all(|requirement| is_met(requirement, labels.get(&requirement.key)))
}

/// Whether a label meets a requirement. An operator that there is not is met by none.
fn is_met(requirement: &Requirement, label: Option<&String>) -> bool {
    match (requirement.operator.as_str(), label) {
        ("In", Some(value)) => requirement.values.contains(value),
        // A label that is not there has none of the values.
        ("NotIn", Some(value)) => !requirement.values.contains(value),
        ("NotIn" | "DoesNotExist", None) | ("Exists", Some(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_met_as_by_kubernetes() {
        let labels = BTreeMap::from([("tier".to_owned(), "web".to_owned())]);
        let meets = |key: &str, operator: &str, values: &[&str]| {
            let selector = LabelSelector {
                match_labels: BTreeMap::new(),
                match_expressions: vec![Requirement {
                    key: key.to_owned(),
                    operator: operator.to_owned(),
                    values: values.iter().map(|&value| value.to_owned()).collect(),
                }],
            };
            chooses(&selector, &labels)
        };
        assert!(chooses(&LabelSelector::default(), &labels));
        assert!(meets("tier", "In", &["db", "web"]) && !meets("tier", "In", &["db"]));
        assert!(!meets("absent", "In", &["db"]));
        assert!(meets("tier", "NotIn", &["db"]) && !meets("tier", "NotIn", &["web"]));
        assert!(meets("absent", "NotIn", &["db"]));
        assert!(meets("tier", "Exists", &[]) && !meets("absent", "Exists", &[]));
        assert!(meets("absent", "DoesNotExist", &[]) && !meets("tier", "DoesNotExist", &[]));
        assert!(!meets("tier", "Like", &["web"]));
    }
}
