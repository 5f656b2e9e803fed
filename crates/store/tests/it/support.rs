//! What the tests share: requests in one line, and a runtime to wait with.

use model::{Operation, RelationshipUpdate, Revision, Timestamp};
use store::{Base, ChangeRequest, CommitRequest, LogEntry, LogQuery, Provenance, Store};

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

pub(crate) fn update(operation: Operation, text: &str) -> ChangeRequest {
    ChangeRequest::Relationship(RelationshipUpdate {
        operation,
        relationship: text.parse().unwrap(),
    })
}

/// A request on a store without a schema.
pub(crate) fn request(changes: Vec<ChangeRequest>) -> CommitRequest {
    CommitRequest {
        base: Base::of_schema(Revision(0)),
        preconditions: Vec::new(),
        changes,
        idempotency_key: None,
        provenance: Provenance {
            actor: "test".to_owned(),
            reason: None,
            metadata: None,
            origin: None,
        },
        now: Timestamp::EPOCH,
    }
}

pub(crate) fn log(store: &dyn Store, after: u64) -> Vec<LogEntry> {
    let query = LogQuery {
        after: Revision(after),
        entries_max: usize::MAX,
        bytes_max: usize::MAX,
    };
    block_on(store.log(query)).unwrap()
}
