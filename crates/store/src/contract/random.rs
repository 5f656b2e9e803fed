//! Random sequences of commits against a map, with the seed in every failure.

use std::collections::BTreeMap;

use model::{Precondition, RelationshipKey};

use super::*;

const SEEDS: u64 = 12;
const STEPS: usize = 60;

/// SplitMix64: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

type Rows = BTreeMap<RelationshipKey, (Relationship, Revision)>;

pub(super) fn rows_are_the_fold_of_the_log(harness: &dyn Harness) {
    for seed in 0..SEEDS {
        let store = &*harness.make();
        let mut random = Random(seed);
        let mut model = Rows::new();
        let mut history = vec![model.clone()];
        let mut time = Timestamp::EPOCH;
        for step in 0..STEPS {
            let request = random_request(&mut random, store, step as i64);
            let now = time.max(request.now);
            let expected = apply(&model, &request, Revision(history.len() as u64), now);
            let committed = try_commit(store, request.clone());
            let place = || format!("seed {seed} step {step}: {request:?}");
            assert_eq!(
                committed.is_ok(),
                expected.is_some(),
                "{committed:?} {}",
                place()
            );
            if let Some(next) = expected {
                model = next;
                time = now;
                history.push(model.clone());
            }
            let expected: Vec<_> = model
                .values()
                .map(|(relationship, revision)| (relationship.to_string(), *revision))
                .collect();
            assert_eq!(rows(store), expected, "{}", place());
        }
        check_log(&log_after(store, 0), &history, seed);
    }
}

fn random_relationship(random: &mut Random, step: i64) -> Relationship {
    let (resource, relation, subject) = (random.below(3), random.below(2), random.below(4));
    let subject = ["user:ann", "user:*", "group:eng#member", "group:eng"][subject as usize];
    let traits = match random.below(5) {
        0 => format!("[office_hours:{{\"n\":{}}}]", random.below(2)),
        1 => format!("[expiration:{}]", at(step + random.below(12) as i64 - 3)),
        _ => String::new(),
    };
    rel(&format!(
        "document:d{resource}#rel{relation}@{subject}{traits}"
    ))
}

fn random_request(random: &mut Random, store: &dyn Store, step: i64) -> CommitRequest {
    let count = random.below(5);
    let changes = (0..count).map(|_| match random.below(8) {
        0 => {
            let partial = random.below(2) == 0;
            let limit = [None, Some(1), Some(3)][random.below(3) as usize];
            delete_matching(random_filter(random), limit, partial)
        }
        1 => ChangeRequest::RemoveExpired {
            before: at(step),
            limit: random.below(4) as u32,
        },
        kind => {
            let operation = [
                Operation::Create,
                Operation::Touch,
                Operation::Touch,
                Operation::Delete,
            ];
            let operation = operation[kind as usize % 4];
            ChangeRequest::Relationship(RelationshipUpdate {
                operation,
                relationship: random_relationship(random, step),
            })
        }
    });
    let changes = changes.collect();
    let mut request = CommitRequest {
        now: at(step + random.below(4) as i64 - 2),
        ..request(store, changes)
    };
    if random.below(4) == 0 {
        let filter = random_filter(random);
        let is_match = random.below(2) == 0;
        let make = if is_match {
            Precondition::MustMatch
        } else {
            Precondition::MustNotMatch
        };
        request.preconditions.push(make(filter));
    }
    request
}

fn random_filter(random: &mut Random) -> RelationshipFilter {
    let relationship = random_relationship(random, 0);
    let mut filter = of("document");
    if random.below(2) == 0 {
        filter.resource_id = Some(model::ResourceIdFilter::Exact(relationship.resource.id));
    }
    if random.below(2) == 0 {
        filter.relation = Some(relationship.relation);
    }
    filter
}

