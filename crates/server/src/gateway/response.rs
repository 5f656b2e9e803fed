//! The answer of a call: frames of gRPC in, JSON out, as they come.

use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _};
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use prost::bytes::{Buf as _, Bytes, BytesMut};
use prost_reflect::{DynamicMessage, MethodDescriptor};
use serde::Serialize;
use tonic::body::Body;
use tonic::{Code, Status};

use super::errors::Errors;
use super::json::Json;
use super::request::PREFIX_BYTES;
use crate::metadata::REQUEST_ID;

/// How long the status of a stream waits for its first message, which may be a failure.
const HEAD_WAIT: Duration = Duration::from_secs(1);

/// The HTTP answer that `answer` stands for.
pub(super) async fn transcoded(
    answer: Response<Body>,
    method: &MethodDescriptor,
    errors: &Errors,
) -> Response<Body> {
    let (head, body) = answer.into_parts();
    let messages = Messages {
        body,
        buffer: BytesMut::new(),
        trailers: Status::from_header_map(&head.headers),
        method: method.clone(),
    };
    let mut response = if method.is_server_streaming() {
        streamed(messages, errors).await
    } else {
        single(messages, errors).await
    };
    for name in [REQUEST_ID, WWW_AUTHENTICATE] {
        if let Some(value) = head.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

async fn single(mut messages: Messages, errors: &Errors) -> Response<Body> {
    let answered = async {
        let message = messages.next().await?;
        let message = message.ok_or_else(|| Status::internal("the call has no answer"))?;
        // The status comes after the message.
        messages.next().await?;
        encoded(&Json(&message))
    };
    match answered.await {
        Ok(text) => json(StatusCode::OK, text),
        Err(status) => errors.response(&status),
    }
}

async fn streamed(mut messages: Messages, errors: &Errors) -> Response<Body> {
    let first = match tokio::time::timeout(HEAD_WAIT, messages.next()).await {
        Ok(Err(status)) => return errors.of_stream(&status),
        Ok(Ok(None)) => return json(StatusCode::OK, Vec::new()),
        Ok(Ok(Some(message))) => Some(message),
        Err(_) => None,
    };
    let lines =
        lines(messages, first, errors.clone()).map(|line| Ok::<_, Status>(Frame::data(line)));
    let mut response = Response::new(Body::new(StreamBody::new(lines)));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A line for each message, and one for the failure that ends a stream, if one does.
fn lines(
    messages: Messages,
    first: Option<DynamicMessage>,
    errors: Errors,
) -> impl Stream<Item = Bytes> {
    #[derive(Serialize)]
    struct Line<'a> {
        result: Json<'a>,
    }
    stream::unfold((Some(messages), first), move |(messages, first)| {
        let errors = errors.clone();
        async move {
            let mut messages = messages?;
            let next = match first {
                Some(message) => Ok(Some(message)),
                None => messages.next().await,
            };
            let line = next.and_then(|message| match message {
                Some(message) => encoded(&Line {
                    result: Json(&message),
                })
                .map(Some),
                None => Ok(None),
            });
            match line {
                Ok(line) => {
                    let mut line = line?;
                    line.push(b'\n');
                    Some((Bytes::from(line), (Some(messages), None)))
                }
                Err(status) => Some((errors.line(&status).into(), (None, None))),
            }
        }
    })
}

fn encoded(value: &impl Serialize) -> Result<Vec<u8>, Status> {
    serde_json::to_vec(value)
        .map_err(|error| Status::internal(format!("the answer cannot be written as JSON: {error}")))
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer of JSON.
pub(super) fn json(code: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(text.into())));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// The messages of an answer, and the status after them.
struct Messages {
    body: Body,
    buffer: BytesMut,
    /// The status, once it came.
    trailers: Option<Status>,
    method: MethodDescriptor,
}

impl Messages {
    /// The next message; none once the call ended well. May be dropped and called again.
    async fn next(&mut self) -> Result<Option<DynamicMessage>, Status> {
        loop {
            if let Some(message) = self.whole()? {
                return DynamicMessage::decode(self.method.output(), message)
                    .map(Some)
                    .map_err(|error| {
                        Status::internal(format!("the answer is not whole: {error}"))
                    });
            }
            if let Some(status) = &self.trailers {
                if status.code() == Code::Ok {
                    return Ok(None);
                }
                return Err(status.clone());
            }
            let frame = self.body.frame().await.transpose()?;
            let frame = frame.ok_or_else(|| Status::internal("the call ended without a status"))?;
            match frame.into_data() {
                Ok(data) => self.buffer.extend_from_slice(&data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_else(|_| HeaderMap::new());
                    self.trailers = Status::from_header_map(&trailers);
                }
            }
        }
    }

    /// The next message of what is there, if it is whole. None is compressed, since that was not offered.
    fn whole(&mut self) -> Result<Option<Bytes>, Status> {
        let Some(mut prefix) = self.buffer.get(..PREFIX_BYTES) else {
            return Ok(None);
        };
        if prefix.get_u8() != 0 {
            return Err(Status::internal("the answer is compressed"));
        }
        let length = prefix.get_u32() as usize;
        if self.buffer.len().saturating_sub(PREFIX_BYTES) < length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX_BYTES);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prost::Message as _;
    use remit_proto::authzed::api::v1::{Cursor, ReadRelationshipsResponse};

    use super::*;
    use crate::gateway::routes::descriptors;

    const READ: &str = "authzed.api.v1.PermissionsService";

    fn method_and_errors() -> (MethodDescriptor, Errors) {
        let pool = descriptors().unwrap();
        let mut methods = pool
            .get_service_by_name(READ)
            .unwrap()
            .methods()
            .collect::<Vec<_>>();
        methods.retain(|method| method.name() == "ReadRelationships");
        (methods.remove(0), Errors::new(&pool).unwrap())
    }

    fn framed(cursor: &str) -> Vec<u8> {
        let message = ReadRelationshipsResponse {
            after_result_cursor: Some(Cursor {
                token: cursor.to_owned(),
            }),
            ..Default::default()
        };
        let mut frame = vec![0, 0, 0, 0, u8::try_from(message.encoded_len()).unwrap()];
        frame.extend(message.encode_to_vec());
        frame
    }

    fn answer(frames: impl Stream<Item = Frame<Bytes>> + Send + 'static) -> Response<Body> {
        Response::new(Body::new(StreamBody::new(frames.map(Ok::<_, Status>))))
    }

    async fn text(response: Response<Body>) -> String {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_stream_that_fails_ends_with_its_failure() {
        let (method, errors) = method_and_errors();
        let mut trailers = HeaderMap::new();
        Status::aborted("enough").add_header(&mut trailers).unwrap();
        let bytes = [framed("one"), framed("two")].concat();
        // Messages begin and end anywhere in the frames of the transport.
        for size in [1, 4, bytes.len()] {
            let parts = bytes
                .chunks(size)
                .map(|part| Frame::data(Bytes::copy_from_slice(part)));
            let mut frames: Vec<_> = parts.collect();
            frames.push(Frame::trailers(trailers.clone()));
            let response = transcoded(answer(stream::iter(frames)), &method, &errors).await;
            assert_eq!(response.status(), 200);
            let line = |cursor: &str| {
                format!(
                    r#"{{"result":{{"readAt":null,"relationship":null,"afterResultCursor":{{"token":"{cursor}"}}}}}}"#
                )
            };
            let error = r#"{"error":{"code":10,"message":"enough","details":[]}}"#;
            assert_eq!(
                text(response).await,
                format!("{}\n{}\n{error}\n", line("one"), line("two"))
            );
        }
        let at_once = answer(stream::iter([Frame::trailers(trailers)]));
        let response = transcoded(at_once, &method, &errors).await;
        assert_eq!(response.status(), 409);
        let broken = answer(stream::iter([Frame::data(Bytes::from(framed("one")))]));
        let told = text(transcoded(broken, &method, &errors).await).await;
        assert!(told.ends_with("{\"error\":{\"code\":13,\"message\":\"the call ended without a status\",\"details\":[]}}\n"), "{told}");
    }

    #[tokio::test]
    async fn a_message_is_passed_on_before_the_next_and_a_reader_that_leaves_ends_the_call() {
        let (method, errors) = method_and_errors();
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let frames = stream::iter([Frame::data(Bytes::from(framed("one")))]).chain(
            stream::poll_fn(move |_| {
                let _held = &held;
                std::task::Poll::Pending
            }),
        );
        let mut response = transcoded(answer(frames), &method, &errors).await;
        let first = response.body_mut().frame().await.unwrap().unwrap();
        assert!(first.into_data().unwrap().starts_with(b"{\"result\""));
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(response);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
