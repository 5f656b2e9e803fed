//! Requests of HTTP/1 that are answered without their bodies: what is left of one is read, or what comes next on its connection would be
//! taken for a request.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderValue;
use http::header::CONNECTION;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Limited};

use crate::calls::Answer;

/// What is read of a body that nobody wants, in bytes.
const UNREAD_BYTES_MAX: usize = 64 << 10;
/// How long it is waited for.
const UNREAD_WAIT_MAX: Duration = Duration::from_secs(1);

/// Where a body is left that nobody reads any more.
#[derive(Debug)]
pub(super) struct Unread<B>(Arc<Mutex<Option<B>>>);

/// A body that is left there by whoever lets go of it before its end.
#[derive(Debug)]
pub(super) struct Kept<B: Body> {
    body: Option<B>,
    left: Unread<B>,
}

impl<B: Body> Unread<B> {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// `body`, which comes here if it is not read.
    pub(super) fn keep(&self, body: B) -> Kept<B> {
        Kept {
            body: Some(body),
            left: Self(Arc::clone(&self.0)),
        }
    }

    fn left(&self) -> std::sync::MutexGuard<'_, Option<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Unread<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Reads what was left; whether that came to its end soon and was small.
    async fn is_read_to_its_end(&self) -> bool {
        let Some(body) = self.left().take() else {
            return true;
        };
        let read = Limited::new(body, UNREAD_BYTES_MAX).collect();
        let read = tokio::time::timeout(UNREAD_WAIT_MAX, read).await;
        matches!(read, Ok(Ok(_)))
    }

    /// `answer`, once the request was read to its end; else it is the last one on its connection, and says so.
    pub(super) fn before(self, answer: Answer) -> Answer {
        Box::pin(async move {
            let Ok(mut response) = answer.await;
            if !self.is_read_to_its_end().await {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            Ok(response)
        })
    }
}

impl<B: Body + Unpin> Body for Kept<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.as_ref().map(Body::size_hint);
        hint.unwrap_or_default()
    }
}

impl<B: Body> Drop for Kept<B> {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| !body.is_end_stream());
        *self.left.left() = left;
    }
}
