//! Checks that are asked at the same time go to the server together.
//!
//! Nothing is held back. The first check goes at once; those that come while a call is under way wait, and go together when it is answered, or beside it
//! if it takes long. Checks go together only if they ask for the same consistency in the same name, and a call has one trace: a check
//! of a trace that is recorded goes with those of the same span alone. Each caller waits for its own
//! answer until its own deadline: one that gives up changes nothing for the others, and a check that fails fails alone.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::permissions_service_client::PermissionsServiceClient;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::call::{Core, Manner, Tally, deadline_after};
use crate::check::{Check, Decision};
use crate::consistency::{Consistency, Token};
use crate::error::{Error, ErrorKind};
use crate::options::{Options, Principal};
use crate::retry::Repeat;
use crate::trace::Traceparent;

/// How checks are put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batching {
    /// The most checks of one call; 1 sends each on its own.
    pub size_max: usize,
    /// The most calls of one kind under way; further checks wait for one of them.
    pub under_way_max: usize,
    /// How long the newest call has to be under way for another to be made beside it.
    pub patience: Duration,
    /// The most checks that wait; more are refused as overloaded.
    pub waiting_max: usize,
}

type Item = wire::CheckBulkPermissionsRequestItem;
type Answer = Result<Decision, Error>;

/// Puts checks together.
#[derive(Debug)]
pub(crate) struct Batcher {
    batching: Batching,
    groups: Mutex<Groups>,
}

#[derive(Debug, Default)]
struct Groups {
    by_kind: HashMap<Kind, Group>,
    waiting: usize,
}

/// What checks have to have in common to go together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    consistency: Consistency,
    principal: Option<Principal>,
    /// Where it is recorded.
    traceparent: Option<Traceparent>,
}

#[derive(Debug, Default)]
struct Group {
    under_way: usize,
    /// When the newest call was made.
    newest: Option<Instant>,
    waiting: VecDeque<Waiting>,
}

/// One question.
#[derive(Debug)]
struct Asked {
    item: Item,
    traceparent: Option<Traceparent>,
    deadline: Instant,
}

/// One that waits for its answer.
#[derive(Debug)]
struct Waiting {
    asked: Asked,
    answer: oneshot::Sender<Answer>,
}

/// How long a caller waits past its deadline for the call to say why it has no answer.
const GRACE: Duration = Duration::from_millis(5);

/// Checks of the same kind fail one by one below so many at once, where they failed together.
const SINGLES_AT_ONCE: usize = 16;

impl Default for Batching {
    fn default() -> Self {
        Self {
            size_max: 256,
            under_way_max: 4,
            patience: Duration::from_millis(10),
            waiting_max: 10_000,
        }
    }
}

impl Batching {
    /// Each check is a call of its own.
    #[must_use]
    pub fn off() -> Self {
        Self {
            size_max: 1,
            ..Self::default()
        }
    }
}

impl Kind {
    fn options(&self, traceparent: Option<Traceparent>) -> Options {
        Options {
            consistency: self.consistency.clone(),
            principal: self.principal.clone(),
            traceparent,
            ..Options::default()
        }
    }
}

impl Batcher {
    pub(crate) fn new(batching: Batching) -> Self {
        Self {
            batching,
            groups: Mutex::default(),
        }
    }

    /// Asks, with others if others ask.
    pub(crate) async fn check(self: &Arc<Self>, core: &Arc<Core>, check: Check) -> Answer {
        let deadline = deadline_after(check.options.deadline.unwrap_or(core.deadlines.check));
        let options = core.traced(check.options);
        let traceparent = options.traceparent;
        let kind = Kind {
            consistency: options.consistency,
            principal: options.principal,
            traceparent: traceparent.clone().filter(Traceparent::is_sampled),
        };
        let asked = Asked {
            item: check.item,
            traceparent,
            deadline,
        };
        if self.batching.size_max <= 1 {
            return single(core, &kind, asked).await;
        }
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { asked, answer };
        if self.join(&kind, waiting)? {
            self.begin(core, kind.clone());
        }
        self.wait(core, kind, answered, deadline).await
    }

    /// Waits for the answer; whenever it takes long, sees to it that what waits does not wait for one slow call.
    async fn wait(
        self: &Arc<Self>,
        core: &Arc<Core>,
        kind: Kind,
        mut answered: oneshot::Receiver<Answer>,
        deadline: Instant,
    ) -> Answer {
        let end = deadline + GRACE;
        let mut patience = self.batching.patience;
        loop {
            let until = end.min(deadline_after(patience));
            match tokio::time::timeout_at(until, &mut answered).await {
                Ok(Ok(answer)) => return answer,
                // The runtime ended, or a fault of this crate.
                Ok(Err(_)) => {
                    let message = "the check was dropped before an answer";
                    return Err(Error::new(ErrorKind::Internal, message));
                }
                Err(_) if until == end => return Err(late()),
                Err(_) => {}
            }
            patience = patience.saturating_mul(2);
            if self.groups().may_begin(&kind, &self.batching) {
                self.begin(core, kind.clone());
            }
        }
    }

