//! Expressions that compute a value, for whoever maps one thing to another by them.
//!
//! The language, the checks and the bounds are those of caveats; what differs is that the type is asked for, that names need not all be
//! used, and that a value is had or it is not: one that is missing is told by name. A caveat is a [`super::Program`].

use std::sync::Arc;

use model::Value as Json;

use super::error::{CompileError, ComputeError};
use super::evaluate::Frame;
use super::meter::{Meter, Stop};
use super::node::Node;
use super::parser;
use super::types::{Inference, Parameter, ParameterType};
use super::value::{Key, Value};
use super::{PARAMETERS_MAX, SOURCE_CHARS_MAX, check, convert, reads};

/// Largest whole number that the numbers of the wire, which are doubles, hold exactly.
const EXACT_MAX: u64 = 1 << 53;

/// The names that expressions are written over, with their types. Cheap to copy.
#[derive(Debug, Clone)]
pub struct Scope(Arc<[Parameter]>);

/// A checked expression that computes a value.
#[derive(Debug, Clone)]
pub struct Computation {
    node: Node,
    locals: usize,
    /// A bit for each name that occurs.
    used: u128,
    scope: Scope,
    reads: reads::Reads,
}

/// Values for a scope, for one round of computations. They share [`super::STEPS_MAX`] steps.
#[derive(Debug)]
pub struct Bound {
    values: Vec<Option<Value>>,
    meter: Meter,
}

impl Scope {
    /// A scope of these names.
    ///
    /// # Errors
    /// [`CompileError::TooManyParameters`] past [`PARAMETERS_MAX`] names.
    pub fn new(parameters: Vec<Parameter>) -> Result<Self, CompileError> {
        if parameters.len() > PARAMETERS_MAX {
            return Err(CompileError::TooManyParameters {
                parameters: parameters.len(),
            });
        }
        Ok(Self(parameters.into()))
    }

    /// The names that there are.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|parameter| parameter.name.as_str())
    }

    /// Compiles `source`, which errors call `name` and which has to yield a value of type `wanted`.
    ///
    /// # Errors
    /// [`CompileError`] if the source is no expression, does not fit the types of the names, yields another type, or is
    /// past a limit.
    pub fn compile(
        &self,
        name: &str,
        source: &str,
        wanted: &ParameterType,
    ) -> Result<Computation, CompileError> {
        let chars = source.chars().count();
        if chars > SOURCE_CHARS_MAX {
            return Err(CompileError::TooLong { chars });
        }
        let expr = parser::parse(source).map_err(|fault| fault.locate(name, source))?;
        let checked = check::check(&expr, &self.0).map_err(|fault| fault.locate(name, source))?;
        if !Inference::default().accepts(&wanted.checked(), &checked.ty) {
            return Err(CompileError::Misfit {
                wanted: wanted.to_string(),
                found: checked.ty.to_string(),
            });
        }
        let used = checked.used.iter().enumerate();
        let used = used.filter(|(_, is_used)| **is_used);
        Ok(Computation {
            node: checked.node,
            locals: checked.locals,
            used: used.fold(0, |bits, (slot, _)| bits | 1 << slot),
            scope: self.clone(),
            reads: reads::Reads::of(&expr),
        })
    }

    /// Values for a round of computations; `value` is asked for each name, and tells none where it is missing.
    ///
    /// # Errors
    /// [`ComputeError::Value`] if a value does not have its declared type.
    pub fn bind(&self, mut value: impl FnMut(&str) -> Option<Json>) -> Result<Bound, ComputeError> {
        let mut values = Vec::with_capacity(self.0.len());
        for parameter in self.0.iter() {
            let converted = value(&parameter.name)
                .map(|json| convert::value(&parameter.ty, &json))
                .transpose();
            values.push(converted.map_err(|detail| ComputeError::Value {
                name: parameter.name.clone(),
                detail,
            })?);
        }
        Ok(Bound {
            values,
            meter: Meter::new(),
        })
    }

    fn names_of(&self, missing: u128) -> Vec<String> {
        let named = self.names().enumerate();
        let missing = named.filter(|(slot, _)| missing >> slot & 1 == 1);
        let mut names: Vec<String> = missing.map(|(_, name)| name.to_owned()).collect();
        names.sort();
        names
    }
}

