//! The known differences: each a cause that is recognised in the case and the answers, never a shape that is left out.

use std::collections::BTreeSet;

use model::{DefinitionName, ObjectId, ObjectRef, Relationship, SubjectId};
use remit_client::proto::authzed::api::v1 as wire;
use schema::{Arrow, Expression, MemberKind, Quantifier, Schema};
use testkit::Case;
use tonic::Code;
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
    ("self of another type", is_self_for_another_type),
    ("condition less itself", is_condition_and_its_opposite),
    ("all over a type without it", is_all_without_target),
    ("a fault that the peer names", is_named_fault),
    ("depth in a circle", is_depth_in_a_circle),
    ("endless circle", is_endless_circle),
    ("error beside an answer", is_error_beside_an_answer),
    ("another error", is_another_error),
    ("wildcard for a set", is_wildcard_for_a_set),
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
    }

    pub(super) fn causes(&self) -> impl Iterator<Item = &'static str> {
        self.rows.iter().map(|(cause, _)| *cause)
    }
}

/// What one object's difference is put down to.
type OfOne = fn(&Situation<'_>, &Differing) -> bool;

/// The causes that are looked for object by object: an answer may differ for several.
const OF_ONE: [OfOne; 4] = [
    names_other_parameters,
    is_self_of_another_type,
    is_condition_less_itself,
    is_all_over_a_type_without_it,
];

/// Every difference has a cause, and one of them this.
fn holds_of_one(situation: &Situation<'_>, cause: OfOne) -> bool {
    let differing = situation.one.differing();
    differing.iter().any(|one| cause(situation, one))
        && differing
            .iter()
            .all(|one| OF_ONE.iter().any(|cause| cause(situation, one)))
}

fn is_other_missing_names(situation: &Situation<'_>) -> bool {
    holds_of_one(situation, names_other_parameters)
}

fn is_self_for_another_type(situation: &Situation<'_>) -> bool {
    holds_of_one(situation, is_self_of_another_type)
}

fn is_condition_and_its_opposite(situation: &Situation<'_>) -> bool {
    holds_of_one(situation, is_condition_less_itself)
}

fn is_all_without_target(situation: &Situation<'_>) -> bool {
    holds_of_one(situation, is_all_over_a_type_without_it)
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

/// The peer takes an object that has `self` for a subject of the asked type with the object's id.
fn is_self_of_another_type(situation: &Situation<'_>, one: &Differing) -> bool {
    let Call::LookupSubjects(request) = &situation.one.call else {
        return false;
    };
    let resource = object(request.resource.as_ref().unwrap());
    let on_the_way = reachable(&situation.case.relationships, &resource);
    let mut of_another = on_the_way
        .iter()
        .filter(|object| object.definition.as_str() != request.subject_object_type);
    situation.case.schema_text.contains("use self")
        && one
            .id
            .as_deref()
            .is_some_and(|id| of_another.any(|object| object.id.as_str() == id))
}

/// In a look-up the peer takes what a condition grants less what the same condition takes for nothing.
fn is_condition_less_itself(situation: &Situation<'_>, one: &Differing) -> bool {
    let is_look_up = matches!(
        situation.one.call,
        Call::LookupResources(_) | Call::LookupSubjects(_)
    );
    is_look_up
        && situation.case.schema_text.contains(" - ")
        && matches!(
            (&one.remit, &one.peer),
            (Access::Conditional(_), Access::Denied)
        )
}

/// A look-up of the peer passes over subjects whose type lacks what `.all()` asks of each.
fn is_all_over_a_type_without_it(situation: &Situation<'_>, _one: &Differing) -> bool {
    let is_look_up = matches!(
        situation.one.call,
        Call::LookupResources(_) | Call::LookupSubjects(_)
    );
    let schema = Schema::compile(&situation.case.schema_text).unwrap();
    let lacks = |arrow: &Arrow| {
        let rows = situation.case.relationships.iter();
        let relation = schema.member(arrow.relation);
        let of_arrow = rows.filter(|row| row.relation == relation.name);
        let mut types =
            of_arrow.filter_map(|row| schema.definition_ix(row.subject.definition.as_str()));
        arrow.quantifier == Quantifier::All
            && types.any(|ix| schema.member_ix(ix, arrow.target.as_str()).is_none())
    };
    let mut members = schema.members();
    is_look_up
        && members.any(|(_, member)| match &member.kind {
            MemberKind::Permission(expression) => any_arrow(expression, &lacks),
            MemberKind::Relation(_) => false,
        })
}

fn any_arrow(expression: &Expression, holds: &dyn Fn(&Arrow) -> bool) -> bool {
    match expression {
        Expression::Nil | Expression::SelfObject | Expression::Member(_) => false,
        Expression::Arrow(arrow) => holds(arrow),
        Expression::Union(operands) | Expression::Intersection(operands) => {
            operands.iter().any(|operand| any_arrow(operand, holds))
        }
        Expression::Exclusion(left, right) => any_arrow(left, holds) || any_arrow(right, holds),
    }
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
    let is_given_up = matches!(&situation.one.peer, Outcome::Failed(failure) if failure.code == Code::DeadlineExceeded);
    is_given_up && has_circle_on_the_way(situation)
}

/// The peer met an error of a caveat, Remit a decision.
fn is_error_beside_an_answer(situation: &Situation<'_>) -> bool {
    is_caveat(&situation.one.peer)
        && !matches!(situation.one.remit, Outcome::Failed(_))
        && !is_failure_of_the_group(situation)
}

/// Both met errors of caveats, of different ones.
fn is_another_error(situation: &Situation<'_>) -> bool {
    is_caveat(&situation.one.peer) && is_caveat(&situation.one.remit)
}

/// The peer gives a set of subjects what a wildcard on the way gives to the objects of its type.
fn is_wildcard_for_a_set(situation: &Situation<'_>) -> bool {
    let (Outcome::Decided(remit), Outcome::Decided(peer)) =
        (&situation.one.remit, &situation.one.peer)
    else {
        return false;
    };
    let (Call::Check(item) | Call::CheckInBulk(item)) = &situation.one.call else {
        return false;
    };
    let subject = item.subject.as_ref().unwrap();
    let kind = &subject.object.as_ref().unwrap().object_type;
    let rows = &situation.case.relationships;
    let on_the_way = reachable(rows, &object(item.resource.as_ref().unwrap()));
    remit != peer
        && !subject.optional_relation.is_empty()
        && rows.iter().any(|row| {
            row.subject.id == SubjectId::Wildcard
                && row.subject.definition.as_str() == kind
                && on_the_way.contains(&row.resource)
        })
}

/// In bulk the peer failed an item as it did another of its group, and not when it was asked alone.
fn is_failure_of_the_group(situation: &Situation<'_>) -> bool {
    let Call::CheckInBulk(item) = &situation.one.call else {
        return false;
    };
    let failure = &situation.one.peer;
    let mut singly = singly(situation);
    let is_alone_fine = singly
        .clone()
        .any(|(asked, one)| asked == item && !matches!(one.peer, Outcome::Failed(_)));
    is_alone_fine
        && matches!(failure, Outcome::Failed(_))
        && singly.any(|(asked, one)| is_of_one_group(asked, item) && one.peer.agrees_with(failure))
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
    reason(outcome).is_some_and(|name| name.starts_with("ERROR_REASON_CAVEAT_"))
}

fn reason(outcome: &Outcome) -> Option<&str> {
    let Outcome::Failed(failure) = outcome else {
        return None;
    };
    failure.reason.as_ref().map(|reason| reason.name.as_str())
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
