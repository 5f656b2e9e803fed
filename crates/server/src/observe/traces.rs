//! Traces of a few calls: which are sampled, what of them is told, and how that is sent away.
//!
//! Whether a call is sampled is decided before anything is recorded: by the `traceparent` that its caller sent, else by chance. What
//! a caller asks for is followed up to a bound, since a trace costs more than a check. Spans go to a collector by OTLP over a bounded
//! queue ([`export`]): a collector that is slow or away costs spans, which are counted, and never a call its time.

mod context;
mod export;
mod span;

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::HeaderMap;
use model::{Clock, SystemClock, Timestamp};
use ops::stages::Record;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use context::Parent;
use export::{Exporter, Way};
pub(super) use span::Call;

/// Where traces go, and of how many calls.
#[derive(Clone)]
pub struct TraceSettings {
    /// The collector, `http://HOST:4317` or `https://HOST:4317`.
    pub endpoint: String,
    /// Headers of what is sent to it, such as a key. They are secret.
    pub headers: Vec<(String, String)>,
    /// The authorities of the collector's certificate, as PEM; none for those that the system trusts.
    pub authorities_pem: Option<String>,
    /// The part of the calls without a `traceparent` that are traced, from 0 to 1.
    pub ratio: f64,
    /// Calls a second that are traced because their caller traces them.
    pub followed_per_second_max: u32,
    /// The name of this service in the traces.
    pub service_name: String,
}

impl std::fmt::Debug for TraceSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceSettings")
            .field("endpoint", &self.endpoint)
            .field("ratio", &self.ratio)
            .finish_non_exhaustive()
    }
}

impl TraceSettings {
    /// Whether traces can be sent by these. Nobody is asked.
    ///
    /// # Errors
    /// [`TracesError`] for what a server would not start with.
    pub fn check(&self) -> Result<(), TracesError> {
        let ratio = self.ratio;
        if !(0.0..=1.0).contains(&ratio) {
            return Err(TracesError::Ratio { ratio });
        }
        Way::of(self).map(drop)
    }
}

/// Why there can be no traces.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The collector's address is none.
    #[error(
        "`{endpoint}` is no address of a collector of traces: expected `http://HOST:4317` or `https://HOST:4317`"
    )]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// The collector's address cannot be used.
    #[error("the collector of traces cannot be reached over TLS: its authorities cannot be used")]
    Tls(#[source] tonic::transport::Error),
    /// A header for the collector is none. It is not repeated, since it may be a key.
    #[error(
        "header {place} for the collector of traces is none: expected a name of lower-case letters, digits, `-`, `_` and `.`, and a value of visible characters"
    )]
    Header {
        /// Which one, from 1.
        place: usize,
    },
    /// The part of calls is none.
    #[error("{ratio} is no part of the calls: expected a number from 0 to 1")]
    Ratio {
        /// What was given.
        ratio: f64,
    },
}

/// What decides about traces and sends them.
pub(super) struct Traces {
    /// Chances out of all `u64`; the last one stands for all.
    threshold: u64,
    followed_per_second_max: u32,
    /// The second since the start in its upper half, and how many were followed in it in the lower.
    followed: AtomicU64,
    started: Instant,
    clock: Arc<dyn Clock>,
    exporter: Exporter,
    unfollowed: Counter,
}

/// A call that is traced.
#[derive(Debug)]
pub(super) struct Sampled {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    parent: Option<Parent>,
    arrived: Timestamp,
}

impl Sampled {
    pub(super) fn trace_id_text(&self) -> String {
        context::hex(&self.trace_id)
    }
}

impl Traces {
    /// # Errors
    /// [`TracesError`] for settings that cannot be used. That nobody listens at the collector's address is none.
    pub(super) fn start(settings: TraceSettings) -> Result<Self, TracesError> {
        settings.check()?;
        let ratio = settings.ratio;
        Ok(Self {
            threshold: (ratio * u64::MAX as f64) as u64,
            followed_per_second_max: settings.followed_per_second_max,
            followed: AtomicU64::new(0),
            started: Instant::now(),
            clock: Arc::new(SystemClock),
            exporter: Exporter::start(settings)?,
            unfollowed: Counter::default(),
        })
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        self.exporter.register(registry);
        registry.register(
            "remit_traces_unfollowed",
            "Calls that their callers trace and that were not traced here: there were too many in that second",
            self.unfollowed.clone(),
        );
    }

