//! What an entitlement has to fulfil in a schema: that what it names is there, and that relations take what is to be written.

use model::{DefinitionName, RelationName};
use schema::{AllowedSubject, DefinitionIx, MemberIx, MemberKind, Schema, SubjectKind};

use super::Entitlement;
use crate::authority::Authority;
use crate::names::SubjectType;

/// What is wrong: which part, and why.
pub(super) fn faults(entitlement: &Entitlement, schema: &Schema) -> Vec<(String, String)> {
    let mut held = Held {
        schema,
        resource: schema.definition_ix(entitlement.definition.as_str()),
        faults: Vec::new(),
    };
    if held.resource.is_none() {
        let message = no_definition(schema, &entitlement.definition);
        held.fault("resource".to_owned(), message);
    }
    relations(entitlement, &mut held);
    let people = [
        ("eligible", &entitlement.eligible),
        ("owners", &entitlement.owners),
    ];
    for (part, authorities) in people {
        held.authorities(part, authorities);
    }
    for (ix, step) in entitlement.steps.iter().enumerate() {
        held.authorities(&format!("steps/{ix}/approvers"), &step.approvers);
    }
    if let Some(escalation) = &entitlement.escalation {
        held.authorities("escalate/to", &escalation.to);
    }
    if let Some(break_glass) = &entitlement.break_glass {
        held.authorities("break_glass/holders", &break_glass.holders);
    }
    held.faults
}

struct Held<'s> {
    schema: &'s Schema,
    /// The definition of the resources.
    resource: Option<DefinitionIx>,
    faults: Vec<(String, String)>,
}

impl Held<'_> {
    fn fault(&mut self, part: String, message: String) {
        self.faults.push((part, message));
    }

    fn authorities<'a>(
        &mut self,
        part: &str,
        authorities: impl IntoIterator<Item = &'a Authority>,
    ) {
        for authority in authorities {
            let message = match authority {
                Authority::OnResource(member) => self
                    .resource
                    .and_then(|definition| no_member(self.schema, definition, member)),
                Authority::Subject(subject) => match (
                    self.schema.definition_ix(subject.definition.as_str()),
                    &subject.relation,
                ) {
                    (None, _) => Some(no_definition(self.schema, &subject.definition)),
                    (Some(_), None) => None,
                    (Some(definition), Some(member)) => no_member(self.schema, definition, member),
                },
            };
            if let Some(message) = message {
                self.fault(format!("{part}/{authority}"), message);
            }
        }
    }
}

/// The permission rests on each relation, and each relation takes each kind of subject until an instant.
fn relations(entitlement: &Entitlement, held: &mut Held<'_>) {
    let schema = held.schema;
    let Some(definition) = held.resource else {
        return;
    };
    let permission = entitlement.permission.as_ref();
    if let Some(message) = permission.and_then(|name| no_member(schema, definition, name)) {
        held.fault("permission".to_owned(), message);
    }
    let permission =
        permission.and_then(|name| Some((name, schema.member_ix(definition, name.as_str())?)));
    for name in &entitlement.relations {
        let part = format!("relations/{name}");
        let Some(member) = schema.member_ix(definition, name.as_str()) else {
            let message = no_member(schema, definition, name).unwrap_or_default();
            held.fault(part, message);
            continue;
        };
        let allowed = match &schema.member(member).kind {
            MemberKind::Relation(allowed) => allowed,
            MemberKind::Permission(_) => {
                let message = format!(
                    "`{name}` is a permission, which nothing is written to: name it as `permission`, and here the relations that give it"
                );
                held.fault(part, message);
                continue;
            }
        };
        if let Some((asked, permission)) = permission
            && permission != member
            && !schema.rests_on(permission).contains(&member)
        {
            held.fault(
                part.clone(),
                format!("permission `{asked}` does not rest on relation `{name}`"),
            );
        }
        for kind in &entitlement.subjects {
            if let Some(message) = refused(schema, kind, allowed) {
                held.fault(
                    format!("subjects/{kind}"),
                    format!("relation `{name}` {message}"),
                );
            }
        }
    }
}

/// Why a relation that takes `allowed` takes no relationship with `kind` that expires; none if it does.
fn refused(schema: &Schema, kind: &SubjectType, allowed: &[AllowedSubject]) -> Option<String> {
    let Some(definition) = schema.definition_ix(kind.definition.as_str()) else {
        return Some(format!(
            "takes no `{kind}`: {}",
            no_definition(schema, &kind.definition)
        ));
    };
    let member: Option<MemberIx> = match &kind.relation {
        None => None,
        Some(relation) => match schema.member_ix(definition, relation.as_str()) {
            Some(member) => Some(member),
            None => {
                return no_member(schema, definition, relation)
                    .map(|why| format!("takes no `{kind}`: {why}"));
            }
        },
    };
    let wanted = member.map_or(SubjectKind::Object, SubjectKind::Set);
    let is_of_kind =
        |subject: &&AllowedSubject| subject.definition == definition && subject.kind == wanted;
    let of_kind: Vec<&AllowedSubject> = allowed.iter().filter(is_of_kind).collect();
    if of_kind
        .iter()
        .any(|subject| subject.expiration && subject.caveat.is_none())
    {
        return None;
    }
    let taken: Vec<String> = of_kind
        .iter()
        .map(|subject| format!("`{}`", subject.to_text(schema)))
        .collect();
    Some(match taken.as_slice() {
        [] => format!("takes no `{kind}`"),
        taken => format!(
            "takes {} and no `{kind} with expiration`: grants expire",
            taken.join(", ")
        ),
    })
}

fn no_definition(schema: &Schema, name: &DefinitionName) -> String {
    let known = schema
        .definitions()
        .map(|(_, definition)| definition.name.as_str());
    with_hint(
        format!("there is no definition `{name}`"),
        name.as_str(),
        known,
    )
}

/// What to say where `definition` has no relation or permission of that name; none if it has.
fn no_member(schema: &Schema, definition: DefinitionIx, name: &RelationName) -> Option<String> {
    if schema.member_ix(definition, name.as_str()).is_some() {
        return None;
    }
    let definition = schema.definition(definition);
    let known = definition
        .members
        .iter()
        .map(|member| schema.member(*member).name.as_str());
    let text = format!(
        "definition `{}` has no relation or permission `{name}`",
        definition.name
    );
    Some(with_hint(text, name.as_str(), known))
}

fn with_hint<'a>(text: String, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match schema::diagnostic::did_you_mean(name, known) {
        Some(hint) => format!("{text}; {hint}"),
        None => text,
    }
}
