//! What lies behind a definition in the schema: whom its relationships can name, and what an explanation can show.

use std::collections::{HashSet, VecDeque};

use schema::{DefinitionIx, MemberKind, Schema};

/// Whether relationships of a definition, and of those that they lead to, have subjects of another.
pub(super) fn leads_to(schema: &Schema, from: &str, to: &str) -> bool {
    let (Some(from), Some(to)) = (schema.definition_ix(from), schema.definition_ix(to)) else {
        return false;
    };
    from == to || led_to(schema, from).contains(&to)
}

/// The definitions whose objects can be subjects of a definition's relationships, or of theirs.
fn led_to(schema: &Schema, from: DefinitionIx) -> HashSet<DefinitionIx> {
    let mut found = HashSet::new();
    let mut next = VecDeque::from([from]);
    while let Some(definition) = next.pop_front() {
        for member in &schema.definition(definition).members {
            let MemberKind::Relation(allowed) = &schema.member(*member).kind else {
                continue;
            };
            for subject in allowed {
                if found.insert(subject.definition) {
                    next.push_back(subject.definition);
                }
            }
        }
    }
    found
}

/// The definitions of which an explanation of a permission can show relationships.
pub(super) fn shown_by(schema: &Schema, member: schema::MemberIx) -> Vec<DefinitionIx> {
    let mut shown: Vec<DefinitionIx> = schema
        .rests_on(member)
        .into_iter()
        .map(|ix| schema.member(ix).definition)
        .collect();
    shown.push(schema.member(member).definition);
    shown.sort_unstable();
    shown.dedup();
    shown
}
