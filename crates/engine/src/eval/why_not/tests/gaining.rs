//! What sets give besides, counted anew pair by pair by the naive evaluator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use model::{
    Decision, DefinitionName, ObjectId, ObjectRef, RelationName, Relationship, SubjectId,
    SubjectRef,
};
use schema::{MemberKind, Schema};
use testkit::{Case, OracleError, Question, oracle};

use super::exhaustive::changeable;
use super::space::Space;
use super::{Scene, case_count, gains_texts, generous, query, texts, thin_case};
use crate::eval::tests::snapshot;
use crate::eval::{AddedSubjects, Gained, Gains, OthersGaining, Proposed, WhyNotLimits, why_not};

type Decided = Result<Decision, OracleError>;
type Counted = BTreeMap<(DefinitionName, RelationName), Gained>;

/// Two sets of rows and what each comes to.
struct Two<'a> {
    case: &'a Case,
    schema: &'a Schema,
    question: &'a Question,
    before: &'a [Relationship],
    after: &'a [Relationship],
    objects: BTreeSet<ObjectRef>,
}

impl Two<'_> {
    fn decide(
        &self,
        resource: &ObjectRef,
        member: &RelationName,
        subject: &SubjectRef,
    ) -> [Decided; 2] {
        let question = Question {
            resource: resource.clone(),
            member: member.clone(),
            subject: subject.clone(),
            ..self.question.clone()
        };
        [self.before, self.after]
            .map(|rows| oracle::check(self.schema, rows, &question, self.case.depth_max))
    }

    /// The members whose gains are told, with their definitions.
    fn members(&self) -> Vec<(DefinitionName, RelationName)> {
        let asked = &self.question;
        let members = self.schema.members();
        let named = members.map(|(_, member)| {
            let definition = self.schema.definition(member.definition).name.clone();
            (definition, member)
        });
        let told = named.filter(|(definition, member)| {
            matches!(member.kind, MemberKind::Permission(_))
                || (*definition == asked.resource.definition && member.name == asked.member)
        });
        told.map(|(definition, member)| (definition, member.name.clone()))
            .collect()
    }

    /// What the subject gets besides; none if not all can be decided.
    fn gains(&self, examples_max: usize) -> Option<Counted> {
        let mut counted = Counted::new();
        for (definition, member) in self.members() {
            let mut gained = Gained {
                definition: definition.clone(),
                permission: member.clone(),
                gained_count: 0,
                conditional_count: 0,
                lost_count: 0,
                examples: Vec::new(),
            };
            for object in self
                .objects
                .iter()
                .filter(|object| object.definition == definition)
            {
                let [before, after] = self.decide(object, &member, &self.question.subject);
                let (before, after) = (before.ok()?, after.ok()?);
                if *object == self.question.resource && member == self.question.member {
                    continue;
                }
                match (before, after) {
                    (Decision::Allowed, Decision::Allowed) => {}
                    (Decision::Allowed, _) => gained.lost_count += 1,
                    (_, Decision::Allowed) => {
                        gained.gained_count += 1;
                        if gained.examples.len() < examples_max {
                            gained.examples.push(object.id.clone());
                        }
                    }
                    (Decision::Denied, Decision::Conditional { .. }) => {
                        gained.conditional_count += 1
                    }
                    (_, _) => {}
                }
            }
            if gained.gained_count + gained.conditional_count + gained.lost_count > 0 {
                counted.insert((definition, member), gained);
            }
        }
        Some(counted)
    }

    /// How many others of the subject's kind get what was asked for; none if not all can be decided.
    fn others(&self) -> Option<OthersGaining> {
        let asked = self.question;
        let gets = |id: &ObjectId| -> Option<bool> {
            let other = SubjectRef::from(ObjectRef {
                definition: asked.subject.definition.clone(),
                id: id.clone(),
            });
            let [before, after] = self.decide(&asked.resource, &asked.member, &other);
            Some(before.ok()? != Decision::Allowed && after.ok()? == Decision::Allowed)
        };
        if gets(&"somebody-else".parse().unwrap())? {
            return Some(OthersGaining::Everybody);
        }
        let mut count = 0;
        for object in &self.objects {
            let is_asked = asked.subject == SubjectRef::from(object.clone());
            if object.definition == asked.subject.definition && !is_asked {
                count += u64::from(gets(&object.id)?);
            }
        }
        Some(OthersGaining::Count(count))
    }

    /// Somebody else who gets something.
    fn anybody_else(&self) -> Option<String> {
        for subject in &self.objects {
            let subject = SubjectRef::from(subject.clone());
            if subject == self.question.subject {
                continue;
            }
            for (definition, member) in self.members() {
                for object in self.objects.iter().filter(|it| it.definition == definition) {
                    let [before, after] = self.decide(object, &member, &subject);
                    if before != after {
                        return Some(format!(
                            "{object}#{member}@{subject}: {before:?}, then {after:?}"
                        ));
                    }
                }
            }
        }
        None
    }
}

