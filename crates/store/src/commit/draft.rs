//! What a commit becomes while a store decides it: the rules of [`crate::commit`] that need no store to be told.
//!
//! A store finds the rows and writes them; a [`Draft`] says whether the request may go on, what is written, and in the end
//! what the log keeps.

use std::collections::HashMap;

use model::{CommitHash, Relationship, RelationshipFilter, Revision, Timestamp};

use super::canonical::{self, EntryHeader};
use super::changes::{ChangeSet, Found};
use super::{
    Base, ChangeRequest, CommitRequest, Committed, IdempotencyKey, LogEntry, Position,
    RecordChange, RecordKey,
};
use crate::audit::write::kind;
use crate::audit::{ErasedParts, Kind, Part};
use crate::error::{CommitError, StoreError};
use crate::store::Head;

/// The most bytes of changes in one entry; SQLite and PostgreSQL themselves end at a thousand million.
pub(crate) const ENTRY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A commit that is being decided.
pub(crate) struct Draft<'a> {
    /// The revision that it gets.
    pub(crate) revision: Revision,
    /// The time that it gets, at which rows count as expired.
    pub(crate) time: Timestamp,
    changes: ChangeSet,
    records: Vec<RecordChange>,
    record_places: HashMap<RecordKey, usize>,
    schema: Option<&'a str>,
    erased: Vec<ErasedParts>,
    deleted_count: u64,
    deletion_complete: bool,
}

/// A commit that is decided, and not written yet.
pub(crate) struct Decided<'a> {
    /// The log's entry but for its changes.
    pub(crate) header: EntryHeader<'a>,
    /// The changes, as the log keeps them.
    pub(crate) block: Vec<u8>,
    pub(crate) committed: Committed,
    /// The head after it.
    pub(crate) head: Head,
    /// Rows that came back as they were before the commit, with the revisions that they had.
    pub(crate) restored: Vec<Found>,
    /// What the audit log says of it.
    pub(crate) kind: Kind,
    pub(crate) parts: Vec<Part>,
}

impl<'a> Decided<'a> {
    /// An entry of another store's log, to be written as it is. `schema_revision` is of the head before it.
    pub(crate) fn of_entry(entry: &'a LogEntry, schema_revision: Revision) -> Self {
        let header = EntryHeader {
            previous: entry.previous,
            revision: entry.revision,
            time: entry.time,
            housekeeping: entry.housekeeping,
            provenance: &entry.provenance,
            schema: entry.schema.as_ref().map(|schema| schema.after.as_str()),
        };
        Self {
            block: canonical::encode_changes(&entry.changes, &entry.records),
            committed: Committed {
                revision: entry.revision,
                time: entry.time,
                hash: entry.hash,
                // Only an idempotency key brings these back, and those stay behind.
                deleted_count: 0,
                deletion_complete: true,
                replayed: false,
            },
            head: Head {
                revision: entry.revision,
                time: entry.time,
                hash: entry.hash,
                schema_revision: match header.schema {
                    Some(_) => entry.revision,
                    None => schema_revision,
                },
            },
            restored: Vec::new(),
            // A copy takes the audit log along as it is.
            kind: Kind::Relationships,
            parts: Vec::new(),
            header,
        }
    }
}

impl<'a> Draft<'a> {
    /// Begins the commit after `head`, at `now` or the time of the head. `stored` is the hash that the log has at the revision which `request` knows, if it
    /// reaches back that far.
    ///
    /// # Errors
    /// [`StoreError::Diverged`] if that is another commit, [`CommitError::Conflict`] if the base of `request` has moved.
    pub(crate) fn begin(
        head: Head,
        request: &CommitRequest,
        now: Timestamp,
        stored: Option<CommitHash>,
    ) -> Result<Self, CommitError> {
        check_branch(head, request.base.known, stored)?;
        check_base(head, request.base)?;
        Ok(Self {
            revision: head.revision.next(),
            time: now.max(head.time),
            changes: ChangeSet::default(),
            records: Vec::new(),
            record_places: HashMap::new(),
            schema: None,
            erased: Vec::new(),
            deleted_count: 0,
            deletion_complete: true,
        })
    }

