//! A client of HTTP, on one connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use crate::running::{KEY, Running};

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// One connection.
pub(crate) struct Http {
    sender: SendRequest<Body>,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        let lines = self.text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Http {
    pub(crate) async fn to(running: &Running) -> Self {
        Self::connect(running.http).await
    }

    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    /// Over TLS, trusting `certificate` and speaking HTTP/1.1.
    pub(crate) async fn connect_tls(address: SocketAddr, certificate: &str) -> Self {
        Self::connect_as(address, certificate, None).await
    }

    /// As [`Self::connect_tls`], with a certificate of the client's own and its key.
    pub(crate) async fn connect_as(
        address: SocketAddr,
        certificate: &str,
        own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((leaf, key)) => builder.with_client_auth_cert(vec![leaf], key).unwrap(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        Self::over(connector.connect(name, stream).await.unwrap()).await
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self { sender }
    }

    pub(crate) async fn send(&mut self, request: Request<Body>) -> Response<Incoming> {
        self.sender.ready().await.unwrap();
        self.sender.send_request(request).await.unwrap()
    }

    /// Whether a request is answered at all.
    pub(crate) async fn is_answered(&mut self, request: Request<Body>) -> bool {
        self.sender.ready().await.is_ok() && self.sender.send_request(request).await.is_ok()
    }

    pub(crate) async fn ask(&mut self, request: Request<Body>) -> Answer {
        let (head, body) = self.send(request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            code: head.status.as_u16(),
            headers: head.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// Posts JSON with the key.
    pub(crate) async fn post(&mut self, path: &str, body: impl ToString) -> Answer {
        self.ask(post(path, body)).await
    }

    /// Posts JSON that has to be answered well.
    pub(crate) async fn well(&mut self, path: &str, body: impl ToString) -> Value {
        let answer = self.post(path, body).await;
        assert_eq!(answer.code, 200, "{path}: {}", answer.text);
        answer.json()
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        let request = Request::get(path).header("host", "localhost");
        self.ask(request.body(text("")).unwrap()).await
    }
}

/// A request with the key.
pub(crate) fn post(path: &str, body: impl ToString) -> Request<Body> {
    with_body(path, text(body))
}

pub(crate) fn with_body(path: &str, body: Body) -> Request<Body> {
    Request::post(path)
        .header("host", "localhost")
        .header("authorization", format!("Bearer {KEY}"))
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

pub(crate) fn text(body: impl ToString) -> Body {
    Full::new(Bytes::from(body.to_string())).boxed_unsync()
}

/// A body whose parts are sent as they are given, and that ends when the sender is dropped.
pub(crate) fn parts() -> (mpsc::UnboundedSender<String>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel::<String>();
    let parts = stream::unfold(receiver, async |mut receiver| {
        let part = receiver.recv().await?;
        Some((Ok(Frame::data(Bytes::from(part))), receiver))
    });
    (sender, StreamBody::new(parts).boxed_unsync())
}
