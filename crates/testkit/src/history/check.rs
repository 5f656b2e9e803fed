//! The rules about order: which commits an answer has to know. Those about contents are in [`super::fold`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Revision, Timestamp, Token};

use super::logs::{Known, Logs};
use super::text::short;
use super::{
    Call, Checked, Freshness, History, Operation, Rule, Serving, Violation, Written, fold,
};

/// Every violation in `history`, by rule.
#[must_use]
pub fn check(history: &History) -> Vec<Violation> {
    let logs = Logs::new(history);
    let mut found = Vec::new();
    fold::check(history, &logs, &mut found);
    let order = Order::new(history, &logs);
    for operation in &history.operations {
        order.check(operation, &mut found);
    }
    found.sort_by_key(|violation| violation.rule);
    found
}

/// An instant so much later, or earlier.
pub(super) fn later(instant: Timestamp, by: Duration) -> Timestamp {
    instant.saturating_add_micros(micros(by))
}

pub(super) fn earlier(instant: Timestamp, by: Duration) -> Timestamp {
    instant.saturating_add_micros(-micros(by))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn violation(rule: Rule, why: String, operations: &[&Operation]) -> Violation {
    Violation {
        rule,
        why,
        operations: operations.iter().map(|call| (*call).clone()).collect(),
    }
}

/// What was known when, of each branch.
struct Order<'h> {
    history: &'h History,
    logs: &'h Logs<'h>,
    /// From acknowledged writes.
    written: Vec<Known>,
    /// From every answer.
    shown: Vec<Known>,
    /// From what one node answered from its newest snapshot.
    of_node: BTreeMap<(Serving, usize), Known>,
}

impl<'h> Order<'h> {
    fn new(history: &'h History, logs: &'h Logs<'h>) -> Self {
        let known = |branch, counts: &dyn Fn(&Operation) -> bool| {
            let calls = history.operations.iter().enumerate();
            let shown = calls.filter_map(|(place, call)| {
                let token = call.token().filter(|token| logs.holds(branch, *token))?;
                counts(call).then_some((call.ended, token.revision, place))
            });
            Known::new(shown.collect())
        };
        let branches = || logs.branches().map(|(branch, _)| branch);
        let servings: BTreeSet<Serving> = history
            .operations
            .iter()
            .filter_map(|call| call.node)
            .collect();
        let of_node = servings.into_iter().flat_map(|serving| {
            branches().map(move |branch| {
                let counts = |call: &Operation| call.node == Some(serving) && !is_exact(call);
                ((serving, branch), known(branch, &counts))
            })
        });
        Self {
            history,
            logs,
            written: branches().map(|branch| known(branch, &is_write)).collect(),
            shown: branches().map(|branch| known(branch, &|_| true)).collect(),
            of_node: of_node.collect(),
        }
    }

    fn check(&self, call: &Operation, found: &mut Vec<Violation>) {
        let Some(at) = call.token() else {
            return;
        };
        if self.logs.holding(at).next().is_none() {
            let why = format!("no log has the commit of {}", short(at));
            // An acknowledged write that is nowhere is told as such.
            if !is_write(call) {
                found.push(violation(Rule::TokensAreOfCommits, why, &[call]));
            }
            return;
        }
        self.check_clock(call, found);
        match &call.call {
            Call::Write { .. } => self.check_write(call, at, found),
            Call::Check { freshness, .. } => {
                self.check_branch(call, *freshness, at, found);
                self.check_freshness(call, *freshness, at, found);
                self.check_node(call, *freshness, at, found);
            }
        }
    }

    fn check_clock(&self, call: &Operation, found: &mut Vec<Violation>) {
        let is_known = self.history.jumps.iter().any(|jump| {
            call.node.is_some_and(|serving| serving.node == jump.node)
                && (jump.noticed..jump.back).contains(&call.begun)
        });
        if is_known {
            let why = "the node has to know that its clock is off".to_owned();
            found.push(violation(Rule::WrongClocksAreSilent, why, &[call]));
        }
    }

    /// Acknowledged or shown before it began: then it is of an earlier revision.
    fn check_write(&self, call: &Operation, at: Token, found: &mut Vec<Violation>) {
        for branch in self.logs.holding(at) {
            let Some((known, by)) = self.known(&self.shown, branch, call.begun) else {
                continue;
            };
            if known >= at.revision {
                let why = format!(
                    "the write is revision {}, and revision {known} was known before it began",
                    at.revision
                );
                found.push(violation(Rule::WritesInOrder, why, &[by, call]));
                return;
            }
        }
    }

