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
    /// About how many relationships were asked for.
    pub(crate) size: u64,
    pub(crate) relationships: u64,
    pub(crate) popularity: Popularity,
    pub(crate) peer: String,
    /// How the peer was run.
    pub(crate) how: String,
    pub(crate) checks_per_call: u16,
    /// Which part of the workload's questions the peer can be asked.
    pub(crate) asked_share: f64,
    /// Questions that both were asked first, to which both gave the same answers.
    pub(crate) compared: usize,
    pub(crate) remit: Cost,
    pub(crate) other: Cost,
    /// Checks a second of processor time, Remit's against the peer's.
    pub(crate) cpu_ratio: f64,
    pub(crate) throughput_ratio: f64,
    /// The peer's median latency against Remit's.
    pub(crate) p50_ratio: f64,
}

/// What can be averaged: the results of one peer on the workloads of one size, asked in one way.
pub(crate) struct OfPeer<'a> {
    pub(crate) peer: &'a str,
    pub(crate) how: &'a str,
    pub(crate) size: u64,
    pub(crate) checks_per_call: u16,
    pub(crate) results: Vec<&'a Beside>,
}

impl OfPeer<'_> {
    pub(crate) fn mean(&self, ratio: impl Fn(&Beside) -> f64) -> f64 {
        geometric_mean(self.results.iter().map(|beside| ratio(beside)))
    }
}

/// The results by peer, size and checks a call, in the order in which these first come.
pub(crate) fn by_peer(results: &[Beside]) -> Vec<OfPeer<'_>> {
    let mut peers: Vec<OfPeer<'_>> = Vec::new();
    for beside in results {
        let key = (beside.peer.as_str(), beside.size, beside.checks_per_call);
        let known = peers
            .iter_mut()
            .find(|of| (of.peer, of.size, of.checks_per_call) == key);
        match known {
            Some(of) => of.results.push(beside),
            None => peers.push(OfPeer {
                peer: &beside.peer,
                how: &beside.how,
                size: beside.size,
                checks_per_call: beside.checks_per_call,
                results: vec![beside],
            }),
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
    for of_peer in by_peer(results) {
        // Writing to a text does not fail.
        let _ = writeln!(text, "\n{}: {}", of_peer.peer, of_peer.how);
        for beside in &of_peer.results {
            let _ = writeln!(
                text,
                "  {:<16}{:>9} rows   cpu {:>10}   throughput {:>10}   p50 {:>10}   agrees on {:>5}, {:>3.0}% asked",
                beside.workload,
                beside.relationships,
                times(beside.cpu_ratio),
                times(beside.throughput_ratio),
                times(beside.p50_ratio),
                beside.compared,
                beside.asked_share * 100.0,
            );
        }
        let _ = writeln!(
            text,
            "  {:<16}{:>14}   cpu {:>10}   throughput {:>10}   p50 {:>10}",
            "geometric mean",
            "",
            times(of_peer.mean(|beside| beside.cpu_ratio)),
            times(of_peer.mean(|beside| beside.throughput_ratio)),
            times(of_peer.mean(|beside| beside.p50_ratio)),
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
fn geometric_mean(ratios: impl Iterator<Item = f64>) -> f64 {
    let logarithms: Vec<f64> = ratios.map(f64::ln).collect();
    (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp()
}
