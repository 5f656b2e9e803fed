//! Writing and deleting relationships.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use identity::{Caller, Credential};
use model::{
    ObjectRef, Operation, Precondition, Relationship, RelationshipFilter, RelationshipKey,
    RelationshipUpdate, ResourceIdFilter, SubjectFilter, SubjectId, SubjectRelationFilter, Token,
};
use schema::Schema;
use store::{Base, ChangeRequest, CommitError, CommitRequest, Committed, Provenance, StoreError};

pub use store::IdempotencyKey;

use crate::access::{self, Action, Permit, Target};
use crate::consistency::Consistency;
use crate::error::{Error, Kind, Reason};
use crate::node::{Node, Published};
use crate::{precondition, typing};

/// Changes that are made together, or not at all.
#[derive(Debug, Clone, Default)]
pub struct Write {
    /// What changes.
    pub updates: Vec<RelationshipUpdate>,
    /// What must hold for it to change.
    pub preconditions: Vec<Precondition>,
    /// What the caller says about the change, as a JSON object.
    pub metadata: Option<String>,
    /// Makes the write once, however often its caller asks for it: repetitions get the token of the first. Other callers' keys
    /// are others.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// What a commit comes with, beside its changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    pub(crate) preconditions: Vec<Precondition>,
    pub(crate) metadata: Option<String>,
    pub(crate) idempotency_key: Option<IdempotencyKey>,
}

/// A deletion by pattern.
#[derive(Debug, Clone)]
pub struct Deletion {
    /// What is deleted.
    pub filter: RelationshipFilter,
    /// What must hold for it to be deleted.
    pub preconditions: Vec<Precondition>,
    /// The most that is deleted; 0 for no limit.
    pub limit: u32,
    /// Whether deleting some of more than `limit` is fine.
    pub is_partial_allowed: bool,
    /// What the caller says about the change, as a JSON object.
    pub metadata: Option<String>,
}

/// A deletion that was made.
#[derive(Debug, Clone, Copy)]
pub struct Deleted {
    /// The token of the commit.
    pub at: Token,
    /// How many relationships it deleted.
    pub count: u64,
    /// Whether none that match are left.
    pub is_complete: bool,
}

/// Commits a write and returns its token. This node answers from the commit or a later one from then on.
///
/// # Errors
/// [`Error`] for limits, updates that do not fit the schema, preconditions that fail, and a store that cannot commit. A
/// write that failed changed nothing, except for [`Kind::Unavailable`] after the connection to a store was lost.
pub async fn write(node: &Node, caller: &Caller, write: Write) -> Result<Token, Error> {
    let limits = &node.settings().limits;
    let count = write.updates.len();
    if count > limits.updates_max {
        let updates_max = limits.updates_max;
        let message = format!(
            "too many updates ({count}) for WriteRelationships call (maximum: {updates_max}); consider using \
             ImportBulkRelationships API instead"
        );
        return Err(Error::invalid(Reason::TooManyUpdatesInRequest, message)
            .with("update_count", count)
            .with("maximum_updates_allowed", updates_max));
    }
    check_metadata(node, write.metadata.as_deref())?;
    check_precondition_count(node, &write.preconditions)?;
    check_duplicates(&write.updates)?;
    for update in &write.updates {
        check_context_size(node, update)?;
    }
    let permit = Permit::of(node, caller)?;
    for precondition in &write.preconditions {
        permit.require_precondition(precondition.filter())?;
    }
    permit.require_updates(Action::Write, &write.updates)?;
    let terms = Terms {
        preconditions: write.preconditions,
        metadata: write.metadata,
        idempotency_key: write.idempotency_key,
    };
    let committed = commit_updates(node, caller, terms, write.updates).await?;
    node.published(committed.revision, committed.hash).await
}

