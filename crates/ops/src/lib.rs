//! Every operation of Remit, once: who asks, on which snapshot, the work, the record.
//!
//! Protocols decode to the types here, call one function and encode what it returns; they have no thought of their own.
//! [`Node`] is what the operations share: the store, the graph that follows it, the clock and the limits.

pub mod access;
pub mod audit;
pub mod bulk;
pub mod check;
pub mod consistency;
pub mod counter;
pub mod cursor;
pub mod decisions;
pub mod digest;
pub mod error;
pub mod expand;
pub mod held;
pub mod housekeeping;
pub mod keys;
pub mod lock;
pub mod lookup;
pub mod mint;
pub mod node;
pub mod pinned;
pub mod read;
pub mod replay;
pub mod replica;
pub mod schema;
pub mod stages;
pub mod tally;
pub mod trace;
pub mod watch;
pub mod write;

mod clock_offset;
mod confirmed;
mod follow;
mod generation;
mod head;
mod history;
mod live_settings;
mod load_progress;
mod metrics;
mod precondition;
mod pulse;
mod records;
mod settings;
mod streaming;
mod typing;

pub use consistency::{Consistency, View};
pub use cursor::Cursor;
pub use error::{Error, Kind, Reason};
pub use live_settings::TooManyChanges;
pub use load_progress::LoadProgress;
pub use node::Node;
pub use settings::Settings;
pub use streaming::Streaming;
