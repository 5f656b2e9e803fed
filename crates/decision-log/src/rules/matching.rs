//! Which decisions a rule is for.

use model::{Decision, ObjectRef};
use ops::decisions::Decided;

/// What a decision has to have, each of it in a list; a list that is not there lets everything through.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Matching {
    pub(super) definitions: Option<Vec<String>>,
    pub(super) permissions: Option<Vec<String>>,
    pub(super) decisions: Option<Vec<Word>>,
    /// Texts of subjects; one that ends in `*` stands for all that begin so.
    pub(super) callers: Option<Vec<String>>,
    pub(super) protocols: Option<Vec<String>>,
}

/// What a question came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Word {
    Allowed,
    Denied,
    Conditional,
    Error,
}

/// The protocols that a rule can name.
pub(super) const PROTOCOLS: [&str; 7] = [
    "authzed",
    "authzen",
    "edge",
    "embedded",
    "ext_authz",
    "kubernetes",
    "remit",
];

impl Word {
    pub(crate) fn of<E>(outcome: Result<&Decision, E>) -> Self {
        match outcome {
            Ok(Decision::Allowed) => Self::Allowed,
            Ok(Decision::Denied) => Self::Denied,
            Ok(Decision::Conditional { .. }) => Self::Conditional,
            Err(_) => Self::Error,
        }
    }
}

impl Matching {
    /// By which protocol a decision was asked for.
    pub(crate) fn protocol(decided: &Decided<'_>) -> &'static str {
        let origin = decided.caller.origin();
        origin.map_or("embedded", |origin| origin.protocol)
    }

    pub(crate) fn matches(&self, decided: &Decided<'_>) -> bool {
        let has = |list: &Option<Vec<String>>, text: &str| {
            list.as_ref()
                .is_none_or(|list| list.iter().any(|it| it == text))
        };
        has(
            &self.definitions,
            decided.asked.resource.definition.as_str(),
        ) && has(&self.permissions, decided.asked.permission)
            && self
                .decisions
                .as_ref()
                .is_none_or(|list| list.contains(&Word::of(decided.outcome)))
            && has(&self.protocols, Self::protocol(decided))
            && self.is_of_caller(decided)
    }

    fn is_of_caller(&self, decided: &Decided<'_>) -> bool {
        let Some(callers) = &self.callers else {
            return true;
        };
        let caller = decided.caller.subject();
        callers.iter().any(|pattern| is_of_pattern(caller, pattern))
    }
}

/// Whether the text of an object is one, or begins as one that ends in `*` does; without making that text, since each check asks.
fn is_of_pattern(object: &ObjectRef, pattern: &str) -> bool {
    let (mut left, is_beginning) = match pattern.strip_suffix('*') {
        Some(beginning) => (beginning, true),
        None => (pattern, false),
    };
    for part in [object.definition.as_str(), ":", object.id.as_str()] {
        match left.strip_prefix(part) {
            Some(rest) => left = rest,
            None => return is_beginning && part.starts_with(left),
        }
    }
    left.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_of_the_patterns_that_its_text_is_of() {
        let object: ObjectRef = "remit/key:batch-7".parse().unwrap();
        let text = object.to_string();
        let mut patterns: Vec<String> =
            (0..=text.len()).map(|end| text[..end].to_owned()).collect();
        patterns.extend(
            [
                "remit/key:batch-77",
                "remit/key:",
                "emit/key:batch-7",
                "remit/key;b",
                "",
            ]
            .map(str::to_owned),
        );
        patterns.extend(
            [
                "remit/keys:batch-7",
                "remit/key::batch-7",
                "remit/key:batch-7:",
                "other",
            ]
            .map(str::to_owned),
        );
        for pattern in patterns {
            assert_eq!(
                is_of_pattern(&object, &pattern),
                text == pattern,
                "{pattern}"
            );
            let beginning = format!("{pattern}*");
            assert_eq!(
                is_of_pattern(&object, &beginning),
                text.starts_with(&pattern),
                "{beginning}"
            );
        }
    }
}
