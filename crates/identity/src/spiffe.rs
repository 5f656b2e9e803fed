//! Workloads that prove who they are by an SVID: an X.509 certificate or a JWT of their trust domain.
//!
//! SOURCE: the SPIFFE ID, X.509-SVID, JWT-SVID and Trust Domain and Bundle specifications. A trust domain is judged by its own
//! bundle alone: there is no union of bundles, so that no domain can speak for another.

mod bundle;
mod certificate;
mod id;
mod jwt;

pub use bundle::BundleError;
pub(crate) use bundle::{Bundle, TrustDomain};
pub use certificate::SvidError;
pub(crate) use certificate::{X509Svid, names_workload};
pub use id::SpiffeIdError;
pub(crate) use id::is_trust_domain;
pub(crate) use jwt::{is_meant, verified};

/// The trust domains whose workloads are let in.
#[derive(Debug, Default)]
pub(crate) struct TrustDomains(pub(crate) Vec<TrustDomain>);

impl TrustDomains {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&TrustDomain> {
        self.0.iter().find(|domain| domain.name == name)
    }
}
