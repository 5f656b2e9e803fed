//! What proxies ask over HTTP: `/edge/envoy/..`, the request itself behind a prefix, and `/edge/forward-auth`, which names the request in
//! headers.
//!
//! The end user's `Authorization` comes here as it came to the proxy. So the proxy's own credential stands in
//! `Remit-Authorization`, or is its certificate, and neither is ever taken for the other.

use std::sync::Arc;

use edge::{Denial, ForwardedBy, Upstream};
use futures_util::future::BoxFuture;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use identity::{Authorization, Caller};
use serde_json::{Map, Value, json};
use tonic::body::Body;
use tonic::{Code, Status};

use super::facts::OfHttp;
use super::judge::{Asking, Judge, Told};
use crate::deadline::TIMEOUT;
use crate::error::http_code;
use crate::guard::ON_BEHALF_OF;
use crate::http_api::HttpApi;
use crate::metadata::REQUEST_ID;
use crate::observe::{CameBy, Protocol};

const ENVOY: &str = "/edge/envoy";
const FORWARD_AUTH: &str = "/edge/forward-auth";
/// Where the proxy's own credential stands.
const OWN_AUTHORIZATION: HeaderName = HeaderName::from_static("remit-authorization");
/// What Envoy takes out of a request that goes on.
const TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

/// The API.
#[derive(Debug)]
pub(crate) struct ProxyApi {
    judge: Judge,
}

/// The request as the proxy sent it, kept while it is found out who calls.
#[derive(Debug, Clone)]
struct Sent {
    target: Option<PathAndQuery>,
    end_user: Vec<HeaderValue>,
}

impl ProxyApi {
    pub(crate) fn new(judge: Judge) -> Self {
        Self { judge }
    }

    async fn judged(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let (mut head, _) = request.into_parts();
        let lost = || Status::internal("the request lost what it was sent with");
        let sent = head.extensions.remove::<Sent>().ok_or_else(lost)?;
        let caller = head.extensions.remove::<Caller>().ok_or_else(lost)?;
        let target = sent.target.as_ref().map_or("", PathAndQuery::as_str);
        let facts = match target.strip_prefix(ENVOY) {
            Some(target) => OfHttp {
                method: head.method.as_str().to_owned(),
                host: host(&head.uri, &head.headers)?,
                target: target.to_owned(),
                headers: head.headers,
            },
            None => forwarded(self.judge.edge()?.rules.load().forwarded_by(), head.headers)?,
        };
        let id = facts.headers.get(REQUEST_ID).cloned();
        let asking = Asking {
            caller: &caller,
            id: id
                .as_ref()
                .and_then(|id| id.to_str().ok())
                .unwrap_or_default(),
            end_user: authorization(&sent.end_user),
        };
        let judged = self.judge.judge(&asking, &facts).await?;
        match judged.told {
            Told::Pass(upstream) => passed(&upstream),
            Told::Deny(denial) => Ok(denied(denial)),
        }
    }
}

impl HttpApi for ProxyApi {
    fn paths(&self) -> Map<String, Value> {
        let described = |id: &str, text: &str, parameters: Value| {
            json!({ "get": {
                "operationId": id,
                "tags": ["Proxies"],
                "description": text,
                "parameters": parameters,
                "responses": {
                    "200": { "description": "The request may go on, with these headers." },
                    "default": { "description": "The request may not go on." },
                },
            }})
        };
        let path = json!([{
            "name": "path", "in": "path", "required": true, "schema": { "type": "string" },
        }]);
        let envoy =
            "May this request go on? For Envoy; with any method and any path behind the prefix.";
        let forward = "May the request go on that these headers name? For nginx, Caddy and Traefik; with any method.";
        let paths = [
            (
                format!("{ENVOY}/{{path}}"),
                described("Edge_Envoy", envoy, path),
            ),
            (
                FORWARD_AUTH.to_owned(),
                described("Edge_ForwardAuth", forward, json!([])),
            ),
        ];
        paths.into_iter().collect()
    }

    fn came_by(&self, path: &str) -> CameBy {
        CameBy {
            protocol: if path == FORWARD_AUTH {
                Protocol::ForwardAuth
            } else {
                Protocol::ExtAuthz
            },
            method: Some("check"),
        }
    }

    fn serves(&self, path: &str) -> bool {
        let below_envoy = path.strip_prefix(ENVOY);
        path == FORWARD_AUTH || below_envoy.is_some_and(|rest| rest.starts_with('/'))
    }

    fn is_asked_by_proxies(&self) -> bool {
        true
    }

