//! From a value of one type to one of another: `int("1")`, `string(1.5)`.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a value of a type that is not named has no such overload, whatever types there are"
)]

use std::sync::Arc;

use super::super::meter::{Meter, Stop};
use super::super::print::{number_text, quoted};
use super::super::value::{Instant, Value};
use super::time;

/// 2^63 and 2^64: the first whole doubles past an int and a uint.
const INT_END: f64 = 9_223_372_036_854_775_808.0;
const UINT_END: f64 = 18_446_744_073_709_551_616.0;

pub(super) fn to_int(value: Value) -> Result<Value, Stop> {
    match value {
        Value::Int(_) => Ok(value),
        Value::Uint(number) => i64::try_from(number)
            .map(Value::Int)
            .map_err(|_| overflow()),
        // The cast drops the fraction; a double out of range (or none) is refused before.
        Value::Double(number) if number > -INT_END && number < INT_END => {
            Ok(Value::Int(number as i64))
        }
        Value::Double(_) => Err(overflow()),
        Value::String(text) => text
            .parse()
            .map(Value::Int)
            .map_err(|_| unparsable("int", &text)),
        Value::Timestamp(at) => Ok(Value::Int(at.seconds)),
        Value::Duration(nanos) => Ok(Value::Int(nanos)),
        _ => Err(Stop::no_such_overload()),
    }
}

pub(super) fn to_uint(value: Value) -> Result<Value, Stop> {
    match value {
        Value::Uint(_) => Ok(value),
        Value::Int(number) => u64::try_from(number)
            .map(Value::Uint)
            .map_err(|_| uint_overflow()),
        Value::Double(number) if (0.0..UINT_END).contains(&number) => {
            Ok(Value::Uint(number as u64))
        }
        Value::Double(_) => Err(uint_overflow()),
        Value::String(text) if !text.starts_with('+') => text
            .parse()
            .map(Value::Uint)
            .map_err(|_| unparsable("uint", &text)),
        Value::String(text) => Err(unparsable("uint", &text)),
        _ => Err(Stop::no_such_overload()),
    }
}

pub(super) fn to_double(value: Value) -> Result<Value, Stop> {
    match value {
        Value::Double(_) => Ok(value),
        Value::Int(number) => Ok(Value::Double(number as f64)),
        Value::Uint(number) => Ok(Value::Double(number as f64)),
        Value::String(text) => text
            .parse()
            .map(Value::Double)
            .map_err(|_| unparsable("double", &text)),
        _ => Err(Stop::no_such_overload()),
    }
}

pub(super) fn to_string(value: Value, meter: &mut Meter) -> Result<Value, Stop> {
    let text = match value {
        Value::String(_) => return Ok(value),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) => number_text(number),
        Value::Bytes(bytes) => {
            meter.walk(bytes.len())?;
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| Stop::error("invalid UTF-8 in bytes, cannot convert to string"))?;
            return Ok(Value::string(text));
        }
        Value::Duration(nanos) => time::duration_text(nanos),
        Value::Timestamp(at) => time::instant_text(at)?,
        _ => return Err(Stop::no_such_overload()),
    };
    Ok(Value::String(text.into()))
}

pub(super) fn to_bytes(value: Value) -> Result<Value, Stop> {
    match value {
        Value::Bytes(_) => Ok(value),
        Value::String(text) => Ok(Value::Bytes(Arc::from(text.as_bytes()))),
        _ => Err(Stop::no_such_overload()),
    }
}

pub(super) fn to_bool(value: Value) -> Result<Value, Stop> {
    match value {
        Value::Bool(_) => Ok(value),
        Value::String(text) => match text.as_ref() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(unparsable("bool", &text)),
        },
        _ => Err(Stop::no_such_overload()),
    }
}

pub(super) fn to_duration(value: Value) -> Result<Value, Stop> {
    match value {
        Value::Duration(_) => Ok(value),
        Value::Int(nanos) => Ok(Value::Duration(nanos)),
        Value::String(text) => time::duration_from_text(&text)
            .map(Value::Duration)
            .map_err(|detail| Stop::Error(detail.into_boxed_str())),
        _ => Err(Stop::no_such_overload()),
    }
}

pub(super) fn to_timestamp(value: Value) -> Result<Value, Stop> {
    match value {
        Value::Timestamp(_) => Ok(value),
        Value::Int(seconds) => time::shifted(
            Instant {
                seconds: 0,
                nanos: 0,
            },
            i128::from(seconds) * 1_000_000_000,
        ),
        Value::String(text) => time::instant_from_text(&text)
            .map(Value::Timestamp)
            .map_err(|detail| Stop::Error(detail.into_boxed_str())),
        _ => Err(Stop::no_such_overload()),
    }
}

fn overflow() -> Stop {
    Stop::error("integer overflow")
}

fn uint_overflow() -> Stop {
    Stop::error("unsigned integer overflow")
}

fn unparsable(wanted: &str, text: &str) -> Stop {
    let text: String = text.chars().take(64).collect();
    Stop::error(&format!("cannot parse {} as {wanted}", quoted(&text)))
}
