//! From a function and its arguments to its value.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a value of a type that is not named has no such overload, whatever types there are"
)]

use std::str::FromStr;
use std::sync::Arc;

use regex::Regex;

use super::super::meter::{Meter, Stop};
use super::super::value::{Key, Value};
use super::super::{REGEX_BYTES_MAX, cidr::Cidr};
use super::{Binary, Order, Text, Unary, arithmetic, conversion, optional, time};

/// Calls a function of one argument.
pub(in super::super) fn unary(
    function: Unary,
    value: Value,
    meter: &mut Meter,
) -> Result<Value, Stop> {
    meter.step()?;
    if let Value::String(text) = &value {
        meter.walk(text.len())?;
    }
    match function {
        Unary::Not => match value {
            Value::Bool(value) => Ok(Value::Bool(!value)),
            _ => Err(Stop::no_such_overload()),
        },
        Unary::Negate => arithmetic::negate(&value),
        Unary::Size => size(&value),
        Unary::Int => conversion::to_int(value),
        Unary::Uint => conversion::to_uint(value),
        Unary::Double => conversion::to_double(value),
        Unary::String => conversion::to_string(value, meter),
        Unary::Bytes => conversion::to_bytes(value),
        Unary::Bool => conversion::to_bool(value),
        Unary::Duration => conversion::to_duration(value),
        Unary::Timestamp => conversion::to_timestamp(value),
        Unary::Dyn => Ok(value),
        Unary::Type => Ok(Value::Type(value.type_name())),
        Unary::Time(field) => time::field(field, &value),
        Unary::OptionalOf => Ok(Value::Optional(Some(Arc::new(value)))),
        Unary::OptionalOfNonZero if value.is_zero() => Ok(Value::Optional(None)),
        Unary::OptionalOfNonZero => Ok(Value::Optional(Some(Arc::new(value)))),
        Unary::OptionalHasValue => match value {
            Value::Optional(value) => Ok(Value::Bool(value.is_some())),
            _ => Err(Stop::no_such_overload()),
        },
        Unary::OptionalValue => match value {
            Value::Optional(Some(value)) => Ok(value.as_ref().clone()),
            Value::Optional(None) => Err(Stop::error("optional.none() dereference")),
            _ => Err(Stop::no_such_overload()),
        },
    }
}

/// Calls a function of two arguments.
pub(in super::super) fn binary(
    function: Binary,
    left: &Value,
    right: &Value,
    meter: &mut Meter,
) -> Result<Value, Stop> {
    meter.step()?;
    match function {
        Binary::Equal => left.equals(right, meter).map(Value::Bool),
        Binary::NotEqual => left.equals(right, meter).map(|equal| Value::Bool(!equal)),
        Binary::Order(order) => ordered(order, left, right, meter).map(Value::Bool),
        Binary::Arithmetic(operator) => arithmetic::call(operator, left, right, meter),
        Binary::Text(question) => on_text(question, left, right, meter).map(Value::Bool),
        Binary::In => is_in(left, right, meter).map(Value::Bool),
        Binary::Index => optional::index_of(left, right, false),
        Binary::OptionalIndex => optional::index_of(left, right, true),
        Binary::InCidr => in_cidr(left, right).map(Value::Bool),
        Binary::IsSubtreeOf => optional::is_subtree(left, right, meter).map(Value::Bool),
        Binary::Time(field) => time::field_in(field, left, right),
    }
}

fn ordered(order: Order, left: &Value, right: &Value, meter: &mut Meter) -> Result<bool, Stop> {
    if let (Value::String(left), Value::String(right)) = (left, right) {
        meter.walk(left.len().min(right.len()))?;
    }
    let Some(found) = left.compare(right) else {
        return Err(match (left, right) {
            (Value::Double(_), Value::Double(_) | Value::Int(_) | Value::Uint(_))
            | (Value::Int(_) | Value::Uint(_), Value::Double(_)) => {
                Stop::error("NaN values cannot be ordered")
            }
            _ => Stop::no_such_overload(),
        });
    };
    Ok(match order {
        Order::Less => found.is_lt(),
        Order::LessOrEqual => found.is_le(),
        Order::Greater => found.is_gt(),
        Order::GreaterOrEqual => found.is_ge(),
    })
}

fn on_text(question: Text, left: &Value, right: &Value, meter: &mut Meter) -> Result<bool, Stop> {
    let (Value::String(text), Value::String(part)) = (left, right) else {
        return Err(Stop::no_such_overload());
    };
    meter.walk(text.len() + part.len())?;
    match question {
        Text::Contains => Ok(text.contains(part.as_ref())),
        Text::StartsWith => Ok(text.starts_with(part.as_ref())),
        Text::EndsWith => Ok(text.ends_with(part.as_ref())),
        Text::Matches => {
            // Compiling a pattern costs far more than passing over it.
            meter.spend(REGEX_STEPS + part.len() as u64)?;
            let regex =
                compile_regex(part).map_err(|detail| Stop::Error(detail.into_boxed_str()))?;
            Ok(regex.is_match(text))
        }
    }
}

/// Steps of compiling a pattern that is no literal: at most a hundred of them in one evaluation.
const REGEX_STEPS: u64 = 10_000;

/// Compiles a pattern of `matches`; the engine is linear in the text and has a limit on its size.
pub(in super::super) fn compile_regex(pattern: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(pattern)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .nest_limit(64)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(bytes_max) => {
                format!("regular expression compiles to more than {bytes_max} bytes")
            }
            _ => format!(
                "error parsing regexp: `{}`",
                pattern.chars().take(64).collect::<String>()
            ),
        })
}

fn in_cidr(address: &Value, block: &Value) -> Result<bool, Stop> {
    let (Value::Ipaddress(address), Value::String(text)) = (address, block) else {
        return Err(Stop::no_such_overload());
    };
    match Cidr::from_str(text) {
        Ok(block) => Ok(block.contains(*address)),
        Err(detail) => Err(Stop::Error(detail.into_boxed_str())),
    }
}

fn is_in(item: &Value, collection: &Value, meter: &mut Meter) -> Result<bool, Stop> {
    match collection {
        Value::List(items) => {
            for other in items.iter() {
                if item.equals(other, meter)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(entries) => Ok(Key::of(item).is_some_and(|key| entries.contains_key(&key))),
        _ => Err(Stop::no_such_overload()),
    }
}

fn size(value: &Value) -> Result<Value, Stop> {
    let count = match value {
        Value::String(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.len(),
        Value::Map(entries) => entries.len(),
        _ => return Err(Stop::no_such_overload()),
    };
    i64::try_from(count)
        .map(Value::Int)
        .map_err(|_| Stop::error("integer overflow"))
}
