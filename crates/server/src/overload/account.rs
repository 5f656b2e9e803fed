//! What is kept of each caller: how much it may ask for, how much it asked for, and what is under way.
//!
//! The rate is the generic cell rate algorithm (ITU-T I.371): one number, the instant at which all that was taken is paid for. A call pays what it
//! is known to cost before it begins, and what it turned out to cost after it: the next call waits for that.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::class::Class;
use super::limits::{Allowance, Limits};

/// Callers that are kept apart; more share one account.
const ACCOUNTS_MAX: usize = 65_536;

/// One caller.
#[derive(Debug)]
pub(crate) struct Account {
    name: String,
    key: u64,
    /// Of these limits, by their number.
    allowance: ArcSwap<(u64, Allowance)>,
    /// Until when all that was taken is paid for, in nanoseconds after the server began.
    paid_until: AtomicU64,
    running: [AtomicUsize; 4],
    /// Calls that were let in, whether they run or wait.
    asked: [AtomicUsize; 4],
}

/// A call that counts among those of its caller until this is dropped.
#[derive(Debug)]
pub(super) struct Asked(Arc<Account>, Class);

/// All callers that were seen lately.
#[derive(Debug)]
pub(super) struct Accounts {
    by_name: Mutex<HashMap<String, Arc<Account>>>,
    others: Arc<Account>,
    keys: RandomState,
    /// The limits in force, and how often they were replaced.
    limits: ArcSwap<(u64, Limits)>,
}

impl Account {
    fn new(name: &str, key: u64, limits: &(u64, Limits)) -> Self {
        Self {
            name: name.to_owned(),
            key,
            allowance: ArcSwap::from_pointee((limits.0, limits.1.of(name))),
            paid_until: AtomicU64::new(0),
            running: Default::default(),
            asked: Default::default(),
        }
    }

    /// A number for the caller that no other has, but by chance.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    pub(super) fn allowance(&self) -> Allowance {
        self.allowance.load().1
    }

    pub(super) fn running(&self, class: Class) -> &AtomicUsize {
        of_class(&self.running, class)
    }

    /// Lets one more call of the class in, if the caller has not as many as it may.
    pub(super) fn ask(self: &Arc<Self>, class: Class) -> Option<Asked> {
        let most = self.allowance().concurrency;
        let more = |asked: usize| (asked < most).then(|| asked + 1);
        let asked = of_class(&self.asked, class);
        let is_let_in = asked.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        is_let_in.is_ok().then(|| Asked(Arc::clone(self), class))
    }

    fn running_in_all(&self) -> usize {
        let running = self.running.iter();
        running.map(|it| it.load(Ordering::Relaxed)).sum()
    }

    /// Takes `units` at `now`; how long to wait where there are not as many.
    pub(super) fn take(&self, units: u64, now: Duration) -> Result<(), Duration> {
        let allowance = self.allowance();
        if allowance.rate.is_none() {
            return Ok(());
        }
        let now = nanos(now);
        let burst = nanos(allowance.burst());
        let cost = allowance.cost_nanos(units);
        let taken = self
            .paid_until
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid| {
                let paid = paid.max(now);
                (paid - now <= burst).then(|| paid.saturating_add(cost))
            });
        taken.map(drop).map_err(|paid| {
            let wait = paid.saturating_sub(now).saturating_sub(burst);
            Duration::from_nanos(wait)
        })
    }

    /// Puts on account what a call cost beyond what it took; at most a minute's worth, so that nobody is shut out for long.
    pub(super) fn owe(&self, units: u64, now: Duration) {
        const DEBT_MAX: Duration = Duration::from_secs(60);
        if units == 0 {
            return;
        }
        let allowance = self.allowance();
        if allowance.rate.is_none() {
            return;
        }
        let (now, cost) = (nanos(now), allowance.cost_nanos(units));
        let most = now.saturating_add(nanos(allowance.burst().saturating_add(DEBT_MAX)));
        let owed = |paid: u64| Some(paid.max(now).saturating_add(cost).min(most.max(paid)));
        let _always = self
            .paid_until
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, owed);
    }
}

impl Accounts {
    pub(super) fn new(limits: Limits) -> Self {
        let limits = (0, limits);
        Self {
            others: Arc::new(Account::new("", 0, &limits)),
            by_name: Mutex::default(),
            keys: RandomState::new(),
            limits: ArcSwap::from_pointee(limits),
        }
    }

    /// The account of the caller called `name`: `last`, if it is that.
    pub(super) fn of(
        &self,
        name: &str,
        last: Option<&Arc<Account>>,
        now: Duration,
    ) -> Arc<Account> {
        let limits = self.limits.load();
        let account = match last {
            Some(last) if last.name == name => Arc::clone(last),
            Some(_) | None => self.find(name, &limits, now),
        };
        if account.allowance.load().0 != limits.0 {
            let allowance = limits.1.of(&account.name);
            account.allowance.store(Arc::new((limits.0, allowance)));
        }
        account
    }

