//! The vocabulary of Remit: the words that every other crate speaks, with no I/O and no parser of schemas.
//!
//! A value of a type here has been checked once, where it was made, and is trusted from then on: an [`ObjectId`] is
//! never empty, a [`Relationship`] never has a wildcard as its resource. A type enters this crate only when two
//! other crates need it.

pub mod context;
pub mod decision;
pub mod filter;
pub mod json;
pub mod limits;
pub mod name;
pub mod object;
pub mod relationship;
pub mod revision;
pub mod time;

mod escape;
mod text;

pub use context::{Context, ContextError, Value};
pub use decision::Decision;
pub use filter::{
    Precondition, RelationshipFilter, ResourceIdFilter, SubjectFilter, SubjectRelationFilter,
};
pub use limits::Limits;
pub use name::{CaveatName, DefinitionName, NameError, ObjectId, RelationName};
pub use object::{ObjectRef, SubjectId, SubjectRef};
pub use relationship::{CaveatRef, Operation, Relationship, RelationshipKey, RelationshipUpdate};
pub use revision::{CommitHash, HistoryId, Revision, StoreId, Token, TokenError};
pub use text::TextError;
pub use time::{Clock, SystemClock, Timestamp, TimestampError};
