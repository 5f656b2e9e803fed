//! The naive store: a list of entries and a map of rows, in memory, without a thread. It keeps the contract of every store,
//! and one that follows nothing but its calls replays.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard};

use model::{
    CommitHash, HistoryId, Operation, Precondition, Relationship, RelationshipFilter,
    RelationshipKey, Revision, StoreId, Timestamp, Token,
};
use store::commit::canonical;
use store::{
    ChangeRequest, CommitError, CommitRequest, Committed, Head, LogEntry, LogError, LogQuery,
    Position, Record, RecordChange, RecordKey, ScanHeader, ScanRow, SchemaChange, Store,
    StoreError, StoreFuture, StoreIdentity, StoredSchema, TokenRefused, TokenVerdict, Trimmed,
};
use tokio::sync::watch;

pub(crate) struct ModelStore {
    identity: StoreIdentity,
    state: Mutex<State>,
    news: watch::Sender<Revision>,
}

#[derive(Debug, Clone, Default)]
struct State {
    log: Vec<Logged>,
    rows: BTreeMap<RelationshipKey, Row>,
    records: BTreeMap<RecordKey, Vec<u8>>,
    /// Every schema, oldest first; trimming forgets none.
    schemas: Vec<StoredSchema>,
    is_closed: bool,
}

#[derive(Debug, Clone)]
struct Row {
    relationship: Relationship,
    revision: Revision,
}

#[derive(Debug, Clone)]
struct Logged {
    entry: LogEntry,
    committed: Committed,
    digest: [u8; 32],
    key: Option<store::IdempotencyKey>,
    /// The schema's revision after it.
    schema_revision: Revision,
}

impl ModelStore {
    pub(crate) fn new(store: StoreId, history: HistoryId) -> Self {
        Self::of(StoreIdentity { store, history }, State::default())
    }

    fn of(identity: StoreIdentity, state: State) -> Self {
        Self {
            identity,
            news: watch::Sender::new(state.head().revision),
            state: Mutex::new(state),
        }
    }

    /// A standby that lags: the same store and history, up to `last`.
    pub(crate) fn standby(&self, last: Revision) -> Self {
        let mut state = State::default();
        for logged in &self.lock().log {
            if logged.entry.revision <= last {
                state.fold(logged.clone());
            }
        }
        Self::of(self.identity, state)
    }

    /// The whole log.
    pub(crate) fn entries(&self) -> Vec<LogEntry> {
        let state = self.lock();
        state
            .log
            .iter()
            .map(|logged| logged.entry.clone())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Does `work` at once, unless the store is closed.
    fn now<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut State, StoreIdentity) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(StoreError::Closed.into());
        }
        work(&mut state, self.identity)
    }

    pub(crate) fn commit_now(&self, request: &CommitRequest) -> Result<Committed, CommitError> {
        let committed = self.now(|state, _| state.commit(request))?;
        self.news
            .send_modify(|head| *head = (*head).max(committed.revision));
        Ok(committed)
    }

    pub(crate) fn head_now(&self) -> Result<Head, StoreError> {
        self.now(|state, _| Ok(state.head()))
    }

    pub(crate) fn log_now(&self, query: LogQuery) -> Result<Vec<LogEntry>, LogError> {
        self.now(|state, _| state.log(query))
    }

    pub(crate) fn schema_now(
        &self,
        at: Option<Revision>,
    ) -> Result<Option<StoredSchema>, LogError> {
        self.now(|state, _| state.schema(at))
    }

    pub(crate) fn token_now(&self, at: Revision) -> Result<Token, LogError> {
        self.now(|state, identity| state.token(identity, at))
    }

    pub(crate) fn verify_now(&self, token: Token) -> Result<TokenVerdict, TokenRefused> {
        self.now(|state, identity| state.verify(identity, token))
    }

    pub(crate) fn trim_now(&self, before: Timestamp) -> Result<Trimmed, StoreError> {
        self.now(|state, _| Ok(state.trim(before)))
    }
}

