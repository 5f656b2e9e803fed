//! The four values of an evaluation, and why one is an error.

use std::collections::BTreeSet;

use model::Decision;
use schema::caveat::EvaluationError;

/// Why a question has no decision. Of several reasons the least is told, so that the order of branches never shows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum EvalError {
    /// Every derivation is longer than the limit.
    #[error("the decision rests on more than {depth_max} relations and permissions in a row")]
    DepthExceeded {
        /// The limit, in relations and permissions.
        depth_max: u16,
    },
    /// The answer depends on its own opposite.
    #[error("cyclic exclusion: the relationships make a permission depend on its own absence")]
    CyclicExclusion,
    /// A caveat could not be evaluated.
    #[error(transparent)]
    Caveat(#[from] EvaluationError),
    /// Nobody waits for the answer any more.
    #[error("the caller has gone before the answer was found")]
    Interrupted,
    /// Too many edges had to be looked at.
    #[error("the evaluation visited more than {edges_visited_max} relationships")]
    WorkExceeded {
        /// The limit, in relationships.
        edges_visited_max: u64,
    },
}

/// What keeps a value from being a yes or a no.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Flags {
    /// Caveat parameters that the context lacks.
    pub(super) missing: BTreeSet<String>,
    /// What failed.
    pub(super) errors: BTreeSet<EvalError>,
}

/// The value of a node or of a part of it. Without errors, an undecided value is conditional.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    No,
    Yes,
    Undecided(Box<Flags>),
}

impl Flags {
    pub(super) fn merge(&mut self, other: Self) {
        self.missing.extend(other.missing);
        self.errors.extend(other.errors);
    }
}

impl Value {
    pub(super) fn missing(names: Vec<String>) -> Self {
        Self::Undecided(Box::new(Flags {
            missing: names.into_iter().collect(),
            errors: BTreeSet::new(),
        }))
    }

    pub(super) fn error(error: EvalError) -> Self {
        Self::Undecided(Box::new(Flags {
            missing: BTreeSet::new(),
            errors: BTreeSet::from([error]),
        }))
    }

    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, value) | (value, Self::No) => value,
            (Self::Undecided(flags), Self::Undecided(others)) => Self::merged(flags, *others),
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, value) | (value, Self::Yes) => value,
            (Self::Undecided(flags), Self::Undecided(others)) => Self::merged(flags, *others),
        }
    }

    pub(super) fn without(self, other: Self) -> Self {
        let not_other = match other {
            Self::No => Self::Yes,
            Self::Yes => Self::No,
            Self::Undecided(flags) => Self::Undecided(flags),
        };
        self.and(not_other)
    }

    pub(super) fn into_decision(self) -> Result<Decision, EvalError> {
        match self {
            Self::No => Ok(Decision::Denied),
            Self::Yes => Ok(Decision::Allowed),
            Self::Undecided(flags) => match flags.errors.into_iter().next() {
                Some(error) => Err(error),
                None => Ok(Decision::Conditional {
                    missing: flags.missing.into_iter().collect(),
                }),
            },
        }
    }

    fn merged(mut flags: Box<Flags>, others: Flags) -> Self {
        flags.merge(others);
        Self::Undecided(flags)
    }
}
