//! The entries of a page of the log, put together from their parts and held to their hashes.

use model::Revision;
use remit_proto::remit::v1 as wire;
use store::commit::canonical::{self, BlockError, EntryHeader};
use store::{LogEntry, Provenance, SchemaChange};

use super::connection::CallError;
use super::pieces::{PieceError, hash_of, head_of};

/// The most bytes of changes that one page may have: those of the largest commit, and a page beside it.
const BLOCK_BYTES_MAX: usize = (256 << 20) + (16 << 20);

/// Entries in the making.
#[derive(Debug)]
pub(crate) struct Entries {
    expected: usize,
    bytes: usize,
    done: Vec<LogEntry>,
    /// The entry whose changes come.
    open: Option<(wire::LogEntry, Vec<u8>)>,
}

impl Entries {
    /// Of a page that says to have `expected`, where `entries_max` were asked for.
    ///
    /// # Errors
    /// [`CallError::Page`] if it has more.
    pub(crate) fn new(expected: usize, entries_max: usize) -> Result<Self, CallError> {
        if expected > entries_max {
            return Err(CallError::Page("it has more entries than were asked for"));
        }
        Ok(Self {
            expected,
            bytes: 0,
            done: Vec::new(),
            open: None,
        })
    }

    /// Takes an entry, whose changes follow.
    ///
    /// # Errors
    /// [`CallError`] if the one before it is not whole.
    pub(crate) fn begin(&mut self, entry: wire::LogEntry) -> Result<(), CallError> {
        self.close()?;
        let bytes = usize::try_from(entry.block_bytes).unwrap_or(usize::MAX);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.done.len() >= self.expected || self.bytes > BLOCK_BYTES_MAX {
            return Err(CallError::Page(
                "it is longer than it says, or than it may be",
            ));
        }
        self.open = Some((entry, Vec::with_capacity(bytes)));
        Ok(())
    }

    /// Takes some of the changes of the entry before.
    ///
    /// # Errors
    /// [`CallError::Page`] for more than there are to be.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        let Some((entry, block)) = &mut self.open else {
            return Err(CallError::Page("changes come before their entry"));
        };
        if (block.len() + bytes.len()) as u64 > entry.block_bytes {
            return Err(CallError::Page("an entry has more changes than it says"));
        }
        block.extend_from_slice(bytes);
        Ok(())
    }

    /// All of them.
    ///
    /// # Errors
    /// [`CallError`] if some are missing.
    pub(crate) fn finish(mut self) -> Result<Vec<LogEntry>, CallError> {
        self.close()?;
        if self.done.len() != self.expected {
            return Err(CallError::Page("it has fewer entries than it says"));
        }
        Ok(self.done)
    }

    fn close(&mut self) -> Result<(), CallError> {
        let Some((entry, block)) = self.open.take() else {
            return Ok(());
        };
        if block.len() as u64 != entry.block_bytes {
            return Err(CallError::Page("an entry has fewer changes than it says"));
        }
        self.done.push(whole(entry, &block)?);
        Ok(())
    }
}

fn whole(entry: wire::LogEntry, block: &[u8]) -> Result<LogEntry, CallError> {
    let commit = head_of(entry.commit)?;
    let previous = hash_of(&entry.previous)?;
    let provenance = Provenance {
        actor: entry.actor,
        reason: entry.reason,
        metadata: entry.metadata,
        origin: None,
    };
    let header = EntryHeader {
        previous,
        revision: commit.revision,
        time: commit.time,
        housekeeping: entry.housekeeping,
        provenance: &provenance,
        schema: entry.schema_after.as_deref(),
    };
    if header.hash(block) != commit.hash {
        return Err(CallError::Page("an entry does not have its hash"));
    }
    let block = decoded(commit.revision, block)?;
    let before = entry.schema_before;
    Ok(LogEntry {
        revision: commit.revision,
        time: commit.time,
        hash: commit.hash,
        previous,
        changes: block.changes,
        records: block.records,
        schema: entry
            .schema_after
            .map(|after| SchemaChange { before, after }),
        housekeeping: entry.housekeeping,
        provenance,
    })
}

fn decoded(revision: Revision, block: &[u8]) -> Result<canonical::Block, CallError> {
    canonical::decode_changes(block).map_err(|error| match error {
        BlockError::Version { version } => CallError::NewerFormat { revision, version },
        BlockError::Damaged { .. } => PieceError::from(error).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry as a server tells it, and its changes.
    fn told() -> (wire::LogEntry, Vec<u8>) {
        let provenance = Provenance {
            actor: "ann".to_owned(),
            reason: None,
            metadata: None,
            origin: None,
        };
        let block = canonical::encode_changes(&[], &[]);
        let header = EntryHeader {
            previous: model::CommitHash([1; 32]),
            revision: Revision(7),
            time: model::Timestamp::EPOCH,
            housekeeping: false,
            provenance: &provenance,
            schema: Some("definition user {}"),
        };
        let entry = wire::LogEntry {
            commit: Some(wire::Commit {
                revision: 7,
                hash: header.hash(&block).0.to_vec(),
                time_micros: 0,
                schema_revision: 0,
            }),
            previous: vec![1; 32],
            housekeeping: false,
            actor: provenance.actor,
            reason: None,
            metadata: None,
            schema_after: Some("definition user {}".to_owned()),
            schema_before: None,
            block_bytes: block.len() as u64,
        };
        (entry, block)
    }

    fn page(entry: wire::LogEntry, blocks: &[&[u8]]) -> Result<Vec<LogEntry>, CallError> {
        let mut entries = Entries::new(1, 10)?;
        entries.begin(entry)?;
        for block in blocks {
            entries.add(block)?;
        }
        entries.finish()
    }

    #[test]
    fn an_entry_is_put_together_from_its_pieces() {
        let (entry, block) = told();
        let (one, two) = block.split_at(1);
        let entries = page(entry, &[one, two]).unwrap();
        assert_eq!(entries.len(), 1);
        let entry = entries.first().unwrap();
        assert_eq!(entry.hash, entry.computed_hash());
        assert_eq!(entry.schema.as_ref().unwrap().after, "definition user {}");
    }

    #[test]
    fn what_a_server_may_not_tell_is_an_error() {
        let (entry, block) = told();
        let alter = |alter: fn(&mut wire::LogEntry)| {
            let mut entry = entry.clone();
            alter(&mut entry);
            page(entry, &[&block])
        };
        let altered: [fn(&mut wire::LogEntry); 8] = [
            |entry| entry.actor = "eve".to_owned(),
            |entry| entry.housekeeping = true,
            |entry| entry.schema_after = None,
            |entry| entry.previous = vec![2; 32],
            |entry| entry.previous = vec![1; 31],
            |entry| entry.commit = None,
            |entry| entry.block_bytes += 1,
            |entry| entry.block_bytes = u64::MAX,
        ];
        for (place, altered) in altered.into_iter().enumerate() {
            assert!(alter(altered).is_err(), "{place}");
        }
        assert!(page(entry.clone(), &[&block, &[0]]).is_err());
        assert!(page(entry.clone(), &[]).is_err());
        assert!(Entries::new(11, 10).is_err());
        let mut entries = Entries::new(1, 10).unwrap();
        assert!(entries.add(&block).is_err());
        assert!(entries.finish().is_err());
        // A later form is told as such, so that the replica stops there and skips nothing.
        let mut later = block.clone();
        if let Some(version) = later.first_mut() {
            *version = 99;
        }
        let error = decoded(Revision(7), &later).unwrap_err();
        assert!(
            matches!(error, CallError::NewerFormat { version: 99, .. }),
            "{error}"
        );
    }
}
