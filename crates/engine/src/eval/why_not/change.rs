//! What may be changed and what is proposed: the vocabulary of why-not.

use std::collections::BTreeSet;
use std::fmt;

use model::{CaveatRef, DefinitionName, RelationName, Relationship, RelationshipKey, Timestamp};

use super::gains::Gains;
use crate::graph::Change;

/// Which relations a kind of change may touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relations {
    /// Every relation of the schema.
    All,
    /// These alone, by the definition that they belong to; none if it is empty.
    Only(BTreeSet<(DefinitionName, RelationName)>),
}

/// To whom relationships may be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddedSubjects {
    /// The subject of the question and nobody else.
    Asked,
    /// The subject of the question, and objects that already give it what is asked of them: a group that it is in, a
    /// folder that it may view.
    AskedAndHolding,
}

/// What the asker is ready to have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changeable {
    /// Where relationships may be added, renewed, or written again without their caveat.
    pub add: Relations,
    /// Where relationships may be removed.
    pub remove: Relations,
    /// To whom they may be added.
    pub subjects: AddedSubjects,
    /// Whether the values that a request brings for caveats may be others.
    pub context: bool,
    /// The end of what is added, where a relation takes one. An instant that is not after `now` counts as none. Without
    /// one, nothing is added where only relationships with an end are taken.
    pub expires_at: Option<Timestamp>,
}

/// How much is looked at and told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WhyNotLimits {
    /// Changes in one set; larger sets are not looked for. Never more than [`Self::CHANGES_MAX`].
    pub changes_max: usize,
    /// Sets that are told.
    pub sets_max: usize,
    /// Sets that are tried on the changed graph, whether they turn out to be enough or not.
    pub candidates_max: usize,
    /// Ways that are kept in mind for each relation and permission of each object.
    pub ways_max: usize,
    /// Groups, folders and the like that already hold and are proposed to be linked to, of each kind.
    pub links_max: usize,
    /// Relationships that could be added and are considered, closest to the resource first.
    pub additions_max: usize,
    /// Combinations of ways that are looked at.
    pub combinations_max: u64,
    /// Look-ups that are made to count what sets give besides.
    pub lookups_max: usize,
    /// Resources that are named for each permission that is gained.
    pub examples_max: usize,
}

/// One change of a set.
#[derive(Debug, Clone, PartialEq)]
pub enum Proposed {
    /// A relationship that is not there is written.
    Add(Relationship),
    /// One that has expired is written again, with its caveat and a new end.
    Renew(Relationship),
    /// One that carries a caveat is written again without it.
    Replace(Relationship),
    /// A relationship is removed.
    Remove(RelationshipKey),
    /// The request brings other values, so that a caveat comes to something else.
    Context {
        /// The caveat, with the values that were written with the relationships that carry it.
        caveat: CaveatRef,
        /// Whether it has to hold, or has to fail.
        holds: bool,
        /// What the request may bring for it: the values that are missing, or else all that were not written.
        parameters: Vec<String>,
    },
}

/// Changes that together turn the decision into an allow, while no part of them does.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeSet {
    /// The changes, those closest to the resource first.
    pub changes: Vec<Proposed>,
    /// What they give besides; nothing where the viewer is not told.
    pub gains: Option<Gains>,
}

impl Relations {
    /// No relation.
    #[must_use]
    pub fn none() -> Self {
        Self::Only(BTreeSet::new())
    }

    /// Whether `relation` of `definition` is among them.
    #[must_use]
    pub fn has(&self, definition: &DefinitionName, relation: &RelationName) -> bool {
        match self {
            Self::All => true,
            Self::Only(some) => some
                .iter()
                .any(|(of, name)| of == definition && name == relation),
        }
    }
}

impl Changeable {
    /// Everything that why-not knows of.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            add: Relations::All,
            remove: Relations::All,
            subjects: AddedSubjects::AskedAndHolding,
            context: true,
            expires_at: None,
        }
    }

    /// Relationships of the asked subject on these relations, and nothing else: what a person can request.
    #[must_use]
    pub fn requestable(relations: BTreeSet<(DefinitionName, RelationName)>) -> Self {
        Self {
            add: Relations::Only(relations),
            remove: Relations::none(),
            subjects: AddedSubjects::Asked,
            context: false,
            expires_at: None,
        }
    }
}

impl WhyNotLimits {
    /// The most changes in one set that can be asked for: each part of a set is tried.
    pub const CHANGES_MAX: usize = 6;
}

impl Default for WhyNotLimits {
    fn default() -> Self {
        Self {
            changes_max: 3,
            sets_max: 10,
            candidates_max: 100,
            ways_max: 128,
            links_max: 20,
            additions_max: 10_000,
            combinations_max: 4_000_000,
            lookups_max: 500,
            examples_max: 5,
        }
    }
}

impl Proposed {
    /// The change of the graph; none for values of a request.
    #[must_use]
    pub fn change(&self) -> Option<Change> {
        match self {
            Self::Add(relationship) | Self::Renew(relationship) | Self::Replace(relationship) => {
                Some(Change::Put(relationship.clone()))
            }
            Self::Remove(key) => Some(Change::Remove(key.clone())),
            Self::Context { .. } => None,
        }
    }
}

impl ChangeSet {
    /// The changes of the graph, ready to be written.
    #[must_use]
    pub fn graph_changes(&self) -> Vec<Change> {
        self.changes.iter().filter_map(Proposed::change).collect()
    }
}

impl fmt::Display for Proposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(relationship) => write!(f, "add {relationship}"),
            Self::Renew(relationship) => write!(f, "renew {relationship}"),
            Self::Replace(relationship) => write!(f, "replace by {relationship}"),
            Self::Remove(key) => write!(f, "remove {key}"),
            Self::Context {
                caveat,
                holds,
                parameters,
            } => {
                let outcome = if *holds { "hold" } else { "fail" };
                write!(f, "let {} {outcome}", caveat.name)?;
                if !caveat.context.is_empty() {
                    write!(f, " where it has {}", caveat.context.to_json())?;
                }
                write!(f, " by other values of {}", parameters.join(", "))
            }
        }
    }
}

/// The changes, with semicolons between them.
impl fmt::Display for ChangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, change) in self.changes.iter().enumerate() {
            if place > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{change}")?;
        }
        Ok(())
    }
}
