//! Handshakes of TLS under way: how many there may be, how many are worked on at once, and who gives way.
//!
//! A handshake costs about a millisecond of a processor, and memory while it lasts, before anybody has said who calls. So half of the processors
//! are for the calls that go on, and a number of handshakes may be under way. One more waits, and those that wait have turns by address. While
//! some do, a handshake whose client has taken long gives its place up: who stalls is pushed out by who comes, and where nobody comes may go on.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use crate::overload::Queue;

/// What a client may take of a handshake's time, all its answers together, while others wait.
const CLIENT_MAX: Duration = Duration::from_secs(1);

/// The handshakes of one listener, or of several that share them.
#[derive(Debug)]
pub(crate) struct Handshakes {
    most: usize,
    /// For those that are worked on.
    turns: Semaphore,
    /// What addresses are told apart by.
    addresses: RandomState,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    under_way: usize,
    waiting: Queue<oneshot::Sender<Place>>,
    /// Those whose clients have taken long, the first of them first.
    late: BTreeMap<u64, Waker>,
    last_id: u64,
}

/// A place among those under way; given on once this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    id: u64,
    /// None once it was given back by hand.
    of: Option<Arc<Handshakes>>,
}

/// One that waits, and is taken out if it waits no longer.
struct Waiting<'a> {
    of: &'a Handshakes,
    owner: u64,
    ticket: u64,
}

/// Why there was no handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoHandshake {
    /// Too many were under way for too long.
    #[error("it waited too long for its turn")]
    Waited,
    /// Its client took long while others waited.
    #[error("its client took long while others waited")]
    GaveWay,
    /// It was not done in time.
    #[error("it took too long")]
    Slow,
}

impl Handshakes {
    /// At most so many under way.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::worked_on(most, (processors / 2).max(1))
    }

    /// At most so many under way, of which so many are worked on at once.
    pub(crate) fn worked_on(most: usize, at_once: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            turns: Semaphore::new(at_once),
            addresses: RandomState::new(),
            began: Instant::now(),
            state: Mutex::default(),
        })
    }

    /// How many are under way, and how many wait.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.under_way, state.waiting.len())
    }

    /// Makes a handshake with `peer`, which may wait for `time_max` and then take `time_max`. What `is_held_up` is true of while it
    /// is not done is not its client's doing.
    pub(super) async fn make<F: Future>(
        self: &Arc<Self>,
        peer: IpAddr,
        time_max: Duration,
        is_held_up: impl Fn() -> bool,
        handshake: F,
    ) -> Result<F::Output, NoHandshake> {
        let place = self.place(peer, time_max).await?;
        let made = place.drive(is_held_up, handshake);
        let made = tokio::time::timeout(time_max, made).await;
        made.unwrap_or(Err(NoHandshake::Slow))
    }

    async fn place(
        self: &Arc<Self>,
        peer: IpAddr,
        wait_max: Duration,
    ) -> Result<Place, NoHandshake> {
        // The same host may come by either family of addresses.
        let owner = self.addresses.hash_one(peer.to_canonical());
        let (sender, called) = oneshot::channel();
        let waiting = {
            let mut state = self.state();
            if state.under_way < self.most {
                state.under_way += 1;
                return Ok(state.place(self));
            }
            let ticket = state.waiting.push(owner, sender, self.began.elapsed());
            if let Some((_, late)) = state.late.pop_first() {
                late.wake();
            }
            Waiting {
                of: self,
                owner,
                ticket,
            }
        };
        let place = tokio::time::timeout(wait_max, called).await;
        drop(waiting);
        match place {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(NoHandshake::Waited),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn place(&mut self, of: &Arc<Handshakes>) -> Place {
        self.last_id += 1;
        Place {
            id: self.last_id,
            of: Some(Arc::clone(of)),
        }
    }

    /// Gives a place that came free to the next that waits.
    fn give_on(&mut self, of: &Arc<Handshakes>) {
        while let Some(next) = self.waiting.pop(|_| true, of.began.elapsed()) {
            match next.send(self.place(of)) {
                Ok(()) => return,
                // It waits no longer. By hand: the place's own way would want the lock, which is held here.
                Err(mut unwanted) => unwanted.of = None,
            }
        }
        self.under_way = self.under_way.saturating_sub(1);
    }
}

impl Place {
    /// Works on `handshake` whenever it can go on and it is its turn, until it is done or gives way.
    async fn drive<F: Future>(
        &self,
        is_held_up: impl Fn() -> bool,
        handshake: F,
    ) -> Result<F::Output, NoHandshake> {
        let Some(of) = &self.of else {
            return Err(NoHandshake::GaveWay);
        };
        let mut handshake = pin!(handshake);
        let mut left = CLIENT_MAX;
        loop {
            // They are never closed; without one there would be more at once, and no harm but that.
            let turn = of.turns.acquire().await;
            let polled = poll_fn(|context| {
                let waker = context.waker().clone();
                Poll::Ready((handshake.as_mut().poll(context), waker))
            });
            let (polled, waker) = polled.await;
            drop(turn);
            if let Poll::Ready(made) = polled {
                return Ok(made);
            }
            if is_held_up() {
                until_woken().await;
            } else if left.is_zero() {
                self.is_late(of, waker)?;
                until_woken().await;
                self.goes_on(of)?;
            } else {
                let since = Instant::now();
                // Whatever woke it, it is looked at again.
                let _is_woken = tokio::time::timeout(left, until_woken()).await;
                left = left.saturating_sub(since.elapsed());
            }
        }
    }

    /// Its client has taken long: it may go on while nobody waits, and is woken if somebody does.
    fn is_late(&self, of: &Handshakes, waker: Waker) -> Result<(), NoHandshake> {
        let mut state = of.state();
        if state.waiting.len() > 0 {
            return Err(NoHandshake::GaveWay);
        }
        state.late.insert(self.id, waker);
        Ok(())
    }

    /// Its client has answered, unless it was woken to give way.
    fn goes_on(&self, of: &Handshakes) -> Result<(), NoHandshake> {
        let late = of.state().late.remove(&self.id);
        late.map(drop).ok_or(NoHandshake::GaveWay)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(of) = self.of.take() {
            let mut state = of.state();
            state.late.remove(&self.id);
            state.give_on(&of);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.of.state().waiting.remove(self.owner, self.ticket);
    }
}

impl NoHandshake {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Waited => "handshake_waited",
            Self::GaveWay => "handshake_gave_way",
            Self::Slow => "handshake_slow",
        }
    }
}

/// Waits until whatever was polled before in this task has woken it.
async fn until_woken() {
    let mut is_woken = false;
    poll_fn(|_| match std::mem::replace(&mut is_woken, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

#[cfg(test)]
mod tests;
