//! Parts of a schema as messages.

use ops::schema::reflect::{Difference, Reflected};
use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::reflection_schema_diff::Diff;
use remit_proto::authzed::api::v1::reflection_type_reference::Typeref;
use schema::{
    AllowedSubjectName, CaveatIx, MemberIx, MemberKind, Schema, SchemaChange, SchemaChangeKind,
    SelectedDefinition, Selector, SubjectKindName,
};

pub(crate) fn selector(filter: wire::ReflectionSchemaFilter) -> Selector {
    Selector {
        definition: filter.optional_definition_name_filter,
        caveat: filter.optional_caveat_name_filter,
        relation: filter.optional_relation_name_filter,
        permission: filter.optional_permission_name_filter,
    }
}

pub(crate) fn definition(
    schema: &Schema,
    selected: &SelectedDefinition,
) -> wire::ReflectionDefinition {
    let definition = schema.definition(selected.definition);
    let relations = selected.relations.iter();
    let permissions = selected.permissions.iter();
    wire::ReflectionDefinition {
        name: definition.name.to_string(),
        comment: definition.comment.clone(),
        relations: relations.map(|ix| relation(schema, *ix)).collect(),
        permissions: permissions.map(|ix| permission(schema, *ix)).collect(),
    }
}

pub(crate) fn caveat(schema: &Schema, ix: CaveatIx) -> wire::ReflectionCaveat {
    let caveat = schema.caveat(ix);
    let parameters = caveat.program.parameters().iter();
    let mut parameters: Vec<_> = parameters
        .map(|each| parameter(caveat.name.as_str(), &each.name, each.ty.to_string()))
        .collect();
    parameters.sort_by(|left, right| left.name.cmp(&right.name));
    wire::ReflectionCaveat {
        name: caveat.name.to_string(),
        comment: caveat.comment.clone(),
        parameters,
        expression: caveat.program.to_text(),
    }
}

pub(crate) fn references(
    schema: &Schema,
    members: &[MemberIx],
) -> Vec<wire::ReflectionRelationReference> {
    let reference = |ix: &MemberIx| {
        let member = schema.member(*ix);
        wire::ReflectionRelationReference {
            definition_name: schema.definition(member.definition).name.to_string(),
            relation_name: member.name.to_string(),
            is_permission: match member.kind {
                MemberKind::Relation(_) => false,
                MemberKind::Permission(_) => true,
            },
        }
    };
    members.iter().map(reference).collect()
}

pub(crate) fn difference(reflected: &Reflected<Difference>) -> Vec<wire::ReflectionSchemaDiff> {
    let (old, new) = (&*reflected.schema, &reflected.found.compared);
    let changes = reflected.found.changes.iter();
    changes.map(|each| change(old, new, each)).collect()
}

