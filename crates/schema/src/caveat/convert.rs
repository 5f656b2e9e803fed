//! From the JSON values of a context to the values that an expression computes with, by the declared types.
//!
//! SOURCE: the recorded conversions; the texts of errors name types as the peer does (`float64`, `[]interface {}`).

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a value of a JSON type that is not named is refused, whatever types there are"
)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Value as Json;
use model::context::DEPTH_MAX;

use super::functions::{duration_from_text, instant_from_text};
use super::print::{number_text, quoted};
use super::types::ParameterType;
use super::value::{Key, Value};

/// Converts `json` to a value of type `ty`, or says why not.
pub(super) fn value(ty: &ParameterType, json: &Json) -> Result<Value, String> {
    if is_deeper(json, DEPTH_MAX) {
        return Err(format!(
            "for {ty}: the value is nested deeper than {DEPTH_MAX} levels"
        ));
    }
    convert(ty, json)
}

fn is_deeper(json: &Json, levels: usize) -> bool {
    match json {
        Json::List(items) => levels == 0 || items.iter().any(|item| is_deeper(item, levels - 1)),
        Json::Map(entries) => {
            levels == 0 || entries.values().any(|item| is_deeper(item, levels - 1))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}

fn convert(ty: &ParameterType, json: &Json) -> Result<Value, String> {
    let converted = match ty {
        ParameterType::Any => Ok(any(json)),
        ParameterType::Bool => match json {
            Json::Bool(value) => Ok(Value::Bool(*value)),
            other => Err(required("bool", other)),
        },
        ParameterType::String => match json {
            Json::String(text) => Ok(Value::string(text)),
            other => Err(required("string", other)),
        },
        ParameterType::Int => whole("int", json).map(Value::Int),
        ParameterType::Uint => whole("uint", json).and_then(|number| {
            if number < 0 {
                return Err(format!(
                    "a uint value is required, but found int64 value `{number}`"
                ));
            }
            Ok(Value::Int(number))
        }),
        ParameterType::Double => double(json).map(Value::Double),
        ParameterType::Bytes => bytes(json),
        ParameterType::Duration => match json {
            Json::String(text) => duration_from_text(text)
                .map(Value::Duration)
                .map_err(|error| format!("could not parse duration string `{text}`: {error}")),
            other => Err(format!(
                "durations requires a duration string, found: {}",
                type_text(other)
            )),
        },
        ParameterType::Timestamp => timestamp(json),
        ParameterType::Ipaddress => ipaddress(json),
        ParameterType::List(item) => list(item, json),
        ParameterType::Map(item) => map(item, json),
    };
    converted.map_err(|detail| format!("for {ty}: {detail}"))
}

fn any(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Double(*number),
        Json::String(text) => Value::string(text),
        Json::List(items) => Value::List(Arc::new(items.iter().map(any).collect())),
        Json::Map(entries) => Value::Map(Arc::new(
            entries
                .iter()
                .map(|(key, value)| (Key::String(Arc::from(key.as_str())), any(value)))
                .collect(),
        )),
    }
}

fn required(wanted: &str, found: &Json) -> String {
    format!(
        "a {wanted} value is required, but found {} `{}`",
        type_text(found),
        text(found)
    )
}

/// A whole number from a number or a string; one out of range is held at the end of the range.
fn whole(wanted: &str, json: &Json) -> Result<i64, String> {
    let number = match json {
        Json::Number(number) => *number,
        Json::String(text) => match whole_from_text(text) {
            Some(number) => return Ok(number),
            None => double_from_text(text).ok_or_else(|| unparsable("int64", text))?,
        },
        other => return Err(required("int64", other)),
    };
    if number.fract() != 0.0 {
        return Err(format!(
            "a {wanted} value is required, but found numeric value `{}`",
            number_text(number)
        ));
    }
    Ok(number as i64)
}

/// Digits are read as such, since a double would round those past 2^53.
fn whole_from_text(text: &str) -> Option<i64> {
    let digits = match text.split_once('.') {
        Some((digits, zeros)) if !zeros.is_empty() && zeros.bytes().all(|zero| zero == b'0') => {
            digits
        }
        Some(_) => return None,
        None => text,
    };
    let number: i128 = digits.parse().ok()?;
    Some(number.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
}

fn double(json: &Json) -> Result<f64, String> {
    match json {
        Json::Number(number) => Ok(*number),
        Json::String(text) => double_from_text(text).ok_or_else(|| unparsable("float64", text)),
        other => Err(required("float64", other)),
    }
}

/// Decimal digits with a fraction and an exponent, no words such as `inf`. What overflows is held at the largest.
fn double_from_text(text: &str) -> Option<f64> {
    let is_decimal = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    let number: f64 = text.parse().ok().filter(|_| is_decimal)?;
    Some(number.clamp(f64::MIN, f64::MAX))
}

fn unparsable(wanted: &str, text: &str) -> String {
    format!("a {wanted} value is required, but found invalid string value `{text}`")
}

fn bytes(json: &Json) -> Result<Value, String> {
    let Json::String(encoded) = json else {
        return Err(format!(
            "bytes requires a base64 unicode string, found: {} `{}`",
            type_text(json),
            text(json)
        ));
    };
    let decoded = STANDARD.decode(encoded).map_err(|error| {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _) => at,
            base64::DecodeError::InvalidLastSymbol { .. }
            | base64::DecodeError::InvalidLength(_)
            | base64::DecodeError::InvalidPadding => encoded.len() / 4 * 4,
        };
        format!("bytes requires a base64 encoded string: illegal base64 data at input byte {at}")
    })?;
    Ok(Value::Bytes(decoded.into()))
}

