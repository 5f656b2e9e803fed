//! Searches: who may, on what, and what. Only what is certain is a result.

use std::sync::Arc;

use model::{DefinitionName, Token};
use ops::held::{self, Permissions};
use ops::lookup::{self, Item, Membership, Page, Resources, Subjects};
use ops::{Error, Node};
use serde_json::json;
use tonic::Status;

use super::entities::Role;
use super::evaluation::is_unknown;
use super::page;
use super::{Answer, Asked};
use crate::error::status;

/// Who may do that.
///
/// # Errors
/// [`Status`] for a request that is not understood, and for what is no answer.
pub(super) async fn subjects(node: &Arc<Node>, asked: &Asked) -> Result<Answer, Status> {
    let entities = asked.entities.entities()?;
    let page = page(node, asked)?;
    let kind = entities.kind(Role::Subject)?;
    let permission = entities.action()?.to_owned();
    let resource = entities.named(Role::Resource)?;
    let context = entities.context()?;
    let (Ok(definition), Some(resource)) = (DefinitionName::new(kind), resource.object()) else {
        return nothing(node, asked, &page).await;
    };
    let query = Subjects {
        resource,
        permission,
        definition,
        relation: None,
        context,
        is_without_everybody: false,
        limit: page.limit,
        cursor: page.cursor.clone(),
    };
    let found = lookup::subjects(node, &asked.caller, asked.consistency, &query).await;
    told(node, asked, (&page, kind), found).await
}

/// What it may be done to.
///
/// # Errors
/// As [`subjects`].
pub(super) async fn resources(node: &Arc<Node>, asked: &Asked) -> Result<Answer, Status> {
    let entities = asked.entities.entities()?;
    let page = page(node, asked)?;
    let subject = entities.named(Role::Subject)?;
    let permission = entities.action()?.to_owned();
    let kind = entities.kind(Role::Resource)?;
    let context = entities.context()?;
    let (Ok(definition), Some(subject)) = (DefinitionName::new(kind), subject.subject()) else {
        return nothing(node, asked, &page).await;
    };
    let query = Resources {
        definition,
        permission,
        subject,
        context,
        limit: page.limit,
        cursor: page.cursor.clone(),
    };
    let found = lookup::resources(node, &asked.caller, asked.consistency, &query).await;
    told(node, asked, (&page, kind), found).await
}

/// What may be done: permissions alone, since a relation is what they are made of.
///
/// # Errors
/// As [`subjects`].
pub(super) async fn actions(node: &Arc<Node>, asked: &Asked) -> Result<Answer, Status> {
    let entities = asked.entities.entities()?;
    let page = page(node, asked)?;
    let subject = entities.named(Role::Subject)?;
    let resource = entities.named(Role::Resource)?;
    let context = entities.context()?;
    let (Some(subject), Some(resource)) = (subject.subject(), resource.object()) else {
        return nothing(node, asked, &page).await;
    };
    let (of, paging) = ((&resource, &subject), (page.limit, page.cursor.as_deref()));
    let (caller, consistency) = (&asked.caller, asked.consistency);
    let held = held::permissions(node, caller, consistency, of, &context, paging).await;
    let held = match held {
        Err(error) if is_unknown(&error) => return nothing(node, asked, &page).await,
        held => held.map_err(status)?,
    };
    let Permissions { names, cursor } = held.answer;
    let results = names.iter().map(|name| json!({ "name": name.as_str() }));
    let answer = page.answer(results.collect(), cursor);
    Ok(Answer::new(&answer, Some(held.at)))
}

fn page(node: &Node, asked: &Asked) -> Result<page::Asked, Status> {
    let size_max = node.settings().limits.page_size_max;
    Ok(page::Asked::of(&asked.entities, size_max)?)
}

/// What a look-up has found, as the standard has it.
async fn told(
    node: &Arc<Node>,
    asked: &Asked,
    (page, kind): (&page::Asked, &str),
    found: Result<Page, Error>,
) -> Result<Answer, Status> {
    let found = match found {
        Err(error) if is_unknown(&error) => return nothing(node, asked, page).await,
        found => found.map_err(status)?,
    };
    found.end().map_err(status)?;
    let items: Vec<Item> = found.items().collect();
    let last = items.last().filter(|_| found.goes_on());
    let next = last.map(|item| found.cursor_after(item));
    let mut results = Vec::with_capacity(items.len());
    let mut everybody = None;
    for item in &items {
        match item {
            Item::Object {
                id,
                membership: Membership::Certain,
            } => {
                if let Some(id) = id.to_text() {
                    results.push(json!({ "type": kind, "id": id }));
                }
            }
            Item::Everybody {
                membership: Membership::Certain,
                excluded,
            } => {
                let excluded = excluded.iter().filter_map(|(id, _)| id.to_text());
                let excluded: Vec<_> = excluded.collect();
                everybody = Some(json!({ "everybody": { "type": kind, "except": excluded } }));
            }
            Item::Object {
                membership: Membership::Conditional { .. },
                ..
            }
            | Item::Everybody {
                membership: Membership::Conditional { .. },
                ..
            } => {}
        }
    }
    let mut answer = page.answer(results, next);
    answer.context = everybody;
    Ok(Answer::new(&answer, Some(found.at())))
}

/// No result, on the snapshot that was asked for.
async fn nothing(node: &Node, asked: &Asked, page: &page::Asked) -> Result<Answer, Status> {
    let at: Token = ops::check::check_bulk(node, &asked.caller, asked.consistency, &[])
        .await
        .map_err(status)?
        .at;
    Ok(Answer::new(&page.answer(Vec::new(), None), Some(at)))
}
