//! What the server says when it mints a token.

use model::{ObjectRef, Timestamp};
use serde::{Deserialize, Serialize};

use super::text::Text;
use crate::caller::Credential;

/// The first part of a token. Only who has the token key can make one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// The name of the token key.
    pub(super) key: String,
    /// 16 random bytes.
    pub(super) id: String,
    pub(super) subject: Text<ObjectRef>,
    /// The caller's name in records.
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) groups: Vec<Text<ObjectRef>>,
    pub(super) basis: Basis,
    /// The certificate that the credential was bound to, and that the token is bound to as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<[u8; 32]>,
    pub(super) minted_at: Text<Timestamp>,
    pub(super) until: Text<Timestamp>,
}

/// The credential that a token rests on. Where it is gone, the token is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Basis {
    PresharedKey {
        name: String,
        /// Tells the key from another of its name, and nothing to who lacks the token key.
        mark: String,
    },
    Token {
        issuer: String,
        id: Option<String>,
    },
    JwtSvid {
        trust_domain: String,
        id: Option<String>,
    },
    X509Svid {
        trust_domain: String,
        serial: String,
    },
}

impl Basis {
    pub(super) fn credential(&self) -> Credential {
        match self.clone() {
            Self::PresharedKey { name, .. } => Credential::PresharedKey { name },
            Self::Token { issuer, id } => Credential::Token { issuer, id },
            Self::JwtSvid { trust_domain, id } => Credential::JwtSvid { trust_domain, id },
            Self::X509Svid {
                trust_domain,
                serial,
            } => Credential::X509Svid {
                trust_domain,
                serial,
            },
        }
    }
}