/// The rules of [`crate::commit`], as plainly as they can be said; none if the commit is refused.
fn apply(model: &Rows, request: &CommitRequest, at: Revision, time: Timestamp) -> Option<Rows> {
    let live = |rows: &Rows, filter: &RelationshipFilter| {
        let matching = rows
            .iter()
            .filter(|(_, (row, _))| !row.is_expired(time) && filter.matches(row));
        matching.map(|(key, _)| key.clone()).collect::<Vec<_>>()
    };
    let mut rows = model.clone();
    for precondition in &request.preconditions {
        let is_match = !live(&rows, precondition.filter()).is_empty();
        if is_match != matches!(precondition, Precondition::MustMatch(_)) {
            return None;
        }
    }
    for change in &request.changes {
        match change {
            ChangeRequest::Relationship(RelationshipUpdate {
                operation,
                relationship,
            }) => {
                let key = relationship.key();
                let is_live = rows.get(&key).is_some_and(|(row, _)| !row.is_expired(time));
                match operation {
                    Operation::Create if is_live => return None,
                    Operation::Create | Operation::Touch => {
                        rows.insert(key, (relationship.clone(), at));
                    }
                    Operation::Delete if is_live => {
                        rows.remove(&key);
                    }
                    Operation::Delete => {}
                }
            }
            ChangeRequest::DeleteMatching {
                filter,
                limit,
                partial,
            } => {
                let mut keys = live(&rows, filter);
                let limit = limit.map_or(usize::MAX, |limit| limit as usize);
                if keys.len() > limit && !partial {
                    return None;
                }
                keys.truncate(limit);
                keys.iter().for_each(|key| drop(rows.remove(key)));
            }
            ChangeRequest::RemoveExpired { before, limit } => {
                let until = time.min(*before);
                let expired = rows.values().filter(|(row, _)| row.is_expired(until));
                let mut keys: Vec<_> = expired
                    .map(|(row, _)| (row.expires_at, row.key()))
                    .collect();
                keys.sort_unstable();
                keys.truncate(*limit as usize);
                keys.iter().for_each(|(_, key)| drop(rows.remove(key)));
            }
            ChangeRequest::Schema(_) | ChangeRequest::Record { .. } | ChangeRequest::Erase(_) => {}
        }
    }
    // A row that ends as it began was not written.
    for (key, row) in &mut rows {
        if let Some(before) = model.get(key).filter(|before| before.0 == row.0) {
            *row = before.clone();
        }
    }
    Some(rows)
}

/// Folds the log forwards to each state, and undoes it back to the first.
fn check_log(entries: &[LogEntry], history: &[Rows], seed: u64) {
    assert_eq!(entries.len() + 1, history.len(), "seed {seed}");
    let mut rows: BTreeMap<RelationshipKey, Relationship> = BTreeMap::new();
    let plain = |rows: &Rows| {
        rows.iter()
            .map(|(key, (row, _))| (key.clone(), row.clone()))
            .collect::<BTreeMap<_, _>>()
    };
    for (entry, after) in entries.iter().zip(&history[1..]) {
        for change in &entry.changes {
            assert_ne!(change.before, change.after, "seed {seed}");
            let key = change.relationship().unwrap().key();
            assert_eq!(rows.get(&key), change.before.as_ref(), "seed {seed}");
            replace(&mut rows, key, change.after.as_ref());
        }
        assert_eq!(
            rows,
            plain(after),
            "seed {seed} revision {}",
            entry.revision
        );
    }
    for (entry, before) in entries.iter().zip(history).rev() {
        for change in entry.changes.iter().rev() {
            replace(
                &mut rows,
                change.relationship().unwrap().key(),
                change.before.as_ref(),
            );
        }
        assert_eq!(
            rows,
            plain(before),
            "seed {seed} before revision {}",
            entry.revision
        );
    }
}

fn replace(
    rows: &mut BTreeMap<RelationshipKey, Relationship>,
    key: RelationshipKey,
    row: Option<&Relationship>,
) {
    match row {
        Some(row) => drop(rows.insert(key, row.clone())),
        None => drop(rows.remove(&key)),
    }
}
