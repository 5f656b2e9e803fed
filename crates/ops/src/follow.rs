//! Keeping the graph equal to the store: the first load, each commit after it, and the way back to a recent past.

mod load;

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use engine::graph::{ApplyError, Change, Snapshot};
use model::{CommitHash, Revision, Timestamp, Token};
use schema::{Schema, SchemaError};
use store::{Head, LogEntry, LogError, LogQuery, RecordKey, Store, StoreError};
use tokio::sync::watch;

use crate::access;
use crate::confirmed::Asked;
use crate::error::{Error, Kind};
use crate::node::{Node, Published};
use crate::records::Records;
use crate::watch::Commit;

pub(crate) use load::load;

/// Entries read from the log at once.
const ENTRIES_MAX: usize = 1_000;
/// Bytes read from the log at once; one entry is always read whole.
const BYTES_MAX: usize = 16 << 20;
/// Changes applied without leaving the asynchronous worker.
const INLINE_CHANGES_MAX: usize = 256;
/// How often a node asks for news without being told of any.
const POLL: Duration = Duration::from_secs(1);

/// Why a node cannot go on from what the store holds. It stops there: it never skips.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    #[error("the log cannot be read: {0}")]
    Log(#[from] LogError),
    #[error("the store cannot be read: {0}")]
    Store(#[from] StoreError),
    #[error("revision {revision} does not apply: {source}")]
    Apply {
        revision: Revision,
        source: ApplyError,
    },
    #[error("the schema of revision {revision} is not one that this version reads: {source}")]
    Schema {
        revision: Revision,
        source: Box<SchemaError>,
    },
    #[error("a stored relationship cannot be read: {0}")]
    Row(String),
    #[error("the record `{key}` is not one that this version reads: {detail}")]
    Record { key: RecordKey, detail: String },
    #[error(
        "the log of the store has no longer the commit of revision {revision} that this node has, as after a fail-over to \
         a standby that lagged; restart this node"
    )]
    Forked { revision: Revision },
    #[error("the log ends before a revision that was read from it")]
    Behind,
    #[error("the task that applies commits failed")]
    Task,
}

impl FollowError {
    /// Whether asking again may help.
    fn is_passing(&self) -> bool {
        match self {
            Self::Log(LogError::Store(error)) | Self::Store(error) => match error {
                StoreError::Unavailable { .. }
                | StoreError::Overloaded { .. }
                | StoreError::Full => true,
                StoreError::Closed | StoreError::Diverged { .. } | StoreError::Corrupt { .. } => {
                    false
                }
            },
            Self::Log(
                LogError::Trimmed { .. }
                | LogError::BeyondHead { .. }
                | LogError::NewerFormat { .. },
            )
            | Self::Apply { .. }
            | Self::Schema { .. }
            | Self::Row(_)
            | Self::Record { .. }
            | Self::Forked { .. }
            | Self::Behind
            | Self::Task => false,
        }
    }
}

/// Hashes of the newest commits, so that a token is rarely verified by the store.
#[derive(Debug, Default)]
pub(crate) struct RecentHashes {
    first: Revision,
    short: VecDeque<[u8; 8]>,
}

impl RecentHashes {
    const MAX: usize = 1 << 16;

    /// Notes the hash of the revision after the last one that was noted.
    pub(crate) fn note(&mut self, revision: Revision, short: [u8; 8]) {
        if self.short.is_empty() {
            self.first = revision;
        }
        self.short.push_back(short);
        if self.short.len() > Self::MAX {
            self.short.pop_front();
            self.first = self.first.next();
        }
    }

    pub(crate) fn short(&self, revision: Revision) -> Option<[u8; 8]> {
        let place = revision.0.checked_sub(self.first.0)?;
        self.short.get(usize::try_from(place).ok()?).copied()
    }
}

/// Takes in what became of a record.
fn note_record(
    records: &mut Records,
    key: &RecordKey,
    value: Option<&[u8]>,
) -> Result<(), FollowError> {
    records
        .note(key, value)
        .map_err(|detail| FollowError::Record {
            key: key.clone(),
            detail,
        })
}

fn compile(text: &str, revision: Revision) -> Result<Arc<Schema>, FollowError> {
    let compiled = access::compile(text);
    compiled
        .map(Arc::new)
        .map_err(|source| FollowError::Schema {
            revision,
            source: Box::new(source),
        })
}

