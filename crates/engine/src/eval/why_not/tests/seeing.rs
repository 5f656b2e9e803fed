//! What a viewer is told does not depend on what he may not see.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use model::{
    CaveatRef, Context, Decision, ObjectId, ObjectRef, Relationship, Revision, SubjectId,
    SubjectRef, Timestamp,
};
use schema::{AllowedSubject, MemberKind, Schema, SubjectKind};
use testkit::rng::Rng;
use testkit::{Case, Question};

use super::exhaustive::changeable;
use super::{Scene, case_count, generous, query, thin_case};
use crate::eval::{Changeable, Proposed, Sight, WhyNotSeen, why_not, why_not_seen};
use crate::graph::{Change, Snapshot};

/// A number that has nothing to do with its neighbours, of a text.
fn mixed(seed: u64, text: &str) -> u64 {
    let bytes = text.bytes();
    bytes.fold(seed ^ 0xcbf2_9ce4_8422_2325, |mixed, byte| {
        (mixed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }) >> 20
}

/// Which objects and relationships a viewer sees, at random.
#[derive(Clone, Copy)]
struct Viewer {
    seed: u64,
}

impl Viewer {
    fn object(self, object: &ObjectRef) -> bool {
        !mixed(self.seed, &object.to_string()).is_multiple_of(5)
    }

    fn relationship(self, row: &Relationship) -> bool {
        !mixed(self.seed, &row.key().to_string()).is_multiple_of(9)
    }

    fn sees(self, row: &Relationship) -> bool {
        let subject = match &row.subject.id {
            SubjectId::Object(id) => self.object(&ObjectRef {
                definition: row.subject.definition.clone(),
                id: id.clone(),
            }),
            SubjectId::Wildcard => true,
        };
        subject && self.object(&row.resource) && self.relationship(row)
    }

    fn is_told(
        self,
        snapshot: &Snapshot,
        case: &Case,
        question: &Question,
        may: &Changeable,
    ) -> WhyNotSeen {
        let asked = query(case, question, may, generous(2));
        let sight = Sight {
            object: &|object| self.object(object),
            relationship: &|row| self.relationship(row),
        };
        why_not_seen(snapshot, &asked, sight, &AtomicBool::new(false)).unwrap()
    }
}

/// Rows that fit the schema and that the viewer does not see, between objects of the case and others.
fn hidden_rows(case: &Case, schema: &Schema, viewer: Viewer, rng: &mut Rng) -> Vec<Relationship> {
    let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in &case.relationships {
        let of_resource = ids.entry(row.resource.definition.to_string()).or_default();
        of_resource.push(row.resource.id.to_string());
        let of_subject = ids.entry(row.subject.definition.to_string()).or_default();
        of_subject.push(row.subject.id.as_str().replace('*', "x"));
    }
    for question in &case.questions {
        let of_resource = ids
            .entry(question.resource.definition.to_string())
            .or_default();
        of_resource.push(question.resource.id.to_string());
        let of_subject = ids
            .entry(question.subject.definition.to_string())
            .or_default();
        of_subject.push(question.subject.id.as_str().to_owned());
    }
    let relations: Vec<_> = schema
        .written_definitions()
        .flat_map(|(_, definition)| definition.members.iter().map(move |it| (definition, *it)))
        .filter_map(|(definition, member)| match &schema.member(member).kind {
            MemberKind::Relation(allowed) => Some((definition, member, allowed)),
            MemberKind::Permission(_) => None,
        })
        .collect();
    let mut rows: BTreeMap<_, Relationship> = BTreeMap::new();
    for number in 0..60 {
        let (definition, member, allowed) = rng.pick(&relations);
        let it: AllowedSubject = *rng.pick(allowed);
        let subject_definition = &schema.definition(it.definition).name;
        let mut id = |name: &str| {
            let fresh = vec![format!("hid{number}")];
            let known = ids.get(name).filter(|_| rng.chance(80)).unwrap_or(&fresh);
            ObjectId::new(rng.pick::<String>(known)).unwrap()
        };
        let resource = ObjectRef {
            definition: definition.name.clone(),
            id: id(definition.name.as_str()),
        };
        let subject = SubjectRef {
            definition: subject_definition.clone(),
            id: match it.kind {
                SubjectKind::Wildcard => SubjectId::Wildcard,
                SubjectKind::Object | SubjectKind::Set(_) => {
                    SubjectId::Object(id(subject_definition.as_str()))
                }
            },
            relation: match it.kind {
                SubjectKind::Set(set) => Some(schema.member(set).name.clone()),
                SubjectKind::Object | SubjectKind::Wildcard => None,
            },
        };
        let mut row = Relationship::new(resource, schema.member(*member).name.clone(), subject);
        row.caveat = it.caveat.map(|ix| CaveatRef {
            name: schema.caveat(ix).name.clone(),
            context: Context::default(),
        });
        row.expires_at = it.expiration.then_some(Timestamp::MAX);
        if !viewer.sees(&row) {
            rows.insert(row.key(), row);
        }
    }
    rows.into_values().collect()
}

/// A graph of rows that were written in an order of its own, so that numbers of objects tell nothing either.
fn shuffled(schema: &Arc<Schema>, rows: &[Relationship], seed: u64) -> Snapshot {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| mixed(seed, &row.to_string()));
    let changes: Vec<Change> = rows.into_iter().map(Change::Put).collect();
    let empty = Snapshot::empty(Arc::clone(schema));
    empty
        .apply(Revision(1), Timestamp::EPOCH, &changes)
        .unwrap()
}