    /// Makes calls of that kind, for which there is leave.
    fn begin(self: &Arc<Self>, core: &Arc<Core>, kind: Kind) {
        let turn = Turn {
            batcher: Arc::clone(self),
            kind,
            is_over: false,
        };
        tokio::spawn(turn.drive(Arc::clone(core)));
    }

    /// Puts a check into the queue of its kind; whether one more call may be made for them.
    fn join(&self, kind: &Kind, waiting: Waiting) -> Result<bool, Error> {
        let mut groups = self.groups();
        if groups.waiting >= self.batching.waiting_max {
            let waiting_max = self.batching.waiting_max;
            let message = format!("{waiting_max} checks wait already; ask fewer at once");
            return Err(Error::new(ErrorKind::Overloaded, message));
        }
        groups.waiting += 1;
        let group = match groups.by_kind.get_mut(kind) {
            Some(group) => group,
            None => groups.by_kind.entry(kind.clone()).or_default(),
        };
        group.waiting.push_back(waiting);
        Ok(group.may_begin(&self.batching))
    }

    /// The next checks to go together, without those that nobody waits for any more.
    fn next(&self, kind: &Kind) -> Vec<Waiting> {
        let mut groups = self.groups();
        let Groups { by_kind, waiting } = &mut *groups;
        let Some(group) = by_kind.get_mut(kind) else {
            return Vec::new();
        };
        let now = Instant::now();
        group.newest = Some(now);
        let mut batch = Vec::new();
        while batch.len() < self.batching.size_max
            && let Some(next) = group.waiting.pop_front()
        {
            *waiting = waiting.saturating_sub(1);
            // Whoever waits no longer, or not for long enough, is not worth a server's while.
            if next.asked.deadline <= now {
                drop(next.answer.send(Err(late())));
            } else if !next.answer.is_closed() {
                batch.push(next);
            }
        }
        batch
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to have one call under way, given back when dropped.
struct Turn {
    batcher: Arc<Batcher>,
    kind: Kind,
    is_over: bool,
}

impl Turn {
    /// Makes calls for as long as checks wait.
    async fn drive(mut self, core: Arc<Core>) {
        loop {
            let mut batch = self.batcher.next(&self.kind);
            match (batch.pop(), batch.is_empty()) {
                (None, _) => {
                    if self.ended() {
                        return;
                    }
                }
                (Some(one), true) => {
                    let Waiting { asked, answer } = one;
                    let decision = single(&core, &self.kind, asked).await;
                    // Whoever does not wait any more is not told.
                    drop(answer.send(decision));
                }
                (Some(last), false) => {
                    batch.push(last);
                    together(&core, &self.kind, batch).await;
                }
            }
        }
    }

    /// Gives the right back if nothing waits, under one lock: a check that comes before has it served here, one that comes
    /// after makes a call of its own.
    fn ended(&mut self) -> bool {
        let mut groups = self.batcher.groups();
        let is_idle = |group: &Group| group.waiting.is_empty();
        if !groups.by_kind.get(&self.kind).is_none_or(is_idle) {
            return false;
        }
        groups.leave(&self.kind);
        self.is_over = true;
        true
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            self.batcher.groups().leave(&self.kind);
        }
    }
}

impl Group {
    /// Leave to make one call more for what waits: there is none, or the newest takes long.
    fn may_begin(&mut self, batching: &Batching) -> bool {
        let is_slow = || {
            let newest = self.newest;
            newest.is_some_and(|newest| newest.elapsed() >= batching.patience)
        };
        let may = !self.waiting.is_empty()
            && (self.under_way == 0 || (self.under_way < batching.under_way_max && is_slow()));
        if may {
            self.under_way += 1;
            self.newest = Some(Instant::now());
        }
        may
    }
}

impl Groups {
    /// Leave to make one call more of that kind.
    fn may_begin(&mut self, kind: &Kind, batching: &Batching) -> bool {
        let group = self.by_kind.get_mut(kind);
        group.is_some_and(|group| group.may_begin(batching))
    }

