//! The log of a server, which may be in use while it is read.

use remit_client::Client;
use remit_client::proto::remit::v1::{AuditCheckpoint, ListAuditCheckpointsRequest};
use store::audit::{Entry, Hash};

use super::{entries, hash_of, state};
use crate::client;

/// What is asked of the log.
pub(super) trait Log {
    /// How many entries it has, and the root over them.
    async fn state(&self) -> anyhow::Result<(u64, Hash)>;

    /// The next entries from an index on, at most so many, or as many as come at once for 0; none past the end.
    async fn entries(&self, from: u64, entries_max: u32) -> anyhow::Result<Vec<Entry>>;

    /// Every checkpoint of up to `size` entries.
    async fn checkpoints(&self, size: u64) -> anyhow::Result<Vec<AuditCheckpoint>>;

    /// The entry of an index; none if there is none.
    async fn entry(&self, index: u64) -> anyhow::Result<Option<Entry>> {
        let entries = self.entries(index, 1).await?;
        Ok(entries.into_iter().find(|entry| entry.index == index))
    }
}

impl Log for Client {
    async fn state(&self) -> anyhow::Result<(u64, Hash)> {
        let state = state(self).await?;
        Ok((state.size, hash_of(&state.root)?))
    }

    async fn entries(&self, from: u64, entries_max: u32) -> anyhow::Result<Vec<Entry>> {
        entries(self, from, entries_max).await
    }

    async fn checkpoints(&self, size: u64) -> anyhow::Result<Vec<AuditCheckpoint>> {
        let mut all: Vec<AuditCheckpoint> = Vec::new();
        loop {
            let after = all.last().map_or(0, |last| last.size);
            let request = ListAuditCheckpointsRequest { after };
            let page = self.audit().list_audit_checkpoints(request).await;
            let page = page
                .map_err(|status| client::refused(&status))?
                .into_inner();
            let before = all.len();
            let page = page.checkpoints.into_iter();
            all.extend(page.filter(|checkpoint| (after + 1..=size).contains(&checkpoint.size)));
            if all.len() == before {
                return Ok(all);
            }
        }
    }
}

#[cfg(test)]
mod tests;
