//! One public key of a set of keys, as JSON (JWK).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::Value;

use super::algorithm::{Algorithm, Verification};
use crate::standing::Standing;
use model::json::Object;

/// What keys of a set have to be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Signatures of an issuer; a key that does not say what it is for is taken to be.
    Signature,
    /// Signatures of JWT-SVIDs.
    JwtSvid,
}

/// A key by which signatures are verified.
#[derive(Debug)]
pub(crate) struct VerificationKey {
    kid: Option<String>,
    /// The one algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
    material: Material,
    standing: Standing,
}

#[derive(Debug, PartialEq, Eq)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Members that only a private key has.
const PRIVATE_MEMBERS: [&str; 3] = ["d", "p", "k"];

impl VerificationKey {
    /// The key that `members` describe; none if it is of another kind or for another use, and so not for us.
    pub(super) fn new(members: &Object, wanted: Use) -> Option<Self> {
        if !is_for(members, wanted) || PRIVATE_MEMBERS.iter().any(|it| members.contains_key(*it)) {
            return None;
        }
        let algorithm = match members.get("alg") {
            None => None,
            Some(name) => Some(Algorithm::named(name.as_str()?)?),
        };
        let kid = match members.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str()?.to_owned()),
        };
        Some(Self {
            kid,
            algorithm,
            material: Material::new(members)?,
            standing: Standing::default(),
        })
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Whether the key can have made a signature of `algorithm`.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm) && self.material.fits(algorithm)
    }

    /// Whether two keys are the same in all that they say.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.kid, self.algorithm, &self.material)
            == (&other.kid, other.algorithm, &other.material)
    }

    /// Whether `signature` is that of `message` by this key.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        let verified = match (&self.material, algorithm.verification()) {
            (Material::Rsa { modulus, exponent }, Verification::Rsa(parameters)) => {
                let key = RsaPublicKeyComponents {
                    n: modulus,
                    e: exponent,
                };
                key.verify(parameters, message, signature)
            }
            (
                Material::P256(point) | Material::P384(point) | Material::Ed25519(point),
                Verification::Curve(curve),
            ) => UnparsedPublicKey::new(curve, point).verify(message, signature),
            (Material::Rsa { .. }, Verification::Curve(_))
            | (
                Material::P256(_) | Material::P384(_) | Material::Ed25519(_),
                Verification::Rsa(_),
            ) => return false,
        };
        verified.is_ok()
    }

    /// What says whether its issuer still has this key.
    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }
}

fn is_for(members: &Object, wanted: Use) -> bool {
    let named = members.get("use").map(|it| it.as_str());
    let is_for = match wanted {
        Use::Signature => matches!(named, None | Some(Some("sig"))),
        Use::JwtSvid => named == Some(Some("jwt-svid")),
    };
    let verifies = match members.get("key_ops") {
        None => true,
        Some(Value::Array(uses)) => uses.iter().any(|it| it == "verify"),
        Some(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_),
        ) => false,
    };
    is_for && verifies
}

impl Material {
    fn new(members: &Object) -> Option<Self> {
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let bytes = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(text(name)?).ok();
        match (text("kty")?, text("crv")) {
            // The provider refuses fewer than 2,048 and more than 8,192 bits, and exponents that are too small.
            ("RSA", None) => Some(Self::Rsa {
                modulus: bytes("n")?,
                exponent: bytes("e")?,
            }),
            ("EC", Some("P-256")) => Some(Self::P256(point(&bytes("x")?, &bytes("y")?, 32)?)),
            ("EC", Some("P-384")) => Some(Self::P384(point(&bytes("x")?, &bytes("y")?, 48)?)),
            ("OKP", Some("Ed25519")) => {
                let key = bytes("x")?;
                (key.len() == 32).then_some(Self::Ed25519(key))
            }
            _ => None,
        }
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => matches!(self, Self::Rsa { .. }),
            Algorithm::Es256 => matches!(self, Self::P256(_)),
            Algorithm::Es384 => matches!(self, Self::P384(_)),
            Algorithm::EdDsa => matches!(self, Self::Ed25519(_)),
        }
    }
}

/// The point as SEC 1 writes it; whether it lies on the curve is looked at when it verifies.
fn point(x: &[u8], y: &[u8], bytes: usize) -> Option<Vec<u8>> {
    (x.len() == bytes && y.len() == bytes).then(|| [&[4], x, y].concat())
}