    /// What a call is traced as; none if it is not.
    pub(super) fn sample(&self, headers: &HeaderMap) -> Option<Sampled> {
        let parent = match Parent::of(headers) {
            None if !self.is_chosen() => return None,
            Some(parent) if !parent.is_sampled => return None,
            Some(_) if !self.may_follow() => {
                self.unfollowed.inc();
                return None;
            }
            parent => parent,
        };
        let trace_id = match &parent {
            Some(parent) => parent.trace_id,
            None => made_trace_id(),
        };
        Some(Sampled {
            trace_id,
            span_id: made_span_id(),
            parent,
            arrived: self.clock.now(),
        })
    }

    /// Whether chance chooses a call.
    fn is_chosen(&self) -> bool {
        self.threshold == u64::MAX || random() < self.threshold
    }

    /// Whether one more call may be followed in this second.
    fn may_follow(&self) -> bool {
        let second = self.started.elapsed().as_secs() & u64::from(u32::MAX);
        let max = u64::from(self.followed_per_second_max);
        let next = |word: u64| {
            let count = if word >> 32 == second {
                word & u64::from(u32::MAX)
            } else {
                0
            };
            (count < max).then(|| second << 32 | (count + 1))
        };
        let relaxed = Ordering::Relaxed;
        self.followed.fetch_update(relaxed, relaxed, next).is_ok()
    }

    /// Sends away what is known of a call that is over.
    pub(super) fn send(&self, sampled: &Sampled, call: &Call<'_>, record: Option<&Record>) {
        self.exporter.send(span::spans(sampled, call, record));
    }

    pub(super) async fn close(&self) {
        self.exporter.close().await;
    }
}

impl std::fmt::Debug for Traces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}

/// A number that nobody need be unable to guess (xorshift64*), from a state of this thread's own.
fn random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u8) | 1);
    }
    STATE.with(|state| {
        let mut x = state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    })
}

fn made_trace_id() -> [u8; 16] {
    let number = u128::from(random()) << 64 | u128::from(random() | 1);
    number.to_be_bytes()
}

fn made_span_id() -> [u8; 8] {
    (random() | 1).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(ratio: f64, followed_per_second_max: u32) -> Traces {
        Traces::start(TraceSettings {
            endpoint: "http://127.0.0.1:1".to_owned(),
            headers: Vec::new(),
            authorities_pem: None,
            ratio,
            followed_per_second_max,
            service_name: "remit".to_owned(),
        })
        .unwrap()
    }

    fn asked(sampled: bool) -> HeaderMap {
        let text = format!(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0{}",
            u8::from(sampled)
        );
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", text.parse().unwrap());
        headers
    }

    #[tokio::test]
    async fn chance_chooses_the_part_that_it_is_told() {
        let none = HeaderMap::new();
        let count = |traces: &Traces| {
            (0..100_000)
                .filter(|_| traces.sample(&none).is_some())
                .count()
        };
        assert_eq!(count(&traces(0.0, 1)), 0);
        assert_eq!(count(&traces(1.0, 1)), 100_000);
        let some = count(&traces(0.01, 1));
        assert!((700..1_300).contains(&some), "{some}");
    }

    #[tokio::test]
    async fn a_callers_decision_is_followed_up_to_a_bound() {
        let traces = traces(1.0, 0);
        assert!(traces.sample(&asked(false)).is_none());
        assert!(traces.sample(&asked(true)).is_none());
        assert_eq!(traces.unfollowed.get(), 1);
        let traces = self::traces(0.0, 1_000_000);
        let sampled = traces.sample(&asked(true)).unwrap();
        assert_eq!(sampled.trace_id_text(), "0af7651916cd43dd8448eb211c80319c");
        let bounded = self::traces(0.0, 3);
        let followed = (0..50).filter(|_| bounded.sample(&asked(true)).is_some());
        // A second may end meanwhile, and the next one has room for as many.
        assert!((3..50).contains(&followed.count()));
    }

    #[test]
    fn settings_that_cannot_be_used_are_refused_and_no_key_is_repeated() {
        let with = |change: fn(&mut TraceSettings)| {
            let mut settings = TraceSettings {
                endpoint: "http://127.0.0.1:1".to_owned(),
                headers: Vec::new(),
                authorities_pem: None,
                ratio: 0.5,
                followed_per_second_max: 1,
                service_name: "remit".to_owned(),
            };
            change(&mut settings);
            Traces::start(settings).unwrap_err().to_string()
        };
        assert!(with(|it| it.ratio = f64::NAN).contains("from 0 to 1"));
        assert!(with(|it| it.ratio = 1.5).contains("from 0 to 1"));
        assert!(with(|it| it.endpoint = "collector".to_owned()).contains("`collector`"));
        assert!(with(|it| it.endpoint = String::new()).contains("http://HOST:4317"));
        let told = with(|it| it.headers = vec![("api key".to_owned(), "hush".to_owned())]);
        assert!(
            told.contains("header 1") && !told.contains("hush"),
            "{told}"
        );
    }
}
