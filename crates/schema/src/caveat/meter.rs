//! What an evaluation may cost, and why one stops.

use super::STEPS_MAX;

/// Bytes that count as one step where they are walked over in bulk.
const BYTES_PER_STEP: usize = 16;

/// Why an expression has no value.
///
/// Where several operands have none, the first reason of this order wins: too many steps, then unknown, then an
/// error. `&&`, `||` and the macros on them go on past an operand without a value, except past too many steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// The limit on steps was reached.
    TooManySteps,
    /// These parameters have no value; a bit for each.
    Unknown(u128),
    /// An operation had no result.
    Error(Box<str>),
}

impl Stop {
    pub(super) fn error(detail: &str) -> Self {
        Self::Error(Box::from(detail))
    }

    pub(super) fn no_such_overload() -> Self {
        Self::error("no such overload")
    }

    /// The reason that wins over both; of two errors the first.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::TooManySteps, _) | (_, Self::TooManySteps) => Self::TooManySteps,
            (Self::Unknown(left), Self::Unknown(right)) => Self::Unknown(left | right),
            (Self::Unknown(missing), Self::Error(_)) | (Self::Error(_), Self::Unknown(missing)) => {
                Self::Unknown(missing)
            }
            (Self::Error(first), Self::Error(_)) => Self::Error(first),
        }
    }
}

/// The steps that are left.
#[derive(Debug)]
pub(super) struct Meter {
    left: u64,
}

impl Meter {
    pub(super) const fn new() -> Self {
        Self::of(STEPS_MAX)
    }

    /// A meter with that many steps.
    pub(super) const fn of(steps: u64) -> Self {
        Self { left: steps }
    }

    /// One step.
    pub(super) fn step(&mut self) -> Result<(), Stop> {
        self.spend(1)
    }

    /// A pass over that many bytes.
    pub(super) fn walk(&mut self, bytes: usize) -> Result<(), Stop> {
        self.spend((bytes / BYTES_PER_STEP) as u64)
    }

    pub(super) fn spend(&mut self, steps: u64) -> Result<(), Stop> {
        match self.left.checked_sub(steps) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(Stop::TooManySteps)
            }
        }
    }
}
