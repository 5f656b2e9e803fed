//! SPIFFE IDs: `spiffe://trust-domain/path`.

use model::{DefinitionName, NameError, ObjectRef};

use crate::caller::WORKLOAD;
use crate::object_id;

/// Who a workload is. Of a workload rather than a trust domain: the path is never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpiffeId {
    pub(crate) trust_domain: String,
    /// With its first `/`.
    path: String,
}

/// Why a text is no SPIFFE ID of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeIdError {
    /// It has another scheme.
    #[error("a SPIFFE ID begins with `spiffe://`")]
    Scheme,
    /// The trust domain is no name of one.
    #[error("a trust domain has 1 to {TRUST_DOMAIN_BYTES_MAX} of `a-z`, `0-9`, `.`, `-` and `_`")]
    TrustDomain,
    /// The path has an empty part, `.`, `..`, or a letter that it may not have.
    #[error(
        "the path of a SPIFFE ID has parts of `a-z`, `A-Z`, `0-9`, `.`, `-` and `_`, none of them empty, `.` or `..`"
    )]
    Path,
    /// There is no path: this is a trust domain, and those who sign for it are no workloads.
    #[error("the SPIFFE ID is that of a trust domain, not of a workload")]
    NoPath,
    /// It is too long.
    #[error("the SPIFFE ID has {bytes} bytes, at most {ID_BYTES_MAX} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

const TRUST_DOMAIN_BYTES_MAX: usize = 255;
const ID_BYTES_MAX: usize = 2_048;

impl SpiffeId {
    /// Reads the ID of a workload.
    pub(crate) fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        if text.len() > ID_BYTES_MAX {
            return Err(SpiffeIdError::TooLong { bytes: text.len() });
        }
        let rest = text.strip_prefix("spiffe://");
        let rest = rest.ok_or(SpiffeIdError::Scheme)?;
        let (trust_domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !is_trust_domain(trust_domain) {
            return Err(SpiffeIdError::TrustDomain);
        }
        if path.is_empty() {
            return Err(SpiffeIdError::NoPath);
        }
        if !path.split('/').skip(1).all(is_segment) {
            return Err(SpiffeIdError::Path);
        }
        Ok(Self {
            trust_domain: trust_domain.to_owned(),
            path: path.to_owned(),
        })
    }

    /// The workload as an object: the trust domain and the path, which no other ID has.
    ///
    /// # Errors
    /// [`NameError`] if it is longer than an id may be.
    pub(crate) fn subject(&self) -> Result<ObjectRef, NameError> {
        let text = format!("{}{}", self.trust_domain, self.path);
        Ok(ObjectRef {
            definition: DefinitionName::new(WORKLOAD)?,
            id: object_id::escaped("", &text)?,
        })
    }
}

/// Whether a text names a trust domain.
pub(crate) fn is_trust_domain(text: &str) -> bool {
    (1..=TRUST_DOMAIN_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
        })
}

fn is_segment(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !matches!(text, "" | "." | "..") && text.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_specification() {
        let id = SpiffeId::parse("spiffe://example.org/ns/Prod/sa/web.1").unwrap();
        assert_eq!(
            id.subject().unwrap().to_string(),
            "remit/workload:example=2Eorg/ns/Prod/sa/web=2E1"
        );
        use SpiffeIdError::{NoPath, Path, Scheme, TrustDomain};
        for (text, error) in [
            ("https://example.org/a", Scheme),
            ("SPIFFE://example.org/a", Scheme),
            ("spiffe:/example.org/a", Scheme),
            ("spiffe://Example.org/a", TrustDomain),
            ("spiffe:///a", TrustDomain),
            ("spiffe://user@example.org/a", TrustDomain),
            ("spiffe://example.org:8443/a", TrustDomain),
            ("spiffe://example.org?q/a", TrustDomain),
            ("spiffe://example.org", NoPath),
            ("spiffe://example.org/", Path),
            ("spiffe://example.org/a/", Path),
            ("spiffe://example.org//a", Path),
            ("spiffe://example.org/a/../b", Path),
            ("spiffe://example.org/./a", Path),
            ("spiffe://example.org/a%20b", Path),
            ("spiffe://example.org/a?b", Path),
            ("spiffe://example.org/a#b", Path),
        ] {
            assert_eq!(SpiffeId::parse(text), Err(error), "{text}");
        }
        let long = format!("spiffe://{}/a", "a".repeat(256));
        assert_eq!(SpiffeId::parse(&long), Err(TrustDomain));
        let long = format!("spiffe://a/{}", "a".repeat(2_048));
        assert_eq!(
            SpiffeId::parse(&long),
            Err(SpiffeIdError::TooLong { bytes: 2_059 })
        );
    }
}
