//! The one thread of a node that writes.
//!
//! It takes whatever commits wait, locks the head, decides them in order against what other nodes have committed since, makes
//! them durable in one transaction, and answers them all: while the disk syncs the next group gathers.
//!
//! A connection can fail at any moment. Before the commit was sent, nothing was done, and the group is tried again. After that it
//! is in doubt: the next connection first locks the head, which waits for a transaction of ours that the server may still be
//! at, and then looks for the group's mark in the log. So a group is made durable once or not at all, however often it is
//! tried.
//!
//! INVARIANT: a commit is answered only after the server has said that it is durable.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::codec::{self, HEAD_COLUMNS, Parameter, revision_sql};
use super::connect::{Purpose, connect};
use super::failure::{Failure, damaged};
use super::group::{Entry, Group};
use super::session::Session;
use super::shared::{Shared, random_bytes};
use super::{audit, write};
use crate::commit::{CommitRequest, Committed};
use crate::error::{CommitError, StoreError};
use crate::store::{Head, StoreIdentity};

/// Commits in one transaction.
const GROUP_COMMITS_MAX: usize = 1_024;
/// Parts of requests in one transaction; past it the group takes no more, so that a small commit does not wait for several large
/// ones.
const GROUP_CHANGES_MAX: usize = 50_000;
/// A group waits for others for up to this part of what the last one took, and never longer than [`WAIT_MAX`].
const WAIT_PART: u32 = 4;
const WAIT_MAX: Duration = Duration::from_millis(2);
/// How long a group is tried.
const TRY_MAX: Duration = Duration::from_secs(10);
/// The mark of a group.
const MARK_BYTES: usize = 8;
/// The wait before the next try, which doubles each time.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// One waiting commit.
pub(super) struct CommitJob {
    pub(super) request: CommitRequest,
    pub(super) answer: oneshot::Sender<Result<Committed, CommitError>>,
    /// Its place among those that may wait; given back when it is answered.
    pub(super) place: OwnedSemaphorePermit,
}

/// The state of the thread.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) session: Option<Session>,
    /// The newest commit that this node knows of: a database that does not have it has lost it.
    pub(super) known: Head,
}

type Results = Vec<Result<Committed, CommitError>>;

/// What a group came to, if its transaction was committed.
struct Outcome {
    results: Results,
    /// The head after it.
    head: Head,
    /// The mark of the group and its first revision; none if there was nothing to write.
    mark: Option<(Vec<u8>, i64)>,
}

/// Why a group was not made durable, as far as is known.
struct Attempt {
    failure: Failure,
    /// What it comes to if it was made durable all the same.
    in_doubt: Option<Outcome>,
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            in_doubt: None,
        }
    }
}

impl Writer {
    /// Works, on a thread of its own, until every sender is gone. `runtime` is of this thread, so that what the server answers
    /// need not be handed from one thread to another.
    pub(super) fn run(mut self, jobs: &Receiver<CommitJob>, runtime: &Runtime) {
        let mut pace = Pace::default();
        while let Ok(first) = jobs.recv() {
            let group = pace.gather(first, jobs);
            let (size, begun) = (group.len(), Instant::now());
            runtime.block_on(self.commit_group(group));
            pace.note(size, begun.elapsed());
        }
    }

    async fn commit_group(&mut self, group: Vec<CommitJob>) {
        match self.commit_until(&group).await {
            Ok(results) => answer_all(group, results),
            Err(Unmade { failure, was_sent })
                if group.len() > 1 && !failure.is_passing && !was_sent =>
            {
                // Each alone, so that it fails, if it must, with its own error, and takes no other with it.
                for job in group {
                    let results = self.commit_until(std::slice::from_ref(&job)).await;
                    let results =
                        results.unwrap_or_else(|unmade| vec![Err(unmade.failure.error.into())]);
                    answer_all(vec![job], results);
                }
            }
            Err(unmade) => refuse_all(group, unmade.failure.error),
        }
    }

