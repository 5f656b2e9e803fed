//! `remit expand`: who has a permission, as the schema writes it.

use remit_client::proto::authzed::api::v1::algebraic_subject_set::Operation;
use remit_client::proto::authzed::api::v1::permission_relationship_tree::TreeType;
use remit_client::proto::authzed::api::v1::{
    ExpandPermissionTreeRequest, PermissionRelationshipTree, SubjectReference,
};
use serde_json::{Value as Json, json};
use server::convert;

use crate::arguments::Expand;
use crate::client;
use crate::exit::Outcome;
use crate::output;

pub(crate) async fn run(expand: Expand) -> anyhow::Result<Outcome> {
    let client = client::connect(&expand.connection).await?;
    let (resource, permission) = &expand.permission;
    let request = ExpandPermissionTreeRequest {
        consistency: Some(expand.freshness.consistency.clone()),
        resource: Some(convert::object_to_wire(resource)),
        permission: permission.clone(),
    };
    let response = client.permissions().expand_permission_tree(request).await;
    let response = response
        .map_err(|status| client::refused(&status))?
        .into_inner();
    let root = response.tree_root.unwrap_or_default();
    if expand.connection.json {
        let token = response.expanded_at.as_ref().map(|at| at.token.as_str());
        output::json(&json!({ "expanded_at": token, "root": as_json(&root) }))?;
    } else {
        output::text(&as_text(&root))?;
    }
    Ok(Outcome::Success)
}

fn as_text(root: &PermissionRelationshipTree) -> String {
    let mut text = String::new();
    write(root, "", "", &mut text);
    text
}

fn write(tree: &PermissionRelationshipTree, first: &str, rest: &str, text: &mut String) {
    let (word, subjects, parts) = content(tree);
    text.push_str(&format!("{first}{}{word}\n", name(tree)));
    let subjects: Vec<String> = subjects.iter().map(subject).collect();
    let count = subjects.len() + parts.len();
    let ends = |place: usize| {
        if place + 1 == count {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        }
    };
    for (place, subject) in subjects.iter().enumerate() {
        text.push_str(&format!("{rest}{}{subject}\n", ends(place).0));
    }
    for (place, part) in parts.iter().enumerate() {
        let (branch, trunk) = ends(place);
        write(
            part,
            &format!("{rest}{branch}"),
            &format!("{rest}{trunk}"),
            text,
        );
    }
}

/// What a tree is, for people; its subjects if it is a leaf, its parts if not.
fn content(
    tree: &PermissionRelationshipTree,
) -> (&str, &[SubjectReference], &[PermissionRelationshipTree]) {
    match &tree.tree_type {
        Some(TreeType::Leaf(leaf)) if leaf.subjects.is_empty() => (": nobody", &[], &[]),
        Some(TreeType::Leaf(leaf)) => ("", &leaf.subjects, &[]),
        Some(TreeType::Intermediate(set)) => {
            let word = match set.operation() {
                Operation::Intersection => ": all of",
                Operation::Exclusion => ": the first without the second of",
                Operation::Union | Operation::Unspecified if set.children.is_empty() => ": nobody",
                Operation::Union | Operation::Unspecified => ": any of",
            };
            (word, &[], &set.children)
        }
        None => (": nobody", &[], &[]),
    }
}

fn name(tree: &PermissionRelationshipTree) -> String {
    let object = tree.expanded_object.clone().unwrap_or_default();
    let (definition, id) = (object.object_type, object.object_id);
    format!("{definition}:{id}#{}", tree.expanded_relation)
}

fn subject(subject: &SubjectReference) -> String {
    let object = subject.object.clone().unwrap_or_default();
    let (definition, id) = (object.object_type, object.object_id);
    match subject.optional_relation.as_str() {
        "" => format!("{definition}:{id}"),
        set => format!("{definition}:{id}#{set}"),
    }
}

fn as_json(tree: &PermissionRelationshipTree) -> Json {
    match &tree.tree_type {
        Some(TreeType::Intermediate(set)) => {
            let operation = match set.operation() {
                Operation::Union | Operation::Unspecified => "union",
                Operation::Intersection => "intersection",
                Operation::Exclusion => "exclusion",
            };
            let parts: Vec<Json> = set.children.iter().map(as_json).collect();
            json!({ "of": name(tree), "operation": operation, "parts": parts })
        }
        Some(TreeType::Leaf(_)) | None => {
            let subjects: Vec<String> = content(tree).1.iter().map(subject).collect();
            json!({ "of": name(tree), "subjects": subjects })
        }
    }
}
