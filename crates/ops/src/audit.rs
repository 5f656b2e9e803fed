//! The audit log: read, proven, signed, and erased from. What it holds is the store's ([`store::audit`]).
//!
//! Reading takes `audit` on the system, whatever the entries are about: they tell of every definition. Erasing takes `erase`, which
//! nobody has who only reads. [`signing`] is what a node does of its own accord.

mod erase;
mod search;
pub mod signing;

use identity::Caller;
use store::audit::tree::Question;
use store::audit::{AuditQuery, Entry, Hash, StoredCheckpoint};
use store::{AuditLog, StoreError};

pub use erase::{Erased, Erasure, Found, erase, find};
pub use search::{Order, Page, Query, search};

use crate::access::{Action, Permit, Target};
use crate::error::{Error, Kind};
use crate::node::Node;

/// Entries, and bytes of them, that are read at once; an entry comes however large it is.
const ENTRIES_MAX: usize = 1_000;
const BYTES_MAX: usize = 1 << 20;
/// Checkpoints that are read at once.
const CHECKPOINTS_MAX: usize = 1_000;

/// How far the log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The revision after which it begins.
    pub begin: u64,
    /// How many entries it has.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The newest signed checkpoint; none where nothing signs.
    pub checkpoint: Option<StoredCheckpoint>,
}

/// How far the log is, and its root, which need not be signed yet.
///
/// # Errors
/// [`Kind::Forbidden`] for a caller that may not read it, [`Kind::Unimplemented`] where there is none, [`Kind::Unavailable`] if it
/// cannot be read; so with all that read it.
pub async fn state(node: &Node, caller: &Caller) -> Result<State, Error> {
    require(node, caller)?;
    let log = log(node)?;
    let state = log.state().await.map_err(unreadable)?;
    let root = answer(log, Question::Root(state.size)).await?;
    Ok(State {
        begin: state.begin,
        size: state.size,
        root: root.first().copied().unwrap_or_else(Hash::of_nothing),
        checkpoint: log.last_checkpoint().await.map_err(unreadable)?,
    })
}

/// Entries from an index on, as they are stored; none past the end.
///
/// # Errors
/// As [`state`].
pub async fn entries(
    node: &Node,
    caller: &Caller,
    from: u64,
    entries_max: usize,
) -> Result<Vec<Entry>, Error> {
    require(node, caller)?;
    let query = AuditQuery {
        from,
        entries_max: match entries_max {
            0 => ENTRIES_MAX,
            given => given.min(ENTRIES_MAX),
        },
        bytes_max: BYTES_MAX,
    };
    log(node)?.entries(query).await.map_err(unreadable)
}

/// Signed checkpoints of more than `after` entries, the smallest first, a page at a time.
///
/// # Errors
/// As [`state`].
pub async fn checkpoints(
    node: &Node,
    caller: &Caller,
    after: u64,
) -> Result<Vec<StoredCheckpoint>, Error> {
    require(node, caller)?;
    let checkpoints = log(node)?.checkpoints(after, CHECKPOINTS_MAX).await;
    checkpoints.map_err(unreadable)
}

/// The hashes that prove what is asked, or the root.
///
/// # Errors
/// As [`state`]; [`Kind::InvalidArgument`] for sizes and indices that the log does not have.
pub async fn prove(node: &Node, caller: &Caller, question: Question) -> Result<Vec<Hash>, Error> {
    require(node, caller)?;
    let log = log(node)?;
    let size = log.state().await.map_err(unreadable)?.size;
    let is_there = match question {
        Question::Root(of) => of <= size,
        Question::Inclusion { index, size: of } => index < of && of <= size,
        Question::Consistency { old, new } => old <= new && new <= size,
    };
    if !is_there {
        let message = format!(
            "the audit log has {size} entries: a proof is of an index below a size, or of a size up to another, and none is larger"
        );
        return Err(Error::new(Kind::InvalidArgument, message));
    }
    answer(log, question).await
}

/// The hashes of a tile, of which there are at least so many.
///
/// # Errors
/// As [`state`]; [`Kind::NotFound`] for a tile that is not there, or not as wide.
pub async fn tile(
    node: &Node,
    caller: &Caller,
    (level, number, width): (u8, u64, u64),
) -> Result<Vec<Hash>, Error> {
    require(node, caller)?;
    let log = log(node)?;
    let size = log.state().await.map_err(unreadable)?.size;
    let first = number.saturating_mul(store::audit::tree::TILE_HASHES);
    let end = first.saturating_add(width);
    let there = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
    if end > there {
        let message = "the audit log has no such tile, or not as much of it yet";
        return Err(Error::new(Kind::NotFound, message));
    }
    let places = (first..end).map(|index| store::audit::Place { level, index });
    log.hashes(places.collect()).await.map_err(unreadable)
}

async fn answer(log: &dyn AuditLog, question: Question) -> Result<Vec<Hash>, Error> {
    let hashes = log.hashes(question.places()).await.map_err(unreadable)?;
    question
        .answer(&hashes)
        .ok_or_else(|| Error::new(Kind::Internal, "the tree of the audit log is not complete"))
}

fn require(node: &Node, caller: &Caller) -> Result<(), Error> {
    Permit::of(node, caller)?.require(Action::Audit, Target::System)
}

fn log(node: &Node) -> Result<&dyn AuditLog, Error> {
    node.store().audit().ok_or_else(|| {
        let message = "there is no audit log here; ask a server that commits";
        Error::new(Kind::Unimplemented, message)
    })
}

fn unreadable(error: StoreError) -> Error {
    match error {
        StoreError::Corrupt { .. } => {
            let message = "the audit log is damaged; `remit audit verify` says where";
            Error::new(Kind::Internal, message).caused_by(error)
        }
        StoreError::Full
        | StoreError::Overloaded { .. }
        | StoreError::Closed
        | StoreError::Unavailable { .. }
        | StoreError::Diverged { .. } => {
            Error::new(Kind::Unavailable, "the audit log cannot be read").caused_by(error)
        }
    }
}
