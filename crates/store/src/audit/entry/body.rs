//! The parts of an entry with their salts: whole, or what is left of them; and the leaf that they make.

use ring::hmac;

use super::{EntryError, Part};
use crate::audit::tree::{Hash, sha256};
use crate::commit::canonical::{Reader, push_len};

const SALT_DOMAIN: &[u8; 18] = b"remit.audit.salt.1";
const WHOLE: u8 = 1;
const PIECEWISE: u8 = 2;

/// The parts of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// As they were written.
    Whole {
        /// What their salts come from.
        seed: [u8; 32],
        /// The parts.
        parts: Vec<Part>,
    },
    /// After some were removed.
    Piecewise(Vec<Piece>),
}

/// One part of an entry from which some were removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// It was removed, and this is the commitment to it.
    Erased(Hash),
    /// It is there, with its salt.
    Kept {
        /// The salt.
        salt: [u8; 32],
        /// The part.
        part: Part,
    },
}

impl Body {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut of_part = Vec::new();
        let mut push = |bytes: &mut Vec<u8>, part: &Part| {
            of_part.clear();
            part.push(&mut of_part);
            push_len(bytes, of_part.len());
            bytes.extend_from_slice(&of_part);
        };
        match self {
            Self::Whole { seed, parts } => {
                bytes.push(WHOLE);
                bytes.extend(seed);
                parts.iter().for_each(|part| push(&mut bytes, part));
            }
            Self::Piecewise(pieces) => {
                bytes.push(PIECEWISE);
                for piece in pieces {
                    match piece {
                        Piece::Erased(commitment) => {
                            bytes.push(0);
                            bytes.extend(commitment.0);
                        }
                        Piece::Kept { salt, part } => {
                            bytes.push(1);
                            bytes.extend(salt);
                            push(&mut bytes, part);
                        }
                    }
                }
            }
        }
        bytes
    }

    /// The parts of these bytes.
    ///
    /// # Errors
    /// [`EntryError`]
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let mut reader = Reader { rest: bytes };
        match reader.byte()? {
            WHOLE => {
                let seed = reader.array()?;
                let mut parts = Vec::new();
                while !reader.rest.is_empty() {
                    parts.push(Part::decode(reader.bytes()?)?);
                }
                Ok(Self::Whole { seed, parts })
            }
            PIECEWISE => {
                let mut pieces = Vec::new();
                while !reader.rest.is_empty() {
                    pieces.push(match reader.byte()? {
                        0 => Piece::Erased(Hash(reader.array()?)),
                        1 => Piece::Kept {
                            salt: reader.array()?,
                            part: Part::decode(reader.bytes()?)?,
                        },
                        _ => return Err(EntryError::Version),
                    });
                }
                Ok(Self::Piecewise(pieces))
            }
            _ => Err(EntryError::Version),
        }
    }

    /// Each part that is there, with its number.
    pub fn parts(&self) -> impl Iterator<Item = (u32, &Part)> {
        let (whole, pieces) = match self {
            Self::Whole { parts, .. } => (parts.as_slice(), [].as_slice()),
            Self::Piecewise(pieces) => ([].as_slice(), pieces.as_slice()),
        };
        let pieces = pieces.iter().map(|piece| match piece {
            Piece::Erased(_) => None,
            Piece::Kept { part, .. } => Some(part),
        });
        let numbered = (0..).zip(whole.iter().map(Some).chain(pieces));
        numbered.filter_map(|(number, part)| Some((number, part?)))
    }

    /// The numbers of the parts that were removed.
    pub fn erased(&self) -> impl Iterator<Item = u32> {
        let pieces = match self {
            Self::Whole { .. } => [].as_slice(),
            Self::Piecewise(pieces) => pieces.as_slice(),
        };
        let numbered = (0..).zip(pieces);
        numbered.filter_map(|(number, piece)| matches!(piece, Piece::Erased(_)).then_some(number))
    }

    /// How many parts it has, those that were removed among them.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Whole { parts, .. } => parts.len(),
            Self::Piecewise(pieces) => pieces.len(),
        }
    }

    /// The commitments to its parts, in their order.
    #[must_use]
    pub fn commitments(&self) -> Vec<Hash> {
        let mut bytes = Vec::new();
        let mut commitment = |salt: &[u8; 32], part: &Part| {
            bytes.clear();
            part.push(&mut bytes);
            sha256(&[salt, &bytes])
        };
        match self {
            Self::Whole { seed, parts } => {
                let salts = Salts::of(seed);
                let numbered = (0..).zip(parts);
                numbered
                    .map(|(number, part)| commitment(&salts.salt(number), part))
                    .collect()
            }
            Self::Piecewise(pieces) => pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Erased(hash) => *hash,
                    Piece::Kept { salt, part } => commitment(salt, part),
                })
                .collect(),
        }
    }

    /// The body without these parts. Those that are gone already stay so.
    ///
    /// # Errors
    /// [`EntryError::NoSuchPart`]
    pub fn without(self, parts: &[u32]) -> Result<Self, EntryError> {
        let commitments = self.commitments();
        let mut pieces = match self {
            Self::Piecewise(pieces) => pieces,
            Self::Whole { seed, parts } => {
                let salts = Salts::of(&seed);
                let numbered = (0..).zip(parts);
                let kept = numbered.map(|(number, part)| Piece::Kept {
                    salt: salts.salt(number),
                    part,
                });
                kept.collect()
            }
        };
        for part in parts {
            let at = usize::try_from(*part).unwrap_or(usize::MAX);
            let (Some(piece), Some(commitment)) = (pieces.get_mut(at), commitments.get(at)) else {
                return Err(EntryError::NoSuchPart(*part));
            };
            *piece = Piece::Erased(*commitment);
        }
        Ok(Self::Piecewise(pieces))
    }
}

/// The leaf of an entry.
#[must_use]
pub fn leaf(header: &[u8], body: &Body) -> Hash {
    let commitments = body.commitments();
    let all: Vec<&[u8]> = commitments.iter().map(|hash| hash.0.as_slice()).collect();
    Hash::of_leaf(&[header, &sha256(&all).0].concat())
}

/// The salts that come from one seed.
pub(super) struct Salts(hmac::Key);

impl Salts {
    pub(super) fn of(seed: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, seed))
    }

    pub(super) fn salt(&self, number: u32) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(SALT_DOMAIN);
        context.update(&number.to_be_bytes());
        let mut salt = [0; 32];
        salt.copy_from_slice(context.sign().as_ref());
        salt
    }
}