    fn find(&self, name: &str, limits: &(u64, Limits), now: Duration) -> Arc<Account> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = by_name.get(name) {
            return Arc::clone(account);
        }
        if by_name.len() >= ACCOUNTS_MAX {
            let now = nanos(now);
            by_name.retain(|_, account| {
                let owes = account.paid_until.load(Ordering::Relaxed) > now;
                owes || account.running_in_all() > 0 || Arc::strong_count(account) > 1
            });
        }
        if by_name.len() >= ACCOUNTS_MAX {
            return Arc::clone(&self.others);
        }
        let key = self.keys.hash_one(name);
        let account = Arc::new(Account::new(name, key, limits));
        by_name.insert(name.to_owned(), Arc::clone(&account));
        account
    }

    pub(super) fn replace(&self, limits: Limits) {
        let number = self.limits.load().0.wrapping_add(1);
        self.limits.store(Arc::new((number, limits)));
    }

    pub(super) fn count(&self) -> usize {
        let by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.len()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Self(account, class) = self;
        of_class(&account.asked, *class).fetch_sub(1, Ordering::Relaxed);
    }
}

fn of_class(counts: &[AtomicUsize; 4], class: Class) -> &AtomicUsize {
    let [check, write, bulk, stream] = counts;
    match class {
        Class::Check => check,
        Class::Write => write,
        Class::Bulk => bulk,
        Class::Stream => stream,
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(text: &str) -> Accounts {
        Accounts::new(Limits::read(text).unwrap())
    }

    #[test]
    fn a_rate_is_a_burst_and_then_so_much_a_second() {
        let accounts = accounts("default: {rate: 100, burst: 10}");
        let at = Duration::from_millis;
        let account = accounts.of("ann", None, at(0));
        let taken = |now| {
            (0..1_000)
                .take_while(|_| account.take(1, at(now)).is_ok())
                .count()
        };
        // One more than the burst: the call that is under way.
        assert_eq!(taken(0), 11);
        assert_eq!(account.take(1, at(0)).unwrap_err(), at(10));
        assert_eq!(taken(10), 1);
        assert_eq!(taken(1_010), 11, "no more than a burst is saved up");
        let second: usize = (1_011..=2_010).map(taken).sum();
        assert_eq!(second, 100);
    }

    #[test]
    fn what_a_call_cost_is_paid_by_those_after_it() {
        let accounts = accounts("default: {rate: 100, burst: 10}");
        let at = Duration::from_millis;
        let account = accounts.of("ann", None, at(0));
        account.take(1, at(0)).unwrap();
        account.owe(209, at(0));
        assert_eq!(account.take(1, at(0)).unwrap_err(), at(2_000));
        account.take(1, at(2_000)).unwrap();
        account.owe(u64::MAX, at(2_000));
        let wait = account.take(1, at(2_000)).unwrap_err();
        assert_eq!(wait, Duration::from_secs(60));
    }

    #[test]
    fn callers_are_known_again_and_get_new_limits() {
        let accounts = accounts("default: {rate: 1, burst: 1}");
        let now = Duration::ZERO;
        let ann = accounts.of("ann", None, now);
        assert!(Arc::ptr_eq(&ann, &accounts.of("ann", Some(&ann), now)));
        let bob = accounts.of("bob", Some(&ann), now);
        assert_ne!(ann.key(), bob.key());
        accounts.replace(Limits::read("callers: [{name: 'a*', rate: 7}]").unwrap());
        assert_eq!(
            accounts.of("ann", Some(&ann), now).allowance().rate,
            Some(7)
        );
        assert_ne!(accounts.of("bob", None, now).allowance().rate, Some(7));
        assert_eq!(accounts.count(), 2);
    }

    #[test]
    fn calls_that_wait_count_among_those_of_their_caller() {
        let account = accounts("default: {concurrency: 2}").of("ann", None, Duration::ZERO);
        let first = account.ask(Class::Bulk).unwrap();
        let _second = account.ask(Class::Bulk).unwrap();
        assert!(account.ask(Class::Bulk).is_none(), "none of them runs yet");
        assert!(account.ask(Class::Check).is_some(), "another class");
        drop(first);
        assert!(account.ask(Class::Bulk).is_some());
    }

    #[test]
    fn whoever_has_no_rate_owes_nothing() {
        let account = accounts("{}").of("ann", None, Duration::ZERO);
        account.owe(u64::MAX, Duration::ZERO);
        assert_eq!(account.take(1_000_000, Duration::ZERO), Ok(()));
    }

    #[test]
    fn accounts_are_bounded_and_those_that_are_not_used_make_room() {
        let accounts = accounts("default: {rate: 1, burst: 1}");
        let now = Duration::ZERO;
        let held = accounts.of("held", None, now);
        for n in 0..ACCOUNTS_MAX + 10 {
            let account = accounts.of(&n.to_string(), None, now);
            assert_eq!(account.name, n.to_string());
        }
        assert!(accounts.count() <= ACCOUNTS_MAX);
        assert!(Arc::ptr_eq(&held, &accounts.of("held", None, now)));
        let all: Vec<_> = (0..ACCOUNTS_MAX)
            .map(|n| accounts.of(&n.to_string(), None, now))
            .collect();
        let one_more = accounts.of("one more", None, now);
        assert!(Arc::ptr_eq(&one_more, &accounts.others));
        drop(all);
    }
}
