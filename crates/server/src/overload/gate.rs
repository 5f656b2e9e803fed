//! The door of one class: so many calls run, so many more wait, and the rest is told at once.
//!
//! A call that finds a free place takes it with two additions and no lock. Where none is free, callers take turns, and one that runs half of
//! all is passed over while another waits; it may be that one never runs more. A wait that would last longer than the call may take is not begun.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::account::Account;
use super::class::Class;
use super::queue::Queue;
use super::refusal::Refusal;

/// How much of a class there may be at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) running_max: usize,
    /// Of those, how many may be one caller's: calls can be made to last.
    pub(super) running_of_one_max: usize,
    pub(super) waiting_max: usize,
    pub(super) wait_max: Duration,
}

/// The door.
#[derive(Debug)]
pub(super) struct Gate {
    class: Class,
    began: Instant,
    room: Room,
    running: AtomicUsize,
    running_max: AtomicUsize,
    waiting: AtomicUsize,
    queue: Mutex<Queue<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    account: Arc<Account>,
    called: oneshot::Sender<Place>,
}

/// A place among those that run; free again once this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    /// None once it was given back by hand.
    held: Option<(Arc<Gate>, Arc<Account>)>,
}

/// Somebody who waits, and is taken out if it waits no longer.
struct Waiting<'a> {
    gate: &'a Gate,
    caller: u64,
    ticket: u64,
}

impl Gate {
    pub(super) fn new(class: Class, room: Room) -> Arc<Self> {
        Arc::new(Self {
            class,
            began: Instant::now(),
            running: AtomicUsize::new(0),
            running_max: AtomicUsize::new(room.running_max),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
            room,
        })
    }

    /// A place for a call of `account`, which may take no longer than `left`; and how long it waited for it.
    pub(super) async fn enter(
        self: &Arc<Self>,
        account: &Arc<Account>,
        left: Duration,
    ) -> Result<(Place, Option<Duration>), Refusal> {
        if self.waiting.load(Ordering::SeqCst) == 0 && self.try_start(account) {
            return Ok((self.place(account), None));
        }
        let since = Instant::now();
        let (waiting, called) = match self.wait(account, left)? {
            Ok(place) => return Ok((place, None)),
            Err(waits) => waits,
        };
        // There may be places that none of those before it may take.
        self.call();
        let place = tokio::time::timeout(self.room.wait_max, called).await;
        drop(waiting);
        match place {
            Ok(Ok(place)) => Ok((place, Some(since.elapsed()))),
            Ok(Err(_)) | Err(_) => Err(Refusal::Waited),
        }
    }

