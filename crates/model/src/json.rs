//! JSON that says one thing: an object in which no member is given twice, at any depth.
//!
//! Two parsers may differ in which of two members of one name they take, and so in whom a token names.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The members of a JSON object.
pub type Object = Map<String, Value>;

/// Why bytes are no such object. What they hold is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// They are not JSON, or a member is there twice, or they nest too deeply.
    #[error(
        "is not JSON, nests too deeply, or gives a member twice (line {line}, column {column})"
    )]
    Malformed {
        /// Where reading ended, from 1 on.
        line: usize,
        /// Where in the line, in bytes.
        column: usize,
    },
    /// They are JSON of another kind.
    #[error("is not a JSON object")]
    NotAnObject,
}

/// Reads `bytes`, the whole of which is one object.
///
/// # Errors
/// [`JsonError`], without a word of what the bytes hold.
pub fn object(bytes: &[u8]) -> Result<Object, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict.deserialize(&mut deserializer);
    let malformed = |error: serde_json::Error| JsonError::Malformed {
        line: error.line(),
        column: error.column(),
    };
    let value = value.map_err(malformed)?;
    deserializer.end().map_err(malformed)?;
    match value {
        Value::Object(members) => Ok(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(JsonError::NotAnObject)
        }
    }
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("no number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(Strict)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Strict)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is given twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_read_whole_or_not_at_all() {
        let read = object(br#"{"a": [1, -2, 2.5, {"b": null}], "c": true, "d": "x"}"#).unwrap();
        assert_eq!(
            Value::Object(read).to_string(),
            r#"{"a":[1,-2,2.5,{"b":null}],"c":true,"d":"x"}"#
        );
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"x":[{"a":1,"\u0061":2}]}"#,
            r#"{"a":1} {}"#,
            r#"{"a":1"#,
            r#"{"a":1e999}"#,
            r#"{"a":"\ud800"}"#,
            "",
            &"[".repeat(5_000),
        ] {
            let refused = object(text.as_bytes());
            assert!(
                matches!(refused, Err(JsonError::Malformed { .. })),
                "{text}"
            );
        }
        assert_eq!(object(b"[]"), Err(JsonError::NotAnObject));
        let refused = object(b"{\n \"a\":\"\xff\"}");
        assert_eq!(refused, Err(JsonError::Malformed { line: 2, column: 7 }));
    }
}
