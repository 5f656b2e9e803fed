//! Why a token is not minted, and why a minted one lets nobody in.

use model::Timestamp;

use super::narrowing::NAMES_MAX;
use super::{BYTES_MAX, MINTED_LIFE_MAX, NARROWINGS_MAX};

/// Why a minted token lets nobody in, or is none. It holds nothing of the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MintedError {
    /// The server has no token keys.
    #[error("this server takes no minted tokens: it has no token keys")]
    NoTokenKeys,
    /// It is not what a minted token is.
    #[error("it is no minted token, or was cut or changed; mint a new one")]
    Form,
    /// It is of another version.
    #[error("the minted token is of a version that is not known here")]
    Version,
    /// It is too long.
    #[error("the minted token has {count} bytes, at most {BYTES_MAX} are read")]
    TooLong {
        /// How many it has.
        count: usize,
    },
    /// It is narrowed too often.
    #[error("the minted token is narrowed more than {NARROWINGS_MAX} times")]
    TooManyNarrowings,
    /// A narrowing says what none may.
    #[error(transparent)]
    Narrowing(#[from] NarrowingError),
    /// The server does not have the key that minted it.
    #[error(
        "no token key of this server has the name of the one that minted the token; mint a new one"
    )]
    UnknownKey,
    /// It is not as it was minted and narrowed.
    #[error("the minted token was changed, or the key that minted it was; mint a new one")]
    Mac,
    /// It is over.
    #[error("the minted token expired at {at}; mint a new one")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// It lives for longer than any may.
    #[error("the minted token lives for more than {} s", MINTED_LIFE_MAX.as_secs())]
    LivesTooLong,
    /// What it was minted with is gone.
    #[error("the credential that the token was minted with is no longer taken here")]
    BasisGone,
}

/// Why a narrowing is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NarrowingError {
    /// It names too much.
    #[error(
        "a narrowing names at most {NAMES_MAX} actions and as many definitions, this one names {count}"
    )]
    TooManyNames {
        /// How many it names.
        count: usize,
    },
    /// It names what can be no action.
    #[error("the name of an action has 1 to 64 small letters and `_`")]
    Action,
}

/// Why no token is minted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The server has no token keys.
    #[error(
        "this server mints no tokens: start it with `--token-key-file FILE`, to which `remit token key` prints a line"
    )]
    NoTokenKeys,
    /// The caller was asked for nothing.
    #[error("this server asks nobody who they are, so there is nothing to mint a token with")]
    NoCredential,
    /// The caller came with a minted token.
    #[error(
        "a token is not minted with one that was minted: narrow that one, with `remit token narrow`"
    )]
    OfMinted,
    /// The caller asks in the name of another, which a token could not say.
    #[error(
        "a token is minted for who calls, not for whom it asks: leave `remit-on-behalf-of` away, and send it with the token"
    )]
    OnBehalf,
    /// The life is none that a token can have.
    #[error("a minted token lives for 1 to {} s", MINTED_LIFE_MAX.as_secs())]
    Life,
    /// The key that the caller came with is no longer there.
    #[error("the key of the call is no longer one of the server's")]
    BasisGone,
    /// The token would not be one.
    #[error(transparent)]
    Token(#[from] MintedError),
    /// There is no randomness.
    #[error("the operating system has no randomness to give")]
    Random,
}

/// Why a text is no list of token keys. The key itself is never told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenKeyError {
    /// A line is not a name and a key.
    #[error(
        "line {line} is not `NAME:KEY` with a key of 64 hexadecimal digits; `remit token key` prints such a line"
    )]
    Line {
        /// Which line, from 1.
        line: usize,
    },
    /// Two keys have one name, or are one key.
    #[error("line {line} has the name or the key of another line")]
    Twice {
        /// Which line, from 1.
        line: usize,
    },
    /// There is no key at all.
    #[error("there is no token key; `remit token key` prints a line with one")]
    None,
}
