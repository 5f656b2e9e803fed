//! Addresses of the web that keys may come from: `https`, or `http` on this machine.

use http::Uri;

/// A place to fetch from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    text: String,
    uri: Uri,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) is_https: bool,
}

/// Why a text is no such address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is no absolute address with a host.
    #[error("it is not a URL such as `https://login.example.com/realms/corp`")]
    Form,
    /// It has a name or a password, a query or a fragment.
    #[error("it may have no user, query or fragment")]
    Parts,
    /// It is not encrypted.
    #[error("it has to be `https`; `http` is for `localhost`, `127.0.0.1` and `[::1]` alone")]
    Plain,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        let uri: Uri = text.parse().map_err(|_| UrlError::Form)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(UrlError::Form);
        };
        if authority.as_str().contains('@') || uri.query().is_some() || text.contains('#') {
            return Err(UrlError::Parts);
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let (is_https, default_port) = match scheme {
            "https" => (true, 443),
            "http" if is_loopback(&host) => (false, 80),
            "http" => return Err(UrlError::Plain),
            _ => return Err(UrlError::Form),
        };
        if host.is_empty() {
            return Err(UrlError::Form);
        }
        Ok(Self {
            text: text.to_owned(),
            port: authority.port_u16().unwrap_or(default_port),
            uri,
            host,
            is_https,
        })
    }

    /// The metadata of the issuer that this is (OpenID Connect Discovery, 4).
    pub(super) fn discovery(&self) -> String {
        let issuer = self.text.trim_end_matches('/');
        format!("{issuer}/.well-known/openid-configuration")
    }

    /// As it was written, which is how tokens name it.
    pub(crate) fn as_given(&self) -> &str {
        &self.text
    }

    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    pub(super) fn authority(&self) -> &str {
        self.uri
            .authority()
            .map_or("", http::uri::Authority::as_str)
    }
}

fn is_loopback(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_encrypted_or_of_this_machine_is_fetched() {
        for text in [
            "https://a.example",
            "https://a.example:8443/x",
            "http://localhost:1/",
            "http://[::1]:1",
        ] {
            assert!(Url::parse(text).is_ok(), "{text}");
        }
        let url = Url::parse("https://a.example:1/realms/x/").unwrap();
        assert_eq!(
            url.discovery(),
            "https://a.example:1/realms/x/.well-known/openid-configuration"
        );
        for (text, error) in [
            ("a.example", UrlError::Form),
            ("ftp://a.example", UrlError::Form),
            ("file:///etc/passwd", UrlError::Form),
            ("https://u:p@a.example", UrlError::Parts),
            ("https://a.example?x", UrlError::Parts),
            ("https://a.example#x", UrlError::Parts),
            ("http://a.example", UrlError::Plain),
            ("http://localhost.example", UrlError::Plain),
        ] {
            assert_eq!(Url::parse(text), Err(error), "{text}");
        }
    }
}
