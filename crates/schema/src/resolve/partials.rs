//! Partials: members that are written once and taken into several definitions by `...name`.

use std::collections::HashMap;

use crate::compiled::DefinitionIx;
use crate::diagnostic::{SchemaError, did_you_mean};
use crate::parser::TEXT_BYTES_MAX;
use crate::syntax::{Block, File, ItemKind, MemberSyntax, MemberSyntaxKind};

/// The partials of a file; none takes itself in, directly or through others.
pub(super) struct Partials<'f>(HashMap<&'f str, &'f Block>);

/// How far a partial has been looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    Open,
    Done,
}

impl<'f> Partials<'f> {
    /// Finds the partials of `file`.
    ///
    /// # Errors
    /// One that takes in itself, or one that does not exist.
    pub(super) fn find(file: &'f File) -> Result<Self, SchemaError> {
        let mut partials = Self(HashMap::new());
        for item in &file.items {
            if let ItemKind::Partial(block) = &item.kind {
                partials.0.insert(&block.name.text, block);
            }
        }
        let mut visits = HashMap::new();
        for item in &file.items {
            if let ItemKind::Partial(block) = &item.kind {
                partials.visit(block, &mut visits)?;
            }
        }
        Ok(partials)
    }

    /// Walks what `root` takes in, with a stack of its own: a chain of partials may be as long as the text.
    fn visit(
        &self,
        root: &'f Block,
        visits: &mut HashMap<&'f str, Visit>,
    ) -> Result<(), SchemaError> {
        if visits.contains_key(root.name.text.as_str()) {
            return Ok(());
        }
        visits.insert(&root.name.text, Visit::Open);
        let mut path = vec![(root, splats(root))];
        while let Some((block, open)) = path.last_mut() {
            let Some(name) = open.next() else {
                visits.insert(&block.name.text, Visit::Done);
                path.pop();
                continue;
            };
            match (
                self.0.get(name.text.as_str()),
                visits.get(name.text.as_str()),
            ) {
                (Some(_), Some(Visit::Done)) => {}
                (Some(next), None) => {
                    visits.insert(&next.name.text, Visit::Open);
                    path.push((next, splats(next)));
                }
                (None, _) | (Some(_), Some(Visit::Open)) => {
                    // The way to it, without where it begins.
                    let names = path.iter().map(|(block, _)| block.name.text.as_str());
                    let start = names.clone().position(|on_path| on_path == name.text);
                    let way: Vec<&str> = names
                        .skip(start.unwrap_or(0) + 1)
                        .chain([name.text.as_str()])
                        .collect();
                    let message = format!(
                        "could not resolve partials: [{}]. this may indicate a circular reference",
                        way.join(", ")
                    );
                    let known = self.0.keys().copied();
                    let hint = start.is_none().then(|| did_you_mean(&name.text, known));
                    return Err(
                        SchemaError::other(Some(name.span.clone()), message).hinted(hint.flatten())
                    );
                }
            }
        }
        Ok(())
    }

    /// The members of `definition`, with those of partials at their place, are added to `found`; `bytes` counts what all
    /// definitions hold: partials within partials double with each line.
    pub(super) fn expand(
        &self,
        text: &str,
        file: &'f File,
        (definition, block): (DefinitionIx, &'f Block),
        found: &mut Vec<(DefinitionIx, &'f MemberSyntax)>,
        bytes: &mut usize,
    ) -> Result<(), SchemaError> {
        let mut path = vec![block.members.iter()];
        while let Some(members) = path.last_mut() {
            let Some(member) = members.next() else {
                path.pop();
                continue;
            };
            let comments = file.comments_of(member.span.start).iter();
            *bytes += member.span.len() + comments.map(|comment| comment.span.len()).sum::<usize>();
            if *bytes > TEXT_BYTES_MAX {
                let message = format!(
                    "with its partials taken in, the schema has more than {TEXT_BYTES_MAX} bytes"
                );
                return Err(SchemaError::other(Some(member.span.clone()), message));
            }
            let MemberSyntaxKind::Splat(name) = &member.kind else {
                found.push((definition, member));
                continue;
            };
            let Some(partial) = self.0.get(name.text.as_str()) else {
                let message = format!("could not find partial reference with name {}", name.text);
                return Err(SchemaError::parse(text, member.span.clone(), message)
                    .located(text, member.span.end - 1, "")
                    .marked(Some(name.span.clone()))
                    .hinted(did_you_mean(&name.text, self.0.keys().copied())));
            };
            path.push(partial.members.iter());
        }
        Ok(())
    }
}

/// The names that a block takes in.
fn splats(block: &Block) -> impl Iterator<Item = &crate::syntax::Name> {
    block
        .members
        .iter()
        .filter_map(|member| match &member.kind {
            MemberSyntaxKind::Splat(name) => Some(name),
            MemberSyntaxKind::Relation { .. } | MemberSyntaxKind::Permission { .. } => None,
        })
}