/// How often what was compared.
#[derive(Debug, Default)]
struct Seen {
    compared: u64,
    with_sets: u64,
    something_hidden: u64,
    /// Pairs of graphs that are told apart where all is seen.
    told_apart: u64,
}

fn mentions_hidden(told: &WhyNotSeen, viewer: Viewer, question: &Question) -> Option<String> {
    let asked = &question.subject;
    let sees = |row: &Relationship| {
        row.subject == *asked
            || viewer.sees(&Relationship::new(
                row.resource.clone(),
                row.relation.clone(),
                row.subject.clone(),
            ))
    };
    let changes = told.sets.iter().flat_map(|set| &set.changes);
    let mut hidden = changes.filter(|change| match change {
        // The subject was named by whoever asks, so what is added to it must only be seen at its other end.
        Proposed::Add(row) => !viewer.object(&row.resource) || row.subject != *asked,
        Proposed::Renew(row) | Proposed::Replace(row) => !sees(row),
        Proposed::Remove(key) => !viewer.sees(&Relationship::new(
            key.resource.clone(),
            key.relation.clone(),
            key.subject.clone(),
        )),
        Proposed::Context { .. } => false,
    });
    hidden.next().map(ToString::to_string)
}

#[test]
fn two_graphs_that_differ_in_what_is_hidden_are_told_of_alike() {
    let mut seen = Seen::default();
    for seed in 0..case_count(400) {
        let (case, mut rng) = thin_case(seed ^ 0x0073_6565);
        let may = changeable(&mut rng, &case);
        let viewer = Viewer { seed };
        let schema = Arc::new(Schema::compile(&case.schema_text).unwrap());
        let mut other = case.clone();
        other
            .relationships
            .retain(|row| viewer.sees(row) || rng.chance(40));
        for row in hidden_rows(&case, &schema, viewer, &mut rng) {
            if !other.relationships.iter().any(|it| it.key() == row.key()) {
                other.relationships.push(row);
            }
        }
        let one = shuffled(&schema, &case.relationships, 1);
        let two = shuffled(&schema, &other.relationships, 2);
        for question in &case.questions {
            let told = viewer.is_told(&one, &case, question, &may);
            if let Some(hidden) = mentions_hidden(&told, viewer, question) {
                panic!("seed {seed}: {question}: told of {hidden}");
            }
            let told_of_other = viewer.is_told(&two, &other, question, &may);
            if told.decision != told_of_other.decision || told.decision == Ok(Decision::Allowed) {
                continue;
            }
            seen.compared += 1;
            seen.with_sets += u64::from(!told.sets.is_empty());
            seen.something_hidden += u64::from(told.something_hidden);
            let in_full = |snapshot: &Snapshot| {
                let asked = query(&case, question, &may, generous(2));
                let told = why_not(snapshot, &asked, &AtomicBool::new(false)).unwrap();
                super::texts(&told)
            };
            seen.told_apart += u64::from(in_full(&one) != in_full(&two));
            assert_eq!(told, told_of_other, "seed {seed}: {question}");
        }
    }
    eprintln!("{seen:?}");
    assert!(seen.with_sets * 5 > seen.compared, "{seen:?}");
    assert!(seen.told_apart * 10 > seen.compared, "{seen:?}");
    assert!(seen.something_hidden > 0, "{seen:?}");
}

