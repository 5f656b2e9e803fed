//! How fresh an answer has to be, and the tokens that say so.

use std::fmt;

use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::consistency::Requirement;

/// The most bytes of a token's text.
const TOKEN_BYTES_MAX: usize = 1_024;

/// An opaque name for a revision. Two tokens cannot be put in order by their texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Token(String);

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token has 1 to {TOKEN_BYTES_MAX} visible characters of ASCII")]
pub struct TokenError;

/// How fresh an answer has to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Consistency {
    /// As fresh as the node that answers has it: milliseconds behind, and the fastest.
    #[default]
    MinimizeLatency,
    /// At least as fresh as the token's revision.
    AtLeastAsFresh(Token),
    /// As it was at the token's revision, while that is kept.
    AtExactSnapshot(Token),
    /// With all that was committed before the question.
    FullyConsistent,
}

impl Token {
    /// The token with that text, from a header or a record.
    ///
    /// # Errors
    /// [`TokenError`] for what no server gives out.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let is_sane = (1..=TOKEN_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        match is_sane {
            true => Ok(Self(text.to_owned())),
            false => Err(TokenError),
        }
    }

    /// Its text, which a header can carry.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The token of an answer.
    pub(crate) fn of(wire: Option<wire::ZedToken>) -> Result<Self, crate::Error> {
        let text = wire.map(|wire| wire.token).unwrap_or_default();
        Self::new(&text).map_err(|_| crate::Error::malformed("it has no token"))
    }

    fn to_wire(&self) -> wire::ZedToken {
        wire::ZedToken {
            token: self.0.clone(),
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Consistency {
    pub(crate) fn to_wire(&self) -> Option<wire::Consistency> {
        let requirement = match self {
            Self::MinimizeLatency => Requirement::MinimizeLatency(true),
            Self::AtLeastAsFresh(token) => Requirement::AtLeastAsFresh(token.to_wire()),
            Self::AtExactSnapshot(token) => Requirement::AtExactSnapshot(token.to_wire()),
            Self::FullyConsistent => Requirement::FullyConsistent(true),
        };
        Some(wire::Consistency {
            requirement: Some(requirement),
        })
    }
}
