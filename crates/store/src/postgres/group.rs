//! A group of commits, decided in order within one transaction that holds the head.
//!
//! What the requests name is read at once, right after the head is locked; each is decided in memory against what those before
//! it leave; and what became of the rows is written at once, at the end. A request with a pattern (a precondition, a deletion of
//! all that matches) has the rows written first, and asks the database.

use std::collections::HashMap;

use model::{
    CommitHash, Operation, Precondition, Relationship, RelationshipFilter, RelationshipKey,
    Revision, Timestamp,
};
use tokio_postgres::Row;

use super::codec::{self, KeyColumns, Parameter, column, found, revision, revision_sql, timestamp};
use super::failure::{Failure, Stop};
use super::overlay::Overlay;
use super::session::Session;
use super::write;
use crate::audit;
use crate::audit::write::Log;
use crate::commit::changes::{Found, key_bytes};
use crate::commit::draft::{self, Decided, Draft, check_size};
use crate::commit::{ChangeRequest, CommitRequest, Committed, IdempotencyKey, RecordKey};
use crate::error::CommitError;
use crate::sql::{Condition, KEY_ORDER, RELATIONSHIP_COLUMNS};
use crate::store::{Head, StoreIdentity};

/// Holds the head until the transaction ends.
pub(super) const LOCK: &str = "SELECT revision, time, hash, schema_revision, \
     (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, audit_begin FROM head FOR UPDATE";

pub(super) const FIND: &str = "SELECT r.resource_definition, r.resource_id, r.relation, r.subject_definition, r.subject_id, \
     r.subject_relation, r.caveat, r.context, r.expires_at, r.revision \
     FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) AS k(a, b, c, d, e, f) \
     JOIN relationship r ON r.resource_definition = k.a AND r.resource_id = k.b AND r.relation = k.c \
     AND r.subject_definition = k.d AND r.subject_id = k.e AND r.subject_relation = k.f";

pub(super) const REPLAYED: &str = "SELECT idempotency_key, revision, time, hash, deleted_count, deletion_complete, request_digest \
     FROM log_entry WHERE idempotency_key = ANY($1)";

/// The hashes of commits that requests know of.
pub(super) const HASHES: &str = "SELECT revision, hash FROM log_entry WHERE revision = ANY($1)";

/// Rows that are read at once for a deletion by pattern.
const PAGE_ROWS: usize = 4_096;

/// A commit that is to be written.
pub(super) struct Entry<'a> {
    pub(super) decided: Decided<'a>,
    /// Its idempotency key, with the digest of the request.
    pub(super) key: Option<(&'a str, [u8; 32])>,
    /// What the audit log says of it; none where that is copied.
    pub(super) audit: Option<audit::Entry>,
}

/// The head as it was locked.
pub(super) struct LockedHead {
    pub(super) head: Head,
    /// By the server's clock, when it was locked.
    pub(super) now: Timestamp,
    /// The revision after which the audit log begins.
    pub(super) audit_begin: u64,
}

/// The commits of a group while they are decided.
pub(super) struct Group<'c, 'a> {
    session: &'c Session,
    identity: StoreIdentity,
    audit_begin: u64,
    head: Head,
    /// By the server's clock, when the head was locked.
    now: Timestamp,
    pub(super) rows: Overlay<RelationshipKey, Found>,
    pub(super) records: Overlay<RecordKey, (Vec<u8>, Revision)>,
    replays: HashMap<IdempotencyKey, (Vec<u8>, Committed)>,
    /// The hashes that the log has at the revisions which the requests know.
    hashes: HashMap<Revision, CommitHash>,
    /// The text of the schema that one of the group has set.
    schema: Option<&'a str>,
    pub(super) entries: Vec<Entry<'a>>,
    /// What is left of entries of the audit log.
    pub(super) bodies: HashMap<u64, Vec<u8>>,
    /// The same of the request that is being decided.
    erasing: super::audit::Bodies,
}

