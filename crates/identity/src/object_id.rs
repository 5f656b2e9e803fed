//! Ids of objects for what others name by their own rules: people, groups, workloads.
//!
//! An id holds letters, digits and `/ _ | - + =`. Every other byte is written `=XX`, and `=` itself `=3D`, so that no two
//! names have one id and a person can still read it: `alice=40example=2Ecom`.

use std::fmt::Write as _;

use model::{NameError, ObjectId};

/// The id for `text`, after `prefix`, which is a part of an id already.
///
/// # Errors
/// [`NameError`] if the whole is empty or longer than an id may be.
pub(crate) fn escaped(prefix: &str, text: &str) -> Result<ObjectId, NameError> {
    let mut id = String::with_capacity(prefix.len() + text.len());
    id.push_str(prefix);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'|' | b'-' | b'+') {
            id.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(id, "={byte:02X}");
        }
    }
    ObjectId::new(&id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text that an id stands for.
    fn unescaped(id: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = id.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            if *first == b'=' {
                let hex = std::str::from_utf8(&after[..2]).unwrap();
                assert_eq!(hex, hex.to_uppercase());
                bytes.push(u8::from_str_radix(hex, 16).unwrap());
                rest = &after[2..];
            } else {
                bytes.push(*first);
                rest = after;
            }
        }
        bytes
    }

    #[test]
    fn what_an_id_cannot_hold_is_escaped() {
        let escaped = |text| escaped("", text).unwrap().to_string();
        assert_eq!(escaped("alice@example.com"), "alice=40example=2Ecom");
        assert_eq!(escaped("a=b"), "a=3Db");
        assert_eq!(escaped("*"), "=2A");
        assert_eq!(escaped("é"), "=C3=A9");
        assert!(super::escaped("", "").is_err());
        assert!(super::escaped("", &"@".repeat(342)).is_err());
        assert_eq!(super::escaped("corp|", "x").unwrap().as_str(), "corp|x");
    }

    proptest! {
        #[test]
        fn ids_are_read_back(text in "\\PC{1,60}") {
            let id = escaped("", &text).unwrap();
            prop_assert_eq!(unescaped(id.as_str()), text.as_bytes());
        }
    }
}
