//! What is wrong with a file of rules: every fault, with its place.

use std::fmt;

/// A place in a file; lines and columns count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where it is.
    pub position: Position,
    /// What is wrong there, and what to do.
    pub message: String,
}

/// Every fault of a file, in its order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults {
    /// The name of the file.
    pub file: String,
    /// At least one.
    pub faults: Vec<Fault>,
}

/// `entitlements.yaml:12:5: unknown key ..`, a line for each.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (ix, fault) in self.faults.iter().enumerate() {
            if ix > 0 {
                f.write_str("\n")?;
            }
            let Position { line, column } = fault.position;
            write!(f, "{}:{line}:{column}: {}", self.file, fault.message)?;
        }
        Ok(())
    }
}
