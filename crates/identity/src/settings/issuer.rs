//! `[[issuer]]`: whose tokens are taken, and what they say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{DefinitionName, ObjectId};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;

use super::error::{Problem, SettingsError};
use super::{Issuer, Origin, is_name};
use crate::caller::{KEY, WORKLOAD};
use crate::jose::{Algorithm, KeySet};
use crate::keys::{Authorities, KeySource, Origin as KeyOrigin, Place, Remote, Url};
use crate::standing::Standing;
use crate::token::{ClaimPath, Profile, RequiredValue, TokenType, Window};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerFile {
    name: String,
    issuer: String,
    #[serde(default)]
    audience: Vec<String>,
    #[serde(default = "algorithms")]
    algorithms: Vec<Algorithm>,
    #[serde(default = "token_type")]
    typ: TokenType,
    required_scope: Option<String>,
    #[serde(default)]
    required_claims: BTreeMap<String, RequiredValue>,
    #[serde(default = "subject_claim")]
    subject_claim: ClaimPath,
    #[serde(default = "subject_type")]
    subject_type: String,
    #[serde(default)]
    subject_prefix: String,
    #[serde(default = "groups_claim")]
    groups_claim: ClaimPath,
    #[serde(default = "group_type")]
    group_type: String,
    #[serde(default)]
    group_prefix: String,
    #[serde(default = "leeway_seconds")]
    leeway_seconds: u32,
    #[serde(default = "max_lifetime_seconds")]
    max_lifetime_seconds: u32,
    jwks_file: Option<PathBuf>,
    jwks_uri: Option<String>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    allow_private_addresses: bool,
    #[serde(default = "refresh_seconds")]
    refresh_seconds: u32,
    #[serde(default = "refetch_seconds")]
    refetch_seconds: u32,
}

fn algorithms() -> Vec<Algorithm> {
    vec![Algorithm::Rs256, Algorithm::Es256]
}
fn token_type() -> TokenType {
    TokenType::AccessToken
}
fn subject_claim() -> ClaimPath {
    ClaimPath::Name("sub".to_owned())
}
fn subject_type() -> String {
    "remit/user".to_owned()
}
fn groups_claim() -> ClaimPath {
    ClaimPath::Name("groups".to_owned())
}
fn group_type() -> String {
    "remit/group".to_owned()
}
pub(super) fn leeway_seconds() -> u32 {
    30
}
fn max_lifetime_seconds() -> u32 {
    86_400
}
fn refresh_seconds() -> u32 {
    300
}
fn refetch_seconds() -> u32 {
    10
}

/// Clocks that are further apart are broken.
pub(super) const LEEWAY_SECONDS_MAX: u32 = 60;
const LIFETIME_SECONDS_MAX: u32 = 366 * 86_400;
const PAUSE_SECONDS_MAX: u32 = 86_400;

impl IssuerFile {
    pub(super) fn issuer(
        self,
        resource: Option<&Url>,
        origin: &mut Origin<'_>,
    ) -> Result<Issuer, SettingsError> {
        if !is_name(&self.name) {
            return Err(origin.wrong("issuer.name", Problem::Name));
        }
        let keys = self.keys(origin)?;
        let profile = self.profile(resource, origin)?;
        Ok(Issuer {
            keys: KeySource::new(&profile.name, keys),
            profile,
            standing: Standing::default(),
        })
    }

    fn wrong(&self, key: &str, problem: impl Into<Problem>, origin: &Origin<'_>) -> SettingsError {
        origin.wrong(&format!("{key} of issuer `{}`", self.name), problem)
    }

    fn profile(
        self,
        resource: Option<&Url>,
        origin: &Origin<'_>,
    ) -> Result<Profile, SettingsError> {
        let wrong = |key: &str, problem: Problem| self.wrong(key, problem, origin);
        let mut audiences = self.audience.clone();
        if audiences.is_empty() {
            let url = resource.ok_or_else(|| wrong("audience", Problem::NoAudience))?;
            audiences.push(url.as_given().to_owned());
        }
        if self.issuer.is_empty() {
            return Err(wrong("issuer", Problem::Empty));
        }
        if self.algorithms.is_empty() {
            return Err(wrong("algorithms", Problem::Empty));
        }
        for (key, path) in [
            ("subject_claim", &self.subject_claim),
            ("groups_claim", &self.groups_claim),
        ] {
            if path.names().is_empty() || path.names().iter().any(String::is_empty) {
                return Err(wrong(key, Problem::Empty));
            }
        }
        let lifetime = (self.max_lifetime_seconds, 1, LIFETIME_SECONDS_MAX);
        let leeway = (self.leeway_seconds, 0, LEEWAY_SECONDS_MAX);
        for (key, (value, min, max)) in [
            ("max_lifetime_seconds", lifetime),
            ("leeway_seconds", leeway),
        ] {
            if !(min..=max).contains(&value) {
                return Err(wrong(key, Problem::Range { min, max }));
            }
        }
        let definition = |key: &str, text: &str| {
            let definition = DefinitionName::new(text).map_err(|error| wrong(key, error.into()))?;
            if matches!(text, KEY | WORKLOAD) {
                let definition = text.to_owned();
                return Err(wrong(key, Problem::Reserved { definition }));
            }
            Ok(definition)
        };
        let subject_type = definition("subject_type", &self.subject_type)?;
        let group_type = definition("group_type", &self.group_type)?;
        for (key, prefix) in [
            ("subject_prefix", &self.subject_prefix),
            ("group_prefix", &self.group_prefix),
        ] {
            if !prefix.is_empty() {
                ObjectId::validate(prefix).map_err(|error| wrong(key, error.into()))?;
            }
        }
        Ok(Profile {
            name: self.name,
            issuer: self.issuer,
            audiences,
            algorithms: self.algorithms,
            token_type: self.typ,
            window: Window {
                leeway_seconds: self.leeway_seconds,
                lifetime_seconds_max: self.max_lifetime_seconds,
            },
            required_scope: self.required_scope,
            required_claims: self.required_claims,
            subject_claim: self.subject_claim,
            subject_type,
            subject_prefix: self.subject_prefix,
            groups_claim: self.groups_claim,
            group_type,
            group_prefix: self.group_prefix,
        })
    }

