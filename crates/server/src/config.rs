//! What a server is set to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use decision_log::DecisionLog;
use identity::{Authenticator, Caller};

use crate::authzen::PublicUrl;
use crate::edge::Edge;
use crate::observe::TraceSettings;
use crate::overload;

/// How the server listens and whom it lets in.
#[derive(Debug)]
pub struct Config {
    /// The address of the gRPC service.
    pub grpc_addr: SocketAddr,
    /// Where the same services are served as JSON over HTTP.
    pub http_addr: HttpAddress,
    /// Where metrics and health are told to anybody who asks; none for nowhere.
    pub metrics_addr: Option<SocketAddr>,
    /// What the server is called by those who reach it over HTTP; none for whatever a request calls it.
    pub public_url: Option<PublicUrl>,
    /// The rules by which requests are judged that proxies ask about; none where proxies do not ask.
    pub edge: Option<Arc<Edge>>,
    /// Where traces of calls go, and of how many; none for nowhere.
    pub traces: Option<TraceSettings>,
    /// The log of decisions that the node tells of, for its metrics; none where none is kept.
    pub decision_log: Option<Arc<DecisionLog>>,
    /// How connections are protected; none for plaintext.
    pub tls: Option<Tls>,
    /// Who may call.
    pub authentication: Authentication,
    /// The largest request that is read, in bytes.
    pub request_bytes_max: usize,
    /// How long a call may take until its answer begins, whatever deadline it has.
    pub call_max: Duration,
    /// How long calls may take to end once the server stops.
    pub shutdown_grace: Duration,
    /// How the server guards itself against more than it can do.
    pub overload: overload::Settings,
}

impl Config {
    /// A server that lets in whom `authentication` does, over gRPC alone, in plaintext, on a free port of this machine's loopback. Its limits are
    /// those that `remit serve` has by default.
    #[must_use]
    pub fn new(authentication: Authentication) -> Self {
        Self {
            grpc_addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            http_addr: HttpAddress::Off,
            metrics_addr: None,
            public_url: None,
            edge: None,
            traces: None,
            decision_log: None,
            tls: None,
            authentication,
            request_bytes_max: 4 << 20,
            call_max: Duration::from_secs(600),
            shutdown_grace: Duration::from_secs(10),
            overload: overload::Settings::default(),
        }
    }
}

/// Where HTTP is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpAddress {
    /// Nowhere.
    Off,
    /// On an address of its own.
    Own(SocketAddr),
    /// On the address of gRPC; the type of a request's content tells which it is.
    WithGrpc,
}

/// The server's side of TLS, as PEM texts.
#[derive(Clone)]
pub struct Tls {
    /// The certificate chain.
    pub certificate_pem: String,
    /// Its private key.
    pub key_pem: String,
    /// The authorities whose certificates callers must present; none asks for none.
    pub client_authorities_pem: Option<String>,
}

/// Who may call.
#[derive(Debug, Clone)]
pub enum Authentication {
    /// Whom this lets in.
    Required(Arc<Authenticator>),
    /// Anybody. For loopback addresses.
    None,
}

impl Authentication {
    /// For how long `caller` may go on with what it was let in by; none if that has no end.
    pub(crate) fn time_left(&self, caller: &Caller) -> Option<Duration> {
        match self {
            Self::Required(authenticator) => authenticator.time_left(caller),
            Self::None => None,
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("asks_callers", &self.client_authorities_pem.is_some())
            .finish_non_exhaustive()
    }
}