    /// Waits, unless a place became free meanwhile.
    fn wait(
        self: &Arc<Self>,
        account: &Arc<Account>,
        left: Duration,
    ) -> Result<Result<Place, (Waiting<'_>, oneshot::Receiver<Place>)>, Refusal> {
        let mut queue = self.queue();
        // Counted before it is looked again: who leaves sees either the count or has left before the look.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let given_up = |refusal| {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            refusal
        };
        if !queue.has(|waiter| self.may_run(&waiter.account)) && self.try_start(account) {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return Ok(Ok(self.place(account)));
        }
        let caller = account.key();
        let is_full = queue.len() >= self.room.waiting_max;
        // One caller may not fill the queue up.
        if is_full || queue.len_of(caller) >= self.room.waiting_max.div_ceil(2) {
            return Err(given_up(Refusal::Full));
        }
        if let Some(wait) = queue.too_long(caller, left) {
            return Err(given_up(Refusal::NotInTime { wait }));
        }
        let (sender, called) = oneshot::channel();
        let waiter = Waiter {
            account: Arc::clone(account),
            called: sender,
        };
        let ticket = queue.push(caller, waiter, self.began.elapsed());
        let waiting = Waiting {
            gate: self,
            caller,
            ticket,
        };
        Ok(Err((waiting, called)))
    }

    /// Lets so many run from now on.
    pub(super) fn resize(self: &Arc<Self>, running_max: usize) {
        self.running_max.store(running_max, Ordering::SeqCst);
        self.call();
    }

    pub(super) fn running_max(&self) -> usize {
        self.running_max.load(Ordering::SeqCst)
    }

    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Calls those in whose turn it is, as long as there is room.
    fn call(self: &Arc<Self>) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut queue = self.queue();
        while queue.len() > 0 && self.try_run() {
            let share = self.running_max().div_ceil(2);
            let has_room = |waiter: &Waiter| {
                let running = waiter.account.running(self.class);
                running.load(Ordering::Relaxed) < share
            };
            let now = self.began.elapsed();
            let next = queue.pop(has_room, now);
            let next = next.or_else(|| queue.pop(|waiter| self.may_run(&waiter.account), now));
            let Some(next) = next else {
                self.running.fetch_sub(1, Ordering::SeqCst);
                return;
            };
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            next.account
                .running(self.class)
                .fetch_add(1, Ordering::Relaxed);
            if let Err(mut unwanted) = next.called.send(self.place(&next.account)) {
                // Given back by hand: its own way would want the queue, which is held here.
                if let Some((_, account)) = unwanted.held.take() {
                    self.stop(&account);
                }
            }
        }
    }

    /// Whether the caller runs less than one may.
    fn may_run(&self, account: &Account) -> bool {
        account.running(self.class).load(Ordering::Relaxed) < self.room.running_of_one_max
    }

    fn try_start(&self, account: &Account) -> bool {
        let is_started = self.may_run(account) && self.try_run();
        if is_started {
            account.running(self.class).fetch_add(1, Ordering::Relaxed);
        }
        is_started
    }

    fn try_run(&self) -> bool {
        let max = self.running_max();
        let more = |running: usize| (running < max).then(|| running + 1);
        let ran = self
            .running
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        ran.is_ok()
    }

    fn stop(&self, account: &Account) {
        account.running(self.class).fetch_sub(1, Ordering::Relaxed);
        self.running.fetch_sub(1, Ordering::SeqCst);
    }

    fn place(self: &Arc<Self>, account: &Arc<Account>) -> Place {
        Place {
            held: Some((Arc::clone(self), Arc::clone(account))),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Waiter>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((gate, account)) = self.held.take() {
            gate.stop(&account);
            gate.call();
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.gate.queue().remove(self.caller, self.ticket) {
            self.gate.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::account::Accounts;
    use super::super::limits::Limits;
    use super::*;
    use crate::polled::polled;

    const LONG: Duration = Duration::from_secs(600);

    fn gate(running_max: usize, waiting_max: usize) -> Arc<Gate> {
        let room = Room {
            running_max,
            running_of_one_max: usize::MAX,
            waiting_max,
            wait_max: LONG,
        };
        Gate::new(Class::Bulk, room)
    }

    #[tokio::test]
    async fn one_caller_never_has_all_places_of_calls_that_it_can_make_last() {
        let room = Room {
            running_max: 4,
            running_of_one_max: 2,
            waiting_max: 10,
            wait_max: LONG,
        };
        let gate = Gate::new(Class::Check, room);
        let [storm, polite] = callers();
        let held = [(); 2].map(|()| Box::pin(gate.enter(&storm, LONG)));
        let mut places = Vec::new();
        for entering in held {
            places.push(entering.await.unwrap().0);
        }
        let mut third = Box::pin(gate.enter(&storm, LONG));
        assert!(polled(&mut third).await.is_pending(), "places are free");
        // Whoever waits for a place that it may not have is in nobody's way.
        for _ in 0..2 {
            let (place, waited) = gate.enter(&polite, LONG).await.unwrap();
            assert_eq!(waited, None);
            drop(place);
            assert!(polled(&mut third).await.is_pending());
        }
        places.pop();
        drop(third.await.unwrap());
    }

    fn callers() -> [Arc<Account>; 2] {
        let accounts = Accounts::new(Limits::default());
        ["storm", "polite"].map(|name| accounts.of(name, None, Duration::ZERO))
    }

    #[tokio::test]
    async fn who_asks_much_waits_behind_who_asks_little() {
        let gate = gate(2, 100);
        let [storm, polite] = callers();
        let first = gate.enter(&storm, LONG).await.unwrap().0;
        let second = gate.enter(&storm, LONG).await.unwrap().0;
        let mut storms: Vec<_> = (0..5).map(|_| Box::pin(gate.enter(&storm, LONG))).collect();
        for waits in &mut storms {
            assert!(polled(waits).await.is_pending());
        }
        let mut polites = Box::pin(gate.enter(&polite, LONG));
        assert!(polled(&mut polites).await.is_pending());
        assert_eq!((gate.running(), gate.waiting()), (2, 6));
        drop(first);
        // The storm still runs one, which is half: it is passed over.
        let std::task::Poll::Ready(Ok((place, waited))) = polled(&mut polites).await else {
            panic!("the polite caller waits");
        };
        assert!(waited.is_some());
        drop((place, second));
        let mut started = 0;
        for waits in &mut storms {
            started += usize::from(polled(waits).await.is_ready());
        }
        assert_eq!(started, 5, "each gave its place back at once");
        assert_eq!((gate.running(), gate.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn who_gives_up_leaves_no_hole_and_who_is_too_many_is_told() {
        let gate = gate(1, 4);
        let [storm, polite] = callers();
        let held = gate.enter(&storm, LONG).await.unwrap().0;
        let mut waits: Vec<_> = (0..2).map(|_| Box::pin(gate.enter(&storm, LONG))).collect();
        for waits in &mut waits {
            assert!(polled(waits).await.is_pending());
        }
        assert_eq!(gate.enter(&storm, LONG).await.unwrap_err(), Refusal::Full);
        let mut other = Box::pin(gate.enter(&polite, LONG));
        assert!(polled(&mut other).await.is_pending());
        drop(waits.remove(0));
        drop(other);
        assert_eq!(gate.waiting(), 1);
        drop(held);
        let place = waits.remove(0).await.unwrap().0;
        assert_eq!((gate.running(), gate.waiting()), (1, 0));
        assert_eq!(storm.running(Class::Bulk).load(Ordering::Relaxed), 1);
        drop(place);
        assert_eq!(gate.running(), 0);
    }

    #[tokio::test]
    async fn a_place_that_comes_too_late_is_given_to_the_next() {
        let gate = gate(1, 4);
        let [storm, polite] = callers();
        let held = gate.enter(&storm, LONG).await.unwrap().0;
        let mut first = Box::pin(gate.enter(&storm, LONG));
        assert!(polled(&mut first).await.is_pending());
        let mut second = Box::pin(gate.enter(&polite, LONG));
        assert!(polled(&mut second).await.is_pending());
        drop(held);
        // The place is on its way to the first, who is gone.
        drop(first);
        assert!(second.await.is_ok());
        assert_eq!((gate.running(), gate.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn a_wait_that_would_be_too_long_is_not_begun() {
        let gate = gate(1, 100);
        let [storm, _] = callers();
        let mut held = Some(gate.enter(&storm, LONG).await.unwrap().0);
        let mut waits: Vec<_> = (0..20)
            .map(|_| Box::pin(gate.enter(&storm, LONG)))
            .collect();
        for waits in &mut waits {
            assert!(polled(waits).await.is_pending());
        }
        for next in waits.drain(..10) {
            tokio::time::sleep(Duration::from_millis(5)).await;
            drop(held.take());
            held = Some(next.await.unwrap().0);
        }
        let refused = gate.enter(&storm, Duration::from_millis(10)).await;
        assert!(
            matches!(refused, Err(Refusal::NotInTime { .. })),
            "{refused:?}"
        );
        let mut patient = Box::pin(gate.enter(&storm, LONG));
        assert!(polled(&mut patient).await.is_pending());
    }

    #[tokio::test]
    async fn a_gate_that_grows_calls_those_that_wait() {
        let gate = gate(1, 10);
        let [storm, polite] = callers();
        let _held = gate.enter(&storm, LONG).await.unwrap().0;
        let mut waits = Box::pin(gate.enter(&polite, LONG));
        assert!(polled(&mut waits).await.is_pending());
        gate.resize(2);
        assert!(waits.await.is_ok());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_place_is_lost_or_made_up_by_many_at_once() {
        let gate = gate(3, 1_000);
        let callers = callers();
        let tasks = (0..64).map(|n| {
            let (gate, account) = (Arc::clone(&gate), Arc::clone(&callers[n % 2]));
            tokio::spawn(async move {
                for step in 0..200 {
                    let entering = gate.enter(&account, LONG);
                    if step % 7 == 0 {
                        // Gives up, perhaps while its place is on its way.
                        let given_up = tokio::time::timeout(Duration::from_micros(50), entering);
                        drop(given_up.await);
                        continue;
                    }
                    let _place = entering.await.unwrap();
                    assert!(gate.running() <= 3);
                    tokio::task::yield_now().await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert_eq!((gate.running(), gate.waiting()), (0, 0));
        for account in callers {
            assert_eq!(account.running(Class::Bulk).load(Ordering::Relaxed), 0);
        }
    }
}
