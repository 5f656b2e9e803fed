//! Revisions inside, tokens outside.
//!
//! A revision is the number of a commit in the one ordered log of a store. It means nothing in another store, nor
//! after a restore: so what callers get is a [`Token`], which names the store, its history and the commit's hash.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The number of a commit: 0 for the empty store, then one more with each commit, without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

/// A store, for as long as it lives; drawn at random when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub [u8; 8]);

/// One unbroken log of a store; drawn anew when it is restored or copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HistoryId(pub [u8; 8]);

/// The hash of a commit, which covers that of its predecessor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommitHash(pub [u8; 32]);

/// A revision as callers see it: opaque, and bound to one commit of one history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    /// The store.
    pub store: StoreId,
    /// The history of the store.
    pub history: HistoryId,
    /// The commit.
    pub revision: Revision,
    /// The first eight bytes of the commit's hash.
    pub hash: [u8; 8],
}

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not one that this server gives out")]
pub struct TokenError;

impl Revision {
    /// The revision of the next commit.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl CommitHash {
    /// The hash before the first commit.
    pub const ZERO: Self = Self([0; 32]);

    /// The part of the hash that a token carries.
    #[must_use]
    pub fn short(&self) -> [u8; 8] {
        let mut short = [0; 8];
        for (to, from) in short.iter_mut().zip(self.0) {
            *to = from;
        }
        short
    }
}

/// The form of a token's bytes. A later form takes another number, so that an old server refuses it.
const TOKEN_VERSION: u8 = 1;
const TOKEN_BYTES: usize = 33;

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.push(TOKEN_VERSION);
        bytes.extend(self.store.0);
        bytes.extend(self.history.0);
        bytes.extend(self.revision.0.to_be_bytes());
        bytes.extend(self.hash);
        f.write_str(&STANDARD.encode(bytes))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let bytes = STANDARD.decode(text).map_err(|_| TokenError)?;
        let bytes: &[u8; TOKEN_BYTES] = bytes.as_slice().try_into().map_err(|_| TokenError)?;
        let [TOKEN_VERSION, fields @ ..] = bytes else {
            return Err(TokenError);
        };
        let (chunks, []) = fields.as_chunks::<8>() else {
            return Err(TokenError);
        };
        let [store, history, revision, hash] = chunks else {
            return Err(TokenError);
        };
        Ok(Self {
            store: StoreId(*store),
            history: HistoryId(*history),
            revision: Revision(u64::from_be_bytes(*revision)),
            hash: *hash,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_round_trips_and_nothing_else_is_one() {
        let token = Token {
            store: StoreId(*b"storeid1"),
            history: HistoryId(*b"history1"),
            revision: Revision(u64::MAX),
            hash: [7; 8],
        };
        let text = token.to_string();
        assert_eq!(text.parse(), Ok(token));
        for bad in [
            "",
            "AA==",
            "not base64!",
            "Gh8KEzE3OTU0NTk1MTE1OTg4OTMwOTESCDMwNDVjYmU3",
            &text[4..],
        ] {
            assert_eq!(bad.parse::<Token>(), Err(TokenError), "{bad}");
        }
    }
}
