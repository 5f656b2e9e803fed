//! X.509-SVIDs: a chain that ends at an authority of the workload's own trust domain, and a leaf that is a leaf in all it says.

use std::time::Duration;

use model::{NameError, Timestamp};
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage as Purpose, VerifiedPath};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::TrustDomains;
use super::id::{SpiffeId, SpiffeIdError};

/// A chain whose leaf names a workload.
pub(crate) struct X509Svid {
    pub(crate) id: SpiffeId,
    /// The leaf's serial number, in hexadecimal.
    pub(crate) serial: String,
    /// When the first certificate of the path ends.
    pub(crate) valid_until: Timestamp,
}

/// Why a chain of certificates names no workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SvidError {
    /// A certificate cannot be read.
    #[error("the client certificate cannot be read")]
    Malformed,
    /// The leaf has no URI, or more than one.
    #[error("the client certificate has {count} URIs, an X.509-SVID has exactly one")]
    Uris {
        /// How many it has.
        count: usize,
    },
    /// Its URI is no SPIFFE ID of a workload.
    #[error("the client certificate: {0}")]
    SpiffeId(#[from] SpiffeIdError),
    /// Its id is too long for an object.
    #[error("the client certificate names a workload that makes no id: {0}")]
    Id(#[from] NameError),
    /// Its trust domain is not one of the configuration's.
    #[error("the client certificate is of a trust domain that this server does not know")]
    UnknownTrustDomain,
    /// It may sign certificates.
    #[error("the client certificate is that of an authority, which is no workload")]
    Authority,
    /// What its key is for is missing, not critical, or not what a leaf's may be for.
    #[error(
        "the client certificate has no critical key usage with digitalSignature and without keyCertSign and cRLSign"
    )]
    KeyUsage,
    /// What it is for lacks one of the two sides of TLS.
    #[error("the client certificate's extended key usage lacks clientAuth or serverAuth")]
    ExtendedKeyUsage,
    /// It is over.
    #[error("the client certificate, or one that vouches for it, expired")]
    Expired,
    /// It is not good yet.
    #[error("the client certificate, or one that vouches for it, is not valid yet")]
    NotYetValid,
    /// No path leads to an authority of the trust domain.
    #[error(
        "the client certificate is not vouched for by the bundle of its trust domain: {reason}"
    )]
    Path {
        /// What the search for a path says.
        reason: String,
    },
}

/// More certificates than a chain has.
const CHAIN_MAX: usize = 16;

/// Whether a certificate claims to name a workload, by whatever URI of the scheme of SPIFFE.
pub(crate) fn names_workload(leaf: &CertificateDer<'_>) -> bool {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(leaf) else {
        return false;
    };
    let is_spiffe = |uri: &&str| {
        let scheme = uri.split(':').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case("spiffe")
    };
    uris(&certificate).is_ok_and(|uris| uris.iter().any(is_spiffe))
}

