//! How a server is reached: addresses, TLS, and the connections that are made when they are first needed.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// How often an idle or waiting connection is asked whether it is alive.
const ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long it may take to say so.
const ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the files of a client certificate are taken to be as they were.
const CERTIFICATE_TRUSTED: Duration = Duration::from_secs(1);
/// Connections to one endpoint: the second is for hedges where there is no other endpoint.
pub(crate) const LINES: usize = 2;

/// Where one server is and how to reach it, for a tool that wants to know at once whether it is there. Services say it to a
/// [`Builder`](crate::Builder).
#[derive(Clone)]
pub struct Connection {
    /// Host and port: `127.0.0.1:50051`.
    pub endpoint: String,
    /// The preshared key, if the server asks for one.
    pub key: Option<String>,
    /// How the connection is protected.
    pub transport: Transport,
    /// How long to wait for the connection.
    pub connect_timeout: Duration,
}

/// How a connection is protected.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Not at all: for loopback, and where something else protects it.
    Plaintext,
    /// TLS, trusting these certificates (PEM).
    Tls {
        /// The certificates of the authorities to trust.
        authorities_pem: String,
    },
}

/// The certificate that a client shows.
#[derive(Clone)]
pub(crate) enum ClientCertificate {
    /// These, for as long as the client lives.
    Fixed(Shown),
    /// What these files say: the certificate, and its key.
    Files(PathBuf, PathBuf),
}

/// A certificate with its key, PEM both.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
}

/// Why a connection could not be made, or is described wrongly.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The endpoint is no host and port.
    #[error("`{endpoint}` is not a host and port such as `127.0.0.1:50051`")]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// There is no endpoint at all.
    #[error("there is no endpoint to connect to; give at least one host and port")]
    NoEndpoint,
    /// The key has characters that cannot be sent.
    #[error("the key has characters that a header cannot carry")]
    Key,
    /// A limit is nothing, or a share is not between 0 and 1.
    #[error("`{name}` cannot be {value}; expected {expected}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A client certificate is shown over TLS alone.
    #[error("a client certificate needs TLS; say which authorities to trust")]
    CertificateWithoutTls,
    /// The client certificate or its key cannot be read.
    #[error("cannot read the client certificate in `{path}`")]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nobody answers there, or not as expected; or a certificate cannot be read.
    #[error("cannot connect to `{endpoint}`")]
    Transport {
        /// Where to.
        endpoint: String,
        /// What went wrong.
        source: tonic::transport::Error,
    },
}

/// The connections to one endpoint: each is made when it is first asked for, and again when it was lost.
#[derive(Debug)]
pub(crate) struct Lines {
    name: String,
    transport: Transport,
    certificate: Option<ClientCertificate>,
    connect_timeout: Duration,
    made: Mutex<Made>,
}

#[derive(Debug)]
struct Made {
    endpoint: Endpoint,
    channels: [Option<Channel>; LINES],
    /// With this certificate, as it was at that time.
    shown: Option<Shown>,
    read_at: Instant,
}

impl Lines {
    /// To `endpoint`, as described.
    pub(crate) fn new(
        endpoint: &str,
        transport: &Transport,
        certificate: Option<&ClientCertificate>,
        connect_timeout: Duration,
    ) -> Result<Self, ConnectError> {
        let shown = certificate.map(ClientCertificate::read).transpose()?;
        let described = describe(endpoint, transport, shown.as_ref(), connect_timeout)?;
        Ok(Self {
            name: endpoint.to_owned(),
            transport: transport.clone(),
            certificate: certificate.cloned(),
            connect_timeout,
            made: Mutex::new(Made {
                endpoint: described,
                channels: [None, None],
                shown,
                read_at: Instant::now(),
            }),
        })
    }

    /// The connection of that number, or the last.
    pub(crate) fn channel(&self, number: usize) -> Channel {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        self.renew(&mut made);
        let Made {
            endpoint, channels, ..
        } = &mut *made;
        let [first, second] = channels;
        let line = if number == 0 { first } else { second };
        line.get_or_insert_with(|| endpoint.connect_lazy()).clone()
    }

    /// Makes the first connection now.
    pub(crate) async fn connect(&self) -> Result<(), tonic::transport::Error> {
        let endpoint = {
            let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.endpoint.clone()
        };
        let channel = endpoint.connect().await?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let [first, _] = &mut made.channels;
        // If there is one already, it is as good.
        first.get_or_insert(channel);
        Ok(())
    }

    /// Makes new connections if the certificate was renewed; calls that are under way end on the old ones. While the files
    /// cannot be read, or hold no certificate with its key, the old one is shown.
    fn renew(&self, made: &mut Made) {
        let Some(files @ ClientCertificate::Files(..)) = &self.certificate else {
            return;
        };
        if made.read_at.elapsed() < CERTIFICATE_TRUSTED {
            return;
        }
        made.read_at = Instant::now();
        let Ok(shown) = files.read() else {
            return;
        };
        if made.shown.as_ref() == Some(&shown) {
            return;
        }
        let described = describe(
            &self.name,
            &self.transport,
            Some(&shown),
            self.connect_timeout,
        );
        if let Ok(endpoint) = described {
            made.endpoint = endpoint;
            made.channels = [None, None];
            made.shown = Some(shown);
        }
    }
}

impl ClientCertificate {
    fn read(&self) -> Result<Shown, ConnectError> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|source| ConnectError::Certificate {
                path: path.clone(),
                source,
            })
        };
        match self {
            Self::Fixed(shown) => Ok(shown.clone()),
            Self::Files(certificate, key) => Ok(Shown {
                certificate_pem: read(certificate)?,
                key_pem: read(key)?,
            }),
        }
    }
}

fn describe(
    endpoint: &str,
    transport: &Transport,
    certificate: Option<&Shown>,
    connect_timeout: Duration,
) -> Result<Endpoint, ConnectError> {
    let scheme = match transport {
        Transport::Plaintext => "http",
        Transport::Tls { .. } => "https",
    };
    let wrong = || ConnectError::Endpoint {
        endpoint: endpoint.to_owned(),
    };
    let authority: http::uri::Authority = endpoint.parse().map_err(|_| wrong())?;
    if authority.port().is_none() || endpoint.contains('@') {
        return Err(wrong());
    }
    let described = Endpoint::from_shared(format!("{scheme}://{authority}"))
        .map_err(|_| wrong())?
        .connect_timeout(connect_timeout)
        .http2_keep_alive_interval(ALIVE_INTERVAL)
        .keep_alive_timeout(ALIVE_TIMEOUT)
        .tcp_nodelay(true);
    let Transport::Tls { authorities_pem } = transport else {
        return match certificate {
            Some(_) => Err(ConnectError::CertificateWithoutTls),
            None => Ok(described),
        };
    };
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authorities_pem));
    if let Some(certificate) = certificate {
        let (chain, key) = (&certificate.certificate_pem, &certificate.key_pem);
        tls = tls.identity(Identity::from_pem(chain, key));
    }
    described
        .tls_config(tls)
        .map_err(|source| ConnectError::Transport {
            endpoint: endpoint.to_owned(),
            source,
        })
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint", &self.endpoint)
            .field("has_key", &self.key.is_some())
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(..)")
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown(..)")
    }
}