impl<'c, 'a> Group<'c, 'a> {
    /// Reads what `requests` name. The head must be locked by then; `head` is asked for beside it, with the server's clock.
    pub(super) async fn read(
        (session, identity): (&'c Session, StoreIdentity),
        head: impl Future<Output = Result<LockedHead, Failure>>,
        requests: impl Iterator<Item = &'a CommitRequest> + Clone,
    ) -> Result<Self, Failure> {
        let named: Vec<&Relationship> = requests.clone().flat_map(named).collect();
        let mut known: Vec<Revision> = requests
            .clone()
            .map(|request| request.base.known.revision)
            .collect();
        known.dedup();
        let keys: Vec<&str> = requests
            .filter_map(|request| request.idempotency_key.as_ref())
            .map(IdempotencyKey::as_str)
            .collect();
        let mut group = Self {
            session,
            identity,
            audit_begin: 0,
            head: Head::EMPTY,
            now: Timestamp::EPOCH,
            rows: Overlay::default(),
            records: Overlay::default(),
            replays: HashMap::new(),
            hashes: HashMap::new(),
            schema: None,
            entries: Vec::new(),
            bodies: HashMap::new(),
            erasing: Vec::new(),
        };
        // In this order they are sent, and so answered: what is read is read with the head held.
        let (head, found_rows, hashes, replays) = tokio::try_join!(
            biased;
            head,
            find(session, &named),
            hashes(session, &known),
            replays(session, &keys)
        )?;
        group.head = head.head;
        group.now = head.now;
        group.audit_begin = head.audit_begin;
        group.hashes = hashes;
        group.replays = replays;
        for found in found_rows {
            group.rows.load(found.relationship.key(), Some(found));
        }
        for relationship in named {
            group.rows.load(relationship.key(), None);
        }
        Ok(group)
    }

    /// The head after what was decided so far.
    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// Decides one request, after those before it.
    ///
    /// # Errors
    /// [`CommitError`] if it is refused: then nothing of it is left.
    pub(super) async fn decide(
        &mut self,
        request: &'a CommitRequest,
    ) -> Result<Result<Committed, CommitError>, Failure> {
        let key = request.idempotency_key.as_ref();
        if let Some((key, (digest, first))) = key.and_then(|key| self.replays.get_key_value(key)) {
            return Ok(draft::replay(key, request, digest, *first));
        }
        let has_patterns = has_patterns(request);
        if has_patterns {
            write::rows(self.session, &mut self.rows).await?;
            self.session.client.batch_execute("SAVEPOINT one").await?;
        }
        let decided = match self.work_out(request).await {
            Ok(decided) => Ok(decided),
            Err(Stop::Failed(failure)) => return Err(failure),
            Err(Stop::Refused(error)) => Err(error),
        };
        if has_patterns {
            let end = if decided.is_ok() {
                "RELEASE one"
            } else {
                "ROLLBACK TO one"
            };
            self.session.client.batch_execute(end).await?;
        }
        let erased = std::mem::take(&mut self.erasing);
        let mut decided = match decided {
            Ok(decided) => decided,
            Err(refused) => {
                self.rows.take_back();
                self.records.take_back();
                return Ok(Err(refused));
            }
        };
        self.rows.keep();
        self.records.keep();
        self.bodies.extend(erased);
        let log = Log {
            identity: self.identity,
            begin: self.audit_begin,
        };
        let audit = Some(log.entry(&mut decided)?);
        let committed = decided.committed;
        let kept_key = draft::kept_key(request);
        if let (Some(key), Some((_, digest))) = (key, kept_key) {
            self.replays
                .insert(key.clone(), (digest.to_vec(), committed));
        }
        self.head = decided.head;
        self.schema = decided.header.schema.or(self.schema);
        self.entries.push(Entry {
            decided,
            key: kept_key,
            audit,
        });
        Ok(Ok(committed))
    }

    async fn work_out(&mut self, request: &'a CommitRequest) -> Result<Decided<'a>, Stop> {
        let known = request.base.known.revision;
        let stored = match self
            .entries
            .iter()
            .find(|entry| entry.decided.head.revision == known)
        {
            Some(entry) => Some(entry.decided.head.hash),
            None => self.hashes.get(&known).copied(),
        };
        // All nodes take the time of a commit for passed. That of a node whose clock has run off is not to become it.
        let now = request.now.min(self.now);
        let mut draft = Draft::begin(self.head, request, now, stored)?;
        for (index, precondition) in request.preconditions.iter().enumerate() {
            if !self.holds(precondition, draft.time).await? {
                return Err(Stop::Refused(CommitError::PreconditionFailed {
                    index,
                    precondition: Box::new(precondition.clone()),
                }));
            }
        }
        for change in &request.changes {
            self.change(&mut draft, change).await?;
        }
        let current_schema = self.current_schema(draft.new_schema().is_some()).await?;
        let decided = draft.finish(self.head, request, current_schema)?;
        for found in &decided.restored {
            let key = found.relationship.key();
            self.rows.set(key, Some(found.clone()));
        }
        Ok(decided)
    }

    async fn holds(&self, precondition: &Precondition, time: Timestamp) -> Result<bool, Stop> {
        let condition = Condition::new(precondition.filter(), time, '$');
        let sql = format!("SELECT 1 FROM relationship WHERE {} LIMIT 1", condition.sql);
        let is_match = !self.ask(&sql, &condition, None).await?.is_empty();
        Ok(match precondition {
            Precondition::MustMatch(_) => is_match,
            Precondition::MustNotMatch(_) => !is_match,
        })
    }

    async fn change(
        &mut self,
        draft: &mut Draft<'a>,
        change: &'a ChangeRequest,
    ) -> Result<(), Stop> {
        match change {
            ChangeRequest::Relationship(update) => match update.operation {
                Operation::Create => self.put(draft, &update.relationship, true),
                Operation::Touch => self.put(draft, &update.relationship, false),
                Operation::Delete => self.delete(draft, &update.relationship),
            },
            ChangeRequest::DeleteMatching {
                filter,
                limit,
                partial,
            } => {
                let mut found = self.matching(filter, draft.time, *limit).await?;
                draft.cut_matching(&mut found, filter, *limit, *partial)?;
                self.sweep(draft, found);
                Ok(())
            }
            ChangeRequest::Schema(text) => {
                draft.schema(text);
                Ok(())
            }
            ChangeRequest::Record { key, value } => self.record(draft, key, value.as_deref()).await,
            ChangeRequest::Erase(erased) => {
                let erasing = std::mem::take(&mut self.erasing);
                let known = (&self.bodies, erasing);
                self.erasing = super::audit::erase(self.session, known, erased).await?;
                draft.erase(erased);
                Ok(())
            }
            ChangeRequest::RemoveExpired { before, limit } => {
                let mut found = self.expired((*before).min(draft.time), *limit).await?;
                draft.cut_expired(&mut found, *limit);
                self.sweep(draft, found);
                Ok(())
            }
        }
    }

    fn put(
        &mut self,
        draft: &mut Draft<'a>,
        relationship: &Relationship,
        is_create: bool,
    ) -> Result<(), Stop> {
        let key = relationship.key();
        match self.rows.get(&key).flatten() {
            None => draft.add(relationship),
            Some(found) => {
                if !draft.replace(found.clone(), relationship, is_create)? {
                    return Ok(());
                }
            }
        }
        let written = Found {
            relationship: relationship.clone(),
            revision: draft.revision,
        };
        self.rows.set(key, Some(written));
        Ok(())
    }

    fn delete(&mut self, draft: &mut Draft<'a>, relationship: &Relationship) -> Result<(), Stop> {
        let key = relationship.key();
        let found = self.rows.get(&key).flatten();
        let Some(found) = found.filter(|found| !found.relationship.is_expired(draft.time)) else {
            return Ok(());
        };
        draft.delete(found.clone());
        self.rows.set(key, None);
        Ok(())
    }

    fn sweep(&mut self, draft: &mut Draft<'a>, rows: Vec<Found>) {
        for found in rows {
            self.rows.set(found.relationship.key(), None);
            draft.sweep(found);
        }
    }

    async fn matching(
        &mut self,
        filter: &RelationshipFilter,
        time: Timestamp,
        limit: Option<u32>,
    ) -> Result<Vec<Found>, Stop> {
        write::rows(self.session, &mut self.rows).await?;
        let wanted = limit.map_or(usize::MAX, |limit| limit as usize + 1);
        let mut all: Vec<Found> = Vec::new();
        let mut bytes = 0;
        // A page at a time, so that what is too large for one commit is refused before all of it is read.
        while all.len() < wanted {
            let last = all.last().map(|found| found.relationship.key());
            let condition = Condition::after(filter, last.as_ref(), time, '$');
            let next = condition.parameter_count() + 1;
            let sql = format!(
                "SELECT {RELATIONSHIP_COLUMNS} FROM relationship WHERE {} ORDER BY {KEY_ORDER} LIMIT ${next}",
                condition.sql
            );
            let page = PAGE_ROWS.min(wanted - all.len());
            let rows = self.ask(&sql, &condition, Some(page)).await?;
            self.collect(&rows, &mut bytes, &mut all)?;
            if rows.len() < page {
                break;
            }
        }
        Ok(all)
    }

    async fn expired(&mut self, before: Timestamp, limit: u32) -> Result<Vec<Found>, Stop> {
        let sql = format!(
            "SELECT {RELATIONSHIP_COLUMNS} FROM relationship WHERE expires_at <= $1 \
             ORDER BY expires_at, {KEY_ORDER} LIMIT $2"
        );
        write::rows(self.session, &mut self.rows).await?;
        let rows = self
            .session
            .query(&sql, &[&before.as_micros(), &(i64::from(limit) + 1)])
            .await?;
        let mut all = Vec::with_capacity(rows.len());
        self.collect(&rows, &mut 0, &mut all)?;
        Ok(all)
    }

    /// Adds the rows, which from here on are known as they are stored; `bytes` are those of the keys of all.
    fn collect(
        &mut self,
        rows: &[Row],
        bytes: &mut usize,
        all: &mut Vec<Found>,
    ) -> Result<(), Stop> {
        for row in rows {
            let found = found(row)?;
            *bytes += key_bytes(&found.relationship);
            check_size(*bytes)?;
            self.rows
                .load(found.relationship.key(), Some(found.clone()));
            all.push(found);
        }
        Ok(())
    }

    async fn record(
        &mut self,
        draft: &mut Draft<'a>,
        key: &RecordKey,
        value: Option<&[u8]>,
    ) -> Result<(), Stop> {
        if self.records.get(key).is_none() {
            let stored = self
                .session
                .query_first(
                    "SELECT value, revision FROM record WHERE kind = $1 AND key = $2",
                    &[&key.kind(), &key.key()],
                )
                .await?;
            let stored = match &stored {
                Some(row) => Some((column(row, 0)?, revision(column(row, 1)?)?)),
                None => None,
            };
            self.records.load(key.clone(), stored);
        }
        let before = self
            .records
            .get(key)
            .flatten()
            .map(|(value, _)| value.clone());
        let after = value.map(<[u8]>::to_vec);
        let written = after.clone().map(|value| (value, draft.revision));
        self.records.set(key.clone(), written);
        draft.record(key, before, after);
        Ok(())
    }

    /// The schema that is there, if it is asked for.
    async fn current_schema(&self, is_asked: bool) -> Result<Option<String>, Stop> {
        if !is_asked {
            return Ok(None);
        }
        if let Some(current) = self.schema {
            return Ok(Some(current.to_owned()));
        }
        let current = self
            .session
            .query_first(
                "SELECT text FROM schema_version WHERE revision = $1",
                &[&revision_sql(self.head.schema_revision)],
            )
            .await?;
        Ok(match &current {
            Some(row) => Some(column(row, 0)?),
            None => None,
        })
    }

    async fn ask(
        &self,
        sql: &str,
        condition: &Condition<'_>,
        limit: Option<usize>,
    ) -> Result<Vec<Row>, Stop> {
        let values: Vec<&str> = condition.values().collect();
        let live_at = condition.live_at();
        let mut parameters: Vec<Parameter<'_>> = Vec::with_capacity(values.len() + 2);
        parameters.extend(values.iter().map(|value| value as Parameter<'_>));
        parameters.push(&live_at);
        let limit = limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        if let Some(limit) = &limit {
            parameters.push(limit);
        }
        Ok(self.session.query(sql, &parameters).await?)
    }
}

/// The relationships that a request names by their keys.
fn named(request: &CommitRequest) -> impl Iterator<Item = &Relationship> {
    request.changes.iter().filter_map(|change| match change {
        ChangeRequest::Relationship(update) => Some(&update.relationship),
        ChangeRequest::DeleteMatching { .. }
        | ChangeRequest::Record { .. }
        | ChangeRequest::Schema(_)
        | ChangeRequest::Erase(_)
        | ChangeRequest::RemoveExpired { .. } => None,
    })
}

fn has_patterns(request: &CommitRequest) -> bool {
    let is_pattern = |change: &ChangeRequest| match change {
        ChangeRequest::DeleteMatching { .. } | ChangeRequest::RemoveExpired { .. } => true,
        ChangeRequest::Relationship(_)
        | ChangeRequest::Record { .. }
        | ChangeRequest::Erase(_)
        | ChangeRequest::Schema(_) => false,
    };
    !request.preconditions.is_empty() || request.changes.iter().any(is_pattern)
}

async fn find(session: &Session, named: &[&Relationship]) -> Result<Vec<Found>, Failure> {
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let mut keys = KeyColumns::default();
    named
        .iter()
        .for_each(|relationship| keys.push(relationship));
    let rows = session
        .client
        .query(&session.fixed.find, &keys.parameters())
        .await?;
    rows.iter().map(|row| Ok(found(row)?)).collect()
}

async fn hashes(
    session: &Session,
    revisions: &[Revision],
) -> Result<HashMap<Revision, CommitHash>, Failure> {
    let revisions: Vec<i64> = revisions.iter().copied().map(revision_sql).collect();
    let rows = session
        .client
        .query(&session.fixed.hashes, &[&revisions])
        .await?;
    let hashes = rows
        .iter()
        .map(|row| Ok((revision(column(row, 0)?)?, codec::hash(column(row, 1)?)?)));
    hashes.collect()
}

async fn replays(
    session: &Session,
    keys: &[&str],
) -> Result<HashMap<IdempotencyKey, (Vec<u8>, Committed)>, Failure> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = session
        .client
        .query(&session.fixed.replayed, &[&keys])
        .await?;
    let replays = rows.iter().map(|row| {
        let key = IdempotencyKey::new(column(row, 0)?)
            .map_err(|error| super::failure::damaged(&error))?;
        let first = Committed {
            revision: revision(column(row, 1)?)?,
            time: timestamp(column(row, 2)?)?,
            hash: codec::hash(column(row, 3)?)?,
            deleted_count: revision(column(row, 4)?)?.0,
            deletion_complete: column(row, 5)?,
            replayed: true,
        };
        Ok((key, (column(row, 6)?, first)))
    });
    replays.collect()
}