    /// Takes in a row where none was.
    pub(crate) fn add(&mut self, relationship: &Relationship) {
        self.changes
            .record(None, Some(relationship.clone()), self.revision);
    }

    /// Takes in a row in place of `found`; whether there is anything to write.
    ///
    /// # Errors
    /// [`CommitError::AlreadyExists`] if it is to be created and the one found has not expired.
    pub(crate) fn replace(
        &mut self,
        found: Found,
        relationship: &Relationship,
        is_create: bool,
    ) -> Result<bool, CommitError> {
        if is_create && !found.relationship.is_expired(self.time) {
            return Err(CommitError::AlreadyExists(Box::new(relationship.key())));
        }
        if found.relationship == *relationship {
            return Ok(false);
        }
        self.changes
            .record(Some(found), Some(relationship.clone()), self.revision);
        Ok(true)
    }

    /// Takes in that a row was deleted by its key.
    pub(crate) fn delete(&mut self, found: Found) {
        self.changes.record(Some(found), None, self.revision);
    }

    /// Takes in that a row was deleted because it matches a pattern or has expired.
    pub(crate) fn sweep(&mut self, found: Found) {
        self.deleted_count += 1;
        self.delete(found);
    }

    /// Cuts the rows that match `filter`, in the order of their keys and one more than `limit`, to those that go.
    ///
    /// # Errors
    /// [`CommitError::TooManyToDelete`] if there are more than the limit, and the deletion may not be partial.
    pub(crate) fn cut_matching(
        &mut self,
        found: &mut Vec<Found>,
        filter: &RelationshipFilter,
        limit: Option<u32>,
        is_partial: bool,
    ) -> Result<(), CommitError> {
        if let Some(limit) = limit
            && cut(found, limit)
        {
            if !is_partial {
                return Err(CommitError::TooManyToDelete {
                    filter: Box::new(filter.clone()),
                    limit,
                });
            }
            self.deletion_complete = false;
        }
        Ok(())
    }

    /// Cuts expired rows, one more than `limit`, to those that go.
    pub(crate) fn cut_expired(&mut self, found: &mut Vec<Found>, limit: u32) {
        self.deletion_complete &= !cut(found, limit);
    }

    /// Takes in that a record was `before` and is `after`.
    pub(crate) fn record(
        &mut self,
        key: &RecordKey,
        before: Option<Vec<u8>>,
        after: Option<Vec<u8>>,
    ) {
        let next = self.records.len();
        let place = *self.record_places.entry(key.clone()).or_insert(next);
        match self.records.get_mut(place) {
            Some(earlier) => earlier.after = after,
            None => self.records.push(RecordChange {
                key: key.clone(),
                before,
                after,
            }),
        }
    }

    /// Takes in the text of a schema; the last one counts.
    pub(crate) fn schema(&mut self, text: &'a str) {
        self.schema = Some(text);
    }

    /// Takes in that parts of the audit log are erased.
    pub(crate) fn erase(&mut self, erased: &[ErasedParts]) {
        self.erased.extend_from_slice(erased);
    }

