//! What the graph takes of the memory. Whoever wants to know has to walk all of it, so that it is done beside the node's work, seldom.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::node::Node;

/// How long between two measurements, at least.
const PAUSE_MIN: Duration = Duration::from_secs(60);
/// How much longer than a measurement the pause after it is: it takes at most so much of one processor.
const PAUSE_FACTOR: u32 = 200;

/// What was found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Parts {
    pub(super) ids_bytes: usize,
    pub(super) edges_bytes: usize,
    pub(super) reverse_bytes: usize,
    /// What the kept snapshots do not share with the next newer one.
    pub(super) retained_bytes: usize,
    pub(super) id_count: usize,
}

/// The last measurement.
#[derive(Debug, Default)]
pub(crate) struct Measured(Mutex<Option<Parts>>);

impl Measured {
    pub(super) fn last(&self) -> Option<Parts> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Measures the graph of a node for as long as it lives.
pub(crate) async fn measure(node: Weak<Node>) {
    loop {
        let Some(mut stopping) = node.upgrade().map(|node| node.stopping()) else {
            return;
        };
        let begun = Instant::now();
        let measuring = node.clone();
        let measured = tokio::task::spawn_blocking(move || measuring.upgrade().map(|it| once(&it)));
        let Ok(Some(parts)) = measured.await else {
            return;
        };
        if let Some(node) = node.upgrade() {
            let mut last = node.metrics().memory().0.lock();
            *last
                .as_deref_mut()
                .unwrap_or_else(|poisoned| poisoned.get_mut()) = Some(parts);
        }
        let pause = begun.elapsed().saturating_mul(PAUSE_FACTOR).max(PAUSE_MIN);
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn once(node: &Node) -> Parts {
    let snapshot = node.snapshot();
    let graph = snapshot.resident_bytes();
    let kept = {
        let history = node.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.kept()
    };
    let newer = kept.iter().skip(1).chain(std::iter::once(&snapshot));
    let pairs = kept.iter().zip(newer);
    // Snapshots of two schemas have other classes: what they share cannot be told.
    let alike = pairs.filter(|(older, newer)| Arc::ptr_eq(older.schema(), newer.schema()));
    Parts {
        ids_bytes: graph.ids_bytes,
        edges_bytes: graph.edges_bytes,
        reverse_bytes: graph.reverse_bytes,
        retained_bytes: alike.map(|(older, newer)| older.copied_bytes(newer)).sum(),
        id_count: graph.id_count,
    }
}
