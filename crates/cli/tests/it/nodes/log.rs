//! What the log of a server of PostgreSQL holds in the end, read without any node.

use model::{HistoryId, Revision, StoreId, Timestamp};
use store::{LogEntry, LogQuery, PostgresConfig, PostgresStore, Store as _};
use testkit::history::{Branch, Entry};

use super::wire::name_of;

/// The identity of the store, and its log from the first entry.
pub(super) async fn read(url: &str, since: Timestamp) -> ((StoreId, HistoryId), Branch) {
    let config: PostgresConfig = url.parse().unwrap();
    let store = PostgresStore::open(&config).unwrap();
    let query = LogQuery {
        after: Revision(0),
        entries_max: usize::MAX,
        bytes_max: usize::MAX,
    };
    let entries = store.log(query).await.unwrap();
    let identity = store.identity();
    let branch = Branch {
        since,
        entries: entries.into_iter().map(entry).collect(),
    };
    ((identity.store, identity.history), branch)
}

/// An entry as a history has it.
pub(crate) fn entry(entry: LogEntry) -> Entry {
    Entry {
        computed_hash: entry.computed_hash(),
        revision: entry.revision,
        time: entry.time,
        previous: entry.previous,
        hash: entry.hash,
        name: name_of(entry.provenance.metadata.as_deref()),
        changes: entry
            .changes
            .into_iter()
            .map(|change| (change.before, change.after))
            .collect(),
        schema: entry.schema.map(|schema| schema.after),
    }
}
