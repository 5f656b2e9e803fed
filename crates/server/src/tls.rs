//! The server's side of TLS.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;
use crate::connections::Front;

/// Why a certificate, a key or a list of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A text is no PEM of what it should hold.
    #[error("the {what} cannot be read as PEM")]
    Pem {
        /// Which text.
        what: &'static str,
        /// What is wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// The certificate and the key do not work together.
    #[error("the certificate and the key cannot be used")]
    Identity(#[source] rustls::Error),
    /// The callers' authorities cannot be used.
    #[error("the authorities of callers cannot be used")]
    Authorities(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What answers handshakes for `front`, whose protocols it offers.
///
/// # Errors
/// [`TlsError`] if a text cannot be used.
pub(crate) fn acceptor(tls: &Tls, front: &Front) -> Result<TlsAcceptor, TlsError> {
    let chain = certificates("certificate", &tls.certificate_pem)?;
    let key =
        PrivateKeyDer::from_pem_slice(tls.key_pem.as_bytes()).map_err(|source| TlsError::Pem {
            what: "key",
            source,
        })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Identity)?;
    let authorities = tls.client_authorities_pem.as_ref();
    let builder = match authorities.filter(|_| front.asks_callers()) {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates("list of authorities", authorities)? {
                let added = roots.add(authority);
                added.map_err(|error| TlsError::Authorities(error.into()))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            let verifier = verifier.map_err(|error| TlsError::Authorities(error.into()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(TlsError::Identity)?;
    config.alpn_protocols = front
        .protocols()
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { what, source })
}
