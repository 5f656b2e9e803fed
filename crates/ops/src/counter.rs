//! Relationship counters: a pattern under a name, and how many relationships match it.
//!
//! A counter is a record of the store, so it is as durable as any commit and every node has it. Its value is kept
//! nowhere: it is counted when asked for, and so exact at the snapshot that is told with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use identity::Caller;
use model::{RelationshipFilter, Token};
use store::commit::canonical;
use store::{ChangeRequest, RecordKey};

use crate::access::{Action, Permit};
use crate::consistency::Consistency;
use crate::error::{Error, Kind, Reason};
use crate::node::Node;
use crate::records::Records;
use crate::{precondition, typing, write};

/// The kind of record that a counter is.
pub(crate) const KIND: &str = "relationship_counter";

/// The counters of one revision, by name. Cheap to copy.
pub(crate) type Counters = Arc<BTreeMap<String, RelationshipFilter>>;

/// A counted value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// How many relationships match.
    pub count: u64,
    /// The token of the snapshot that they were counted in.
    pub at: Token,
}

/// Takes in what became of a record.
///
/// # Errors
/// Why it cannot be read.
pub(crate) fn note(
    counters: &mut Counters,
    key: &RecordKey,
    value: Option<&[u8]>,
) -> Result<(), String> {
    let counters = Arc::make_mut(counters);
    match value {
        None => drop(counters.remove(key.key())),
        Some(value) => {
            let filter = canonical::decode_filter(value).map_err(|error| error.to_string())?;
            counters.insert(key.key().to_owned(), filter);
        }
    }
    Ok(())
}

/// Registers a counter of what matches `filter`, durably.
///
/// # Errors
/// [`Error`] for an empty name, a pattern that does not fit the schema, and a name that is taken.
pub async fn register(
    node: &Node,
    caller: &Caller,
    name: &str,
    filter: RelationshipFilter,
) -> Result<(), Error> {
    Permit::of(node, caller)?.require_filter(Action::Read, &filter)?;
    let value = canonical::encode_filter(&filter);
    change(node, caller, name, Some(value), |schema, counters| {
        typing::filter(schema, &filter)?;
        if !counters.contains_key(name) {
            return Ok(());
        }
        let message = format!("counter with name `{name}` already registered");
        let error = Error::new(Kind::FailedPrecondition, message)
            .with_reason(Reason::CounterAlreadyRegistered)
            .with("counter_name", name);
        Err(precondition::with_new_filter(error, &filter))
    })
    .await
}

/// Forgets a counter.
///
/// # Errors
/// [`Error`] for an empty name and one that is not registered.
pub async fn unregister(node: &Node, caller: &Caller, name: &str) -> Result<(), Error> {
    let permit = Permit::of(node, caller)?;
    change(node, caller, name, None, |_, counters| {
        of_caller(&permit, counters, name).map(|_| ())
    })
    .await
}

/// The counter of that name; one of relationships that the caller may not read is not there.
fn of_caller<'c>(
    permit: &Permit<'_>,
    counters: &'c Counters,
    name: &str,
) -> Result<&'c RelationshipFilter, Error> {
    let filter = counters.get(name).ok_or_else(|| unknown(name))?;
    let may_read = permit.require_filter(Action::Read, filter);
    may_read.map(|()| filter).map_err(|_| unknown(name))
}

/// Counts the relationships that match a counter at the head; those that have expired are not among them.
///
/// # Errors
/// [`Error`] for an empty name and one that is not registered; the errors of [`Node::view`].
/// # Cost
/// A walk over the relationships that the pattern leads to, on a thread of its own.
pub async fn count(node: &Node, caller: &Caller, name: &str) -> Result<Counted, Error> {
    check_name(name)?;
    let (_, permit) = Permit::with_view(node, caller, Consistency::FullyConsistent).await?;
    let (view, Records { counters, .. }) = node.view_with_records();
    let filter = of_caller(&permit, &counters, name)?.clone();
    let at = view.token;
    let walk = move || {
        let rows = view.snapshot.relationships(&filter);
        rows.filter(|row| !row.is_expired(view.now)).count() as u64
    };
    let count = tokio::task::spawn_blocking(walk).await;
    let count =
        count.map_err(|error| Error::new(Kind::Internal, "counting failed").caused_by(error))?;
    Ok(Counted { count, at })
}

/// Commits a counter's record if `check` admits it at the head.
async fn change(
    node: &Node,
    caller: &Caller,
    name: &str,
    value: Option<Vec<u8>>,
    check: impl Fn(&schema::Schema, &Counters) -> Result<(), Error>,
) -> Result<(), Error> {
    check_name(name)?;
    let key = RecordKey::new(KIND, name)
        .map_err(|error| Error::new(Kind::InvalidArgument, error.to_string()))?;
    let committed = write::commit_at_head(node, caller, (Vec::new(), None), |head| {
        check(head.snapshot.schema(), &head.records.counters)?;
        Ok(vec![ChangeRequest::Record {
            key: key.clone(),
            value: value.clone(),
        }])
    })
    .await?;
    node.published(committed.revision, committed.hash).await?;
    Ok(())
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::invalid(Reason::Unspecified, "name must be provided"));
    }
    Ok(())
}

fn unknown(name: &str) -> Error {
    Error::new(
        Kind::FailedPrecondition,
        format!("counter with name `{name}` not found"),
    )
    .with_reason(Reason::CounterNotRegistered)
    .with("counter_name", name)
}
