//! Asking the store for its head: those who ask while a question is in flight share the next one, never that one.
//!
//! An answer to a question that was put before a request arrived may be older than what the request's caller has seen
//! committed elsewhere, so it is of no use to it.

use std::sync::Arc;

use store::{Head, Store};
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Kind};
use crate::metrics::HeadCounts;

/// Requests that may wait for one answer.
const WAITING_MAX: usize = 65_536;

type Answer = Result<Head, Arc<store::StoreError>>;

/// The way to ask.
#[derive(Debug)]
pub(crate) struct HeadQuestions {
    sender: mpsc::Sender<oneshot::Sender<Answer>>,
}

impl HeadQuestions {
    pub(crate) fn start(store: Arc<dyn Store>, counts: HeadCounts) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(answer(store, receiver, counts));
        Self { sender }
    }

    /// The head of the store at some instant after the call.
    pub(crate) async fn ask(&self) -> Result<Head, Error> {
        let (sender, receiver) = oneshot::channel();
        self.sender.try_send(sender).map_err(|_| {
            Error::new(
                Kind::Overloaded,
                format!("over {WAITING_MAX} requests wait for the head of the store"),
            )
        })?;
        match receiver.await {
            Ok(Ok(head)) => Ok(head),
            Ok(Err(error)) => Err(Error::new(
                Kind::Unavailable,
                "the store cannot be asked for its head",
            )
            .caused_by(error)),
            Err(_) => Err(Error::new(Kind::Unavailable, "the server is shutting down")),
        }
    }
}

async fn answer(
    store: Arc<dyn Store>,
    mut receiver: mpsc::Receiver<oneshot::Sender<Answer>>,
    counts: HeadCounts,
) {
    let mut asking = Vec::new();
    while receiver.recv_many(&mut asking, WAITING_MAX).await > 0 {
        let head = store.head().await.map_err(Arc::new);
        counts.note(asking.len(), head.is_ok());
        for sender in asking.drain(..) {
            // Whoever no longer waits needs no answer.
            let _gone = sender.send(head.clone());
        }
    }
}
