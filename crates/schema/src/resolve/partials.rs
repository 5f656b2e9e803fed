//! Partials: members that are written once and taken into several definitions by `...name`.

use std::collections::HashMap;

use crate::diagnostic::{SchemaError, did_you_mean};
use crate::syntax::{Block, File, ItemKind, MemberSyntax, MemberSyntaxKind};

/// The members of each partial, with those of the partials that it takes in at their place.
pub(super) type Partials<'f> = HashMap<&'f str, Vec<&'f MemberSyntax>>;

/// Members that all definitions may have together: partials within partials could double without end.
const MEMBERS_MAX: usize = 100_000;

/// Resolves the partials of `file`, those first that need no others.
pub(super) fn flatten<'f>(text: &str, file: &'f File) -> Result<Partials<'f>, SchemaError> {
    let mut waiting: Vec<&Block> = file
        .items
        .iter()
        .filter_map(|item| match &item.kind {
            ItemKind::Partial(block) => Some(block),
            ItemKind::Use(_)
            | ItemKind::Import(_)
            | ItemKind::Definition(_)
            | ItemKind::Caveat(_) => None,
        })
        .collect();
    let names: Vec<&str> = waiting
        .iter()
        .map(|block| block.name.text.as_str())
        .collect();
    for member in waiting.iter().flat_map(|block| &block.members) {
        if let MemberSyntaxKind::Splat(name) = &member.kind
            && !names.contains(&name.text.as_str())
        {
            return Err(missing(text, member, &name.text, names.iter().copied()));
        }
    }
    let mut done = Partials::new();
    loop {
        let count = waiting.len();
        let mut still = Vec::new();
        for block in waiting {
            let is_ready = block.members.iter().all(|member| match &member.kind {
                MemberSyntaxKind::Splat(name) => done.contains_key(name.text.as_str()),
                MemberSyntaxKind::Relation { .. } | MemberSyntaxKind::Permission { .. } => true,
            });
            if is_ready {
                let members = members(text, &done, block)?;
                done.insert(&block.name.text, members);
            } else {
                still.push(block);
            }
        }
        if still.is_empty() {
            return Ok(done);
        }
        if still.len() == count {
            // The peer tells them in this order.
            let names: Vec<&str> = still
                .iter()
                .rev()
                .map(|block| block.name.text.as_str())
                .collect();
            let message = format!(
                "could not resolve partials: [{}]. this may indicate a circular reference",
                names.join(", ")
            );
            let span = still.first().map(|block| block.name.span.clone());
            return Err(SchemaError::other(span, message));
        }
        waiting = still;
    }
}

/// The members of a definition or partial, with those of the partials that it takes in.
pub(super) fn members<'f>(
    text: &str,
    partials: &Partials<'f>,
    block: &'f Block,
) -> Result<Vec<&'f MemberSyntax>, SchemaError> {
    let mut found = Vec::new();
    for member in &block.members {
        match &member.kind {
            MemberSyntaxKind::Relation { .. } | MemberSyntaxKind::Permission { .. } => {
                found.push(member)
            }
            MemberSyntaxKind::Splat(name) => match partials.get(name.text.as_str()) {
                Some(members) => found.extend(members),
                None => return Err(missing(text, member, &name.text, partials.keys().copied())),
            },
        }
        if found.len() > MEMBERS_MAX {
            let message =
                format!("partials expand to more than {MEMBERS_MAX} relations and permissions");
            return Err(SchemaError::other(Some(member.span.clone()), message));
        }
    }
    Ok(found)
}

fn missing<'n>(
    text: &str,
    member: &MemberSyntax,
    name: &str,
    known: impl Iterator<Item = &'n str>,
) -> SchemaError {
    let message = format!("could not find partial reference with name {name}");
    SchemaError::parse(text, member.span.clone(), message)
        .located(text, member.span.end - 1, "")
        .hinted(did_you_mean(name, known))
}
