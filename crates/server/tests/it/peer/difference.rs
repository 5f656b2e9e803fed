//! The known differences: each a cause that is recognised in the case and the answers, never a shape that is left out.

use std::collections::BTreeSet;

use model::{DefinitionName, ObjectId, ObjectRef, Relationship, SubjectId};
use remit_client::proto::authzed::api::v1 as wire;
use schema::{MemberKind, Schema, SubjectKind};
use testkit::Case;
use wire::CheckBulkPermissionsRequestItem as Item;

use super::Compared;
use super::call::Call;
use super::outcome::{Access, Differing, Outcome};
use super::tame::{reachable, subject};

/// How the message of the depth limit begins; the peer tells the reason in bulk only, and there it may not fail.
const DEPTH: &str = "max depth exceeded";

/// What a cause is looked for in.
pub(super) struct Situation<'a> {
    pub(super) case: &'a Case,
    pub(super) all: &'a [Compared],
    pub(super) one: &'a Compared,
}

/// How a cause is recognised.
type Predicate = fn(&Situation<'_>) -> bool;

const PREDICATES: &[(&str, Predicate)] = &[
    ("other missing names", is_other_missing_names),
    ("look-up against check", is_at_odds_with_its_check),
    ("a fault that the peer names", is_named_fault),
    ("depth in a circle", is_depth_in_a_circle),
    ("endless circle", is_endless_circle),
    ("error beside an answer", is_error_beside_an_answer),
    ("another error", is_another_error),
    ("wildcard for a set", is_wildcard_for_a_set),
    ("trait of one kind", is_trait_of_one_kind),
    ("all of a batch", is_all_of_a_batch),
    ("one item fails its group", is_failure_of_the_group),
];

/// The causes of `differences.toml`, with their predicates.
#[derive(Clone)]
pub(super) struct Table {
    rows: Vec<(&'static str, Predicate)>,
}

impl Table {
    /// Reads the table; every row has a predicate, and every predicate a row.
    pub(super) fn read() -> Self {
        let table: toml::Table = include_str!("differences.toml").parse().unwrap();
        let rows = table["difference"].as_array().unwrap();
        let causes = rows.iter().map(|row| {
            for key in ["right", "why", "see"] {
                assert!(
                    row[key].as_str().is_some_and(|text| !text.is_empty()),
                    "{row}"
                );
            }
            row["cause"].as_str().unwrap()
        });
        let known = PREDICATES.iter().map(|(cause, _)| *cause);
        assert_eq!(causes.collect::<Vec<_>>(), known.collect::<Vec<_>>());
        Self {
            rows: PREDICATES.to_vec(),
        }
    }

    /// The cause of a difference, if it is known.
    pub(super) fn cause(&self, situation: &Situation<'_>) -> Option<&'static str> {
        let mut rows = self.rows.iter();
        rows.find(|(_, holds)| holds(situation))
            .map(|(cause, _)| *cause)
            .or_else(|| self.cause_of_objects(situation))
    }

    /// The cause for which the peer's own checks of all objects differ from a look-up of Remit where they do.
    fn cause_of_objects(&self, situation: &Situation<'_>) -> Option<&'static str> {
        let mut found = None;
        let differing = situation.one.differing();
        for (one, checked) in differing.iter().zip(&situation.one.checked) {
            let item = situation.one.call.check_of(one.id_or_other())?;
            let of_object = Compared {
                call: Call::Check(item),
                remit: Outcome::Decided(one.remit.clone()),
                peer: checked.clone(),
                checked: Vec::new(),
            };
            let of_object = Situation {
                one: &of_object,
                ..*situation
            };
            if of_object.one.differs() && !names_other_parameters(situation, one) {
                found = Some(self.cause(&of_object)?);
            }
        }
        found
    }

    pub(super) fn causes(&self) -> impl Iterator<Item = &'static str> {
        self.rows.iter().map(|(cause, _)| *cause)
    }
}

/// Both say that it depends, on different names.
fn is_other_missing_names(situation: &Situation<'_>) -> bool {
    let differing = situation.one.differing();
    !differing.is_empty()
        && differing
            .iter()
            .all(|one| names_other_parameters(situation, one))
}

/// The peer's own check gives each object over which the look-ups differ what Remit's look-up gives it.
fn is_at_odds_with_its_check(situation: &Situation<'_>) -> bool {
    let differing = situation.one.differing();
    let mut pairs = differing.iter().zip(&situation.one.checked);
    !situation.one.checked.is_empty()
        && pairs.all(|(one, checked)| {
            let Outcome::Decided(checked) = checked else {
                return false;
            };
            let of_check = Differing {
                id: one.id.clone(),
                remit: one.remit.clone(),
                peer: checked.clone(),
            };
            *checked == one.remit
                || names_other_parameters(situation, &of_check)
                || names_other_parameters(situation, one)
        })
}

/// Both say that something is missing. The names that only one of them has are parameters of caveats that rows carry.
fn names_other_parameters(situation: &Situation<'_>, one: &Differing) -> bool {
    let (Access::Conditional(remit), Access::Conditional(peer)) = (&one.remit, &one.peer) else {
        return false;
    };
    let schema = Schema::compile(&situation.case.schema_text).unwrap();
    let rows = situation.case.relationships.iter();
    let carried: BTreeSet<String> = rows
        .filter_map(|row| schema.caveat_ix(row.caveat.as_ref()?.name.as_str()))
        .flat_map(|ix| schema.caveat(ix).program.parameters())
        .map(|parameter| parameter.name.as_str().to_owned())
        .collect();
    let mut extra = remit.symmetric_difference(peer);
    !peer.is_empty() && extra.all(|name| carried.contains(name))
}

/// The peer says itself that it met a fault of its own.
fn is_named_fault(situation: &Situation<'_>) -> bool {
    matches!(&situation.one.peer, Outcome::Failed(failure) if failure.message.starts_with("BUG: "))
}

/// The peer met its depth limit, and a circle lies on the way.
fn is_depth_in_a_circle(situation: &Situation<'_>) -> bool {
    is_depth(&situation.one.peer)
        && !is_depth(&situation.one.remit)
        && has_circle_on_the_way(situation)
}

/// The peer was given up, and a circle lies on the way.
fn is_endless_circle(situation: &Situation<'_>) -> bool {
    situation.one.peer.is_given_up() && has_circle_on_the_way(situation)
}

/// The peer met an error of a caveat, Remit a decision.
fn is_error_beside_an_answer(situation: &Situation<'_>) -> bool {
    is_caveat(&situation.one.peer)
        && !matches!(situation.one.remit, Outcome::Failed(_))
        && !is_failure_of_the_group(situation)
}

/// The peer met an error of a caveat, Remit another error of the data.
fn is_another_error(situation: &Situation<'_>) -> bool {
    let remit = &situation.one.remit;
    is_caveat(&situation.one.peer) && (is_caveat(remit) || is_depth(remit) || is_cyclic(remit))
}

/// A check that both decided otherwise, and the rows of the objects that it leads to.
fn decided_otherwise<'a>(
    situation: &Situation<'a>,
) -> Option<(&'a Item, impl Iterator<Item = &'a Relationship>)> {
    let (Call::Check(item) | Call::CheckInBulk(item)) = &situation.one.call else {
        return None;
    };
    let (Outcome::Decided(remit), Outcome::Decided(peer)) =
        (&situation.one.remit, &situation.one.peer)
    else {
        return None;
    };
    let rows = &situation.case.relationships;
    let on_the_way = reachable(rows, &object(item.resource.as_ref()?));
    let rows = rows
        .iter()
        .filter(move |row| on_the_way.contains(&row.resource));
    (remit != peer).then_some((item, rows))
}

/// The peer asks of one kind of subject the caveat or the end that only another kind of the same definition carries.
fn is_trait_of_one_kind(situation: &Situation<'_>) -> bool {
    let schema = Schema::compile(&situation.case.schema_text).unwrap();
    decided_otherwise(situation)
        .is_some_and(|(_, mut rows)| rows.any(|row| has_trait_of_one_kind(&schema, row)))
}

/// Whether `row` carries a caveat or an end that another kind of subject of its definition goes without.
fn has_trait_of_one_kind(schema: &Schema, row: &Relationship) -> bool {
    let definition = schema.definition_ix(row.resource.definition.as_str());
    let member = definition.and_then(|ix| schema.member_ix(ix, row.relation.as_str()));
    let subject = schema.definition_ix(row.subject.definition.as_str());
    let (Some(member), Some(subject)) = (member, subject) else {
        return false;
    };
    let MemberKind::Relation(allowed) = &schema.member(member).kind else {
        return false;
    };
    let is_set = |kind: SubjectKind| matches!(kind, SubjectKind::Set(_));
    allowed.iter().any(|other| {
        let goes_without_caveat = row.caveat.is_some() && other.caveat.is_none();
        let goes_without_end = row.expires_at.is_some() && !other.expiration;
        other.definition == subject
            && is_set(other.kind) != row.subject.relation.is_some()
            && (goes_without_caveat || goes_without_end)
    })
}

/// The peer gives a set of subjects what a wildcard on the way gives to the objects of its type.
fn is_wildcard_for_a_set(situation: &Situation<'_>) -> bool {
    let Some((item, mut rows)) = decided_otherwise(situation) else {
        return false;
    };
    let subject = item.subject.as_ref().unwrap();
    let kind = &subject.object.as_ref().unwrap().object_type;
    let is_wildcard = |row: &Relationship| {
        row.subject.id == SubjectId::Wildcard && row.subject.definition.as_str() == kind
    };
    !subject.optional_relation.is_empty() && rows.any(is_wildcard)
}

/// In bulk the peer failed an item with what fails another of its group, and not when it was asked alone.
fn is_failure_of_the_group(situation: &Situation<'_>) -> bool {
    let Call::CheckInBulk(item) = &situation.one.call else {
        return false;
    };
    let failure = &situation.one.peer;
    let singly = singly(situation);
    let is_alone_fine = singly
        .clone()
        .any(|(asked, one)| asked == item && !matches!(one.peer, Outcome::Failed(_)));
    let mut group = singly.filter(|(asked, _)| is_of_one_group(asked, item));
    is_alone_fine
        && matches!(failure, Outcome::Failed(_))
        && group.any(|(_, one)| {
            let of_one = Situation { one, ..*situation };
            one.peer.agrees_with(failure) || is_depth(failure) && has_circle_on_the_way(&of_one)
        })
}

/// The single checks of the case.
fn singly<'a>(situation: &Situation<'a>) -> impl Iterator<Item = (&'a Item, &'a Compared)> + Clone {
    situation.all.iter().filter_map(|one| {
        let Call::Check(asked) = &one.call else {
            return None;
        };
        Some((asked, one))
    })
}

/// In bulk the peer decides an item of a group about `.all()` otherwise than alone, and alone as Remit does.
fn is_all_of_a_batch(situation: &Situation<'_>) -> bool {
    let Call::CheckInBulk(item) = &situation.one.call else {
        return false;
    };
    let mut singly = singly(situation);
    let agrees_alone = singly.clone().any(|(asked, alone)| {
        let of_alone = Situation {
            one: alone,
            ..*situation
        };
        asked == item && (!alone.differs() || is_other_missing_names(&of_alone))
    });
    agrees_alone
        && matches!(situation.one.peer, Outcome::Decided(_))
        && situation.case.schema_text.contains(".all(")
        && singly.any(|(asked, _)| asked != item && is_of_one_group(asked, item))
}

fn is_of_one_group(one: &Item, other: &Item) -> bool {
    let kind = |item: &Item| item.resource.as_ref().unwrap().object_type.clone();
    one.permission == other.permission
        && one.subject == other.subject
        && one.context == other.context
        && kind(one) == kind(other)
}

fn is_depth(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(failure) if failure.message.starts_with(DEPTH))
}