impl State {
    fn head(&self) -> Head {
        self.log.last().map_or(Head::EMPTY, |last| Head {
            revision: last.entry.revision,
            time: last.entry.time,
            hash: last.entry.hash,
            schema_revision: last.schema_revision,
        })
    }

    fn commit(&mut self, request: &CommitRequest) -> Result<Committed, CommitError> {
        let digest = canonical::request_digest(request);
        if let Some(key) = &request.idempotency_key
            && let Some(first) = self
                .log
                .iter()
                .find(|logged| logged.key.as_ref() == Some(key))
        {
            return match first.digest == digest {
                true => Ok(Committed {
                    replayed: true,
                    ..first.committed
                }),
                false => Err(CommitError::IdempotencyKeyReused { key: key.clone() }),
            };
        }
        let head = self.head();
        let known = request.base.known;
        let is_there = known == Position::START
            || known.revision < self.oldest()
            || self
                .log
                .iter()
                .any(|logged| logged.committed.position() == known);
        if !is_there {
            let detail = format!("it does not have revision {}", known.revision);
            return Err(StoreError::Diverged { detail }.into());
        }
        let is_moved = request.base.schema_revision != head.schema_revision
            || (request.base.is_evaluated && known.revision != head.revision);
        if is_moved {
            return Err(CommitError::Conflict {
                head: head.revision,
            });
        }
        let mut work = Work {
            time: request.now.max(head.time),
            revision: head.revision.next(),
            rows: self.rows.clone(),
            records: self.records.clone(),
            order: Vec::new(),
            record_order: Vec::new(),
            schema: None,
            deleted_count: 0,
            deletion_complete: true,
        };
        for (index, precondition) in request.preconditions.iter().enumerate() {
            let is_match = !work.live(precondition.filter()).is_empty();
            if is_match != matches!(precondition, Precondition::MustMatch(_)) {
                return Err(CommitError::PreconditionFailed {
                    index,
                    precondition: Box::new(precondition.clone()),
                });
            }
        }
        for change in &request.changes {
            work.change(change)?;
        }
        Ok(self.finish(head, work, request, digest))
    }

    fn finish(
        &mut self,
        head: Head,
        work: Work,
        request: &CommitRequest,
        digest: [u8; 32],
    ) -> Committed {
        let row = |rows: &BTreeMap<RelationshipKey, Row>, key| {
            rows.get(key).map(|row: &Row| row.relationship.clone())
        };
        let changes = work.order.iter().map(|key| store::Change {
            before: row(&self.rows, key),
            after: row(&work.rows, key),
        });
        let records = work.record_order.iter().map(|key| RecordChange {
            key: key.clone(),
            before: self.records.get(key).cloned(),
            after: work.records.get(key).cloned(),
        });
        let current = self.schemas.last().map(|schema| schema.text.clone());
        let schema = work.schema.filter(|text| current.as_ref() != Some(text));
        let mut entry = LogEntry {
            revision: work.revision,
            time: work.time,
            hash: CommitHash::ZERO,
            previous: head.hash,
            provenance: request.provenance.clone(),
            changes: changes
                .filter(|change| change.before != change.after)
                .collect(),
            records: records
                .filter(|change| change.before != change.after)
                .collect(),
            schema: schema.map(|after| SchemaChange {
                before: current,
                after,
            }),
            housekeeping: is_housekeeping(&request.changes),
        };
        entry.hash = entry.computed_hash();
        let committed = Committed {
            revision: entry.revision,
            time: entry.time,
            hash: entry.hash,
            deleted_count: work.deleted_count,
            deletion_complete: work.deletion_complete,
            replayed: false,
        };
        let is_schema = entry.schema.is_some();
        self.fold(Logged {
            schema_revision: if is_schema {
                entry.revision
            } else {
                head.schema_revision
            },
            key: request.idempotency_key.clone(),
            entry,
            committed,
            digest,
        });
        committed
    }

