//! The compact form: `header.payload.signature`, each in base64url without padding.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

use super::algorithm::Algorithm;
use model::json::{self, JsonError, Object};

/// A token of more bytes is refused before any of it is decoded.
const TOKEN_BYTES_MAX: usize = 16_384;
/// Longer names of keys are of nobody's making who issues tokens.
const KID_BYTES_MAX: usize = 256;
/// Members by which a header would bring its own key. They are not looked at, so a token that has one is refused aloud.
const KEY_MEMBERS: [&str; 4] = ["jku", "jwk", "x5c", "x5u"];

/// A token in parts. Nothing of it is true until its signature is verified.
pub(crate) struct Compact<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    pub(crate) typ: Option<String>,
    /// Whether the header has members beside `alg`, `kid` and `typ`.
    pub(crate) has_other_members: bool,
    /// What was signed.
    pub(crate) signed: &'a str,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// A part of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What says how it was signed.
    Header,
    /// What was signed.
    Payload,
}

/// Why a text is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// It is too long.
    #[error("the token has {bytes} bytes, at most {TOKEN_BYTES_MAX} are read")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// It is not three parts of base64url.
    #[error("the token is not three parts of unpadded base64url")]
    Parts,
    /// A part is no JSON object.
    #[error("the token's {} {source}", match part { Part::Header => "header", Part::Payload => "payload" })]
    Json {
        /// Which part.
        part: Part,
        /// What is wrong with it.
        source: JsonError,
    },
    /// A member of the header has the wrong type or is missing.
    #[error("the token's header has no text as `{member}`")]
    Member {
        /// The member.
        member: &'static str,
    },
    /// The header brings its own key.
    #[error("the token's header has `{member}`: a key has to be one of the issuer's own set")]
    OwnKey {
        /// The member that does.
        member: &'static str,
    },
    /// The header asks for an extension.
    #[error("the token's header has `crit`, and no extension is understood")]
    Critical,
    /// The name of the key is too long.
    #[error("the token's `kid` has {bytes} bytes, at most {KID_BYTES_MAX} are read")]
    KidTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The algorithm is `none`, one with a shared secret, or unknown.
    #[error("the token's algorithm is none of {}", names())]
    Algorithm,
}

fn names() -> String {
    Algorithm::ALL.map(Algorithm::name).join(", ")
}

impl<'a> Compact<'a> {
    /// Whether a credential is meant to be a token rather than a key: three parts, of which the first is of JSON.
    pub(crate) fn is_meant(text: &str) -> bool {
        // A brace in base64, with whatever may follow it.
        let begins = text.starts_with("ey") || text.starts_with("ew");
        begins && text.bytes().filter(|byte| *byte == b'.').count() >= 2
    }

    /// Takes a token apart.
    pub(crate) fn parse(text: &'a str) -> Result<Self, FormError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(FormError::TooLarge { bytes: text.len() });
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(FormError::Parts)?;
        let (header, payload) = signed.split_once('.').ok_or(FormError::Parts)?;
        // A fourth part would leave a `.` here, which is no letter of base64.
        let decoded = |part: &str| {
            let decoded = BASE64_URL_SAFE_NO_PAD.decode(part);
            decoded.map_err(|_| FormError::Parts)
        };
        let (header, payload, signature) =
            (decoded(header)?, decoded(payload)?, decoded(signature)?);
        let header = json::object(&header).map_err(|source| FormError::Json {
            part: Part::Header,
            source,
        })?;
        if header.contains_key("crit") {
            return Err(FormError::Critical);
        }
        if let Some(member) = KEY_MEMBERS.into_iter().find(|it| header.contains_key(*it)) {
            return Err(FormError::OwnKey { member });
        }
        let algorithm = text_of(&header, "alg")?.ok_or(FormError::Member { member: "alg" })?;
        let algorithm = Algorithm::named(&algorithm).ok_or(FormError::Algorithm)?;
        let kid = text_of(&header, "kid")?;
        if let Some(kid) = kid.as_ref().filter(|kid| kid.len() > KID_BYTES_MAX) {
            return Err(FormError::KidTooLong { bytes: kid.len() });
        }
        let is_other = |name: &String| !matches!(name.as_str(), "alg" | "kid" | "typ");
        Ok(Self {
            algorithm,
            kid,
            typ: text_of(&header, "typ")?,
            has_other_members: header.keys().any(is_other),
            signed,
            payload,
            signature,
        })
    }

    /// The payload as claims.
    pub(crate) fn claims(&self) -> Result<Object, FormError> {
        json::object(&self.payload).map_err(|source| FormError::Json {
            part: Part::Payload,
            source,
        })
    }
}

fn text_of(header: &Object, member: &'static str) -> Result<Option<String>, FormError> {
    match header.get(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_),
        ) => Err(FormError::Member { member }),
    }
}
