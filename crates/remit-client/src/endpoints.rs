//! Several endpoints: taken in turns, and one that fails is left alone for a while.
//!
//! When the while is over, one call tries the endpoint; the others go on leaving it alone until that call has succeeded. While
//! all are left alone, callers wait for the next try, each for as long as its deadline allows: so an outage costs a call now and then,
//! and its end is seen at once. Nothing waits here without a deadline around it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::connection::Lines;
use crate::random;

/// The first while; each failure doubles it.
const ALONE_MIN: Duration = Duration::from_millis(50);
/// The longest while, with another endpoint to go to.
const ALONE_MAX: Duration = Duration::from_secs(5);
/// The longest while, with nowhere else to go.
const ALONE_LAST_MAX: Duration = Duration::from_millis(200);
/// Calls in a row that were not answered in time, after which an endpoint counts as failing.
const LATE_MAX: u32 = 5;

/// All endpoints of a client.
#[derive(Debug)]
pub(crate) struct Endpoints {
    all: Vec<Arc<Server>>,
    next: AtomicUsize,
    recovered: Notify,
    began: Instant,
}

/// One endpoint and how it fares.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) lines: Lines,
    failures: AtomicU32,
    late: AtomicU32,
    /// Connections in a row that were closed before a call.
    closed: AtomicU32,
    /// Until when it is left alone, in microseconds since the client began; 0 while it is well.
    alone_until: AtomicU64,
}

/// Where an attempt goes: an endpoint, and which connection to it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) server: Arc<Server>,
    pub(crate) line: usize,
}

impl Server {
    pub(crate) fn new(name: &str, lines: Lines) -> Self {
        Self {
            name: name.to_owned(),
            lines,
            failures: AtomicU32::new(0),
            late: AtomicU32::new(0),
            closed: AtomicU32::new(0),
            alone_until: AtomicU64::new(0),
        }
    }

    fn is_well(&self) -> bool {
        self.alone_until.load(Ordering::Acquire) == 0
    }
}

impl Endpoints {
    pub(crate) fn new(all: Vec<Arc<Server>>) -> Self {
        Self {
            // Clients that start together do not all begin with the same endpoint.
            next: AtomicUsize::new(random::below(all.len())),
            all,
            recovered: Notify::new(),
            began: Instant::now(),
        }
    }

