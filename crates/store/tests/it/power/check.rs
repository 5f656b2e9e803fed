//! Whether a store that comes up from a state of the disk is what it has to be.

use std::fs;
use std::path::Path;

use model::{CommitHash, Operation, Revision};
use store::{LogEntry, LogError, LogQuery, SqliteStore, Store};

use super::STORE;
use super::said::{Holdings, Said, hex};
use super::states::State;
use crate::support::{block_on, request, update};

/// What is wrong with a state.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    pub(super) detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// The store does not come up, or does not go on.
    Down,
    /// What was acknowledged is not there.
    Lost,
    /// What is there was never written, or not so.
    Wrong,
}

impl FaultKind {
    fn of(self, detail: impl Into<String>) -> Fault {
        let detail = detail.into();
        Fault { kind: self, detail }
    }
}

/// The newest commit of the store that comes up from `state` in `folder`, where `promised` must be kept and `all` is all that
/// was ever done.
pub(super) fn check(
    state: &State,
    promised: &Said,
    all: &Said,
    folder: &Path,
) -> Result<Revision, Fault> {
    for (name, content) in state {
        fs::write(folder.join(name), content).unwrap();
    }
    for (name, of) in &all.copies {
        if state.contains_key(name) {
            check_copy(&folder.join(name), all, *of)?;
        } else if promised.copies.contains_key(name) {
            return Err(FaultKind::Lost.of(format!("`{name}` is not there")));
        }
    }
    let store = SqliteStore::open(&folder.join(STORE)).map_err(down)?;
    let identity = store.identity();
    let identity = hex(&[identity.store.0, identity.history.0].concat());
    let head = block_on(store.head()).map_err(down)?.revision;
    if Some(&identity) != all.identity.as_ref() {
        // One that was never open may have to be made again.
        return match promised.identity {
            None if head == Revision(0) => Ok(head),
            None | Some(_) => Err(FaultKind::Lost.of("it is another store")),
        };
    }
    if head < promised.newest() {
        let detail = format!("it ends at {head} of {}", promised.newest());
        return Err(FaultKind::Lost.of(detail));
    }
    check_log(&read_log(&store)?, promised, all)?;
    check_holdings(&store, all, head)?;
    goes_on(&store, head)?;
    Ok(head)
}

fn down(error: impl std::error::Error) -> Fault {
    let source = error
        .source()
        .map(|source| format!(": {source}"))
        .unwrap_or_default();
    FaultKind::Down.of(format!("{error}{source}"))
}

fn read_log(store: &SqliteStore) -> Result<Vec<LogEntry>, Fault> {
    let query = |after| LogQuery {
        after,
        entries_max: usize::MAX,
        bytes_max: usize::MAX,
    };
    match block_on(store.log(query(Revision(0)))) {
        Err(LogError::Trimmed { oldest }) => {
            block_on(store.log(query(Revision(oldest.0 - 1)))).map_err(down)
        }
        other => other.map_err(down),
    }
}

fn check_log(entries: &[LogEntry], promised: &Said, all: &Said) -> Result<(), Fault> {
    let oldest = entries.first().map_or(Revision(1), |entry| entry.revision);
    if oldest < promised.oldest {
        return Err(FaultKind::Lost.of(format!("the log begins at {oldest} again")));
    }
    if oldest > all.oldest.max(Revision(1)) {
        return Err(FaultKind::Wrong.of(format!("the log begins at {oldest}")));
    }
    let mut previous: Option<(Revision, CommitHash)> = None;
    for entry in entries {
        let follows = previous.is_none_or(|(revision, hash)| {
            (entry.revision, entry.previous) == (revision.next(), hash)
        });
        let is_itself = entry.computed_hash() == entry.hash;
        let was_done = all.hashes.get(&entry.revision) == Some(&hex(&entry.hash.0));
        if !(follows && is_itself && was_done) {
            let detail = format!(
                "revision {}: follows {follows}, is itself {is_itself}, was done {was_done}",
                entry.revision
            );
            return Err(FaultKind::Wrong.of(detail));
        }
        previous = Some((entry.revision, entry.hash));
    }
    Ok(())
}

/// The relationships, records and schema must be those that the log left.
fn check_holdings(store: &SqliteStore, all: &Said, at: Revision) -> Result<(), Fault> {
    let held = Holdings::of(store).map_err(down)?.to_string();
    let expected = match at {
        Revision(0) => &Holdings::default().to_string(),
        at => &all.held[&at],
    };
    if held != *expected {
        let detail = format!("at {at} it holds {held}, not {expected}");
        return Err(FaultKind::Wrong.of(detail));
    }
    Ok(())
}

fn goes_on(store: &SqliteStore, head: Revision) -> Result<(), Fault> {
    let mut next = request(vec![update(
        Operation::Touch,
        "document:next#viewer@user:ann",
    )]);
    next.base.schema_revision = block_on(store.head()).map_err(down)?.schema_revision;
    let committed = block_on(store.commit(next)).map_err(down)?;
    if committed.revision != head.next() {
        let detail = format!("{} comes after {head}", committed.revision);
        return Err(FaultKind::Wrong.of(detail));
    }
    Ok(())
}

/// A file with the name of a copy is the whole copy, however it got there.
fn check_copy(path: &Path, all: &Said, of: Revision) -> Result<(), Fault> {
    let copy = SqliteStore::open(path).map_err(down)?;
    let head = block_on(copy.head()).map_err(down)?.revision;
    if head != of {
        return Err(FaultKind::Wrong.of(format!("the copy ends at {head} of {of}")));
    }
    check_holdings(&copy, all, head)
}
