//! Random rows that fit a schema.

use std::collections::BTreeMap;

use model::{
    CaveatName, CaveatRef, Context, DefinitionName, ObjectId, ObjectRef, RelationName,
    Relationship, SubjectId, SubjectRef, Timestamp, Value,
};

use crate::rng::Rng;
use crate::syntax::{MemberKindTree, MemberTree, SchemaTree, TypeKindTree, TypeTree};

const PEOPLE: [&str; 6] = ["ann", "bob", "cat", "dan", "eve", "fay"];
const THINGS: [&str; 6] = [
    "red",
    "blue",
    "0198c5c4-7b1c-7d33-9c5e-1f0c5a4f8f6b",
    "42",
    "a/b|c=d+e_f",
    "Gold",
];

/// The ids of each definition.
pub(super) struct Ids {
    by_definition: BTreeMap<String, Vec<&'static str>>,
}

impl Ids {
    pub(super) fn new(rng: &mut Rng, tree: &SchemaTree) -> Self {
        let by_definition = tree
            .definitions
            .iter()
            .map(|definition| {
                let pool = if definition.name == "user" {
                    PEOPLE
                } else {
                    THINGS
                };
                let count = rng.between(3, 4);
                (definition.name.clone(), rng.some(&pool, count))
            })
            .collect();
        Self { by_definition }
    }

    pub(super) fn pick(&self, rng: &mut Rng, definition: &str) -> &'static str {
        self.by_definition
            .get(definition)
            .map_or("nobody", |ids| *rng.pick::<&str>(ids))
    }
}

pub(super) fn rows(rng: &mut Rng, tree: &SchemaTree, ids: &Ids) -> Vec<Relationship> {
    let mut relations: Vec<(&str, &MemberTree, &[TypeTree])> = Vec::new();
    for definition in &tree.definitions {
        for member in &definition.members {
            if let MemberKindTree::Relation(types) = &member.kind {
                relations.push((&definition.name, member, types));
            }
        }
    }
    let mut rows = BTreeMap::new();
    let per_relation = rng.between(4, 12);
    for (definition, member, types) in relations {
        for _ in 0..rng.between(2, per_relation) {
            let accepted = rng.pick(types);
            let resource_id = ids.pick(rng, definition);
            if let Some(row) = row(rng, ids, (definition, resource_id, &member.name), accepted) {
                rows.insert(row.key(), row);
            }
        }
    }
    rows.into_values().collect()
}

fn row(
    rng: &mut Rng,
    ids: &Ids,
    (definition, id, relation): (&str, &str, &str),
    accepted: &TypeTree,
) -> Option<Relationship> {
    let subject_id = ids.pick(rng, &accepted.definition);
    let (id_text, subject_relation) = match &accepted.kind {
        TypeKindTree::Object => (subject_id, None),
        TypeKindTree::Wildcard => ("*", None),
        TypeKindTree::Set(relation) => (subject_id, Some(relation.as_str())),
    };
    let mut row = Relationship::new(
        object(definition, id)?,
        RelationName::new(relation).ok()?,
        subject(&accepted.definition, id_text, subject_relation)?,
    );
    if let Some(name) = accepted.caveat {
        row.caveat = Some(CaveatRef {
            name: CaveatName::new(name).ok()?,
            context: written_context(rng, name),
        });
    }
    row.expires_at = accepted.expiration.then(|| expiration(rng));
    Some(row)
}

pub(super) fn object(definition: &str, id: &str) -> Option<ObjectRef> {
    Some(ObjectRef {
        definition: DefinitionName::new(definition).ok()?,
        id: ObjectId::new(id).ok()?,
    })
}

pub(super) fn subject(definition: &str, id: &str, relation: Option<&str>) -> Option<SubjectRef> {
    Some(SubjectRef {
        definition: DefinitionName::new(definition).ok()?,
        id: match id {
            "*" => SubjectId::Wildcard,
            id => SubjectId::Object(ObjectId::new(id).ok()?),
        },
        relation: match relation {
            None => None,
            Some(name) => Some(RelationName::new(name).ok()?),
        },
    })
}

/// About noon: gone, just gone, about to go, and valid for long.
fn expiration(rng: &mut Rng) -> Timestamp {
    const HOUR: i64 = 3_600_000_000;
    let micros = *rng.pick(&[-HOUR, 0, 1, HOUR, 48 * HOUR, 48 * HOUR]);
    super::noon().saturating_add_micros(micros)
}

fn written_context(rng: &mut Rng, caveat: &str) -> Context {
    let parameters: &[&str] = match caveat {
        "on_day" => &["day"],
        "below" => &["amount", "ceiling"],
        "switched_on" => &["flag"],
        "flagged_or_day" => &["flag", "day"],
        "tagged" => &["tag", "tags"],
        _ => &["amount", "divisor"],
    };
    let percent = *rng.pick(&[0, 0, 0, 0, 50, 100]);
    context(rng, parameters, percent)
}

/// Values for some of `parameters`.
pub(super) fn context(rng: &mut Rng, parameters: &[&str], percent: usize) -> Context {
    let mut values = BTreeMap::new();
    for name in parameters {
        if rng.chance(percent) {
            values.insert((*name).to_owned(), value(rng, name));
        }
    }
    Context::new(values)
}

fn value(rng: &mut Rng, parameter: &str) -> Value {
    let text = |text: &str| Value::String(text.to_owned());
    match parameter {
        "day" => text(rng.pick::<&str>(&["friday", "friday", "monday"])),
        "amount" => Value::Number(*rng.pick(&[1.0, 5.0, 5.0])),
        "ceiling" => Value::Number(*rng.pick(&[3.0, 5.0])),
        "divisor" => Value::Number(*rng.pick(&[0.0, 1.0, 2.0, 5.0])),
        "flag" => Value::Bool(rng.chance(60)),
        "tag" => text(rng.pick::<&str>(&["blue", "red"])),
        "tags" => {
            let count = rng.below(3);
            Value::List(
                rng.some(&["blue", "red"], count)
                    .into_iter()
                    .map(text)
                    .collect(),
            )
        }
        _ => Value::Null,
    }
}
