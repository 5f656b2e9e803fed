//! The graph in memory: immutable snapshots of relationships, between ids that are dense numbers.
//!
//! An object id is a string outside and an [`ObjectIx`] within ([`dictionary`]); the relationships of one shape are an
//! edge class ([`layout`]), kept as two ordered trees of pairs ([`class`], [`tree`]); a [`Snapshot`] holds all of them
//! as of one revision. Everything is persistent: a commit copies the few nodes on its path and shares the rest with
//! the snapshots before it, which never change (docs/decisions/0001-ordered-tree.md).

pub mod annotation;
pub mod class;
pub mod dictionary;
pub mod layout;
pub mod loader;
mod packed;
pub mod snapshot;
pub mod tree;

pub use annotation::Annotation;
pub use class::Class;
pub use dictionary::Dictionary;
pub use layout::{ClassIx, ClassKey, Layout};
pub use loader::{Loader, RelationshipParts};
pub use snapshot::{ApplyError, Change, DeadIds, MemoryUse, Snapshot};
pub use tree::{EdgeRef, EdgeTree, Values};

/// An object of its definition, by number. Dense, never reused, and of no meaning outside of a node's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectIx(pub u32);

impl ObjectIx {
    /// The subject of every edge in the class of a wildcard. Elsewhere the number is that of an ordinary object.
    pub const WILDCARD_SUBJECT: Self = Self(0);
}

const _: () = assert!(size_of::<ObjectIx>() == 4);
