//! Verifying a store itself: its audit log, the hashes that it keeps of the tree, its checkpoints, and the log of commits beside it as far
//! as that is kept. The store may be in use.

use std::collections::VecDeque;

use model::Revision;

use super::{Report, Verifier};
use crate::audit::entry::{Entry, Kind, Part, parts_of};
use crate::audit::erasures::StillErasing;
use crate::audit::{AuditQuery, AuditState, Hash, Place};
use crate::commit::LogEntry;
use crate::copy::Source;
use crate::error::{LogError, StoreError};
use crate::store::LogQuery;

/// Entries, and bytes of them, that are read together.
const ENTRIES_MAX: usize = 1_000;
const BYTES_MAX: usize = 16 << 20;

/// Verifies all of a store's audit log; tells how many entries were verified from time to time.
///
/// # Errors
/// [`LogError`] if the store cannot be read, which says nothing of its log.
pub fn verify_store(
    source: &dyn Source,
    mut verifier: Verifier,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, LogError> {
    let state = state(source)?;
    let mut after = 0;
    loop {
        let checkpoints = source.audit_checkpoints(after, ENTRIES_MAX)?;
        for checkpoint in &checkpoints {
            let called = format!("checkpoint of {} entries", checkpoint.size);
            verifier.checkpoint(&called, Some(checkpoint.size), &checkpoint.note);
            after = after.max(checkpoint.size);
        }
        if checkpoints.len() < ENTRIES_MAX {
            break;
        }
    }
    let mut log = CommitLog::begin(state.begin);
    loop {
        // What comes meanwhile is verified too, but not for ever.
        let until = self::state(source)?.size;
        read(source, (&mut verifier, &mut log), until, progress)?;
        for index in verifier.to_read_again() {
            let entries = source.audit_entries(query(index, 1))?;
            let found = entries.iter().find(|entry| entry.index == index);
            found
                .into_iter()
                .for_each(|entry| verifier.entry_again(entry));
        }
        if !verifier.reads_on().map_err(still_erasing)? {
            break;
        }
    }
    log.end(source, &mut verifier, state.begin)?;
    Ok(verifier.finish())
}

/// Takes in the entries up to `until`, and maybe some after it.
fn read(
    source: &dyn Source,
    (verifier, log): (&mut Verifier, &mut CommitLog),
    until: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<(), LogError> {
    while verifier.size() < until {
        let entries = source.audit_entries(query(verifier.size(), ENTRIES_MAX))?;
        if entries.is_empty() {
            break;
        }
        let mut kept = Vec::new();
        for entry in &entries {
            log.compare(source, verifier, entry)?;
            verifier.entry(entry, |place, hash| kept.push((place, hash)));
        }
        compare_hashes(source, verifier, kept)?;
        progress(verifier.size());
    }
    Ok(())
}

fn query(from: u64, entries_max: usize) -> AuditQuery {
    AuditQuery {
        from,
        entries_max,
        bytes_max: BYTES_MAX,
    }
}

fn still_erasing(error: StillErasing) -> LogError {
    let error = StoreError::Unavailable {
        detail: "it is being erased from",
        source: error.into(),
    };
    error.into()
}

fn state(source: &dyn Source) -> Result<AuditState, StoreError> {
    source
        .audit_state()?
        .ok_or_else(|| StoreError::Unavailable {
            detail: "it has no audit log yet",
            source: "a version before made it; it gets one when it is next served".into(),
        })
}

/// Whether the store keeps the hashes of the tree that come out.
fn compare_hashes(
    source: &dyn Source,
    verifier: &mut Verifier,
    expected: Vec<(Place, Hash)>,
) -> Result<(), LogError> {
    for (place, hash) in expected {
        let Place { level, index } = place;
        let called = format!("hash {index} of level {level} of the tree");
        match source.audit_hashes(vec![place]) {
            Ok(found) if found == [hash] => {}
            Ok(_) => verifier.find(called, "it is not the one that its entries have"),
            Err(StoreError::Corrupt { detail }) => verifier.find(called, detail),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The log of commits, read along with the audit log.
struct CommitLog {
    /// The last revision that was read.
    at: Revision,
    read: VecDeque<LogEntry>,
}

impl CommitLog {
    fn begin(begin: u64) -> Self {
        Self {
            at: Revision(begin),
            read: VecDeque::new(),
        }
    }

    /// The commit of a revision; none if the log does not go back that far, or does not have it.
    fn commit(
        &mut self,
        source: &dyn Source,
        revision: Revision,
    ) -> Result<Option<LogEntry>, LogError> {
        while self.at < revision {
            let query = LogQuery {
                after: self.at,
                entries_max: ENTRIES_MAX,
                bytes_max: BYTES_MAX,
            };
            match source.log(query) {
                Ok(entries) => {
                    let Some(last) = entries.last() else {
                        break;
                    };
                    self.at = last.revision;
                    self.read.extend(entries);
                }
                Err(LogError::Trimmed { oldest }) => {
                    self.at = Revision(oldest.0.saturating_sub(1)).max(self.at);
                    if self.at >= revision {
                        break;
                    }
                }
                Err(LogError::BeyondHead { .. }) => break,
                Err(error @ (LogError::NewerFormat { .. } | LogError::Store(_))) => {
                    return Err(error);
                }
            }
        }
        while self
            .read
            .front()
            .is_some_and(|entry| entry.revision < revision)
        {
            self.read.pop_front();
        }
        let is_it = self
            .read
            .front()
            .is_some_and(|entry| entry.revision == revision);
        Ok(if is_it { self.read.pop_front() } else { None })
    }

    /// Whether an entry of the audit log says of a commit what the log says.
    fn compare(
        &mut self,
        source: &dyn Source,
        verifier: &mut Verifier,
        entry: &Entry,
    ) -> Result<(), LogError> {
        let (Ok(header), Ok(body)) = (entry.header(), entry.body()) else {
            return Ok(());
        };
        // By its place, since what it says may be what was altered.
        let Some(commit) = self.commit(source, header.revision)? else {
            return Ok(());
        };
        let mut expected = parts_of(&commit);
        let origin = body.parts().find(|(number, _)| *number == 3);
        let origin = origin.map_or(Part::Origin(None), |(_, part)| part.clone());
        expected.insert(3.min(expected.len()), origin);
        let is_alike = body.parts().all(|(number, part)| {
            let at = usize::try_from(number).unwrap_or(usize::MAX);
            matches!(part, Part::Erased(_)) || expected.get(at) == Some(part)
        });
        let own = usize::from(header.kind == Kind::Erasure);
        let is_housekeeping = header.kind == Kind::Housekeeping;
        if !is_alike
            || expected.len() + own != body.count()
            || header.time != commit.time
            || is_housekeeping != commit.housekeeping
        {
            let revision = header.revision;
            let place = format!("entry {}", entry.index);
            verifier.find(
                place,
                format!(
                    "it says something else of revision {revision} than the log of commits does"
                ),
            );
        }
        if commit.computed_hash() != commit.hash {
            let place = format!("revision {} of the log of commits", header.revision);
            verifier.find(place, "it does not have its hash");
        }
        Ok(())
    }

    /// Whether the log has commits that the audit log has not.
    fn end(
        &mut self,
        source: &dyn Source,
        verifier: &mut Verifier,
        begin: u64,
    ) -> Result<(), LogError> {
        let last = begin.saturating_add(verifier.size());
        let first = verifier.first_revision();
        if first.is_some_and(|first| first.0 != begin.saturating_add(1)) {
            verifier.find("entry 0", "the store says that the log begins elsewhere");
        }
        let next = Revision(last.saturating_add(1));
        let commit = self.commit(source, next)?;
        // It may have come since.
        let state = state(source)?;
        if commit.is_some() && state.begin.saturating_add(state.size) < next.0 {
            verifier.find(
                format!("revision {next} of the log of commits"),
                "the audit log has no entry of it",
            );
        }
        Ok(())
    }
}
