//! The OpenID AuthZEN Authorization API 1.0: evaluations, searches and discovery.
//!
//! Types are definitions, actions are permissions, ids are any text ([`model::ObjectId::of_text`]). Properties and context are
//! values for caveats ([`entities`]). A condition that cannot be decided is a deny that names what is missing. What a caller
//! may not see is answered as what is not there: a deny, or no result.
//!
//! SOURCE: [`STANDARD`], and its certification scenario.

mod consistency;
mod discovery;
mod entities;
mod evaluation;
mod page;
mod search;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::header::ALLOW;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use identity::Caller;
use model::Token;
use ops::{Consistency, Node};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tonic::Status;
use tonic::body::Body;

use crate::error::http_code;
use crate::http_api::{HttpApi, body};
use crate::observe::{CameBy, Protocol};
use discovery::Discovery;
use entities::Request as Entities;

pub use discovery::{PublicUrl, PublicUrlError};

const STANDARD: &str = "https://openid.net/specs/authorization-api-1_0.html";
/// The token of the snapshot that an answer holds for.
const TOKEN: HeaderName = HeaderName::from_static("remit-token");

/// The API.
#[derive(Debug)]
pub(crate) struct AuthZen {
    node: Arc<Node>,
    discovery: Discovery,
    request_bytes_max: usize,
}

/// What is asked, by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Evaluation,
    Evaluations,
    SearchSubject,
    SearchResource,
    SearchAction,
}

impl Operation {
    const ALL: [Self; 5] = [
        Self::Evaluation,
        Self::Evaluations,
        Self::SearchSubject,
        Self::SearchResource,
        Self::SearchAction,
    ];

    fn path(self) -> &'static str {
        match self {
            Self::Evaluation => "/access/v1/evaluation",
            Self::Evaluations => "/access/v1/evaluations",
            Self::SearchSubject => "/access/v1/search/subject",
            Self::SearchResource => "/access/v1/search/resource",
            Self::SearchAction => "/access/v1/search/action",
        }
    }

    /// Its name among those of all methods.
    fn name(self) -> &'static str {
        let path = self.path();
        path.strip_prefix("/access/v1/").unwrap_or(path)
    }

    /// Its endpoint's name in the metadata.
    fn endpoint(self) -> &'static str {
        match self {
            Self::Evaluation => "access_evaluation_endpoint",
            Self::Evaluations => "access_evaluations_endpoint",
            Self::SearchSubject => "search_subject_endpoint",
            Self::SearchResource => "search_resource_endpoint",
            Self::SearchAction => "search_action_endpoint",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Evaluation => "May this subject do this to that resource?",
            Self::Evaluations => "Many such questions, on one snapshot.",
            Self::SearchSubject => "Which subjects may do this to that resource?",
            Self::SearchResource => "To which resources may this subject do this?",
            Self::SearchAction => "What may this subject do to that resource?",
        }
    }
}

/// An answer, and the snapshot that it holds for; none if what it is about was not there on any.
struct Answer {
    body: Response<Body>,
    at: Option<Token>,
}

/// One request that was read.
struct Asked {
    caller: Caller,
    consistency: Consistency,
    entities: Entities,
}

impl Answer {
    fn new(body: &impl Serialize, at: Option<Token>) -> Self {
        Self {
            body: body::write(StatusCode::OK, body),
            at,
        }
    }
}

impl AuthZen {
    /// The API of a node that is called `public_url`, if it is told; it reads requests of `request_bytes_max` bytes.
    pub(crate) fn new(
        node: Arc<Node>,
        public_url: Option<PublicUrl>,
        request_bytes_max: usize,
    ) -> Self {
        Self {
            node,
            discovery: Discovery::new(public_url),
            request_bytes_max,
        }
    }

    fn operation(&self, path: &str) -> Option<Operation> {
        let path = self.discovery.below(path);
        let mut all = Operation::ALL.into_iter();
        all.find(|operation| operation.path() == path)
    }

    async fn asked(&self, request: Request<Body>) -> Result<(Operation, Asked), Status> {
        let (head, body) = request.into_parts();
        let operation = self.operation(head.uri.path());
        let operation = operation.ok_or_else(|| Status::not_found("Not Found"))?;
        let caller = head.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| Status::unauthenticated("no caller"))?;
        let consistency = consistency::of(&head.headers)?;
        let object = body::read_object(&head.headers, body, self.request_bytes_max).await?;
        let asked = Asked {
            caller,
            consistency,
            entities: Entities::new(object),
        };
        Ok((operation, asked))
    }

    async fn decided(&self, request: Request<Body>) -> Result<Answer, Status> {
        let (operation, asked) = self.asked(request).await?;
        match operation {
            Operation::Evaluation => evaluation::one(&self.node, &asked).await,
            Operation::Evaluations => evaluation::many(&self.node, &asked).await,
            Operation::SearchSubject => search::subjects(&self.node, &asked).await,
            Operation::SearchResource => search::resources(&self.node, &asked).await,
            Operation::SearchAction => search::actions(&self.node, &asked).await,
        }
    }
}

impl HttpApi for AuthZen {
    fn paths(&self) -> Map<String, Value> {
        let object = json!({ "application/json": { "schema": { "type": "object" } } });
        let message = json!({ "application/json": { "schema": { "type": "string" } } });
        let describe = |operation: Operation| {
            let described = json!({ "post": {
                "operationId": format!("AuthZen_{operation:?}"),
                "tags": ["AuthZEN"],
                "description": operation.description(),
                "externalDocs": { "url": STANDARD },
                "requestBody": { "required": true, "content": object },
                "responses": {
                    "200": { "description": "The answer.", "content": object },
                    "default": { "description": "The request failed.", "content": message },
                },
            }});
            (operation.path().to_owned(), described)
        };
        Operation::ALL.into_iter().map(describe).collect()
    }

    fn serves(&self, path: &str) -> bool {
        self.operation(path).is_some() || self.discovery.serves(path)
    }

    fn came_by(&self, path: &str) -> CameBy {
        CameBy {
            protocol: Protocol::AuthZen,
            method: Some(self.operation(path).map_or("discovery", |it| it.name())),
        }
    }

    fn open(&self, head: &Parts) -> Option<Response<Body>> {
        if self.operation(head.uri.path()).is_some() {
            return (head.method != Method::POST).then(|| wrong_method("POST"));
        }
        if head.method != Method::GET {
            return Some(wrong_method("GET"));
        }
        Some(self.discovery.answer(head))
    }

    fn answer(
        self: Arc<Self>,
        request: Request<Body>,
    ) -> BoxFuture<'static, Result<Response<Body>, Status>> {
        Box::pin(async move {
            let answer = self.decided(request).await?;
            let mut response = answer.body;
            let token = answer.at.map(|at| HeaderValue::try_from(at.to_string()));
            if let Some(Ok(token)) = token {
                response.headers_mut().insert(TOKEN, token);
            }
            Ok(response)
        })
    }

    /// An error of the API is a message in a string.
    fn failure(&self, status: &Status) -> Response<Body> {
        body::write(http_code(status.code()), &status.message())
    }
}

fn wrong_method(allowed: &'static str) -> Response<Body> {
    let told = format!("this is asked with {allowed}");
    let mut response = body::write(StatusCode::METHOD_NOT_ALLOWED, &told);
    let allowed = HeaderValue::from_static(allowed);
    response.headers_mut().insert(ALLOW, allowed);
    response
}