/// Commits updates that were let through; those that give rights, or take them away, only if the caller may at the head.
pub(crate) async fn commit_updates(
    node: &Node,
    caller: &Caller,
    terms: Terms,
    updates: Vec<RelationshipUpdate>,
) -> Result<Committed, Error> {
    let mut definitions = updates
        .iter()
        .map(|update| &update.relationship.resource.definition);
    let gives_rights = definitions.any(|definition| access::is_built_in(definition.as_str()));
    let changes: Vec<ChangeRequest> = updates
        .into_iter()
        .map(ChangeRequest::Relationship)
        .collect();
    if !gives_rights {
        return commit(node, caller, terms, changes).await;
    }
    if terms.idempotency_key.is_some() {
        // What such a commit holds is worked out at the head, so that a repetition would not be known again.
        let message =
            "a write of built-in definitions cannot have an idempotency key; send it without";
        return Err(Error::new(Kind::InvalidArgument, message));
    }
    let more = (terms.preconditions, terms.metadata);
    commit_at_head(node, caller, more, |head| {
        let mut changes = changes.clone();
        check_against(head.snapshot.schema(), &[], &changes)?;
        access::check_changes(node, caller, head, &mut changes)?;
        Ok(changes)
    })
    .await
}

/// Deletes the relationships that match a pattern, in one commit.
///
/// # Errors
/// As [`write`]; and if more match than the limit and a partial deletion is not allowed.
pub async fn delete(
    node: &Node,
    caller: &Caller,
    mut deletion: Deletion,
) -> Result<Deleted, Error> {
    let limit_max = node.settings().limits.page_size_max;
    if deletion.limit > limit_max {
        return Err(Error::limit_too_big(deletion.limit, limit_max));
    }
    check_metadata(node, deletion.metadata.as_deref())?;
    check_precondition_count(node, &deletion.preconditions)?;
    let permit = Permit::of(node, caller)?;
    for precondition in &deletion.preconditions {
        permit.require_precondition(precondition.filter())?;
    }
    match &deletion.filter.definition {
        Some(definition) if access::is_built_in(definition.as_str()) => {
            access::require_deletion(&permit, &deletion.filter)?;
            return delete_rights(node, caller, deletion).await;
        }
        // It may match what is built in.
        None => {
            permit.require_administrator()?;
            let left = access::administrator_left(&node.current.load(), &deletion.filter)?;
            deletion.preconditions.extend(left);
        }
        Some(_) => permit.require_filter(Action::Write, &deletion.filter)?,
    }
    let change = ChangeRequest::DeleteMatching {
        filter: deletion.filter.clone(),
        limit: (deletion.limit > 0).then_some(deletion.limit),
        partial: deletion.is_partial_allowed,
    };
    let terms = Terms {
        preconditions: deletion.preconditions,
        metadata: deletion.metadata,
        idempotency_key: None,
    };
    let committed = commit(node, caller, terms, vec![change])
        .await
        .map_err(|error| match error.reason {
            Some(Reason::TooManyRelationshipsForTransactionalDelete) => {
                precondition::with_filter(error, &deletion.filter)
            }
            Some(_) | None => error,
        })?;
    let at = node.published(committed.revision, committed.hash).await?;
    Ok(Deleted {
        at,
        count: committed.deleted_count,
        is_complete: committed.deletion_complete,
    })
}

/// Deletes relationships of what is built in: each has to be one that the caller may take away.
async fn delete_rights(node: &Node, caller: &Caller, deletion: Deletion) -> Result<Deleted, Error> {
    let count = AtomicU64::new(0);
    let limit_max = node.settings().limits.updates_max;
    let more = (deletion.preconditions, deletion.metadata);
    let committed = commit_at_head(node, caller, more, |head| {
        typing::filter(head.snapshot.schema(), &deletion.filter)?;
        let now = node.now();
        let rows = head.snapshot.relationships(&deletion.filter);
        let rows = rows.filter(|row| !row.is_expired(now));
        let mut changes: Vec<ChangeRequest> = rows.take(limit_max + 1).map(deleted).collect();
        if changes.len() > limit_max
            || (deletion.limit > 0 && changes.len() > deletion.limit as usize)
        {
            let limit = limit_max.min(deletion.limit as usize).max(1);
            let message = format!("more than {limit} rights match; name them more closely");
            return Err(Error::invalid(
                Reason::TooManyRelationshipsForTransactionalDelete,
                message,
            ));
        }
        count.store(changes.len() as u64, Ordering::Relaxed);
        access::check_changes(node, caller, head, &mut changes)?;
        Ok(changes)
    })
    .await?;
    Ok(Deleted {
        at: node.published(committed.revision, committed.hash).await?,
        count: count.into_inner(),
        is_complete: true,
    })
}

