//! The authorization webhook of Kubernetes: a `SubjectAccessReview` in, and whether relationships allow it out.
//!
//! What is asked and what it comes to is the crate [`kubernetes`]'s; here it is put to the graph, as the caller that the API server is.
//! A failure is a `Status` of Kubernetes with a code that is no success, upon which a cluster does what its `failurePolicy` says;
//! those that may be over soon say when to ask again. An answer with an `evaluationError` is one in which a grant could not be
//! decided, while every ban was.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::header::{ALLOW, CONTENT_ENCODING, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use identity::Caller;
use kubernetes::id::Cluster;
use kubernetes::question::{self, Answer, Asked, Purpose, Verdict};
use kubernetes::review::{self, Review};
use model::Decision;
use ops::check::{Question, check_bulk};
use ops::{Consistency, Node};
use serde_json::{Map, Value, json};
use tonic::body::Body;
use tonic::{Code, Status};

use crate::deadline::TIMEOUT;
use crate::error::{http_code, status};
use crate::http_api::{HttpApi, body};
use crate::observe::{CameBy, Protocol};

/// Where a server asks about the cluster that is called `main`; about another below it, by name.
const PATH: &str = "/kubernetes/v1/authorize";
const REFERENCE: &str = "https://kubernetes.io/docs/reference/access-authn-authz/webhook/";
/// The largest review, in bytes: many times what one with a thousand groups has.
const REVIEW_BYTES_MAX: usize = 1 << 20;
/// After how many seconds to ask again what could not be answered now.
const RETRY_AFTER_SECONDS: u64 = 1;

/// The API.
#[derive(Debug)]
pub(crate) struct Kubernetes {
    node: Arc<Node>,
    request_bytes_max: usize,
}

impl Kubernetes {
    /// The API of a node; it reads requests of `request_bytes_max` bytes, and at most 1 MiB.
    pub(crate) fn new(node: Arc<Node>, request_bytes_max: usize) -> Self {
        Self {
            node,
            request_bytes_max: request_bytes_max.min(REVIEW_BYTES_MAX),
        }
    }

    async fn reviewed(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let (head, body) = request.into_parts();
        let cluster = cluster(head.uri.path())?;
        let caller = head.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| Status::unauthenticated("no caller"))?;
        let object = read(&head, body, self.request_bytes_max).await?;
        let invalid = |error: &dyn std::error::Error| Status::invalid_argument(error.to_string());
        let review = Review::read(&object).map_err(|error| invalid(&error))?;
        let asked = question::questions(&cluster, &review).map_err(|error| invalid(&error))?;
        let verdict = self.verdict(&caller, asked).await?;
        Ok(body::write(StatusCode::OK, &review::answer(&verdict)))
    }

    /// What the graph's answers come to.
    ///
    /// # Errors
    /// [`Status`] where it is not known whether the user is banned, and where asking again may help.
    async fn verdict(&self, caller: &Caller, asked: Vec<Asked>) -> Result<Verdict, Status> {
        let purposes: Vec<Purpose> = asked.iter().map(|asked| asked.purpose).collect();
        let questions: Vec<Question> = asked.into_iter().map(question).collect();
        let newest = Consistency::MinimizeLatency;
        let answered = check_bulk(&self.node, caller, newest, &questions).await;
        let decisions = answered.map_err(status)?.answer;
        // Why bans are not known, and why grants are not known for now.
        let (mut of_bans, mut of_grants) = (None, None);
        let mut answers = Vec::with_capacity(purposes.len());
        for (purpose, decision) in purposes.into_iter().zip(decisions) {
            let answer = match decision.map_err(status) {
                Ok(decision) => answer(decision),
                Err(failed) => {
                    let why = Answer::Unknown(failed.message().to_owned());
                    if purpose != Purpose::Granted {
                        of_bans.get_or_insert(failed);
                    } else if may_be_over_soon(failed.code()) {
                        of_grants.get_or_insert(failed);
                    }
                    why
                }
            };
            answers.push((purpose, answer));
        }
        match (question::verdict(answers), of_grants) {
            (Err(unknown), _) => {
                Err(of_bans.unwrap_or_else(|| Status::failed_precondition(unknown.to_string())))
            }
            (Ok(Verdict::NoOpinion { failure: Some(_) }), Some(failed)) => Err(failed),
            (Ok(verdict), _) => Ok(verdict),
        }
    }
}

/// The cluster that a path asks about.
fn cluster(path: &str) -> Result<Cluster, Status> {
    let Some(name) = path
        .strip_prefix(PATH)
        .and_then(|rest| rest.strip_prefix('/'))
    else {
        return Ok(Cluster::default());
    };
    Cluster::new(name).map_err(|error| Status::not_found(format!("`{PATH}/CLUSTER`: {error}")))
}

async fn read(head: &Parts, body: Body, bytes_max: usize) -> Result<model::json::Object, Status> {
    let encoding = head.headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        return Err(Status::invalid_argument(
            "the body of a review is not compressed",
        ));
    }
    let read = body::read_object(&head.headers, body, bytes_max).await;
    read.map_err(|failed| {
        // It would be as large when it is sent again.
        if failed.code() == Code::ResourceExhausted {
            return Status::invalid_argument(failed.message());
        }
        failed
    })
}

fn question(asked: Asked) -> Question {
    Question {
        resource: asked.resource,
        permission: asked.permission.to_owned(),
        subject: asked.subject,
        context: asked.context,
    }
}

