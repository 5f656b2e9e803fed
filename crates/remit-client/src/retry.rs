//! Asking again: what may be, how often, and never so often that it makes an outage worse.
//!
//! | the failed attempt | a read | a write without a key | a write with an idempotency key |
//! |---|---|---|---|
//! | never reached a server | again | again | again |
//! | was refused: overloaded, or a conflict | again | again | again |
//! | came without a good credential | again, if there is another credential | the same | the same |
//! | server or connection lost, or `UNAVAILABLE` | again | [`ErrorKind::OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) | again |
//! | failed in the server (`INTERNAL`, out of time) | an error | `OutcomeUnknown` | an error |
//! | anything else | an error | an error | an error |
//!
//! Attempts that reached a server are paid for from a budget, which calls fill: however long an outage lasts, retries are a share of the calls.
//! Those that did not are free, since they cost no server anything; the endpoints see to it that they are few.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use prost::Message as _;
use tonic::Status;

use crate::link::Proof;
use crate::random;

/// When calls are made again. The deadline of a call bounds all of its attempts together.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// The most attempts of one call that reach a server, the first among them; 1 for no retries.
    pub attempts_max: u32,
    /// The wait before the second attempt; each later one doubles it. Half of it is random.
    pub backoff_min: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// Retries as a share of calls, in the long run.
    pub share_max: f64,
    /// Retries in a row beyond the share, after a quiet time.
    pub burst_max: u32,
}

/// Whether doing a call twice is the same as doing it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing, or the server knows it again.
    Harmless,
    /// It may be done once only.
    Once,
}

/// What to do after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Try again at once: nobody was troubled.
    Free,
    /// Try again if the budget has it.
    Paid,
    /// Try again with another credential.
    Renew,
    /// It failed, and nothing was done.
    Fail,
    /// It failed, and may have been done.
    Unknown,
}

/// Tells retries, or hedges, to be a share of the calls: a bucket that each call fills a little.
#[derive(Debug)]
pub(crate) struct Budget {
    /// In thousandths of an attempt.
    left: AtomicI64,
    fill: i64,
    max: i64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts_max: 4,
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_millis(500),
            share_max: 0.1,
            burst_max: 100,
        }
    }
}

impl Retry {
    /// None at all: each call is one attempt, besides those that reach no server.
    #[must_use]
    pub fn never() -> Self {
        Self {
            attempts_max: 1,
            ..Self::default()
        }
    }

    /// The wait before the attempt after `made` ones.
    pub(crate) fn backoff(&self, made: u32) -> Duration {
        let doublings = 1_u32
            .checked_shl(made.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let wait = self.backoff_min.saturating_mul(doublings);
        random::jittered(wait.min(self.backoff_max))
    }
}

/// How long a server asks to be left alone, in what it says beside its status.
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

/// What a failure says of when to come back, if it says so.
pub(crate) fn asked_for(status: &Status) -> Option<Duration> {
    const NAME: &str = "google.rpc.RetryInfo";
    let details = remit_proto::google::rpc::Status::decode(status.details()).ok()?;
    let told = details.details.into_iter().find(|detail| {
        let name = detail.type_url.rsplit('/').next();
        name == Some(NAME)
    })?;
    let told = RetryInfo::decode(told.value.as_slice()).ok()?;
    told.retry_delay?.try_into().ok()
}

impl Next {
    /// What follows on what is proven of the attempt.
    pub(crate) fn after(proof: Proof, repeat: Repeat) -> Self {
        match (proof, repeat) {
            (Proof::NotSent, Repeat::Harmless | Repeat::Once) => Self::Free,
            (Proof::Refused, Repeat::Harmless | Repeat::Once)
            | (Proof::Unavailable | Proof::Lost, Repeat::Harmless) => Self::Paid,
            (Proof::Unavailable | Proof::Lost | Proof::Broken, Repeat::Once) => Self::Unknown,
            (Proof::Unauthenticated, Repeat::Harmless | Repeat::Once) => Self::Renew,
            (Proof::Broken, Repeat::Harmless)
            | (Proof::Answered, Repeat::Harmless | Repeat::Once) => Self::Fail,
        }
    }
}

impl Budget {
    /// Lets `share` of the calls have another attempt, and `burst` at once after a quiet time.
    pub(crate) fn new(share: f64, burst: u32) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a share is between 0 and 1, and a float that is not is clamped by the cast"
        )]
        let fill = (share * 1_000.0).round() as i64;
        let max = i64::from(burst) * 1_000;
        Self {
            left: AtomicI64::new(max),
            fill,
            max,
        }
    }

    /// A call is made.
    pub(crate) fn fill(&self) {
        let left = self.left.load(Ordering::Relaxed);
        if left < self.max {
            // Calls at the same time may fill it over the brim by what they bring; no matter.
            self.left.fetch_add(self.fill, Ordering::Relaxed);
        }
    }

    /// Whether there is one attempt more to spend.
    pub(crate) fn spend(&self) -> bool {
        let spent = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                (left >= 1_000).then(|| left - 1_000)
            });
        spent.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_repeated_only_where_nothing_was_done() {
        assert_eq!(Next::after(Proof::Broken, Repeat::Once), Next::Unknown);
        for proof in [Proof::Unavailable, Proof::Lost] {
            assert_eq!(Next::after(proof, Repeat::Once), Next::Unknown);
            assert_eq!(Next::after(proof, Repeat::Harmless), Next::Paid);
        }
        for repeat in [Repeat::Once, Repeat::Harmless] {
            assert_eq!(Next::after(Proof::NotSent, repeat), Next::Free);
            assert_eq!(Next::after(Proof::Refused, repeat), Next::Paid);
            assert_eq!(Next::after(Proof::Answered, repeat), Next::Fail);
        }
    }

    #[test]
    fn a_budget_is_a_burst_and_then_a_share() {
        let budget = Budget::new(0.1, 5);
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 5);
        let mut spent = 0;
        for _ in 0..1_000 {
            budget.fill();
            spent += i32::from(budget.spend());
        }
        assert_eq!(spent, 100);
    }

    #[test]
    fn a_server_may_say_when_to_come_back() {
        let status = |seconds: i64| {
            let info = RetryInfo {
                retry_delay: Some(prost_types::Duration { seconds, nanos: 5 }),
            };
            let detail = prost_types::Any {
                type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
                value: info.encode_to_vec(),
            };
            let details = remit_proto::google::rpc::Status {
                details: vec![prost_types::Any::default(), detail],
                ..Default::default()
            };
            let code = tonic::Code::ResourceExhausted;
            Status::with_details(code, "later", details.encode_to_vec().into())
        };
        assert_eq!(asked_for(&status(3)), Some(Duration::new(3, 5)));
        assert_eq!(asked_for(&status(-3)), None);
        assert_eq!(asked_for(&Status::unavailable("later")), None);
    }

    #[test]
    fn waits_double_up_to_their_bound() {
        let retry = Retry::default();
        for (made, most) in [(1, 20), (2, 40), (3, 80), (10, 500), (100, 500)] {
            let (wait, most) = (retry.backoff(made), Duration::from_millis(most));
            assert!(wait >= most / 2 && wait <= most, "{made}: {wait:?}");
        }
    }
}