fn is_caveat(outcome: &Outcome) -> bool {
    let Outcome::Failed(failure) = outcome else {
        return false;
    };
    // The peer tells the reason in bulk only, and there it may not fail.
    let reason = failure.reason.iter();
    failure.message.starts_with("evaluation error for caveat ")
        || reason
            .map(|reason| reason.name.as_str())
            .any(|name| name.starts_with("ERROR_REASON_CAVEAT_"))
}

fn is_cyclic(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(failure) if failure.message.starts_with("cyclic exclusion"))
}

/// Whether the objects that the call leads to lead back to themselves.
fn has_circle_on_the_way(situation: &Situation<'_>) -> bool {
    let rows = &situation.case.relationships;
    let resource = match &situation.one.call {
        Call::Check(item) | Call::CheckInBulk(item) => item.resource.as_ref(),
        Call::LookupSubjects(request) => request.resource.as_ref(),
        Call::Expand(request) => request.resource.as_ref(),
        Call::LookupResources(_) => return rows.iter().any(|row| closes_circle(rows, row)),
        Call::WriteSchema | Call::WriteRelationships => return false,
    };
    let on_the_way = reachable(rows, &object(resource.unwrap()));
    let mut rows_on_the_way = rows.iter().filter(|row| on_the_way.contains(&row.resource));
    rows_on_the_way.any(|row| closes_circle(rows, row))
}

fn closes_circle(rows: &[Relationship], row: &Relationship) -> bool {
    subject(row).is_some_and(|subject| reachable(rows, &subject).contains(&row.resource))
}

fn object(object: &wire::ObjectReference) -> ObjectRef {
    ObjectRef {
        definition: DefinitionName::new(&object.object_type).unwrap(),
        id: ObjectId::new(&object.object_id).unwrap(),
    }
}
