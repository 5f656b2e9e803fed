//! The server's side of TLS: what handshakes are answered with, which can be replaced while the server runs.

mod callers;
mod expiry;

use std::sync::Arc;

use arc_swap::ArcSwap;
use identity::Authenticator;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::{Authentication, Tls};
use callers::CallerVerifier;
pub(crate) use expiry::CertificateCollector;

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

/// What the next handshake is answered with. Connections that were made stay as they are.
#[derive(Debug)]
pub struct TlsHandle {
    authenticator: Option<Arc<Authenticator>>,
    configs: ArcSwap<Configs>,
}

#[derive(Debug)]
struct Configs {
    /// For a listener of gRPC alone.
    grpc: Arc<ServerConfig>,
    /// For one that speaks HTTP as well.
    http: Arc<ServerConfig>,
    /// For those who watch over the server, who have no certificate.
    metrics: Arc<ServerConfig>,
    /// When the certificate ends, in seconds since 1970, if that can be read.
    ends: Option<i64>,
}

/// What a listener speaks, as far as TLS is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Protocols {
    Grpc,
    GrpcAndHttp,
    Metrics,
}

impl Tls {
    /// Whether a server could use it: the texts are what they should be, and the key is that of the certificate.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn check(&self) -> Result<(), TlsError> {
        configs(self, None).map(|_| ())
    }
}

impl TlsHandle {
    pub(crate) fn new(tls: &Tls, authentication: &Authentication) -> Result<Self, TlsError> {
        let authenticator = match authentication {
            Authentication::Required(authenticator) => Some(Arc::clone(authenticator)),
            Authentication::None => None,
        };
        let configs = ArcSwap::from_pointee(configs(tls, authenticator.as_ref())?);
        Ok(Self {
            authenticator,
            configs,
        })
    }

    /// Takes another certificate, key and authorities for the handshakes to come. Sessions of the old ones are not resumed.
    ///
    /// # Errors
    /// [`TlsError`] if a text cannot be used; then all stays as it was.
    pub fn replace(&self, tls: &Tls) -> Result<(), TlsError> {
        let configs = configs(tls, self.authenticator.as_ref())?;
        self.configs.store(Arc::new(configs));
        Ok(())
    }

    /// When the certificate ends, in seconds since 1970.
    pub(crate) fn ends(&self) -> Option<i64> {
        self.configs.load().ends
    }

    pub(crate) fn acceptor(&self, protocols: Protocols) -> TlsAcceptor {
        let configs = self.configs.load();
        let config = match protocols {
            Protocols::Grpc => &configs.grpc,
            Protocols::GrpcAndHttp => &configs.http,
            Protocols::Metrics => &configs.metrics,
        };
        TlsAcceptor::from(Arc::clone(config))
    }
}

fn configs(tls: &Tls, authenticator: Option<&Arc<Authenticator>>) -> Result<Configs, TlsError> {
    let chain = certificates("certificate", &tls.certificate_pem)?;
    let ends = expiry::of(&chain);
    let key =
        PrivateKeyDer::from_pem_slice(tls.key_pem.as_bytes()).map_err(|source| TlsError::Pem {
            what: "key",
            source,
        })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Identity)?;
    let authorities = tls.client_authorities_pem.as_deref();
    let authorities = authorities.map(of_authorities).transpose()?;
    let asks_nobody = builder.clone().with_no_client_auth();
    let asks_callers = match (authenticator, authorities) {
        (None, None) => builder.with_no_client_auth(),
        (None, Some(authorities)) => builder.with_client_cert_verifier(authorities),
        (Some(authenticator), authorities) => {
            let verifier = CallerVerifier::new(Arc::clone(authenticator), authorities, &provider);
            builder.with_client_cert_verifier(Arc::new(verifier))
        }
    };
    let mut grpc = asks_callers
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(TlsError::Identity)?;
    let mut metrics = asks_nobody
        .with_single_cert(chain, key)
        .map_err(TlsError::Identity)?;
    let mut http = grpc.clone();
    grpc.alpn_protocols = vec![b"h2".to_vec()];
    for config in [&mut http, &mut metrics] {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Ok(Configs {
        grpc: Arc::new(grpc),
        http: Arc::new(http),
        metrics: Arc::new(metrics),
        ends,
    })
}

/// What verifies the certificates of callers by a list of authorities.
fn of_authorities(pem: &str) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates("list of authorities", pem)? {
        let added = roots.add(authority);
        added.map_err(|error| TlsError::Authorities(error.into()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|error| TlsError::Authorities(error.into()))
}

fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { what, source })
}