/// Who sees everything is told the same sets as without a viewer, where nothing rests on what the subject holds elsewhere.
#[test]
fn who_sees_everything_is_told_all_sets() {
    let mut compared = 0;
    for seed in 0..case_count(100) {
        let (case, mut rng) = thin_case(seed ^ 0x0061_6c6c);
        let mut may = changeable(&mut rng, &case);
        may.subjects = crate::eval::AddedSubjects::Asked;
        let schema = Arc::new(Schema::compile(&case.schema_text).unwrap());
        let snapshot = shuffled(&schema, &case.relationships, seed);
        for question in &case.questions {
            // Whether a resource that no relationship names exists, a viewer knows and the graph does not.
            let is_named = case
                .relationships
                .iter()
                .any(|row| row.resource == question.resource);
            let asked = query(&case, question, &may, generous(2));
            let sight = Sight {
                object: &|_| true,
                relationship: &|_| true,
            };
            let waiting = AtomicBool::new(false);
            let told = why_not_seen(&snapshot, &asked, sight, &waiting).unwrap();
            let full = why_not(&snapshot, &asked, &waiting).unwrap();
            assert!(!told.something_hidden, "seed {seed}: {question}");
            if is_named {
                let sorted = |mut texts: Vec<String>| {
                    texts.sort();
                    texts
                };
                let told = told.sets.iter().map(ToString::to_string).collect();
                assert_eq!(
                    sorted(told),
                    sorted(super::texts(&full)),
                    "seed {seed}: {question}"
                );
                compared += u64::from(!full.sets.is_empty());
            }
        }
    }
    assert!(compared > 20, "{compared}");
}

const BANNED: &str = "definition user {}\ndefinition group {\n relation member: user\n}\ndefinition doc {\n\
                      relation viewer: user | group#member\n relation banned: user\n permission view = viewer - banned\n}\n";

fn seen(rows: &[&str], hidden: &'static [&'static str]) -> (WhyNotSeen, Vec<String>) {
    let scene = Scene::new(BANNED, rows, ("doc:d", "view", "user:ann"));
    let told = scene.with_query(|query| {
        let sight = Sight {
            object: &|object| !hidden.contains(&object.to_string().as_str()),
            relationship: &|row| !hidden.contains(&row.key().to_string().as_str()),
        };
        why_not_seen(&scene.snapshot, query, sight, &AtomicBool::new(false)).unwrap()
    });
    let texts = told.sets.iter().map(ToString::to_string).collect();
    (told, texts)
}

#[test]
fn a_hidden_group_is_not_told_of() {
    let rows = [
        "doc:d#viewer@group:open#member",
        "doc:d#viewer@group:secret#member",
    ];
    let (told, texts) = seen(&rows, &["group:secret"]);
    assert_eq!(
        texts,
        [
            "add doc:d#viewer@user:ann",
            "add group:open#member@user:ann"
        ]
    );
    assert!(told.is_complete && !told.something_hidden);
}

#[test]
fn a_hidden_ban_is_told_of_only_as_something() {
    let rows = ["doc:d#viewer@user:ann", "doc:d#banned@user:ann"];
    let (told, texts) = seen(&rows, &["doc:d#banned@user:ann"]);
    assert!(texts.is_empty() && told.something_hidden);
    // Where the denial needs no ban, whether there is one is not told.
    for rows in [
        &["doc:d#viewer@user:bob", "doc:d#banned@user:ann"][..],
        &["doc:d#viewer@user:bob"],
    ] {
        let (told, texts) = seen(rows, &["doc:d#banned@user:ann"]);
        assert_eq!(texts, ["add doc:d#viewer@user:ann"]);
        assert!(!told.something_hidden);
    }
}

#[test]
fn nothing_is_told_of_a_hidden_resource() {
    let (told, texts) = seen(&["doc:d#viewer@group:open#member"], &["doc:d"]);
    assert!(texts.is_empty() && !told.something_hidden);
}
