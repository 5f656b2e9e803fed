//! What was compared, and how it went.

use std::collections::BTreeMap;
use std::fmt;

use testkit::Case;
use tonic::Code;

use super::difference::{Situation, Table};
use super::outcome::{Access, Outcome};
use super::{Compared, NOT_YET_SERVED};

/// Counts over cases.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) cases: usize,
    /// Calls with the same answer, by method and kind of answer.
    pub(super) agreed: BTreeMap<(&'static str, &'static str), usize>,
    /// Calls that Remit does not serve yet.
    pub(super) skipped: BTreeMap<&'static str, usize>,
    /// Calls that differ for a known cause.
    pub(super) explained: BTreeMap<&'static str, usize>,
    pub(super) unexplained: Vec<(u64, String)>,
}

impl Tally {
    pub(super) fn add(&mut self, table: &Table, seed: u64, case: &Case, compared: &[Compared]) {
        self.cases += 1;
        for one in compared {
            let method = one.call.method();
            if is_not_served(one) {
                *self.skipped.entry(method).or_default() += 1;
            } else if one.remit.agrees_with(&one.peer) {
                let kind = kind(&one.remit);
                *self.agreed.entry((method, kind)).or_default() += 1;
            } else {
                let situation = Situation { case, all: compared, one };
                match table.cause(&situation) {
                    Some(cause) => *self.explained.entry(cause).or_default() += 1,
                    None => self.unexplained.push((seed, format!("{}\n  remit: {}\n  peer:  {}", one.call, one.remit, one.peer))),
                }
            }
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.cases += other.cases;
        for (key, count) in other.agreed { *self.agreed.entry(key).or_default() += count; }
        for (key, count) in other.skipped { *self.skipped.entry(key).or_default() += count; }
        for (key, count) in other.explained { *self.explained.entry(key).or_default() += count; }
        self.unexplained.extend(other.unexplained);
    }
}

fn is_not_served(one: &Compared) -> bool {
    let is_refused = matches!(&one.remit, Outcome::Failed(failure) if failure.code == Code::Unimplemented);
    is_refused && NOT_YET_SERVED.contains(&one.call.method())
}

fn kind(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Decided(Access::Allowed) => "allowed",
        Outcome::Decided(Access::Denied) => "denied",
        Outcome::Decided(Access::Conditional(_)) => "conditional",
        Outcome::Resources(found) if found.is_empty() => "nothing",
        Outcome::Subjects(found) if found.named.is_empty() && found.everybody.is_none() => "nothing",
        Outcome::Resources(_) | Outcome::Subjects(_) => "something",
        Outcome::Tree(_) => "tree",
        Outcome::Failed(_) => "failed",
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} cases", self.cases)?;
        for ((method, kind), count) in &self.agreed { writeln!(f, "  {method} {kind}: {count}")?; }
        for (method, count) in &self.skipped { writeln!(f, "  {method} not served yet: {count}")?; }
        for (cause, count) in &self.explained { writeln!(f, "  differ, {cause}: {count}")?; }
        for (seed, text) in &self.unexplained { writeln!(f, "seed {seed}: {text}")?; }
        Ok(())
    }
}
