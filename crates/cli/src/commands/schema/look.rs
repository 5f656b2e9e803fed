//! Looking into the schema that is served: its parts, and what rests on what.

use anyhow::anyhow;
use remit_client::proto::authzed::api::v1::reflection_type_reference::Typeref;
use remit_client::proto::authzed::api::v1::{
    ComputablePermissionsRequest, DependentRelationsRequest, ReflectSchemaRequest,
    ReflectionCaveat, ReflectionDefinition, ReflectionRelation, ReflectionRelationReference,
    ReflectionSchemaFilter, ReflectionTypeReference,
};
use serde_json::{Value as Json, json};

use crate::arguments::{Connection, Freshness};
use crate::client;
use crate::exit::Outcome;
use crate::output;

pub(super) async fn show(
    definition: Option<String>,
    freshness: &Freshness,
    connection: &Connection,
) -> anyhow::Result<Outcome> {
    let filter = definition.map(|prefix| ReflectionSchemaFilter {
        optional_definition_name_filter: prefix,
        ..Default::default()
    });
    let request = ReflectSchemaRequest {
        consistency: Some(freshness.consistency.clone()),
        optional_filters: filter.into_iter().collect(),
    };
    let client = client::connect(connection).await?;
    let response = client.schema().reflect_schema(request).await;
    let shown = response
        .map_err(|status| client::refused(&status))?
        .into_inner();
    if connection.json {
        output::json(&json!({
            "definitions": shown.definitions.iter().map(definition_json).collect::<Vec<_>>(),
            "caveats": shown.caveats.iter().map(caveat_json).collect::<Vec<_>>(),
        }))?;
    } else {
        let caveats = shown.caveats.iter().map(caveat_text);
        let definitions = shown.definitions.iter().map(definition_text);
        let items: Vec<String> = caveats.chain(definitions).collect();
        output::text(&items.join("\n"))?;
    }
    Ok(Outcome::Success)
}

pub(super) async fn used_by(
    of: &str,
    freshness: &Freshness,
    connection: &Connection,
) -> anyhow::Result<Outcome> {
    let (definition, relation) = of.split_once('#').unwrap_or((of, ""));
    let request = ComputablePermissionsRequest {
        consistency: Some(freshness.consistency.clone()),
        definition_name: definition.to_owned(),
        relation_name: relation.to_owned(),
        optional_definition_name_filter: String::new(),
    };
    let client = client::connect(connection).await?;
    let response = client.schema().computable_permissions(request).await;
    let found = response
        .map_err(|status| client::refused(&status))?
        .into_inner();
    list(&found.permissions, connection)
}

pub(super) async fn rests_on(
    of: &str,
    freshness: &Freshness,
    connection: &Connection,
) -> anyhow::Result<Outcome> {
    let Some((definition, permission)) = of.split_once('#') else {
        return Err(anyhow!("`{of}` is not of the form `document#view`"));
    };
    let request = DependentRelationsRequest {
        consistency: Some(freshness.consistency.clone()),
        definition_name: definition.to_owned(),
        permission_name: permission.to_owned(),
    };
    let client = client::connect(connection).await?;
    let response = client.schema().dependent_relations(request).await;
    let found = response
        .map_err(|status| client::refused(&status))?
        .into_inner();
    list(&found.relations, connection)
}

fn list(
    references: &[ReflectionRelationReference],
    connection: &Connection,
) -> anyhow::Result<Outcome> {
    for each in references {
        let kind = if each.is_permission {
            "permission"
        } else {
            "relation"
        };
        let (definition, name) = (&each.definition_name, &each.relation_name);
        if connection.json {
            output::json(&json!({ "kind": kind, "definition": definition, "name": name }))?;
        } else {
            output::line(&format!("{kind} {definition}#{name}"))?;
        }
    }
    Ok(Outcome::Success)
}

fn definition_text(definition: &ReflectionDefinition) -> String {
    let mut text = commented(
        &definition.comment,
        "",
        &format!("definition {}", definition.name),
    );
    for relation in &definition.relations {
        let types = types(relation).join(" | ");
        let line = format!("relation {}: {types}", relation.name);
        text.push_str(&commented(&relation.comment, "  ", &line));
    }
    for permission in &definition.permissions {
        let line = format!("permission {}", permission.name);
        text.push_str(&commented(&permission.comment, "  ", &line));
    }
    text
}

fn caveat_text(caveat: &ReflectionCaveat) -> String {
    let parameters = caveat.parameters.iter();
    let parameters: Vec<String> = parameters
        .map(|parameter| format!("{} {}", parameter.name, parameter.r#type))
        .collect();
    let line = format!("caveat {}({})", caveat.name, parameters.join(", "));
    let mut text = commented(&caveat.comment, "", &line);
    for line in caveat.expression.lines() {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

/// A line below its comment, both indented.
fn commented(comment: &str, indent: &str, line: &str) -> String {
    let lines = comment.lines().chain([line]);
    lines.map(|line| format!("{indent}{line}\n")).collect()
}

/// The types that a relation takes, each once: the API does not tell expiration, so several may look alike.
fn types(relation: &ReflectionRelation) -> Vec<String> {
    let mut types: Vec<String> = Vec::new();
    for ty in relation.subject_types.iter().map(type_text) {
        if !types.contains(&ty) {
            types.push(ty);
        }
    }
    types
}

fn type_text(ty: &ReflectionTypeReference) -> String {
    let mut text = ty.subject_definition_name.clone();
    match &ty.typeref {
        Some(Typeref::OptionalRelationName(relation)) => text.push_str(&format!("#{relation}")),
        Some(Typeref::IsPublicWildcard(true)) => text.push_str(":*"),
        Some(Typeref::IsPublicWildcard(false) | Typeref::IsTerminalSubject(_)) | None => {}
    }
    if !ty.optional_caveat_name.is_empty() {
        text.push_str(&format!(" with {}", ty.optional_caveat_name));
    }
    text
}

fn definition_json(definition: &ReflectionDefinition) -> Json {
    let relations = definition.relations.iter().map(|relation| {
        json!({ "name": relation.name, "comment": relation.comment, "types": types(relation) })
    });
    let permissions = definition
        .permissions
        .iter()
        .map(|permission| json!({ "name": permission.name, "comment": permission.comment }));
    json!({
        "name": definition.name,
        "comment": definition.comment,
        "relations": relations.collect::<Vec<_>>(),
        "permissions": permissions.collect::<Vec<_>>(),
    })
}

fn caveat_json(caveat: &ReflectionCaveat) -> Json {
    let parameters = caveat
        .parameters
        .iter()
        .map(|parameter| json!({ "name": parameter.name, "type": parameter.r#type }));
    json!({
        "name": caveat.name,
        "comment": caveat.comment,
        "parameters": parameters.collect::<Vec<_>>(),
        "expression": caveat.expression,
    })
}