fn deleted(relationship: Relationship) -> ChangeRequest {
    ChangeRequest::Relationship(RelationshipUpdate {
        operation: Operation::Delete,
        relationship,
    })
}

/// Deletes every relationship of an object, as resource and as subject, in one commit.
///
/// # Errors
/// As [`write`]; [`Kind::LimitExceeded`] if they are more than one commit may hold.
/// # Cost
/// O(relationships of the object) and one pass over those that the edge classes with it hold from the other end.
pub async fn delete_object(
    node: &Node,
    caller: &Caller,
    object: &ObjectRef,
    preconditions: Vec<Precondition>,
    metadata: Option<String>,
) -> Result<Deleted, Error> {
    check_metadata(node, metadata.as_deref())?;
    check_precondition_count(node, &preconditions)?;
    // It tells of relationships of whatever definition.
    Permit::of(node, caller)?.require(Action::Write, Target::System)?;
    let as_resource = RelationshipFilter {
        definition: Some(object.definition.clone()),
        resource_id: Some(ResourceIdFilter::Exact(object.id.clone())),
        ..RelationshipFilter::default()
    };
    let as_subject = RelationshipFilter {
        subject: Some(SubjectFilter {
            definition: object.definition.clone(),
            id: Some(SubjectId::Object(object.id.clone())),
            relation: SubjectRelationFilter::Any,
        }),
        ..RelationshipFilter::default()
    };
    let count = AtomicU64::new(0);
    let committed = commit_at_head(node, caller, (preconditions, metadata), |head| {
        let snapshot = &head.snapshot;
        typing::filter(snapshot.schema(), &as_resource)?;
        let now = node.now();
        count.store(0, Ordering::Relaxed);
        let mut keys = HashSet::new();
        let rows = [&as_resource, &as_subject].map(|filter| snapshot.relationships(filter));
        let rows = rows
            .into_iter()
            .flatten()
            .filter(|row| keys.insert(row.key()));
        let changes = rows.map(|relationship| {
            // The expired ones go too, and are as if they had not been there.
            count.fetch_add(u64::from(!relationship.is_expired(now)), Ordering::Relaxed);
            deleted(relationship)
        });
        let mut changes = changes.collect();
        access::check_changes(node, caller, head, &mut changes)?;
        Ok(changes)
    })
    .await?;
    Ok(Deleted {
        at: node.published(committed.revision, committed.hash).await?,
        count: count.into_inner(),
        is_complete: true,
    })
}

/// Commits changes that are worked out on what the node has at the head, again if the head has moved. Meanwhile this node makes
/// no other commit.
pub(crate) async fn commit_at_head(
    node: &Node,
    caller: &Caller,
    (preconditions, metadata): (Vec<Precondition>, Option<String>),
    work_out: impl Fn(&Arc<Published>) -> Result<Vec<ChangeRequest>, Error>,
) -> Result<Committed, Error> {
    /// Commits of other nodes that may come in between.
    const TRIES_MAX: usize = 16;
    let _gate = node.write_gate().write().await;
    node.view(Consistency::FullyConsistent).await?;
    for _ in 0..TRIES_MAX {
        let head = node.current.load_full();
        for precondition in &preconditions {
            typing::filter(head.snapshot.schema(), precondition.filter())?;
        }
        let request = CommitRequest {
            base: Base {
                is_evaluated: true,
                ..head.base()
            },
            preconditions: preconditions.clone(),
            changes: work_out(&head)?,
            idempotency_key: None,
            provenance: provenance(caller, metadata.clone()),
            now: node.now(),
        };
        match node.make_durable(request).await {
            Ok(committed) => return Ok(committed),
            Err(CommitError::Conflict { head }) => node.reached(head).await?,
            Err(error) => return Err(refused(node, error)),
        }
    }
    Err(conflict())
}