impl Computation {
    /// Whether `name` occurs.
    #[must_use]
    pub fn uses(&self, name: &str) -> bool {
        let slot = self.scope.names().position(|other| other == name);
        slot.is_some_and(|slot| self.used >> slot & 1 == 1)
    }

    /// The keys that are read of the map `name`; none if it is used in a way that may read any.
    #[must_use]
    pub fn keys_read(&self, name: &str) -> Option<Vec<&str>> {
        self.reads.keys_of(name)
    }

    /// The value, with the values that are bound.
    ///
    /// # Errors
    /// [`ComputeError`] if a value that it needs is missing, an operation has no result, the result has no form in JSON, or
    /// past [`super::STEPS_MAX`] steps.
    pub fn compute(&self, bound: &mut Bound) -> Result<Json, ComputeError> {
        let value = self.evaluate(bound)?;
        json(&value, &mut bound.meter).map_err(|stop| self.failed(stop))
    }

    /// The value as text: a string as it is, a whole number in digits, a bool as `true` or `false`.
    ///
    /// # Errors
    /// As [`Self::compute`], and for a value that is none of these.
    pub fn compute_text(&self, bound: &mut Bound) -> Result<String, ComputeError> {
        match self.compute(bound)? {
            Json::String(text) => Ok(text),
            Json::Bool(value) => Ok(value.to_string()),
            Json::Number(number) if number.fract() == 0.0 && number.abs() <= EXACT_MAX as f64 => {
                Ok((number as i64).to_string())
            }
            Json::Number(_) => Err(ComputeError::NoText("a number that is not whole")),
            Json::Null => Err(ComputeError::NoText("null")),
            Json::List(_) => Err(ComputeError::NoText("a list")),
            Json::Map(_) => Err(ComputeError::NoText("a map")),
        }
    }

    fn evaluate(&self, bound: &mut Bound) -> Result<Value, ComputeError> {
        let meter = std::mem::replace(&mut bound.meter, Meter::of(0));
        let mut frame = Frame {
            parameters: &bound.values,
            locals: vec![Value::Null; self.locals],
            meter,
        };
        let evaluated = frame.evaluate(&self.node);
        bound.meter = frame.meter;
        evaluated.map_err(|stop| self.failed(stop))
    }

    fn failed(&self, stop: Stop) -> ComputeError {
        match stop {
            Stop::Unknown(missing) => ComputeError::Missing(self.scope.names_of(missing)),
            Stop::Error(detail) => ComputeError::Failed(detail.into()),
            Stop::TooManySteps => ComputeError::TooManySteps,
        }
    }
}

/// The value as JSON has it. A value may hold a part many times, so that walking it takes steps.
fn json(value: &Value, meter: &mut Meter) -> Result<Json, Stop> {
    meter.step()?;
    let exact = |is_exact: bool, number: f64| match is_exact {
        true => Ok(Json::Number(number)),
        false => Err(Stop::error("a whole number is past 2^53")),
    };
    match value {
        Value::Null => Ok(Json::Null),
        Value::Bool(value) => Ok(Json::Bool(*value)),
        Value::Int(number) => exact(number.unsigned_abs() <= EXACT_MAX, *number as f64),
        Value::Uint(number) => exact(*number <= EXACT_MAX, *number as f64),
        Value::Double(number) if number.is_finite() => Ok(Json::Number(*number)),
        Value::Double(_) => Err(Stop::error("a number is not finite")),
        Value::String(text) => {
            meter.walk(text.len())?;
            Ok(Json::String(text.to_string()))
        }
        Value::List(items) => {
            let items = items.iter().map(|item| json(item, meter));
            Ok(Json::List(items.collect::<Result<_, _>>()?))
        }
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| match key {
                Key::String(name) => Ok((name.to_string(), json(value, meter)?)),
                Key::Bool(_) | Key::Int(_) | Key::Uint(_) => {
                    Err(Stop::error("a key of a map is no string"))
                }
            });
            Ok(Json::Map(entries.collect::<Result<_, _>>()?))
        }
        Value::Ipaddress(address) => Ok(Json::String(address.to_string())),
        Value::Bytes(_)
        | Value::Duration(_)
        | Value::Timestamp(_)
        | Value::Optional(_)
        | Value::Type(_) => Err(Stop::error(&format!(
            "the result is of type {}, which has no form in JSON",
            value.type_name().text()
        ))),
    }
}
