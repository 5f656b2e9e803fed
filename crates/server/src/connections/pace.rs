//! Whose bytes are read next, when there are more than the processors keep up with.
//!
//! A connection reads a slice, some dozens of small calls, and then waits for its turn. Turns go round the callers and, within a caller, round its
//! connections, one after the other as the processors come free: the task that gives turns yields after each round, so it runs again once
//! what the round has brought is done. So what waits, waits in the buffers of the system, where it costs nothing and holds its sender up, and
//! not between the calls of others; a caller that sends five times what there is room for delays another by a slice, and not by its backlog.
//!
//! With room to spare a turn comes at once. A connection that does not use its slice up never waits.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::backlog::Backlog;
use super::line::Line;

/// What a connection reads in one turn, in bytes.
const SLICE_BYTES: usize = 4 << 10;
/// The same of a connection whose calls are refused: they take little time each, and are to be told soon.
const SLICE_BEHIND_BYTES: usize = 64 << 10;

/// Gives turns.
#[derive(Debug)]
pub(crate) struct Pacer {
    waiting: Mutex<Rounds<Arc<Turn>>>,
    /// How many rounds there have been.
    rounds: AtomicU64,
    is_asked: Notify,
    /// Turns of a round: one for each processor.
    round_turns: usize,
    keys: RandomState,
}

/// What waits, by whose it is.
#[derive(Debug)]
struct Rounds<T> {
    owners: VecDeque<u64>,
    of: HashMap<u64, VecDeque<T>>,
}

/// The turn that a connection waits for.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    is_asked_for: AtomicBool,
    is_given: AtomicBool,
    waker: AtomicWaker,
}

/// Ends the giving of turns when it is dropped.
#[derive(Debug)]
pub(crate) struct Giving(AbortHandle);

/// A stream that is read in turns, and tells its line what moves.
#[derive(Debug)]
pub(crate) struct Paced<S> {
    stream: S,
    /// How many bytes wait in the stream.
    unread: fn(&S) -> u64,
    backlog: Backlog,
    line: Arc<Line>,
    pacer: Option<Arc<Pacer>>,
    left: usize,
    /// The round in which `left` was filled up.
    round: u64,
    is_waiting: bool,
}

impl Pacer {
    /// One that gives turns in a task of its own until what comes with it is dropped.
    pub(crate) fn start() -> (Arc<Self>, Giving) {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let pacer = Arc::new(Self {
            waiting: Mutex::new(Rounds::default()),
            rounds: AtomicU64::new(0),
            is_asked: Notify::new(),
            round_turns: processors,
            keys: RandomState::new(),
        });
        let giving = tokio::spawn(Arc::clone(&pacer).give());
        (pacer, Giving(giving.abort_handle()))
    }

    /// By what the turns of an address are counted of which nobody has said yet who calls.
    pub(super) fn key_of(&self, address: IpAddr) -> u64 {
        self.keys.hash_one(address.to_canonical())
    }

