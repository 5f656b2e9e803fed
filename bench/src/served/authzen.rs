//! Checks as AuthZEN evaluations: JSON over HTTP/1.1, a connection for each call under way, or over HTTP/2, where calls share them.

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Status, client::GrpcService as _};

use super::asking::Header;
use super::calls::item;
use crate::workload::Question;

const PATH: &str = "/access/v1/evaluation";

/// What carries an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Http1,
    Http2,
}

/// The client of one caller.
#[derive(Debug)]
pub(super) struct Client {
    address: String,
    header: Header,
    shared: Channel,
    own: Option<SendRequest<Full<Bytes>>>,
}

/// Evaluations that ask what `questions` ask.
pub(super) fn evaluations(questions: &[Question]) -> Vec<Bytes> {
    let evaluation = |question: &Question| {
        let item = item(question);
        let resource = item.resource.unwrap_or_default();
        let subject = item.subject.and_then(|it| it.object).unwrap_or_default();
        let context: Value = question.context.to_json().parse().unwrap_or_default();
        let mut body = json!({
            "subject": { "type": subject.object_type, "id": subject.object_id },
            "action": { "name": item.permission },
            "resource": { "type": resource.object_type, "id": resource.object_id },
        });
        if let Some(members) = body
            .as_object_mut()
            .filter(|_| !question.context.is_empty())
        {
            members.insert("context".to_owned(), context);
        }
        Bytes::from(body.to_string())
    };
    questions.iter().map(evaluation).collect()
}

impl Client {
    pub(super) fn new(address: String, header: Header, shared: Channel) -> Self {
        Self {
            address,
            header,
            shared,
            own: None,
        }
    }

    /// Asks for one evaluation, which has to be a decision.
    pub(super) async fn evaluate(&mut self, carrier: Carrier, body: Bytes) -> Result<(), Status> {
        let failed = |error: hyper::Error| Status::unavailable(error.to_string());
        let (code, text) = match carrier {
            Carrier::Http1 => {
                let request = self.request(PATH.to_owned(), Full::new(body))?;
                let own = self.own().await?;
                own.ready().await.map_err(failed)?;
                let answer = own.send_request(request).await.map_err(failed)?;
                let code = answer.status();
                (
                    code,
                    answer
                        .into_body()
                        .collect()
                        .await
                        .map_err(failed)?
                        .to_bytes(),
                )
            }
            Carrier::Http2 => {
                let url = format!("http://{}{PATH}", self.address);
                let request = self.request(url, Body::new(Full::new(body)))?;
                let lost = |error: tonic::transport::Error| Status::unavailable(error.to_string());
                std::future::poll_fn(|context| self.shared.poll_ready(context))
                    .await
                    .map_err(lost)?;
                let answer = self.shared.call(request).await.map_err(lost)?;
                let code = answer.status();
                (code, answer.into_body().collect().await?.to_bytes())
            }
        };
        if code != StatusCode::OK || !text.starts_with(b"{\"decision\":") {
            let told = String::from_utf8_lossy(&text);
            return Err(Status::unknown(format!("{code}: {told}")));
        }
        Ok(())
    }

    fn request<B>(&self, url: String, body: B) -> Result<Request<B>, Status> {
        let mut request = Request::post(url).header(CONTENT_TYPE, "application/json");
        request = request.header(HOST, &self.address);
        if let Some(header) = self.header.as_str() {
            request = request.header(AUTHORIZATION, header);
        }
        request
            .body(body)
            .map_err(|error| Status::internal(error.to_string()))
    }

    async fn own(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, Status> {
        let lost = |error: &dyn std::error::Error| Status::unavailable(error.to_string());
        if self.own.as_ref().is_none_or(SendRequest::is_closed) {
            let stream = TcpStream::connect(&self.address)
                .await
                .map_err(|error| lost(&error))?;
            stream.set_nodelay(true).map_err(|error| lost(&error))?;
            let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
            let (sender, connection) = shaken.map_err(|error| lost(&error))?;
            tokio::spawn(connection);
            self.own = Some(sender);
        }
        self.own
            .as_mut()
            .ok_or_else(|| Status::internal("no connection"))
    }
}
