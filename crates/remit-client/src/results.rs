//! Answers of many results, one after the other: they go on from their cursor where a connection was lost, without repeating
//! or losing a result.
//!
//! A cursor names the snapshot of the first result, so that what goes on is the same answer, on this server or another.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::Stream;
use remit_proto::authzed::api::v1 as wire;
use tonic::codec::Streaming;
use tonic::{Request, Response, Status};

use crate::call::{Core, Manner, Tally, deadline_after};
use crate::error::{Error, ErrorKind};
use crate::link::{self, Link, Proof};
use crate::options::Options;
use crate::retry::Repeat;

/// Losses of the connection in a row, without a result in between, after which an answer is given up.
const LOSSES_MAX: u32 = 4;

/// A question with many results, as it is asked on the wire: look-ups, and reads of relationships.
pub trait Question: Clone + Send + Sync + 'static {
    /// What the server sends.
    type Message: Send + 'static;
    /// What the caller gets.
    type Item: Send + 'static;

    /// Asks, from the cursor on if there is one.
    fn ask(
        link: Link,
        request: Request<Self>,
    ) -> impl Future<Output = Result<Response<Streaming<Self::Message>>, Status>> + Send;

    /// Goes on after the message of that cursor. The limit stays as it was: a cursor is bound to it.
    fn go_on(&mut self, after: wire::Cursor);

    /// How many results it is to have at most; 0 for all.
    fn limit(&self) -> u32;

    /// Where the answer goes on after the message.
    fn cursor(message: &mut Self::Message) -> Option<wire::Cursor>;

    /// The result, and whether it counts towards the limit.
    ///
    /// # Errors
    /// [`Error`] for a message that makes no sense.
    fn item(message: Self::Message) -> Result<(Self::Item, bool), Error>;
}

/// The results of a question, as they come.
pub struct Results<Q: Question> {
    core: Arc<Core>,
    options: Options,
    question: Q,
    answer: Option<Answer<Q::Message>>,
    counted: u32,
    losses: u32,
    has_begun: bool,
    /// Whether the last message said where to go on.
    is_resumable: bool,
    is_over: bool,
}

/// An answer that comes.
struct Answer<M> {
    messages: Streaming<M>,
    /// The whole answer is in its headers.
    is_whole: bool,
}

impl<Q: Question> Results<Q> {
    pub(crate) fn new(core: Arc<Core>, options: Options, question: Q) -> Self {
        Self {
            core,
            options,
            question,
            answer: None,
            counted: 0,
            losses: 0,
            has_begun: false,
            is_resumable: true,
            is_over: false,
        }
    }

    /// The next result; nothing after the last. It may be dropped while it waits: the next call goes on where it was.
    ///
    /// # Errors
    /// [`Error`] if there is no way to go on; results that came before are part of the answer all the same, but not all of it.
    pub async fn next(&mut self) -> Result<Option<Q::Item>, Error> {
        let next = self.advance().await;
        match &next {
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => {
                self.is_over = true;
                self.answer = None;
            }
        }
        next
    }

    /// All results, if they are no more than that.
    ///
    /// # Errors
    /// [`Error`] as [`Self::next`]; [`ErrorKind::Overloaded`] if there are more.
    pub async fn collect(mut self, count_max: usize) -> Result<Vec<Q::Item>, Error> {
        let mut all = Vec::new();
        while let Some(item) = self.next().await? {
            if all.len() == count_max {
                let message =
                    format!("there are more than {count_max} results; take them one by one");
                return Err(Error::new(ErrorKind::Overloaded, message));
            }
            all.push(item);
        }
        Ok(all)
    }

    /// The results as a stream, which ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Q::Item, Error>> + Send {
        futures_util::stream::unfold(self, |mut results| async move {
            let next = results.next().await.transpose()?;
            Some((next, results))
        })
    }

    async fn advance(&mut self) -> Result<Option<Q::Item>, Error> {
        let limit = self.question.limit();
        loop {
            if self.is_over || (limit > 0 && self.counted >= limit) {
                return Ok(None);
            }
            let wait = self.options.deadline.unwrap_or(self.core.deadlines.result);
            // It stays in its place while it is waited for: whoever waits may give up, and ask on.
            let answer = match &mut self.answer {
                Some(answer) => answer,
                None => {
                    let opened = self.open().await?;
                    self.answer.insert(opened)
                }
            };
            let came = tokio::time::timeout(wait, answer.next()).await;
            let status = match came {
                Ok(Ok(Some(message))) => return self.take(message).map(Some),
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(status)) => status,
                Err(_) => {
                    let message = "no result came before the deadline";
                    return Err(Error::new(ErrorKind::DeadlineExceeded, message));
                }
            };
            self.answer = None;
            self.note_loss(status).await?;
        }
    }

    fn take(&mut self, mut message: Q::Message) -> Result<Q::Item, Error> {
        let cursor = Q::cursor(&mut message);
        let (item, counts) = Q::item(message)?;
        self.has_begun = true;
        self.losses = 0;
        self.counted += u32::from(counts);
        self.is_resumable = cursor.is_some();
        if let Some(cursor) = cursor {
            self.question.go_on(cursor);
        }
        Ok(item)
    }

    async fn open(&mut self) -> Result<Answer<Q::Message>, Error> {
        if self.has_begun && !self.is_resumable {
            // Whoever waited gave up while its failure was looked into.
            let message = "the answer was lost, and did not say where it goes on; ask again";
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        let wait = self.options.deadline.unwrap_or(self.core.deadlines.result);
        let manner = Manner {
            repeat: Repeat::Harmless,
            is_hedged: false,
            is_write: false,
            is_stream: true,
            deadline: deadline_after(wait),
        };
        let answer = self
            .core
            .call(manner, &self.options, &self.question, Q::ask)
            .await?;
        Ok(Answer {
            is_whole: answer.metadata().contains_key("grpc-status"),
            messages: answer.into_inner(),
        })
    }

    /// Makes ready to go on after a failure.
    ///
    /// # Errors
    /// The failure, if it cannot be gone on after.
    async fn note_loss(&mut self, status: Status) -> Result<(), Error> {
        let is_lost = match Proof::of(&status) {
            Proof::NotSent | Proof::Unavailable | Proof::Lost => true,
            // The credential may have ended with which the answer began.
            Proof::Unauthenticated => self.core.reach.credentials.renew().await,
            Proof::Refused | Proof::Broken | Proof::Answered => false,
        };
        self.losses += 1;
        let can_go_on = self.is_resumable && self.losses < LOSSES_MAX;
        if !is_lost || !can_go_on || !self.core.budget.spend() {
            return Err(link::error(status));
        }
        if self.has_begun {
            Tally::count(&self.core.tally.resumptions);
        }
        Ok(())
    }
}

impl<M> Answer<M> {
    /// The next message. An answer that ends without a status was cut.
    async fn next(&mut self) -> Result<Option<M>, Status> {
        if let Some(message) = self.messages.message().await? {
            return Ok(Some(message));
        }
        match self.is_whole || self.messages.trailers().await?.is_some() {
            true => Ok(None),
            false => Err(link::cut()),
        }
    }
}

impl<Q: Question> fmt::Debug for Results<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results")
            .field("has_begun", &self.has_begun)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}
