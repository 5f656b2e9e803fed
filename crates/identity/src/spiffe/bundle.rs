//! Trust bundles: the authorities and keys of one trust domain, from a SPIFFE bundle (a JWKS) or from PEM.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use serde_json::Value;

use crate::jose::{KeySet, KeySetError, Use, members};
use crate::standing::Standing;
use model::json::{self, Object};

/// A trust domain whose workloads are let in.
#[derive(Debug)]
pub(crate) struct TrustDomain {
    pub(crate) name: String,
    /// What JWT-SVIDs for this server have as `aud`; none if they are not taken.
    pub(crate) jwt_audiences: Vec<String>,
    pub(crate) leeway_seconds: u32,
    pub(crate) bundle: Bundle,
    /// Whether it is still configured.
    pub(crate) standing: Standing,
}

/// What vouches for the workloads of one trust domain. Nothing does if the domain was revoked.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    pub(crate) anchors: Vec<TrustAnchor<'static>>,
    pub(crate) jwt_keys: KeySet,
}

/// Why a text is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It is neither PEM nor a set of keys.
    #[error("the bundle is no list of PEM certificates, and as a SPIFFE bundle {0}")]
    KeySet(#[from] KeySetError),
    /// A certificate in PEM cannot be read.
    #[error("certificate {number} of the bundle cannot be read as PEM")]
    Pem {
        /// Which, from 1.
        number: usize,
    },
    /// An entry for X.509 has not just one certificate.
    #[error("key {number} of the bundle is for X.509 and has not exactly one certificate as `x5c`")]
    Chain {
        /// Which, from 1.
        number: usize,
    },
    /// A certificate is not that of an authority.
    #[error("certificate {number} of the bundle is not that of an authority")]
    NoAuthority {
        /// Which, from 1.
        number: usize,
    },
}

impl TrustDomain {
    /// Goes on as `old`, if it is the same domain; whether it does. Keys that its bundle no longer has are withdrawn.
    pub(crate) fn takes_over(&mut self, old: &Self) -> bool {
        if self.name != old.name {
            return false;
        }
        let keys = std::mem::take(&mut self.bundle.jwt_keys);
        self.bundle.jwt_keys = keys.succeeding(&old.bundle.jwt_keys);
        self.standing = old.standing.clone();
        true
    }
}

impl Bundle {
    pub(crate) fn parse(text: &[u8]) -> Result<Self, BundleError> {
        if text.windows(5).any(|bytes| bytes == b"-----") {
            return Self::of_pem(text);
        }
        let set = json::object(text).map_err(KeySetError::from)?;
        let members = members(&set)?;
        let is_for_x509 = |it: &Object| it.get("use").and_then(Value::as_str) == Some("x509-svid");
        let mut anchors = Vec::new();
        for (ix, entry) in members.iter().enumerate() {
            if is_for_x509(entry) {
                let der = certificate_of(entry);
                let der = der.ok_or(BundleError::Chain { number: ix + 1 })?;
                anchors.push(anchor(der, ix + 1)?);
            }
        }
        // A key for JWT-SVIDs has to have a name.
        let named: Vec<&Object> = members
            .into_iter()
            .filter(|it| it.contains_key("kid"))
            .collect();
        Ok(Self {
            anchors,
            jwt_keys: KeySet::of(&named, Use::JwtSvid),
        })
    }

    fn of_pem(text: &[u8]) -> Result<Self, BundleError> {
        let mut anchors = Vec::new();
        for (ix, certificate) in CertificateDer::pem_slice_iter(text).enumerate() {
            let der = certificate.map_err(|_| BundleError::Pem { number: ix + 1 })?;
            anchors.push(anchor(der, ix + 1)?);
        }
        if anchors.is_empty() {
            return Err(BundleError::Pem { number: 1 });
        }
        Ok(Self {
            anchors,
            jwt_keys: KeySet::default(),
        })
    }
}

fn certificate_of(entry: &Object) -> Option<CertificateDer<'static>> {
    let chain = entry.get("x5c")?.as_array()?;
    let [certificate] = chain.as_slice() else {
        return None;
    };
    let der = BASE64_STANDARD.decode(certificate.as_str()?).ok()?;
    Some(CertificateDer::from(der))
}

fn anchor(
    der: CertificateDer<'static>,
    number: usize,
) -> Result<TrustAnchor<'static>, BundleError> {
    let wrong = BundleError::NoAuthority { number };
    let is_authority = match x509_parser::parse_x509_certificate(&der) {
        Ok((rest, certificate)) => rest.is_empty() && certificate.is_ca(),
        Err(_) => false,
    };
    if !is_authority {
        return Err(wrong);
    }
    match webpki::anchor_from_trusted_cert(&der) {
        Ok(anchor) => Ok(anchor.to_owned()),
        Err(_) => Err(wrong),
    }
}
