//! Records as a store keeps them: `{"version":1,"KIND":{..}}`. Nothing that is not understood is passed over.

use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeMap as _};
use std::fmt;
use std::marker::PhantomData;

/// Longest record that is read, in bytes.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// The version of records that this program writes, and the only one it reads.
const VERSION: u32 = 1;

/// Why a text is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is too long.
    #[error("a record has {bytes} bytes, at most {RECORD_BYTES_MAX} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is of a version that this program does not know.
    #[error(
        "a record of version {found}, this program reads version {VERSION}: it was written by a later one"
    )]
    Version {
        /// Its version.
        found: u64,
    },
    /// It is no JSON of the form.
    #[error("no record: {0}")]
    Json(String),
    /// It breaks a rule of what it is.
    #[error("a record that breaks a rule: {0}")]
    Broken(String),
}

struct Written<'a, T>(&'static str, &'a T);

impl<T: Serialize> Serialize for Written<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("version", &VERSION)?;
        map.serialize_entry(self.0, self.1)?;
        map.end()
    }
}

/// The record of a value.
pub(crate) fn write<T: Serialize>(kind: &'static str, value: &T) -> String {
    // PANIC: none; no key of a map in a record is anything but a text.
    let text = serde_json::to_string(&Written(kind, value));
    debug_assert!(text.is_ok(), "a record is JSON");
    text.unwrap_or_default()
}

#[derive(Deserialize)]
struct OfVersion {
    version: u64,
}

/// The value of a record.
pub(crate) fn read<T: DeserializeOwned>(kind: &'static str, text: &str) -> Result<T, RecordError> {
    let bytes = text.len();
    if bytes > RECORD_BYTES_MAX {
        return Err(RecordError::TooLong { bytes });
    }
    let wrong = |error: serde_json::Error| RecordError::Json(error.to_string());
    // First, since what a later version has beside it is not known.
    let found = serde_json::from_str::<OfVersion>(text)
        .map_err(wrong)?
        .version;
    if found != u64::from(VERSION) {
        return Err(RecordError::Version { found });
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let visitor = Envelope(kind, PhantomData);
    let value = deserializer.deserialize_map(visitor).map_err(wrong)?;
    deserializer.end().map_err(wrong)?;
    Ok(value)
}

struct Envelope<T>(&'static str, PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Envelope<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a map with `version` and `{}`", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<T, A::Error> {
        let mut value = None;
        while let Some(key) = entries.next_key::<String>()? {
            if key == "version" {
                entries.next_value::<u32>()?;
            } else if key == self.0 && value.is_none() {
                value = Some(entries.next_value()?);
            } else {
                return Err(A::Error::custom(format!(
                    "`{key}` is not known here, or stands twice"
                )));
            }
        }
        value.ok_or_else(|| A::Error::custom(format!("there is no `{}`", self.0)))
    }
}
