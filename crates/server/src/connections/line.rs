//! What is known of one connection while it lasts: whose it is, what moves on it, and what is wrong when nothing does.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use http::{HeaderValue, Response, header};
use http_body::Frame;
use prost::bytes::Bytes;
use tonic::Status;
use tonic::body::Body;

use super::incoming::BodyBytes;
use super::owing::{Counted, Owing};
use super::pace::Turn;
use crate::calls::Answer;
use crate::overload::Account;

/// The bytes of a greeting of HTTP/2, up to the head of its first frame.
const GREETING_BYTES: u64 = 24 + 9;

/// One connection.
#[derive(Debug)]
pub(crate) struct Line {
    began: tokio::time::Instant,
    turn: Arc<Turn>,
    /// By whom its turns are counted before it is known who calls.
    peer: AtomicU64,
    account: ArcSwapOption<Account>,
    /// What was read of it, inside of TLS.
    heard_bytes: AtomicU64,
    /// How long what was read last had waited for that, in microseconds.
    unread_for: AtomicU64,
    /// Whether calls are refused until what waits is young again.
    is_behind: AtomicBool,
    /// Since when a write waits, in milliseconds after `began`; 0 while none does.
    write_waits_since: AtomicU64,
    calls_begun: AtomicU64,
    calls_open: AtomicUsize,
    /// Answers of which there is more that the client does not take.
    owing: Owing,
    /// When a call or an answer last went on, in milliseconds after `began`.
    moved: AtomicU64,
}

/// How long a connection may keep the server waiting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Until it has said what it speaks.
    pub(crate) greeting_max: Duration,
    /// Between two bytes of an answer that it takes.
    pub(crate) stall_max: Duration,
    /// Without a call.
    pub(crate) idle_max: Duration,
}

/// Why a connection is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// It did not greet.
    Silent,
    /// It does not take what it asked for.
    Stalled,
    /// Nothing was asked for long.
    Idle,
}

/// A call that came by a line, as far as the line is concerned.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) line: Arc<Line>,
    pub(crate) at: Instant,
    /// How long it had waited before that to be read.
    pub(crate) unread_for: Duration,
    pub(crate) bytes: BodyBytes,
}

/// A call that is under way.
#[derive(Debug)]
struct OpenCall {
    line: Arc<Line>,
    owed: Counted,
}

/// An answer as it comes about, counted while it does.
pub(crate) struct Answering {
    answer: Answer,
    call: Option<OpenCall>,
    /// Whether the connection is to end with this answer.
    is_last: bool,
}

/// The body of an answer, counted until it was taken.
pub(crate) struct Owed {
    body: Body,
    call: OpenCall,
}

impl Line {
    /// One whose client may stand still in the middle of an answer for `stall_max`.
    pub(crate) fn new(stall_max: Duration) -> Arc<Self> {
        Arc::new(Self {
            began: tokio::time::Instant::now(),
            turn: Arc::default(),
            peer: AtomicU64::new(0),
            account: ArcSwapOption::empty(),
            heard_bytes: AtomicU64::new(0),
            unread_for: AtomicU64::new(0),
            is_behind: AtomicBool::new(false),
            write_waits_since: AtomicU64::new(0),
            calls_begun: AtomicU64::new(0),
            calls_open: AtomicUsize::new(0),
            owing: Owing::new(stall_max),
            moved: AtomicU64::new(0),
        })
    }

    /// Counts its turns as those of this peer, until it is known who calls.
    pub(crate) fn comes_from(&self, peer: u64) {
        self.peer.store(peer, Ordering::Relaxed);
    }

    /// Whoever calls by it, as it was last known.
    pub(crate) fn account(&self) -> arc_swap::Guard<Option<Arc<Account>>> {
        self.account.load()
    }

    pub(crate) fn belongs_to(&self, account: &Arc<Account>) {
        self.account.store(Some(Arc::clone(account)));
    }

    /// What its turns are counted by.
    pub(super) fn owner(&self) -> u64 {
        let account = self.account.load();
        let of_account = account.as_ref().map(|account| account.key());
        of_account.unwrap_or_else(|| self.peer.load(Ordering::Relaxed))
    }

    pub(super) fn turn(&self) -> &Arc<Turn> {
        &self.turn
    }

    /// Bytes were read that had `waited` for it.
    pub(super) fn note_read(&self, waited: Duration) {
        let waited = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        self.unread_for.store(waited, Ordering::Relaxed);
    }