    /// The snapshot's branch is the store's, or was so until recently.
    fn check_branch(
        &self,
        call: &Operation,
        freshness: Freshness,
        at: Token,
        found: &mut Vec<Violation>,
    ) {
        let from = match freshness {
            Freshness::FullyConsistent => call.begun,
            Freshness::MinimizeLatency
            | Freshness::AtLeastAsFresh(_)
            | Freshness::AtExactSnapshot(_) => self.stale_since(call),
        };
        let is_current = |branch| self.logs.was_current(branch, from, call.ended);
        if !self.logs.holding(at).any(is_current) {
            let why = format!("{} is of a branch that was lost before", short(at));
            found.push(violation(Rule::NoLostBranch, why, &[call]));
        }
    }

    fn check_freshness(
        &self,
        call: &Operation,
        freshness: Freshness,
        at: Token,
        found: &mut Vec<Violation>,
    ) {
        match freshness {
            Freshness::MinimizeLatency => {
                self.check_known(
                    call,
                    at,
                    (Rule::NotStale, &self.written, self.stale_since(call)),
                    found,
                );
            }
            Freshness::AtLeastAsFresh(token) => {
                if self.logs.holding(token).next().is_some() && !self.logs.is_past(token, at) {
                    let why = format!("{} is not in the past of {}", short(token), short(at));
                    found.push(violation(Rule::AtLeastAsFresh, why, &[call]));
                }
                self.check_known(
                    call,
                    at,
                    (Rule::NotStale, &self.written, self.stale_since(call)),
                    found,
                );
            }
            Freshness::AtExactSnapshot(token) => {
                if token != at {
                    let why = format!("{} is not {}", short(at), short(token));
                    found.push(violation(Rule::ExactSnapshot, why, &[call]));
                }
            }
            Freshness::FullyConsistent => {
                self.check_known(
                    call,
                    at,
                    (Rule::FullyConsistent, &self.shown, call.begun),
                    found,
                );
            }
        }
    }

    /// What was known at `instant` of the store's log is in the past of `at`.
    fn check_known(
        &self,
        call: &Operation,
        at: Token,
        (rule, known, instant): (Rule, &[Known], Timestamp),
        found: &mut Vec<Violation>,
    ) {
        let current = |branch: &usize| self.logs.was_current(*branch, instant, call.ended);
        let missed = self.logs.holding(at).filter(current).map(|branch| {
            self.known(known, branch, instant)
                .filter(|(revision, _)| *revision > at.revision)
        });
        // Where the store's log changed meanwhile, either one will do.
        let missed: Option<Vec<_>> = missed.collect();
        if let Some((revision, by)) = missed.and_then(|missed| missed.into_iter().next()) {
            let why = format!("{} is before revision {revision}", short(at));
            found.push(violation(rule, why, &[by, call]));
        }
    }

    /// What its node has shown is in the past of what it answers.
    fn check_node(
        &self,
        call: &Operation,
        freshness: Freshness,
        at: Token,
        found: &mut Vec<Violation>,
    ) {
        let (Some(serving), false) = (
            call.node,
            matches!(freshness, Freshness::AtExactSnapshot(_)),
        ) else {
            return;
        };
        for (branch, _) in self.logs.branches() {
            let known = self.of_node.get(&(serving, branch));
            let before = known.and_then(|known| known.before(call.begun));
            let shown = before.and_then(|(_, place)| self.history.operations.get(place));
            let Some((by, token)) = shown.and_then(|by| Some((by, by.token()?))) else {
                continue;
            };
            if !self.logs.is_past(token, at) {
                let why = format!("{} is not in the past of {}", short(token), short(at));
                found.push(violation(Rule::NodesNeverGoBack, why, &[by, call]));
                return;
            }
        }
    }

    fn known(
        &self,
        known: &[Known],
        branch: usize,
        instant: Timestamp,
    ) -> Option<(Revision, &'h Operation)> {
        let (revision, place) = known.get(branch)?.before(instant)?;
        Some((revision, self.history.operations.get(place)?))
    }

    /// Since when the call's node may know nothing of the store. Its own clock may move while it counts.
    fn stale_since(&self, call: &Operation) -> Timestamp {
        let bounds = self.history.bounds;
        let stale = bounds.staleness_max + bounds.clock_offset_max * 2;
        earlier(call.begun, stale)
    }
}

fn is_write(call: &Operation) -> bool {
    match &call.call {
        Call::Write { result, .. } => matches!(result, Written::Acknowledged(_)),
        Call::Check { .. } => false,
    }
}

fn is_exact(call: &Operation) -> bool {
    match &call.call {
        Call::Check {
            freshness: Freshness::AtExactSnapshot(_),
            result: Checked::Answered { .. } | Checked::Failed(_),
            ..
        } => true,
        Call::Check { .. } | Call::Write { .. } => false,
    }
}
