//! Metadata: where the endpoints are. For anybody, before it is known how to come in.

use std::fmt;
use std::str::FromStr;

use http::header::HOST;
use http::request::Parts;
use http::uri::Scheme;
use http::{Response, StatusCode, Uri};
use serde_json::{Map, Value, json};
use tonic::body::Body;

use super::Operation;
use crate::http_api::body;

const WELL_KNOWN: &str = "/.well-known/authzen-configuration";

/// What a server is called by those who reach it: `https://authz.example.com`, or with a path below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    /// Without a slash at its end; empty for none.
    path: String,
}

/// Why a text is no such URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is no URL such as `https://authz.example.com`: `https`, a host, and neither a query nor a fragment"
)]
pub struct PublicUrlError {
    given: String,
}

/// Answers with the metadata.
#[derive(Debug)]
pub(super) struct Discovery {
    public_url: Option<PublicUrl>,
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || PublicUrlError {
            given: text.to_owned(),
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let is_plain = uri.query().is_none() && !text.contains(['#', '@']);
        if uri.scheme() != Some(&Scheme::HTTPS) || !is_plain {
            return Err(wrong());
        }
        Ok(Self {
            origin: format!("https://{authority}"),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

impl Discovery {
    pub(super) fn new(public_url: Option<PublicUrl>) -> Self {
        Self { public_url }
    }

    /// The part of a path that is below the server's own: what is before it may have taken that away, or not.
    pub(super) fn below<'a>(&self, path: &'a str) -> &'a str {
        let below = path.strip_prefix(self.path());
        below.filter(|below| below.starts_with('/')).unwrap_or(path)
    }

    /// Whether the metadata is at `path`: with the server's own path after the name that is known, or without.
    pub(super) fn serves(&self, path: &str) -> bool {
        let after = path.strip_prefix(WELL_KNOWN);
        after.is_some_and(|after| after.is_empty() || after == self.path())
    }

    pub(super) fn answer(&self, head: &Parts) -> Response<Body> {
        let base = match &self.public_url {
            Some(url) => url.to_string(),
            None => match asked_as(head) {
                Some(base) => base,
                None => {
                    return body::write(StatusCode::BAD_REQUEST, &"the request names no host");
                }
            },
        };
        let mut members = Map::new();
        for operation in Operation::ALL {
            let url = format!("{base}{}", operation.path());
            members.insert(operation.endpoint().to_owned(), json!(url));
        }
        members.insert("policy_decision_point".to_owned(), json!(base));
        body::write(StatusCode::OK, &Value::Object(members))
    }

    fn path(&self) -> &str {
        self.public_url.as_ref().map_or("", |url| &url.path)
    }
}

/// What the server is called by whoever asks. The standard knows HTTPS alone, which may end before this server.
fn asked_as(head: &Parts) -> Option<String> {
    let of_header = || head.headers.get(HOST)?.to_str().ok();
    let host = head.uri.authority().map(http::uri::Authority::as_str);
    let host: http::uri::Authority = host.or_else(of_header)?.parse().ok()?;
    Some(format!("https://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_one_of_https() {
        for (given, expected) in [
            ("https://pdp.example.com", "https://pdp.example.com"),
            ("https://pdp.example.com/", "https://pdp.example.com"),
            ("https://h:8443/t1/", "https://h:8443/t1"),
        ] {
            assert_eq!(given.parse::<PublicUrl>().unwrap().to_string(), expected);
        }
        for given in [
            "http://h",
            "pdp.example.com",
            "https://h?x=1",
            "https://h/#f",
            "https://a:b@h",
            "",
        ] {
            assert!(given.parse::<PublicUrl>().is_err(), "{given}");
        }
    }

    #[test]
    fn paths_are_those_of_the_server_or_stand_below_it() {
        let discovery = Discovery::new(Some("https://h/t1".parse().unwrap()));
        assert_eq!(discovery.below("/t1/access/v1/x"), "/access/v1/x");
        assert_eq!(discovery.below("/access/v1/x"), "/access/v1/x");
        assert_eq!(discovery.below("/t12/access"), "/t12/access");
        assert!(discovery.serves("/.well-known/authzen-configuration/t1"));
        assert!(discovery.serves("/.well-known/authzen-configuration"));
        assert!(!discovery.serves("/.well-known/authzen-configuration/t2"));
        assert!(!discovery.serves("/.well-known/authzen-configurationt1"));
    }
}