#[derive(Debug, Default)]
struct Seen {
    exact: u64,
    with_gains: u64,
    conditional: u64,
    lost: u64,
    others: u64,
    everybody: u64,
    nobody_else: u64,
}

fn fault(case: &Case, changeable: &crate::eval::Changeable, seen: &mut Seen) -> Option<String> {
    let schema = Arc::new(Schema::compile(&case.schema_text).unwrap());
    let snapshot = snapshot(&schema, &case.relationships);
    for question in &case.questions {
        let limits = WhyNotLimits {
            lookups_max: 100_000,
            candidates_max: 6,
            ..generous(2)
        };
        let asked = query(case, question, changeable, limits);
        let told = why_not(&snapshot, &asked, &AtomicBool::new(false)).unwrap();
        for set in &told.sets {
            let gains = set.gains.as_ref().unwrap();
            let space = Space {
                schema: &schema,
                rows: &case.relationships,
                question,
                changeable,
                depth_max: case.depth_max,
            };
            let written = set.changes.iter();
            let written: Vec<&Proposed> = written.filter(|it| it.change().is_some()).collect();
            let after = space.after(&written);
            let subject = match &question.subject.id {
                SubjectId::Object(id) => Some(ObjectRef {
                    definition: question.subject.definition.clone(),
                    id: id.clone(),
                }),
                SubjectId::Wildcard => None,
            };
            let two = Two {
                case,
                schema: &schema,
                question,
                before: &case.relationships,
                after: &after,
                objects: space.objects().into_iter().chain(subject).collect(),
            };
            if let Some(fault) = set_fault(&two, gains, limits, seen) {
                return Some(format!("{question}: {set}: {fault}"));
            }
        }
    }
    None
}

fn set_fault(
    two: &Two<'_>,
    gains: &Gains,
    limits: WhyNotLimits,
    seen: &mut Seen,
) -> Option<String> {
    if !gains.others.may_gain {
        seen.nobody_else += 1;
        if let Some(other) = two.anybody_else() {
            return Some(format!("nobody else should get anything, but {other}"));
        }
    }
    let right = two.gains(limits.examples_max)?;
    let told: Counted = gains
        .permissions
        .iter()
        .map(|gained| {
            (
                (gained.definition.clone(), gained.permission.clone()),
                gained.clone(),
            )
        })
        .collect();
    if told != right || told.len() != gains.permissions.len() {
        return Some(format!("{told:#?} instead of {right:#?}"));
    }
    seen.exact += 1;
    seen.with_gains += u64::from(!right.is_empty());
    seen.conditional += u64::from(right.values().any(|it| it.conditional_count > 0));
    seen.lost += u64::from(right.values().any(|it| it.lost_count > 0));
    let (others, told) = (two.others()?, gains.others.gaining);
    if gains.others.may_gain && told != Some(others) {
        return Some(format!("others {told:?} instead of {others:?}"));
    }
    seen.others += u64::from(others != OthersGaining::Count(0));
    seen.everybody += u64::from(others == OthersGaining::Everybody);
    // Were something not decided, it would have been left above.
    gains.is_truncated.then(|| "said not to be all".to_owned())
}

