//! What existing relationships forbid a new schema: nothing that is stored may lose its meaning.

use engine::graph::Snapshot;
use model::{
    DefinitionName, RelationName, Relationship, RelationshipFilter, SubjectFilter,
    SubjectRelationFilter,
};
use schema::{AllowedSubject, Caveat, Definition, Member, MemberKind, Schema, SubjectKind};

use crate::error::{Error, Reason};

/// Checks that `new` keeps a place for every relationship of `snapshot`.
pub(super) fn check(snapshot: &Snapshot, new: &Schema) -> Result<(), Error> {
    let old = snapshot.schema();
    for (_, caveat) in old.caveats() {
        if let Some(ix) = new.caveat_ix(caveat.name.as_str()) {
            check_caveat(caveat, new.caveat(ix))?;
        }
    }
    for (_, definition) in old.definitions() {
        let kept = new.definition_ix(definition.name.as_str());
        if kept.is_none()
            && let Some(row) = first(snapshot, in_definition(&definition.name), |_| true)
        {
            let name = &definition.name;
            let message = format!(
                "cannot delete object definition `{name}`, as at least one relationship exists under it: {row}"
            );
            return Err(refusal("delete_object_definition", message)
                .with("resource_type", name)
                .with("relationship", row));
        }
        for ix in &definition.members {
            let member = old.member(*ix);
            let MemberKind::Relation(allowed) = &member.kind else {
                continue;
            };
            let kept = kept
                .and_then(|ix| new.member_ix(ix, member.name.as_str()))
                .map(|ix| new.member(ix));
            match kept.map(|member| &member.kind) {
                Some(MemberKind::Relation(still)) => {
                    check_types(snapshot, new, definition, member, allowed, still)?;
                }
                Some(MemberKind::Permission(_)) | None => {
                    check_deleted(snapshot, definition, member)?
                }
            }
        }
    }
    Ok(())
}

fn check_caveat(old: &Caveat, new: &Caveat) -> Result<(), Error> {
    let name = &old.name;
    for parameter in old.program.parameters() {
        let (operation, what) = match new
            .program
            .parameters()
            .iter()
            .find(|other| other.name == parameter.name)
        {
            None => ("remove_parameter", "cannot remove parameter"),
            Some(other) if other.ty != parameter.ty => (
                "change_parameter_type",
                "cannot change the type of parameter",
            ),
            Some(_) => continue,
        };
        let message = format!("{what} `{}` on caveat `{name}`", parameter.name);
        return Err(refusal(operation, message)
            .with("caveat_name", name)
            .with("parameter_name", &parameter.name));
    }
    Ok(())
}

fn check_deleted(
    snapshot: &Snapshot,
    definition: &Definition,
    member: &Member,
) -> Result<(), Error> {
    let (definition, relation) = (&definition.name, &member.name);
    let under_it = in_relation(definition, relation);
    let as_subject = RelationshipFilter {
        subject: Some(SubjectFilter {
            definition: definition.clone(),
            id: None,
            relation: SubjectRelationFilter::Relation(relation.clone()),
        }),
        ..RelationshipFilter::default()
    };
    let ways = [
        (under_it, "exists under it"),
        (as_subject, "references it as part of a subject"),
    ];
    for (filter, how) in ways {
        if let Some(row) = first(snapshot, filter, |_| true) {
            let message = format!(
                "cannot delete relation `{relation}` in object definition `{definition}`, as at least one relationship \
                 {how}: {row}"
            );
            return Err(refusal("delete_relation", message)
                .with("resource_type", definition)
                .with("relation", relation)
                .with("relationship", row));
        }
    }
    Ok(())
}

fn check_types(
    snapshot: &Snapshot,
    new: &Schema,
    definition: &Definition,
    member: &Member,
    old_types: &[AllowedSubject],
    new_types: &[AllowedSubject],
) -> Result<(), Error> {
    let old = snapshot.schema();
    let kept: Vec<String> = new_types
        .iter()
        .map(|allowed| allowed.to_text(new))
        .collect();
    for allowed in old_types {
        let text = allowed.to_text(old);
        if kept.contains(&text) {
            continue;
        }
        let mut filter = in_relation(&definition.name, &member.name);
        filter.subject = Some(subject_filter(old, allowed));
        let caveat = allowed.caveat.map(|ix| &old.caveat(ix).name);
        let is_of_it = |row: &Relationship| {
            row.caveat.as_ref().map(|caveat| &caveat.name) == caveat
                && row.expires_at.is_some() == allowed.expiration
        };
        if let Some(row) = first(snapshot, filter, is_of_it) {
            let (definition, relation) = (&definition.name, &member.name);
            let message = format!(
                "cannot remove allowed type `{text}` from relation `{relation}` in object definition `{definition}`, as \
                 a relationship exists with it: {row}"
            );
            return Err(refusal("remove_allowed_type", message)
                .with("resource_type", definition)
                .with("relation", relation)
                .with("allowed_type", text)
                .with("relationship", row));
        }
    }
    Ok(())
}

fn first(
    snapshot: &Snapshot,
    filter: RelationshipFilter,
    is_meant: impl Fn(&Relationship) -> bool,
) -> Option<Relationship> {
    let mut rows = snapshot.relationships(&filter);
    rows.find(|row| is_meant(row))
}

fn in_definition(definition: &DefinitionName) -> RelationshipFilter {
    RelationshipFilter {
        definition: Some(definition.clone()),
        ..RelationshipFilter::default()
    }
}

fn in_relation(definition: &DefinitionName, relation: &RelationName) -> RelationshipFilter {
    RelationshipFilter {
        relation: Some(relation.clone()),
        ..in_definition(definition)
    }
}

fn subject_filter(schema: &Schema, allowed: &AllowedSubject) -> SubjectFilter {
    let (id, relation) = match allowed.kind {
        SubjectKind::Object => (None, SubjectRelationFilter::None),
        SubjectKind::Wildcard => (
            Some(model::SubjectId::Wildcard),
            SubjectRelationFilter::None,
        ),
        SubjectKind::Set(member) => (
            None,
            SubjectRelationFilter::Relation(schema.member(member).name.clone()),
        ),
    };
    SubjectFilter {
        definition: schema.definition(allowed.definition).name.clone(),
        id,
        relation,
    }
}

fn refusal(operation: &'static str, message: String) -> Error {
    Error::invalid(Reason::SchemaTypeError, message).with("operation", operation)
}
