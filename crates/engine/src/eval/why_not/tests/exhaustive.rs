//! All sets of up to three changes, each decided by the naive evaluator: the smallest that flip are those that are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use model::{Decision, DefinitionName, RelationName};
use schema::{MemberKind, Schema};
use testkit::rng::Rng;
use testkit::{Case, Question};

use super::space::{Atom, Space};
use super::{case_count, generous, query, thin_case};
use crate::eval::tests::snapshot;
use crate::eval::{AddedSubjects, Changeable, Proposed, Relations, why_not};

/// Sets as texts.
type Sets = BTreeSet<BTreeSet<String>>;

/// How often what was compared.
#[derive(Debug, Default)]
struct Seen {
    compared: u64,
    complete: u64,
    of_kind: BTreeMap<&'static str, u64>,
}

/// More changes than these are not searched for sets of two, and of three.
const ATOMS_MAX: usize = 40;
const ATOMS_OF_THREE_MAX: usize = 16;

/// The smallest sets that flip, by trying all.
fn by_exhaustion(space: &Space<'_>, atoms: &[Atom], changes_max: usize) -> Sets {
    let mut smallest: Vec<Vec<usize>> = Vec::new();
    let mut open: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..changes_max {
        let mut next = Vec::new();
        for set in &open {
            let first = set.last().map_or(0, |last| last + 1);
            for at in first..atoms.len() {
                if set.iter().any(|other| atoms[*other].of == atoms[at].of) {
                    continue;
                }
                let mut set = set.clone();
                set.push(at);
                let is_larger = smallest
                    .iter()
                    .any(|small| small.iter().all(|at| set.contains(at)));
                if is_larger {
                    continue;
                }
                let changes: Vec<&Proposed> = set.iter().map(|at| &atoms[*at].change).collect();
                if space.decide(&space.after(&changes)) == Some(Decision::Allowed) {
                    smallest.push(set);
                } else {
                    next.push(set);
                }
            }
        }
        open = next;
    }
    let text = |set: &Vec<usize>| set.iter().map(|at| atoms[*at].change.to_string()).collect();
    smallest.iter().map(text).collect()
}

fn fault(case: &Case, changeable: &Changeable, seen: &mut Seen) -> Option<String> {
    let schema = Arc::new(Schema::compile(&case.schema_text).unwrap());
    let snapshot = snapshot(&schema, &case.relationships);
    for question in &case.questions {
        let space = Space {
            schema: &schema,
            rows: &case.relationships,
            question,
            changeable,
            depth_max: case.depth_max,
        };
        let atoms = space.atoms();
        if atoms.len() > ATOMS_MAX || space.decide(space.rows) == Some(Decision::Allowed) {
            continue;
        }
        let changes_max = if atoms.len() <= ATOMS_OF_THREE_MAX {
            3
        } else {
            2
        };
        let right = by_exhaustion(&space, &atoms, changes_max);
        let asked = query(case, question, changeable, generous(changes_max));
        let told = match why_not(&snapshot, &asked, &AtomicBool::new(false)) {
            Ok(told) => told,
            Err(error) => return Some(format!("{question}: {error}")),
        };
        let sets: Sets = told
            .sets
            .iter()
            .map(|set| set.changes.iter().map(ToString::to_string).collect())
            .collect();
        seen.compared += 1;
        if told.is_complete {
            seen.complete += 1;
            for set in &told.sets {
                *seen
                    .of_kind
                    .entry(size_name(set.changes.len()))
                    .or_default() += 1;
                for change in &set.changes {
                    *seen.of_kind.entry(kind(change, question)).or_default() += 1;
                }
            }
        }
        let is_right = if told.is_complete {
            sets == right
        } else {
            sets.is_subset(&right)
        };
        if !is_right || sets.len() != told.sets.len() {
            return Some(format!(
                "{question} (complete: {})\n  told: {sets:?}\n  right: {right:?}",
                told.is_complete
            ));
        }
    }
    None
}

fn size_name(size: usize) -> &'static str {
    match size {
        1 => "one",
        2 => "two",
        _ => "three",
    }
}

fn kind(change: &Proposed, question: &Question) -> &'static str {
    match change {
        Proposed::Add(row) if row.subject != question.subject => "link",
        Proposed::Add(_) => "add",
        Proposed::Renew(_) => "renew",
        Proposed::Replace(_) => "replace",
        Proposed::Remove(_) => "remove",
        Proposed::Context { holds: true, .. } => "hold",
        Proposed::Context { holds: false, .. } => "fail",
    }
}

/// What may be changed, at random: mostly everything.
pub(super) fn changeable(rng: &mut Rng, case: &Case) -> Changeable {
    let schema = Schema::compile(&case.schema_text).unwrap();
    let mut some = |percent: usize| -> Relations {
        if rng.chance(60) {
            return Relations::All;
        }
        let relations = schema
            .members()
            .filter(|(_, member)| matches!(member.kind, MemberKind::Relation(_)));
        let named = relations.map(|(_, member)| {
            let definition = &schema.definition(member.definition).name;
            (definition.clone(), member.name.clone())
        });
        let chosen: BTreeSet<(DefinitionName, RelationName)> =
            named.filter(|_| rng.chance(percent)).collect();
        Relations::Only(chosen)
    };
    let (add, remove) = (some(70), some(50));
    let noon = case.questions.first().map(|question| question.now);
    Changeable {
        add,
        remove,
        subjects: match rng.chance(70) {
            true => AddedSubjects::AskedAndHolding,
            false => AddedSubjects::Asked,
        },
        context: rng.chance(70),
        expires_at: noon.filter(|_| rng.chance(70)).map(|noon| {
            let micros = *rng.pick(&[-5, 3_600_000_000, 3_600_000_000]);
            noon.saturating_add_micros(micros)
        }),
    }
}

#[test]
fn what_is_told_is_what_trying_everything_finds() {
    let mut seen = Seen::default();
    for seed in 0..case_count(400) {
        let (case, mut rng) = thin_case(seed);
        let changeable = changeable(&mut rng, &case);
        if let Some(first) = fault(&case, &changeable, &mut seen) {
            let fault_of = |case: &Case| fault(case, &changeable, &mut Seen::default());
            let small = testkit::shrink(case, |case| fault_of(case).is_some());
            let again = fault_of(&small).unwrap();
            panic!("seed {seed}: {first}\nshrunk: {again}\n{changeable:?}\n{small}");
        }
    }
    eprintln!("{seen:?}");
    assert!(seen.complete * 20 > seen.compared * 19, "{seen:?}");
    let kinds = [
        "one", "two", "three", "add", "link", "renew", "replace", "remove", "hold", "fail",
    ];
    for kind in kinds {
        assert!(seen.of_kind.contains_key(kind), "no {kind}: {seen:?}");
    }
}
