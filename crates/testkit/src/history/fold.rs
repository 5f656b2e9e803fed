//! The rules about contents: each log is folded once, and what was written and answered is held to the rows at each
//! revision.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    CommitHash, Context, Decision, Operation as Update, Relationship, RelationshipKey,
    RelationshipUpdate, Revision, Timestamp, Token,
};
use schema::Schema;

use super::check::{earlier, later, violation};
use super::logs::Logs;
use super::text::{seconds, short};
use super::{Branch, Call, Checked, Entry, History, Operation, Question, Rule, Violation, Written};
use crate::oracle;

type Rows = BTreeMap<RelationshipKey, Relationship>;
type Sides = (Option<Relationship>, Option<Relationship>);

/// Holds every log to itself, and every call to the log.
pub(super) fn check(history: &History, logs: &Logs<'_>, found: &mut Vec<Violation>) {
    let calls = history.operations.iter();
    let by_name: BTreeMap<&str, &Operation> =
        calls.map(|call| (call.name.as_str(), call)).collect();
    let mut unfounded: BTreeSet<&str> = BTreeSet::new();
    for (place, branch) in logs.branches() {
        let mut fold = Fold {
            history,
            logs,
            branch: place,
            by_name: &by_name,
            names: BTreeSet::new(),
            rows: Rows::new(),
            schema: Schema::compile("").ok(),
            answered: answered_on(history, logs, place),
            refused: refused_on(history, logs, place),
        };
        fold.run(branch, found);
        unfounded.extend(fold.refused.into_keys());
    }
    for call in &history.operations {
        check_acknowledged(call, logs, found);
        let why = "the relationship that is said to exist was not there".to_owned();
        if unfounded.contains(call.name.as_str()) {
            found.push(violation(Rule::RefusedForAReason, why, &[call]));
        }
    }
}

/// The checks by the revision of their answers, each on the last branch that has it.
fn answered_on<'h>(
    history: &'h History,
    logs: &Logs<'_>,
    branch: usize,
) -> BTreeMap<Revision, Vec<&'h Operation>> {
    let mut answered: BTreeMap<Revision, Vec<&Operation>> = BTreeMap::new();
    for call in &history.operations {
        let Call::Check {
            result: Checked::Answered { at, .. },
            ..
        } = &call.call
        else {
            continue;
        };
        if logs.holding(*at).last() == Some(branch) {
            answered.entry(at.revision).or_default().push(call);
        }
    }
    answered
}

/// The refusals that say what exists, each on the log that was the store's all the while; with the key and the revisions
/// that may explain them.
fn refused_on<'h>(
    history: &'h History,
    logs: &Logs<'_>,
    branch: usize,
) -> BTreeMap<&'h str, Refused<'h>> {
    let tokens = || {
        let calls = history.operations.iter();
        calls.filter_map(|call| Some((call, call.token().filter(|at| logs.holds(branch, *at))?)))
    };
    let refusals = history.operations.iter().filter_map(|call| {
        let Call::Write {
            result:
                Written::Refused {
                    existing: Some(key),
                    ..
                },
            ..
        } = &call.call
        else {
            return None;
        };
        let others = logs.branches().filter(|(other, _)| *other != branch);
        let is_alone = others
            .into_iter()
            .all(|(other, _)| !logs.was_current(other, call.begun, call.ended));
        if !is_alone {
            return None;
        }
        let known = tokens().filter(|(other, _)| other.ended < call.begun);
        let from = known.map(|(_, at)| at.revision).max().unwrap_or_default();
        let after = tokens().filter(|(other, _)| {
            other.begun > call.ended && matches!(other.call, Call::Write { .. })
        });
        let until = after.map(|(_, at)| at.revision).min();
        let refused = Refused {
            call,
            key,
            from,
            until: until.unwrap_or(Revision(u64::MAX)),
        };
        Some((call.name.as_str(), refused))
    });
    refusals.collect()
}

/// A refusal that is to be explained by a revision from one on, before another.
struct Refused<'h> {
    call: &'h Operation,
    key: &'h RelationshipKey,
    from: Revision,
    until: Revision,
}

/// An acknowledged write is where its token says, in a log that was the store's meanwhile.
fn check_acknowledged(call: &Operation, logs: &Logs<'_>, found: &mut Vec<Violation>) {
    let Call::Write {
        result: Written::Acknowledged(at),
        ..
    } = &call.call
    else {
        return;
    };
    let is_there = |branch: usize| {
        let entry = logs.entry(branch, at.revision);
        logs.holds(branch, *at)
            && logs.was_current(branch, call.begun, call.ended)
            && entry.and_then(|entry| entry.name.as_deref()) == Some(&call.name)
    };
    if !logs.branches().any(|(branch, _)| is_there(branch)) {
        let why = format!("it is not in the log at {}", short(*at));
        found.push(violation(Rule::AcknowledgedIsKept, why, &[call]));
    }
}

