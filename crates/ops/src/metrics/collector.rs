//! What a node is asked for when its metrics are read.

use std::fmt;
use std::sync::{Arc, PoisonError, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::node::Node;

/// Asks a node, for as long as it lives.
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
        place(&node, &mut encoder)?;
        queues(&node, &mut encoder)?;
        memory(&node, &mut encoder)?;
        node.metrics().decisions.encode(&mut encoder)
    }
}

/// Where the node is, and whether it answers.
fn place(node: &Node, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let snapshot = node.snapshot();
    whole(
        encoder,
        "remit_ready",
        "1 while this node answers, 0 while it does not; its log says why",
        usize::from(node.ready().is_ok()),
    )?;
    whole(
        encoder,
        "remit_revision",
        "The newest revision that this node answers from",
        usize::try_from(snapshot.revision().0).unwrap_or(usize::MAX),
    )?;
    whole(
        encoder,
        "remit_relationships",
        "Relationships that this node has, expired ones included until they are removed",
        snapshot.relationship_count(),
    )?;
    let age = node.clock().now().as_micros() - snapshot.time().as_micros();
    seconds(
        encoder,
        "remit_snapshot_age",
        "How long ago the newest commit was made that this node answers from; it grows while nothing is written",
        age.max(0) as f64 / 1e6,
    )?;
    seconds(
        encoder,
        "remit_head_confirmed_ago",
        "How long ago this node was last known to have all that its store has",
        node.confirmed_ago().as_secs_f64(),
    )?;
    seconds(
        encoder,
        "remit_clock_offset",
        "How far the clock of this node is off that of its store at least; positive if it is behind",
        node.clock_offset().seconds(),
    )
}

/// Who waits, and who stays.
fn queues(node: &Node, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let (running, waiting) = node.look_up_turns().counts();
    whole(
        encoder,
        "remit_look_ups_running",
        "Look-ups that are being worked out",
        running,
    )?;
    whole(
        encoder,
        "remit_look_ups_waiting",
        "Look-ups that wait for their turn",
        waiting,
    )?;
    whole(
        encoder,
        "remit_watches",
        "Watches that go on",
        node.watches().count(),
    )?;
    whole(
        encoder,
        "remit_replicas",
        "Replicas, engines in other processes, that follow this node",
        node.replicas().count(),
    )?;
    let history = node.history.lock().unwrap_or_else(PoisonError::into_inner);
    let retained = history.count();
    drop(history);
    whole(
        encoder,
        "remit_snapshots_retained",
        "Snapshots that are kept whole for questions about the recent past",
        retained,
    )
}

/// What the graph takes of the memory, as it was measured last.
fn memory(node: &Node, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let Some(measured) = node.metrics().memory().last() else {
        return Ok(());
    };
    let forward = measured.edges_bytes.saturating_sub(measured.reverse_bytes);
    let parts = [
        ("ids", measured.ids_bytes),
        ("edges_by_resource", forward),
        ("edges_by_subject", measured.reverse_bytes),
        ("snapshots_retained", measured.retained_bytes),
    ];
    let help = "What the graph takes of the memory, by part; measured once a minute at most";
    let unit = Some(&Unit::Bytes);
    let mut metric =
        encoder.encode_descriptor("remit_graph_memory", help, unit, MetricType::Gauge)?;
    for (part, bytes) in parts {
        let label = [("part", part)];
        let mut series = metric.encode_family(&label)?;
        series.encode_gauge(&i64::try_from(bytes).unwrap_or(i64::MAX))?;
    }
    whole(
        encoder,
        "remit_graph_ids",
        "Ids that the graph holds, dead ones included until they are forgotten",
        measured.id_count,
    )
}

fn whole(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: usize) -> fmt::Result {
    let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

fn seconds(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    let unit = Some(&Unit::Seconds);
    gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
}

impl fmt::Debug for NodeCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeCollector").finish_non_exhaustive()
    }
}
