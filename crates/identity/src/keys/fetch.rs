//! Fetching keys: over TLS, within a time and a size, from where it was asked for and nowhere else.
//!
//! A client of our own of some lines, rather than one for everything: it follows no redirect, keeps no connection, and looks
//! at the very address that it connects to.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::address;
use super::url::{Url, UrlError};
use crate::jose::{KeySet, KeySetError};
use model::json::{self, JsonError};

/// How long keys may take to come, discovery included.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How large metadata or a set of keys may be.
const ANSWER_BYTES_MAX: usize = 512 << 10;

/// An issuer whose keys are fetched.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    pub(crate) place: Place,
    pub(crate) allow_private_addresses: bool,
    pub(crate) authorities: Arc<Authorities>,
    /// After how long keys are fetched again.
    pub(crate) refresh: Duration,
    /// How long after an attempt another may be made for the sake of an unknown key.
    pub(crate) refetch: Duration,
}

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Where its metadata says.
    Discovery {
        /// What it calls itself, to the letter.
        issuer: String,
        url: Url,
    },
    /// Here.
    Uri(Url),
}

/// Who vouches for the server that keys come from.
pub(crate) struct Authorities {
    /// Tells whether two are the same.
    pub(crate) pem: Option<Vec<u8>>,
    pub(crate) tls: Arc<ClientConfig>,
}

/// Why keys could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no whole answer came within {} s", WAIT_MAX.as_secs())]
    TimedOut,
    #[error("`{host}` cannot be resolved or reached: {source}")]
    Connect { host: String, source: io::Error },
    #[error(
        "`{host}` has no public address; set `allow_private_addresses` for the issuer if that is meant"
    )]
    PrivateAddress { host: String },
    #[error("HTTP with `{host}` failed: {source}")]
    Http {
        host: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("`{host}` answered with {status}; redirects are not followed")]
    Status { host: String, status: StatusCode },
    #[error("the metadata {0}")]
    Metadata(#[from] JsonError),
    #[error("the metadata names another issuer than `{issuer}`")]
    OtherIssuer { issuer: String },
    #[error("the metadata has no `jwks_uri`, or one that may not be fetched: {0}")]
    KeysUri(UrlError),
    #[error("what should be a set of keys is none: {0}")]
    KeySet(#[from] KeySetError),
}

impl PartialEq for Remote {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
            && self.allow_private_addresses == other.allow_private_addresses
            && self.authorities.pem == other.authorities.pem
            && (self.refresh, self.refetch) == (other.refresh, other.refetch)
    }
}

impl std::fmt::Debug for Authorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorities").finish_non_exhaustive()
    }
}

impl Remote {
    /// The keys, as they are now.
    pub(super) async fn keys(&self) -> Result<KeySet, FetchError> {
        let keys = async {
            let text = match &self.place {
                Place::Uri(url) => self.get(url).await?,
                Place::Discovery { issuer, url } => {
                    let keys = self.discovered(issuer, url).await?;
                    self.get(&keys).await?
                }
            };
            Ok(KeySet::parse(&text)?)
        };
        let within = tokio::time::timeout(WAIT_MAX, keys).await;
        within.unwrap_or(Err(FetchError::TimedOut))
    }

    async fn discovered(&self, issuer: &str, url: &Url) -> Result<Url, FetchError> {
        let at = Url::parse(&url.discovery()).map_err(FetchError::KeysUri)?;
        let metadata = json::object(&self.get(&at).await?)?;
        let text = |member: &str| metadata.get(member).and_then(Value::as_str);
        if text("issuer") != Some(issuer) {
            let issuer = issuer.to_owned();
            return Err(FetchError::OtherIssuer { issuer });
        }
        let keys = text("jwks_uri").unwrap_or_default();
        let keys = Url::parse(keys).map_err(FetchError::KeysUri)?;
        // A server elsewhere has nothing to say about what is on this machine.
        if url.is_https && !keys.is_https {
            return Err(FetchError::KeysUri(UrlError::Plain));
        }
        Ok(keys)
    }

    async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        let stream = self.connect(url).await?;
        if !url.is_https {
            return exchange(url, stream).await;
        }
        let name = ServerName::try_from(url.host.clone());
        let name = name.map_err(|error| of_http(url, error))?;
        let connector = TlsConnector::from(Arc::clone(&self.authorities.tls));
        let stream = connector.connect(name, stream).await;
        exchange(url, stream.map_err(|error| of_http(url, error))?).await
    }

    /// A connection to an address of the host's that may be connected to.
    async fn connect(&self, url: &Url) -> Result<TcpStream, FetchError> {
        let host = || url.host.clone();
        let failed = |source| FetchError::Connect {
            host: host(),
            source,
        };
        let mut refused = FetchError::PrivateAddress { host: host() };
        let addresses = lookup_host((url.host.as_str(), url.port)).await;
        for address in addresses.map_err(failed)? {
            let ip = address.ip().to_canonical();
            let may_be = if url.is_https {
                self.allow_private_addresses || address::is_public(ip)
            } else {
                ip.is_loopback()
            };
            if !may_be {
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => refused = failed(error),
            }
        }
        Err(refused)
    }
}

async fn exchange(
    url: &Url,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Vec<u8>, FetchError> {
    let request = Request::get(url.path())
        .header(HOST, url.authority())
        .header(ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|error| of_http(url, error))?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| of_http(url, error))?;
    let mut answer = pin!(async move {
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| of_http(url, error))?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status {
                host: url.host.clone(),
                status: answer.status(),
            });
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
        match body.await {
            Ok(body) => Ok(body.to_bytes().to_vec()),
            Err(source) => Err(FetchError::Http {
                host: url.host.clone(),
                source,
            }),
        }
    });
    // The connection may be done before its answer was read.
    tokio::select! {
        answered = answer.as_mut() => return answered,
        _ended = connection => {}
    }
    answer.await
}

fn of_http(url: &Url, error: impl std::error::Error + Send + Sync + 'static) -> FetchError {
    FetchError::Http {
        host: url.host.clone(),
        source: Box::new(error),
    }
}