    /// Whether a call ever came by it.
    pub(super) fn has_called(&self) -> bool {
        self.calls_begun.load(Ordering::Relaxed) > 0
    }

    /// Whether what was read last had to wait for that.
    pub(crate) fn has_backlog(&self) -> bool {
        self.unread_for.load(Ordering::Relaxed) > 0
    }

    /// Whether its calls are refused for having waited.
    pub(super) fn refuses(&self) -> bool {
        self.is_behind.load(Ordering::Relaxed)
    }

    /// Whether a call that has waited so long, of the time that it may take, comes too late to be begun.
    ///
    /// Those that are served oldest first are all late once the oldest is, however many are refused; and what waits at the client before it
    /// sends is not seen from here. So once an eighth of their time is gone, calls are refused until what comes is young again.
    pub(crate) fn is_behind(&self, waited: Duration, allowed: Duration) -> bool {
        let was_behind = self.is_behind.load(Ordering::Relaxed);
        let is_behind = waited
            > if was_behind {
                allowed / 32
            } else {
                allowed / 8
            };
        if is_behind != was_behind {
            self.is_behind.store(is_behind, Ordering::Relaxed);
        }
        is_behind
    }

    pub(super) fn note_write(&self, waits: bool) {
        let since = self.write_waits_since.load(Ordering::Relaxed);
        let now = match (waits, since) {
            (true, 0) => self.now().max(1),
            (false, 1..) => 0,
            (true, 1..) | (false, 0) => return,
        };
        self.write_waits_since.store(now, Ordering::Relaxed);
    }

    /// So many bytes were read of what it speaks.
    pub(super) fn note_heard(&self, bytes: usize) {
        self.heard_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What is wrong with the connection, if something is.
    pub(super) fn fault(&self, patience: &Patience) -> Option<Fault> {
        if self.turn.is_asked_for() {
            return None;
        }
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let now = self.now();
        let is_past =
            |since: u64, max: Duration| Duration::from_millis(now.saturating_sub(since)) > max;
        let greeted = load(&self.heard_bytes);
        let calls = load(&self.calls_begun);
        if calls == 0 && greeted < GREETING_BYTES && is_past(0, patience.greeting_max) {
            return Some(Fault::Silent);
        }
        let waits = load(&self.write_waits_since);
        if waits > 0 && is_past(waits, patience.stall_max) {
            return Some(Fault::Stalled);
        }
        let moved = load(&self.moved);
        if self.owing.is_stalled(now) {
            return Some(Fault::Stalled);
        }
        let is_idle = self.calls_open.load(Ordering::Relaxed) == 0;
        (is_idle && is_past(moved, patience.idle_max)).then_some(Fault::Idle)
    }

    /// Counts the call that `answer` is of.
    pub(super) fn answering(self: &Arc<Self>, answer: Answer, is_last: bool) -> Answering {
        self.calls_begun.fetch_add(1, Ordering::Relaxed);
        self.calls_open.fetch_add(1, Ordering::Relaxed);
        self.note_moved();
        Answering {
            answer,
            call: Some(OpenCall {
                line: Arc::clone(self),
                owed: Counted::default(),
            }),
            is_last,
        }
    }

    fn note_moved(&self) {
        self.moved.store(self.now(), Ordering::Relaxed);
    }

    /// Milliseconds after it began.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Arrival {
    pub(super) fn now(line: &Arc<Line>) -> Self {
        Self {
            line: Arc::clone(line),
            at: Instant::now(),
            unread_for: Duration::from_micros(line.unread_for.load(Ordering::Relaxed)),
            bytes: BodyBytes::default(),
        }
    }
}

impl Patience {
    /// How often to look.
    pub(super) fn look_interval(&self) -> Duration {
        let least = self.greeting_max.min(self.stall_max).min(self.idle_max);
        (least / 4).clamp(Duration::from_millis(10), Duration::from_secs(5))
    }
}

impl Fault {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Stalled => "stalled",
            Self::Idle => "idle",
        }
    }
}

impl OpenCall {
    /// There is more of its answer than was taken.
    fn is_owed(&mut self) {
        let now = self.line.now();
        self.line.owing.went_on(&mut self.owed, now);
    }

