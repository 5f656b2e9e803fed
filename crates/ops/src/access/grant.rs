//! Giving rights and taking them away: who may change which relationships of what is built in.
//!
//! Nobody gives more than they hold: not an action, not a scope, and not for longer. To be in a group is to have what the group has,
//! so whoever makes a member of it has to hold all of that. What was evaluated for this is what the commit rests on: it is made on
//! that head or not at all.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use identity::Caller;
use model::{
    DefinitionName, ObjectRef, Operation, Precondition, Relationship, RelationshipFilter,
    RelationshipUpdate, ResourceIdFilter, SubjectFilter, SubjectId, SubjectRef,
    SubjectRelationFilter, Timestamp,
};
use store::ChangeRequest;

use super::permit::Permit;
use super::roles::{ADMINISTRATOR, Action, GROUP, MANAGER, MEMBER, PREFIX, SYSTEM_ID, Scope};
use super::state;
use super::target::{Target, object};
use crate::error::{Error, Kind, Reason};
use crate::node::{Node, Published};

/// Whether a definition is built in.
pub(crate) fn is_built_in(definition: &str) -> bool {
    definition.starts_with(PREFIX)
}

/// Checks the changes that are made to what is built in, at that head, and adds what goes with them.
///
/// # Errors
/// [`Kind::Forbidden`] if the caller may not, [`Kind::FailedPrecondition`] if no administrator would be left.
pub(crate) fn check_changes(
    node: &Node,
    caller: &Caller,
    head: &Arc<Published>,
    changes: &mut Vec<ChangeRequest>,
) -> Result<(), Error> {
    let permit = &Permit::at(node, caller, Arc::clone(head))?;
    let own = changes.iter().filter_map(|change| match change {
        ChangeRequest::Relationship(update) => Some(update),
        ChangeRequest::DeleteMatching { .. }
        | ChangeRequest::Record { .. }
        | ChangeRequest::Schema(_)
        | ChangeRequest::Erase(_)
        | ChangeRequest::RemoveExpired { .. } => None,
    });
    let own = own.filter(|update| is_built_in(update.relationship.resource.definition.as_str()));
    let own: Vec<&RelationshipUpdate> = own.collect();
    for update in &own {
        check_change(permit, head, update)?;
    }
    let is_enforced = head.records.access.is_enforced;
    let makes_administrator = own.iter().any(|update| {
        is_administrator(&update.relationship) && update.operation != Operation::Delete
    });
    if is_enforced || makes_administrator {
        check_administrators(permit, head, &own)?;
    }
    if makes_administrator && !is_enforced {
        let change = state::enforce();
        changes.push(change.map_err(|error| Error::new(Kind::Internal, error.to_string()))?);
    }
    Ok(())
}

fn check_change(
    permit: &Permit<'_>,
    head: &Published,
    update: &RelationshipUpdate,
) -> Result<(), Error> {
    let relationship = &update.relationship;
    let until = match update.operation {
        Operation::Delete => None,
        Operation::Create | Operation::Touch => Some(last_instant(relationship)),
    };
    let definition = relationship.resource.definition.as_str();
    if definition == GROUP {
        return check_group(permit, head, relationship, until);
    }
    let Some(scope) = Scope::of_definition(definition) else {
        // It has no relations; the types of the schema say so.
        return Ok(());
    };
    let of = target(scope, relationship.resource.id.as_str());
    // Who may ask in somebody's name is for those to say who look after all callers.
    let governed_by = match of {
        Target::User(_) => Target::System,
        Target::System | Target::Definition(_) | Target::Member(..) => of,
    };
    require_until(permit, Action::Grant, governed_by, until)?;
    let action = Action::of_role(relationship.relation.as_str());
    match (action, until) {
        (Some(action), Some(until)) => require_until(permit, action, of, Some(until)),
        // Whoever may give there may take away there.
        (Some(_), None) => Ok(()),
        // Of what is built in, only an administrator's is no action.
        (None, until) => require_administrator(permit, until.unwrap_or(permit.now())),
    }
}

/// What the object of a scope stands for.
fn target(scope: Scope, id: &str) -> Target<'_> {
    match scope {
        Scope::System => Target::System,
        Scope::Definition => Target::Definition(id),
        Scope::User => Target::User(id),
        Scope::Relation => match id.rsplit_once('/') {
            Some((definition, member)) => Target::Member(definition, member),
            // It allows nothing, whoever has it.
            None => Target::Definition(id),
        },
    }
}