fn answer(decision: Decision) -> Answer {
    match decision {
        Decision::Allowed => Answer::Yes,
        Decision::Denied => Answer::No,
        Decision::Conditional { missing } => Answer::Unknown(format!(
            "it depends on values that a review does not give: {}",
            missing.join(", ")
        )),
    }
}

fn may_be_over_soon(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Internal
    )
}

impl HttpApi for Kubernetes {
    fn paths(&self) -> Map<String, Value> {
        let object = json!({ "application/json": { "schema": { "type": "object" } } });
        let describe = |id: &str, parameters: Value| {
            json!({ "post": {
                "operationId": id,
                "tags": ["Kubernetes"],
                "description": "May this user do that in the cluster? A SubjectAccessReview of authorization.k8s.io/v1.",
                "externalDocs": { "url": REFERENCE },
                "parameters": parameters,
                "requestBody": { "required": true, "content": object },
                "responses": {
                    "200": { "description": "The review with its status.", "content": object },
                    "default": { "description": "A Status: the review could not be decided.", "content": object },
                },
            }})
        };
        let name = json!({ "name": "cluster", "in": "path", "required": true, "schema": { "type": "string" } });
        let paths = [
            (PATH.to_owned(), describe("Kubernetes_Authorize", json!([]))),
            (
                format!("{PATH}/{{cluster}}"),
                describe("Kubernetes_AuthorizeInCluster", json!([name])),
            ),
        ];
        paths.into_iter().collect()
    }

    fn came_by(&self, _: &str) -> CameBy {
        CameBy {
            protocol: Protocol::Kubernetes,
            method: Some("authorize"),
        }
    }

    fn serves(&self, path: &str) -> bool {
        let rest = path.strip_prefix(PATH);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn open(&self, head: &Parts) -> Option<Response<Body>> {
        if head.method == Method::POST {
            return None;
        }
        let code = StatusCode::METHOD_NOT_ALLOWED;
        let mut response = failed(code, "a review is sent with POST");
        let allowed = HeaderValue::from_static("POST");
        response.headers_mut().insert(ALLOW, allowed);
        Some(response)
    }

    /// An API server says in the query for how long it waits.
    fn arrange(&self, request: &mut Request<Body>) {
        let timeout = HeaderName::from_static(TIMEOUT);
        let asked = request.uri().query().and_then(seconds);
        if let Some(asked) = asked.filter(|_| !request.headers().contains_key(&timeout))
            && let Ok(asked) = HeaderValue::try_from(format!("{asked}S"))
        {
            request.headers_mut().insert(timeout, asked);
        }
    }

    fn answer(
        self: Arc<Self>,
        request: Request<Body>,
    ) -> BoxFuture<'static, Result<Response<Body>, Status>> {
        Box::pin(async move { self.reviewed(request).await })
    }

    fn failure(&self, status: &Status) -> Response<Body> {
        failed(http_code(status.code()), status.message())
    }
}

/// The seconds of `timeout=30s`; none for what is written otherwise, which is for the API server to keep.
fn seconds(query: &str) -> Option<u32> {
    let mut members = query.split('&');
    let timeout = members.find_map(|member| member.strip_prefix("timeout="))?;
    let seconds = timeout.strip_suffix('s')?.parse().ok()?;
    (1..=3_600).contains(&seconds).then_some(seconds)
}

/// A failure, as Kubernetes has it.
fn failed(code: StatusCode, message: &str) -> Response<Body> {
    let reason = match code.as_u16() {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        409 => "Conflict",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let mut told = json!({
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code.as_u16(),
    });
    let is_for_now = matches!(
        code,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    );
    if is_for_now && let Value::Object(told) = &mut told {
        let details = json!({ "retryAfterSeconds": RETRY_AFTER_SECONDS });
        told.insert("details".to_owned(), details);
    }
    let mut response = body::write(code, &told);
    if is_for_now {
        let after = HeaderValue::from(RETRY_AFTER_SECONDS);
        response.headers_mut().insert(RETRY_AFTER, after);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_whole_seconds() {
        assert_eq!(seconds("timeout=30s"), Some(30));
        assert_eq!(seconds("a=b&timeout=1s&c"), Some(1));
        for other in [
            "",
            "timeout=",
            "timeout=1m30s",
            "timeout=0s",
            "timeout=-1s",
            "timeout=9999s",
            "xtimeout=1s",
        ] {
            assert_eq!(seconds(other), None, "{other}");
        }
    }

    #[test]
    fn what_may_be_over_soon_says_when_to_ask_again() {
        for (code, is_for_now) in [
            (400, false),
            (403, false),
            (429, true),
            (500, false),
            (503, true),
        ] {
            let response = failed(StatusCode::from_u16(code).unwrap(), "told");
            assert_eq!(
                response.headers().contains_key(RETRY_AFTER),
                is_for_now,
                "{code}"
            );
        }
    }

    #[test]
    fn a_path_names_a_cluster_or_the_one_that_is_called_main() {
        let name = |path: &str| cluster(path).map(|cluster| cluster.as_str().to_owned());
        assert_eq!(name(PATH).unwrap(), "main");
        assert_eq!(name("/kubernetes/v1/authorize/eu-1").unwrap(), "eu-1");
        for bad in ["/", "/a/b", "/a.b", "/%41"] {
            assert_eq!(
                name(&format!("{PATH}{bad}")).unwrap_err().code(),
                Code::NotFound
            );
        }
    }
}