/// The task that follows the store for one node, for as long as the node lives.
pub(crate) struct Follower {
    node: Weak<Node>,
    store: Arc<dyn Store>,
    news: watch::Receiver<Revision>,
    stopping: watch::Receiver<bool>,
}

impl Follower {
    pub(crate) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::downgrade(node),
            store: Arc::clone(node.store()),
            news: node.store().head_watch(),
            stopping: node.stopping(),
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            let Some(node) = self.node.upgrade() else {
                return;
            };
            node.follower().beat();
            match self.catch_up(&node).await {
                Ok(()) => {}
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, "following the store is held up; trying again");
                }
                Err(error) => return node.give_up(error.to_string()),
            }
            drop(node);
            tokio::select! {
                _ = self.stopping.wait_for(|stopping| *stopping) => return,
                changed = self.news.changed() => {
                    if changed.is_err() {
                        // The store is closed: no news will come, and asking it fails.
                        return;
                    }
                }
                () = tokio::time::sleep(POLL) => {
                    if let Some(node) = self.node.upgrade() {
                        node.watches().settle();
                    }
                }
            }
        }
    }

    /// Takes in what the log holds, up to the head.
    async fn catch_up(&self, node: &Node) -> Result<(), FollowError> {
        // A head that is to be reached, and when it was asked for. Where much is written, the head of the moment never is.
        let mut goal: Option<(Asked, Revision)> = None;
        loop {
            self.take_in(node).await?;
            let reached = node.current.load_full();
            if let Some((asked, _)) = goal.take_if(|(_, head)| *head <= reached.snapshot.revision())
            {
                node.confirm(asked);
            }
            // What counts is the instant of the question: the answer may be long under way.
            let asked = Asked::now(node.clock());
            let head = self.store.head().await?;
            if is_head(&reached, &head)? {
                node.confirm(asked);
                return Ok(());
            }
            goal.get_or_insert((asked, head.revision));
        }
    }

    /// Takes in the next entries of the log.
    async fn take_in(&self, node: &Node) -> Result<(), FollowError> {
        let _alone = node.publishing().lock().await;
        let current = node.current.load_full();
        if let Some((next, commits)) = after(&self.store, &current, ENTRIES_MAX).await? {
            publish(node, next, commits);
        }
        Ok(())
    }
}

/// Whether `reached` is the store's head, which was asked for after it.
fn is_head(reached: &Published, head: &Head) -> Result<bool, FollowError> {
    let revision = reached.snapshot.revision();
    match head.revision.cmp(&revision) {
        Ordering::Greater => Ok(false),
        Ordering::Equal if head.hash == reached.hash => Ok(true),
        Ordering::Equal | Ordering::Less => Err(FollowError::Forked { revision }),
    }
}

/// Whether each entry follows the one before it, and the first one the commit of `hash`.
fn is_chain(entries: &[LogEntry], hash: CommitHash) -> bool {
    let before = entries.iter().map(|entry| entry.hash);
    let before = std::iter::once(hash).chain(before);
    entries
        .iter()
        .zip(before)
        .all(|(entry, before)| entry.previous == before)
}

/// The graph after the next entries of the log, and those as a watch tells them; none if there are no more.
async fn after(
    store: &Arc<dyn Store>,
    current: &Arc<Published>,
    entries_max: usize,
) -> Result<Option<(Published, Vec<Arc<Commit>>)>, FollowError> {
    let query = LogQuery {
        after: current.snapshot.revision(),
        entries_max,
        bytes_max: BYTES_MAX,
    };
    let forked = FollowError::Forked {
        revision: query.after,
    };
    let entries = match store.log(query).await {
        Ok(entries) => entries,
        Err(LogError::BeyondHead { .. }) => return Err(forked),
        Err(error) => return Err(error.into()),
    };
    if entries.is_empty() {
        return Ok(None);
    }
    if !is_chain(&entries, current.hash) {
        return Err(forked);
    }
    let change_count: usize = entries.iter().map(|entry| entry.changes.len()).sum();
    let (base, identity) = (Arc::clone(current), store.identity());
    let apply = move || {
        let published = forward(&base, &entries)?;
        let commits = entries
            .into_iter()
            .map(|entry| Arc::new(Commit::new(identity, entry)));
        Ok::<_, FollowError>((published, commits.collect()))
    };
    let applied = if change_count <= INLINE_CHANGES_MAX {
        apply()?
    } else {
        let task = tokio::task::spawn_blocking(apply);
        task.await.map_err(|_| FollowError::Task)??
    };
    Ok(Some(applied))
}

