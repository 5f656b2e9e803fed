//! What is kept of which decisions: rules, of which the first that matches counts, and what holds where none does.

mod file;
mod matching;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::hidden::Salt;
pub(crate) use matching::Matching;
pub(crate) use settings::{BufferSettings, HttpSettings, SinkKind, SinkSettings};

/// The rules of one file, with its sinks.
#[derive(Debug)]
pub struct Rules {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) rules: Vec<(Matching, Keep)>,
    /// Where no rule matches.
    pub(crate) otherwise: Keep,
    pub(crate) buffer: BufferSettings,
    pub(crate) sinks: Vec<SinkSettings>,
    pub(crate) salt: Salt,
    /// This one, and those that it names.
    pub(crate) files: Vec<PathBuf>,
}

/// What is wrong with a file of rules, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// A file cannot be read.
    #[error("cannot read `{}`", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is wrong.
    #[error("{}", told(file, faults))]
    Faults {
        /// The file.
        file: PathBuf,
        /// All that is wrong with it.
        faults: Vec<Fault>,
    },
}

/// What is kept of decisions that a rule matches.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Keep {
    /// Of 2^32, how many decisions are kept.
    pub(crate) threshold: u64,
    pub(crate) by: SampleBy,
    /// Whether the context is kept.
    pub(crate) context: bool,
    pub(crate) hides: Hides,
}

/// What decides whether a decision is among the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SampleBy {
    /// Its id, which nobody can choose.
    Decision,
    /// The trace, or else the id of the request: all decisions of one, or none.
    Request,
}

/// What becomes of a part of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Treatment {
    /// It stays.
    #[default]
    Keep,
    /// It is left out.
    Erase,
    /// Its salted hash stands in its place.
    Hash,
    /// Three stars stand in its place.
    Stars,
}

/// What becomes of the parts of an event that can be hidden.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hides {
    pub(crate) resource: Treatment,
    pub(crate) subject: Treatment,
    pub(crate) caller: Treatment,
    pub(crate) request: Treatment,
    pub(crate) trace: Treatment,
    /// Parts of the context, by the names that lead to them; the whole by none.
    pub(crate) context: Vec<(Vec<String>, Treatment)>,
}

impl Rules {
    /// Reads a file of rules, and the files that it names, whose paths begin where it is.
    ///
    /// # Errors
    /// [`RulesError`] with every fault and its place.
    pub fn read(file: &Path) -> Result<Self, RulesError> {
        file::read(file)
    }

    /// The files that the rules were read from.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What is kept of a decision, by the first rule that matches, and the number of that rule.
    pub(crate) fn find(&self, decided: &ops::decisions::Decided<'_>) -> (u32, &Keep) {
        for (number, (matching, keep)) in (0..).zip(&self.rules) {
            if matching.matches(decided) {
                return (number, keep);
            }
        }
        (u32::MAX, &self.otherwise)
    }

    /// What the rule of that number keeps.
    pub(crate) fn keep(&self, number: u32) -> &Keep {
        let rule = self.rules.get(number as usize);
        rule.map_or(&self.otherwise, |(_, keep)| keep)
    }
}

fn told(file: &Path, faults: &[Fault]) -> String {
    let each = faults.iter().map(|fault| {
        let Fault {
            line,
            column,
            message,
        } = fault;
        format!("{}:{line}:{column}: {message}", file.display())
    });
    each.collect::<Vec<_>>().join("\n")
}
