//! What a store writes with a commit: its entry, and what an erasure leaves of earlier ones.

use super::entry::{Body, Entry, Header, Kind, Part};
use crate::commit::draft::Decided;
use crate::error::StoreError;
use crate::store::StoreIdentity;

/// Which log entries are made for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    pub(crate) identity: StoreIdentity,
    /// The revision after which it begins.
    pub(crate) begin: u64,
}

impl Log {
    /// The index of the entry of a revision after the log's beginning.
    pub(crate) fn index_of(&self, revision: u64) -> u64 {
        revision.saturating_sub(self.begin).saturating_sub(1)
    }

    /// The entry of a commit. Takes the parts that were collected for it.
    pub(crate) fn entry(&self, decided: &mut Decided<'_>) -> Result<Entry, StoreError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| StoreError::Unavailable {
            detail: "the system gives no random numbers",
            source: error.to_string().into(),
        })?;
        let header = Header {
            index: self.index_of(decided.committed.revision.0),
            revision: decided.committed.revision,
            time: decided.committed.time,
            store: self.identity.store,
            history: self.identity.history,
            kind: decided.kind,
            part_count: 0,
        };
        let parts = std::mem::take(&mut decided.parts);
        Ok(Entry::new(header, &Body::Whole { seed, parts }))
    }
}

/// The kind of a commit that left these parts.
pub(crate) fn kind(is_housekeeping: bool, parts: &[Part]) -> Kind {
    let mut kind = Kind::Relationships;
    for part in parts {
        kind = match (part, kind) {
            (Part::Erased(_), _) | (_, Kind::Erasure) => Kind::Erasure,
            (Part::Schema { .. }, _) | (_, Kind::Schema) => Kind::Schema,
            (Part::Record { .. }, _) | (_, Kind::Administration) => Kind::Administration,
            (
                Part::Actor(_)
                | Part::Reason(_)
                | Part::Metadata(_)
                | Part::Origin(_)
                | Part::Relationship { .. },
                Kind::Relationships | Kind::Housekeeping,
            ) => kind,
        };
    }
    if is_housekeeping {
        Kind::Housekeeping
    } else {
        kind
    }
}
