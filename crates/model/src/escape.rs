//! Ids for what is named by the rules of others: e-mail addresses, paths, anything that is text.
//!
//! A text that can be an id is one, as it stands. In any other, each byte that an id cannot hold is written `=XX`, and so is
//! `=` itself: `ann@example.com` is `ann=40example=2Ecom`. A text that has such a group of its own is written like this
//! as well, so that no two texts have one id.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::name::{NameError, ObjectId};

impl ObjectId {
    /// The id of `text`.
    ///
    /// # Errors
    /// [`NameError`] if it is empty, or the id would be longer than one may be.
    pub fn of_text(text: &str) -> Result<Self, NameError> {
        if !has_group(text.as_bytes())
            && let Ok(id) = Self::new(text)
        {
            return Ok(id);
        }
        let mut id = String::with_capacity(text.len() * 2);
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'|' | b'-' | b'+') {
                id.push(char::from(byte));
            } else {
                // Writing to a string does not fail.
                let _ = write!(id, "={byte:02X}");
            }
        }
        Self::new(&id)
    }

    /// The text that has this id; none if no text has.
    #[must_use]
    pub fn to_text(&self) -> Option<Cow<'_, str>> {
        let id = self.as_str();
        if !has_group(id.as_bytes()) {
            return Some(Cow::Borrowed(id));
        }
        let mut bytes = Vec::with_capacity(id.len());
        let mut rest = id.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            let (byte, after) = match (first, after) {
                (b'=', [high, low, after @ ..]) => (digit(*high)? << 4 | digit(*low)?, after),
                (b'=', _) => return None,
                (byte, after) => (*byte, after),
            };
            bytes.push(byte);
            rest = after;
        }
        let text = String::from_utf8(bytes).ok()?;
        // A group for what needs none is of another's making.
        let is_own = Self::of_text(&text).is_ok_and(|id| id == *self);
        is_own.then_some(Cow::Owned(text))
    }
}

/// Whether there is an `=` with the two digits of a byte.
fn has_group(text: &[u8]) -> bool {
    let is_group = |window: &[u8]| match window {
        [b'=', high, low] => digit(*high).is_some() && digit(*low).is_some(),
        _ => false,
    };
    text.windows(3).any(is_group)
}

/// The value of a digit, in upper case where it is a letter.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_needs_it_is_escaped() {
        for (text, id) in [
            ("readme", "readme"),
            ("abc==", "abc=="),
            ("a=b", "a=b"),
            ("a=4b", "a=4b"),
            ("a=4B", "a=3D4B"),
            ("ann@example.com", "ann=40example=2Ecom"),
            ("/todos/{id}", "/todos/=7Bid=7D"),
            ("*", "=2A"),
            ("é", "=C3=A9"),
            ("a b=", "a=20b=3D"),
        ] {
            let escaped = ObjectId::of_text(text).unwrap();
            assert_eq!(escaped.as_str(), id);
            assert_eq!(escaped.to_text().unwrap(), text);
        }
        assert!(ObjectId::of_text("").is_err());
        assert!(ObjectId::of_text(&"@".repeat(342)).is_err());
        for id in ["a=40b=", "=41", "=FF", "=40=b"] {
            assert_eq!(ObjectId::new(id).unwrap().to_text(), None, "{id}");
        }
    }

    proptest! {
        #[test]
        fn texts_are_read_back(text in "[a-f0-9A-F=@]{1,12}|\\PC{1,60}") {
            let id = ObjectId::of_text(&text).unwrap();
            prop_assert_eq!(id.to_text().unwrap(), text);
        }

        #[test]
        fn no_id_has_two_texts(id in "[a4A0=]{1,10}") {
            let id = ObjectId::new(&id).unwrap();
            if let Some(text) = id.to_text() {
                prop_assert_eq!(ObjectId::of_text(&text).unwrap(), id.clone());
            }
        }
    }
}
