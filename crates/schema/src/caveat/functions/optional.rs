//! Fields, items and entries, which may be missing, and the optionals that say so.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a value of a type that is not named has no such overload, whatever types there are"
)]

use std::sync::Arc;

use super::super::meter::{Meter, Stop};
use super::super::value::{Key, Value};

/// What was looked up, or why it is not there.
enum Found {
    Value(Value),
    Missing(Box<str>),
}

/// `operand.key`, or an optional of it.
pub(in super::super) fn field_of(
    operand: &Value,
    key: &Key,
    is_optional: bool,
) -> Result<Value, Stop> {
    match operand {
        Value::Map(entries) => {
            let found = match entries.get(key) {
                Some(value) => Found::Value(value.clone()),
                None => Found::Missing(no_such_key(key)),
            };
            wrapped(found, is_optional)
        }
        Value::Optional(None) => Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) if !matches!(inner.as_ref(), Value::Optional(_)) => {
            field_of(inner, key, true)
        }
        _ => Err(Stop::no_such_overload()),
    }
}

/// `operand[index]`, or an optional of it.
pub(super) fn index_of(operand: &Value, index: &Value, is_optional: bool) -> Result<Value, Stop> {
    match operand {
        Value::Map(entries) => {
            let Some(key) = Key::of(index) else {
                return match index {
                    // A number that is not whole is a fine question with no entry as its answer.
                    Value::Double(_) => {
                        wrapped(Found::Missing(Box::from("no such key")), is_optional)
                    }
                    _ => Err(Stop::error(&format!(
                        "unsupported key type: {}",
                        index.type_name().text()
                    ))),
                };
            };
            let found = match entries.get(&key) {
                Some(value) => Found::Value(value.clone()),
                None => Found::Missing(no_such_key(&key)),
            };
            wrapped(found, is_optional)
        }
        Value::List(items) => {
            let position = match Key::of(index) {
                Some(Key::Int(number)) => usize::try_from(number).ok(),
                Some(Key::Uint(number)) => usize::try_from(number).ok(),
                Some(Key::Bool(_) | Key::String(_)) | None => return Err(Stop::no_such_overload()),
            };
            let found = match position.and_then(|position| items.get(position)) {
                Some(value) => Found::Value(value.clone()),
                None => Found::Missing(out_of_bounds(index)),
            };
            wrapped(found, is_optional)
        }
        Value::Optional(None) => Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) if !matches!(inner.as_ref(), Value::Optional(_)) => {
            index_of(inner, index, true)
        }
        _ => Err(Stop::no_such_overload()),
    }
}

fn wrapped(found: Found, is_optional: bool) -> Result<Value, Stop> {
    match (found, is_optional) {
        (Found::Value(value), false) => Ok(value),
        (Found::Value(value), true) => Ok(Value::Optional(Some(Arc::new(value)))),
        (Found::Missing(_), true) => Ok(Value::Optional(None)),
        (Found::Missing(detail), false) => Err(Stop::Error(detail)),
    }
}

fn no_such_key(key: &Key) -> Box<str> {
    let text = match key {
        Key::Bool(value) => value.to_string(),
        Key::Int(number) => number.to_string(),
        Key::Uint(number) => number.to_string(),
        Key::String(text) => text.chars().take(64).collect(),
    };
    format!("no such key: {text}").into_boxed_str()
}

fn out_of_bounds(index: &Value) -> Box<str> {
    let text = match index {
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        _ => String::new(),
    };
    format!("index out of bounds: {text}").into_boxed_str()
}

/// Whether each entry of `part` is in `whole`: maps as subtrees, other values as equals.
pub(super) fn is_subtree(part: &Value, whole: &Value, meter: &mut Meter) -> Result<bool, Stop> {
    let (Value::Map(part), Value::Map(whole)) = (part, whole) else {
        return part.equals(whole, meter);
    };
    for (key, value) in part.iter() {
        meter.step()?;
        match whole.get(key) {
            Some(other) if is_subtree(value, other, meter)? => {}
            Some(_) | None => return Ok(false),
        }
    }
    Ok(true)
}