fn check_group(
    permit: &Permit<'_>,
    head: &Published,
    relationship: &Relationship,
    until: Option<Timestamp>,
) -> Result<(), Error> {
    let (group, now) = (&relationship.resource, permit.now());
    // Rights only run out: who has one then has it now, unless that is past.
    let instant = until.unwrap_or(now).max(now);
    let may_grant = permit.may_until(Action::Grant, Target::System, instant)?;
    let manages = permit.manages(group, instant)?;
    if relationship.relation.as_str() == MANAGER {
        if may_grant {
            return Ok(());
        }
        return Err(permit.forbidden(Action::Grant, Target::System));
    }
    if !may_grant && !manages {
        let message = format!(
            "`{}` may not change who is a member of `{group}`: that is for its managers, and for granters of the system",
            permit.caller().subject()
        );
        return Err(Error::new(Kind::Forbidden, message));
    }
    let held = held_by(head, group, now);
    let Some(until) = until else {
        // A group of administrators is not emptied by others.
        return match held.iter().any(is_administrator) {
            true => require_administrator(permit, now),
            false => Ok(()),
        };
    };
    for held in held {
        let lasts = held.expires_at.map_or(until, |end| until.min(before(end)));
        let has_it = require_as_much(permit, &held, lasts, may_grant);
        // What the group has is not told.
        has_it.map_err(|_| {
            let message = format!(
                "`{}` does not have all that `{group}` has, for as long: whoever makes a member of it has to",
                permit.caller().subject()
            );
            Error::new(Kind::Forbidden, message)
        })?;
    }
    Ok(())
}

/// Lets through who has what a group has.
fn require_as_much(
    permit: &Permit<'_>,
    held: &Relationship,
    until: Timestamp,
    may_grant: bool,
) -> Result<(), Error> {
    let (definition, id) = (held.resource.definition.as_str(), held.resource.id.as_str());
    match (
        Scope::of_definition(definition),
        Action::of_role(held.relation.as_str()),
    ) {
        (Some(scope), Some(action)) => {
            require_until(permit, action, target(scope, id), Some(until))
        }
        (Some(_), None) => require_administrator(permit, until),
        // To be in another group: what that has is asked for as well.
        (None, _) if held.relation.as_str() != MANAGER || may_grant => Ok(()),
        (None, _) if permit.manages(&held.resource, until)? => Ok(()),
        (None, _) => Err(permit.forbidden(Action::Grant, Target::System)),
    }
}

/// What the members of a group have by it, and by the groups that it is in.
fn held_by(head: &Published, group: &ObjectRef, now: Timestamp) -> Vec<Relationship> {
    let (mut held, mut seen) = (Vec::new(), HashSet::from([group.clone()]));
    let mut next = VecDeque::from([group.clone()]);
    while let Some(group) = next.pop_front() {
        let filter = RelationshipFilter {
            subject: Some(SubjectFilter {
                definition: group.definition.clone(),
                id: Some(SubjectId::Object(group.id.clone())),
                relation: SubjectRelationFilter::Any,
            }),
            ..RelationshipFilter::default()
        };
        for row in head.snapshot.relationships(&filter) {
            if row.is_expired(now) || !is_built_in(row.resource.definition.as_str()) {
                continue;
            }
            let is_membership =
                row.resource.definition.as_str() == GROUP && row.relation.as_str() == MEMBER;
            if is_membership && seen.insert(row.resource.clone()) {
                next.push_back(row.resource.clone());
            }
            held.push(row);
        }
    }
    held
}

fn require_until(
    permit: &Permit<'_>,
    action: Action,
    target: Target<'_>,
    until: Option<Timestamp>,
) -> Result<(), Error> {
    permit.require(action, target)?;
    let Some(until) = until else {
        return Ok(());
    };
    if permit.may_until(action, target, until)? {
        return Ok(());
    }
    let message = format!(
        "`{}` may `{}` there, but not for that long: nobody gives more than they have; give it an earlier expiration",
        permit.caller().subject(),
        action.permission()
    );
    Err(Error::new(Kind::Forbidden, message))
}

fn require_administrator(permit: &Permit<'_>, until: Timestamp) -> Result<(), Error> {
    // An administrator has every action, and nobody else has all of them by one relation.
    if permit.is_administrator(until)? {
        return Ok(());
    }
    let message = format!(
        "`{}` is no administrator for that long, and only administrators make others such",
        permit.caller().subject()
    );
    Err(Error::new(Kind::Forbidden, message))
}