#[test]
fn what_is_counted_is_what_counting_pair_by_pair_finds() {
    let mut seen = Seen::default();
    for seed in 0..case_count(120) {
        let (case, mut rng) = thin_case(seed ^ 0x6761_696e);
        let changeable = changeable(&mut rng, &case);
        if let Some(first) = fault(&case, &changeable, &mut seen) {
            let fault_of = |case: &Case| fault(case, &changeable, &mut Seen::default());
            let small = testkit::shrink(case, |case| fault_of(case).is_some());
            let again = fault_of(&small).unwrap();
            panic!("seed {seed}: {first}\nshrunk: {again}\n{changeable:?}\n{small}");
        }
    }
    eprintln!("{seen:?}");
    let each = [
        seen.exact,
        seen.with_gains,
        seen.conditional,
        seen.lost,
        seen.others,
        seen.everybody,
        seen.nobody_else,
    ];
    assert!(each.iter().all(|count| *count > 0), "{seen:?}");
}

const FOLDERS: &str = "definition user {}\ndefinition group {\n relation member: user | group#member\n}\ndefinition folder {\n\
                       relation viewer: user | group#member\n permission view = viewer\n}\ndefinition doc {\n\
                       relation parent: folder\n relation viewer: user | group#member\n relation editor: user | group#member\n\
                       permission view = viewer + editor + parent->view\n permission edit = editor\n}\n";

fn shared() -> Scene {
    let rows = [
        "doc:d#parent@folder:f",
        "doc:e#parent@folder:f",
        "doc:a#parent@folder:f",
        "doc:d#viewer@group:readers#member",
        "folder:f#viewer@group:staff#member",
        "group:staff#member@user:bob",
        "group:staff#member@user:cat",
        "folder:open#viewer@user:ann",
        "folder:open#viewer@user:dan",
    ];
    Scene::new(FOLDERS, &rows, ("doc:d", "view", "user:ann"))
}

#[test]
fn the_smallest_grant_is_the_one_that_gives_least_besides() {
    let told = shared()
        .changeable(|may| may.subjects = AddedSubjects::Asked)
        .grants();
    let expected = [
        ("add doc:d#viewer@user:ann", vec![]),
        ("add group:readers#member@user:ann", vec![]),
        ("add doc:d#editor@user:ann", vec!["doc#edit +1 ?0 -0 d"]),
        (
            "add folder:f#viewer@user:ann",
            vec!["doc#view +2 ?0 -0 a e", "folder#view +1 ?0 -0 f"],
        ),
        (
            "add group:staff#member@user:ann",
            vec!["doc#view +2 ?0 -0 a e", "folder#view +1 ?0 -0 f"],
        ),
    ];
    assert_eq!(texts(&told), expected.clone().map(|(set, _)| set));
    for (set, (_, gains)) in told.sets.iter().zip(expected) {
        assert_eq!(gains_texts(set), gains, "{set}");
        assert!(!set.gains.as_ref().unwrap().others.may_gain, "{set}");
    }
}

#[test]
fn what_gives_to_others_says_to_how_many() {
    let told = shared().grants();
    let moved = told
        .sets
        .iter()
        .find(|set| set.to_string() == "add doc:d#parent@folder:open");
    let others = moved.unwrap().gains.as_ref().unwrap().others;
    assert!(others.may_gain);
    assert_eq!(others.gaining, Some(OthersGaining::Count(1)));
}

#[test]
fn counts_past_a_limit_are_said_to_be_cut() {
    let scene = shared()
        .changeable(|may| may.subjects = AddedSubjects::Asked)
        .limits(|limits| limits.lookups_max = 2);
    let told = scene.grants();
    let cut: Vec<bool> = told
        .sets
        .iter()
        .map(|set| set.gains.as_ref().unwrap().is_truncated)
        .collect();
    // One permission before and after; those that were not counted come last.
    assert_eq!(cut, [false, true, true, true, true]);
    assert_eq!(told.sets.len(), 5);
}
