//! The part of a copy that is the audit log: entry after entry as they are, with their indices and histories.

use model::Revision;

use super::{BYTES_MAX, CopyError, CopyProgress, ENTRIES_MAX, Next, Source, Target};
use crate::audit::erasures::Erasures;
use crate::audit::{AuditQuery, StoredCheckpoint};
use crate::error::StoreError;

/// How far the audit log was copied.
pub(super) struct AuditCopy {
    /// The revision after which it begins; none for a store that has no audit log yet.
    begin: Option<u64>,
    /// How many entries were copied.
    size: u64,
    /// What was erased of them.
    erasures: Erasures,
}

impl AuditCopy {
    pub(super) fn begin(source: &dyn Source, target: &mut dyn Target) -> Result<Self, CopyError> {
        let begin = source.audit_state()?.map(|state| state.begin);
        if let Some(begin) = begin {
            target.audit_begin(begin)?;
        }
        Ok(Self {
            begin,
            size: 0,
            erasures: Erasures::default(),
        })
    }

    /// Whether more is to be copied before the copy can be finished: of what is gone, entries that are not copied yet may say who
    /// erased it.
    ///
    /// # Errors
    /// [`CopyError::Erasing`] if that was so too often.
    pub(super) fn goes_on(&mut self) -> Result<bool, CopyError> {
        self.erasures.read_on().map_err(CopyError::Erasing)
    }

    /// Copies the entries up to those of `until`, the newest commit that was copied.
    pub(super) fn follow(
        &mut self,
        source: &dyn Source,
        target: &mut dyn Target,
        until: Revision,
        progress: &mut dyn FnMut(CopyProgress) -> Next,
    ) -> Result<(), CopyError> {
        let Some(begin) = self.begin else {
            // That of the copy begins with the first commit after it.
            return target.audit_begin(until.0);
        };
        let size = until.0.saturating_sub(begin);
        while self.size < size {
            let left = usize::try_from(size - self.size).unwrap_or(usize::MAX);
            let entries = source.audit_entries(query(self.size, left))?;
            let is_next = entries
                .first()
                .is_some_and(|entry| entry.index == self.size);
            if !is_next {
                return Err(missing(self.size).into());
            }
            target.audit_entries(&entries)?;
            for entry in &entries {
                // What cannot be read is copied as it is; verifying the copy says so, as with the original.
                if let Ok(body) = entry.body() {
                    self.erasures.meet(entry.index, &body);
                }
            }
            self.erase(source, target)?;
            self.size += entries.len() as u64;
            progress(CopyProgress::Audit(self.size));
        }
        Ok(())
    }

    /// Takes over what is said to be erased from entries that were copied as they were before.
    fn erase(&mut self, source: &dyn Source, target: &mut dyn Target) -> Result<(), CopyError> {
        for index in self.erasures.to_read_again() {
            let entries = source.audit_entries(query(index, 1))?;
            let found = entries.first().filter(|found| found.index == index);
            let found = found.ok_or_else(|| missing(index))?;
            target.audit_erased(found)?;
            if let Ok(body) = found.body() {
                self.erasures.meet_again(index, &body);
            }
        }
        Ok(())
    }

    /// Copies the checkpoints of what was copied.
    pub(super) fn finish(
        &self,
        source: &dyn Source,
        target: &mut dyn Target,
    ) -> Result<(), CopyError> {
        if self.begin.is_none() {
            return Ok(());
        }
        let mut after = 0;
        loop {
            let mut checkpoints = source.audit_checkpoints(after, ENTRIES_MAX)?;
            checkpoints.retain(|checkpoint| checkpoint.size <= self.size);
            let Some(StoredCheckpoint { size, .. }) = checkpoints.last() else {
                return Ok(());
            };
            after = *size;
            target.audit_checkpoints(&checkpoints)?;
        }
    }
}

fn query(from: u64, entries_max: usize) -> AuditQuery {
    AuditQuery {
        from,
        entries_max: entries_max.min(ENTRIES_MAX),
        bytes_max: BYTES_MAX,
    }
}

fn missing(index: u64) -> StoreError {
    StoreError::Corrupt {
        detail: format!("the audit log lacks its entry {index}"),
    }
}