    /// One call of that kind is no longer under way.
    fn leave(&mut self, kind: &Kind) {
        let Some(group) = self.by_kind.get_mut(kind) else {
            return;
        };
        group.under_way = group.under_way.saturating_sub(1);
        if group.under_way == 0 && group.waiting.is_empty() {
            self.by_kind.remove(kind);
        }
    }
}

fn late() -> Error {
    let message = "the deadline passed before an answer";
    Error::new(ErrorKind::DeadlineExceeded, message)
}

/// Asks one question in a call of its own.
async fn single(core: &Core, kind: &Kind, asked: Asked) -> Answer {
    let question = Check::into_request(asked.item, &kind.consistency);
    let answer = core
        .call(
            manner(asked.deadline),
            &kind.options(asked.traceparent),
            &question,
            |link, request| async move {
                PermissionsServiceClient::new(link)
                    .check_permission(request)
                    .await
            },
        )
        .await?;
    Decision::of(answer.into_inner())
}

fn manner(deadline: Instant) -> Manner {
    Manner {
        repeat: Repeat::Harmless,
        is_hedged: true,
        is_write: false,
        is_stream: false,
        deadline,
    }
}

/// Asks several questions in one call, and tells each who waits.
async fn together(core: &Core, kind: &Kind, mut batch: Vec<Waiting>) {
    Tally::count(&core.tally.batches);
    let asked = &core.tally.checks_batched;
    asked.fetch_add(batch.len() as u64, Ordering::Relaxed);
    let last = batch.iter().map(|waiting| waiting.asked.deadline).max();
    let options = kind.options(common_traceparent(&batch));
    let items = batch
        .iter_mut()
        .map(|one| std::mem::take(&mut one.asked.item));
    let items = items.collect();
    let question = wire::CheckBulkPermissionsRequest {
        consistency: kind.consistency.to_wire(),
        items,
        with_tracing: false,
    };
    let manner = manner(last.unwrap_or_else(Instant::now));
    let answer = core
        .call(manner, &options, &question, |link, request| async move {
            PermissionsServiceClient::new(link)
                .check_bulk_permissions(request)
                .await
        })
        .await;
    match answer.and_then(|answer| decisions(answer.into_inner(), &question.items)) {
        Ok(decisions) => {
            for (waiting, decision) in batch.into_iter().zip(decisions) {
                drop(waiting.answer.send(decision));
            }
        }
        Err(error) if is_of_one(error.kind()) => {
            for (waiting, item) in batch.iter_mut().zip(question.items) {
                waiting.asked.item = item;
            }
            one_by_one(core, kind, batch).await;
        }
        Err(error) => {
            for waiting in batch {
                drop(waiting.answer.send(Err(error.clone())));
            }
        }
    }
}

/// The span that all of them were asked from. There is none of several: whoever saw the call there would take the others for its own.
fn common_traceparent(batch: &[Waiting]) -> Option<Traceparent> {
    let first = batch.first()?.asked.traceparent.as_ref()?;
    let is_common = |waiting: &Waiting| waiting.asked.traceparent.as_ref() == Some(first);
    batch.iter().all(is_common).then(|| first.clone())
}

/// The decisions of an answer to as many questions.
fn decisions(
    answer: wire::CheckBulkPermissionsResponse,
    items: &[Item],
) -> Result<Vec<Answer>, Error> {
    let at = Token::of(answer.checked_at)?;
    if answer.pairs.len() != items.len() {
        return Err(Error::malformed("it has not as many answers as questions"));
    }
    let pairs = answer.pairs.into_iter().zip(items);
    Ok(pairs
        .map(|(pair, item)| Decision::of_pair(pair, item, &at))
        .collect())
}

/// Whether one question alone may have made the whole call fail.
fn is_of_one(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Invalid
        | ErrorKind::NotFound
        | ErrorKind::FailedPrecondition
        | ErrorKind::RevisionGone
        | ErrorKind::Forbidden
        | ErrorKind::Unimplemented
        | ErrorKind::Internal => true,
        ErrorKind::Unauthenticated
        | ErrorKind::AlreadyExists
        | ErrorKind::Conflict
        | ErrorKind::Overloaded
        | ErrorKind::Unavailable
        | ErrorKind::DeadlineExceeded
        | ErrorKind::OutcomeUnknown
        | ErrorKind::Credential
        | ErrorKind::Malformed => false,
    }
}

/// Asks again what failed together, so that only that fails which has to.
async fn one_by_one(core: &Core, kind: &Kind, batch: Vec<Waiting>) {
    let all = futures_util::stream::iter(batch).map(|one| async move {
        let Waiting { asked, answer } = one;
        drop(answer.send(single(core, kind, asked).await));
    });
    all.buffer_unordered(SINGLES_AT_ONCE)
        .for_each(|()| async {})
        .await;
}
