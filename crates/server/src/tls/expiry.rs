//! When the certificate ends that handshakes are answered with.

use std::fmt;
use std::sync::Arc;

use model::{Clock as _, SystemClock};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::TlsHandle;

/// The first end of a chain, in seconds since 1970; none if there is none that can be read.
pub(super) fn of(chain: &[CertificateDer<'_>]) -> Option<i64> {
    let ends = chain.iter().filter_map(|certificate| {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        Some(certificate.validity().not_after.timestamp())
    });
    ends.min()
}

/// Tells how long the certificate in use is still good.
#[derive(Debug)]
pub(crate) struct CertificateCollector(pub(crate) Arc<TlsHandle>);

impl Collector for CertificateCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(ends) = self.0.ends() else {
            return Ok(());
        };
        let now = SystemClock.now().as_micros() / 1_000_000;
        let left = ConstGauge::new(ends.saturating_sub(now) as f64);
        let help = "How long the server's certificate, or one of its chain, is still good; below 0 when it no longer is";
        let (name, unit) = ("remit_certificate_expires", Some(&Unit::Seconds));
        left.encode(encoder.encode_descriptor(name, help, unit, left.metric_type())?)
    }
}