    /// Moves the end user's credential out of the way of the proxy's. What else of the headers would be about the call is the
    /// client's, and counts for nothing; the target goes to no log.
    fn arrange(&self, request: &mut Request<Body>) {
        let sent = request.uri().path_and_query().cloned();
        let is_envoy = request.uri().path() != FORWARD_AUTH;
        let headers = request.headers_mut();
        let end_user = headers.get_all(AUTHORIZATION).iter().cloned().collect();
        for name in [
            AUTHORIZATION,
            HeaderName::from_static(ON_BEHALF_OF),
            HeaderName::from_static(TIMEOUT),
        ] {
            headers.remove(name);
        }
        let own: Vec<_> = headers.get_all(OWN_AUTHORIZATION).iter().cloned().collect();
        headers.remove(OWN_AUTHORIZATION);
        for credential in own {
            headers.append(AUTHORIZATION, credential);
        }
        request.extensions_mut().insert(Sent {
            target: sent,
            end_user,
        });
        let path = if is_envoy { ENVOY } else { FORWARD_AUTH };
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        uri.path_and_query = Some(PathAndQuery::from_static(path));
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_else(|_| Uri::from_static(path));
    }

    fn answer(
        self: Arc<Self>,
        request: Request<Body>,
    ) -> BoxFuture<'static, Result<Response<Body>, Status>> {
        Box::pin(async move { self.judged(request).await })
    }

    /// No success, whatever the failure. The client may be shown it, so that it tells of the proxy's settings alone.
    fn failure(&self, status: &Status) -> Response<Body> {
        let code = http_code(status.code());
        // A check that the proxy may not make is as one of what is not there.
        let is_not_there = matches!(status.code(), Code::FailedPrecondition | Code::NotFound);
        let code = match (code.is_success(), is_not_there) {
            (true, _) => StatusCode::INTERNAL_SERVER_ERROR,
            (false, true) => StatusCode::FORBIDDEN,
            (false, false) => code,
        };
        let text = if matches!(status.code(), Code::InvalidArgument | Code::Unimplemented) {
            format!("{}\n", status.message())
        } else {
            "no verdict; the log of the server says why\n".to_owned()
        };
        plain(code, text)
    }
}

/// The host that a request names.
fn host(uri: &Uri, headers: &HeaderMap) -> Result<String, Status> {
    if let Some(authority) = uri.authority() {
        return Ok(authority.as_str().to_owned());
    }
    one(headers, &HOST)
}

/// The request that a proxy's headers name: all by one family of them, each once.
fn forwarded(by: ForwardedBy, headers: HeaderMap) -> Result<OfHttp, Status> {
    let [method, host, target] = match by {
        ForwardedBy::XForwarded => ["x-forwarded-method", "x-forwarded-host", "x-forwarded-uri"],
        ForwardedBy::XOriginal => ["x-original-method", "x-original-host", "x-original-uri"],
    }
    .map(|name| one(&headers, &HeaderName::from_static(name)));
    Ok(OfHttp {
        method: method?,
        host: host?,
        target: target?,
        headers,
    })
}

fn one(headers: &HeaderMap, name: &HeaderName) -> Result<String, Status> {
    let mut values = headers.get_all(name).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        (None, _) | (Some(_), Some(_)) => None,
    };
    value.map(str::to_owned).ok_or_else(|| {
        Status::invalid_argument(format!("the proxy has to send the header `{name}`, once"))
    })
}

fn authorization(given: &[HeaderValue]) -> Authorization<'_> {
    match given {
        [] => Authorization::None,
        [header] => header
            .to_str()
            .map_or(Authorization::Unreadable, Authorization::One),
        [_, _, ..] => Authorization::Unreadable,
    }
}

fn passed(upstream: &Upstream) -> Result<Response<Body>, Status> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    if !upstream.remove.is_empty() {
        let names = HeaderValue::try_from(upstream.remove.join(","));
        let names = names.map_err(|_| Status::internal("a header to remove is no header"))?;
        headers.insert(TO_REMOVE, names);
    }
    put(headers, &upstream.set)?;
    Ok(response)
}

fn denied(denial: Denial) -> Response<Body> {
    let code = StatusCode::from_u16(denial.status).unwrap_or(StatusCode::FORBIDDEN);
    let code = match code.is_success() {
        true => StatusCode::FORBIDDEN,
        false => code,
    };
    let mut response = plain(code, denial.body);
    match put(response.headers_mut(), &denial.headers) {
        Ok(()) => response,
        Err(_) => plain(code, "denied\n".to_owned()),
    }
}

fn put(into: &mut HeaderMap, headers: &[(String, String)]) -> Result<(), Status> {
    for (name, value) in headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
        else {
            return Err(Status::internal(format!("header `{name}` cannot be sent")));
        };
        into.insert(name, value);
    }
    Ok(())
}

fn plain(code: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::from(text)));
    *response.status_mut() = code;
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
