//! What a caller who was not let in is told over HTTP: the challenge (RFC 6750, 3), and where to get a token (RFC 9728).

use serde_json::json;

use crate::authenticator::Authenticator;
use crate::error::AuthenticateError;
use crate::keys::Url;

/// What says where tokens for this server come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceMetadata {
    /// The path that it is served at.
    pub path: String,
    /// The document, in JSON.
    pub json: String,
}

/// Where a resource's metadata is, before the path of the resource itself (RFC 9728, 3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

impl Authenticator {
    /// The metadata of this server, if the settings say what it is called.
    #[must_use]
    pub fn resource_metadata(&self) -> Option<ResourceMetadata> {
        let state = self.state();
        let settings = &state.settings;
        let resource = settings.resource.as_ref()?;
        let profiles = || settings.issuers.iter().map(|issuer| &issuer.profile);
        let servers: Vec<&str> = profiles().map(|it| it.issuer.as_str()).collect();
        let mut scopes: Vec<&str> = profiles()
            .filter_map(|it| it.required_scope.as_deref())
            .collect();
        scopes.sort_unstable();
        scopes.dedup();
        let mut document = json!({
            "resource": resource.as_given(),
            "resource_name": "Remit",
            "authorization_servers": servers,
            "bearer_methods_supported": ["header"],
        });
        if !scopes.is_empty()
            && let Some(members) = document.as_object_mut()
        {
            members.insert("scopes_supported".to_owned(), json!(scopes));
        }
        Some(ResourceMetadata {
            path: metadata_path(resource),
            json: document.to_string(),
        })
    }

    /// The value of `WWW-Authenticate` for a caller who was not let in; none where another credential would not help.
    #[must_use]
    pub fn challenge(&self, error: &AuthenticateError) -> Option<String> {
        let mut challenge = r#"Bearer realm="remit""#.to_owned();
        // RFC 6750, 3.1: who presented nothing is told no error.
        let code = match error {
            AuthenticateError::Missing => None,
            AuthenticateError::Malformed | AuthenticateError::Dpop => Some("invalid_request"),
            AuthenticateError::UnknownKey
            | AuthenticateError::Unrecognized
            | AuthenticateError::Token(_)
            | AuthenticateError::Minted(_)
            | AuthenticateError::Certificate(_) => Some("invalid_token"),
            AuthenticateError::InsufficientScope { .. } => Some("insufficient_scope"),
            AuthenticateError::KeysUnavailable { .. } => return None,
        };
        if let Some(code) = code {
            let told = quotable(&error.to_string());
            challenge.push_str(&format!(r#", error="{code}", error_description="{told}""#));
        }
        if let AuthenticateError::InsufficientScope { scope } = error {
            challenge.push_str(&format!(r#", scope="{}""#, quotable(scope)));
        }
        if let Some(resource) = &self.state().settings.resource {
            let (origin, path) = (resource.origin(), metadata_path(resource));
            challenge.push_str(&format!(r#", resource_metadata="{origin}{path}""#));
        }
        Some(challenge)
    }
}

fn metadata_path(resource: &Url) -> String {
    format!("{WELL_KNOWN}{}", resource.path().trim_end_matches('/'))
}

/// The letters that a description may have (RFC 6750, 3): printable, but for quotes and backslashes.
fn quotable(text: &str) -> String {
    let is_allowed = |letter: char| matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\');
    let quotable = |letter: char| if is_allowed(letter) { letter } else { '\'' };
    text.chars().map(quotable).collect()
}