/// Validates changes against the schema of this node and commits them; again from the start if the schema has moved.
pub(crate) async fn commit(
    node: &Node,
    caller: &Caller,
    terms: Terms,
    changes: Vec<ChangeRequest>,
) -> Result<Committed, Error> {
    /// A schema that moves faster than this is not to be kept up with.
    const TRIES_MAX: usize = 8;
    // What a node that stopped knows of the schema is not to be relied on.
    node.ready()?;
    let key = terms.idempotency_key.as_ref();
    let key = key.map(|key| own_key(caller, key)).transpose()?;
    let _gate = node.write_gate().read().await;
    for _ in 0..TRIES_MAX {
        let current = node.current.load_full();
        check_against(current.snapshot.schema(), &terms.preconditions, &changes)?;
        let request = CommitRequest {
            base: current.base(),
            preconditions: terms.preconditions.clone(),
            changes: changes.clone(),
            idempotency_key: key.clone(),
            provenance: provenance(caller, terms.metadata.clone()),
            now: node.now(),
        };
        match node.make_durable(request).await {
            Ok(committed) => return Ok(committed),
            Err(CommitError::Conflict { head }) => node.reached(head).await?,
            Err(error) => return Err(refused(node, error)),
        }
    }
    Err(conflict())
}

/// The key as the store has it: each caller has keys of its own.
fn own_key(caller: &Caller, key: &IdempotencyKey) -> Result<IdempotencyKey, Error> {
    let name = caller.name().as_bytes();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(name);
    hasher.update(key.as_str().as_bytes());
    let text = hasher.finalize().to_hex();
    IdempotencyKey::new(&text).map_err(|error| Error::new(Kind::Internal, error.to_string()))
}

pub(crate) fn provenance(caller: &Caller, metadata: Option<String>) -> Provenance {
    Provenance {
        actor: caller.name().to_owned(),
        reason: None,
        metadata,
        origin: Some(origin(caller)),
    }
}

/// From where a caller calls, and by what it is known: for the audit log, and without a secret.
fn origin(caller: &Caller) -> String {
    let by = by(caller.credential());
    match caller.peer() {
        Some(peer) => format!("{peer} by {by}"),
        None => by,
    }
}

fn by(credential: &Credential) -> String {
    let with_id = |what: String, id: &Option<String>| match id {
        Some(id) => format!("{what}, {id}"),
        None => what,
    };
    match credential {
        Credential::None => "nothing that was asked for".to_owned(),
        Credential::PresharedKey { name } => format!("preshared key {name}"),
        Credential::Token { issuer, id } => with_id(format!("token of {issuer}"), id),
        Credential::JwtSvid { trust_domain, id } => {
            with_id(format!("JWT-SVID of {trust_domain}"), id)
        }
        Credential::X509Svid {
            trust_domain,
            serial,
        } => format!("X.509-SVID of {trust_domain}, {serial}"),
        Credential::Minted { id, rests_on } => {
            format!("minted token {id} on {}", self::by(rests_on))
        }
    }
}

pub(crate) fn conflict() -> Error {
    Error::new(
        Kind::Conflict,
        "the schema changed while the request was being committed; try again",
    )
    .with_reason(Reason::SerializationFailure)
}

/// What the refusal of a commit means to the caller. A store that has lost what it had committed is no longer this node's.
pub(crate) fn refused(node: &Node, error: CommitError) -> Error {
    match error {
        CommitError::AlreadyExists(key) => Error::already_exists(&key),
        CommitError::PreconditionFailed { precondition, .. } => precondition::failed(&precondition),
        CommitError::TooManyToDelete { limit, .. } => {
            let message = format!(
                "found more than {limit} relationships to be deleted and partial deletion was not requested"
            );
            Error::invalid(Reason::TooManyRelationshipsForTransactionalDelete, message)
                .with("limit", limit)
        }
        CommitError::Conflict { .. } => conflict(),
        CommitError::TooLarge { .. } => Error::new(Kind::LimitExceeded, error.to_string()),
        CommitError::Erasure { .. } => Error::new(Kind::FailedPrecondition, error.to_string()),
        CommitError::Store(StoreError::Overloaded { .. }) => Error::new(
            Kind::Overloaded,
            "too many commits wait for the store; try again later",
        )
        .caused_by(error),
        CommitError::Store(StoreError::Full) => {
            Error::new(Kind::Unavailable, "the store has no room left").caused_by(error)
        }
        CommitError::Store(StoreError::Diverged { .. }) => node.diverged(error),
        CommitError::IdempotencyKeyReused { .. } => Error::new(
            Kind::FailedPrecondition,
            "the idempotency key was used for another write; each write needs a key of its own",
        ),
        CommitError::Store(_) => {
            Error::new(Kind::Unavailable, "the store cannot commit").caused_by(error)
        }
    }
}

