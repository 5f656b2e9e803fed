//! The audit log over HTTP as C2SP's tlog-tiles has it, below `/audit/`: `checkpoint` and `tile/LEVEL/NUMBER`, for tools that follow such logs.
//!
//! As everything, it takes a caller who may. Entries are not served as tiles: theirs may be larger than such tiles can hold, and parts of
//! them can be erased. What the leaves are made of is read with `ReadAuditEntries`.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response};
use identity::Caller;
use ops::{Node, audit};
use serde_json::{Map, Value, json};
use store::audit::tree::parse_tile_path;
use tonic::Status;
use tonic::body::Body;

use crate::error::{http_code, status};
use crate::http_api::{HttpApi, body};

const PREFIX: &str = "/audit/";
const CHECKPOINT: &str = "/audit/checkpoint";

/// The API.
#[derive(Debug)]
pub(crate) struct AuditTiles {
    node: Arc<Node>,
}

impl AuditTiles {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    async fn read(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let (head, _) = request.into_parts();
        let caller = head.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| Status::unauthenticated("no caller"))?;
        if head.method != Method::GET {
            return Err(Status::unimplemented("the audit log is read with GET"));
        }
        let path = head.uri.path();
        if path == CHECKPOINT {
            let state = audit::state(&self.node, &caller).await.map_err(status)?;
            let kept = state.checkpoint;
            let kept =
                kept.ok_or_else(|| Status::not_found("there is no signed checkpoint yet"))?;
            return Ok(answer("text/plain; charset=utf-8", kept.note.into_bytes()));
        }
        let tile = path.strip_prefix("/audit/tile/").and_then(parse_tile_path);
        let Some(tile) = tile else {
            // Whoever may not read the log is told no more of its paths than of the log.
            audit::state(&self.node, &caller).await.map_err(status)?;
            let message = "there are `/audit/checkpoint` and `/audit/tile/LEVEL/NUMBER[.p/WIDTH]`";
            return Err(Status::not_found(message));
        };
        let hashes = audit::tile(&self.node, &caller, tile)
            .await
            .map_err(status)?;
        let bytes = hashes.iter().flat_map(|hash| hash.0).collect();
        Ok(answer("application/octet-stream", bytes))
    }
}

fn answer(content_type: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::from(bytes)));
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

impl HttpApi for AuditTiles {
    fn paths(&self) -> Map<String, Value> {
        let path = |name: &str, summary: &str, parameters: Value| {
            json!({ "get": {
                "summary": summary,
                "operationId": name,
                "tags": ["audit"],
                "parameters": parameters,
                "responses": { "200": { "description": summary } },
            } })
        };
        let mut paths = Map::new();
        let checkpoint = path(
            "auditCheckpoint",
            "The newest signed checkpoint of the audit log",
            json!([]),
        );
        let parameter = |name: &str, schema: Value| json!({ "name": name, "in": "path", "required": true, "schema": schema });
        let parameters = json!([
            parameter("level", json!({ "type": "integer", "minimum": 0 })),
            parameter("number", json!({ "type": "string" })),
        ]);
        let tile = path(
            "auditTile",
            "Hashes of the tree of the audit log",
            parameters,
        );
        paths.insert(CHECKPOINT.to_owned(), checkpoint);
        paths.insert("/audit/tile/{level}/{number}".to_owned(), tile);
        paths
    }

    fn serves(&self, path: &str) -> bool {
        path.starts_with(PREFIX)
    }

    fn answer(
        self: Arc<Self>,
        request: Request<Body>,
    ) -> BoxFuture<'static, Result<Response<Body>, Status>> {
        Box::pin(async move { self.read(request).await })
    }

    fn failure(&self, failed: &Status) -> Response<Body> {
        let told = json!({ "error": failed.message() });
        body::write(http_code(failed.code()), &told)
    }
}
