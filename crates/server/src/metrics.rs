//! What is asked by those who operate the server, on an address of its own: metrics for Prometheus, and health. No key is asked
//! for, so nothing is told that names a subject, a resource or a caller.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use ops::Node;
use prometheus_client::encoding::text;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tonic::body::Body;

use crate::edge::Edge;
use crate::overload::Overload;

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
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
        overload: &Arc<Overload>,
        draining: watch::Receiver<bool>,
    ) -> Self {
        let mut registry = Registry::default();
        let version = ("version", env!("CARGO_PKG_VERSION"));
        registry.register(
            "remit_build",
            "The version of this server",
            Info::new(vec![version]),
        );
        node.register_metrics(&mut registry);
        overload.register(&mut registry);
        if let Some(edge) = edge {
            edge.register(&mut registry);
        }
        Self {
            node,
            registry,
            draining,
        }
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
            "/healthz" if *self.draining.borrow() => {
                told(StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned())
            }
            "/healthz" => match self.node.ready() {
                Ok(()) => told(StatusCode::OK, "ready\n".to_owned()),
                Err(error) => told(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("{}\n", error.message),
                ),
            },
            _ => told(
                StatusCode::NOT_FOUND,
                "/metrics and /healthz are here\n".to_owned(),
            ),
        }
    }

    fn metrics(&self) -> Response<Body> {
        let mut text = String::new();
        match text::encode(&mut text, &self.registry) {
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
}

fn told(code: StatusCode, text: String) -> Response<Body> {
    of_type(code, TEXT, text)
}

fn of_type(code: StatusCode, content_type: HeaderValue, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::from(text)));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
