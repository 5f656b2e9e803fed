//! Messages as JSON: names in lower camel case, what is not set as well, enumerations by name, 64 bits as text.
//!
//! Reading is `prost-reflect`'s, and so is writing the types of `google.protobuf`. Writing the others is done here, since
//! a message that is not set has to be `null`, and a detail of an unknown type must not hide the error that it belongs to.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _,
    SerializeOptions, Value,
};
use serde::ser::{Error as _, SerializeMap};
use serde::{Serialize, Serializer};

const ANY: &str = "google.protobuf.Any";
const WELL_KNOWN: &str = "google.protobuf.";

/// Reads one message of `text`; a field that is not known is passed over.
///
/// # Errors
/// With the position, if `text` is no JSON or a value does not fit its field.
pub(super) fn read(
    descriptor: &MessageDescriptor,
    text: &[u8],
) -> serde_json::Result<DynamicMessage> {
    let options = prost_reflect::DeserializeOptions::new().deny_unknown_fields(false);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let message =
        DynamicMessage::deserialize_with_options(descriptor.clone(), &mut deserializer, &options)?;
    deserializer.end()?;
    Ok(message)
}

/// A message that is written as JSON.
pub(super) struct Json<'a>(pub(super) &'a DynamicMessage);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let descriptor = self.0.descriptor();
        let name = descriptor.full_name();
        if name == ANY {
            return serialize_any(self.0, serializer);
        }
        if let Some(value) = plain(self.0, name) {
            return value.serialize(serializer);
        }
        if name.starts_with(WELL_KNOWN) {
            return self
                .0
                .serialize_with_options(serializer, &SerializeOptions::new());
        }
        let mut map = serializer.serialize_map(None)?;
        serialize_fields(self.0, &mut map)?;
        map.end()
    }
}

/// What a `Struct`, a `ListValue` or a `Value` is in JSON.
enum Plain<'a> {
    Null,
    Number(f64),
    Other(Cow<'a, Value>, FieldDescriptor),
}

/// The types whose fields are JSON themselves: written here for the sake of numbers, which have no point if they are
/// whole.
fn plain<'a>(message: &'a DynamicMessage, name: &str) -> Option<Plain<'a>> {
    let descriptor = message.descriptor();
    let field = match name {
        "google.protobuf.Struct" | "google.protobuf.ListValue" => descriptor.get_field(1)?,
        "google.protobuf.Value" => match descriptor.fields().find(|it| message.has_field(it)) {
            Some(field) => field,
            None => return Some(Plain::Null),
        },
        _ => return None,
    };
    let value = message.get_field(&field);
    Some(match (value.as_enum_number(), value.as_f64()) {
        (Some(_), _) => Plain::Null,
        (None, Some(number)) => Plain::Number(number),
        (None, None) => Plain::Other(value, field),
    })
}

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Up to here every whole number is a number of 64 bits with a fraction, and back.
        const WHOLE_MAX: f64 = 9_007_199_254_740_991.0;
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Number(number) if number.fract() == 0.0 && number.abs() <= WHOLE_MAX => {
                serializer.serialize_i64(*number as i64)
            }
            Self::Number(number) => serialize_float(*number, serializer),
            Self::Other(value, field) => Member(value, field).serialize(serializer),
        }
    }
}

fn serialize_fields<M: SerializeMap>(
    message: &DynamicMessage,
    map: &mut M,
) -> Result<(), M::Error> {
    for field in message.descriptor().fields() {
        if message.has_field(&field) || !field.supports_presence() {
            let value = message.get_field(&field);
            map.serialize_entry(field.json_name(), &Member(&value, &field))?;
        } else if field.kind().as_message().is_some() && field.containing_oneof().is_none() {
            map.serialize_entry(field.json_name(), &())?;
        }
    }
    Ok(())
}

/// The detail of an error: a message of any type, flat beside the name of its type. One that is not described here
/// comes as its bytes.
fn serialize_any<S: Serializer>(any: &DynamicMessage, serializer: S) -> Result<S::Ok, S::Error> {
    let descriptor = any.descriptor();
    let any: prost_types::Any = any.transcode_to().map_err(S::Error::custom)?;
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("@type", &any.type_url)?;
    let name = any.type_url.rsplit('/').next().unwrap_or_default();
    let described = descriptor.parent_pool().get_message_by_name(name);
    let message =
        described.and_then(|known| DynamicMessage::decode(known, any.value.as_slice()).ok());
    match message {
        Some(message) if name.starts_with(WELL_KNOWN) => {
            map.serialize_entry("value", &Json(&message))?;
        }
        Some(message) => serialize_fields(&message, &mut map)?,
        None => map.serialize_entry("value", &BASE64_STANDARD.encode(&any.value))?,
    }
    map.end()
}

/// The value of a field, with every element of a list or a map.
struct Member<'a>(&'a Value, &'a FieldDescriptor);

impl Serialize for Member<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kind = self.1.kind();
        if let Value::List(values) = self.0 {
            return serializer.collect_seq(values.iter().map(|value| Single(value, &kind)));
        }
        let (Value::Map(values), Kind::Message(entry)) = (self.0, &kind) else {
            return Single(self.0, &kind).serialize(serializer);
        };
        let of_values = entry.map_entry_value_field().kind();
        // Sorted, so that one answer has one text.
        let entries = values.iter().map(|(key, value)| (key_text(key), value));
        let entries: BTreeMap<String, &Value> = entries.collect();
        let entries = entries.into_iter();
        serializer.collect_map(entries.map(|(key, value)| (key, Single(value, &of_values))))
    }
}

/// A value that is neither list nor map.
struct Single<'a>(&'a Value, &'a Kind);

impl Serialize for Single<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::I32(value) => serializer.serialize_i32(*value),
            Value::U32(value) => serializer.serialize_u32(*value),
            Value::I64(value) => serializer.collect_str(value),
            Value::U64(value) => serializer.collect_str(value),
            Value::F32(value) if value.is_finite() => serializer.serialize_f32(*value),
            Value::F32(value) => serialize_float(f64::from(*value), serializer),
            Value::F64(value) => serialize_float(*value, serializer),
            Value::String(value) => serializer.serialize_str(value),
            Value::Bytes(value) => serializer.serialize_str(&BASE64_STANDARD.encode(value)),
            Value::EnumNumber(number) => {
                let enumeration = self.1.as_enum();
                match enumeration.and_then(|known| known.get_value(*number)) {
                    Some(named) => serializer.serialize_str(named.name()),
                    None => serializer.serialize_i32(*number),
                }
            }
            Value::Message(message) => Json(message).serialize(serializer),
            Value::List(_) | Value::Map(_) => Err(S::Error::custom("a list within a list")),
        }
    }
}

fn serialize_float<S: Serializer>(value: f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f64(value)
    } else if value.is_nan() {
        serializer.serialize_str("NaN")
    } else {
        serializer.serialize_str(if value > 0.0 { "Infinity" } else { "-Infinity" })
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}