    /// The endpoint for the next attempt, rather another than `avoid`. Waits while all are left alone.
    pub(crate) async fn pick(&self, avoid: Option<&Arc<Server>>) -> Target {
        loop {
            // Registered before looking, or a recovery in between would be missed.
            let recovered = self.recovered.notified();
            if let Some(server) = self.well(avoid).or_else(|| self.tried_again()) {
                return Target { server, line: 0 };
            }
            let wait = self.until_next_try();
            tokio::select! {
                () = recovered => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Where a second attempt beside one at `first` goes: another endpoint that is well, else another connection.
    pub(crate) fn beside(&self, first: &Target) -> Target {
        match self.well(Some(&first.server)) {
            Some(server) if !Arc::ptr_eq(&server, &first.server) => Target { server, line: 0 },
            Some(_) | None => Target {
                server: Arc::clone(&first.server),
                line: 1,
            },
        }
    }

    /// Every endpoint.
    pub(crate) fn all(&self) -> &[Arc<Server>] {
        &self.all
    }

    /// An endpoint that is well, in turns.
    fn well(&self, avoid: Option<&Arc<Server>>) -> Option<Arc<Server>> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let is_avoided =
            |server: &Arc<Server>| avoid.is_some_and(|avoid| Arc::ptr_eq(avoid, server));
        let mut second = None;
        for server in self.from(turn).filter(|server| server.is_well()) {
            if !is_avoided(server) {
                return Some(Arc::clone(server));
            }
            second = Some(server);
        }
        second.map(Arc::clone)
    }

    fn from(&self, turn: usize) -> impl Iterator<Item = &Arc<Server>> {
        let start = turn.checked_rem(self.all.len()).unwrap_or(0);
        let count = self.all.len();
        self.all.iter().cycle().skip(start).take(count)
    }

    /// An endpoint whose while is over; the others see it alone for one more while.
    fn tried_again(&self) -> Option<Arc<Server>> {
        let now = self.micros();
        self.all.iter().find_map(|server| {
            let until = server.alone_until.load(Ordering::Acquire);
            if until == 0 {
                return Some(Arc::clone(server));
            }
            let next = now.saturating_add(self.alone(server));
            let is_mine = until <= now
                && server
                    .alone_until
                    .compare_exchange(until, next, Ordering::AcqRel, Ordering::Acquire)
                    .is_ok();
            is_mine.then(|| Arc::clone(server))
        })
    }

    fn until_next_try(&self) -> Duration {
        let now = self.micros();
        let all = self.all.iter();
        let waits = all.map(|server| {
            server
                .alone_until
                .load(Ordering::Acquire)
                .saturating_sub(now)
        });
        let wait = Duration::from_micros(waits.min().unwrap_or(0));
        wait.clamp(Duration::from_millis(1), ALONE_LAST_MAX)
    }

    /// The endpoint has answered.
    pub(crate) fn note_success(&self, server: &Server) {
        for count in [&server.late, &server.closed] {
            if count.load(Ordering::Relaxed) != 0 {
                count.store(0, Ordering::Relaxed);
            }
        }
        if server.is_well() && server.failures.load(Ordering::Relaxed) == 0 {
            return;
        }
        server.failures.store(0, Ordering::Relaxed);
        server.alone_until.store(0, Ordering::Release);
        self.recovered.notify_waiters();
    }

    /// The endpoint cannot be reached, or says that it cannot answer.
    pub(crate) fn note_failure(&self, server: &Server) {
        server.failures.fetch_add(1, Ordering::Relaxed);
        let until = self.micros().saturating_add(self.alone(server)).max(1);
        // Calls that failed together count as one while.
        server.alone_until.fetch_max(until, Ordering::AcqRel);
    }

    /// The endpoint has closed a connection before a call was sent. Once, that is a connection that was idle, or a server that
    /// goes; again, without an answer in between, it is one that takes no calls.
    pub(crate) fn note_closed(&self, server: &Server) {
        if server.closed.fetch_add(1, Ordering::Relaxed) > 0 {
            self.note_failure(server);
        }
    }

    /// The endpoint has not answered in time.
    pub(crate) fn note_late(&self, server: &Server) {
        if server.late.fetch_add(1, Ordering::Relaxed) + 1 >= LATE_MAX {
            server.late.store(0, Ordering::Relaxed);
            self.note_failure(server);
        }
    }

    /// How long an endpoint is left alone after its failures, in microseconds, with jitter.
    fn alone(&self, server: &Server) -> u64 {
        let doublings = server.failures.load(Ordering::Relaxed).saturating_sub(1);
        let has_other = self.all.iter().any(|other| other.is_well());
        let max = if has_other { ALONE_MAX } else { ALONE_LAST_MAX };
        let alone = ALONE_MIN.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
        let alone = random::jittered(alone.min(max));
        u64::try_from(alone.as_micros()).unwrap_or(u64::MAX)
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Transport;

    fn endpoints(count: usize) -> Endpoints {
        let server = |number: usize| {
            let name = format!("127.0.0.1:{}", number + 1);
            let lines = Lines::new(&name, &Transport::Plaintext, None, Duration::from_secs(1));
            Arc::new(Server::new(&name, lines.unwrap()))
        };
        Endpoints::new((0..count).map(server).collect())
    }

    #[tokio::test]
    async fn endpoints_take_turns() {
        let endpoints = endpoints(3);
        let mut counts = [0; 3];
        for _ in 0..300 {
            let picked = endpoints.pick(None).await.server;
            let ix = endpoints
                .all()
                .iter()
                .position(|one| Arc::ptr_eq(one, &picked));
            counts[ix.unwrap()] += 1;
        }
        assert_eq!(counts, [100; 3]);
        let first = endpoints.pick(None).await;
        assert_ne!(
            endpoints.pick(Some(&first.server)).await.server.name,
            first.server.name
        );
        assert_ne!(endpoints.beside(&first).server.name, first.server.name);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_is_left_alone_while_another_is_well() {
        let endpoints = endpoints(2);
        let bad = Arc::clone(&endpoints.all()[0]);
        endpoints.note_failure(&bad);
        for _ in 0..10 {
            assert_ne!(endpoints.pick(None).await.server.name, bad.name);
        }
        // Nobody is well: the first whose while is over is tried.
        endpoints.note_failure(&endpoints.all()[1]);
        let tried = endpoints.pick(None).await.server;
        assert!(!tried.is_well());
        endpoints.note_success(&tried);
        assert!(tried.is_well());
        assert_eq!(endpoints.pick(None).await.server.name, tried.name);
    }

    #[tokio::test(start_paused = true)]
    async fn when_a_while_is_over_one_call_tries_and_the_others_wait_for_it() {
        let endpoints = endpoints(1);
        endpoints.note_failure(&endpoints.all()[0]);
        let began = Instant::now();
        let tried = endpoints.pick(None).await.server;
        assert!(began.elapsed() >= ALONE_MIN / 2, "it was not left alone");
        let waits = endpoints.pick(None);
        tokio::pin!(waits);
        // Less than the shortest while: time stands still while anything can go on.
        let early = tokio::time::timeout(ALONE_MIN / 4, &mut waits).await;
        assert!(early.is_err(), "two calls try");
        let began = Instant::now();
        endpoints.note_success(&tried);
        let picked = waits.await.server;
        assert_eq!(
            began.elapsed(),
            Duration::ZERO,
            "the end is not seen at once"
        );
        assert!(picked.is_well());
    }

    #[tokio::test]
    async fn with_one_endpoint_a_second_attempt_takes_another_connection() {
        let endpoints = endpoints(1);
        let first = endpoints.pick(None).await;
        assert_eq!((first.line, endpoints.beside(&first).line), (0, 1));
        for _ in 0..LATE_MAX {
            assert!(first.server.is_well());
            endpoints.note_late(&first.server);
        }
        assert!(!first.server.is_well());
    }
}
