//! What is counted of the requests that proxies ask about: by route and outcome, nothing of the requests themselves.

use edge::Outcome;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The counters. Routes are those of the file, so that their number is bounded.
#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: Family<OfRequest, Counter>,
    reads: Family<OfRead, Counter>,
    is_current: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    /// Empty for a request that no route is for.
    route: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRead {
    outcome: &'static str,
}

const OUTCOMES: [Outcome; 5] = [
    Outcome::Allowed,
    Outcome::Denied,
    Outcome::WouldDeny,
    Outcome::Unmatched,
    Outcome::Error,
];

impl Counters {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "remit_edge_requests",
            "Requests that proxies asked about, by the route of the rules and what became of them",
            self.requests.clone(),
        );
        registry.register(
            "remit_edge_rules_reads",
            "Times that the file of rules was read, and whether its rules were taken or refused",
            self.reads.clone(),
        );
        registry.register(
            "remit_edge_rules_current",
            "1 while the rules in force are those of the file, 0 while the file cannot be used",
            self.is_current.clone(),
        );
    }

    pub(super) fn note(&self, route: Option<&str>, outcome: Outcome) {
        let of = OfRequest {
            route: route.unwrap_or_default().to_owned(),
            outcome: outcome.text(),
        };
        self.requests.get_or_create(&of).inc();
    }

    pub(super) fn note_read(&self, is_taken: bool) {
        let outcome = if is_taken { "taken" } else { "refused" };
        self.reads.get_or_create(&OfRead { outcome }).inc();
        self.is_current.set(i64::from(is_taken));
    }

    pub(super) fn forget(&self, route: &str) {
        for outcome in OUTCOMES {
            self.requests.remove(&OfRequest {
                route: route.to_owned(),
                outcome: outcome.text(),
            });
        }
    }
}
