//! Tokens that the server mints for a caller, and that whoever holds one can narrow, offline and as often as wanted.
//!
//! `remit_v1.HEADER.NARROWING.….MAC`, each part base64url without padding, of JSON but for the last. The MAC is chained as that of
//! macaroons: the header's by the token key of the server, each narrowing's by the one before. So a part can be added by whoever
//! holds the token, and none can be taken away, changed or moved without the token key.
//!
//! INVARIANT: a part only takes away. What a narrowing does not name is as it was; what this version does not know is refused.

mod error;
mod header;
mod keys;
mod mint;
mod narrowing;
mod text;
mod verify;

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use blake3::Hash;
use model::{ObjectRef, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::caller::Credential;
pub use error::{MintError, MintedError, NarrowingError, TokenKeyError};
use header::Header;
pub use keys::TokenKeys;
pub use narrowing::Narrowing;

/// The longest life of a minted token.
pub const MINTED_LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest minted token, in bytes.
const BYTES_MAX: usize = 4_096;
/// The most narrowings of one token.
const NARROWINGS_MAX: usize = 16;

/// How every minted token begins, of whatever version.
pub(crate) const PREFIX: &str = "remit_";
/// How those of this version begin.
const VERSION: &str = "remit_v1";
const SEPARATOR: char = '.';

/// A minted token: what it says, not whether that is so. Only the server can tell.
#[derive(Clone, PartialEq, Eq)]
pub struct MintedToken {
    text: String,
    header: Header,
    narrowings: Vec<Narrowing>,
}

impl MintedToken {
    /// Reads a token. Nothing that it says is proven by that.
    ///
    /// # Errors
    /// [`MintedError`] for what is no minted token of this version, or is larger than one may be.
    pub fn parse(text: &str) -> Result<Self, MintedError> {
        let count = text.len();
        if count > BYTES_MAX {
            return Err(MintedError::TooLong { count });
        }
        let (signed, mac) = text.rsplit_once(SEPARATOR).ok_or(MintedError::Form)?;
        mac_of(mac)?;
        let mut parts = signed.split(SEPARATOR);
        match parts.next() {
            Some(VERSION) => {}
            Some(other) if other.starts_with(PREFIX) => return Err(MintedError::Version),
            Some(_) | None => return Err(MintedError::Form),
        }
        let header = read::<Header>(parts.next().ok_or(MintedError::Form)?)?;
        let mut narrowings = Vec::new();
        for part in parts {
            if narrowings.len() == NARROWINGS_MAX {
                return Err(MintedError::TooManyNarrowings);
            }
            let narrowing = read::<Narrowing>(part)?;
            narrowing.check()?;
            narrowings.push(narrowing);
        }
        Ok(Self {
            text: text.to_owned(),
            header,
            narrowings,
        })
    }

    /// The token with one narrowing more. This token goes on to be what it is.
    ///
    /// # Errors
    /// [`MintedError`] if it would be larger than a token may be.
    pub fn narrowed(&self, narrowing: &Narrowing) -> Result<Self, MintedError> {
        let (signed, mac) = self.text.rsplit_once(SEPARATOR).ok_or(MintedError::Form)?;
        let part = written(narrowing)?;
        let mac = next_mac(&mac_of(mac)?, &part);
        Self::parse(&format!(
            "{signed}.{part}.{}",
            BASE64.encode(mac.as_bytes())
        ))
    }

    /// The token itself, which lets in whoever presents it.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.text
    }

    /// Its random id, 32 hexadecimal digits. Tokens that were narrowed from it have it as well.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.header.id
    }

    /// The name of the token key that minted it.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.header.key
    }

    /// For whom it was minted.
    #[must_use]
    pub fn subject(&self) -> &ObjectRef {
        &self.header.subject.0
    }

    /// The name under which records keep what is done with it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.header.name
    }

    /// The groups that the credential named with which it was minted.
    pub fn groups(&self) -> impl Iterator<Item = &ObjectRef> {
        self.header.groups.iter().map(|group| &group.0)
    }

    /// The credential with which it was minted.
    #[must_use]
    pub fn rests_on(&self) -> Credential {
        self.header.basis.credential()
    }

    /// When it was minted.
    #[must_use]
    pub fn minted_at(&self) -> Timestamp {
        self.header.minted_at.0
    }

    /// Until when it is good, all narrowings considered.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        let until = self.header.until.0;
        self.narrowing().until().map_or(until, |it| it.min(until))
    }

    /// All its narrowings at once, and its end.
    #[must_use]
    pub fn narrowing(&self) -> Narrowing {
        let whole = Narrowing::until_then(self.header.until.0);
        self.narrowings.iter().fold(whole, |all, it| all.and(it))
    }

    /// A token of a header alone.
    fn minted(header: &Header, key: &[u8; 32]) -> Result<Self, MintedError> {
        let signed = format!("{VERSION}.{}", written(header)?);
        let mac = blake3::keyed_hash(key, signed.as_bytes());
        Self::parse(&format!("{signed}.{}", BASE64.encode(mac.as_bytes())))
    }

    /// Whether its MAC is the one that this key begins, compared in constant time.
    fn is_made_by(&self, key: &[u8; 32]) -> bool {
        let Some((signed, mac)) = self.text.rsplit_once(SEPARATOR) else {
            return false;
        };
        // Where the header ends: after the second part.
        let mut separators = signed.match_indices(SEPARATOR).map(|(at, _)| at);
        let end = separators.nth(1).unwrap_or(signed.len());
        let (header, narrowings) = signed.split_at(end);
        let mut expected = blake3::keyed_hash(key, header.as_bytes());
        for part in narrowings.split(SEPARATOR).skip(1) {
            expected = next_mac(&expected, part);
        }
        // `Hash` compares in constant time.
        mac_of(mac).is_ok_and(|mac| mac == expected)
    }
}

fn next_mac(mac: &Hash, part: &str) -> Hash {
    blake3::keyed_hash(mac.as_bytes(), part.as_bytes())
}

fn mac_of(part: &str) -> Result<Hash, MintedError> {
    let bytes = BASE64.decode(part).map_err(|_| MintedError::Form)?;
    let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| MintedError::Form)?;
    Ok(Hash::from_bytes(bytes))
}

fn read<T: DeserializeOwned>(part: &str) -> Result<T, MintedError> {
    let bytes = BASE64.decode(part).map_err(|_| MintedError::Form)?;
    // A list would be read as well, as the members in their order.
    if bytes.first() != Some(&b'{') {
        return Err(MintedError::Form);
    }
    serde_json::from_slice(&bytes).map_err(|_| MintedError::Form)
}

fn written<T: Serialize>(value: &T) -> Result<String, MintedError> {
    let bytes = serde_json::to_vec(value).map_err(|_| MintedError::Form)?;
    Ok(BASE64.encode(bytes))
}

/// Not the token itself: whoever sees it could present it.
impl fmt::Debug for MintedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MintedToken")
            .field("header", &self.header)
            .field("narrowings", &self.narrowings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