    /// Takes in the next entry.
    fn fold(&mut self, logged: Logged) {
        let entry = &logged.entry;
        for change in &entry.changes {
            match (&change.before, &change.after) {
                (_, Some(after)) => {
                    let row = Row {
                        relationship: after.clone(),
                        revision: entry.revision,
                    };
                    self.rows.insert(after.key(), row);
                }
                (Some(before), None) => drop(self.rows.remove(&before.key())),
                (None, None) => {}
            }
        }
        for change in &entry.records {
            match &change.after {
                Some(value) => drop(self.records.insert(change.key.clone(), value.clone())),
                None => drop(self.records.remove(&change.key)),
            }
        }
        self.schemas
            .extend(entry.schema.iter().map(|schema| StoredSchema {
                revision: entry.revision,
                text: schema.after.clone(),
            }));
        self.log.push(logged);
    }

    fn oldest(&self) -> Revision {
        self.log
            .first()
            .map_or(Revision(0), |first| first.entry.revision)
    }

    fn check_reach(&self, at: Revision) -> Result<(), LogError> {
        let (oldest, head) = (self.oldest(), self.head().revision);
        if at > head {
            return Err(LogError::BeyondHead { head });
        }
        if at.next() < oldest {
            return Err(LogError::Trimmed { oldest });
        }
        Ok(())
    }

    fn log(&self, query: LogQuery) -> Result<Vec<LogEntry>, LogError> {
        self.check_reach(query.after)?;
        let entries = self.log.iter().map(|logged| &logged.entry);
        let mut bytes = 0usize;
        let page = entries
            .filter(|entry| entry.revision > query.after)
            .take(query.entries_max)
            .enumerate()
            .take_while(|(place, entry)| {
                let block = canonical::encode_changes(&entry.changes, &entry.records).len();
                let metadata = entry.provenance.metadata.as_ref().map_or(0, String::len);
                bytes = bytes.saturating_add(block + metadata);
                *place == 0 || bytes <= query.bytes_max
            });
        Ok(page.map(|(_, entry)| entry.clone()).collect())
    }

    fn schema(&self, at: Option<Revision>) -> Result<Option<StoredSchema>, LogError> {
        let at = at.unwrap_or(self.head().revision);
        self.check_reach(at)?;
        let mut newest_first = self.schemas.iter().rev();
        Ok(newest_first.find(|schema| schema.revision <= at).cloned())
    }

    fn hash(&self, at: Revision) -> Option<CommitHash> {
        if at == Revision(0) {
            return Some(CommitHash::ZERO);
        }
        let mut entries = self.log.iter().map(|logged| &logged.entry);
        entries
            .find(|entry| entry.revision == at)
            .map(|entry| entry.hash)
    }

    fn token(&self, identity: StoreIdentity, at: Revision) -> Result<Token, LogError> {
        if at > self.head().revision {
            return Err(LogError::BeyondHead {
                head: self.head().revision,
            });
        }
        let hash = self.hash(at).ok_or(LogError::Trimmed {
            oldest: self.oldest(),
        })?;
        Ok(identity.token(at, &hash))
    }

    fn verify(&self, identity: StoreIdentity, token: Token) -> Result<TokenVerdict, TokenRefused> {
        if token.store != identity.store {
            return Err(TokenRefused::OtherStore);
        }
        if token.history != identity.history {
            return Err(TokenRefused::OtherHistory);
        }
        let (at, head) = (token.revision, self.head().revision);
        if at > head {
            return Err(TokenRefused::BeyondHead { head });
        }
        match self.hash(at) {
            None => Ok(TokenVerdict::Old(at)),
            Some(hash) if hash.short() == token.hash => Ok(TokenVerdict::Known(at)),
            Some(_) => Err(TokenRefused::HashMismatch { revision: at }),
        }
    }

    fn trim(&mut self, before: Timestamp) -> Trimmed {
        let (count, head) = (self.log.len(), self.head().revision);
        self.log
            .retain(|logged| logged.entry.time >= before || logged.entry.revision == head);
        Trimmed {
            entries: (count - self.log.len()) as u64,
            oldest: self.oldest(),
        }
    }
}

