//! Scenario files: a schema, relationships, and what must be true of them, in the field's validation format.
//!
//! ```yaml
//! now: 2030-01-01T00:00:00Z            # optional: the instant at which everything is asked
//! schema: |-                           # or schemaFile: document.zed
//!   definition user {}
//!   ..
//! relationships: |-
//!   document:readme#viewer@user:ann    // blank lines and comments are fine
//! assertions:
//!   assertTrue: ["document:readme#view@user:ann"]
//!   assertFalse: []
//!   assertCaveated: ['document:readme#view@user:bob with {"day":"friday"}']
//!   assertError: ["document:loop#view@user:ann = cyclic exclusion"]
//! validation:                          # everybody who has the permission, and through which relation
//!   document:readme#view: ["[user:ann] is <document:readme#viewer>"]
//! ```
//!
//! `now` and `assertError` are ours; its kinds are `depth exceeded`, `cyclic exclusion` and `caveat error`. The reader
//! does no I/O (a loader brings the schema file), and neither compiles the schema nor asks anything.

mod document;
mod run;
mod text;

pub use run::{Failure, RunError, Stage};

use std::fmt;
use std::str::FromStr;

use model::{
    Context, ContextError, NameError, ObjectRef, RelationName, Relationship, SubjectRef, TextError,
    Timestamp, TimestampError,
};

/// A scenario file, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The text of the schema.
    pub schema: SchemaText,
    /// The instant at which everything is asked; the present one if the file does not say.
    pub now: Option<Timestamp>,
    /// The data; no two with the same key.
    pub relationships: Vec<Located<Relationship>>,
    /// Single questions with their answers, in the order of the file.
    pub assertions: Vec<Located<Assertion>>,
    /// Whole lists of subjects, in the order of the file.
    pub validations: Vec<Located<Validation>>,
}

/// The text of a schema and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaText {
    /// The text.
    pub text: String,
    /// The file that it stands in: the scenario's own, or that of its `schemaFile`.
    pub file: String,
    /// Where its first line stands in that file.
    pub position: Position,
}

/// A value and where it stands in the scenario file.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it begins.
    pub position: Position,
}

/// A place in a file; lines and columns count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// A question and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Assertion {
    /// What is asked.
    pub question: Question,
    /// What has to be answered.
    pub expected: Expected,
}

/// A check, but for the instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What is asked about.
    pub resource: ObjectRef,
    /// The relation or permission of its definition.
    pub member: RelationName,
    /// Who is asked about.
    pub subject: SubjectRef,
    /// Values for the parameters of caveats.
    pub context: Context,
}

/// Parses `document:readme#view@user:ann`, after which ` with {"day":"friday"}` may stand.
impl FromStr for Question {
    type Err = ScenarioErrorReason;

    fn from_str(text: &str) -> Result<Self, ScenarioErrorReason> {
        text::question(text)
    }
}

/// What a check has to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// `assertTrue`
    Allowed,
    /// `assertFalse`
    Denied,
    /// `assertCaveated`
    Conditional,
    /// `assertError`
    Error(ExpectedError),
}

/// The kind of error that a check has to end in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedError {
    /// `depth exceeded`
    DepthExceeded,
    /// `cyclic exclusion`
    CyclicExclusion,
    /// `caveat error`
    Caveat,
}

/// Everybody who has a permission.
#[derive(Debug, Clone, PartialEq)]
pub struct Validation {
    /// What is asked about.
    pub resource: ObjectRef,
    /// The relation or permission of its definition.
    pub member: RelationName,
    /// Those who have it.
    pub subjects: Vec<Located<ExpectedSubject>>,
}

/// One of those who have a permission: `[user:ann[...]] is <document:readme#viewer>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedSubject {
    /// Who has it.
    pub subject: SubjectRef,
    /// Whether only on a condition: `[...]` behind the subject.
    pub is_conditional: bool,
    /// Of a wildcard, those who do not have it: ` - {user:bob, user:cat[...]}`.
    pub exceptions: Vec<ExpectedException>,
    /// The relations that it is granted through.
    pub relations: Vec<(ObjectRef, RelationName)>,
}

/// One who is taken out of a wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedException {
    /// Who does not have it.
    pub subject: SubjectRef,
    /// Whether only on a condition.
    pub is_conditional: bool,
}

/// Why a file is no scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{position}: {reason}")]
pub struct ScenarioError {
    /// The file.
    pub file: String,
    /// Where in the file.
    pub position: Position,
    /// What is wrong there.
    #[source]
    pub reason: ScenarioErrorReason,
}

/// What is wrong with a scenario file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioErrorReason {
    /// It is no YAML, or not of this shape.
    #[error("{message}")]
    Yaml {
        /// What the reader of YAML says.
        message: String,
    },
    /// It has no schema, or has two.
    #[error("expected one of `schema` and `schemaFile`")]
    SchemaCount,
    /// Its schema file cannot be had.
    #[error("schema file `{path}`: {message}")]
    SchemaFile {
        /// The path as written.
        path: String,
        /// What the loader says.
        message: String,
    },
    /// A relationship, an object or a subject is wrong.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A name is wrong.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A context is wrong.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// An instant is wrong.
    #[error(transparent)]
    Time(#[from] TimestampError),
    /// A relationship stands twice.
    #[error("relationship `{key}` already stands in line {line}")]
    RelationshipRepeated {
        /// What identifies it.
        key: String,
        /// The line of the other.
        line: usize,
    },
    /// The end of an `assertError` entry is wrong.
    #[error(
        "expected ` = depth exceeded`, ` = cyclic exclusion` or ` = caveat error` at the end of `{text}`"
    )]
    ErrorKind {
        /// The entry, cut to 64 characters.
        text: String,
    },
    /// An entry of `validation` is wrong.
    #[error("expected `{expected}` in `{text}`, as in `[user:ann] is <document:readme#viewer>`")]
    ExpectedSubject {
        /// What is missing.
        expected: &'static str,
        /// The entry, cut to 64 characters.
        text: String,
    },
}

impl Scenario {
    /// Reads the scenario `text` of the file called `file`.
    ///
    /// `load` brings the text of a `schemaFile`, whose path is relative to the scenario file.
    ///
    /// # Errors
    /// [`ScenarioError`], with the place, at the first thing that is wrong.
    pub fn read(
        file: &str,
        text: &str,
        load: impl FnOnce(&str) -> Result<String, String>,
    ) -> Result<Self, ScenarioError> {
        document::read(file, text, load).map_err(|(position, reason)| ScenarioError {
            file: file.to_owned(),
            position,
            reason,
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// As in the file: `document:readme#view@user:ann with {"day":"friday"}`.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}@{}", self.resource, self.member, self.subject)?;
        if !self.context.is_empty() {
            write!(f, " with {}", self.context.to_json())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
