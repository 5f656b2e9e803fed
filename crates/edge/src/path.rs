//! Paths of requests, read so that no two programs can see two things in one.
//!
//! A path is split at `/` as it was sent, and each segment is decoded once. What some program between the client and the service may
//! read otherwise is refused: `.` and `..` in any spelling, empty segments, `;`, backslashes, control characters, what would decode a
//! second time. A `/` or a `;` that was encoded stays within its segment.

/// Longest path, in bytes as sent.
pub const PATH_BYTES_MAX: usize = 8_192;
/// Most segments of a path.
pub const SEGMENTS_MAX: usize = 128;

/// The segments of a path, decoded. A path that ends in `/` ends in an empty one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments(Vec<String>);

/// Why a path is not looked at any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin at the root.
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    /// It is too long.
    #[error("the path has more than {PATH_BYTES_MAX} bytes")]
    TooLong,
    /// It has too many segments.
    #[error("the path has more than {SEGMENTS_MAX} segments")]
    TooManySegments,
    /// A character that has to be encoded is not.
    #[error("the path holds a character that has to be percent-encoded")]
    Character,
    /// A `%` without two hexadecimal digits, or bytes that are no UTF-8.
    #[error("the path is not percent-encoded UTF-8")]
    Encoding,
    /// A segment that is encoded twice.
    #[error("the path holds a segment that is percent-encoded twice")]
    EncodedTwice,
    /// Two slashes in a row.
    #[error("the path holds an empty segment")]
    EmptySegment,
    /// A segment that means another folder, in whatever spelling.
    #[error("the path holds `.` or `..`")]
    Dots,
    /// A `;` as it is, behind which servlet containers and others read parameters and not the path.
    #[error("the path holds `;`: one that belongs to a name is sent as `%3B`")]
    Semicolon,
    /// A backslash or a control character, however written.
    #[error("the path holds a backslash or a control character")]
    Forbidden,
}

impl Segments {
    /// Reads the path of a request, without its query.
    ///
    /// # Errors
    /// [`PathError`] for what is not to be trusted to mean one thing.
    pub fn read(path: &str) -> Result<Self, PathError> {
        if path.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        let rest = path.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
        let count = rest.bytes().filter(|byte| *byte == b'/').count() + 1;
        if count > SEGMENTS_MAX {
            return Err(PathError::TooManySegments);
        }
        let mut segments = Vec::with_capacity(count);
        for (ix, written) in rest.split('/').enumerate() {
            if written.is_empty() && ix + 1 < count {
                return Err(PathError::EmptySegment);
            }
            segments.push(segment(written)?);
        }
        Ok(Self(segments))
    }

    /// The segments.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

fn segment(written: &str) -> Result<String, PathError> {
    if written.bytes().any(|byte| !is_sent(byte)) {
        return Err(if written.contains('\\') {
            PathError::Forbidden
        } else {
            PathError::Character
        });
    }
    let decoded = decoded(written)?;
    if decoded.chars().any(|c| c == '\\' || c.is_control()) {
        return Err(PathError::Forbidden);
    }
    // Some servers decode before they split, and some drop what follows a `;`.
    let mut parts = decoded.split('/');
    if parts.any(|part| matches!(part.split(';').next(), Some("." | ".."))) {
        return Err(PathError::Dots);
    }
    if written.contains(';') {
        return Err(PathError::Semicolon);
    }
    if written.contains('%') && holds_encoding(&decoded) {
        return Err(PathError::EncodedTwice);
    }
    Ok(decoded)
}

/// Whether a byte may stand in a path as it is (RFC 3986, `pchar`), or begins an encoded one.
fn is_sent(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&byte)
}

/// `text` with each `%XX` as the byte that it stands for.
pub(crate) fn decoded(text: &str) -> Result<String, PathError> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (high, low) = (rest.next().and_then(digit), rest.next().and_then(digit));
        let (Some(high), Some(low)) = (high, low) else {
            return Err(PathError::Encoding);
        };
        bytes.push(high * 16 + low);
    }
    String::from_utf8(bytes).map_err(|_| PathError::Encoding)
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

fn holds_encoding(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut triplets = bytes.windows(3);
    triplets.any(
        |it| matches!(it, [b'%', high, low] if digit(*high).is_some() && digit(*low).is_some()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Result<Vec<String>, PathError> {
        Segments::read(path).map(|segments| segments.0)
    }

    #[test]
    fn segments_are_decoded_once_and_stay_apart() {
        let of = |parts: &[&str]| Ok(parts.iter().map(|part| (*part).to_owned()).collect());
        assert_eq!(read("/"), of(&[""]));
        assert_eq!(read("/todos/1"), of(&["todos", "1"]));
        assert_eq!(read("/todos/"), of(&["todos", ""]));
        assert_eq!(read("/a%20b/%C3%A9"), of(&["a b", "é"]));
        assert_eq!(read("/files/a%2Fb"), of(&["files", "a/b"]));
        assert_eq!(read("/a%3Bv=1/b...c/..."), of(&["a;v=1", "b...c", "..."]));
        assert_eq!(read("/100%25"), of(&["100%"]));
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        use PathError::*;
        for (path, error) in [
            ("", NotAbsolute),
            ("todos", NotAbsolute),
            ("http://a/b", NotAbsolute),
            ("//", EmptySegment),
            ("/a//b", EmptySegment),
            ("//a", EmptySegment),
            ("/a/..", Dots),
            ("/a/../b", Dots),
            ("/./a", Dots),
            ("/%2e%2e/a", Dots),
            ("/.%2E/a", Dots),
            ("/a/..%2fb", Dots),
            ("/a%2f..%2fb", Dots),
            ("/a/..;/b", Dots),
            ("/a/..;x=1/b", Dots),
            ("/a/.%3b", Dots),
            ("/admin;x/users", Semicolon),
            ("/admin/users;", Semicolon),
            ("/;/admin", Semicolon),
            ("/a;v=%31", Semicolon),
            ("/a%5c..%5cb", Forbidden),
            ("/a\\b", Forbidden),
            ("/a%00", Forbidden),
            ("/a%0d%0ab", Forbidden),
            ("/a%7f", Forbidden),
            ("/a%C2%85", Forbidden),
            ("/%252e%252e/a", EncodedTwice),
            ("/a%252fb", EncodedTwice),
            ("/a%", Encoding),
            ("/a%2", Encoding),
            ("/a%zz", Encoding),
            ("/a%+1", Encoding),
            ("/a%ff", Encoding),
            ("/a%c0%ae", Encoding),
            ("/a b", Character),
            ("/a?b", Character),
            ("/a#b", Character),
            ("/é", Character),
            ("/a\"", Character),
        ] {
            assert_eq!(read(path), Err(error), "{path}");
        }
        assert_eq!(
            read(&format!("/{}", "a".repeat(PATH_BYTES_MAX))),
            Err(TooLong)
        );
        assert_eq!(read(&"/a".repeat(SEGMENTS_MAX + 1)), Err(TooManySegments));
        assert!(read(&"/a".repeat(SEGMENTS_MAX)).is_ok());
    }
}
