//! What was compared, and how it went.

use std::collections::BTreeMap;
use std::fmt;

use testkit::Case;

use super::Compared;
use super::difference::{Situation, Table};
use super::outcome::{Access, Outcome};

/// The least share of each decision of checks, and of look-ups that find something, in percent.
const SHARE_MIN: usize = 15;

/// The kind of answer that is none.
const FAILED: &str = "failed";

/// Counts over cases.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) cases: usize,
    /// The seeds of the cases in which the peer did not come to an end.
    pub(super) stuck: Vec<u64>,
    /// What Remit answered, by method and kind of answer.
    answered: BTreeMap<(&'static str, &'static str), usize>,
    /// Calls that differ for a known cause.
    pub(super) explained: BTreeMap<&'static str, usize>,
    /// Cases that differ for none, with their seeds.
    pub(super) unexplained: Vec<(u64, String)>,
}

impl Tally {
    pub(super) fn add(&mut self, table: &Table, case: &Case, compared: &[Compared]) {
        self.cases += 1;
        for one in compared {
            let method = one.call.method();
            *self.answered.entry((method, kind(&one.remit))).or_default() += 1;
            let situation = Situation {
                case,
                all: compared,
                one,
            };
            if one.differs()
                && let Some(cause) = table.cause(&situation)
            {
                *self.explained.entry(cause).or_default() += 1;
            }
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.cases += other.cases;
        self.stuck.extend(other.stuck);
        for (key, count) in other.answered {
            *self.answered.entry(key).or_default() += count;
        }
        for (key, count) in other.explained {
            *self.explained.entry(key).or_default() += count;
        }
        self.unexplained.extend(other.unexplained);
    }

    /// That the cases had something to say.
    pub(super) fn assert_shares(&self) {
        let shares = [
            ("CheckPermission", &["allowed", "denied", "conditional"][..]),
            (
                "CheckBulkPermissions",
                &["allowed", "denied", "conditional"],
            ),
            ("LookupResources", &["something"]),
            ("LookupSubjects", &["something"]),
        ];
        for (method, kinds) in shares {
            let of_method = self
                .answered
                .iter()
                .filter(|((name, kind), _)| *name == method && *kind != FAILED);
            let all: usize = of_method.map(|(_, count)| count).sum();
            for kind in kinds {
                let count = self.answered.get(&(method, *kind)).copied().unwrap_or(0);
                assert!(count * 100 >= all * SHARE_MIN, "{method} {kind}\n{self}");
            }
        }
    }
}

fn kind(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Decided(Access::Allowed) => "allowed",
        Outcome::Decided(Access::Denied) => "denied",
        Outcome::Decided(Access::Conditional(_)) => "conditional",
        Outcome::Resources(found) if found.is_empty() => "nothing",
        Outcome::Subjects(found) if found.is_empty() => "nothing",
        Outcome::Resources(_) | Outcome::Subjects(_) => "something",
        Outcome::Tree(_) => "tree",
        Outcome::Failed(_) => FAILED,
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} cases; stuck with {:?}", self.cases, self.stuck)?;
        for ((method, kind), count) in &self.answered {
            writeln!(f, "  {method} {kind}: {count}")?;
        }
        for (cause, count) in &self.explained {
            writeln!(f, "  differ, {cause}: {count}")?;
        }
        for (seed, text) in &self.unexplained {
            writeln!(f, "seed {seed}: {text}")?;
        }
        Ok(())
    }
}
