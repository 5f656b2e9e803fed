//! The suite that every store must pass: one function for each rule of [`crate::commit`] and [`crate::store`].
//!
//! For those who implement a [`Store`]: a test hands [`run`] a [`Harness`] that makes fresh stores, and what passes can
//! be trusted. A rule fails by panicking with what it saw.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a contract is a test: it fails by panicking"
)]

use std::future::Future;
use std::ops::ControlFlow;
use std::sync::Arc;

use model::{Operation, Relationship, RelationshipFilter, RelationshipUpdate, Revision, Timestamp};

use crate::commit::{
    Base, ChangeRequest, CommitRequest, Committed, IdempotencyKey, LogEntry, Position, Provenance,
};
use crate::error::{CommitError, StoreError};
use crate::store::{Head, LogQuery, Store};

mod audit;
mod concurrency;
mod deletion;
mod log;
mod random;
mod record;
mod token;
mod write;

/// How the suite gets at the stores it tests.
pub trait Harness: Sync {
    /// A fresh, empty store.
    fn make(&self) -> Arc<dyn Store>;

    /// Closes the store and opens what it left; none where nothing outlives the process.
    fn reopen(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>>;

    /// Whether its stores have an audit log. One that stands in for a store in tests need not.
    fn has_audit(&self) -> bool {
        true
    }

    /// Opens a backup of the store; none where backups are not the store's business.
    fn copy(&self, store: &dyn Store) -> Option<Arc<dyn Store>>;
}

/// A rule of the contract, with its name.
type Rule = (&'static str, fn(&dyn Harness));

macro_rules! rules {
    ($($module:ident::$name:ident,)*) => {
        &[$((stringify!($name), $module::$name)),*]
    };
}

const RULES: &[Rule] = rules![
    log::an_empty_store_has_an_empty_head,
    concurrency::revisions_are_gapless_under_concurrency,
    concurrency::of_two_creates_one_wins,
    concurrency::of_two_commits_admitted_at_one_head_one_is_refused,
    concurrency::the_head_is_never_behind_an_acknowledgement,
    concurrency::the_head_is_never_behind_what_was_read,
    write::a_create_of_an_existing_one_is_refused,
    write::a_touch_adds_or_replaces,
    write::a_delete_ignores_caveat_and_expiration,
    write::what_changes_nothing_leaves_no_change_but_a_revision,
    write::one_relationship_changes_once_in_a_commit,
    write::an_expired_row_counts_as_absent,
    write::a_refused_commit_changes_nothing,
    write::preconditions_see_the_store_before_the_commit,
    write::a_schema_that_moved_refuses_first,
    write::a_head_that_moved_refuses,
    write::a_commit_that_the_log_has_not_refuses,
    write::an_idempotency_key_gives_the_first_result_again,
    write::time_never_decreases,
    deletion::a_deletion_takes_what_matches,
    deletion::a_limit_takes_the_first_in_key_order,
    deletion::expired_rows_are_removed_by_housekeeping_alone,
    record::a_record_is_put_replaced_and_removed,
    record::one_record_changes_once_in_a_commit,
    record::a_refused_commit_leaves_records_alone,
    record::records_are_part_of_the_hash_and_of_the_request,
    record::records_outlive_reopening_trimming_and_copying,
    log::entries_hold_what_they_replaced,
    log::the_hash_chain_verifies,
    log::the_log_is_read_in_pages,
    log::a_schema_is_read_at_any_revision,
    log::a_trimmed_log_says_where_it_begins,
    token::a_token_is_good_for_its_commit_alone,
    log::a_scan_stops_when_told,
    random::rows_are_the_fold_of_the_log,
    log::reopening_keeps_everything,
    token::a_backup_is_equal_and_has_another_history,
    log::a_closed_store_says_so,
];

/// The rules of stores with an audit log.
const AUDIT_RULES: &[Rule] = rules![
    audit::each_commit_has_one_entry,
    audit::the_tree_is_that_of_its_leaves,
    audit::a_checkpoint_is_kept_once,
    audit::an_erasure_leaves_the_tree,
    audit::the_audit_log_outlives_the_log,
];

/// Runs every rule against stores of `harness`.
pub fn run(harness: &dyn Harness) {
    let of_audit = AUDIT_RULES.iter().filter(|_| harness.has_audit());
    for (name, rule) in RULES.iter().chain(of_audit) {
        tracing::info!(name, "rule");
        rule(harness);
    }
}

/// Drives one future; each thread of a rule has its own runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000 + seconds, 0).unwrap()
}

fn rel(text: &str) -> Relationship {
    text.parse()
        .unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

fn update(operation: Operation, text: &str) -> ChangeRequest {
    ChangeRequest::Relationship(RelationshipUpdate {
        operation,
        relationship: rel(text),
    })
}

fn create(text: &str) -> ChangeRequest {
    update(Operation::Create, text)
}

fn touch(text: &str) -> ChangeRequest {
    update(Operation::Touch, text)
}

fn delete(text: &str) -> ChangeRequest {
    update(Operation::Delete, text)
}

fn delete_matching(filter: RelationshipFilter, limit: Option<u32>, partial: bool) -> ChangeRequest {
    ChangeRequest::DeleteMatching {
        filter,
        limit,
        partial,
    }
}

/// Everything of a definition.
fn of(definition: &str) -> RelationshipFilter {
    RelationshipFilter {
        definition: Some(definition.parse().unwrap()),
        ..RelationshipFilter::default()
    }
}

fn provenance() -> Provenance {
    Provenance {
        actor: "ann".to_owned(),
        reason: Some("TICKET-1".to_owned()),
        metadata: Some("{}".to_owned()),
        origin: None,
    }
}

/// A request on the schema that `store` has, at second 0.
fn request(store: &dyn Store, changes: Vec<ChangeRequest>) -> CommitRequest {
    CommitRequest {
        base: Base::of_schema(head(store).schema_revision),
        preconditions: Vec::new(),
        changes,
        idempotency_key: None,
        provenance: provenance(),
        now: at(0),
    }
}

/// The base of a request without a schema whose admission depends on nothing coming after `known`.
fn evaluated_at(known: Position) -> Base {
    Base {
        known,
        is_evaluated: true,
        ..Base::of_schema(Revision(0))
    }
}

fn key(text: &str) -> Option<IdempotencyKey> {
    Some(IdempotencyKey::new(text).unwrap())
}

fn try_commit(store: &dyn Store, request: CommitRequest) -> Result<Committed, CommitError> {
    block_on(store.commit(request))
}

fn commit(store: &dyn Store, changes: Vec<ChangeRequest>) -> Committed {
    try_commit(store, request(store, changes)).unwrap()
}

fn head(store: &dyn Store) -> Head {
    block_on(store.head()).unwrap()
}

fn log_after(store: &dyn Store, after: u64) -> Vec<LogEntry> {
    let query = LogQuery {
        after: Revision(after),
        entries_max: usize::MAX,
        bytes_max: usize::MAX,
    };
    block_on(store.log(query)).unwrap()
}

fn last(store: &dyn Store) -> LogEntry {
    let head = head(store).revision.0;
    log_after(store, head.saturating_sub(1))
        .pop()
        .unwrap_or_else(|| panic!("revision {head} is not in the log"))
}

/// Every row with the revision that wrote it, as text, in the order of the keys.
fn rows(store: &dyn Store) -> Vec<(String, Revision)> {
    let mut rows = Vec::new();
    let header = store.scan(&mut |_, row| {
        rows.push((row.to_relationship().unwrap(), row.revision));
        ControlFlow::Continue(())
    });
    assert_eq!(header.unwrap().head, head(store));
    rows.sort_by_key(|(relationship, _)| relationship.key());
    rows.into_iter()
        .map(|(relationship, revision)| (relationship.to_string(), revision))
        .collect()
}

fn texts(store: &dyn Store) -> Vec<String> {
    rows(store).into_iter().map(|(text, _)| text).collect()
}

/// The sides of each change, as text.
fn sides(entry: &LogEntry) -> Vec<(Option<String>, Option<String>)> {
    let text = |side: &Option<Relationship>| side.as_ref().map(ToString::to_string);
    entry
        .changes
        .iter()
        .map(|change| (text(&change.before), text(&change.after)))
        .collect()
}
