//! Where a read goes on: bound to its query, its snapshot and its instant.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{Timestamp, Token};

use crate::error::{Error, Reason};

/// A place in an answer that is read in pages, as it comes back from a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The snapshot of the first page.
    pub token: Token,
    /// The instant of the first page.
    pub now: Timestamp,
    /// A digest of the query, without its consistency.
    pub query: [u8; 16],
    /// The last item of the page before, as text.
    pub after: String,
}

/// The form of a cursor's bytes. A later form takes another number, so that an old server refuses it.
const VERSION: u8 = 1;
const TOKEN_CHARS: usize = 44;

/// The cursors of one answer. What they have in common is encoded once: it is a whole number of base64's groups of three
/// bytes.
#[derive(Debug, Clone)]
pub(crate) struct Cursors {
    common: String,
}

impl Cursors {
    pub(crate) fn new(token: Token, now: Timestamp, query: [u8; 16]) -> Self {
        const {
            assert!(
                (1 + TOKEN_CHARS + 8 + 16).is_multiple_of(3),
                "no whole groups"
            )
        };
        let mut bytes = vec![VERSION];
        bytes.extend(token.to_string().as_bytes());
        bytes.extend(now.as_micros().to_be_bytes());
        bytes.extend(query);
        Self {
            common: STANDARD.encode(bytes),
        }
    }

    /// The cursor that goes on after an item, as text that is opaque to callers.
    pub(crate) fn after(&self, item: &str) -> String {
        let mut text = String::with_capacity(self.common.len() + item.len().div_ceil(3) * 4);
        text.push_str(&self.common);
        STANDARD.encode_string(item, &mut text);
        text
    }
}

impl Cursor {
    /// The digest of a query whose parameters, written out, are `parameters`.
    #[must_use]
    pub fn digest(call: &str, parameters: &str) -> [u8; 16] {
        let hash = blake3::hash(format!("{call}\0{parameters}").as_bytes());
        let mut digest = [0; 16];
        for (to, from) in digest.iter_mut().zip(hash.as_bytes()) {
            *to = *from;
        }
        digest
    }

    /// The cursor as text, opaque to callers.
    #[must_use]
    pub fn encode(&self) -> String {
        Cursors::new(self.token, self.now, self.query).after(&self.after)
    }

    /// Reads a cursor that was given out for the query of digest `query`.
    ///
    /// # Errors
    /// [`Reason::InvalidCursor`] if it is not a cursor of this server, or one of another query.
    pub fn decode(text: &str, query: [u8; 16]) -> Result<Self, Error> {
        let error = |detail: &str| {
            Error::invalid(
                Reason::InvalidCursor,
                format!("error decoding cursor: {detail}"),
            )
        };
        let bytes = STANDARD.decode(text).map_err(|e| error(&e.to_string()))?;
        let cursor = Self::from_bytes(&bytes)
            .ok_or_else(|| error("it is not one that this server gives out"))?;
        if cursor.query != query {
            let message = "the cursor provided does not have the same arguments as the original API call; please ensure \
                           you are making the same API call, with the exact same parameters (besides the cursor)";
            return Err(Error::invalid(Reason::InvalidCursor, message));
        }
        Ok(cursor)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, bytes) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (token, bytes) = bytes.split_at_checked(TOKEN_CHARS)?;
        let (now, bytes) = bytes.split_first_chunk::<8>()?;
        let (query, after) = bytes.split_first_chunk::<16>()?;
        Some(Self {
            token: std::str::from_utf8(token).ok()?.parse().ok()?,
            now: Timestamp::from_micros(i64::from_be_bytes(*now)).ok()?,
            query: *query,
            after: std::str::from_utf8(after).ok()?.to_owned(),
        })
    }
}
