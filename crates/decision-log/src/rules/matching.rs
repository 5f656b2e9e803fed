//! Which decisions a rule is for.

use model::Decision;
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
        let caller = decided.caller.subject().to_string();
        callers
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => caller.starts_with(beginning),
                None => caller == *pattern,
            })
    }
}