fn timestamp(json: &Json) -> Result<Value, String> {
    let Json::String(written) = json else {
        return Err(format!(
            "timestamps requires a RFC 3339 formatted timestamp string, found: {} `{}`",
            type_text(json),
            text(json)
        ));
    };
    instant_from_text(written)
        .map(Value::Timestamp)
        .map_err(|error| {
            format!("could not parse RFC 3339 formatted timestamp string `{written}`: {error}")
        })
}

fn ipaddress(json: &Json) -> Result<Value, String> {
    let Json::String(written) = json else {
        return Err(format!(
            "ipaddress requires an ipaddress string, found: {} `{}`",
            type_text(json),
            text(json)
        ));
    };
    written
        .parse::<IpAddr>()
        .map(Value::Ipaddress)
        .map_err(|_| {
            format!(
                "could not parse ip address string `{written}`: ParseAddr({}): unable to parse IP",
                quoted(written)
            )
        })
}

fn list(item: &ParameterType, json: &Json) -> Result<Value, String> {
    let Json::List(items) = json else {
        return Err(format!("list requires a list, found: {}", type_text(json)));
    };
    let mut converted = Vec::with_capacity(items.len());
    for (ix, json) in items.iter().enumerate() {
        let value = convert(item, json)
            .map_err(|detail| format!("found an invalid value for item at index {ix}: {detail}"))?;
        converted.push(value);
    }
    Ok(Value::List(Arc::new(converted)))
}

fn map(item: &ParameterType, json: &Json) -> Result<Value, String> {
    let Json::Map(entries) = json else {
        return Err(format!("map requires a map, found: {}", type_text(json)));
    };
    let mut converted = BTreeMap::new();
    for (key, json) in entries {
        let value = convert(item, json)
            .map_err(|detail| format!("found an invalid value for key `{key}`: {detail}"))?;
        converted.insert(Key::String(Arc::from(key.as_str())), value);
    }
    Ok(Value::Map(Arc::new(converted)))
}

const fn type_text(json: &Json) -> &'static str {
    match json {
        Json::Null => "<nil>",
        Json::Bool(_) => "bool",
        Json::Number(_) => "float64",
        Json::String(_) => "string",
        Json::List(_) => "[]interface {}",
        Json::Map(_) => "map[string]interface {}",
    }
}

fn text(json: &Json) -> String {
    match json {
        Json::Null => "<nil>".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number_text(*number),
        Json::String(text) => text.clone(),
        Json::List(items) => {
            let items: Vec<String> = items.iter().map(text).collect();
            format!("[{}]", items.join(" "))
        }
        Json::Map(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{key}:{}", text(value)))
                .collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}
