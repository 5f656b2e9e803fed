//! One call: its attempts, one after the other and perhaps two beside each other, until its deadline.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};

use crate::endpoints::Target;
use crate::error::{Error, ErrorKind};
use crate::hedge::Hedging;
use crate::link::{self, Link, Proof, Reach};
use crate::options::Options;
use crate::retry::{self, Budget, Next, Repeat, Retry};
use crate::trace::Provider;

/// What all calls of a client share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) reach: Arc<Reach>,
    pub(crate) deadlines: Deadlines,
    pub(crate) retry: Retry,
    pub(crate) budget: Budget,
    pub(crate) hedging: Option<Hedging>,
    pub(crate) tally: Tally,
}

/// How long calls may take, all of their attempts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// A check.
    pub check: Duration,
    /// A write or a deletion.
    pub write: Duration,
    /// A look-up or a read: until its first result, and from each to the next.
    pub result: Duration,
}

/// What a client has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Calls, whatever became of them; a batch is one.
    pub calls: u64,
    /// Attempts that reached a server after another had.
    pub retries: u64,
    /// Calls that failed because the budget for retries was spent.
    pub retries_refused: u64,
    /// Second attempts beside a first that took long.
    pub hedges: u64,
    /// Second attempts that answered first.
    pub hedges_won: u64,
    /// Calls that asked for several checks at once.
    pub batches: u64,
    /// Checks that went in those.
    pub checks_batched: u64,
    /// Times that a look-up or a read went on after its connection was lost.
    pub resumptions: u64,
}

/// The same, as it is counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) calls: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) retries_refused: AtomicU64,
    pub(crate) hedges: AtomicU64,
    pub(crate) hedges_won: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) checks_batched: AtomicU64,
    pub(crate) resumptions: AtomicU64,
}

/// What kind of call it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) repeat: Repeat,
    pub(crate) is_hedged: bool,
    /// Whether it changes something, be it once only.
    pub(crate) is_write: bool,
    /// Whether the answer is a stream, whose deadline is not that of the call.
    pub(crate) is_stream: bool,
    pub(crate) deadline: Instant,
}

/// What became of the attempts so far, for when the deadline cuts the next.
#[derive(Debug, Default)]
struct Trail {
    last: Option<Status>,
    /// Where the attempt goes that has no answer yet.
    in_flight: Option<Target>,
    /// Attempts that reached a server.
    sent: u32,
    is_renewed: bool,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            check: Duration::from_secs(1),
            write: Duration::from_secs(5),
            result: Duration::from_secs(10),
        }
    }
}

impl Tally {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            calls: of(&self.calls),
            retries: of(&self.retries),
            retries_refused: of(&self.retries_refused),
            hedges: of(&self.hedges),
            hedges_won: of(&self.hedges_won),
            batches: of(&self.batches),
            checks_batched: of(&self.checks_batched),
            resumptions: of(&self.resumptions),
        }
    }
}

/// The instant after that time; one far away where no clock reaches it.
pub(crate) fn deadline_after(time: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now + FAR)
}

impl Core {
    /// What a call says about itself, with the trace that it is part of.
    pub(crate) fn traced(&self, mut options: Options) -> Options {
        if options.traceparent.is_none() {
            let provider = self.reach.traces.as_ref();
            options.traceparent = provider.and_then(Provider::ask);
        }
        options
    }

    /// Makes one call with `send`, as often as `manner` and what fails allow.
    pub(crate) async fn call<Q, A, F, Sent>(
        &self,
        manner: Manner,
        options: &Options,
        message: &Q,
        send: F,
    ) -> Result<Response<A>, Error>
    where
        Q: Clone,
        F: Fn(Link, Request<Q>) -> Sent,
        Sent: Future<Output = Result<Response<A>, Status>>,
    {
        Tally::count(&self.tally.calls);
        self.budget.fill();
        if let Some(hedging) = &self.hedging {
            hedging.budget.fill();
        }
        let mut trail = Trail::default();
        let attempts = self.attempts(manner, &mut trail, |target| {
            let left = manner.deadline.saturating_duration_since(Instant::now());
            let left = (!manner.is_stream).then_some(left);
            let link = Link::to(Arc::clone(&self.reach), target);
            send(link, options.request(message.clone(), left))
        });
        match tokio::time::timeout_at(manner.deadline, attempts).await {
            Ok(Err(error)) if error.kind() == ErrorKind::DeadlineExceeded => {
                Err(self.late(manner, trail))
            }
            Ok(answer) => answer,
            Err(_) => Err(self.late(manner, trail)),
        }
    }

