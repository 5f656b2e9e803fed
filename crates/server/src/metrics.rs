//! What is asked by those who operate the server, on an address of its own: metrics for Prometheus, and health. No key is asked
//! for, so nothing is told that names a subject, a resource or a caller.

use std::sync::Arc;

use decision_log::DecisionLog;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use ops::Node;
use prometheus_client::encoding::text;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tonic::body::Body;

use crate::edge::Edge;
use crate::observe::{Observing, ProcessCollector};
use crate::overload::Overload;
use crate::tls::{CertificateCollector, TlsHandle};

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
/// What is told where there is nothing.
pub(crate) const PATHS: &str = "/metrics, /healthz, /readyz and /livez are here\n";
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// What is measured, and where it is told.
#[derive(Debug)]
pub(crate) struct Metrics {
    node: Arc<Node>,
    registry: Registry,
    /// Whether callers are to go elsewhere.
    draining: watch::Receiver<bool>,
}

impl Metrics {
    pub(crate) fn new(
        node: Arc<Node>,
        edge: Option<&Edge>,
        (observing, overload): (&Arc<Observing>, &Arc<Overload>),
        draining: watch::Receiver<bool>,
        tls: Option<Arc<TlsHandle>>,
    ) -> Self {
        let mut registry = registry();
        node.register_metrics(&mut registry);
        observing.register(&mut registry);
        overload.register(&mut registry);
        registry.register_collector(Box::new(ProcessCollector));
        if let Some(tls) = tls {
            registry.register_collector(Box::new(CertificateCollector(tls)));
        }
        if let Some(edge) = edge {
            edge.register(&mut registry);
        }
        Self {
            node,
            registry,
            draining,
        }
    }

    /// With what a log of decisions counts of itself.
    pub(crate) fn beside(mut self, log: Option<&DecisionLog>) -> Self {
        if let Some(log) = log {
            log.register(&mut self.registry);
        }
        self
    }

    pub(crate) fn answer(&self, request: &Request<Body>) -> Response<Body> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return told(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET is answered\n".to_owned(),
            );
        }
        match request.uri().path() {
            "/metrics" => self.metrics(),
            "/healthz" | "/readyz" if *self.draining.borrow() => {
                told(StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned())
            }
            "/healthz" | "/readyz" => of_node("ready", self.node.ready()),
            "/livez" => of_node("alive", self.node.alive()),
            _ => told(StatusCode::NOT_FOUND, PATHS.to_owned()),
        }
    }

    fn metrics(&self) -> Response<Body> {
        written(&self.registry)
    }
}

/// What `registry` has, as Prometheus reads it.
pub(crate) fn written(registry: &Registry) -> Response<Body> {
    let mut text = String::new();
    match text::encode(&mut text, registry) {
        Ok(()) => of_type(StatusCode::OK, OPEN_METRICS, text),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written down");
            told(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal error\n".to_owned(),
            )
        }
    }
}

/// A registry that says which version this is.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::default();
    let build = vec![
        ("version", env!("CARGO_PKG_VERSION")),
        ("commit", option_env!("REMIT_COMMIT").unwrap_or("unknown")),
        ("rustc", env!("REMIT_RUSTC")),
    ];
    let help = "The version of this server, what it was built from, and with what";
    registry.register("remit_build", help, Info::new(build));
    registry
}

fn of_node(well: &str, state: Result<(), ops::Error>) -> Response<Body> {
    match state {
        Ok(()) => told(StatusCode::OK, format!("{well}\n")),
        Err(error) => told(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{}\n", error.message),
        ),
    }
}

pub(crate) fn told(code: StatusCode, text: String) -> Response<Body> {
    of_type(code, TEXT, text)
}

fn of_type(code: StatusCode, content_type: HeaderValue, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::from(text)));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