/// Refuses changes after which nobody administers the system for good.
fn check_administrators(
    permit: &Permit<'_>,
    head: &Published,
    updates: &[&RelationshipUpdate],
) -> Result<(), Error> {
    let changes: Vec<&&RelationshipUpdate> = updates
        .iter()
        .filter(|update| is_administrator(&update.relationship))
        .collect();
    if changes.is_empty() {
        return Ok(());
    }
    let system = object(Scope::System, SYSTEM_ID)?;
    let filter = RelationshipFilter {
        definition: Some(system.definition.clone()),
        ..RelationshipFilter::default()
    };
    let rows = head.snapshot.relationships(&filter);
    let mut left: HashSet<SubjectRef> = rows
        .filter(|row| is_administrator(row) && row.expires_at.is_none())
        .map(|row| row.subject)
        .collect();
    for update in changes {
        let relationship = &update.relationship;
        let stays = update.operation != Operation::Delete && relationship.expires_at.is_none();
        if stays {
            left.insert(relationship.subject.clone());
        } else {
            left.remove(&relationship.subject);
        }
    }
    if !left.is_empty() {
        return Ok(());
    }
    let message = format!(
        "no administrator without an expiration would be left; make another one first, as `{}` may",
        permit.caller().subject()
    );
    Err(Error::new(Kind::FailedPrecondition, message)
        .with_reason(Reason::WriteOrDeletePreconditionFailure))
}

/// Lets a deletion of rights through by its filter alone, so that nothing is told of what matches to whoever may take nothing away.
///
/// # Errors
/// [`Kind::Forbidden`], or that of a definition that is not there.
pub(crate) fn require_deletion(
    permit: &Permit<'_>,
    filter: &RelationshipFilter,
) -> Result<(), Error> {
    let definition = filter.definition.as_ref().map(DefinitionName::as_str);
    let id = match &filter.resource_id {
        Some(ResourceIdFilter::Exact(id)) => Some(id),
        Some(ResourceIdFilter::Prefix(_)) | None => None,
    };
    let (Some(definition), Some(id)) = (definition, id) else {
        return permit.require(Action::Grant, Target::System);
    };
    if definition == GROUP {
        let group = ObjectRef {
            definition: DefinitionName::new(GROUP)
                .map_err(|error| Error::new(Kind::Internal, error.to_string()))?,
            id: id.clone(),
        };
        if permit.manages(&group, permit.now())? {
            return Ok(());
        }
    }
    let of = Scope::of_definition(definition).map(|scope| target(scope, id.as_str()));
    match of {
        Some(of @ (Target::Definition(_) | Target::Member(..))) => {
            permit.require(Action::Grant, of)
        }
        Some(Target::System | Target::User(_)) | None => {
            permit.require(Action::Grant, Target::System)
        }
    }
}

/// What has to hold where all that matches `filter` is deleted, whatever it is of: that an administrator is left.
///
/// # Errors
/// [`Kind::FailedPrecondition`] if none would be.
pub(crate) fn administrator_left(
    head: &Published,
    filter: &RelationshipFilter,
) -> Result<Option<Precondition>, Error> {
    if !head.records.access.is_enforced {
        return Ok(None);
    }
    let system = object(Scope::System, SYSTEM_ID)?;
    let of_system = RelationshipFilter {
        definition: Some(system.definition),
        ..RelationshipFilter::default()
    };
    let mut rows = head.snapshot.relationships(&of_system);
    let left =
        rows.find(|row| is_administrator(row) && row.expires_at.is_none() && !filter.matches(row));
    let left = left.ok_or_else(|| {
        let message = "no administrator without an expiration would be left; name the definition of what is to go";
        Error::new(Kind::FailedPrecondition, message)
    })?;
    Ok(Some(Precondition::MustMatch(exactly(&left))))
}

/// The filter of one relationship.
fn exactly(row: &Relationship) -> RelationshipFilter {
    RelationshipFilter {
        definition: Some(row.resource.definition.clone()),
        resource_id: Some(ResourceIdFilter::Exact(row.resource.id.clone())),
        relation: Some(row.relation.clone()),
        subject: Some(SubjectFilter {
            definition: row.subject.definition.clone(),
            id: Some(row.subject.id.clone()),
            relation: match &row.subject.relation {
                Some(relation) => SubjectRelationFilter::Relation(relation.clone()),
                None => SubjectRelationFilter::None,
            },
        }),
    }
}

fn is_administrator(relationship: &Relationship) -> bool {
    relationship.resource.definition.as_str() == Scope::System.definition()
        && relationship.resource.id.as_str() == SYSTEM_ID
        && relationship.relation.as_str() == ADMINISTRATOR
}

/// The last instant at which a relationship counts.
fn last_instant(relationship: &Relationship) -> Timestamp {
    relationship.expires_at.map_or(Timestamp::MAX, before)
}

/// The instant before another.
fn before(instant: Timestamp) -> Timestamp {
    instant.saturating_add_micros(-1)
}
