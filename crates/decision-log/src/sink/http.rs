//! Events as OPA sends its own: `POST` of an array of them, compressed.
//!
//! [`Poster`] is a client of some lines: it keeps one connection, follows no redirect and reads no more of an answer than it must. It has a
//! small runtime of its own, so that nothing of it runs on the threads that answer.

use std::fs;
use std::io::{self, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use super::{Deliver, Made, SinkError};
use crate::rules::HttpSettings;

/// How much of an answer is read so that the connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Posts to one address.
pub(super) struct Poster {
    settings: HttpSettings,
    tls: Option<Arc<ClientConfig>>,
    runtime: Runtime,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Poster {
    pub(super) fn new(settings: &HttpSettings) -> io::Result<Self> {
        let is_https = settings.url.scheme_str() == Some("https");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            tls: is_https.then(|| tls(settings)).transpose()?,
            settings: settings.clone(),
            runtime,
            connection: None,
        })
    }

    /// Posts one body; what it is answered with, as far as that is read.
    pub(super) fn post(&mut self, kind: &'static str, body: Bytes) -> Result<Bytes, SinkError> {
        let request = self.request(kind, body)?;
        let Self {
            settings,
            tls,
            runtime,
            connection,
        } = self;
        let answered = runtime.block_on(async {
            let exchange = exchange((settings, tls.as_ref()), connection, request);
            match tokio::time::timeout(settings.timeout, exchange).await {
                Ok(answered) => answered,
                Err(_) => Err(SinkError::TimedOut(settings.timeout)),
            }
        });
        if answered.is_err() {
            self.connection = None;
        }
        match answered? {
            (status, answer) if status.is_success() => Ok(answer),
            (StatusCode::PAYLOAD_TOO_LARGE, _) => Err(SinkError::TooLarge),
            (status, _) => Err(SinkError::Status(status.as_u16())),
        }
    }

    fn request(&self, kind: &'static str, body: Bytes) -> Result<Request<Full<Bytes>>, SinkError> {
        let url = &self.settings.url;
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let authority = url.authority().map_or("", |it| it.as_str());
        let mut request = Request::post(path)
            .header(HOST, authority)
            .header(CONTENT_TYPE, kind)
            .header(CONTENT_ENCODING, "gzip");
        if let Some(file) = &self.settings.bearer_token_file {
            let token = fs::read_to_string(file).map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("cannot read `{}`: {error}", file.display()),
                )
            })?;
            let bearer = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
            let mut bearer = bearer
                .map_err(|_| SinkError::Http(format!("`{}` holds no token", file.display())))?;
            bearer.set_sensitive(true);
            request = request.header(AUTHORIZATION, bearer);
        }
        request.body(Full::new(body)).map_err(of_http)
    }
}

/// Sends a request, over the connection that there is or another, and tells the status of the answer and its body, which is empty if
/// it cannot be read or is too large.
async fn exchange(
    (settings, tls): (&HttpSettings, Option<&Arc<ClientConfig>>),
    connection: &mut Option<SendRequest<Full<Bytes>>>,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), SinkError> {
    let mut sent = None;
    if let Some(kept) = connection.take() {
        // The other side may have ended it since, which shows only now: nothing reads from it between two requests.
        sent = send(kept, request.clone()).await.ok();
    }
    let (mut open, answer) = match sent {
        Some(sent) => sent,
        None => send(connect(settings, tls).await?, request).await?,
    };
    let status = answer.status();
    let read = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await;
    if read.is_ok() && open.ready().await.is_ok() {
        *connection = Some(open);
    }
    let body = read.map_or_else(|_| Bytes::new(), Collected::to_bytes);
    Ok((status, body))
}

/// Sends a request over a connection, which comes back with the answer.
async fn send(
    mut open: SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<(SendRequest<Full<Bytes>>, Response<Incoming>), SinkError> {
    open.ready().await.map_err(of_http)?;
    let answer = open.send_request(request).await.map_err(of_http)?;
    Ok((open, answer))
}

async fn connect(
    settings: &HttpSettings,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<SendRequest<Full<Bytes>>, SinkError> {
    let host = settings
        .url
        .host()
        .unwrap_or_default()
        .trim_matches(['[', ']']);
    let default = if tls.is_some() { 443 } else { 80 };
    let port = settings.url.port_u16().unwrap_or(default);
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        return handshaken(stream).await;
    };
    let name = ServerName::try_from(host.to_owned()).map_err(of_http)?;
    let connector = TlsConnector::from(Arc::clone(tls));
    handshaken(connector.connect(name, stream).await?).await
}

async fn handshaken(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>, SinkError> {
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(of_http)?;
    tokio::spawn(async {
        // What fails there fails the request as well.
        let _ended = connection.await;
    });
    Ok(sender)
}

fn of_http(error: impl std::fmt::Display) -> SinkError {
    SinkError::Http(error.to_string())
}

fn tls(settings: &HttpSettings) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    match &settings.ca_file {
        Some(file) => {
            let invalid = |error: &dyn std::fmt::Display| {
                let message = format!("`{}` holds no authorities: {error}", file.display());
                io::Error::new(io::ErrorKind::InvalidData, message)
            };
            let pem = fs::read(file).map_err(|error| invalid(&error))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|error| invalid(&error))?;
                roots.add(certificate).map_err(|error| invalid(&error))?;
            }
            if roots.is_empty() {
                return Err(invalid(&"there is none"));
            }
        }
        None => {
            let native = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(native.certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(Arc::new(
        config.with_root_certificates(roots).with_no_client_auth(),
    ))
}

/// Compresses what `write` writes.
pub(super) fn compressed(parts: &[&[u8]]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for part in parts {
        encoder.write_all(part)?;
    }
    Ok(encoder.finish()?.into())
}

/// Posts arrays of events.
pub(super) struct HttpSink(Poster);

impl HttpSink {
    pub(super) fn new(settings: &HttpSettings) -> io::Result<Self> {
        Poster::new(settings).map(Self)
    }
}

impl Deliver for HttpSink {
    fn deliver(&mut self, batch: &[Made]) -> Result<usize, SinkError> {
        let mut parts: Vec<&[u8]> = Vec::with_capacity(batch.len() * 2 + 1);
        for event in batch {
            parts.push(if parts.is_empty() { b"[" } else { b"," });
            parts.push(&event.line);
        }
        parts.push(b"]");
        self.0.post("application/json", compressed(&parts)?)?;
        Ok(0)
    }
}