fn check_against(
    schema: &Schema,
    preconditions: &[Precondition],
    changes: &[ChangeRequest],
) -> Result<(), Error> {
    for precondition in preconditions {
        typing::filter(schema, precondition.filter())?;
    }
    for change in changes {
        match change {
            ChangeRequest::Relationship(update) => {
                typing::relationship(schema, &update.relationship, update.operation)?;
            }
            ChangeRequest::DeleteMatching { filter, .. } => typing::filter(schema, filter)?,
            ChangeRequest::Schema(_)
            | ChangeRequest::Record { .. }
            | ChangeRequest::Erase(_)
            | ChangeRequest::RemoveExpired { .. } => {}
        }
    }
    Ok(())
}

fn check_metadata(node: &Node, metadata: Option<&str>) -> Result<(), Error> {
    let bytes_max = node.settings().limits.transaction_metadata_bytes_max;
    let bytes = metadata.map_or(0, str::len);
    if bytes <= bytes_max {
        return Ok(());
    }
    let message =
        format!("metadata size of {bytes} is greater than maximum allowed of {bytes_max}");
    Err(Error::invalid(Reason::TransactionMetadataTooLarge, message)
        .with("metadata_byte_size", bytes)
        .with("maximum_allowed_metadata_byte_size", bytes_max))
}

fn check_precondition_count(node: &Node, preconditions: &[Precondition]) -> Result<(), Error> {
    let (count, count_max) = (
        preconditions.len(),
        node.settings().limits.preconditions_max,
    );
    if count <= count_max {
        return Ok(());
    }
    let message =
        format!("precondition count of {count} is greater than maximum allowed of {count_max}");
    // The second key is the peer's own slip; clients read it under this name.
    Err(
        Error::invalid(Reason::TooManyPreconditionsInRequest, message)
            .with("precondition_count", count)
            .with("maximum_updates_allowed", count_max),
    )
}

fn check_duplicates(updates: &[RelationshipUpdate]) -> Result<(), Error> {
    let mut seen: HashSet<RelationshipKey> = HashSet::with_capacity(updates.len());
    for update in updates {
        let key = update.relationship.key();
        if seen.contains(&key) {
            let message = format!(
                "found more than one update with relationship `{key}` in this request; a relationship can only be \
                 specified in an update once per overall WriteRelationships request"
            );
            return Err(Error::invalid(Reason::UpdatesOnSameRelationship, message)
                .with("definition_name", &key.resource.definition)
                .with("relationship", &update.relationship));
        }
        seen.insert(key);
    }
    Ok(())
}

/// Checks the size of the context that a relationship carries.
pub(crate) fn check_context_size(node: &Node, update: &RelationshipUpdate) -> Result<(), Error> {
    let bytes_max = node.settings().limits.relationship_context_bytes_max;
    let Some(caveat) = update
        .relationship
        .caveat
        .as_ref()
        .filter(|caveat| !caveat.context.is_empty())
    else {
        return Ok(());
    };
    let bytes = caveat.context.to_json().len();
    if bytes <= bytes_max {
        return Ok(());
    }
    let key = update.relationship.key();
    let message = format!(
        "provided relationship `{key}` exceeded maximum allowed caveat size of {bytes_max}"
    );
    Err(Error::invalid(Reason::MaxRelationshipContextSize, message)
        .with("relationship", key)
        .with("max_allowed_size", bytes_max)
        .with("context_size", bytes))
}
