//! Caveat contexts on the wire: `google.protobuf.Struct`.

use std::collections::BTreeMap;

use model::{Context, Value};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use tonic::Status;

/// Values within each other; deeper ones are refused.
const DEPTH_MAX: usize = model::context::DEPTH_MAX;

/// A context from the wire.
///
/// # Errors
/// For values that are nested too deeply, or a number that is not finite.
pub fn context_from_wire(context: Struct) -> Result<Context, Status> {
    Ok(Context::new(map(context, 1)?))
}

/// Values from the wire, by their names.
///
/// # Errors
/// As [`context_from_wire`].
pub(crate) fn values_from_wire(values: Struct) -> Result<Value, Status> {
    map(values, 1).map(Value::Map)
}

/// A context as the wire has it.
#[must_use]
pub fn context_to_wire(context: &Context) -> Struct {
    Struct {
        fields: context
            .iter()
            .map(|(name, value)| (name.to_owned(), to_wire(value)))
            .collect(),
    }
}

fn map(context: Struct, depth: usize) -> Result<BTreeMap<String, Value>, Status> {
    context
        .fields
        .into_iter()
        .map(|(name, value)| Ok((name, from_wire(value, depth + 1)?)))
        .collect()
}

fn from_wire(value: prost_types::Value, depth: usize) -> Result<Value, Status> {
    if depth > DEPTH_MAX {
        let message = format!("caveat context is nested deeper than {DEPTH_MAX} levels");
        return Err(Status::invalid_argument(message));
    }
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(value),
        Some(Kind::NumberValue(number)) if number.is_finite() => Value::Number(number),
        Some(Kind::NumberValue(_)) => {
            return Err(Status::invalid_argument(
                "caveat context holds a number that is not finite",
            ));
        }
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => Value::List(
            list.values
                .into_iter()
                .map(|item| from_wire(item, depth + 1))
                .collect::<Result<_, _>>()?,
        ),
        Some(Kind::StructValue(inner)) => Value::Map(map(inner, depth)?),
    })
}

fn to_wire(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::Number(number) => Kind::NumberValue(*number),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::List(items) => Kind::ListValue(ListValue {
            values: items.iter().map(to_wire).collect(),
        }),
        Value::Map(map) => Kind::StructValue(Struct {
            fields: map
                .iter()
                .map(|(name, value)| (name.clone(), to_wire(value)))
                .collect(),
        }),
    };
    prost_types::Value { kind: Some(kind) }
}
