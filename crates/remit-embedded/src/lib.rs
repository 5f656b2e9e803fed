//! Remit's engine in the process of its caller: the same graph, evaluator and consistency as a node's, without a call over a network.
//!
//! [`Engine::open`] has a store of its own, in memory or in a SQLite file, and takes writes. [`Engine::follow`] is a replica of
//! a Remit server: it loads all that the server holds, follows its log, and answers from memory; writes go to the server. Both
//! are an [`Engine`] to whoever asks.
//!
//! The program is trusted with all that its engine holds: nobody is asked who they are, and no answer is judged by whom it is for.
//! What a server hands out to replicas is guarded there, by the right to `replicate`.
//!
//! | module | holds |
//! |---|---|
//! | `asking` | questions: checks, look-ups, explanations |
//! | `owned` | the engine with a store of its own |
//! | `replica` | the engine that follows a server, its store, its connection and its cache |
//! | `error` | why an engine could not be started |

mod asking;
mod error;
mod owned;
mod replica;

pub use ::engine::eval::{Explanation, Outcome, Step};
pub use asking::Engine;
pub use error::{FollowError, OpenError};
pub use model::{
    Context, Decision, DefinitionName, Limits, ObjectId, ObjectRef, Operation, Precondition,
    RelationName, Relationship, RelationshipFilter, RelationshipUpdate, Revision, SubjectId,
    SubjectRef, Timestamp, Token,
};
pub use ops::check::{Answered, Explained, Question};
pub use ops::held::Held;
pub use ops::lookup::{Item, Membership, Page, Resources, Subjects};
pub use ops::pinned::Pinned;
pub use ops::read::Reading;
pub use ops::write::{Deleted, Deletion, Write};
pub use ops::{Consistency, Error, Kind, Reason, Settings};
pub use owned::{Owned, Place, PlaceError, Storage};
pub use replica::{Follow, Health, Pace, Replica, Server, Transport};
