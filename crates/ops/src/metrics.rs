//! What can be measured of a node: what it counts while it works, and what it is asked for when somebody reads the metrics.
//!
//! Names and units follow Prometheus: base units, `_seconds`, `_total` for what only grows.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use model::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use store::{CommitError, Committed};

use crate::node::Node;

/// Bounds from what a node beside the store reaches to what somebody will be called for, in seconds.
const SECONDS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// What a node counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    applied: Counter,
    lag: Histogram,
    commits: Family<OfCommit, Histogram, fn() -> Histogram>,
    comparisons: Family<OfComparison, Counter>,
    checkpoints: Family<OfSigning, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCommit {
    outcome: CommitOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfComparison {
    outcome: ComparisonOutcome,
}

/// What became of a commit that was handed to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are the values of a label")]
pub(crate) enum CommitOutcome {
    /// It is durable.
    durable,
    /// It was refused by a rule, and changed nothing.
    refused,
    /// The store could not do it, or did not say whether it did.
    failed,
}

impl CommitOutcome {
    pub(crate) fn of(result: &Result<Committed, CommitError>) -> Self {
        match result {
            Ok(_) => Self::durable,
            Err(CommitError::Store(_)) => Self::failed,
            Err(
                CommitError::Conflict { .. }
                | CommitError::PreconditionFailed { .. }
                | CommitError::AlreadyExists(_)
                | CommitError::TooManyToDelete { .. }
                | CommitError::IdempotencyKeyReused { .. }
                | CommitError::TooLarge { .. }
                | CommitError::Erasure { .. },
            ) => Self::refused,
        }
    }
}

/// What a comparison of the node with its store came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are the values of a label")]
pub(crate) enum ComparisonOutcome {
    /// Both have the same relationships.
    alike,
    /// They have not.
    different,
    /// It could not be made.
    failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSigning {
    outcome: SigningOutcome,
}

/// What became of a checkpoint of the audit log that was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are the values of a label")]
pub(crate) enum SigningOutcome {
    /// It was signed.
    signed,
    /// The log does not continue what was signed before.
    refused,
    /// The log could not be read.
    failed,
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            applied: Counter::default(),
            lag: seconds(),
            commits: Family::new_with_constructor(seconds),
            comparisons: Family::default(),
            checkpoints: Family::default(),
        }
    }
}

impl Metrics {
    pub(crate) fn note_signing(&self, outcome: SigningOutcome) {
        self.checkpoints.get_or_create(&OfSigning { outcome }).inc();
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "remit_applied_commits",
            "Commits that this node has applied since it started",
            self.applied.clone(),
        );
        registry.register(
            "remit_audit_checkpoints",
            "Checkpoints of the audit log that were due at this node, by what became of them",
            self.checkpoints.clone(),
        );
        registry.register_with_unit(
            "remit_follow_lag",
            "From the time of a commit, by the clock of the node that made it, until this node answers from it",
            Unit::Seconds,
            self.lag.clone(),
        );
        registry.register_with_unit(
            "remit_store_commit",
            "How long the store takes to make a commit of this node durable, or to refuse it",
            Unit::Seconds,
            self.commits.clone(),
        );
        registry.register(
            "remit_store_comparisons",
            "Comparisons of what this node has with what its store has",
            self.comparisons.clone(),
        );
    }

    /// Takes in that commits of those times can be answered from at `now`.
    pub(crate) fn note_applied(&self, times: &[Timestamp], now: Timestamp) {
        self.applied.inc_by(times.len() as u64);
        for time in times {
            let micros = now.as_micros().saturating_sub(time.as_micros()).max(0);
            self.lag.observe(micros as f64 / 1e6);
        }
    }

    pub(crate) fn note_commit(&self, outcome: CommitOutcome, took: Duration) {
        let of = self.commits.get_or_create(&OfCommit { outcome });
        of.observe(took.as_secs_f64());
    }

    pub(crate) fn note_comparison(&self, outcome: ComparisonOutcome) {
        let of = self.comparisons.get_or_create(&OfComparison { outcome });
        of.inc();
    }
}

/// What a node is asked for when its metrics are read.
pub(crate) struct NodeCollector(Weak<Node>);

impl NodeCollector {
    pub(crate) fn new(node: &Arc<Node>) -> Self {
        Self(Arc::downgrade(node))
    }
}

impl Collector for NodeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(node) = self.0.upgrade() else {
            return Ok(());
        };
        let snapshot = node.snapshot();
        let mut whole = |name, help, value: usize| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        whole(
            "remit_ready",
            "1 while this node answers, 0 while it does not; its log says why",
            usize::from(node.ready().is_ok()),
        )?;
        whole(
            "remit_revision",
            "The newest revision that this node answers from",
            usize::try_from(snapshot.revision().0).unwrap_or(usize::MAX),
        )?;
        whole(
            "remit_relationships",
            "Relationships that this node has, expired ones included until they are removed",
            snapshot.relationship_count(),
        )?;
        let mut seconds = |name, help, value: f64| {
            let gauge = ConstGauge::new(value);
            let unit = Some(&Unit::Seconds);
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        seconds(
            "remit_head_confirmed_ago",
            "How long ago this node was last known to have all that its store has",
            node.confirmed_ago().as_secs_f64(),
        )?;
        seconds(
            "remit_clock_offset",
            "How far the clock of this node is off that of its store at least; positive if it is behind",
            node.clock_offset().seconds(),
        )
    }
}

impl fmt::Debug for NodeCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeCollector").finish_non_exhaustive()
    }
}
