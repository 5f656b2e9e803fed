//! Preshared keys on record: made, told and revoked while the server runs, on every node from the commit on. What is kept is a hash.

use identity::{Caller, KeyHash, hash_of_key, is_key_name};
use model::{Operation, Relationship, RelationshipUpdate, Token};
use store::{ChangeRequest, RecordKey};

use crate::access::{self, Permit};
use crate::error::{Error, Kind};
use crate::node::Node;
use crate::write;

/// Keys that may be on record at once.
const KEYS_MAX: usize = 10_000;
/// The name of the first key.
const FIRST: &str = "admin";

/// Makes a key for `name`, durably, and gives it: it is told this once and kept nowhere. A key of that name goes.
///
/// # Errors
/// [`Kind::Forbidden`] for a caller that is no administrator, since a key is as good as all that its name may do; [`Error`] for what
/// is no name, past 10,000 keys, and without randomness.
pub async fn create(node: &Node, caller: &Caller, name: &str) -> Result<(String, Token), Error> {
    if !is_key_name(name) {
        let message =
            format!("`{name}` is no name for a key: 1 to 64 letters, digits, `_`, `.` or `-`");
        return Err(Error::new(Kind::InvalidArgument, message));
    }
    let key = new_key()?;
    let at = change(node, caller, name, Some(hash_of_key(&key)), false).await?;
    Ok((key, at))
}

/// Revokes the key of `name`, durably.
///
/// # Errors
/// [`Kind::Forbidden`] for a caller that is no administrator, [`Kind::NotFound`] for a name without a key on record.
pub async fn revoke(node: &Node, caller: &Caller, name: &str) -> Result<Token, Error> {
    change(node, caller, name, None, false).await
}

/// The names of the keys on record.
///
/// # Errors
/// [`Kind::Forbidden`] for a caller that is no administrator.
pub fn list(node: &Node, caller: &Caller) -> Result<Vec<String>, Error> {
    Permit::of(node, caller)?.require_administrator()?;
    Ok(names(node))
}

/// Whether a key is on record.
#[must_use]
pub fn are_on_record(node: &Node) -> bool {
    !node.current.load().records.access.keys.is_empty()
}

/// Makes the first key of an empty store, and its name an administrator: both in one commit, so that there is never one without the
/// other. The key is told this once.
///
/// # Errors
/// [`Error`] if the store cannot commit, or is not empty after all.
pub async fn bootstrap(node: &Node) -> Result<String, Error> {
    let key = new_key()?;
    let caller = Caller::without_authentication();
    change(node, &caller, FIRST, Some(hash_of_key(&key)), true).await?;
    Ok(key)
}

fn new_key() -> Result<String, Error> {
    identity::generate_key()
        .map_err(|error| Error::new(Kind::Unavailable, format!("no key can be made: {error}")))
}

fn names(node: &Node) -> Vec<String> {
    node.current
        .load()
        .records
        .access
        .keys
        .keys()
        .cloned()
        .collect()
}

async fn change(
    node: &Node,
    caller: &Caller,
    name: &str,
    hash: Option<KeyHash>,
    is_first: bool,
) -> Result<Token, Error> {
    let key = RecordKey::new(access::KEY_KIND, name)
        .map_err(|error| Error::new(Kind::InvalidArgument, error.to_string()))?;
    let committed = write::commit_at_head(node, caller, (Vec::new(), None), |head| {
        Permit::at(node, caller, head.clone())?.require_administrator()?;
        let keys = &head.records.access.keys;
        if hash.is_none() && !keys.contains_key(name) {
            let message = format!("no key of the name `{name}` is on record");
            return Err(Error::new(Kind::NotFound, message));
        }
        if keys.len() >= KEYS_MAX && !keys.contains_key(name) {
            let message = format!("{KEYS_MAX} keys are on record already");
            return Err(Error::new(Kind::LimitExceeded, message));
        }
        let mut changes = vec![ChangeRequest::Record {
            key: key.clone(),
            value: hash.map(|hash| hash.to_vec()),
        }];
        if is_first {
            if !keys.is_empty() || head.records.access.is_enforced {
                let message = "the store has an administrator already";
                return Err(Error::new(Kind::FailedPrecondition, message));
            }
            changes.push(administrator(name)?);
            let enforced = access::enforce();
            changes.push(enforced.map_err(|error| Error::new(Kind::Internal, error.to_string()))?);
        }
        Ok(changes)
    })
    .await?;
    node.published(committed.revision, committed.hash).await
}

fn administrator(name: &str) -> Result<ChangeRequest, Error> {
    let text = format!(
        "remit/system:main#{}@remit/key:{name}",
        access::ADMINISTRATOR
    );
    let relationship: Relationship = text
        .parse()
        .map_err(|error| Error::new(Kind::Internal, format!("{text}: {error}")))?;
    Ok(ChangeRequest::Relationship(RelationshipUpdate {
        operation: Operation::Create,
        relationship,
    }))
}