    fn is_taken(&mut self) {
        self.line.owing.is_taken(&mut self.owed);
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.is_taken();
        self.line.calls_open.fetch_sub(1, Ordering::Relaxed);
        self.line.note_moved();
    }
}

impl Future for Answering {
    type Output = Result<Response<Owed>, std::convert::Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(mut response) = ready!(self.answer.as_mut().poll(context));
        if self.is_last {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        let Some(mut call) = self.call.take() else {
            // Nobody polls what is done; it would stay without an answer.
            return Poll::Pending;
        };
        call.line.note_moved();
        if !http_body::Body::is_end_stream(response.body()) {
            call.is_owed();
        }
        Poll::Ready(Ok(response.map(|body| Owed { body, call })))
    }
}

impl http_body::Body for Owed {
    type Data = Bytes;
    type Error = Status;

    /// It is asked for more when the client has room for more: whoever is waited for changes here.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(Some(_)) => {
                self.call.is_owed();
                self.call.line.note_moved();
            }
            Poll::Ready(None) | Poll::Pending => self.call.is_taken(),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::polled::polled;

    const SHORT: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(600);

    fn patience(greeting_max: Duration, stall_max: Duration, idle_max: Duration) -> Patience {
        Patience {
            greeting_max,
            stall_max,
            idle_max,
        }
    }

    #[test]
    fn a_line_that_is_behind_refuses_until_what_comes_is_young() {
        let line = Line::new(LONG);
        let second = Duration::from_secs(1);
        let asked = [100, 126, 40, 30, 100, 130].map(Duration::from_millis);
        let told = asked.map(|waited| line.is_behind(waited, second));
        assert_eq!(told, [false, true, true, false, false, true]);
        assert!(!line.is_behind(Duration::ZERO, Duration::ZERO));
    }

    async fn later() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    #[tokio::test]
    async fn a_line_is_silent_until_it_greeted_and_idle_when_nothing_is_asked() {
        let line = Line::new(LONG);
        later().await;
        line.note_heard(24);
        assert_eq!(
            line.fault(&patience(SHORT, LONG, LONG)),
            Some(Fault::Silent)
        );
        assert_eq!(line.fault(&patience(LONG, LONG, LONG)), None);
        line.note_heard(9);
        assert_eq!(line.fault(&patience(SHORT, LONG, LONG)), None);
        assert_eq!(line.fault(&patience(SHORT, LONG, SHORT)), Some(Fault::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_told_from_a_server_that_has_nothing() {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
        let frames = futures_util::StreamExt::map(
            tokio_stream::wrappers::ReceiverStream::new(receiver),
            |bytes| Ok::<_, Status>(Frame::data(bytes)),
        );
        let stands_still = || tokio::time::sleep(Duration::from_millis(60));
        let body = Body::new(http_body_util::StreamBody::new(frames));
        let line = Line::new(Duration::from_millis(40));
        let answer: Answer = Box::pin(std::future::ready(Ok(Response::new(body))));
        let answering = line.answering(answer, false);
        assert_eq!(
            line.fault(&patience(SHORT, LONG, SHORT)),
            None,
            "a call is open"
        );
        let Ok(response) = answering.await;
        let mut body = response.into_body();
        let impatient = patience(SHORT, SHORT, LONG);
        stands_still().await;
        assert_eq!(
            line.fault(&impatient),
            Some(Fault::Stalled),
            "never asked for"
        );
        assert!(polled(&mut body.frame()).await.is_pending());
        stands_still().await;
        assert_eq!(line.fault(&impatient), None, "the server has nothing");
        sender.send(Bytes::from("x")).await.unwrap();
        body.frame().await.unwrap().unwrap();
        stands_still().await;
        assert_eq!(
            line.fault(&impatient),
            Some(Fault::Stalled),
            "not asked for more"
        );
        drop(body);
        stands_still().await;
        assert_eq!(line.fault(&impatient), None);
        assert_eq!(line.fault(&patience(LONG, LONG, SHORT)), Some(Fault::Idle));
    }

    #[tokio::test]
    async fn a_write_that_waits_is_a_stall() {
        let line = Line::new(LONG);
        line.note_write(true);
        later().await;
        line.note_write(true);
        assert_eq!(
            line.fault(&patience(LONG, SHORT, LONG)),
            Some(Fault::Stalled)
        );
        line.note_write(false);
        assert_eq!(line.fault(&patience(LONG, SHORT, LONG)), None);
    }
}