/// A log that is being folded.
struct Fold<'h> {
    history: &'h History,
    logs: &'h Logs<'h>,
    branch: usize,
    by_name: &'h BTreeMap<&'h str, &'h Operation>,
    names: BTreeSet<&'h str>,
    rows: Rows,
    schema: Option<Schema>,
    answered: BTreeMap<Revision, Vec<&'h Operation>>,
    refused: BTreeMap<&'h str, Refused<'h>>,
}

impl<'h> Fold<'h> {
    fn run(&mut self, branch: &'h Branch, found: &mut Vec<Violation>) {
        self.check_answers(Revision(0), Timestamp::EPOCH, found);
        let (mut previous, mut time, mut revision) =
            (CommitHash::ZERO, Timestamp::MIN, Revision(0));
        for entry in &branch.entries {
            let wrong = if entry.revision != revision.next() {
                Some(format!("revision {} follows {revision}", entry.revision))
            } else if entry.previous != previous {
                Some("the hash before it is another".to_owned())
            } else if entry.computed_hash != entry.hash {
                Some("its contents have another hash".to_owned())
            } else if entry.time < time {
                Some("its time is before that of the commit before it".to_owned())
            } else {
                self.replaced_wrong(entry)
            };
            // Entries that two branches share are told of once.
            let is_new = (0..self.branch).all(|other| {
                let shared = self.logs.entry(other, entry.revision);
                shared.is_none_or(|shared| shared.hash != entry.hash)
            });
            if let Some(wrong) = wrong.filter(|_| is_new) {
                let why = format!("revision {}: {wrong}", entry.revision);
                found.push(violation(Rule::LogIsSound, why, &[]));
            }
            let mut wrong = Vec::new();
            self.check_entry(entry, &mut wrong);
            found.extend(wrong.into_iter().filter(|_| is_new));
            self.apply(entry);
            self.check_answers(entry.revision, entry.time, found);
            self.explain_refusals(entry);
            (previous, time, revision) = (entry.hash, entry.time, entry.revision);
        }
    }

    fn replaced_wrong(&self, entry: &Entry) -> Option<String> {
        entry.changes.iter().find_map(|(before, after)| {
            let key = before.as_ref().or(after.as_ref())?.key();
            (self.rows.get(&key) != before.as_ref())
                .then(|| format!("`{key}` was not as it says before it"))
        })
    }

    /// The entry is that of a write that was not refused, once, and changes what was asked.
    fn check_entry(&mut self, entry: &'h Entry, found: &mut Vec<Violation>) {
        let Some(name) = entry.name.as_deref() else {
            if entry.schema.is_none() && !entry.changes.is_empty() {
                let why = format!("nobody wrote revision {}", entry.revision);
                found.push(violation(Rule::OnlyWritesAreThere, why, &[]));
            }
            return;
        };
        let Some((call, updates, result)) =
            self.by_name.get(name).and_then(|call| match &call.call {
                Call::Write { updates, result } => Some((*call, updates, result)),
                Call::Check { .. } => None,
            })
        else {
            let why = format!(
                "no write is called `{name}`, of revision {}",
                entry.revision
            );
            return found.push(violation(Rule::OnlyWritesAreThere, why, &[]));
        };
        if !self.names.insert(name) {
            let why = format!("it is there again as revision {}", entry.revision);
            found.push(violation(Rule::WrittenOnce, why, &[call]));
        }
        match result {
            Written::Refused { .. } => {
                let why = format!("it was refused, and is revision {}", entry.revision);
                found.push(violation(Rule::OnlyWritesAreThere, why, &[call]));
            }
            // Whatever the clock of its node: all nodes take the time of a commit for passed.
            Written::Acknowledged(_)
                if entry.time > later(call.ended, self.history.bounds.clock_offset_max) =>
            {
                let why = format!("its commit is of {}", seconds(entry.time));
                found.push(violation(Rule::ClocksAreNear, why, &[call]));
            }
            Written::Acknowledged(_) | Written::Unknown => {}
        }
        match changes(&self.rows, updates, entry.time) {
            Ok(expected) if expected == entry.changes => {}
            Ok(_) => {
                let why = format!("revision {} changes something else", entry.revision);
                found.push(violation(Rule::WrittenAsAsked, why, &[call]));
            }
            Err(key) => {
                let why = format!("`{key}` was there before revision {}", entry.revision);
                found.push(violation(Rule::WrittenAsAsked, why, &[call]));
            }
        }
    }

