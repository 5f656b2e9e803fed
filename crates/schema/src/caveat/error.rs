//! What can be wrong with an expression, where it is compiled, written and evaluated.

use super::{DEPTH_MAX, GENERICS_DEPTH_MAX, PARAMETERS_MAX, SOURCE_CHARS_MAX, STEPS_MAX};

/// A place in the source of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The name that the expression was compiled under.
    pub caveat: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The distance from the start of the source, in bytes.
    pub offset: usize,
}

/// Why a source is no caveat expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The source does not follow the grammar.
    #[error("ERROR: {}:{}:{}: Syntax error: {detail}", at.caveat, at.line, at.column)]
    Syntax {
        /// Where.
        at: Location,
        /// What was found and what was expected.
        detail: String,
    },
    /// A name is not declared or a value has a type that does not fit.
    #[error("ERROR: {}:{}:{}: {detail}", at.caveat, at.line, at.column)]
    Check {
        /// Where.
        at: Location,
        /// Which name or which types.
        detail: String,
    },
    /// The expression is nested too deeply.
    #[error(
        "ERROR: {}:{}:{}: expression is nested deeper than {DEPTH_MAX} levels",
        at.caveat, at.line, at.column
    )]
    TooDeep {
        /// Where the limit was reached.
        at: Location,
    },
    /// The expression yields something else than a bool.
    #[error("caveat expression must result in a boolean value: found `{found}`")]
    NotBool {
        /// The type that it yields.
        found: String,
    },
    /// The expression yields something else than what is asked for.
    #[error("expression must result in {wanted}: found `{found}`")]
    Misfit {
        /// The type that is asked for.
        wanted: String,
        /// The type that it yields.
        found: String,
    },
    /// A declared parameter does not occur in the expression.
    #[error("parameter `{0}` is unused")]
    UnusedParameter(String),
    /// The source is too long.
    #[error("caveat expression has {chars} characters, at most {SOURCE_CHARS_MAX} are allowed")]
    TooLong {
        /// The length that was given, in characters.
        chars: usize,
    },
    /// There are too many parameters.
    #[error("caveat has {parameters} parameters, at most {PARAMETERS_MAX} are allowed")]
    TooManyParameters {
        /// How many were given.
        parameters: usize,
    },
}

impl CompileError {
    /// Where the error is, if it is at one place.
    #[must_use]
    pub const fn location(&self) -> Option<&Location> {
        match self {
            Self::Syntax { at, .. } | Self::Check { at, .. } | Self::TooDeep { at } => Some(at),
            Self::NotBool { .. }
            | Self::Misfit { .. }
            | Self::UnusedParameter(_)
            | Self::TooLong { .. }
            | Self::TooManyParameters { .. } => None,
        }
    }

    /// The distance of the error from the start of the source, in bytes.
    #[must_use]
    pub fn offset(&self) -> Option<usize> {
        self.location().map(|at| at.offset)
    }

    /// The same error of a source that starts at `line` and `column` (both from 1) of a larger text.
    #[must_use]
    pub fn within(mut self, line: usize, column: usize) -> Self {
        if let Self::Syntax { at, .. } | Self::Check { at, .. } | Self::TooDeep { at } = &mut self {
            if at.line == 1 {
                at.column += column.saturating_sub(1);
            }
            at.line += line.saturating_sub(1);
        }
        self
    }
}

/// Why a name is no type of a parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// There is no type of that name.
    #[error("unknown type `{0}`")]
    Unknown(String),
    /// The type takes another number of generic types.
    #[error("type `{name}` requires {required} generic types; found {found}")]
    Generics {
        /// The name of the type.
        name: String,
        /// How many it takes.
        required: usize,
        /// How many were given.
        found: usize,
    },
    /// Generic types are nested too deeply.
    #[error("parameter type is nested deeper than {GENERICS_DEPTH_MAX} levels")]
    TooDeep,
}

/// Why an evaluation has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum EvaluationError {
    /// A value of the context does not have the type of its parameter.
    #[error(
        "type error for parameters for caveat `{caveat}`: could not convert context parameter `{parameter}`: {detail}"
    )]
    Parameter {
        /// The name of the caveat.
        caveat: String,
        /// The name of the parameter.
        parameter: String,
        /// Which type was required and what was found.
        detail: String,
    },
    /// An operation had no result.
    #[error("evaluation error for caveat {caveat}: {detail}")]
    Evaluation {
        /// The name of the caveat.
        caveat: String,
        /// What went wrong.
        detail: String,
    },
    /// The evaluation took too many steps.
    #[error("evaluation error for caveat {caveat}: more than {STEPS_MAX} steps are needed")]
    TooManySteps {
        /// The name of the caveat.
        caveat: String,
    },
}

impl EvaluationError {
    /// The name of the caveat that failed.
    #[must_use]
    pub fn caveat(&self) -> &str {
        match self {
            Self::Parameter { caveat, .. }
            | Self::Evaluation { caveat, .. }
            | Self::TooManySteps { caveat } => caveat,
        }
    }
}

/// Why a computation has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComputeError {
    /// These names have no value, and it depends on them.
    #[error("`{}` has no value", .0.join("`, `"))]
    Missing(Vec<String>),
    /// A value does not have its declared type.
    #[error("the value of `{name}` does not fit: {detail}")]
    Value {
        /// The name.
        name: String,
        /// Which type was required and what was found.
        detail: String,
    },
    /// An operation had no result.
    #[error("{0}")]
    Failed(String),
    /// The result is no text.
    #[error("the result is {0}, where a text is needed")]
    NoText(&'static str),
    /// The computations took too many steps.
    #[error("more than {STEPS_MAX} steps are needed")]
    TooManySteps,
}

/// Why a context cannot be written with a relationship.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrittenError {
    /// The caveat has no parameter of that name.
    #[error("unknown parameter `{0}`")]
    UnknownParameter(String),
    /// A value does not have the type of its parameter.
    #[error("could not convert context parameter `{parameter}`: {detail}")]
    Parameter {
        /// The name of the parameter.
        parameter: String,
        /// Which type was required and what was found.
        detail: String,
    },
}

/// A fault at a place, before it is known which line that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) kind: FaultKind,
}

/// What kind of fault it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FaultKind {
    Syntax(String),
    Check(String),
    TooDeep,
}

impl Fault {
    pub(super) const fn syntax(at: usize, detail: String) -> Self {
        Self {
            at,
            kind: FaultKind::Syntax(detail),
        }
    }

    pub(super) const fn check(at: usize, detail: String) -> Self {
        Self {
            at,
            kind: FaultKind::Check(detail),
        }
    }

    /// The error, with the line and column of its place in `source`.
    pub(super) fn locate(self, caveat: &str, source: &str) -> CompileError {
        let before = source.get(..self.at).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let at = Location {
            caveat: caveat.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            offset: self.at,
        };
        match self.kind {
            FaultKind::Syntax(detail) => CompileError::Syntax { at, detail },
            FaultKind::Check(detail) => CompileError::Check { at, detail },
            FaultKind::TooDeep => CompileError::TooDeep { at },
        }
    }
}