    /// Tries the group until it is durable, cannot be, or [`TRY_MAX`] has passed.
    async fn commit_until(&mut self, group: &[CommitJob]) -> Result<Results, Unmade> {
        let (begun, mut pause) = (Instant::now(), PAUSE_MIN);
        let mut doubt: Option<Outcome> = None;
        loop {
            let failure = match self.attempt(group, &mut doubt).await {
                Ok(results) => return Ok(results),
                Err(attempt) => {
                    doubt = attempt.in_doubt.or(doubt);
                    attempt.failure
                }
            };
            self.session = None;
            if !failure.is_passing || begun.elapsed() + pause >= TRY_MAX {
                return Err(Unmade {
                    failure,
                    // Whoever tries again what is in doubt might do it twice.
                    was_sent: doubt.is_some(),
                });
            }
            tracing::warn!(error = %failure.error, "a commit is held up; trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn attempt(
        &mut self,
        group: &[CommitJob],
        doubt: &mut Option<Outcome>,
    ) -> Result<Results, Attempt> {
        let session = match self.session.take() {
            Some(session) => session,
            None => {
                let session = self.reconnect().await?;
                if let Some(outcome) = doubt.take() {
                    match was_committed(&session, &outcome).await {
                        Ok(true) => {
                            self.session = Some(session);
                            return Ok(self.publish(outcome));
                        }
                        Ok(false) => {}
                        Err(failure) => {
                            return Err(Attempt {
                                failure,
                                in_doubt: Some(outcome),
                            });
                        }
                    }
                }
                session
            }
        };
        let outcome = commit((&session, self.shared.identity), group).await?;
        self.session = Some(session);
        Ok(self.publish(outcome))
    }

    /// A new connection, to a database that has all that this node knows of.
    async fn reconnect(&self) -> Result<Session, Failure> {
        let client = connect(&self.shared.config, Purpose::Write, None).await?;
        let session = Session::new(client).await?;
        self.shared.check_identity(&session).await?;
        check_known(&session, self.known).await?;
        Ok(session)
    }

    fn publish(&mut self, outcome: Outcome) -> Results {
        self.known = outcome.head;
        self.shared.hear(outcome.head.revision);
        outcome.results
    }
}

/// How groups come together.
///
/// Those whose commits were made durable together ask for the next ones together, though not at the same instant: the first of
/// them is not to leave the others to the group after. So a group waits for about as many as there were, but never for more than
/// a part of what it takes to make one durable.
#[derive(Debug, Default)]
struct Pace {
    /// The sizes of the last two groups: where some were late the last time, there was another group with them.
    sizes: [usize; 2],
    took: Duration,
}

impl Pace {
    fn gather(&self, first: CommitJob, jobs: &Receiver<CommitJob>) -> Vec<CommitJob> {
        let [last, before] = self.sizes;
        let wanted = last.max(before);
        let until = Instant::now() + (self.took / WAIT_PART).min(WAIT_MAX);
        let mut changes = first.request.changes.len();
        let mut group = vec![first];
        while group.len() < GROUP_COMMITS_MAX && changes < GROUP_CHANGES_MAX {
            let job = jobs.try_recv().ok().or_else(|| {
                let wait = until.saturating_duration_since(Instant::now());
                let is_worth_it = group.len() < wanted && !wait.is_zero();
                is_worth_it.then(|| jobs.recv_timeout(wait).ok()).flatten()
            });
            let Some(job) = job else {
                break;
            };
            changes += job.request.changes.len();
            group.push(job);
        }
        group
    }

    fn note(&mut self, size: usize, took: Duration) {
        let [last, _] = self.sizes;
        self.sizes = [size, last];
        self.took = took;
    }
}

/// Decides the group and makes it durable.
async fn commit(
    (session, identity): (&Session, StoreIdentity),
    group: &[CommitJob],
) -> Result<Outcome, Attempt> {
    let requests = group.iter().map(|job| &job.request);
    let begun = async {
        // Sent together, and done by the server one after the other.
        let (_, head) = tokio::try_join!(
            biased;
            session.client.batch_execute("BEGIN"),
            session.client.query_opt(&session.fixed.lock, &[]),
        )?;
        let head = head.ok_or_else(|| Failure::from(damaged("the head is gone")))?;
        Ok(codec::locked_head(&head)?)
    };
    let mut decided = Group::read((session, identity), begun, requests.clone()).await?;
    let mut results = Vec::with_capacity(group.len());
    for request in requests {
        results.push(decided.decide(request).await?);
    }
    let head = decided.head();
    let Some(first) = decided.entries.first() else {
        let ended = session.client.batch_execute("ROLLBACK").await;
        ended.map_err(Failure::from)?;
        return Ok(Outcome {
            results,
            head,
            mark: None,
        });
    };
    let first = revision_sql(first.decided.header.revision);
    let mark = (random_bytes(MARK_BYTES)?, first);
    match make_durable(session, decided, &mark.0).await {
        Ok(()) => Ok(Outcome {
            results,
            head,
            mark: Some(mark),
        }),
        Err(Unmade { failure, was_sent }) => {
            let outcome = Outcome {
                results,
                head,
                mark: Some(mark),
            };
            Err(Attempt {
                // A server that refuses says so; one that goes away may have done it.
                in_doubt: (was_sent && failure.is_passing).then_some(outcome),
                failure,
            })
        }
    }
}

/// A group that nobody said is durable.
struct Unmade {
    failure: Failure,
    /// Whether the server may have been told to commit.
    was_sent: bool,
}

/// Writes what was decided, and commits.
async fn make_durable(session: &Session, group: Group<'_, '_>, mark: &[u8]) -> Result<(), Unmade> {
    let head = group.head();
    let Group {
        mut rows,
        mut records,
        entries,
        bodies,
        ..
    } = group;
    let (writes, record_writes) = (rows.take_writes(), records.take_writes());
    let written = async {
        tokio::try_join!(
            biased;
            write::write_rows(session, &writes),
            write::records(session, &record_writes),
            write::log(session, &entries, mark),
            audit::append(session, &entries),
        )
    };
    let completed = async {
        audit::replace_bodies(session, &bodies).await?;
        let written = entries.iter().filter_map(|one| one.audit.as_ref());
        audit::complete(session, written.map(|entry| entry.index)).await
    };
    let end = async {
        tokio::try_join!(biased; write::head(session, head), async {
            Ok(session.client.batch_execute("COMMIT").await?)
        })
    };
    let is_sent_at_once = write::is_sent_at_once(&writes)
        && record_writes.is_empty()
        && is_plain(&entries)
        && bodies.is_empty()
        && !audit::completes(&entries);
    let unmade = |was_sent| move |failure| Unmade { failure, was_sent };
    if is_sent_at_once {
        // One way to the server and back for all of it. Where a statement fails, the server ends the transaction without it.
        tokio::try_join!(biased; written, end).map_err(unmade(true))?;
    } else {
        written.await.map_err(unmade(false))?;
        completed.await.map_err(unmade(false))?;
        end.await.map_err(unmade(true))?;
    }
    Ok(())
}

/// Whether the entries fit one statement and set no schema.
fn is_plain(entries: &[Entry<'_>]) -> bool {
    let bytes: usize = entries.iter().map(|entry| entry.decided.block.len()).sum();
    let of_audit = entries.iter().filter_map(|entry| entry.audit.as_ref());
    let audit_bytes: usize = of_audit.map(|entry| entry.body.len()).sum();
    let sets_schema = |entry: &Entry<'_>| entry.decided.header.schema.is_some();
    bytes.max(audit_bytes) <= write::LOG_BYTES_MAX && !entries.iter().any(sets_schema)
}

/// Whether the transaction that came to `outcome` was committed, although nobody said so.
async fn was_committed(session: &Session, outcome: &Outcome) -> Result<bool, Failure> {
    let Some((batch, first)) = &outcome.mark else {
        return Ok(true);
    };
    // The transaction may still be under way; it holds the head until it has ended.
    let sql = "SELECT 1 FROM log_entry WHERE revision = $1 AND batch = $2";
    let mark: [Parameter<'_>; 2] = [first, batch];
    let (_, _, found, _) = tokio::try_join!(
        biased;
        session.client.batch_execute("BEGIN"),
        session.client.query_opt(&session.fixed.lock, &[]),
        session.query_first(sql, &mark),
        session.client.batch_execute("COMMIT"),
    )?;
    Ok(found.is_some())
}

/// Refuses a database that lacks a commit which this node knows of: a standby that was promoted without it.
async fn check_known(session: &Session, known: Head) -> Result<(), Failure> {
    if known == Head::EMPTY {
        return Ok(());
    }
    let head = format!("SELECT {HEAD_COLUMNS} FROM head");
    let sql = "SELECT hash FROM log_entry WHERE revision = $1";
    let revision = revision_sql(known.revision);
    let of_known: [Parameter<'_>; 1] = [&revision];
    let (head, stored) = tokio::try_join!(
        biased;
        session.query_first(&head, &[]),
        session.query_first(sql, &of_known)
    )?;
    let head = head.ok_or_else(|| damaged("the head is gone"))?;
    let head = codec::head(&head)?;
    let stored = match &stored {
        Some(row) => Some(codec::hash(codec::column(row, 0)?)?),
        None => None,
    };
    let is_there = match stored {
        Some(hash) => hash == known.hash,
        // The log was trimmed beyond it, or it is not there at all.
        None => head.revision > known.revision,
    };
    if is_there {
        return Ok(());
    }
    Err(StoreError::lacks(known.revision).into())
}

fn answer_all(group: Vec<CommitJob>, results: Results) {
    for (job, result) in group.into_iter().zip(results) {
        drop(job.place);
        // Nobody waits any more: the commit stands all the same.
        let _ = job.answer.send(result);
    }
}

/// Answers every commit of the group with the error that ended it.
fn refuse_all(group: Vec<CommitJob>, error: StoreError) {
    let error = Arc::new(error);
    for job in group {
        drop(job.place);
        // Nobody waits any more: there is nothing to undo.
        let _ = job.answer.send(Err(shared(&error).into()));
    }
}

/// The same error once more.
fn shared(error: &Arc<StoreError>) -> StoreError {
    match &**error {
        StoreError::Full => StoreError::Full,
        StoreError::Overloaded { waiting_max } => StoreError::Overloaded {
            waiting_max: *waiting_max,
        },
        StoreError::Closed => StoreError::Closed,
        StoreError::Diverged { detail } => StoreError::Diverged {
            detail: detail.clone(),
        },
        StoreError::Corrupt { detail } => StoreError::Corrupt {
            detail: detail.clone(),
        },
        StoreError::Unavailable { detail, .. } => StoreError::Unavailable {
            detail,
            source: Box::new(Arc::clone(error)),
        },
    }
}
