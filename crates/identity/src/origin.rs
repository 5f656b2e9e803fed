//! By which way a call came: for records of what was decided, and nothing that decides.

/// By which way a call came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The protocol that was spoken.
    pub protocol: &'static str,
    /// The id of the request, as its caller is told it.
    pub request_id: String,
    /// The trace that the request is part of, if it named one.
    pub trace: Option<TraceContext>,
}

/// A trace of the W3C's, and the span in it that the request was sent from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The id of the trace; not all zeros.
    pub trace: [u8; 16],
    /// The id of the span; not all zeros.
    pub span: [u8; 8],
    /// Whether whoever sent the request keeps the trace.
    pub is_sampled: bool,
}

impl TraceContext {
    /// Reads the value of a `traceparent`; none for what is not one.
    ///
    /// # Source
    /// W3C Trace Context, section 3.2: a later version may have more at its end, version `ff` is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '-');
        let version = parts.next().filter(|it| it.len() == 2 && *it != "ff")?;
        let (trace, span) = (parts.next()?, parts.next()?);
        let flags = parts.next()?;
        let is_whole = flags.len() == 2 || (version != "00" && flags.get(2..3) == Some("-"));
        is_whole.then_some(())?;
        let _: [u8; 1] = hexadecimal(version)?;
        let [flags] = hexadecimal(flags.get(..2)?)?;
        let context = Self {
            trace: hexadecimal(trace)?,
            span: hexadecimal(span)?,
            is_sampled: flags & 1 == 1,
        };
        (context.trace != [0; 16] && context.span != [0; 8]).then_some(context)
    }
}

/// Bytes from lower-case digits, twice as many as bytes.
fn hexadecimal<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_what_is_none_is_not() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let read = TraceContext::parse(good).unwrap();
        assert_eq!(read.trace[..2], [0x0a, 0xf7]);
        assert_eq!(read.span, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
        assert!(read.is_sampled);
        let without = TraceContext::parse(&good.replace("-01", "-00")).unwrap();
        assert!(!without.is_sampled);
        let later = good.replace("00-", "01-").replace("-01", "-03-more");
        assert!(TraceContext::parse(&later).unwrap().is_sampled);
        for bad in [
            "",
            "00",
            "-------------------------------------------------------",
            "00-0af7651916cd43dd8448eb211c80319cb7ad6b7169203331--01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-é",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }
}