/// A commit that is being worked out: the store as it would be after it.
struct Work {
    time: Timestamp,
    revision: Revision,
    rows: BTreeMap<RelationshipKey, Row>,
    records: BTreeMap<RecordKey, Vec<u8>>,
    /// What was changed, in the order of the first change.
    order: Vec<RelationshipKey>,
    record_order: Vec<RecordKey>,
    schema: Option<String>,
    deleted_count: u64,
    deletion_complete: bool,
}

impl Work {
    fn live(&self, filter: &RelationshipFilter) -> Vec<RelationshipKey> {
        let rows = self.rows.iter().filter(|(_, row)| {
            !row.relationship.is_expired(self.time) && filter.matches(&row.relationship)
        });
        rows.map(|(key, _)| key.clone()).collect()
    }

    fn change(&mut self, change: &ChangeRequest) -> Result<(), CommitError> {
        match change {
            ChangeRequest::Relationship(update) => {
                return self.update(update.operation, &update.relationship);
            }
            ChangeRequest::DeleteMatching {
                filter,
                limit,
                partial,
            } => {
                let keys = self.live(filter);
                if let Some(limit) = *limit
                    && keys.len() > limit as usize
                    && !partial
                {
                    return Err(CommitError::TooManyToDelete {
                        filter: Box::new(filter.clone()),
                        limit,
                    });
                }
                self.remove(keys, limit.unwrap_or(u32::MAX));
            }
            ChangeRequest::RemoveExpired { before, limit } => {
                let until = self.time.min(*before);
                let rows = self.rows.iter();
                let mut expired: Vec<_> = rows
                    .filter(|(_, row)| row.relationship.is_expired(until))
                    .map(|(key, row)| (row.relationship.expires_at, key.clone()))
                    .collect();
                expired.sort_unstable();
                self.remove(expired.into_iter().map(|(_, key)| key).collect(), *limit);
            }
            ChangeRequest::Record { key, value } => {
                if !self.record_order.contains(key) {
                    self.record_order.push(key.clone());
                }
                match value {
                    Some(value) => drop(self.records.insert(key.clone(), value.clone())),
                    None => drop(self.records.remove(key)),
                }
            }
            ChangeRequest::Schema(text) => self.schema = Some(text.clone()),
            // It has no audit log.
            ChangeRequest::Erase(_) => {}
        }
        Ok(())
    }

    fn update(
        &mut self,
        operation: Operation,
        relationship: &Relationship,
    ) -> Result<(), CommitError> {
        let key = relationship.key();
        let found = self.rows.get(&key).map(|row| &row.relationship);
        let is_live = found.is_some_and(|row| !row.is_expired(self.time));
        match operation {
            Operation::Create if is_live => {
                return Err(CommitError::AlreadyExists(Box::new(key)));
            }
            Operation::Create | Operation::Touch => {
                if found != Some(relationship) {
                    let row = Row {
                        relationship: relationship.clone(),
                        revision: self.revision,
                    };
                    self.rows.insert(key.clone(), row);
                    self.note(key);
                }
            }
            Operation::Delete if is_live => {
                self.rows.remove(&key);
                self.note(key);
            }
            Operation::Delete => {}
        }
        Ok(())
    }

    fn remove(&mut self, mut keys: Vec<RelationshipKey>, limit: u32) {
        self.deletion_complete &= keys.len() <= limit as usize;
        keys.truncate(limit as usize);
        self.deleted_count += keys.len() as u64;
        for key in keys {
            self.rows.remove(&key);
            self.note(key);
        }
    }

    fn note(&mut self, key: RelationshipKey) {
        if !self.order.contains(&key) {
            self.order.push(key);
        }
    }
}

fn is_housekeeping(changes: &[ChangeRequest]) -> bool {
    let removes = |change: &ChangeRequest| matches!(change, ChangeRequest::RemoveExpired { .. });
    !changes.is_empty() && changes.iter().all(removes)
}