/// Puts `rebuilt`, which is of the revision that the node has or had, in the place of the node's snapshot once it has
/// what was committed since.
pub(crate) async fn replace(node: &Node, rebuilt: Arc<Published>) -> Result<(), FollowError> {
    /// Each time less is left to do, and the node can follow its store meanwhile.
    const ROUNDS: usize = 3;
    let mut rebuilt = rebuilt;
    for _ in 0..ROUNDS {
        rebuilt = advanced(node, rebuilt).await?;
    }
    let _alone = node.publishing().lock().await;
    let rebuilt = advanced(node, rebuilt).await?;
    node.current.store(rebuilt);
    Ok(())
}

/// The graph of `at` as of the revision that the node has when this is called.
async fn advanced(node: &Node, mut at: Arc<Published>) -> Result<Arc<Published>, FollowError> {
    let until = node.snapshot().revision();
    while at.snapshot.revision() < until {
        let left = until.0 - at.snapshot.revision().0;
        let entries_max = usize::try_from(left).map_or(ENTRIES_MAX, |left| left.min(ENTRIES_MAX));
        let next = after(node.store(), &at, entries_max).await?;
        let (next, _) = next.ok_or(FollowError::Behind)?;
        at = Arc::new(next);
    }
    Ok(at)
}

/// Puts a newer snapshot in place of the node's, and wakes those who wait for it.
fn publish(node: &Node, published: Published, commits: Vec<Arc<Commit>>) {
    let (snapshot, hash) = (Arc::clone(&published.snapshot), published.hash);
    {
        let mut hashes = node.hashes.write().unwrap_or_else(PoisonError::into_inner);
        for token in commits.iter().map(|commit| commit.token()) {
            hashes.note(token.revision, token.hash);
        }
    }
    let times: Vec<Timestamp> = commits.iter().map(|commit| commit.time()).collect();
    let access = Arc::clone(&published.records.access);
    node.watches().push(commits);
    let before = node.current.swap(Arc::new(published));
    if !Arc::ptr_eq(&access, &before.records.access) {
        node.recorded_keys().replace(access.keys.iter());
    }
    node.history
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .note(&snapshot, hash, node.clock().now());
    node.revision.send_replace(snapshot.revision());
    node.metrics().decisions.adopt(snapshot.schema());
    node.metrics().note_applied(&times, node.clock().now());
}

/// The snapshot after `entries`, which follow `current`.
fn forward(current: &Published, entries: &[LogEntry]) -> Result<Published, FollowError> {
    let mut at = Published {
        snapshot: Arc::clone(&current.snapshot),
        hash: current.hash,
        schema_revision: current.schema_revision,
        records: current.records.clone(),
    };
    let mut changes = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        if let Some(schema) = &entry.schema {
            let compiled = compile(&schema.after, entry.revision)?;
            let snapshot = at
                .snapshot
                .with_schema(entry.revision, entry.time, compiled);
            at.snapshot = Arc::new(snapshot.map_err(|source| FollowError::Apply {
                revision: entry.revision,
                source,
            })?);
            at.schema_revision = entry.revision;
        }
        for change in &entry.changes {
            changes.extend(
                change
                    .after
                    .clone()
                    .map(Change::Put)
                    .or_else(|| removal(change.before.as_ref())),
            );
        }
        for record in &entry.records {
            note_record(&mut at.records, &record.key, record.after.as_deref())?;
        }
        at.hash = entry.hash;
        // One snapshot for a run of entries, cut where the schema changes.
        let is_last_of_run = entries
            .get(place + 1)
            .is_none_or(|next| next.schema.is_some());
        if is_last_of_run {
            at.snapshot = Arc::new(apply(&at.snapshot, entry.revision, entry.time, &changes)?);
            changes.clear();
        }
    }
    Ok(at)
}

fn removal(before: Option<&model::Relationship>) -> Option<Change> {
    before.map(|before| Change::Remove(before.key()))
}

fn apply(
    snapshot: &Snapshot,
    revision: Revision,
    time: Timestamp,
    changes: &[Change],
) -> Result<Snapshot, FollowError> {
    snapshot
        .apply(revision, time, changes)
        .map_err(|source| FollowError::Apply { revision, source })
}

