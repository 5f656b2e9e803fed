//! Bodies of requests, which have to come: not drop by drop, and not with a pause that never ends.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::Frame;
use prost::bytes::Bytes;
use tokio::time::{Instant, Sleep};
use tonic::Status;

/// The bytes a second that a body has to come with on the whole, once it has had its time to begin.
const BYTES_PER_SECOND_MIN: u64 = 1_024;

/// A body that breaks when its sender goes away or takes too long, and is counted.
#[derive(Debug)]
pub(crate) struct Incoming<B> {
    body: B,
    stall_max: Duration,
    bytes: Arc<AtomicU64>,
    /// Since it was first waited for.
    began: Option<Instant>,
    waits: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

/// How many bytes of a request's body have come.
#[derive(Debug, Clone, Default)]
pub(crate) struct BodyBytes(Arc<AtomicU64>);

impl BodyBytes {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<B> Incoming<B> {
    /// `body`, which pauses for `stall_max` at most.
    pub(crate) fn new(body: B, stall_max: Duration, counted: &BodyBytes) -> Self {
        Self {
            body,
            stall_max,
            bytes: Arc::clone(&counted.0),
            began: None,
            waits: None,
            is_over: false,
        }
    }

    /// Until when the next bytes have to come.
    fn until(&mut self) -> Instant {
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        let pace = Duration::from_secs(self.bytes.load(Ordering::Relaxed) / BYTES_PER_SECOND_MIN);
        let allowed = self.stall_max.saturating_add(pace);
        let on_the_whole = began.checked_add(allowed).unwrap_or(now);
        let pause = now.checked_add(self.stall_max).unwrap_or(now);
        on_the_whole.min(pause)
    }
}

impl<B> http_body::Body for Incoming<B>
where
    B: http_body::Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    /// A failure with the code Cancelled would pass for the end of the body, and a part of an import for the whole.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.waits = None;
            let cut = |error| Status::unavailable(format!("the request was cut: {error}"));
            let frame = frame.map(|frame| frame.map_err(cut));
            if let Some(bytes) = frame.as_ref().and_then(|it| it.as_ref().ok()?.data_ref()) {
                self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            return Poll::Ready(frame);
        }
        if self.waits.is_none() {
            let until = self.until();
            self.waits = Some(Box::pin(tokio::time::sleep_until(until)));
        }
        if let Some(waits) = &mut self.waits {
            ready!(waits.as_mut().poll(context));
        }
        self.is_over = true;
        let message = format!(
            "the body of the request took too long: no pause may be longer than {} s, and it has to come with {} bytes a second",
            self.stall_max.as_secs(),
            BYTES_PER_SECOND_MIN
        );
        Poll::Ready(Some(Err(Status::deadline_exceeded(message))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::sync::mpsc;

    use super::*;

    /// A body whose frames are sent by the test.
    struct Sent(mpsc::Receiver<Bytes>);

    impl http_body::Body for Sent {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
            self.0
                .poll_recv(context)
                .map(|it| it.map(|it| Ok(Frame::data(it))))
        }
    }

    /// What is taken of a frame of `size` bytes each `pause`, for as long as it is.
    async fn taken(size: usize, pause: Duration, stall_max: Duration) -> (u64, Result<(), Status>) {
        let (sender, receiver) = mpsc::channel(1);
        let counted = BodyBytes::default();
        let mut body = Incoming::new(Sent(receiver), stall_max, &counted);
        let sending = tokio::spawn(async move {
            for _ in 0..200 {
                if sender.send(Bytes::from(vec![0; size])).await.is_err() {
                    break;
                }
                tokio::time::sleep(pause).await;
            }
        });
        let ended = loop {
            match body.frame().await {
                Some(Ok(_)) => {}
                Some(Err(status)) => break Err(status),
                None => break Ok(()),
            }
        };
        sending.abort();
        (counted.get(), ended)
    }

    #[tokio::test]
    async fn a_body_that_drips_is_cut_and_one_that_comes_is_not() {
        let (minute, short) = (Duration::from_secs(60), Duration::from_millis(50));
        let (bytes, ended) = taken(64 << 10, Duration::ZERO, minute).await;
        ended.unwrap();
        assert_eq!(bytes, 200 * (64 << 10));
        // A pause that is too long, and a drip whose pauses are not.
        for (pause, stall_max) in [(minute, short), (Duration::from_millis(10), short * 4)] {
            let (bytes, ended) = taken(1, pause, stall_max).await;
            let status = ended.unwrap_err();
            assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
            assert!((1..200).contains(&bytes), "{bytes}");
        }
    }
}