impl X509Svid {
    /// Reads and verifies `chain`, whose first certificate is the leaf.
    ///
    /// # Cost
    /// A verification of a signature for each certificate of the path.
    pub(crate) fn verified(
        domains: &TrustDomains,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<Self, SvidError> {
        let (leaf, others) = chain.split_first().ok_or(SvidError::Malformed)?;
        if others.len() >= CHAIN_MAX {
            return Err(SvidError::Malformed);
        }
        let certificate = parsed(leaf)?;
        let id = leaf_id(&certificate)?;
        let domain = domains.get(&id.trust_domain);
        let domain = domain.ok_or(SvidError::UnknownTrustDomain)?;
        let end = EndEntityCert::try_from(leaf).map_err(|_| SvidError::Malformed)?;
        let time = unix_time(now)?;
        let provider = rustls::crypto::ring::default_provider();
        let path = end
            .verify_for_usage(
                provider.signature_verification_algorithms.all,
                &domain.bundle.anchors,
                others,
                time,
                Purpose::client_auth(),
                None,
                Some(&vouchers_may_sign),
            )
            .map_err(|error| because(&error))?;
        let mut valid_until = not_after(&certificate)?;
        for voucher in path.intermediate_certificates() {
            let der = voucher.der();
            valid_until = valid_until.min(not_after(&parsed(&der)?)?);
        }
        let serial = certificate.raw_serial();
        Ok(Self {
            id,
            serial: serial.iter().map(|byte| format!("{byte:02x}")).collect(),
            valid_until,
        })
    }
}

/// The workload that a leaf names, if it is a leaf.
fn leaf_id(certificate: &X509Certificate<'_>) -> Result<SpiffeId, SvidError> {
    let uris = uris(certificate)?;
    let [uri] = uris.as_slice() else {
        return Err(SvidError::Uris { count: uris.len() });
    };
    let id = SpiffeId::parse(uri)?;
    let constraints = certificate.basic_constraints();
    let constraints = constraints.map_err(|_| SvidError::Malformed)?;
    if constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err(SvidError::Authority);
    }
    let usage = certificate.key_usage().map_err(|_| SvidError::Malformed)?;
    let usage = usage
        .filter(|usage| usage.critical)
        .ok_or(SvidError::KeyUsage)?;
    let (signs, vouches) = (
        usage.value.digital_signature(),
        usage.value.key_cert_sign() || usage.value.crl_sign(),
    );
    if !signs || vouches {
        return Err(SvidError::KeyUsage);
    }
    let extended = certificate.extended_key_usage();
    let extended = extended.map_err(|_| SvidError::Malformed)?;
    if extended.is_some_and(|it| !(it.value.client_auth && it.value.server_auth)) {
        return Err(SvidError::ExtendedKeyUsage);
    }
    Ok(id)
}

/// Whether each certificate between leaf and authority may sign certificates, and names no workload itself.
fn vouchers_may_sign(path: &VerifiedPath<'_>) -> Result<(), webpki::Error> {
    let no_authority = webpki::Error::EndEntityUsedAsCa;
    for voucher in path.intermediate_certificates() {
        let der = voucher.der();
        let certificate = parsed(&der).map_err(|_| webpki::Error::BadDer)?;
        let usage = certificate.key_usage();
        let usage = usage.map_err(|_| webpki::Error::BadDer)?;
        if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
            return Err(no_authority);
        }
        let uris = uris(&certificate).map_err(|_| webpki::Error::BadDer)?;
        if uris.iter().any(|uri| SpiffeId::parse(uri).is_ok()) {
            return Err(no_authority);
        }
    }
    Ok(())
}

fn parsed<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, SvidError> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) | Err(_) => Err(SvidError::Malformed),
    }
}

/// Every URI among the names of a certificate, none of whose names may be malformed: one that cannot be read may be a URI.
fn uris<'a>(certificate: &'a X509Certificate<'_>) -> Result<Vec<&'a str>, SvidError> {
    let names = certificate.subject_alternative_name();
    let names = names.map_err(|_| SvidError::Malformed)?;
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    let mut uris = Vec::new();
    for name in names {
        if let GeneralName::Invalid(..) = name {
            return Err(SvidError::Malformed);
        }
        if let GeneralName::URI(uri) = name {
            uris.push(*uri);
        }
    }
    Ok(uris)
}

fn not_after(certificate: &X509Certificate<'_>) -> Result<Timestamp, SvidError> {
    let seconds = certificate.validity().not_after.timestamp();
    Timestamp::from_seconds(seconds, 0).map_err(|_| SvidError::Malformed)
}

fn unix_time(now: Timestamp) -> Result<UnixTime, SvidError> {
    let (seconds, _) = now.as_seconds();
    let seconds = u64::try_from(seconds).map_err(|_| SvidError::NotYetValid)?;
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

fn because(error: &webpki::Error) -> SvidError {
    if matches!(error, webpki::Error::CertExpired { .. }) {
        SvidError::Expired
    } else if matches!(error, webpki::Error::CertNotValidYet { .. }) {
        SvidError::NotYetValid
    } else {
        SvidError::Path {
            reason: error.to_string(),
        }
    }
}