    /// The text of the schema that the commit sets, whether or not it is the one that is there.
    pub(crate) fn new_schema(&self) -> Option<&'a str> {
        self.schema
    }

    /// Ends the commit. Where there is a [`Self::new_schema`], `current_schema` is the one that is there.
    ///
    /// # Errors
    /// [`CommitError::TooLarge`] if the log cannot hold its changes.
    pub(crate) fn finish(
        mut self,
        head: Head,
        request: &'a CommitRequest,
        current_schema: Option<String>,
    ) -> Result<Decided<'a>, CommitError> {
        let (changes, restored) = self.changes.finish();
        self.records.retain(|change| change.before != change.after);
        let block = canonical::encode_changes(&changes, &self.records);
        check_size(block.len())?;
        let schema = self
            .schema
            .filter(|text| current_schema.as_deref() != Some(*text));
        let housekeeping = is_housekeeping(&request.changes);
        let provenance = &request.provenance;
        let mut parts = vec![
            Part::Actor(provenance.actor.clone()),
            Part::Reason(provenance.reason.clone()),
            Part::Metadata(provenance.metadata.clone()),
            Part::Origin(provenance.origin.clone()),
        ];
        parts.extend(schema.map(|after| Part::Schema {
            before: current_schema,
            after: after.to_owned(),
        }));
        parts.extend(self.records.iter().map(Part::of_record));
        parts.extend(changes.iter().map(Part::of_change));
        if !self.erased.is_empty() {
            parts.push(Part::Erased(self.erased));
        }
        let header = EntryHeader {
            previous: head.hash,
            revision: self.revision,
            time: self.time,
            housekeeping,
            provenance,
            schema,
        };
        let committed = Committed {
            revision: self.revision,
            time: self.time,
            hash: header.hash(&block),
            deleted_count: self.deleted_count,
            deletion_complete: self.deletion_complete,
            replayed: false,
        };
        let head = Head {
            revision: self.revision,
            time: self.time,
            hash: committed.hash,
            schema_revision: match schema {
                Some(_) => self.revision,
                None => head.schema_revision,
            },
        };
        Ok(Decided {
            header,
            block,
            committed,
            head,
            restored,
            kind: kind(housekeeping, &parts),
            parts,
        })
    }
}

/// The answer to a request whose idempotency key `of_digest` had, whose result was `first`.
///
/// # Errors
/// [`CommitError::IdempotencyKeyReused`] if it was another request.
pub(crate) fn replay(
    key: &IdempotencyKey,
    request: &CommitRequest,
    of_digest: &[u8],
    first: Committed,
) -> Result<Committed, CommitError> {
    if of_digest != canonical::request_digest(request) {
        return Err(CommitError::IdempotencyKeyReused { key: key.clone() });
    }
    Ok(Committed {
        replayed: true,
        ..first
    })
}

/// The idempotency key of a request as the log keeps it: with the digest by which a repetition is known.
pub(crate) fn kept_key(request: &CommitRequest) -> Option<(&str, [u8; 32])> {
    let key = request.idempotency_key.as_ref()?;
    Some((key.as_str(), canonical::request_digest(request)))
}

/// Refuses changes of more bytes than one entry may have.
pub(crate) fn check_size(bytes: usize) -> Result<(), CommitError> {
    if bytes > ENTRY_BYTES_MAX {
        return Err(CommitError::TooLarge {
            bytes,
            bytes_max: ENTRY_BYTES_MAX,
        });
    }
    Ok(())
}

fn check_branch(head: Head, known: Position, stored: Option<CommitHash>) -> Result<(), StoreError> {
    let is_there = match stored {
        _ if known.revision == head.revision => known.hash == head.hash,
        Some(stored) => known.hash == stored,
        // It is before the beginning of the log, which nobody who follows it is; or beyond its end.
        None => known.revision < head.revision,
    };
    if is_there {
        return Ok(());
    }
    Err(StoreError::lacks(known.revision))
}

fn check_base(head: Head, base: Base) -> Result<(), CommitError> {
    let schema_moved = base.schema_revision != head.schema_revision;
    let head_moved = base.is_evaluated && base.known.revision != head.revision;
    if schema_moved || head_moved {
        return Err(CommitError::Conflict {
            head: head.revision,
        });
    }
    Ok(())
}

fn is_housekeeping(changes: &[ChangeRequest]) -> bool {
    !changes.is_empty()
        && changes
            .iter()
            .all(|change| matches!(change, ChangeRequest::RemoveExpired { .. }))
}

/// Cuts `rows` to the limit; whether there were more.
fn cut(rows: &mut Vec<Found>, limit: u32) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_over = rows.len() > limit;
    rows.truncate(limit);
    is_over
}
