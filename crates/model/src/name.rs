//! Names and ids as parsed newtypes, so that a string is checked where it enters and nowhere else.
//!
//! SOURCE: the patterns and lengths of the authzed API (`T`, `R`, `C` and `ID` in its validation rules). They are
//! checked by hand rather than by a regular expression: it is a hot path, and each pattern is one pass over the bytes.

use std::borrow::Borrow;
use std::fmt;

use compact_str::CompactString;

/// Why a string is no name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The string does not have the shape that this kind of name has.
    #[error("{kind} `{text}` does not match `{pattern}`")]
    Pattern {
        /// The kind of name, for example `object id`.
        kind: &'static str,
        /// What was given, cut to 64 characters.
        text: String,
        /// The pattern that it had to match, as a regular expression.
        pattern: &'static str,
    },
    /// The string is longer than this kind of name may be.
    #[error("{kind} has {bytes} bytes, at most {bytes_max} are allowed")]
    TooLong {
        /// The kind of name, for example `object id`.
        kind: &'static str,
        /// The length that was given.
        bytes: usize,
        /// The length that is allowed.
        bytes_max: usize,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $bytes_max:literal, $pattern:literal, $matches:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(CompactString);

        impl $name {
            /// The longest this kind of name may be, in bytes.
            pub const BYTES_MAX: usize = $bytes_max;
            /// The pattern that this kind of name matches, as a regular expression.
            pub const PATTERN: &'static str = $pattern;

            /// Checks `text` and keeps it.
            ///
            /// # Errors
            /// [`NameError::TooLong`] past [`Self::BYTES_MAX`], [`NameError::Pattern`] where the shape is wrong.
            pub fn new(text: &str) -> Result<Self, NameError> {
                Self::validate(text)?;
                Ok(Self(CompactString::new(text)))
            }

            /// Checks `text` alone.
            ///
            /// # Errors
            /// As [`Self::new`].
            pub fn validate(text: &str) -> Result<(), NameError> {
                if text.len() > $bytes_max {
                    return Err(NameError::TooLong {
                        kind: $kind,
                        bytes: text.len(),
                        bytes_max: $bytes_max,
                    });
                }
                if !$matches(text.as_bytes()) {
                    return Err(NameError::Pattern {
                        kind: $kind,
                        text: text.chars().take(64).collect(),
                        pattern: $pattern,
                    });
                }
                Ok(())
            }

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

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0.as_str())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }
    };
}

name! {
    /// The name of a definition, with its prefixes: `document`, `acme/document`.
    DefinitionName, "definition name", 128,
    r"^([a-z][a-z0-9_]{1,61}[a-z0-9]/)*[a-z][a-z0-9_]{1,62}[a-z0-9]$", is_definition_name
}
name! {
    /// The name of a relation or a permission: `viewer`, `view`.
    RelationName, "relation name", 64,
    r"^[a-z][a-z0-9_]{1,62}[a-z0-9]$", is_relation_name
}
name! {
    /// The name of a caveat, with its prefixes: `business_hours`.
    CaveatName, "caveat name", 128,
    r"^([a-zA-Z0-9_][a-zA-Z0-9/_|-]{0,127})$", is_caveat_name
}
name! {
    /// The id of one object within its definition: `readme`, `0198c5c4-7b1c-7d33-9c5e-1f0c5a4f8f6b`. Never `*`.
    ObjectId, "object id", 1024,
    r"^([a-zA-Z0-9/_|\-=+]{1,})$", is_object_id
}

impl ObjectId {
    /// Keeps a text that [`Self::validate`] has let pass before: one that comes back from where it was kept.
    #[must_use]
    pub fn from_validated(text: &str) -> Self {
        debug_assert!(Self::validate(text).is_ok(), "{text:?} is no object id");
        Self(CompactString::new(text))
    }
}

/// `[a-z][a-z0-9_]{1,max - 2}[a-z0-9]`.
fn is_segment(bytes: &[u8], bytes_max: usize) -> bool {
    let [first, middle @ .., last] = bytes else {
        return false;
    };
    (3..=bytes_max).contains(&bytes.len())
        && first.is_ascii_lowercase()
        && middle
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_')
        && (last.is_ascii_lowercase() || last.is_ascii_digit())
}

fn is_definition_name(bytes: &[u8]) -> bool {
    let mut segments = bytes.rsplit(|b| *b == b'/');
    let last_is_name = segments.next().is_some_and(|last| is_segment(last, 64));
    last_is_name && segments.all(|prefix| is_segment(prefix, 63))
}

fn is_relation_name(bytes: &[u8]) -> bool {
    is_segment(bytes, 64)
}

fn is_caveat_name(bytes: &[u8]) -> bool {
    let [first, rest @ ..] = bytes else {
        return false;
    };
    (first.is_ascii_alphanumeric() || *first == b'_')
        && rest
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'|' | b'-'))
}

/// Whether a byte may stand in an id: a table, since ids are the longest that a request holds.
const IN_OBJECT_ID: [bool; 256] = in_object_id();

#[expect(clippy::indexing_slicing, reason = "a byte is within a table of 256")]
const fn in_object_id() -> [bool; 256] {
    let mut table = [false; 256];
    let mut ix = 0;
    while ix < table.len() {
        let b = ix as u8;
        // PANIC: the index is below 256; and this runs when the crate is compiled.
        table[ix] =
            b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'|' | b'-' | b'=' | b'+');
        ix += 1;
    }
    table
}

fn is_object_id(bytes: &[u8]) -> bool {
    let is_in = |b: &u8| IN_OBJECT_ID.get(usize::from(*b)) == Some(&true);
    // To the end, whatever comes: without a way out between, bytes are looked at side by side.
    !bytes.is_empty() && bytes.iter().fold(true, |all, b| all & is_in(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definition_names_have_segments_of_3_to_64_characters() {
        for good in ["doc", "a_b/user", "abc/def/user", &"a".repeat(64)] {
            assert!(DefinitionName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "u",
            "do",
            "User",
            "doc_",
            "1oc",
            "a/doc",
            "doc/",
            "/doc",
            "d oc",
            "döc",
            &"a".repeat(65),
        ] {
            assert!(DefinitionName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wildcard_is_no_object_id() {
        for good in ["a", "A/b|c-d_e=f+g", &"a".repeat(1024)] {
            assert!(ObjectId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "*", "a b", "a.b", "a@b", "é", "a\0", &"a".repeat(1025)] {
            assert!(ObjectId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_says_what_and_the_limit() {
        let error = ObjectId::new(&"a".repeat(1025)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "object id has 1025 bytes, at most 1024 are allowed"
        );
        let error = RelationName::new("Viewer").unwrap_err();
        assert_eq!(
            error.to_string(),
            "relation name `Viewer` does not match `^[a-z][a-z0-9_]{1,62}[a-z0-9]$`"
        );
    }
}