/// The snapshot of `token`, made from that of another commit by the log in either direction.
///
/// # Errors
/// [`Kind::RevisionGone`] if it was replaced longer ago than snapshots are retained, or the log no longer reaches it.
pub(crate) async fn rebuild(
    node: &Node,
    (from, hash): (&Arc<Snapshot>, CommitHash),
    token: Token,
) -> Result<Arc<Snapshot>, Error> {
    let revision = token.revision;
    let gone = || Error::new(Kind::RevisionGone, "invalid revision: revision has expired");
    let entries = match entries_between(node, from.revision(), revision).await {
        Ok(entries) => entries,
        Err(FollowError::Log(LogError::Trimmed { .. })) => return Err(gone()),
        Err(error) => {
            return Err(
                Error::new(Kind::Unavailable, "the log of the store cannot be read")
                    .caused_by(error),
            );
        }
    };
    if !joins(&entries, (from.revision(), hash), token) {
        return Err(node.forked(from.revision()));
    }
    let replaced_at = entries
        .iter()
        .find(|entry| entry.revision == revision.next())
        .map(|entry| entry.time);
    let is_past = |time| {
        node.history
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_past(time, node.clock().now())
    };
    if replaced_at.is_some_and(is_past) {
        return Err(gone());
    }
    let rebuilt = if from.revision() <= revision {
        let upto: Vec<LogEntry> = entries
            .into_iter()
            .filter(|entry| entry.revision <= revision)
            .collect();
        let start = Published {
            snapshot: Arc::clone(from),
            hash: CommitHash::ZERO,
            schema_revision: Revision(0),
            records: Records::default(),
        };
        forward(&start, &upto).map(|published| published.snapshot)
    } else {
        backward(from, revision, &entries).map(Arc::new)
    };
    rebuilt.map_err(|error| {
        Error::new(Kind::Internal, "the revision cannot be rebuilt").caused_by(error)
    })
}

/// Whether `entries`, which begin after the earlier of two commits, have both in their places.
fn joins(entries: &[LogEntry], (one, hash): (Revision, CommitHash), other: Token) -> bool {
    let Some(first) = entries.first() else {
        return one == other.revision && hash.short() == other.hash;
    };
    let is_there = |revision: Revision, short: [u8; 8]| {
        let before = std::iter::once(first.previous);
        let mut hashes = before.chain(entries.iter().map(|entry| entry.hash));
        let place = revision.0.checked_sub(one.min(other.revision).0);
        let place = place.and_then(|place| usize::try_from(place).ok());
        place
            .and_then(|place| hashes.nth(place))
            .map(|hash| hash.short())
            == Some(short)
    };
    is_chain(entries, first.previous)
        && is_there(one, hash.short())
        && is_there(other.revision, other.hash)
}

/// The entries after the earlier of two revisions, up to one beyond the later: that one tells when it was replaced.
async fn entries_between(
    node: &Node,
    one: Revision,
    other: Revision,
) -> Result<Vec<LogEntry>, FollowError> {
    let last = one.max(other).next();
    let mut after = one.min(other);
    let mut entries = Vec::new();
    while after < last {
        let query = LogQuery {
            after,
            entries_max: ENTRIES_MAX,
            bytes_max: BYTES_MAX,
        };
        let page = node.store().log(query).await?;
        let Some(newest) = page.last() else {
            break;
        };
        after = newest.revision;
        entries.extend(page.into_iter().filter(|entry| entry.revision <= last));
    }
    Ok(entries)
}

/// Undoes the entries after `revision`, from the newest.
fn backward(
    from: &Snapshot,
    revision: Revision,
    entries: &[LogEntry],
) -> Result<Snapshot, FollowError> {
    let mut snapshot = from.clone();
    let undone = entries
        .iter()
        .rev()
        .filter(|entry| entry.revision > revision && entry.revision <= from.revision());
    for entry in undone {
        let changes: Vec<Change> = entry
            .changes
            .iter()
            .filter_map(|change| {
                change
                    .before
                    .clone()
                    .map(Change::Put)
                    .or_else(|| removal(change.after.as_ref()))
            })
            .collect();
        let before = Revision(entry.revision.0.saturating_sub(1));
        // The time of the commit before is not in this entry; it is never later than this one's.
        let time = entries
            .iter()
            .find(|other| other.revision == before)
            .map_or(entry.time, |other| other.time);
        snapshot = apply(&snapshot, before, time, &changes)?;
        if let Some(schema) = &entry.schema {
            let compiled = compile(schema.before.as_deref().unwrap_or_default(), entry.revision)?;
            snapshot = snapshot
                .with_schema(before, time, compiled)
                .map_err(|source| FollowError::Apply {
                    revision: entry.revision,
                    source,
                })?;
        }
    }
    Ok(snapshot)
}