    async fn give(self: Arc<Self>) {
        loop {
            self.is_asked.notified().await;
            while self.round() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Gives the turns of one round; whether anybody waited.
    fn round(&self) -> bool {
        let mut given = 0;
        while given < self.round_turns {
            let next = self.waiting().next();
            let Some(turn) = next else { break };
            turn.is_given.store(true, Ordering::Release);
            turn.waker.wake();
            given += 1;
        }
        if given > 0 {
            self.rounds.fetch_add(1, Ordering::Relaxed);
        }
        given > 0
    }

    fn ask(&self, owner: u64, turn: Arc<Turn>) {
        let mut waiting = self.waiting();
        let is_first = waiting.owners.is_empty();
        waiting.add(owner, turn);
        drop(waiting);
        if is_first {
            self.is_asked.notify_one();
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Rounds<Arc<Turn>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Whether the connection waits for the server, and not the other way round.
    pub(super) fn is_asked_for(&self) -> bool {
        self.is_asked_for.load(Ordering::Relaxed)
    }
}

impl Drop for Giving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Default for Rounds<T> {
    fn default() -> Self {
        Self {
            owners: VecDeque::new(),
            of: HashMap::new(),
        }
    }
}

impl<T> Rounds<T> {
    fn add(&mut self, owner: u64, item: T) {
        let items = self.of.entry(owner).or_default();
        if items.is_empty() {
            self.owners.push_back(owner);
        }
        items.push_back(item);
    }

    /// The next item of the next owner, who comes last then.
    fn next(&mut self) -> Option<T> {
        let owner = self.owners.pop_front()?;
        let items = self.of.get_mut(&owner)?;
        let item = items.pop_front();
        if items.is_empty() {
            self.of.remove(&owner);
        } else {
            self.owners.push_back(owner);
        }
        item
    }
}

impl<S> Paced<S> {
    /// `stream` in turns of `pacer`; as it comes without one.
    pub(crate) fn new(
        stream: S,
        unread: fn(&S) -> u64,
        line: Arc<Line>,
        pacer: Option<Arc<Pacer>>,
    ) -> Self {
        Self {
            stream,
            unread,
            backlog: Backlog::default(),
            line,
            pacer,
            left: SLICE_BYTES,
            round: 0,
            is_waiting: false,
        }
    }

    /// How much may be read now.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        let Some(pacer) = &self.pacer else {
            return Poll::Ready(usize::MAX);
        };
        let turn = self.line.turn();
        let mut note = || {
            let unread = (self.unread)(&self.stream);
            self.backlog.note(unread, Instant::now());
        };
        if self.is_waiting {
            turn.waker.register(context.waker());
            if !turn.is_given.swap(false, Ordering::Acquire) {
                return Poll::Pending;
            }
            self.is_waiting = false;
            turn.is_asked_for.store(false, Ordering::Relaxed);
            self.left = if self.line.refuses() {
                SLICE_BEHIND_BYTES
            } else {
                SLICE_BYTES
            };
            self.round = pacer.rounds.load(Ordering::Relaxed);
            note();
        } else if pacer.rounds.load(Ordering::Relaxed) > self.round.saturating_add(1) {
            // Others had their turns meanwhile.
            self.left = SLICE_BYTES;
            self.round = pacer.rounds.load(Ordering::Relaxed);
        }
        if self.left > 0 {
            // Not less than a slice: a request that came whole is read whole, or who refuses it would find its body missing.
            return Poll::Ready(self.left.max(SLICE_BYTES));
        }
        self.is_waiting = true;
        turn.is_asked_for.store(true, Ordering::Relaxed);
        turn.waker.register(context.waker());
        note();
        pacer.ask(self.line.owner(), Arc::clone(turn));
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = ready!(self.poll_turn(context)).min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, &mut part) else {
            self.backlog.clear();
            return Poll::Pending;
        };
        read?;
        let count = part.filled().len();
        buffer.advance(count);
        self.left = self.left.saturating_sub(count);
        let waited = self.backlog.take(count as u64, Instant::now());
        self.line.note_read(waited);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.line.note_write(written.is_pending());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.line.note_write(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::polled::polled;

    #[test]
    fn turns_go_round_the_owners_however_many_items_one_has() {
        let mut rounds = Rounds::default();
        for n in 0..6 {
            rounds.add(1, format!("storm {n}"));
        }
        rounds.add(2, "polite 0".to_owned());
        let mut order = vec![rounds.next().unwrap(), rounds.next().unwrap()];
        rounds.add(3, "late 0".to_owned());
        rounds.add(2, "polite 1".to_owned());
        order.extend(std::iter::from_fn(|| rounds.next()));
        assert_eq!(
            order,
            [
                "storm 0", "polite 0", "storm 1", "late 0", "polite 1", "storm 2", "storm 3",
                "storm 4", "storm 5"
            ]
        );
        assert!(rounds.of.is_empty() && rounds.owners.is_empty());
    }

    /// A request whose body is not there yet when it is refused costs its client the connection.
    #[tokio::test]
    async fn what_came_at_once_is_not_cut_at_the_end_of_a_slice() {
        use tokio::io::AsyncReadExt as _;
        let (pacer, _giving) = Pacer::start();
        let (mut client, server) = tokio::io::duplex(SLICE_BYTES);
        let mut paced = Paced::new(
            server,
            |_| 0,
            Line::new(std::time::Duration::MAX),
            Some(pacer),
        );
        let request = vec![7; SLICE_BYTES / 3 + 1];
        let mut buffer = vec![0; SLICE_BYTES];
        for _ in 0..30 {
            tokio::io::AsyncWriteExt::write_all(&mut client, &request)
                .await
                .unwrap();
            assert_eq!(paced.read(&mut buffer).await.unwrap(), request.len());
        }
    }

    #[tokio::test]
    async fn a_backlog_is_read_in_slices_and_a_few_bytes_at_once() {
        use tokio::io::AsyncReadExt as _;
        // Nobody gives turns but the test.
        let pacer = Arc::new(Pacer {
            waiting: Mutex::new(Rounds::default()),
            rounds: AtomicU64::new(0),
            is_asked: Notify::new(),
            round_turns: 1,
            keys: RandomState::new(),
        });
        let backlog = vec![7; SLICE_BYTES * 2];
        let stream = |bytes: &'static [u8]| {
            Paced::new(
                tokio::io::join(bytes, tokio::io::sink()),
                |_| 0,
                Line::new(std::time::Duration::MAX),
                Some(Arc::clone(&pacer)),
            )
        };
        let mut storm = stream(backlog.leak());
        let mut buffer = vec![0; SLICE_BYTES * 4];
        assert_eq!(storm.read(&mut buffer).await.unwrap(), SLICE_BYTES);
        {
            let mut next = std::pin::pin!(storm.read(&mut buffer));
            assert!(polled(&mut next.as_mut()).await.is_pending());
            let mut polite = stream(b"a few");
            let mut few = [0; 64];
            assert_eq!(polite.read(&mut few).await.unwrap(), 5);
            assert!(polled(&mut next.as_mut()).await.is_pending());
            assert!(pacer.round());
            assert_eq!(next.await.unwrap(), SLICE_BYTES);
        }
        assert!(!pacer.round(), "nobody waits");
    }
}