    /// Where the keys come from.
    fn keys(&self, origin: &mut Origin<'_>) -> Result<KeyOrigin, SettingsError> {
        if let Some(file) = &self.jwks_file {
            if self.jwks_uri.is_some() {
                return Err(self.wrong("jwks_uri", Problem::TwoOrigins, origin));
            }
            if self.ca_file.is_some() || self.allow_private_addresses {
                let key = "ca_file or allow_private_addresses";
                return Err(self.wrong(key, Problem::NothingFetched, origin));
            }
            let keys = KeySet::parse(&origin.read(file)?);
            let keys = keys.map_err(|error| self.wrong("jwks_file", error, origin))?;
            return Ok(KeyOrigin::File(Arc::new(keys)));
        }
        for (key, value) in [
            ("refresh_seconds", self.refresh_seconds),
            ("refetch_seconds", self.refetch_seconds),
        ] {
            let (min, max) = (1, PAUSE_SECONDS_MAX);
            if !(min..=max).contains(&value) {
                return Err(self.wrong(key, Problem::Range { min, max }, origin));
            }
        }
        let url = |key, text: &str| {
            Url::parse(text).map_err(|error| self.wrong(key, Problem::from(error), origin))
        };
        let place = match &self.jwks_uri {
            Some(uri) => Place::Uri(url("jwks_uri", uri)?),
            None => Place::Discovery {
                issuer: self.issuer.clone(),
                url: url("issuer", &self.issuer)?,
            },
        };
        let pem = self.ca_file.as_deref();
        let pem = pem.map(|file| origin.read(file)).transpose()?;
        let authorities = authorities(pem);
        let authorities = authorities.map_err(|problem| self.wrong("ca_file", problem, origin))?;
        Ok(KeyOrigin::Remote(Box::new(Remote {
            place,
            allow_private_addresses: self.allow_private_addresses,
            authorities: Arc::new(authorities),
            refresh: Duration::from_secs(self.refresh_seconds.into()),
            refetch: Duration::from_secs(self.refetch_seconds.into()),
        })))
    }
}

/// Refuses an issuer that could name what one of `others` names: its tokens, its subjects or its groups.
pub(super) fn check_beside(
    issuer: &Issuer,
    others: &[Issuer],
    origin: &Origin<'_>,
) -> Result<(), SettingsError> {
    let ours = &issuer.profile;
    let wrong = |key: &str, problem| {
        Err(origin.wrong(&format!("{key} of issuer `{}`", ours.name), problem))
    };
    let both = |definition: &DefinitionName| Problem::SubjectsAndGroups {
        definition: definition.to_string(),
    };
    if ours.subject_type == ours.group_type {
        return wrong("group_type", both(&ours.group_type));
    }
    for theirs in others.iter().map(|other| &other.profile) {
        if theirs.name == ours.name {
            return wrong("name", Problem::Twice);
        }
        if theirs.issuer == ours.issuer {
            return wrong("issuer", Problem::Twice);
        }
        if ours.group_type == theirs.subject_type {
            return wrong("group_type", both(&ours.group_type));
        }
        if ours.subject_type == theirs.group_type {
            return wrong("subject_type", both(&ours.subject_type));
        }
        let collision = |definition: &DefinitionName| Problem::Collision {
            other: theirs.name.clone(),
            definition: definition.to_string(),
        };
        let begins_alike =
            |ours: &str, theirs: &str| ours.starts_with(theirs) || theirs.starts_with(ours);
        if ours.subject_type == theirs.subject_type
            && begins_alike(&ours.subject_prefix, &theirs.subject_prefix)
        {
            return wrong("subject_prefix", collision(&ours.subject_type));
        }
        if ours.group_type == theirs.group_type
            && begins_alike(&ours.group_prefix, &theirs.group_prefix)
        {
            return wrong("group_prefix", collision(&ours.group_type));
        }
    }
    Ok(())
}

/// Those of `pem`, or those that the machine trusts.
fn authorities(pem: Option<Vec<u8>>) -> Result<Authorities, Problem> {
    let mut roots = RootCertStore::empty();
    match &pem {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|_| Problem::Authorities)?;
                roots.add(certificate).map_err(|_| Problem::Authorities)?;
            }
            if roots.is_empty() {
                return Err(Problem::Authorities);
            }
        }
        None => {
            let certificates = rustls_native_certs::load_native_certs().certs;
            let (added, _) = roots.add_parsable_certificates(certificates);
            if added == 0 {
                return Err(Problem::NoAuthorities);
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|_| Problem::Authorities)?;
    let tls = builder.with_root_certificates(roots).with_no_client_auth();
    Ok(Authorities {
        pem,
        tls: Arc::new(tls),
    })
}
