//! The JSON form of what has a text form: that text. Lists of such refuse what stands in them twice.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use model::{
    DefinitionName, ObjectRef, RelationName, Relationship, RelationshipKey, SubjectRef, Timestamp,
    Token,
};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is written as a text and read back from it.
pub(crate) trait Text: Sized {
    fn to_text(&self) -> String;
    /// The value, or what is wrong with the text.
    fn of_text(text: &str) -> Result<Self, String>;
}

macro_rules! by_display {
    ($($ty:ty),*) => {$(
        impl Text for $ty {
            fn to_text(&self) -> String {
                self.to_string()
            }

            fn of_text(text: &str) -> Result<Self, String> {
                text.parse().map_err(|error: <$ty as std::str::FromStr>::Err| error.to_string())
            }
        }
    )*};
}

by_display!(
    DefinitionName,
    ObjectRef,
    RelationName,
    SubjectRef,
    Timestamp,
    Token,
    crate::Access,
    crate::Authority,
    crate::EntitlementName,
    crate::RequestId,
    crate::Span,
    crate::SubjectType,
    crate::Version
);

impl Text for RelationshipKey {
    fn to_text(&self) -> String {
        self.to_string()
    }

    fn of_text(text: &str) -> Result<Self, String> {
        let read: Relationship = text
            .parse()
            .map_err(|error: model::TextError| error.to_string())?;
        if read.caveat.is_some() || read.expires_at.is_some() {
            return Err("a relationship is named here without caveat and expiration".to_owned());
        }
        Ok(read.key())
    }
}

/// A value by its text.
struct ByText<T>(T);

impl<T: Text> Serialize for ByText<&T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_text())
    }
}

impl<'de, T: Text> Deserialize<'de> for ByText<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        one::deserialize(deserializer).map(Self)
    }
}

/// One value.
pub(crate) mod one {
    use super::{Deserializer, Error, Serializer, Text};
    use serde::Deserialize as _;

    pub(crate) fn serialize<T: Text, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.to_text())
    }

    pub(crate) fn deserialize<'de, T: Text, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        T::of_text(&text).map_err(D::Error::custom)
    }
}

/// One value, or null.
pub(crate) mod maybe {
    use super::{ByText, Deserializer, Serialize as _, Serializer, Text};
    use serde::Deserialize as _;

    pub(crate) fn serialize<T: Text, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().map(ByText).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Text, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let read: Option<ByText<T>> = Option::deserialize(deserializer)?;
        Ok(read.map(|value| value.0))
    }
}

/// Values in their order, each once.
pub(crate) mod set {
    use super::{BTreeSet, ByText, Deserializer, PhantomData, Serializer, SetVisitor, Text};

    pub(crate) fn serialize<T: Text, S: Serializer>(
        values: &BTreeSet<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(ByText))
    }

    pub(crate) fn deserialize<'de, T: Text + Ord, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<T>, D::Error> {
        deserializer.deserialize_seq(SetVisitor(PhantomData))
    }
}

struct SetVisitor<T>(PhantomData<T>);

impl<'de, T: Text + Ord> Visitor<'de> for SetVisitor<T> {
    type Value = BTreeSet<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<BTreeSet<T>, A::Error> {
        let mut set = BTreeSet::new();
        while let Some(ByText(item)) = items.next_element()? {
            let text = T::to_text(&item);
            if !set.insert(item) {
                return Err(A::Error::custom(format!("`{text}` stands twice")));
            }
        }
        Ok(set)
    }
}