    fn apply(&mut self, entry: &Entry) {
        if let Some(text) = &entry.schema {
            self.schema = Schema::compile(text).ok();
        }
        for (before, after) in &entry.changes {
            match (before, after) {
                (_, Some(after)) => drop(self.rows.insert(after.key(), after.clone())),
                (Some(before), None) => drop(self.rows.remove(&before.key())),
                (None, None) => {}
            }
        }
    }

    /// The answers at this revision are those of the naive evaluator.
    fn check_answers(&self, at: Revision, time: Timestamp, found: &mut Vec<Violation>) {
        let Some(calls) = self.answered.get(&at) else {
            return;
        };
        let rows: Vec<Relationship> = self.rows.values().cloned().collect();
        for call in calls {
            let Call::Check {
                question,
                result: Checked::Answered { decision, at },
                ..
            } = &call.call
            else {
                continue;
            };
            found.extend(self.check_answer((call, question), decision, *at, (&rows, time)));
        }
    }

    fn check_answer(
        &self,
        (call, question): (&Operation, &Question),
        decision: &Decision,
        at: Token,
        (rows, time): (&[Relationship], Timestamp),
    ) -> Option<Violation> {
        let offset = self.history.clock_offset_max(call);
        let first = earlier(call.begun, offset).max(time);
        let last = later(call.ended, offset).max(time);
        // Between two expirations nothing changes.
        let ends = rows.iter().filter_map(|row| row.expires_at);
        let instants: BTreeSet<Timestamp> =
            ends.chain([time, first]).filter(|at| *at >= time).collect();
        let is_right =
            |now: &&Timestamp| self.decide(rows, question, **now).as_ref() == Some(decision);
        let explained = |from, to| instants.range(from..=to).find(is_right);
        if explained(first, last).is_some() {
            return None;
        }
        let (early, late) = (
            explained(time, first),
            instants.range(last..).find(is_right),
        );
        Some(match early.or(late) {
            Some(now) => {
                let (at, now) = (short(at), seconds(*now));
                let why = format!("at {at} it is the answer of {now}, not of the present");
                violation(Rule::ClocksAreNear, why, &[call])
            }
            None => {
                let right = self.decide(rows, question, first);
                let why = format!("at {} it is {right:?}", short(at));
                violation(Rule::AnswersAreRight, why, &[call])
            }
        })
    }

    fn decide(
        &self,
        rows: &[Relationship],
        question: &Question,
        now: Timestamp,
    ) -> Option<Decision> {
        let asked = oracle::Question {
            resource: question.resource.clone(),
            member: question.member.clone(),
            subject: question.subject.clone(),
            context: Context::default(),
            now,
        };
        let depth_max = self.history.bounds.depth_max;
        oracle::check(self.schema.as_ref()?, rows, &asked, depth_max).ok()
    }

    /// Takes out the refusals that the rows of this revision explain.
    fn explain_refusals(&mut self, entry: &Entry) {
        let (rows, history) = (&self.rows, self.history);
        self.refused.retain(|_, refused| {
            let offset = history.clock_offset_max(refused.call);
            let now = earlier(refused.call.begun, offset).max(entry.time);
            let is_meant = (refused.from..refused.until).contains(&entry.revision);
            let row = rows.get(refused.key);
            !(is_meant && row.is_some_and(|row| !row.is_expired(now)))
        });
    }
}

/// What the updates change of `rows` at an instant.
///
/// # Errors
/// The relationship that was to be created and is there.
fn changes(
    rows: &Rows,
    updates: &[RelationshipUpdate],
    time: Timestamp,
) -> Result<Vec<Sides>, Box<RelationshipKey>> {
    let mut changes = Vec::new();
    for update in updates {
        let before = rows.get(&update.relationship.key());
        let is_live = before.is_some_and(|row| !row.is_expired(time));
        let after = match update.operation {
            Update::Create if is_live => return Err(Box::new(update.relationship.key())),
            Update::Create | Update::Touch => Some(&update.relationship),
            Update::Delete if is_live => None,
            Update::Delete => continue,
        };
        if before != after {
            changes.push((before.cloned(), after.cloned()));
        }
    }
    Ok(changes)
}
