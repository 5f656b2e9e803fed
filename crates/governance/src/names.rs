//! The names of this crate's own things.

use std::fmt;
use std::str::FromStr;

use model::{
    DefinitionName, ObjectRef, RelationName, RelationshipKey, SubjectId, SubjectRef, TextError,
};

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {kind}: expected 1 to 64 letters, digits, `_`, `.` or `-`")]
pub struct WrongName {
    kind: &'static str,
    /// What was given, cut to 64 characters.
    text: String,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = WrongName;

            fn from_str(text: &str) -> Result<Self, WrongName> {
                let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
                if (1..=64).contains(&text.len()) && text.bytes().all(is_letter) {
                    return Ok(Self(text.to_owned()));
                }
                let text = text.chars().take(64).collect();
                Err(WrongName { kind: $kind, text })
            }
        }
    };
}

name! {
    /// The name of an entitlement.
    EntitlementName, "name of an entitlement"
}
name! {
    /// The id of an access request, chosen by whoever keeps them.
    RequestId, "id of an access request"
}

/// A relation of a resource: with a beneficiary it is a relationship. Text form `database:prod#admin`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Access {
    /// What access is to.
    pub resource: ObjectRef,
    /// The relation of the resource.
    pub relation: RelationName,
}

impl Access {
    /// The relationship that gives it to `beneficiary`.
    #[must_use]
    pub fn of(&self, beneficiary: &SubjectRef) -> RelationshipKey {
        RelationshipKey {
            resource: self.resource.clone(),
            relation: self.relation.clone(),
            subject: beneficiary.clone(),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.resource, self.relation)
    }
}

impl FromStr for Access {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let missing = |expected| TextError::Missing {
            expected,
            text: text.chars().take(64).collect(),
            example: "database:prod#admin",
        };
        let (resource, relation) = text.split_once('#').ok_or_else(|| missing("#"))?;
        Ok(Self {
            resource: resource.parse()?,
            relation: RelationName::new(relation)?,
        })
    }
}

/// A kind of subject that can be given access: `user`, or `group#member`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectType {
    /// The definition of the subject.
    pub definition: DefinitionName,
    /// The relation or permission whose members are meant; none for objects themselves.
    pub relation: Option<RelationName>,
}

impl SubjectType {
    /// Whether `subject` is of that kind. A wildcard is of none.
    #[must_use]
    pub fn takes(&self, subject: &SubjectRef) -> bool {
        let is_object = match subject.id {
            SubjectId::Object(_) => true,
            SubjectId::Wildcard => false,
        };
        is_object && subject.definition == self.definition && subject.relation == self.relation
    }
}

impl fmt::Display for SubjectType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.relation {
            Some(relation) => write!(f, "{}#{relation}", self.definition),
            None => self.definition.fmt(f),
        }
    }
}

impl FromStr for SubjectType {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let (definition, relation) = match text.split_once('#') {
            Some((definition, relation)) => (definition, Some(RelationName::new(relation)?)),
            None => (text, None),
        };
        let definition = DefinitionName::new(definition)?;
        Ok(Self {
            definition,
            relation,
        })
    }
}
