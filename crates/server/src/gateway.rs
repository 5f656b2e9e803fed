//! The services over HTTP with JSON, as the descriptors annotate them; every service that is registered, with no list.
//!
//! A request becomes a call of gRPC within the process, through all that a call from outside passes: the same key, the
//! same limits, the same handler. [`request`] and [`response`] carry the bodies over as they come, message by message.

mod errors;
mod json;
mod openapi;
mod request;
mod response;
mod routes;

use std::sync::Arc;

use http::header::{ALLOW, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, TE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use prost::bytes::Bytes;
use tonic::Status;
use tonic::body::Body;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::Service as _;

use crate::calls::Calls;
use crate::convert::IDEMPOTENCY_KEY;
use crate::deadline::TIMEOUT;
use crate::guard::ON_BEHALF_OF;
use crate::http_api::{HttpApi, HttpApis, another_site, is_of_another_site};
use crate::metadata::REQUEST_ID;
use crate::observe::{CameBy, Protocol};
use crate::overload::{Announced, RefusedOverHttp};
use errors::Errors;
use routes::{Route, Routes};

pub use routes::RoutesError;
pub(crate) use routes::methods;

/// The headers that go on to the call.
const PASSED_ON: [HeaderName; 7] = [
    AUTHORIZATION,
    REQUEST_ID,
    HeaderName::from_static(TIMEOUT),
    HeaderName::from_static(ON_BEHALF_OF),
    HeaderName::from_static(IDEMPOTENCY_KEY),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];
/// Any other metadata of a call, under this prefix.
const METADATA_PREFIX: &str = "grpc-metadata-";

/// Answers requests of HTTP.
#[derive(Debug)]
pub(crate) struct Gateway {
    calls: Calls,
    apis: HttpApis,
    routes: Routes,
    errors: Errors,
    openapi: Bytes,
    request_bytes_max: usize,
}

impl Gateway {
    /// A gateway to `calls`, with `apis` beside it, which reads messages of at most `request_bytes_max` bytes of JSON.
    ///
    /// # Errors
    /// [`RoutesError`] if the descriptors cannot be read or ask for what is not supported.
    pub(crate) fn new(
        calls: Calls,
        apis: Vec<Arc<dyn HttpApi>>,
        request_bytes_max: usize,
    ) -> Result<Self, RoutesError> {
        let pool = routes::descriptors()?;
        let routes = routes::routes(&pool)?;
        let described = apis.iter().flat_map(|api| api.paths()).collect();
        Ok(Self {
            apis: HttpApis::new(apis, &calls),
            calls,
            errors: Errors::new(&pool)?,
            openapi: openapi::document(&pool, &routes, described)?.into(),
            routes,
            request_bytes_max,
        })
    }

    /// The answer to one request.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        if let Some(api) = self.apis.serving(request.uri().path()) {
            return self.apis.answer(api, request).await;
        }
        let (head, body) = request.into_parts();
        let route = match self.routed(&head).await {
            Ok(route) => route,
            Err(answer) => {
                self.calls
                    .observing()
                    .note_answered(Protocol::Http, &answer);
                return answer;
            }
        };
        let call = self.call(route, Request::from_parts(head, body));
        let Ok(answer) = self.calls.clone().call(call).await;
        let refused = answer.extensions().get::<RefusedOverHttp>().cloned();
        let mut answer = response::transcoded(answer, &route.method, &self.errors).await;
        RefusedOverHttp::put(refused.as_ref(), &mut answer);
        answer
    }

    /// The route of a request, or its answer where its body need not be read for it.
    async fn routed(&self, head: &Parts) -> Result<&Route, Response<Body>> {
        let is_read = head.method == Method::GET;
        match head.uri.path() {
            "/healthz" | "/readyz" if is_read => return Err(self.health().await),
            "/openapi.json" if is_read => {
                return Err(response::json(StatusCode::OK, self.openapi.clone()));
            }
            "/healthz" | "/readyz" | "/openapi.json" => return Err(self.wrong_method("GET")),
            path if is_read && path.starts_with("/.well-known/") => {
                if let Some(metadata) = self.calls.resource_metadata().filter(|it| it.path == path)
                {
                    return Err(response::json(StatusCode::OK, metadata.json));
                }
            }
            _ => {}
        }
        let Some(route) = self.routes.get(head.uri.path()) else {
            return Err(self.errors.response(&Status::not_found("Not Found")));
        };
        if head.method != Method::POST {
            return Err(self.wrong_method("POST"));
        }
        if is_of_another_site(&head.headers) {
            return Err(self.errors.response(&another_site()));
        }
        Ok(route)
    }

    /// The call that a request stands for.
    fn call(&self, route: &Route, request: Request<Body>) -> Request<Body> {
        let (mut head, body) = request.into_parts();
        let length = head.headers.get(CONTENT_LENGTH);
        if let Some(length) = length.and_then(|length| length.to_str().ok()?.parse().ok()) {
            head.extensions.insert(Announced(length));
        }
        head.headers = metadata(&head.headers);
        head.uri = Uri::from(route.grpc_path.clone());
        head.extensions.insert(CameBy {
            protocol: Protocol::Http,
            method: None,
        });
        let body = request::transcoded(body, &route.method, self.request_bytes_max);
        Request::from_parts(head, body)
    }

    fn wrong_method(&self, allowed: &'static str) -> Response<Body> {
        let mut response = self
            .errors
            .response(&Status::unimplemented("Method Not Allowed"));
        let allowed = HeaderValue::from_static(allowed);
        response.headers_mut().insert(ALLOW, allowed);
        response
    }

    async fn health(&self) -> Response<Body> {
        let mut health = HealthClient::new(self.calls.clone());
        let status = match health.check(HealthCheckRequest::default()).await {
            Ok(answer) => answer.into_inner().status(),
            Err(_) => ServingStatus::Unknown,
        };
        let code = match status {
            ServingStatus::Serving => StatusCode::OK,
            ServingStatus::NotServing | ServingStatus::Unknown | ServingStatus::ServiceUnknown => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        response::json(code, format!(r#"{{"status":"{}"}}"#, status.as_str_name()))
    }
}

/// The metadata of the call for a request with `headers`.
fn metadata(headers: &HeaderMap) -> HeaderMap {
    let mut metadata = HeaderMap::new();
    for (name, value) in headers {
        if PASSED_ON.contains(name) {
            metadata.append(name.clone(), value.clone());
            continue;
        }
        let given = name.as_str().strip_prefix(METADATA_PREFIX);
        let given = given.and_then(|given| given.parse::<HeaderName>().ok());
        if let Some(given) = given.filter(|given| !is_of_the_protocol(given)) {
            metadata.append(given, value.clone());
        }
    }
    metadata.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    metadata.insert(TE, HeaderValue::from_static("trailers"));
    metadata
}

/// Whether a header belongs to gRPC itself, or is one that is passed on under its own name.
fn is_of_the_protocol(name: &HeaderName) -> bool {
    *name == CONTENT_TYPE
        || *name == TE
        || PASSED_ON.contains(name)
        || name.as_str().starts_with("grpc-")
}

#[cfg(test)]
mod tests {
    use tonic_health::ServingStatus as Told;

    use http_body_util::BodyExt as _;

    use super::*;
    use crate::calls::Calls;
    use crate::config::Authentication;
    use crate::observe::Observing;

    #[tokio::test]
    async fn health_is_that_of_the_health_service() {
        let (health, service) = tonic_health::server::health_reporter();
        let services = tonic::service::Routes::new(service);
        let calls = Calls::new(
            services,
            Authentication::None,
            std::time::Duration::from_secs(9),
            (
                Arc::new(Observing::new(None).unwrap()),
                crate::overload::Overload::new(crate::overload::Settings::default()),
            ),
        );
        let gateway = Gateway::new(calls, Vec::new(), 1_024).unwrap();
        for (status, code, text) in [
            (Told::Serving, 200, r#"{"status":"SERVING"}"#),
            (Told::NotServing, 503, r#"{"status":"NOT_SERVING"}"#),
        ] {
            health.set_service_status("", status).await;
            let request = Request::get("/healthz").body(Body::empty()).unwrap();
            let answer = gateway.answer(request).await;
            assert_eq!(answer.status(), code);
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), text);
        }
    }

    #[tokio::test]
    async fn a_service_that_is_not_registered_says_so() {
        let (_health, service) = tonic_health::server::health_reporter();
        let services = tonic::service::Routes::new(service);
        let calls = Calls::new(
            services,
            Authentication::None,
            std::time::Duration::from_secs(9),
            (
                Arc::new(Observing::new(None).unwrap()),
                crate::overload::Overload::new(crate::overload::Settings::default()),
            ),
        );
        let gateway = Gateway::new(calls, Vec::new(), 1_024).unwrap();
        let request = Request::post("/v1/permissions/check")
            .body(Body::empty())
            .unwrap();
        assert_eq!(gateway.answer(request).await.status(), 501);
    }

    #[test]
    fn metadata_is_passed_on_but_for_what_is_not_the_callers() {
        let given = [
            ("authorization", "Bearer k"),
            ("traceparent", "00-1-2-00"),
            ("cookie", "c"),
            ("content-length", "3"),
            ("grpc-metadata-io.spicedb.requestversion", "1"),
            ("grpc-metadata-authorization", "Bearer other"),
            ("grpc-metadata-grpc-encoding", "gzip"),
        ];
        let headers = given.iter().map(|(name, value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_static(value),
            )
        });
        let metadata = metadata(&headers.collect());
        let mut passed: Vec<_> = metadata
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        passed.sort();
        assert_eq!(
            passed,
            [
                "authorization: Bearer k",
                "content-type: application/grpc",
                "io.spicedb.requestversion: 1",
                "te: trailers",
                "traceparent: 00-1-2-00"
            ]
        );
    }
}
