//! `[[trust_domain]]`: whose workloads are let in.

use std::path::PathBuf;

use serde::Deserialize;

use super::Origin;
use super::error::{Problem, SettingsError};
use super::issuer::{LEEWAY_SECONDS_MAX, leeway_seconds};
use crate::spiffe::{Bundle, TrustDomain, is_trust_domain};
use crate::standing::Standing;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrustDomainFile {
    name: String,
    bundle_file: PathBuf,
    #[serde(default)]
    jwt_audience: Vec<String>,
    #[serde(default = "leeway_seconds")]
    leeway_seconds: u32,
}

impl TrustDomainFile {
    pub(super) fn trust_domain(
        self,
        origin: &mut Origin<'_>,
    ) -> Result<TrustDomain, SettingsError> {
        if !is_trust_domain(&self.name) {
            return Err(origin.wrong("trust_domain.name", Problem::TrustDomain));
        }
        let key = |key: &str| format!("{key} of trust domain `{}`", self.name);
        if self.leeway_seconds > LEEWAY_SECONDS_MAX {
            let (min, max) = (0, LEEWAY_SECONDS_MAX);
            return Err(origin.wrong(&key("leeway_seconds"), Problem::Range { min, max }));
        }
        let bundle = Bundle::parse(&origin.read(&self.bundle_file)?);
        let bundle = bundle.map_err(|error| origin.wrong(&key("bundle_file"), error))?;
        if bundle.anchors.is_empty() && bundle.jwt_keys.is_empty() {
            let domain = self.name.as_str();
            tracing::warn!(
                domain,
                "a trust domain has an empty bundle: nobody of it is let in"
            );
        }
        Ok(TrustDomain {
            name: self.name,
            jwt_audiences: self.jwt_audience,
            leeway_seconds: self.leeway_seconds,
            bundle,
            standing: Standing::default(),
        })
    }
}
