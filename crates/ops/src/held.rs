//! All that a subject has on a resource.

use std::sync::Arc;

use engine::eval::{self, Query};
use identity::Caller;
use model::{Context, Decision, ObjectRef, RelationName, SubjectRef};
use schema::{Member, MemberKind, Schema};

use crate::access::{Action, Permit, Target};
use crate::check::{Answered, environment, limit_context};
use crate::consistency::{Consistency, View};
use crate::cursor::Cursor;
use crate::decisions::{Asked, LockSeen, Noting};
use crate::error::{Error, Reason};
use crate::node::Node;

/// A relation or permission that a subject has on a resource, or that could not be evaluated.
#[derive(Debug)]
pub struct Held {
    /// Its name.
    pub member: RelationName,
    /// Whether it is a relation of the schema.
    pub is_relation: bool,
    /// Allowed or conditional, never denied.
    pub decision: Result<Decision, Error>,
}

/// A page of the permissions that a subject has for certain.
#[derive(Debug)]
pub struct Permissions {
    /// Their names, in the order of the schema.
    pub names: Vec<RelationName>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<String>,
}

/// Tells every relation and permission that a subject has on a resource, in the order of the schema.
///
/// # Errors
/// As [`crate::check::check`], but one that cannot be evaluated fails alone.
/// # Cost
/// One check for each relation and permission of the definition.
pub async fn held(
    node: &Node,
    caller: &Caller,
    consistency: Consistency,
    of: (&ObjectRef, &SubjectRef),
    context: &Context,
) -> Result<Answered<Vec<Held>>, Error> {
    let noting = Noting::of(node, caller, consistency);
    let (view, permit) = Permit::with_view(node, caller, consistency).await?;
    let schema = Arc::clone(view.snapshot.schema());
    let mut held = Vec::new();
    let (members, lock) = members((node, &noting), (&view, &schema), &permit, of, context)?;
    for member in members {
        let decision = decide((node, &noting), (&view, lock), member, of, context)?;
        if !matches!(decision, Ok(Decision::Denied)) {
            held.push(Held {
                member: member.name.clone(),
                is_relation: is_relation(member),
                decision,
            });
        }
        tokio::task::yield_now().await;
    }
    Ok(Answered {
        answer: held,
        at: view.token,
    })
}

/// Tells the permissions, and no relations, that a subject has on a resource for certain, in pages of `limit`; all pages are of the
/// snapshot and the instant of the first one.
///
/// # Errors
/// As [`held`]; [`Reason::InvalidCursor`] for a cursor of another query, and a limit past `page_size_max`.
/// # Cost
/// One check for each permission up to the end of the page, and for those after it up to the next that is held.
pub async fn permissions(
    node: &Node,
    caller: &Caller,
    consistency: Consistency,
    of: (&ObjectRef, &SubjectRef),
    context: &Context,
    (limit, cursor): (u32, Option<&str>),
) -> Result<Answered<Permissions>, Error> {
    let limit_max = node.settings().limits.page_size_max;
    if limit > limit_max {
        return Err(Error::limit_too_big(limit, limit_max));
    }
    limit_context(node, context)?;
    let parameters = format!("{} {} {} {limit}", of.0, of.1, context.to_json());
    let query = Cursor::digest("permissions", &parameters);
    let (view, after) = match cursor {
        None => (node.view(consistency).await?, None),
        Some(cursor) => {
            let cursor = Cursor::decode(cursor, query)?;
            (node.view_of_cursor(&cursor).await?, Some(cursor.after))
        }
    };
    let noting = Noting::of(node, caller, consistency);
    let permit = Permit::of(node, caller)?;
    let schema = Arc::clone(view.snapshot.schema());
    let (members, lock) = members((node, &noting), (&view, &schema), &permit, of, context)?;
    let start = match &after {
        None => 0,
        Some(after) => place_after(&members, after)?,
    };
    let mut names: Vec<RelationName> = Vec::new();
    let mut goes_on = false;
    let permissions = members.iter().skip(start).filter(|it| !is_relation(it));
    for member in permissions {
        let is_held = matches!(
            decide((node, &noting), (&view, lock), member, of, context)?,
            Ok(Decision::Allowed)
        );
        tokio::task::yield_now().await;
        if !is_held {
            continue;
        }
        if names.len() >= limit as usize {
            goes_on = true;
            break;
        }
        names.push(member.name.clone());
    }
    let last = names.last().filter(|_| goes_on);
    let cursor = last.map(|last| Cursor {
        token: view.token,
        now: view.now,
        query,
        after: last.to_string(),
    });
    let cursor = cursor.map(|cursor| cursor.encode());
    Ok(Answered {
        answer: Permissions { names, cursor },
        at: view.token,
    })
}

/// The place behind a member that a cursor names.
fn place_after(members: &[&Member], after: &str) -> Result<usize, Error> {
    if members.is_empty() {
        // Who has been locked meanwhile has nothing more.
        return Ok(0);
    }
    let place = members.iter().position(|it| it.name.as_str() == after);
    place.map(|place| place + 1).ok_or_else(|| {
        let message = "error decoding cursor: it is not one that this server gives out";
        Error::invalid(Reason::InvalidCursor, message)
    })
}

/// What may be held, in the order of the schema; nothing for a subject that is locked.
fn members<'s>(
    (node, noting): (&Node, &Noting<'_>),
    (view, schema): (&View, &'s Schema),
    permit: &Permit<'_>,
    (resource, subject): (&ObjectRef, &SubjectRef),
    context: &Context,
) -> Result<(Vec<&'s Member>, LockSeen), Error> {
    let of = Target::Definition(resource.definition.as_str());
    permit.require(Action::Check, of)?;
    permit.require_subject(resource.definition.as_str(), subject.definition.as_str())?;
    limit_context(node, context)?;
    let definition = schema
        .definition_ix(resource.definition.as_str())
        .ok_or_else(|| Error::unknown_definition(resource.definition.as_str()))?;
    let members = schema.definition(definition).members.iter();
    let members: Vec<&Member> = members.map(|member| schema.member(*member)).collect();
    let lock = node.lock_seen(subject);
    if !lock.is_locked {
        return Ok((members, lock));
    }
    // Names that are not there are told all the same.
    if let Some(member) = members.first() {
        Query::resolve(&view.snapshot, resource, member.name.as_str(), subject)?;
    }
    for member in members {
        let asked = asked(member, (resource, subject), context);
        noting.decided(asked, (view, lock), Ok(&Decision::Denied), None);
    }
    Ok((Vec::new(), lock))
}

fn decide(
    (node, noting): (&Node, &Noting<'_>),
    (view, lock): (&View, LockSeen),
    member: &Member,
    of: (&ObjectRef, &SubjectRef),
    context: &Context,
) -> Result<Result<Decision, Error>, Error> {
    let started = noting.started();
    let query = Query::resolve(&view.snapshot, of.0, member.name.as_str(), of.1)?;
    let environment = environment(node, view, context);
    let decision = eval::check(&view.snapshot, &query, environment).map_err(Error::from);
    let asked = asked(member, of, context);
    noting.decided(asked, (view, lock), decision.as_ref(), started);
    Ok(decision)
}

fn asked<'a>(
    member: &'a Member,
    (resource, subject): (&'a ObjectRef, &'a SubjectRef),
    context: &'a Context,
) -> Asked<'a> {
    Asked {
        resource,
        permission: member.name.as_str(),
        subject,
        context,
    }
}

fn is_relation(member: &Member) -> bool {
    matches!(member.kind, MemberKind::Relation(_))
}
