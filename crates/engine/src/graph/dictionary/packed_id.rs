//! The bytes that an id is kept as: a tag, then UUIDs as 16 bytes, whole numbers as 1 to 8, any other text as it is.
//!
//! Only the one canonical text of a UUID or number is packed so, hence equal ids have equal bytes and unpack to the
//! text that they came from.

use std::cmp::Ordering;

use smallvec::SmallVec;

const TAG_TEXT: u8 = 0;
const TAG_UUID: u8 = 1;
const TAG_INTEGER: u8 = 2;

const UUID_TEXT_BYTES: usize = 36;
const UUID_HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// Where the two digits of each byte begin.
const UUID_PAIRS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
/// What each byte is worth as a lower-case hexadecimal digit.
const HEX_DIGITS: [u8; 256] = hex_digits();
const NO_DIGIT: u8 = 0x80;
/// The digits of `u64::MAX`.
const INTEGER_TEXT_BYTES_MAX: usize = 20;

/// An id as it is kept.
pub(super) type PackedId = SmallVec<[u8; 64]>;

/// The text of an id.
#[derive(Debug, Clone, Copy)]
pub(super) enum IdText<'b> {
    Kept(&'b str),
    Unpacked {
        bytes: [u8; UUID_TEXT_BYTES],
        len: usize,
    },
}

/// Packs an id.
pub(super) fn pack(text: &str) -> PackedId {
    let mut packed = PackedId::new();
    if let Some(uuid) = uuid(text.as_bytes()) {
        packed.push(TAG_UUID);
        packed.extend_from_slice(&uuid);
    } else if let Some(integer) = integer(text) {
        packed.push(TAG_INTEGER);
        let bytes = integer.to_be_bytes();
        let zeros = integer.leading_zeros() as usize / 8;
        packed.extend(bytes.into_iter().skip(zeros.min(7)));
    } else {
        packed.push(TAG_TEXT);
        packed.extend_from_slice(text.as_bytes());
    }
    packed
}

/// The text of a packed id.
pub(super) fn unpack(packed: &[u8]) -> IdText<'_> {
    match packed {
        [TAG_UUID, uuid @ ..] => uuid_text(uuid),
        [TAG_INTEGER, bytes @ ..] => integer_text(
            bytes
                .iter()
                .fold(0, |integer, byte| (integer << 8) | u64::from(*byte)),
        ),
        [_, text @ ..] => IdText::Kept(std::str::from_utf8(text).unwrap_or_default()),
        [] => IdText::Kept(""),
    }
}

/// Orders packed ids as their texts.
pub(super) fn compare(left: &[u8], right: &[u8]) -> Ordering {
    match (left, right) {
        ([TAG_UUID, left @ ..], [TAG_UUID, right @ ..])
        | ([TAG_TEXT, left @ ..], [TAG_TEXT, right @ ..]) => left.cmp(right),
        (left, right) => unpack(left).as_str().cmp(unpack(right).as_str()),
    }
}

impl IdText<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Kept(text) => text,
            Self::Unpacked { bytes, len } => bytes
                .get(..*len)
                .and_then(|bytes| std::str::from_utf8(bytes).ok())
                .unwrap_or_default(),
        }
    }

    /// The first eight bytes of the text as a number, which orders as they do.
    pub(super) fn prefix(&self) -> u64 {
        let mut prefix = [0; 8];
        for (to, from) in prefix.iter_mut().zip(self.as_str().bytes()) {
            *to = from;
        }
        u64::from_be_bytes(prefix)
    }
}

fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let text: &[u8; UUID_TEXT_BYTES] = text.try_into().ok()?;
    let digit = |at: usize| {
        let byte = text.get(at).copied().unwrap_or_default();
        HEX_DIGITS
            .get(usize::from(byte))
            .copied()
            .unwrap_or(NO_DIGIT)
    };
    let mut uuid = [0; 16];
    let mut seen = 0;
    for (byte, at) in uuid.iter_mut().zip(UUID_PAIRS) {
        let (high, low) = (digit(at), digit(at + 1));
        seen |= high | low;
        *byte = (high << 4) | (low & 0xf);
    }
    let has_hyphens = UUID_HYPHENS.iter().all(|at| text.get(*at) == Some(&b'-'));
    (seen < NO_DIGIT && has_hyphens).then_some(uuid)
}

#[expect(clippy::indexing_slicing, reason = "a byte is within a table of 256")]
const fn hex_digits() -> [u8; 256] {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        let digit = if value < 10 {
            b'0' + value
        } else {
            b'a' + value - 10
        };
        // PANIC: a byte is below 256; and this runs when the crate is compiled.
        digits[digit as usize] = value;
        value += 1;
    }
    digits
}

fn uuid_text(uuid: &[u8]) -> IdText<'static> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    let mut bytes = [b'-'; UUID_TEXT_BYTES];
    let mut places = bytes
        .iter_mut()
        .enumerate()
        .filter(|(at, _)| !UUID_HYPHENS.contains(at))
        .map(|(_, place)| place);
    for byte in uuid {
        for nibble in [byte >> 4, byte & 0xf] {
            if let Some(place) = places.next() {
                *place = digit(nibble);
            }
        }
    }
    IdText::Unpacked {
        bytes,
        len: UUID_TEXT_BYTES,
    }
}

fn integer(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let canonical = match bytes {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => {
            rest.len() < INTEGER_TEXT_BYTES_MAX && rest.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    // What is beyond `u64` is kept as text.
    canonical.then(|| text.parse().ok()).flatten()
}

fn integer_text(mut integer: u64) -> IdText<'static> {
    let mut bytes = [0; UUID_TEXT_BYTES];
    let mut len = 0;
    for place in &mut bytes {
        *place = b'0' + (integer % 10) as u8;
        integer /= 10;
        len += 1;
        if integer == 0 {
            break;
        }
    }
    if let Some(digits) = bytes.get_mut(..len) {
        digits.reverse();
    }
    IdText::Unpacked { bytes, len }
}
