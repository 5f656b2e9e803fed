//! The trace that a call is part of: which, as the caller says, and how it is told to the server.
//!
//! Nothing is traced here. A service that traces its requests, with whatever it does, says as the text of a `traceparent` from which span it asks;
//! every attempt of that call carries it, and the server goes on with that trace.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use tonic::metadata::{Ascii, MetadataValue};

/// The header of a W3C trace context.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// The digits of a trace and of a span.
const TRACE_DIGITS: usize = 32;
const SPAN_DIGITS: usize = 16;

/// The span that a call is made from, of a W3C trace context: `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Traceparent {
    value: MetadataValue<Ascii>,
    is_sampled: bool,
}

/// Why a text is no traceparent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the text is no traceparent of version 00: expected `00-`, {TRACE_DIGITS} digits of a trace, `-`, {SPAN_DIGITS} of a span, `-` and 2 of \
     flags, all in lower-case hexadecimal, and neither id all zeros"
)]
pub struct TraceparentError;

/// What is asked, for each call that says nothing itself, from which span it is made.
#[derive(Clone)]
pub(crate) struct Provider(Arc<dyn Fn() -> Option<Traceparent> + Send + Sync>);

impl Traceparent {
    /// The span of that text.
    ///
    /// # Errors
    /// [`TraceparentError`] for what is none, of version 00; nothing of that is ever sent.
    ///
    /// # Source
    /// W3C Trace Context, section 3.2.
    pub fn new(text: &str) -> Result<Self, TraceparentError> {
        let mut parts = text.split('-');
        let mut digits = |count: usize| {
            let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            let part = parts.next().filter(|part| part.len() == count);
            let part = part.filter(|part| part.bytes().all(is_digit));
            part.ok_or(TraceparentError)
        };
        let version = digits(2)?;
        let ids = [digits(TRACE_DIGITS)?, digits(SPAN_DIGITS)?];
        let flags = u8::from_str_radix(digits(2)?, 16).map_err(|_| TraceparentError)?;
        let is_zero = |id: &str| id.bytes().all(|byte| byte == b'0');
        if version != "00" || ids.into_iter().any(is_zero) || parts.next().is_some() {
            return Err(TraceparentError);
        }
        Ok(Self {
            value: text.parse().map_err(|_| TraceparentError)?,
            is_sampled: flags & 1 == 1,
        })
    }

    /// Whether the caller records its part of the trace.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    pub(crate) fn value(&self) -> MetadataValue<Ascii> {
        self.value.clone()
    }
}

impl std::str::FromStr for Traceparent {
    type Err = TraceparentError;

    fn from_str(text: &str) -> Result<Self, TraceparentError> {
        Self::new(text)
    }
}

impl Provider {
    pub(crate) fn new(provider: impl Fn() -> Option<Traceparent> + Send + Sync + 'static) -> Self {
        Self(Arc::new(provider))
    }

    pub(crate) fn ask(&self) -> Option<Traceparent> {
        (self.0)()
    }

    /// Puts into `headers` what goes there, unless they say it themselves.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        if headers.contains_key(TRACEPARENT) {
            return;
        }
        let value = self.ask().map(|given| given.value());
        // What was read as a traceparent can be sent.
        if let Some(value) = value.and_then(|value| value.as_bytes().try_into().ok()) {
            headers.insert(TRACEPARENT, value);
        }
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_what_is_none_is_refused() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        for (flags, is_sampled) in [("00", false), ("01", true), ("02", false), ("ff", true)] {
            let text = format!("00-{trace}-{span}-{flags}");
            let read = Traceparent::new(&text).unwrap();
            assert_eq!(
                (read.value().to_str().unwrap(), read.is_sampled()),
                (text.as_str(), is_sampled)
            );
        }
        let upper = trace.to_uppercase();
        let zeros = "0".repeat(32);
        for wrong in [
            String::new(),
            "00".to_owned(),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-"),
            format!("00-{trace}-{span}-1"),
            format!("00-{trace}-{span}-+1"),
            format!("00-{trace}-{span}-01-more"),
            format!("00-{trace}-{span}-01\r\nauthorization: x"),
            format!(" 00-{trace}-{span}-01"),
            format!("01-{trace}-{span}-01"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{upper}-{span}-01"),
            format!("00-{trace}0-{span}-01"),
            format!("00-{}g-{span}-01", &trace[1..]),
            format!("00-{zeros}-{span}-01"),
            format!("00-{trace}-{}-01", &zeros[..16]),
            format!("00-{trace}-{}é-01", &span[2..]),
        ] {
            assert_eq!(Traceparent::new(&wrong), Err(TraceparentError), "{wrong}");
        }
    }
}
