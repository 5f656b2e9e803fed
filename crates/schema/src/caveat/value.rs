//! The values that an expression computes with: their equality, their order and their kinds.
//!
//! Values share their parts, so copying one is cheap. A value may be far larger on paper than in memory (a list that
//! holds one list many times), so whatever walks through one counts its steps.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::meter::{Meter, Stop};

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
    /// Nanoseconds.
    Duration(i64),
    Timestamp(Instant),
    Ipaddress(IpAddr),
    List(Arc<Vec<Value>>),
    Map(Arc<BTreeMap<Key, Value>>),
    Optional(Option<Arc<Value>>),
    Type(TypeName),
}

/// An instant in UTC from year 1 to 9999, to the nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instant {
    /// Since 1970-01-01T00:00:00Z.
    pub(super) seconds: i64,
    /// After the second.
    pub(super) nanos: u32,
}

/// A key of a map. Whole numbers are one key, signed or not.
#[derive(Debug, Clone)]
pub(super) enum Key {
    Bool(bool),
    Int(i64),
    Uint(u64),
    String(Arc<str>),
}

/// What `type(x)` yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TypeName {
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Duration,
    Timestamp,
    Ipaddress,
    List,
    Map,
    Optional,
    Type,
}

impl TypeName {
    const ALL: [Self; 14] = [
        Self::Null,
        Self::Bool,
        Self::Int,
        Self::Uint,
        Self::Double,
        Self::String,
        Self::Bytes,
        Self::Duration,
        Self::Timestamp,
        Self::Ipaddress,
        Self::List,
        Self::Map,
        Self::Optional,
        Self::Type,
    ];

    /// The name of the type in an expression.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Duration => "google.protobuf.Duration",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Ipaddress => "IPAddress",
            Self::List => "list",
            Self::Map => "map",
            Self::Optional => "optional_type",
            Self::Type => "type",
        }
    }

    /// The type that is called `name` in an expression; that of addresses has no name there.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|ty| ty.text() == name && *ty != Self::Ipaddress)
    }
}

impl Value {
    pub(super) fn string(text: &str) -> Self {
        Self::String(Arc::from(text))
    }

    pub(super) const fn type_name(&self) -> TypeName {
        match self {
            Self::Null => TypeName::Null,
            Self::Bool(_) => TypeName::Bool,
            Self::Int(_) => TypeName::Int,
            Self::Uint(_) => TypeName::Uint,
            Self::Double(_) => TypeName::Double,
            Self::String(_) => TypeName::String,
            Self::Bytes(_) => TypeName::Bytes,
            Self::Duration(_) => TypeName::Duration,
            Self::Timestamp(_) => TypeName::Timestamp,
            Self::Ipaddress(_) => TypeName::Ipaddress,
            Self::List(_) => TypeName::List,
            Self::Map(_) => TypeName::Map,
            Self::Optional(_) => TypeName::Optional,
            Self::Type(_) => TypeName::Type,
        }
    }

