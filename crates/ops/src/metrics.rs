//! What can be measured of a node: what it counts while it works, and what it is asked for when somebody reads the metrics.
//!
//! Names and units follow Prometheus: base units, `_seconds`, `_total` for what only grows.

mod collector;
mod decisions;
mod memory;
mod store;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::store::{CommitError, CommitRequest, Committed};
use model::Timestamp;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use schema::Schema;

use crate::node::Node;
use crate::stages;

use collector::NodeCollector;
pub(crate) use decisions::Decisions;
use memory::measure;
pub(crate) use store::{StoreTimes, Timed};

/// Bounds from what a node beside the store reaches to what somebody will be called for, in seconds.
const SECONDS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// What a node counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) decisions: Decisions,
    pub(crate) heads: HeadCounts,
    store: StoreTimes,
    memory: memory::Measured,
    applied: Counter,
    lag: Histogram,
    commits: Family<OfCommit, Histogram, fn() -> Histogram>,
    commits_waiting: Gauge,
    comparisons: Family<OfComparison, Counter>,
    checkpoints: Family<OfSigning, Counter>,
    waits: Family<OfWait, Histogram, fn() -> Histogram>,
    forbidden: Family<OfAction, Counter>,
}

/// How the head of the store is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeadCounts {
    asked: Counter,
    questions: Family<OfQuestion, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfQuestion {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWait {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAction {
    action: &'static str,
}

impl HeadCounts {
    /// Takes in that so many were told by one answer.
    pub(crate) fn note(&self, asked: usize, is_answered: bool) {
        self.asked.inc_by(asked as u64);
        let outcome = if is_answered { "answered" } else { "failed" };
        self.questions.get_or_create(&OfQuestion { outcome }).inc();
    }
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

impl Metrics {
    pub(crate) fn note_signing(&self, outcome: SigningOutcome) {
        self.checkpoints.get_or_create(&OfSigning { outcome }).inc();
    }

    pub(crate) fn new(store: StoreTimes, schema: &Arc<Schema>) -> Self {
        let metrics = Self {
            decisions: Decisions::new(schema),
            heads: HeadCounts::default(),
            store,
            memory: memory::Measured::default(),
            applied: Counter::default(),
            lag: seconds(),
            commits: Family::new_with_constructor(seconds),
            commits_waiting: Gauge::default(),
            comparisons: Family::default(),
            checkpoints: Family::default(),
            waits: Family::new_with_constructor(seconds),
            forbidden: Family::default(),
        };
        metrics.begin_at_nothing();
        metrics
    }

    /// Tells from the start what has not happened yet: a rate is seen only of what was told before it grew.
    fn begin_at_nothing(&self) {
        use {CommitOutcome as Commit, ComparisonOutcome as Comparison};
        for outcome in [Commit::durable, Commit::refused, Commit::failed] {
            drop(self.commits.get_or_create(&OfCommit { outcome }));
        }
        for outcome in [Comparison::alike, Comparison::different, Comparison::failed] {
            drop(self.comparisons.get_or_create(&OfComparison { outcome }));
        }
        for outcome in ["reached", "late"] {
            drop(self.waits.get_or_create(&OfWait { outcome }));
        }
        for outcome in ["answered", "failed"] {
            let questions = &self.heads.questions;
            drop(questions.get_or_create(&OfQuestion { outcome }));
            self.store.begin_at_nothing(outcome);
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        self.store.register(registry);
        self.register_questions(registry);
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

    fn register_questions(&self, registry: &mut Registry) {
        registry.register(
            "remit_store_commits_waiting",
            "Commits of this node that were handed to the store and are not answered yet",
            self.commits_waiting.clone(),
        );
        registry.register(
            "remit_head_askers",
            "Calls that asked for the head of the store; those that came while a question was under way shared the next one",
            self.heads.asked.clone(),
        );
        registry.register(
            "remit_head_questions",
            "Times that the store was asked for its head on behalf of calls",
            self.heads.questions.clone(),
        );
        registry.register_with_unit(
            "remit_revision_wait",
            "How long calls waited until this node had the revision of their token, or the head; none that found it there",
            Unit::Seconds,
            self.waits.clone(),
        );
        registry.register(
            "remit_actions_forbidden",
            "Times that a caller, who is known, asked for what it may not do, by the right that it lacked",
            self.forbidden.clone(),
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

    /// One more commit waits for the store, until that is dropped.
    pub(crate) fn commit_waits(&self) -> Waiting {
        self.commits_waiting.inc();
        Waiting(self.commits_waiting.clone())
    }

    /// Takes in how long a call waited for a revision, and whether it came.
    pub(crate) fn note_wait(&self, is_reached: bool, took: Duration) {
        let outcome = if is_reached { "reached" } else { "late" };
        let of = self.waits.get_or_create(&OfWait { outcome });
        of.observe(took.as_secs_f64());
    }

    /// Takes in that a caller may not do something; `action` is one of a fixed few.
    pub(crate) fn note_forbidden(&self, action: &'static str) {
        self.forbidden.get_or_create(&OfAction { action }).inc();
    }

    pub(crate) fn memory(&self) -> &memory::Measured {
        &self.memory
    }

    pub(crate) fn note_comparison(&self, outcome: ComparisonOutcome) {
        let of = self.comparisons.get_or_create(&OfComparison { outcome });
        of.inc();
    }
}

impl Node {
    /// Adds what can be measured of this node.
    pub fn register_metrics(self: &Arc<Self>, registry: &mut Registry) {
        self.metrics().register(registry);
        self.load_progress().register(registry);
        registry.register_collector(Box::new(NodeCollector::new(self)));
        tokio::spawn(measure(Arc::downgrade(self)));
    }

    /// Hands a commit to the store.
    pub(crate) async fn make_durable(
        &self,
        request: CommitRequest,
    ) -> Result<Committed, CommitError> {
        let _stage = stages::begin("store commit");
        let _waiting = self.metrics().commit_waits();
        let begun = Instant::now();
        let result = self.store().commit(request).await;
        self.metrics()
            .note_commit(CommitOutcome::of(&result), begun.elapsed());
        result
    }
}

/// A commit that waits for the store.
#[derive(Debug)]
pub(crate) struct Waiting(Gauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}
