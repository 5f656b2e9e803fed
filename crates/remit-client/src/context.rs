//! Values for the parameters of caveats.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct};

/// A value for a parameter of a caveat. Numbers are doubles on the wire: write integers past 2^53, timestamps and durations as text.
#[derive(Debug, Clone, PartialEq)]
pub struct Value(prost_types::Value);

/// Names and values: the context of a check or of a relationship.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Context(BTreeMap<String, Value>);

impl Context {
    /// Without a value.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one value more.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// As it is sent; nothing for nothing.
    pub(crate) fn into_wire(self) -> Option<Struct> {
        if self.0.is_empty() {
            return None;
        }
        let fields = self.0.into_iter().map(|(name, value)| (name, value.0));
        Some(Struct {
            fields: fields.collect(),
        })
    }
}

impl Value {
    fn of(kind: Kind) -> Self {
        Self(prost_types::Value { kind: Some(kind) })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::of(Kind::StringValue(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::of(Kind::StringValue(text))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::of(Kind::BoolValue(value))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::of(Kind::NumberValue(value))
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::of(Kind::NumberValue(value.into()))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::of(Kind::NumberValue(value.into()))
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        let values = values.into_iter().map(|value| value.into().0).collect();
        Self::of(Kind::ListValue(ListValue { values }))
    }
}

impl From<Context> for Value {
    fn from(context: Context) -> Self {
        Self::of(Kind::StructValue(context.into_wire().unwrap_or_default()))
    }
}
