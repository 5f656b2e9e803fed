//! Random questions about a schema and the ids of its rows.

use model::{Context, Decision, Limits, RelationName, Relationship, SubjectRef, Value};
use schema::Schema;

use super::rows::{Ids, context, object, subject};
use crate::oracle::{self, Question};
use crate::rng::Rng;
use crate::syntax::{DefinitionTree, MemberKindTree, SchemaTree};

const COUNT: usize = 12;
/// Questions that are tried for a wanted answer.
const TRIES: usize = 12;
const PARAMETERS: [&str; 7] = ["day", "amount", "ceiling", "divisor", "flag", "tag", "tags"];
const UNKNOWN_ID: &str = "unheard-of";

/// Questions about `rows`. A question at random is mostly denied, so some are asked for another answer.
pub(super) fn questions(
    rng: &mut Rng,
    tree: &SchemaTree,
    ids: &Ids,
    rows: &[Relationship],
) -> Vec<Question> {
    let asked: Vec<&DefinitionTree> = tree
        .definitions
        .iter()
        .filter(|definition| !definition.members.is_empty())
        .collect();
    let schema = Schema::compile(&tree.to_string()).unwrap_or_default();
    let mut questions = Vec::new();
    for _ in 0..COUNT {
        let wanted = *rng.pick(&Wanted::ALL);
        for tries_left in (0..TRIES).rev() {
            let definition = rng.pick(&asked);
            let Some(question) = question(rng, tree, ids, definition) else {
                continue;
            };
            if tries_left == 0 || wanted.is_met(&schema, rows, &question) {
                questions.push(question);
                break;
            }
        }
    }
    questions
}

/// The answer that a question is sought for.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    Any,
    Allowed,
    Conditional,
    Error,
}

impl Wanted {
    const ALL: [Self; 8] = [
        Self::Any,
        Self::Any,
        Self::Allowed,
        Self::Allowed,
        Self::Conditional,
        Self::Conditional,
        Self::Conditional,
        Self::Error,
    ];

    fn is_met(self, schema: &Schema, rows: &[Relationship], question: &Question) -> bool {
        if matches!(self, Self::Any) {
            return true;
        }
        match oracle::check(schema, rows, question, Limits::default().depth_max) {
            Ok(Decision::Allowed) => matches!(self, Self::Allowed),
            Ok(Decision::Denied) => false,
            Ok(Decision::Conditional { .. }) => matches!(self, Self::Conditional),
            Err(_) => matches!(self, Self::Error),
        }
    }
}

fn question(
    rng: &mut Rng,
    tree: &SchemaTree,
    ids: &Ids,
    definition: &DefinitionTree,
) -> Option<Question> {
    let (permissions, relations): (Vec<_>, Vec<_>) = definition
        .members
        .iter()
        .partition(|member| matches!(member.kind, MemberKindTree::Permission(_)));
    let member = if rng.chance(88) && !permissions.is_empty() {
        rng.pick(&permissions)
    } else {
        rng.pick(&relations)
    };
    let id = if rng.chance(4) {
        UNKNOWN_ID
    } else {
        ids.pick(rng, &definition.name)
    };
    Some(Question {
        resource: object(&definition.name, id)?,
        member: RelationName::new(&member.name).ok()?,
        subject: asked_subject(rng, tree, ids)?,
        context: request_context(rng),
        now: if rng.chance(80) {
            super::noon()
        } else {
            super::noon().saturating_add_micros(1)
        },
    })
}

fn asked_subject(rng: &mut Rng, tree: &SchemaTree, ids: &Ids) -> Option<SubjectRef> {
    match rng.below(100) {
        0..78 => subject("user", ids.pick(rng, "user"), None),
        78..84 => subject("user", UNKNOWN_ID, None),
        84..93 => {
            let definition = rng.pick(&tree.definitions);
            let member = match definition.members.as_slice() {
                [] => None,
                members => Some(rng.pick(members).name.as_str()),
            };
            subject(&definition.name, ids.pick(rng, &definition.name), member)
        }
        _ => {
            let definition = rng.pick(&tree.definitions);
            subject(&definition.name, ids.pick(rng, &definition.name), None)
        }
    }
}

/// Empty, partial or full; now and then with a name that no caveat has, or with a value of a wrong type.
fn request_context(rng: &mut Rng) -> Context {
    let percent = *rng.pick(&[0, 0, 0, 0, 0, 0, 50, 100]);
    let known = context(rng, &PARAMETERS, percent);
    let mut values: std::collections::BTreeMap<String, Value> = known
        .iter()
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
    if rng.chance(10) {
        values.insert("weather".to_owned(), Value::String("fine".to_owned()));
    }
    if rng.chance(8) {
        let name = *rng.pick(&PARAMETERS);
        values.insert(name.to_owned(), Value::Map(Default::default()));
    }
    Context::new(values)
}