/// A change between two schemas. What is gone is shown as it was, anything else as it comes to be.
pub(crate) fn change(
    old: &Schema,
    new: &Schema,
    change: &SchemaChange,
) -> wire::ReflectionSchemaDiff {
    use SchemaChangeKind as Kind;
    let of = change.of.as_str();
    let member = change.member.as_deref().unwrap_or_default();
    let whole = |schema: &Schema| {
        let ix = schema.definition_ix(of)?;
        Some(definition(schema, &schema.whole(ix)))
    };
    let member_in = |schema: &Schema| schema.member_ix(schema.definition_ix(of)?, member);
    let relation_in = |schema| Some(relation(schema, member_in(schema)?));
    let permission_in = |schema| Some(permission(schema, member_in(schema)?));
    let caveat_in = |schema: &Schema| Some(caveat(schema, schema.caveat_ix(of)?));
    let type_change = |ty: &AllowedSubjectName| wire::ReflectionRelationSubjectTypeChange {
        relation: relation_in(new),
        changed_subject_type: Some(type_reference(ty)),
    };
    let diff = match &change.kind {
        Kind::DefinitionAdded => whole(new).map(Diff::DefinitionAdded),
        Kind::DefinitionRemoved => whole(old).map(Diff::DefinitionRemoved),
        Kind::DefinitionCommentChanged => whole(new).map(Diff::DefinitionDocCommentChanged),
        Kind::RelationAdded => relation_in(new).map(Diff::RelationAdded),
        Kind::RelationRemoved => relation_in(old).map(Diff::RelationRemoved),
        Kind::RelationCommentChanged => relation_in(new).map(Diff::RelationDocCommentChanged),
        Kind::RelationTypeAdded(ty) => Some(Diff::RelationSubjectTypeAdded(type_change(ty))),
        Kind::RelationTypeRemoved(ty) => Some(Diff::RelationSubjectTypeRemoved(type_change(ty))),
        Kind::PermissionAdded => permission_in(new).map(Diff::PermissionAdded),
        Kind::PermissionRemoved => permission_in(old).map(Diff::PermissionRemoved),
        Kind::PermissionCommentChanged => permission_in(new).map(Diff::PermissionDocCommentChanged),
        Kind::PermissionExpressionChanged { .. } => {
            permission_in(new).map(Diff::PermissionExprChanged)
        }
        Kind::CaveatAdded => caveat_in(new).map(Diff::CaveatAdded),
        Kind::CaveatRemoved => caveat_in(old).map(Diff::CaveatRemoved),
        Kind::CaveatCommentChanged => caveat_in(new).map(Diff::CaveatDocCommentChanged),
        Kind::CaveatExpressionChanged => caveat_in(new).map(Diff::CaveatExprChanged),
        Kind::CaveatParameterAdded(ty) => Some(Diff::CaveatParameterAdded(parameter(
            of,
            member,
            ty.clone(),
        ))),
        Kind::CaveatParameterRemoved(ty) => Some(Diff::CaveatParameterRemoved(parameter(
            of,
            member,
            ty.clone(),
        ))),
        Kind::CaveatParameterTypeChanged { from, to } => Some(Diff::CaveatParameterTypeChanged(
            wire::ReflectionCaveatParameterTypeChange {
                parameter: Some(parameter(of, member, to.clone())),
                previous_type: from.clone(),
            },
        )),
    };
    wire::ReflectionSchemaDiff { diff }
}

fn relation(schema: &Schema, ix: MemberIx) -> wire::ReflectionRelation {
    let member = schema.member(ix);
    let allowed = match &member.kind {
        MemberKind::Relation(allowed) => allowed.as_slice(),
        MemberKind::Permission(_) => &[],
    };
    wire::ReflectionRelation {
        name: member.name.to_string(),
        comment: member.comment.clone(),
        parent_definition_name: schema.definition(member.definition).name.to_string(),
        subject_types: allowed
            .iter()
            .map(|allowed| type_reference(&allowed.named(schema)))
            .collect(),
    }
}

fn permission(schema: &Schema, ix: MemberIx) -> wire::ReflectionPermission {
    let member = schema.member(ix);
    wire::ReflectionPermission {
        name: member.name.to_string(),
        comment: member.comment.clone(),
        parent_definition_name: schema.definition(member.definition).name.to_string(),
    }
}

fn type_reference(allowed: &AllowedSubjectName) -> wire::ReflectionTypeReference {
    let caveat = allowed.caveat.as_ref();
    wire::ReflectionTypeReference {
        subject_definition_name: allowed.definition.to_string(),
        optional_caveat_name: caveat.map(ToString::to_string).unwrap_or_default(),
        typeref: Some(match &allowed.kind {
            // That it is there says so; its value is false, as clients of the API know it.
            SubjectKindName::Object => Typeref::IsTerminalSubject(false),
            SubjectKindName::Wildcard => Typeref::IsPublicWildcard(true),
            SubjectKindName::Set(relation) => Typeref::OptionalRelationName(relation.to_string()),
        }),
    }
}

fn parameter(caveat: &str, name: &str, ty: String) -> wire::ReflectionCaveatParameter {
    wire::ReflectionCaveatParameter {
        name: name.to_owned(),
        r#type: ty,
        parent_caveat_name: caveat.to_owned(),
    }
}
