//! Remit beside a peer: what `bench peers` prints, and the report reads.

#[cfg(feature = "peers")]
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::workload::Popularity;

/// What one side has shown.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Of the process that answers.
    pub(crate) checks_per_cpu_second: f64,
    pub(crate) checks_per_second: f64,
    /// Of a call.
    pub(crate) p50_microseconds: f64,
}

/// Remit beside one peer on one workload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Beside {
    pub(crate) workload: String,
    pub(crate) relationships: u64,
    pub(crate) popularity: Popularity,
    pub(crate) peer: String,
    /// How the peer was run.
    pub(crate) how: String,
    pub(crate) checks_per_call: u16,
    /// Which part of the workload's questions the peer can be asked.
    pub(crate) asked_share: f64,
    /// Questions that both were asked first, and how many of their answers agree.
    pub(crate) compared: usize,
    pub(crate) agreement: f64,
    pub(crate) remit: Cost,
    pub(crate) other: Cost,
    /// Checks a second of processor time, Remit's against the peer's.
    pub(crate) cpu_ratio: f64,
    pub(crate) throughput_ratio: f64,
    /// The peer's median latency against Remit's.
    pub(crate) p50_ratio: f64,
}

/// The results of each peer, in the order in which the peers first come.
pub(crate) fn by_peer(results: &[Beside]) -> Vec<(&str, Vec<&Beside>)> {
    let mut peers: Vec<(&str, Vec<&Beside>)> = Vec::new();
    for beside in results {
        match peers.iter_mut().find(|(peer, _)| *peer == beside.peer) {
            Some((_, of_peer)) => of_peer.push(beside),
            None => peers.push((&beside.peer, vec![beside])),
        }
    }
    peers
}

/// The table of `results`.
#[cfg(feature = "peers")]
pub(crate) fn table(results: &[Beside]) -> String {
    let mut text = String::from(
        "\nRemit against each: checks a second of processor time, checks a second, median latency (more is better for Remit)\n",
    );
    for (peer, of_peer) in by_peer(results) {
        let how = of_peer.first().map_or("", |beside| &beside.how);
        // Writing to a text does not fail.
        let _ = writeln!(text, "\n{peer}: {how}");
        for beside in &of_peer {
            let _ = writeln!(
                text,
                "  {:<16}{:>9} rows   cpu {:>10}   throughput {:>10}   p50 {:>10}   agrees {:>3.0}% of {:>5}, {:>3.0}% asked",
                beside.workload,
                beside.relationships,
                times(beside.cpu_ratio),
                times(beside.throughput_ratio),
                times(beside.p50_ratio),
                beside.agreement * 100.0,
                beside.compared,
                beside.asked_share * 100.0,
            );
        }
        let mean = |ratio: &dyn Fn(&Beside) -> f64| {
            times(geometric_mean(of_peer.iter().map(|beside| ratio(beside))))
        };
        let _ = writeln!(
            text,
            "  {:<16}{:>14}   cpu {:>10}   throughput {:>10}   p50 {:>10}",
            "geometric mean",
            "",
            mean(&|beside| beside.cpu_ratio),
            mean(&|beside| beside.throughput_ratio),
            mean(&|beside| beside.p50_ratio),
        );
    }
    text
}

#[cfg(feature = "peers")]
fn times(ratio: f64) -> String {
    if ratio < 10.0 {
        format!("{ratio:.2}x")
    } else {
        format!("{ratio:.0}x")
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are a few")]
pub(crate) fn geometric_mean(ratios: impl Iterator<Item = f64>) -> f64 {
    let logarithms: Vec<f64> = ratios.map(f64::ln).collect();
    (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp()
}
