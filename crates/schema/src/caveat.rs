//! Caveat expressions (CEL): parse, check, evaluate. Pure, and total: no input panics or runs away.
//!
//! [`Program::compile`] reads a source in three passes: `lexer` and `parser` make the tree of `syntax`, `check` makes
//! of it the tree of `node` in which names are slots and constant parts are computed, and `print` the canonical text.
//! [`Program::evaluate`] converts the values of a context by the declared types (`convert`) and walks the nodes
//! (`evaluate`, `functions`).
//!
//! Evaluation is our own, since it has to be partial: a parameter without a value is *unknown*, an outcome may be
//! known all the same, and if it is not, the parameters that would decide are named.
//!
//! [`Computation`] is the same language where a value is to be computed rather than a condition decided.
//!
//! INVARIANT: the tree of a program is at most [`HEIGHT_MAX`] levels high; an evaluation takes at most [`STEPS_MAX`]
//! steps, and what it builds is in proportion to its steps.

mod check;
mod cidr;
mod computation;
mod convert;
mod error;
mod evaluate;
mod functions;
mod lexer;
mod meter;
mod node;
mod parser;
mod print;
mod reads;
mod syntax;
mod types;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use model::Context;

pub use computation::{Bound, Computation, Scope};
pub use error::{CompileError, ComputeError, EvaluationError, Location, TypeError, WrittenError};
pub use types::{Parameter, ParameterType};

use evaluate::Frame;
use meter::{Meter, Stop};
use node::Node;
use types::Type;
use value::Value;

/// Longest source, in characters.
pub const SOURCE_CHARS_MAX: usize = 100_000;
/// Deepest nesting of a source, in brackets and branches.
pub const DEPTH_MAX: usize = 64;
/// Most parameters; one bit each says which are missing.
pub const PARAMETERS_MAX: usize = 128;
/// Most steps of one evaluation: calls, items of collections, bytes of strings by sixteen.
pub const STEPS_MAX: u64 = 1_000_000;

/// Operators above each other, `a + b + c` being two.
const HEIGHT_MAX: u16 = 128;
/// Generic types within each other.
const GENERICS_DEPTH_MAX: usize = 32;
/// Literal regular expressions.
const REGEXES_MAX: usize = 64;
/// Memory of one compiled regular expression.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Steps of computing one constant part while compiling.
const STEPS_FOLD_MAX: u64 = 10_000;

/// A checked expression with its declared parameters. Cheap to copy.
#[derive(Clone)]
pub struct Program(Arc<Compiled>);

struct Compiled {
    name: String,
    parameters: Vec<Parameter>,
    text: String,
    node: Node,
    /// Places for the variables of macros.
    locals: usize,
}

/// What an expression says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// The condition holds.
    True,
    /// The condition does not hold.
    False,
    /// These parameters have no value and would decide; sorted by name.
    Missing(Vec<String>),
}

impl Program {
    /// Compiles `source` under `name`, which errors name.
    ///
    /// # Errors
    /// [`CompileError`] if the source is no expression, does not fit the types of `parameters`, does not yield a
    /// bool, leaves a parameter unused, or is past a limit.
    pub fn compile(
        name: &str,
        source: &str,
        parameters: Vec<Parameter>,
    ) -> Result<Self, CompileError> {
        let chars = source.chars().count();
        if chars > SOURCE_CHARS_MAX {
            return Err(CompileError::TooLong { chars });
        }
        if parameters.len() > PARAMETERS_MAX {
            return Err(CompileError::TooManyParameters {
                parameters: parameters.len(),
            });
        }
        let expr = parser::parse(source).map_err(|fault| fault.locate(name, source))?;
        let checked =
            check::check(&expr, &parameters).map_err(|fault| fault.locate(name, source))?;
        if checked.ty != Type::Bool {
            return Err(CompileError::NotBool {
                found: checked.ty.to_string(),
            });
        }
        let unused = parameters
            .iter()
            .zip(&checked.used)
            .find(|(_, is_used)| !**is_used);
        if let Some((parameter, _)) = unused {
            return Err(CompileError::UnusedParameter(parameter.name.clone()));
        }
        let text = print::print(&expr);
        Ok(Self(Arc::new(Compiled {
            name: name.to_owned(),
            parameters,
            text,
            node: checked.node,
            locals: checked.locals,
        })))
    }

    /// The name that the expression was compiled under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The declared parameters, in the order of the declaration.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.0.parameters
    }

    /// The expression in its canonical form: wrapped lines, no comments.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.0.text.clone()
    }

    /// Evaluates with the values that were `written` with a relationship, and those of the `request` for the rest.
    /// Values for names that are no parameters are ignored.
    ///
    /// # Errors
    /// [`EvaluationError`] if a value does not have its declared type, if an operation that decides has no result,
    /// or past [`STEPS_MAX`] steps.
    pub fn evaluate(
        &self,
        written: &Context,
        request: &Context,
    ) -> Result<Outcome, EvaluationError> {
        let mut values = Vec::with_capacity(self.0.parameters.len());
        for parameter in &self.0.parameters {
            let json = written
                .value(&parameter.name)
                .or_else(|| request.value(&parameter.name));
            let value = json
                .map(|json| convert::value(&parameter.ty, json))
                .transpose();
            values.push(value.map_err(|detail| EvaluationError::Parameter {
                caveat: self.0.name.clone(),
                parameter: parameter.name.clone(),
                detail,
            })?);
        }
        let locals = vec![Value::Null; self.0.locals];
        let mut frame = Frame {
            parameters: &values,
            locals,
            meter: Meter::new(),
        };
        let failed = |detail: &str| EvaluationError::Evaluation {
            caveat: self.0.name.clone(),
            detail: detail.to_owned(),
        };
        match frame.evaluate(&self.0.node) {
            Ok(Value::Bool(true)) => Ok(Outcome::True),
            Ok(Value::Bool(false)) => Ok(Outcome::False),
            Ok(other) => Err(failed(&format!(
                "expression must result in a boolean value: found `{}`",
                other.type_name().text()
            ))),
            Err(Stop::Unknown(missing)) => Ok(Outcome::Missing(self.names(missing))),
            Err(Stop::Error(detail)) => Err(failed(&detail)),
            Err(Stop::TooManySteps) => Err(EvaluationError::TooManySteps {
                caveat: self.0.name.clone(),
            }),
        }
    }

    /// Checks the values that are to be written with a relationship.
    ///
    /// # Errors
    /// [`WrittenError`] if a name is no parameter or a value does not have its declared type.
    pub fn check_written(&self, written: &Context) -> Result<(), WrittenError> {
        for (name, json) in written.iter() {
            let Some(parameter) = self
                .0
                .parameters
                .iter()
                .find(|parameter| parameter.name == name)
            else {
                return Err(WrittenError::UnknownParameter(name.to_owned()));
            };
            convert::value(&parameter.ty, json).map_err(|detail| WrittenError::Parameter {
                parameter: name.to_owned(),
                detail,
            })?;
        }
        Ok(())
    }

    fn names(&self, missing: u128) -> Vec<String> {
        let mut names: Vec<String> = self
            .0
            .parameters
            .iter()
            .enumerate()
            .filter(|(slot, _)| missing >> slot & 1 == 1)
            .map(|(_, parameter)| parameter.name.clone())
            .collect();
        names.sort();
        names
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text && self.0.parameters == other.0.parameters
    }
}

impl Eq for Program {}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("name", &self.0.name)
            .field("parameters", &self.0.parameters)
            .field("text", &self.0.text)
            .finish()
    }
}
