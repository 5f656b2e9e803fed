//! The trace that a call is part of, as its caller tells it.
//!
//! SOURCE: W3C Trace Context, level 1: `tracestate` counts only beside a `traceparent`, which [`origin::trace`] reads.

use std::fmt::Write as _;

use http::HeaderMap;

use crate::origin;

const TRACESTATE: &str = "tracestate";
/// A longer `tracestate` is left out, as the standard allows.
const TRACESTATE_BYTES_MAX: usize = 512;

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
        let told = origin::trace(headers)?;
        Some(Self {
            trace_id: told.trace,
            span_id: told.span,
            is_sampled: told.is_sampled,
            state: state(headers),
        })
    }
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
    use http::HeaderValue;

    use super::*;

    const TRACEPARENT: &str = "traceparent";
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn a_traceparent_is_read_with_its_state_which_has_a_bound() {
        let mut headers = HeaderMap::new();
        headers.append(TRACESTATE, HeaderValue::from_static("a=1"));
        assert_eq!(Parent::of(&headers), None);
        let parent: HeaderValue = format!("00-{TRACE}-{SPAN}-01").parse().unwrap();
        headers.append(TRACEPARENT, parent);
        headers.append(TRACESTATE, HeaderValue::from_static("b=2"));
        let parent = Parent::of(&headers).unwrap();
        assert_eq!(hex(&parent.trace_id), TRACE);
        assert_eq!(hex(&parent.span_id), SPAN);
        assert!(parent.is_sampled);
        assert_eq!(parent.state, "a=1,b=2");
        headers.append(TRACESTATE, "c".repeat(600).parse().unwrap());
        assert_eq!(Parent::of(&headers).unwrap().state, "");
    }
}
