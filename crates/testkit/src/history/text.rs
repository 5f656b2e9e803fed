//! Calls and violations as lines to read: instants in seconds, tokens as `revision/hash`.

use std::fmt;

use model::{Operation as Update, Timestamp, Token};

use super::{Call, Checked, Freshness, History, Operation, Question, Violation, Written};

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}@{}", self.resource, self.member, self.subject)
    }
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinimizeLatency => f.write_str("minimize latency"),
            Self::AtLeastAsFresh(token) => write!(f, "at least as fresh as {}", short(*token)),
            Self::AtExactSnapshot(token) => write!(f, "exactly at {}", short(*token)),
            Self::FullyConsistent => f.write_str("fully consistent"),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.name)?;
        match self.node {
            Some(serving) => write!(f, "at node {}.{}", serving.node, serving.starts)?,
            None => f.write_str("at the store")?,
        }
        write!(
            f,
            " from {} to {}: ",
            seconds(self.begun),
            seconds(self.ended)
        )?;
        match &self.call {
            Call::Write { updates, result } => {
                f.write_str("write")?;
                for update in updates {
                    let sign = match update.operation {
                        Update::Create => '*',
                        Update::Touch => '+',
                        Update::Delete => '-',
                    };
                    write!(f, " {sign}{}", update.relationship)?;
                }
                match result {
                    Written::Acknowledged(at) => write!(f, " -> {}", short(*at)),
                    Written::Refused { why, .. } => write!(f, " -> refused: {why}"),
                    Written::Unknown => f.write_str(" -> unknown"),
                }
            }
            Call::Check {
                question,
                freshness,
                result,
            } => {
                write!(f, "check {question}, {freshness}")?;
                match result {
                    Checked::Answered { decision, at } => {
                        write!(f, " -> {decision:?} at {}", short(*at))
                    }
                    Checked::Failed(why) => write!(f, " -> failed: {why}"),
                }
            }
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.why)?;
        for operation in &self.operations {
            write!(f, "\n  {operation}")?;
        }
        Ok(())
    }
}

/// Every call in the order of its beginning, then the logs.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut operations: Vec<_> = self.operations.iter().collect();
        operations.sort_by(|one, other| (one.begun, &one.name).cmp(&(other.begun, &other.name)));
        for operation in operations {
            writeln!(f, "{operation}")?;
        }
        for branch in &self.branches {
            writeln!(f, "log since {}", seconds(branch.since))?;
            for entry in &branch.entries {
                let name = entry.name.as_deref().unwrap_or("schema");
                let at = seconds(entry.time);
                writeln!(
                    f,
                    "  {}/{} at {at}: {name}",
                    entry.revision,
                    hex(entry.hash.short())
                )?;
            }
        }
        Ok(())
    }
}

/// A token as `revision/hash`.
pub(super) fn short(token: Token) -> String {
    format!("{}/{}", token.revision, hex(token.hash))
}

pub(super) fn seconds(instant: Timestamp) -> String {
    let (seconds, nanos) = instant.as_seconds();
    format!("{seconds}.{:03}s", nanos / 1_000_000)
}

/// The first two bytes are enough to tell commits of one revision apart.
fn hex([first, second, ..]: [u8; 8]) -> String {
    format!("{first:02x}{second:02x}")
}
