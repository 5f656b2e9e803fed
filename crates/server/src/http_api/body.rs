//! The bodies of APIs over HTTP: one JSON object in, JSON out.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use model::json::{self, Object};
use prost::bytes::Bytes;
use serde::Serialize;
use tonic::Status;
use tonic::body::Body;

const JSON: &str = "application/json";

/// Reads the object that the body of a request is, of `bytes_max` bytes at most.
///
/// # Errors
/// InvalidArgument for a body of another type, one that is too large, and one that is no object in which each member is given
/// once.
pub(crate) async fn read_object(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<Object, Status> {
    if !is_json(headers) {
        let message = "the content type of a request is `application/json`";
        return Err(Status::invalid_argument(message));
    }
    let bytes = read(body, bytes_max).await?;
    json::object(&bytes)
        .map_err(|error| Status::invalid_argument(format!("the body of the request {error}")))
}

/// Reads a body of `bytes_max` bytes at most.
async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Status> {
    let collected = Limited::new(body, bytes_max).collect().await;
    let collected = collected.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return Status::invalid_argument(format!(
                "the body of the request has more than {bytes_max} bytes"
            ));
        }
        match error.downcast::<Status>() {
            Ok(status) => *status,
            Err(_) => Status::unavailable("the body of the request was cut"),
        }
    })?;
    Ok(collected.to_bytes())
}

/// Whether the content is said to be JSON, with whatever parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(CONTENT_TYPE).iter();
    let (Some(given), None) = (given.next(), given.next()) else {
        return false;
    };
    let essence = given.as_bytes().split(|byte| *byte == b';').next();
    essence.is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(JSON.as_bytes()))
}

/// An answer that is `value` as JSON.
pub(crate) fn write(code: StatusCode, value: &impl Serialize) -> Response<Body> {
    let Ok(text) = serde_json::to_vec(value) else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return response;
    };
    let mut response = Response::new(Body::new(Full::from(text)));
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_type(content_type: &str) -> HeaderMap {
        let value = content_type.parse().unwrap();
        [(CONTENT_TYPE, value)].into_iter().collect()
    }

    async fn reading(content_type: &str, body: &str) -> Result<Object, Status> {
        let body = Body::new(Full::from(body.to_owned()));
        read_object(&of_type(content_type), body, 16).await
    }

    #[tokio::test]
    async fn a_body_is_one_object_of_json() {
        for content_type in ["application/json", "Application/JSON ; charset=utf-8"] {
            assert!(reading(content_type, "{}").await.is_ok());
        }
        for content_type in [
            "text/plain",
            "application/jsonp",
            "text/plain; application/json",
        ] {
            let refused = reading(content_type, "{}").await.unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        }
        assert!(
            read_object(&HeaderMap::new(), Body::empty(), 16)
                .await
                .is_err()
        );
        for body in ["", "[]", "{", r#"{"a":1,"a":1}"#, "nul"] {
            let refused = reading(JSON, body).await.unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{body}");
        }
        let refused = reading(JSON, r#"{"a":"0123456789"}"#).await.unwrap_err();
        assert!(refused.message().contains("more than 16 bytes"));
    }
}
