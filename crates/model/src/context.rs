//! Caveat contexts: the values that a relationship carries and a request brings.
//!
//! A context is a JSON object with the numbers of the wire, which are doubles (`google.protobuf.Struct`). Keys are
//! sorted, so one context has one text.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value as Json};

/// Nesting that a context may have; deeper ones are refused where they are parsed.
pub const DEPTH_MAX: usize = 64;

/// One value of a context.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// JSON `null`.
    Null,
    /// JSON `true` or `false`.
    Bool(bool),
    /// A JSON number; always a double, as on the wire.
    Number(f64),
    /// A JSON string.
    String(String),
    /// A JSON array.
    List(Vec<Value>),
    /// A JSON object.
    Map(BTreeMap<String, Value>),
}

/// Named values for the parameters of caveats.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Context(BTreeMap<String, Value>);

/// Why a text is no context.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// The text is not JSON.
    #[error("caveat context is not JSON: {detail}")]
    Json {
        /// What the JSON parser found, with its line and column.
        detail: String,
    },
    /// The JSON is not an object.
    #[error("caveat context must be a JSON object such as `{{\"day\":\"friday\"}}`")]
    NotAnObject,
    /// A number is not finite.
    #[error("caveat context holds a number that is not finite")]
    NumberNotFinite,
    /// The values are nested too deeply.
    #[error("caveat context is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

impl Context {
    /// A context of these values.
    #[must_use]
    pub fn new(values: BTreeMap<String, Value>) -> Self {
        Self(values)
    }

    /// The value of the parameter `name`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Every name with its value, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Parses a JSON object.
    ///
    /// # Errors
    /// [`ContextError`] if the text is not JSON, not an object or nested deeper than [`DEPTH_MAX`].
    pub fn from_json(text: &str) -> Result<Self, ContextError> {
        let json: Json = serde_json::from_str(text).map_err(|error| ContextError::Json {
            detail: error.to_string(),
        })?;
        let Json::Object(map) = json else {
            return Err(ContextError::NotAnObject);
        };
        Self::from_object(map)
    }

    /// The context of a JSON object that was read.
    ///
    /// # Errors
    /// [`ContextError`] if it is nested deeper than [`DEPTH_MAX`].
    pub fn from_object(object: Map<String, Json>) -> Result<Self, ContextError> {
        Ok(Self(map_from_json(object, 1)?))
    }

    /// The context as compact JSON with sorted keys; equal contexts have equal texts.
    #[must_use]
    pub fn to_json(&self) -> String {
        Json::Object(map_to_json(&self.0)).to_string()
    }
}

fn map_from_json(
    map: Map<String, Json>,
    depth: usize,
) -> Result<BTreeMap<String, Value>, ContextError> {
    map.into_iter()
        .map(|(name, json)| Ok((name, value_from_json(json, depth + 1)?)))
        .collect()
}

fn value_from_json(json: Json, depth: usize) -> Result<Value, ContextError> {
    if depth > DEPTH_MAX {
        return Err(ContextError::TooDeep);
    }
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => {
            Value::Number(number.as_f64().ok_or(ContextError::NumberNotFinite)?)
        }
        Json::String(text) => Value::String(text),
        Json::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| value_from_json(item, depth + 1))
                .collect::<Result<_, _>>()?,
        ),
        Json::Object(map) => Value::Map(map_from_json(map, depth)?),
    })
}

fn map_to_json(map: &BTreeMap<String, Value>) -> Map<String, Json> {
    map.iter()
        .map(|(name, value)| (name.clone(), value_to_json(value)))
        .collect()
}

fn value_to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Number(number) => number_to_json(*number),
        Value::String(text) => Json::String(text.clone()),
        Value::List(items) => Json::Array(items.iter().map(value_to_json).collect()),
        Value::Map(map) => Json::Object(map_to_json(map)),
    }
}

/// Whole numbers that a double holds exactly print without a fraction, as JSON writers of the wire do.
fn number_to_json(number: f64) -> Json {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
        return Json::Number(Number::from(number as i64));
    }
    Number::from_f64(number).map_or(Json::Null, Json::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_context_has_one_text() {
        let context =
            Context::from_json(r#" {"b": [1.0, 2.5, null], "a": {"y": "z", "x": true}} "#).unwrap();
        assert_eq!(
            context.to_json(),
            r#"{"a":{"x":true,"y":"z"},"b":[1,2.5,null]}"#
        );
        assert_eq!(Context::from_json(&context.to_json()).unwrap(), context);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert_eq!(Context::from_json("[1]"), Err(ContextError::NotAnObject));
        assert!(matches!(
            Context::from_json("{"),
            Err(ContextError::Json { .. })
        ));
        assert!(matches!(
            Context::from_json(r#"{"a":1e999}"#),
            Err(ContextError::Json { .. })
        ));
    }

    #[test]
    fn deep_nesting_is_refused_not_overflown() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(Context::from_json(&deep).is_err());
        let nested = format!("{{\"a\":{}{}}}", "[".repeat(80), "]".repeat(80));
        assert_eq!(Context::from_json(&nested), Err(ContextError::TooDeep));
    }
}
