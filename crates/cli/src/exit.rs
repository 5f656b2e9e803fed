//! What the process says by its exit code.

use std::process::ExitCode;

use crate::configuration::ConfigurationError;

/// How a command ended, other than by failing (4) or by wrong usage (2, from the argument parser).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 0: done, or allowed.
    Success,
    /// 1: denied, or a validation that found something.
    Negative,
    /// 3: it depends on missing context.
    Conditional,
}

const MISUSED: u8 = 2;
const FAILED: u8 = 4;

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::SUCCESS,
            Outcome::Negative => Self::from(1),
            Outcome::Conditional => Self::from(3),
        }
    }
}

/// Tells why a command failed, with every cause. What is wrong with the configuration is wrong usage.
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(told(error))
}

/// As [`failed`], and waits for nothing that is still at work.
pub(crate) fn at_once(error: &anyhow::Error) -> ! {
    std::process::exit(i32::from(told(error)))
}

fn told(error: &anyhow::Error) -> u8 {
    eprintln!("error: {error}");
    if error.is::<ConfigurationError>() {
        return MISUSED;
    }
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
    FAILED
}
