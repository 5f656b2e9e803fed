//! What a run met, and what it cost that the standby took over.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use model::{Timestamp, Token};
use testkit::history::{Call, Checked, History, Operation};

use super::cluster::NODES;
use super::driver::{Run, TakeOver};

/// How many calls there were of each kind.
pub(super) fn mix(history: &History) -> BTreeMap<&'static str, usize> {
    let mut mix = BTreeMap::new();
    for operation in &history.operations {
        *mix.entry(operation.kind()).or_default() += 1;
    }
    mix
}

/// How many calls a node refused for not knowing whether it was at the head.
pub(super) fn refused_as_stale(history: &History) -> usize {
    let calls = history.operations.iter();
    let refused = calls.filter(|operation| match &operation.call {
        Call::Check {
            result: Checked::Failed(why),
            ..
        } => why.contains("has not confirmed"),
        Call::Check { .. } | Call::Write { .. } => false,
    });
    refused.count()
}

/// What a run was, in a few lines.
pub(super) fn summary(run: &Run) -> String {
    let mut text = String::new();
    describe(run, &mut text).unwrap();
    text
}

fn describe(run: &Run, text: &mut String) -> fmt::Result {
    let calls = run.history.operations.len();
    writeln!(text, "{calls} calls: {:?}", mix(&run.history))?;
    writeln!(text, "faults: {:?}", run.faults)?;
    let (in_doubt, stopped) = (&run.in_doubt, run.stopped.len());
    writeln!(
        text,
        "commits in doubt: {in_doubt:?}, nodes that stopped: {stopped}, checks refused for staleness: {}",
        refused_as_stale(&run.history)
    )?;
    let Some(take_over) = run.take_over else {
        return Ok(());
    };
    let since = |at: Option<Timestamp>| at.map(|at| seconds(take_over.begun, at));
    let TakeOver {
        replication,
        promoted,
        ..
    } = take_over;
    writeln!(
        text,
        "{replication:?}: the standby was asked to take over after {:.2} s; a write was acknowledged after {:.2?} s, \
         and every node had answered from the head after {:.2?} s, while other faults went on",
        seconds(take_over.begun, promoted),
        since(first_write(&run.history, promoted)),
        since(all_at_head(&run.history, promoted)),
    )?;
    let lost = lost(&run.history);
    let oldest = lost.iter().map(|call| call.ended).min();
    let span = oldest.map_or(0.0, |oldest| seconds(oldest, take_over.begun));
    writeln!(
        text,
        "acknowledged and lost: {} writes, of {span:.2} s",
        lost.len()
    )
}

/// The writes that were acknowledged, and are not in the last log.
pub(super) fn lost(history: &History) -> Vec<&Operation> {
    let is_lost = |call: &&Operation| is_acknowledged(call) && !is_kept(history, call.token());
    history.operations.iter().filter(is_lost).collect()
}

fn is_kept(history: &History, token: Option<Token>) -> bool {
    let entries = history.branches.last().map(|branch| &branch.entries);
    let mut entries = entries.into_iter().flatten();
    token.is_some_and(|token| entries.any(|entry| entry.hash.short() == token.hash))
}

/// When the first write was acknowledged after the standby was asked to take over.
fn first_write(history: &History, promoted: Timestamp) -> Option<Timestamp> {
    let calls = history.operations.iter();
    let written = calls.filter(|call| is_acknowledged(call) && call.ended > promoted);
    written.map(|call| call.ended).min()
}

/// When the last of the nodes answered from the head.
fn all_at_head(history: &History, promoted: Timestamp) -> Option<Timestamp> {
    let of_node = |node| {
        let calls = history.operations.iter();
        let answered = calls.filter(|call| {
            call.begun > promoted
                && call.node.is_some_and(|serving| serving.node == node)
                && call.kind() == "fully consistent"
        });
        answered.map(|call| call.ended).min()
    };
    let answered: Option<Vec<Timestamp>> = (0..NODES).map(of_node).collect();
    answered?.into_iter().max()
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    (to.as_micros() - from.as_micros()) as f64 / 1e6
}

fn is_acknowledged(call: &Operation) -> bool {
    call.kind() == "acknowledged"
}
