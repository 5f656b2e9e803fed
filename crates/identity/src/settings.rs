//! The file that says who may call: issuers of tokens, trust domains of workloads, and what this server is called.
//!
//! It is read whole, with the files that it names, or not at all.

mod error;
mod issuer;
mod trust_domain;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::keys::{KeySource, Url};
use crate::spiffe::TrustDomains;
use crate::standing::Standing;
use crate::token::Profile;
pub use error::{Problem, SettingsError};
use issuer::IssuerFile;
use trust_domain::TrustDomainFile;

/// Who may call beside those who have a preshared key.
#[derive(Debug, Default)]
pub struct Settings {
    pub(crate) resource: Option<Url>,
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) domains: TrustDomains,
    files: Vec<PathBuf>,
}

/// An issuer of tokens.
#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) profile: Profile,
    pub(crate) keys: Arc<KeySource>,
    /// Whether it is still configured.
    pub(crate) standing: Standing,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    resource: Option<ResourceFile>,
    #[serde(default)]
    issuer: Vec<IssuerFile>,
    #[serde(default)]
    trust_domain: Vec<TrustDomainFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceFile {
    url: String,
}

/// Where the settings are read from, for errors and for the files that they name.
struct Origin<'a> {
    file: &'a Path,
    /// Every file that was read.
    files: Vec<PathBuf>,
}

impl Settings {
    /// Reads `file` and the files that it names, whose paths begin where it is.
    ///
    /// # Errors
    /// [`SettingsError`] with the file, the key and what is wrong with it.
    pub fn read(file: &Path) -> Result<Self, SettingsError> {
        let mut origin = Origin {
            file,
            files: vec![file.to_owned()],
        };
        let bytes = read(file)?;
        let text = String::from_utf8_lossy(&bytes);
        let parsed = toml::from_str(&text).map_err(|error: toml::de::Error| {
            let before = text.get(..error.span().unwrap_or_default().start);
            SettingsError::Toml {
                file: file.to_owned(),
                line: before.unwrap_or_default().matches('\n').count() + 1,
                message: error.message().to_owned(),
            }
        });
        let File {
            resource,
            issuer,
            trust_domain,
        } = parsed?;
        let resource = resource.map(|it| Url::parse(&it.url)).transpose();
        let resource = resource.map_err(|error| origin.wrong("resource.url", error))?;
        let mut issuers: Vec<Issuer> = Vec::new();
        for described in issuer {
            let issuer = described.issuer(resource.as_ref(), &mut origin)?;
            issuer::check_beside(&issuer, &issuers, &origin)?;
            issuers.push(issuer);
        }
        let mut domains = TrustDomains::default();
        for described in trust_domain {
            let domain = described.trust_domain(&mut origin)?;
            if domains.0.iter().any(|other| other.name == domain.name) {
                let key = format!("trust_domain `{}`", domain.name);
                return Err(origin.wrong(&key, Problem::Twice));
            }
            domains.0.push(domain);
        }
        Ok(Self {
            resource,
            issuers,
            domains,
            files: origin.files,
        })
    }

    /// These settings in place of `old`: what is the same stays, and what is gone is withdrawn.
    pub(crate) fn succeeding(mut self, old: &Self) -> Self {
        for old in &old.issuers {
            if !self.issuers.iter_mut().any(|it| it.takes_over(old)) {
                old.standing.withdraw();
            }
        }
        for old in &old.domains.0 {
            if !self.domains.0.iter_mut().any(|it| it.takes_over(old)) {
                old.standing.withdraw();
            }
        }
        self
    }

    /// Every file that these settings were read from. They are to be read again when one of them changes.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl Issuer {
    /// Goes on as `old`, if it is the same issuer with keys from the same place; whether it does.
    fn takes_over(&mut self, old: &Self) -> bool {
        let (ours, theirs) = (&self.profile, &old.profile);
        if (&ours.name, &ours.issuer) != (&theirs.name, &theirs.issuer) {
            return false;
        }
        let Some(keys) = self.keys.succeeding(&old.keys) else {
            return false;
        };
        self.keys = keys;
        self.standing = old.standing.clone();
        true
    }
}

impl Origin<'_> {
    fn wrong(&self, key: &str, problem: impl Into<Problem>) -> SettingsError {
        SettingsError::Key {
            file: self.file.to_owned(),
            key: key.to_owned(),
            problem: problem.into(),
        }
    }

    /// Reads a file that the settings name.
    fn read(&mut self, named: &Path) -> Result<Vec<u8>, SettingsError> {
        let folder = self.file.parent().unwrap_or(Path::new(""));
        let path = folder.join(named);
        let bytes = read(&path)?;
        self.files.push(path);
        Ok(bytes)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SettingsError> {
    fs::read(path).map_err(|source| SettingsError::Read {
        file: path.to_owned(),
        source,
    })
}

/// Whether a text is the name of something in a configuration: it goes to logs.
fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(is_letter)
}