    /// Whether the value is the zero of its type.
    pub(super) fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(value) => !value,
            Self::Int(number) | Self::Duration(number) => *number == 0,
            Self::Uint(number) => *number == 0,
            Self::Double(number) => *number == 0.0,
            Self::String(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Map(entries) => entries.is_empty(),
            Self::Optional(value) => value.is_none(),
            Self::Timestamp(at) => at.seconds == 0 && at.nanos == 0,
            Self::Ipaddress(_) | Self::Type(_) => false,
        }
    }

    /// Whether two values are equal. Numbers compare across their types; values of other types differ.
    pub(super) fn equals(&self, other: &Self, meter: &mut Meter) -> Result<bool, Stop> {
        meter.step()?;
        Ok(match (self, other) {
            (Self::String(left), Self::String(right)) => {
                meter.walk(left.len().min(right.len()))?;
                left == right
            }
            (Self::Bytes(left), Self::Bytes(right)) => {
                meter.walk(left.len().min(right.len()))?;
                left == right
            }
            (Self::List(left), Self::List(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                for (left, right) in left.iter().zip(right.iter()) {
                    if !left.equals(right, meter)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Map(left), Self::Map(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                for ((left_key, left), (right_key, right)) in left.iter().zip(right.iter()) {
                    if left_key != right_key || !left.equals(right, meter)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Optional(left), Self::Optional(right)) => match (left, right) {
                (Some(left), Some(right)) => left.equals(right, meter)?,
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            },
            (Self::Null, Self::Null) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Duration(left), Self::Duration(right)) => left == right,
            (Self::Timestamp(left), Self::Timestamp(right)) => left == right,
            (Self::Ipaddress(left), Self::Ipaddress(right)) => left == right,
            (Self::Type(left), Self::Type(right)) => left == right,
            (left, right) => left.compare_numbers(right) == Some(Ordering::Equal),
        })
    }

    /// The order of two values of one type, or of two numbers; none where there is no order.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => Some(left.cmp(right)),
            (Self::String(left), Self::String(right)) => Some(left.cmp(right)),
            (Self::Bytes(left), Self::Bytes(right)) => Some(left.cmp(right)),
            (Self::Duration(left), Self::Duration(right)) => Some(left.cmp(right)),
            (Self::Timestamp(left), Self::Timestamp(right)) => Some(left.cmp(right)),
            (left, right) => left.compare_numbers(right),
        }
    }

    fn compare_numbers(&self, other: &Self) -> Option<Ordering> {
        match (self.number()?, other.number()?) {
            (Number::Whole(left), Number::Whole(right)) => Some(left.cmp(&right)),
            (Number::Double(left), Number::Double(right)) => left.partial_cmp(&right),
            (Number::Whole(left), Number::Double(right)) => compare_mixed(left, right),
            (Number::Double(left), Number::Whole(right)) => {
                compare_mixed(right, left).map(Ordering::reverse)
            }
        }
    }

    fn number(&self) -> Option<Number> {
        match self {
            Self::Int(number) => Some(Number::Whole(i128::from(*number))),
            Self::Uint(number) => Some(Number::Whole(i128::from(*number))),
            Self::Double(number) => Some(Number::Double(*number)),
            Self::Null
            | Self::Bool(_)
            | Self::String(_)
            | Self::Bytes(_)
            | Self::Duration(_)
            | Self::Timestamp(_)
            | Self::Ipaddress(_)
            | Self::List(_)
            | Self::Map(_)
            | Self::Optional(_)
            | Self::Type(_) => None,
        }
    }
}

enum Number {
    Whole(i128),
    Double(f64),
}

/// Exact, unlike a comparison after rounding the whole number to a double.
fn compare_mixed(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // The cast holds doubles past the range at its ends, which lie far outside of 64 bits.
    let floor = double.floor() as i128;
    Some(whole.cmp(&floor).then(if double.fract() == 0.0 {
        Ordering::Equal
    } else {
        Ordering::Less
    }))
}

impl Key {
    /// The key that `value` is; a double that is whole is the key of that number.
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Int(number) => Some(Self::Int(*number)),
            Value::Uint(number) => Some(Self::Uint(*number)),
            Value::String(text) => Some(Self::String(Arc::clone(text))),
            Value::Double(number) => {
                let whole = *number as i128;
                if compare_mixed(whole, *number) != Some(Ordering::Equal) {
                    return None;
                }
                i64::try_from(whole)
                    .map(Self::Int)
                    .or_else(|_| u64::try_from(whole).map(Self::Uint))
                    .ok()
            }
            Value::Null
            | Value::Bytes(_)
            | Value::Duration(_)
            | Value::Timestamp(_)
            | Value::Ipaddress(_)
            | Value::List(_)
            | Value::Map(_)
            | Value::Optional(_)
            | Value::Type(_) => None,
        }
    }

    pub(super) fn value(&self) -> Value {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(number) => Value::Int(*number),
            Self::Uint(number) => Value::Uint(*number),
            Self::String(text) => Value::String(Arc::clone(text)),
        }
    }

    const fn rank(&self) -> (u8, i128) {
        match self {
            Self::Bool(value) => (0, *value as i128),
            Self::Int(number) => (1, *number as i128),
            Self::Uint(number) => (1, *number as i128),
            Self::String(_) => (2, 0),
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::String(left), Self::String(right)) => left.cmp(right),
            (left, right) => left.rank().cmp(&right.rank()),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}
