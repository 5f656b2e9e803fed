//! Which certificates of callers a handshake takes.
//!
//! One that claims to name a workload is judged by the bundle of its trust domain, and by nothing else; any other by the
//! authorities that the operator gave, if there are any. The first names who calls, the second lets a connection be made.

use std::sync::Arc;

use identity::Authenticator;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

#[derive(Debug)]
pub(super) struct CallerVerifier {
    authenticator: Arc<Authenticator>,
    authorities: Option<Arc<dyn ClientCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl CallerVerifier {
    pub(super) fn new(
        authenticator: Arc<Authenticator>,
        authorities: Option<Arc<dyn ClientCertVerifier>>,
        provider: &CryptoProvider,
    ) -> Self {
        Self {
            authenticator,
            authorities,
            algorithms: provider.signature_verification_algorithms,
        }
    }
}

impl ClientCertVerifier for CallerVerifier {
    fn offer_client_auth(&self) -> bool {
        self.authorities.is_some() || self.authenticator.has_trust_domains()
    }

    /// A list of authorities asks everybody for a certificate; trust domains leave it to those who have one.
    fn client_auth_mandatory(&self) -> bool {
        self.authorities.is_some()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.authorities {
            Some(authorities) if !self.authenticator.has_trust_domains() => {
                authorities.root_hint_subjects()
            }
            // Without hints, a caller presents what it has.
            Some(_) | None => &[],
        }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let authenticator = &self.authenticator;
        if authenticator.has_trust_domains() && authenticator.names_workload(end_entity) {
            let mut chain = vec![end_entity.clone()];
            chain.extend_from_slice(intermediates);
            return match authenticator.check_certificate(&chain) {
                Ok(()) => Ok(ClientCertVerified::assertion()),
                Err(error) => Err(CertificateError::Other(OtherError(Arc::new(error))).into()),
            };
        }
        match &self.authorities {
            Some(authorities) => authorities.verify_client_cert(end_entity, intermediates, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