    async fn attempts<A, F, Sent>(
        &self,
        manner: Manner,
        trail: &mut Trail,
        send: F,
    ) -> Result<Response<A>, Error>
    where
        F: Fn(Target) -> Sent,
        Sent: Future<Output = Result<Response<A>, Status>>,
    {
        let mut before: Option<Target> = None;
        loop {
            // A retry goes elsewhere if there is an elsewhere.
            let avoid = before.take().map(|target| target.server);
            let target = self.reach.endpoints.pick(avoid.as_ref()).await;
            trail.in_flight = Some(target.clone());
            before = Some(target.clone());
            let answered = match &self.hedging {
                Some(hedging) if manner.is_hedged => self.race(hedging, target, &send).await,
                Some(_) | None => send(target).await,
            };
            let status = match answered {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            if status.code() == Code::DeadlineExceeded {
                return Err(link::error(status));
            }
            trail.in_flight = None;
            let proof = Proof::of(&status);
            trail.sent += u32::from(proof != Proof::NotSent);
            let next = Next::after(proof, manner.repeat);
            trail.last = Some(status.clone());
            match next {
                Next::Free => {}
                Next::Paid if trail.sent < self.retry.attempts_max => {
                    if !self.budget.spend() {
                        Tally::count(&self.tally.retries_refused);
                        let error = link::error(status);
                        return Err(
                            error.with_note("not tried again: the budget for retries is spent")
                        );
                    }
                    let wait = self.retry.backoff(trail.sent);
                    let wait = wait.max(retry::asked_for(&status).unwrap_or_default());
                    let left = manner.deadline.saturating_duration_since(Instant::now());
                    if wait >= left {
                        let error = link::error(status);
                        return Err(
                            error.with_note("not tried again: there is no time to wait for it")
                        );
                    }
                    Tally::count(&self.tally.retries);
                    tokio::time::sleep(wait).await;
                }
                Next::Renew if !trail.is_renewed && self.reach.credentials.renew().await => {
                    trail.is_renewed = true;
                }
                Next::Unknown => {
                    let error = link::error(status).with_kind(ErrorKind::OutcomeUnknown);
                    return Err(error.with_note("whether the write was applied is not known"));
                }
                Next::Paid | Next::Renew | Next::Fail => return Err(link::error(status)),
            }
        }
    }

    /// One attempt, and a second one elsewhere if the first takes long; the first answer counts, and ends the other.
    async fn race<A, F, Sent>(
        &self,
        hedging: &Hedging,
        target: Target,
        send: &F,
    ) -> Result<Response<A>, Status>
    where
        F: Fn(Target) -> Sent,
        Sent: Future<Output = Result<Response<A>, Status>>,
    {
        let began = Instant::now();
        let note = |answer: Result<Response<A>, Status>| {
            if answer.is_ok() {
                hedging.note(began.elapsed());
            }
            answer
        };
        let first = pin!(send(target.clone()));
        let Some(delay) = hedging.delay() else {
            return note(first.await);
        };
        let first = match select(first, pin!(tokio::time::sleep(delay))).await {
            Either::Left((answer, _)) => return note(answer),
            Either::Right(((), first)) => first,
        };
        if !hedging.budget.spend() {
            return note(first.await);
        }
        Tally::count(&self.tally.hedges);
        let second = pin!(send(self.reach.endpoints.beside(&target)));
        // A failure does not end the race, unless both fail.
        match select(first, second).await {
            Either::Left((Ok(answer), _)) => note(Ok(answer)),
            Either::Left((Err(_), second)) => second.await,
            Either::Right((Ok(answer), _)) => {
                Tally::count(&self.tally.hedges_won);
                // Nobody else will say of the first endpoint that it was late.
                self.reach.endpoints.note_late(&target.server);
                note(Ok(answer))
            }
            Either::Right((Err(_), first)) => note(first.await),
        }
    }

    /// The error of a call that ran out of time, with what is known of it.
    fn late(&self, manner: Manner, trail: Trail) -> Error {
        let Some(target) = trail.in_flight else {
            // It waited for an endpoint, or between attempts; none of them did anything, or doing it again is harmless.
            return match trail.last {
                Some(last) => link::error(last).with_note("until the deadline passed"),
                None => Error::new(
                    ErrorKind::Unavailable,
                    "no endpoint answered until the deadline passed",
                ),
            };
        };
        self.reach.endpoints.note_late(&target.server);
        let status = Status::deadline_exceeded("the deadline passed before an answer");
        let error = link::error(status);
        let error = match trail.last {
            // It has never reached anybody, or not so that it would matter.
            Some(last) if trail.sent == 0 && !manner.is_write => {
                return link::error(last).with_note("until the deadline passed");
            }
            Some(last) => error.with_note(&format!("and before that: {}", last.message())),
            None => error,
        };
        match manner.repeat {
            Repeat::Once => error
                .with_kind(ErrorKind::OutcomeUnknown)
                .with_note("whether the write was applied is not known"),
            Repeat::Harmless => error,
        }
    }
}
