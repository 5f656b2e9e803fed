//! The trace that a call is part of, as its caller tells it.
//!
//! SOURCE: W3C Trace Context, level 1: `traceparent` is version, trace, parent and flags in hexadecimal; what cannot be read counts as
//! absent, and `tracestate` counts only beside a `traceparent`.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderValue};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// A longer `tracestate` is left out, as the standard allows.
const TRACESTATE_BYTES_MAX: usize = 512;
/// The bytes of a `traceparent` of version 0; later ones may go on after a dash.
const TRACEPARENT_BYTES: usize = 55;
/// A version that is none.
const NO_VERSION: u8 = 0xff;

/// The span that a call was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace_id: [u8; 16],
    pub(super) span_id: [u8; 8],
    pub(super) is_sampled: bool,
    pub(super) state: String,
}

impl Parent {
    /// What `headers` say; none where they say nothing that can be read.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(TRACEPARENT).iter();
        let (Some(header), None) = (given.next(), given.next()) else {
            return None;
        };
        let mut parent = parse(header)?;
        parent.state = state(headers);
        Some(parent)
    }
}

fn parse(header: &HeaderValue) -> Option<Parent> {
    let text = header.to_str().ok()?;
    let (known, more) = text.split_at_checked(TRACEPARENT_BYTES)?;
    let mut parts = known.split('-');
    let mut part = || parts.next();
    let version = number::<1>(part()?)?;
    let parent = Parent {
        trace_id: number(part()?)?,
        span_id: number(part()?)?,
        is_sampled: number::<1>(part()?)?.first()? & 1 == 1,
        state: String::new(),
    };
    let is_whole = match version {
        [0] => more.is_empty(),
        [NO_VERSION] => false,
        [_] => more.is_empty() || more.starts_with('-'),
    };
    let has_ids = parent.trace_id != [0; 16] && parent.span_id != [0; 8];
    (is_whole && has_ids && parts.next().is_none()).then_some(parent)
}

/// `N` bytes of lower-case hexadecimal.
fn number<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn state(headers: &HeaderMap) -> String {
    let given = headers.get_all(TRACESTATE).iter();
    let texts: Vec<&str> = given.filter_map(|it| it.to_str().ok()).collect();
    let state = texts.join(",");
    if state.len() > TRACESTATE_BYTES_MAX {
        return String::new();
    }
    state
}

/// An id as text.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Parent> {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_str(text).ok()?);
        Parent::of(&headers)
    }

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn a_traceparent_is_read_or_counts_as_absent() {
        let parent = read(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        assert_eq!(hex(&parent.trace_id), TRACE);
        assert_eq!(hex(&parent.span_id), SPAN);
        assert!(parent.is_sampled);
        assert!(!read(&format!("00-{TRACE}-{SPAN}-00")).unwrap().is_sampled);
        assert!(
            read(&format!("01-{TRACE}-{SPAN}-03-more"))
                .unwrap()
                .is_sampled
        );
        for wrong in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}{SPAN}--01"),
            "-".repeat(55),
        ] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn two_traceparents_are_none_and_a_state_has_a_bound() {
        let mut headers = HeaderMap::new();
        let parent: HeaderValue = format!("00-{TRACE}-{SPAN}-01").parse().unwrap();
        headers.append(TRACEPARENT, parent.clone());
        headers.append(TRACESTATE, HeaderValue::from_static("a=1"));
        headers.append(TRACESTATE, HeaderValue::from_static("b=2"));
        assert_eq!(Parent::of(&headers).unwrap().state, "a=1,b=2");
        headers.append(TRACESTATE, "c".repeat(600).parse().unwrap());
        assert_eq!(Parent::of(&headers).unwrap().state, "");
        headers.append(TRACEPARENT, parent);
        assert_eq!(Parent::of(&headers), None);
    }
}
