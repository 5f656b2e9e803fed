//! The certificate that a connection was made with.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::pki_types::CertificateDer;

use crate::caller::Caller;
use crate::spiffe;

/// The certificates that the other side of a connection presented, whose key it has proven to hold. One for each connection:
/// what was found out about them is kept here, so that a call costs a look.
#[derive(Debug)]
pub struct PeerCertificate {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// The SHA-256 of the leaf, by which tokens are bound to it.
    pub(crate) thumbprint: [u8; 32],
    /// Whether the leaf claims to name a workload.
    pub(crate) names_workload: bool,
    pub(crate) verified: ArcSwapOption<VerifiedPeer>,
}

/// Whom the certificates name, by one state of the trust bundles.
#[derive(Debug)]
pub(crate) struct VerifiedPeer {
    pub(crate) generation: u64,
    pub(crate) caller: Caller,
}

impl PeerCertificate {
    /// What a connection was made with, the leaf first; none if that is nothing.
    #[must_use]
    pub fn new(chain: Vec<CertificateDer<'static>>) -> Option<Arc<Self>> {
        let leaf = chain.first()?;
        let digest = ring::digest::digest(&ring::digest::SHA256, leaf);
        let thumbprint = digest.as_ref().try_into().ok()?;
        Some(Arc::new(Self {
            thumbprint,
            names_workload: spiffe::names_workload(leaf),
            chain,
            verified: ArcSwapOption::empty(),
        }))
    }
}
