//! Looking into the schema: its parts, what rests on what, and how another one differs.

use std::fmt::Write as _;
use std::sync::Arc;

use identity::Caller;
use model::Token;
use schema::{MemberIx, MemberKind, Schema, SchemaChange, Selected, Selector};

use super::Shown;
use crate::access::{self, Action, Permit, Target};
use crate::consistency::Consistency;
use crate::error::{Error, Reason};
use crate::node::Node;

/// What was found in a schema, with the schema that its numbers are of.
#[derive(Debug)]
pub struct Reflected<T> {
    /// The schema.
    pub schema: Arc<Schema>,
    /// What was found.
    pub found: T,
    /// The token of the snapshot that it is of.
    pub at: Token,
}

/// How a schema differs from the one in force.
#[derive(Debug)]
pub struct Difference {
    /// The schema that was compared.
    pub compared: Schema,
    /// What it changes, in the order of names.
    pub changes: Vec<SchemaChange>,
}

/// The parts of the schema that `selectors` choose, by name; all of it without any.
///
/// # Errors
/// [`Reason::InvalidFilter`] for a selector that makes no sense; the errors of [`Node::view`].
pub async fn reflect(
    node: &Node,
    caller: &Caller,
    consistency: Consistency,
    selectors: &[Selector],
) -> Result<Reflected<Selected>, Error> {
    look(node, consistency, |schema| {
        schema.select(selectors).map_err(|(place, error)| {
            let filter = selectors.get(place).map(selector_text).unwrap_or_default();
            let message = format!("the relationship filter provided is not valid: {error}");
            Error::invalid(Reason::InvalidFilter, message).with("filter", filter)
        })
    })
    .await
    .and_then(|reflected| shown_to(&Permit::of(node, caller)?, reflected))
}

/// The relations and permissions, of definitions whose names begin with `prefix`, that can hold a subject because
/// `member` of `definition` holds it; for an empty `member`, because they take the objects of `definition`.
///
/// # Errors
/// [`Error`] for names that are not in the schema; the errors of [`Node::view`].
pub async fn computable(
    node: &Node,
    caller: &Caller,
    consistency: Consistency,
    (definition, member): (&str, &str),
    prefix: &str,
) -> Result<Reflected<Vec<MemberIx>>, Error> {
    Permit::of(node, caller)?.require(Action::ReadSchema, Target::System)?;
    look(node, consistency, |schema| {
        let definition_ix = schema.definition_ix(definition);
        let definition_ix = definition_ix.ok_or_else(|| unknown_definition(definition))?;
        let member = if member.is_empty() {
            None
        } else {
            Some(member_of(schema, definition, member)?)
        };
        let mut found = schema.computed_from(definition_ix, member);
        found.retain(|ix| {
            let definition = schema.definition(schema.member(*ix).definition);
            definition.name.as_str().starts_with(prefix)
        });
        Ok(found)
    })
    .await
}

/// The relations and permissions that `permission` of `definition` rests on.
///
/// # Errors
/// [`Error`] for names that are not in the schema, and for a relation; the errors of [`Node::view`].
pub async fn dependent(
    node: &Node,
    caller: &Caller,
    consistency: Consistency,
    (definition, permission): (&str, &str),
) -> Result<Reflected<Vec<MemberIx>>, Error> {
    Permit::of(node, caller)?.require(Action::ReadSchema, Target::System)?;
    look(node, consistency, |schema| {
        let member = member_of(schema, definition, permission)?;
        match schema.member(member).kind {
            MemberKind::Permission(_) => Ok(schema.rests_on(member)),
            MemberKind::Relation(_) => {
                let message = format!("the relation `{permission}` is not a permission");
                Err(Error::invalid(Reason::UnknownRelationOrPermission, message)
                    .with("relationName", permission))
            }
        }
    })
    .await
}

/// How the schema `text` differs from the one in force. It has to be one that could be written.
///
/// # Errors
/// [`Error`] for a text that is too long or wrong; the errors of [`Node::view`].
pub async fn diff(
    node: &Node,
    caller: &Caller,
    consistency: Consistency,
    text: &str,
) -> Result<Reflected<Difference>, Error> {
    Permit::of(node, caller)?.require(Action::ReadSchema, Target::System)?;
    super::check_length(node, text)?;
    look(node, consistency, |schema| {
        let compared = access::compile(text)?;
        let changes = schema::diff(schema, &compared);
        Ok(Difference { compared, changes })
    })
    .await
}

/// What of it the caller may see.
fn shown_to(
    permit: &Permit<'_>,
    mut reflected: Reflected<Selected>,
) -> Result<Reflected<Selected>, Error> {
    let Reflected { schema, found, .. } = &mut reflected;
    let shown = Shown::to(permit, schema)?;
    found
        .definitions
        .retain(|selected| shown.has(&schema.definition(selected.definition).name));
    found
        .caveats
        .retain(|caveat| shown.has_caveat(schema, schema.caveat(*caveat)));
    Ok(reflected)
}

async fn look<T>(
    node: &Node,
    consistency: Consistency,
    find: impl FnOnce(&Schema) -> Result<T, Error>,
) -> Result<Reflected<T>, Error> {
    let view = node.view(consistency).await?;
    let schema = Arc::clone(view.snapshot.schema());
    Ok(Reflected {
        found: find(&schema)?,
        schema,
        at: view.token,
    })
}

fn member_of(schema: &Schema, definition: &str, member: &str) -> Result<MemberIx, Error> {
    let ix = schema.definition_ix(definition);
    let ix = ix.ok_or_else(|| unknown_definition(definition))?;
    schema
        .member_ix(ix, member)
        .ok_or_else(|| Error::unknown_member(definition, member))
}

/// These calls tell an unknown definition as a fault of types, unlike all others.
fn unknown_definition(definition: &str) -> Error {
    Error::unknown_definition(definition).with_reason(Reason::SchemaTypeError)
}

/// The selector as the wire's messages are printed.
fn selector_text(selector: &Selector) -> String {
    let mut text = String::new();
    for (name, value) in [
        ("optional_definition_name_filter", &selector.definition),
        ("optional_caveat_name_filter", &selector.caveat),
        ("optional_relation_name_filter", &selector.relation),
        ("optional_permission_name_filter", &selector.permission),
    ] {
        if !value.is_empty() {
            let space = if text.is_empty() { "" } else { " " };
            // Writing to a string cannot fail.
            let _written = write!(text, "{space}{name}:{value:?}");
        }
    }
    text
}