impl Store for ModelStore {
    fn identity(&self) -> StoreIdentity {
        self.identity
    }

    fn commit(&self, request: CommitRequest) -> StoreFuture<'_, Result<Committed, CommitError>> {
        Box::pin(async move { self.commit_now(&request) })
    }

    fn head(&self) -> StoreFuture<'_, Result<Head, StoreError>> {
        Box::pin(async { self.head_now() })
    }

    fn head_watch(&self) -> watch::Receiver<Revision> {
        self.news.subscribe()
    }

    fn schema(
        &self,
        at: Option<Revision>,
    ) -> StoreFuture<'_, Result<Option<StoredSchema>, LogError>> {
        Box::pin(async move { self.schema_now(at) })
    }

    fn log(&self, query: LogQuery) -> StoreFuture<'_, Result<Vec<LogEntry>, LogError>> {
        Box::pin(async move { self.log_now(query) })
    }

    fn token(&self, revision: Revision) -> StoreFuture<'_, Result<Token, LogError>> {
        Box::pin(async move { self.token_now(revision) })
    }

    fn verify(&self, token: Token) -> StoreFuture<'_, Result<TokenVerdict, TokenRefused>> {
        Box::pin(async move { self.verify_now(token) })
    }

    fn scan(
        &self,
        sink: &mut dyn FnMut(&ScanHeader, ScanRow<'_>) -> ControlFlow<()>,
    ) -> Result<ScanHeader, StoreError> {
        let state = self.now(|state, _| Ok::<_, StoreError>(state.clone()))?;
        let records = state.records.iter().map(|(key, value)| Record {
            key: key.clone(),
            value: value.clone(),
        });
        let header = ScanHeader {
            head: state.head(),
            schema: state.schemas.last().cloned(),
            records: records.collect(),
        };
        for row in state.rows.values() {
            let relationship = &row.relationship;
            let (resource, subject) = (&relationship.resource, &relationship.subject);
            let caveat = relationship.caveat.as_ref();
            let caveat = caveat.map(|caveat| (caveat.name.as_str(), caveat.context.to_json()));
            let row = ScanRow {
                resource_definition: resource.definition.as_str(),
                resource_id: resource.id.as_str(),
                relation: relationship.relation.as_str(),
                subject_definition: subject.definition.as_str(),
                subject_id: subject.id.as_str(),
                subject_relation: subject.relation.as_ref().map_or("", |name| name.as_str()),
                caveat: caveat
                    .as_ref()
                    .map(|(name, context)| (*name, context.as_str())),
                expires_at: relationship.expires_at,
                revision: row.revision,
            };
            if sink(&header, row).is_break() {
                break;
            }
        }
        Ok(header)
    }

    fn trim(&self, before: Timestamp) -> StoreFuture<'_, Result<Trimmed, StoreError>> {
        Box::pin(async move { self.trim_now(before) })
    }

    fn close(&self) -> StoreFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            self.now(|state, _| {
                state.is_closed = true;
                Ok(())
            })
        })
    }
}

mod contract {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, Ordering};

    use store::contract::{Harness, run};

    use super::*;

    #[test]
    fn the_naive_store_keeps_the_contract() {
        run(&Naive(AtomicU8::new(0)));
    }

    struct Naive(AtomicU8);

    impl Naive {
        fn number(&self) -> [u8; 8] {
            [self.0.fetch_add(1, Ordering::Relaxed) + 1; 8]
        }
    }

    impl Harness for Naive {
        fn make(&self) -> Arc<dyn Store> {
            Arc::new(ModelStore::new(StoreId(self.number()), HistoryId([9; 8])))
        }

        fn has_audit(&self) -> bool {
            false
        }

        fn reopen(&self, _: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
            None
        }

        fn copy(&self, store: &dyn Store) -> Option<Arc<dyn Store>> {
            let copied = store.backup(std::path::Path::new(""), &mut |_| {});
            assert!(matches!(copied, Err(store::BackupError::Unsupported)));
            None
        }
    }
}
