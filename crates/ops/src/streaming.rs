//! What a call hands out bit by bit: a bounded channel, and the one error that may end it.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Kind};

/// Items as they come. Dropping it ends what makes them.
#[derive(Debug)]
pub struct Streaming<T> {
    items: mpsc::Receiver<T>,
    /// Why it ended before its end; gone once it was told.
    ended: Option<oneshot::Receiver<Error>>,
}

/// The side of whoever makes the items.
#[derive(Debug)]
pub(crate) struct Feeding<T> {
    items: mpsc::Sender<T>,
    end: oneshot::Sender<Error>,
    stall_max: Duration,
}

impl<T> Streaming<T> {
    /// A stream in which `waiting_max` items may wait for their reader, and each for `stall_max` until it may.
    pub(crate) fn new(waiting_max: usize, stall_max: Duration) -> (Feeding<T>, Self) {
        let (sender, items) = mpsc::channel(waiting_max);
        let (end, ended) = oneshot::channel();
        let feeding = Feeding {
            items: sender,
            end,
            stall_max,
        };
        let ended = Some(ended);
        (feeding, Self { items, ended })
    }

    /// The next item, or the one error that ends the stream early; nothing after it.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] for a reader that is too slow; what else ends it is told where it is made.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`Self::next`], for a stream.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        self.items.poll_recv(context).map(|item| match item {
            Some(item) => Some(Ok(item)),
            None => {
                let why = self.ended.take().map(|mut ended| ended.try_recv());
                why.and_then(Result::ok).map(Err)
            }
        })
    }
}

impl<T> Feeding<T> {
    /// Hands out an item, once its reader has room for it.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] if the reader takes too long, [`Kind::Cancelled`] if it is gone.
    pub(crate) async fn send(&self, item: T) -> Result<(), Error> {
        let taken = tokio::time::timeout(self.stall_max, self.items.send(item)).await;
        match taken {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Error::new(Kind::Cancelled, "the reader is gone")),
            Err(_) => {
                let message = format!(
                    "the reader did not take what waited for it within {} s",
                    self.stall_max.as_secs()
                );
                Err(Error::new(Kind::Overloaded, message))
            }
        }
    }

    /// Done when the reader is gone.
    pub(crate) async fn closed(&self) {
        self.items.closed().await;
    }

    /// Ends the stream before its end.
    pub(crate) fn fail(self, error: Error) {
        // Told before the channel closes; a reader that is gone needs no reason.
        let _is_told = self.end.send(error);
    }
}
