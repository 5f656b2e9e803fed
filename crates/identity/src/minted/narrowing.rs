//! What a token takes away from what its subject may do.

use std::collections::BTreeSet;

use model::{DefinitionName, Timestamp};
use serde::{Deserialize, Serialize};

use super::error::NarrowingError;
use super::text::Text;

/// Names of one kind in one narrowing.
pub(super) const NAMES_MAX: usize = 100;
const ACTION_BYTES_MAX: usize = 64;

/// What is left of what a caller may do: these actions, on these definitions, until then. What is not named is not narrowed.
///
/// Actions are names that mean something to the operations; one that they do not know is never asked for, and so allows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Narrowing {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actions: Option<BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    definitions: Option<BTreeSet<Text<DefinitionName>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Text<Timestamp>>,
}

impl Narrowing {
    /// To these actions, of these definitions, until then; none of each leaves it as it is.
    ///
    /// # Errors
    /// [`NarrowingError`] for more than 100 names of a kind, and a name that no action has.
    pub fn new(
        actions: Option<BTreeSet<String>>,
        definitions: Option<BTreeSet<DefinitionName>>,
        until: Option<Timestamp>,
    ) -> Result<Self, NarrowingError> {
        let narrowing = Self {
            actions,
            definitions: definitions.map(|names| names.into_iter().map(Text).collect()),
            until: until.map(Text),
        };
        narrowing.check()?;
        Ok(narrowing)
    }

    pub(super) fn until_then(until: Timestamp) -> Self {
        Self {
            until: Some(Text(until)),
            ..Self::default()
        }
    }

    pub(super) fn check(&self) -> Result<(), NarrowingError> {
        let counts = [
            self.actions.as_ref().map(BTreeSet::len),
            self.definitions.as_ref().map(BTreeSet::len),
        ];
        if let Some(count) = counts.into_iter().flatten().find(|it| *it > NAMES_MAX) {
            return Err(NarrowingError::TooManyNames { count });
        }
        let is_action = |name: &String| {
            (1..=ACTION_BYTES_MAX).contains(&name.len())
                && name.bytes().all(|it| it.is_ascii_lowercase() || it == b'_')
        };
        if !self.actions.iter().flatten().all(is_action) {
            return Err(NarrowingError::Action);
        }
        Ok(())
    }

    /// Both at once: what is left by the one and by the other.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            actions: both(self.actions.as_ref(), other.actions.as_ref()),
            definitions: both(self.definitions.as_ref(), other.definitions.as_ref()),
            until: match (self.until, other.until) {
                (Some(own), Some(others)) => Some(own.min(others)),
                (own, others) => own.or(others),
            },
        }
    }

    /// Whether nothing is narrowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an action is left.
    #[must_use]
    pub fn allows_action(&self, name: &str) -> bool {
        self.actions.as_ref().is_none_or(|left| left.contains(name))
    }

    /// Whether a definition is left; for none, whether all are.
    #[must_use]
    pub fn allows_definition(&self, name: Option<&str>) -> bool {
        self.definitions.as_ref().is_none_or(|left| {
            name.is_some_and(|name| left.iter().any(|each| each.0.as_str() == name))
        })
    }

    /// Whether anything is left at that instant.
    #[must_use]
    pub fn allows_at(&self, instant: Timestamp) -> bool {
        self.until.is_none_or(|until| instant < until.0)
    }

    /// The actions that are left; none if all are.
    #[must_use]
    pub fn actions(&self) -> Option<&BTreeSet<String>> {
        self.actions.as_ref()
    }

    /// The definitions that are left; none if all are.
    pub fn definitions(&self) -> Option<impl Iterator<Item = &DefinitionName>> {
        let left = self.definitions.as_ref()?;
        Some(left.iter().map(|name| &name.0))
    }

    /// The first instant at which nothing is left; none if there is no such.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.until.map(|until| until.0)
    }
}

fn both<T: Ord + Clone>(
    own: Option<&BTreeSet<T>>,
    others: Option<&BTreeSet<T>>,
) -> Option<BTreeSet<T>> {
    match (own, others) {
        (Some(own), Some(others)) => Some(own & others),
        (own, others) => own.or(others).cloned(),
    }
}
