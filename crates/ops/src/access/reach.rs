//! What lies behind a definition in the schema: whom its relationships can name, and what an explanation can show.

use std::collections::{HashSet, VecDeque};

use schema::{DefinitionIx, MemberKind, Schema};

/// Whether relationships of a definition, and of those that they lead to, have subjects of another.
///
/// # Cost
/// As far as it is to the other in the schema, which for most is a step: each check asks for it.
pub(super) fn leads_to(schema: &Schema, from: &str, to: &str) -> bool {
    let (Some(from), Some(to)) = (schema.definition_ix(from), schema.definition_ix(to)) else {
        return false;
    };
    if from == to {
        return true;
    }
    let mut found = HashSet::from([from]);
    let mut next = VecDeque::from([from]);
    while let Some(definition) = next.pop_front() {
        for member in &schema.definition(definition).members {
            let MemberKind::Relation(allowed) = &schema.member(*member).kind else {
                continue;
            };
            for subject in allowed {
                if subject.definition == to {
                    return true;
                }
                if found.insert(subject.definition) {
                    next.push_back(subject.definition);
                }
            }
        }
    }
    false
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_leads_to_the_subjects_of_its_relations_and_of_theirs() {
        let text = "definition user {}\ndefinition other { relation seen: doc; }\n\
                    definition team { relation member: user | team#member; }\n\
                    definition doc { relation viewer: team#member; }";
        let schema = Schema::compile(text).unwrap();
        for (from, to) in [
            ("doc", "doc"),
            ("doc", "team"),
            ("doc", "user"),
            ("other", "user"),
        ] {
            assert!(leads_to(&schema, from, to), "{from} {to}");
        }
        for (from, to) in [
            ("doc", "other"),
            ("user", "doc"),
            ("team", "doc"),
            ("doc", "gone"),
            ("gone", "gone"),
        ] {
            assert!(!leads_to(&schema, from, to), "{from} {to}");
        }
    }
}
