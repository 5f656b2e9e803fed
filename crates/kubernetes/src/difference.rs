//! What has to be written so that a server has what manifests say.
//!
//! The roles and bindings of an import are marked with its source, and theirs alone are changed. The order is that in which no moment
//! between two commits lets anybody do what neither the old manifests nor the new ones do.
//!
//! All that is taken away goes first: what is left meanwhile is a part of the old. Then come rules whose text changes in place, while
//! bindings, roles and their parts are those that the old and the new have in common: a grant has one rule at its end, so that it is
//! wholly of the old or wholly of the new. After that no rule is of the old alone, and what is added makes parts of the new: that a
//! namespace is of its cluster, whose bans count there, then what roles are made of, then what bindings give.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    ObjectId, ObjectRef, Operation, Relationship, RelationshipKey, RelationshipUpdate, SubjectId,
};

use crate::import::{Desired, Target};
use crate::names;

/// A role or binding that is there and belongs to somebody else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// It was written by hand.
    #[error(
        "`{object}` is there, and was not imported: delete it, or take it out of the manifests"
    )]
    ByHand {
        /// The role or binding.
        object: ObjectRef,
    },
    /// Another import has it.
    #[error("`{object}` was imported from `{other}`: import it from there, or delete it first")]
    OfAnother {
        /// The role or binding.
        object: ObjectRef,
        /// The source of the other import.
        other: String,
    },
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Difference {
    /// In the order in which they are to be written.
    pub updates: Vec<RelationshipUpdate>,
    /// Roles and bindings that are new.
    pub added: Vec<ObjectRef>,
    /// Those that change.
    pub changed: Vec<ObjectRef>,
    /// Those that are taken away, since they are no longer in the manifests.
    pub removed: Vec<ObjectRef>,
    /// Those that are no longer in the manifests, and stay.
    pub left: Vec<ObjectRef>,
    /// Those that are as they should be.
    pub unchanged: usize,
}

/// The definitions, and the beginnings of ids, whose relationships are to be read for [`difference`].
#[must_use]
pub fn to_read(target: &Target) -> Vec<(&'static str, String)> {
    let within = [
        names::ROLE,
        names::CLUSTER_ROLE,
        names::ROLE_BINDING,
        names::CLUSTER_ROLE_BINDING,
        names::RULE,
        names::NAMESPACE,
    ];
    let within = within.map(|definition| (definition, target.cluster.prefix()));
    let cluster = (names::CLUSTER, target.cluster.as_str().to_owned());
    within.into_iter().chain([cluster]).collect()
}

/// What has to be written to a server that has `current` so that it has `desired`; `prune` takes away what was imported before and is
/// no longer there.
///
/// # Errors
/// Every [`Conflict`] with what is of others.
pub fn difference(
    target: &Target,
    desired: &Desired,
    current: Vec<Relationship>,
    prune: bool,
) -> Result<Difference, Vec<Conflict>> {
    let current = Current::of(current);
    let mut conflicts = Vec::new();
    let mut difference = Difference::default();
    let mut writes = Writes::default();
    for (owner, rows) in &desired.owners {
        let Some(there) = current.owners.get(owner) else {
            writes.change(&[], rows);
            difference.added.push(owner.clone());
            continue;
        };
        match current.standing(target, owner) {
            Standing::Ours => {}
            Standing::ByHand => {
                conflicts.push(Conflict::ByHand {
                    object: owner.clone(),
                });
                continue;
            }
            Standing::Another(other) => {
                conflicts.push(Conflict::OfAnother {
                    object: owner.clone(),
                    other,
                });
                continue;
            }
        }
        if writes.change(there, rows) {
            difference.changed.push(owner.clone());
        } else {
            difference.unchanged += 1;
        }
    }
    for (owner, there) in &current.owners {
        let is_gone = !desired.owners.contains_key(owner)
            && current.standing(target, owner) == Standing::Ours;
        if is_gone && prune {
            writes.change(there, &[]);
            difference.removed.push(owner.clone());
        } else if is_gone {
            difference.left.push(owner.clone());
        }
    }
    writes.change(&current.shared_of(desired), &desired.shared);
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    difference.updates = writes.in_order();
    Ok(difference)
}

/// Whose a role or binding is.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Ours,
    ByHand,
    Another(String),
}

/// What a server has, by owner.
#[derive(Default)]
struct Current {
    owners: BTreeMap<ObjectRef, Vec<Relationship>>,
    shared: Vec<Relationship>,
}

impl Current {
    fn of(rows: Vec<Relationship>) -> Self {
        let mut current = Self::default();
        for row in rows {
            match owner(&row) {
                Some(owner) => current.owners.entry(owner).or_default().push(row),
                None => current.shared.push(row),
            }
        }
        current
    }

    fn standing(&self, target: &Target, owner: &ObjectRef) -> Standing {
        let rows = self
            .owners
            .get(owner)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let marks: Vec<&Relationship> = rows.iter().filter(|row| is_mark(row)).collect();
        let ours = target.cluster.object(names::SOURCE, &[&target.source]);
        let is_ours = |row: &&&Relationship| match (&row.subject.id, &ours) {
            (SubjectId::Object(id), Ok(ours)) => *id == ours.id,
            (SubjectId::Object(_) | SubjectId::Wildcard, _) => false,
        };
        match (marks.iter().find(|row| !is_ours(row)), marks.is_empty()) {
            (Some(other), _) => Standing::Another(other.subject.id.as_str().to_owned()),
            (None, true) => Standing::ByHand,
            (None, false) => Standing::Ours,
        }
    }

    /// What is there of what nobody owns and is wanted; the rest of it is left alone.
    fn shared_of(&self, desired: &Desired) -> Vec<Relationship> {
        let wanted: BTreeSet<RelationshipKey> =
            desired.shared.iter().map(Relationship::key).collect();
        let there = self.shared.iter();
        there
            .filter(|row| wanted.contains(&row.key()))
            .cloned()
            .collect()
    }
}

/// The role or binding that a relationship is a part of.
fn owner(row: &Relationship) -> Option<ObjectRef> {
    let resource = row.resource.definition.as_str();
    if resource == names::RULE {
        return owner_of_rule(&row.resource.id);
    }
    let is_owner = [
        names::ROLE,
        names::CLUSTER_ROLE,
        names::ROLE_BINDING,
        names::CLUSTER_ROLE_BINDING,
    ]
    .contains(&resource);
    if is_owner {
        return Some(row.resource.clone());
    }
    match &row.subject.id {
        SubjectId::Object(id) if row.relation.as_str() == names::BINDING => Some(ObjectRef {
            definition: row.subject.definition.clone(),
            id: id.clone(),
        }),
        SubjectId::Object(_) | SubjectId::Wildcard => None,
    }
}

/// A rule of `main/view/0` is one of the cluster role `main/view`, and one of `main/prod/deployer/0` of a role.
fn owner_of_rule(id: &ObjectId) -> Option<ObjectRef> {
    let (path, _) = id.as_str().rsplit_once('/')?;
    let definition = match path.matches('/').count() {
        1 => names::CLUSTER_ROLE,
        2 => names::ROLE,
        _ => return None,
    };
    Some(ObjectRef {
        definition: definition.parse().ok()?,
        id: ObjectId::new(path).ok()?,
    })
}

fn is_mark(row: &Relationship) -> bool {
    row.relation.as_str() == names::OF_SOURCE
}

/// Updates, by when they are to be written.
#[derive(Default)]
struct Writes {
    /// The marks of what is new: first, so that whatever follows is known to be ours.
    marked: Vec<RelationshipUpdate>,
    taken: Vec<RelationshipUpdate>,
    /// What rules match.
    matched: Vec<RelationshipUpdate>,
    /// Of which cluster namespaces are.
    scoped: Vec<RelationshipUpdate>,
    /// The rules of roles.
    ruled: Vec<RelationshipUpdate>,
    /// The roles of roles.
    aggregated: Vec<RelationshipUpdate>,
    given: Vec<RelationshipUpdate>,
    /// The marks of what is gone: last, so that what is left of it after a cut is known to be ours.
    unmarked: Vec<RelationshipUpdate>,
}

impl Writes {
    /// Turns what is there into what is wanted; whether that changes anything.
    fn change(&mut self, there: &[Relationship], wanted: &[Relationship]) -> bool {
        let have: BTreeMap<RelationshipKey, &Relationship> =
            there.iter().map(|row| (row.key(), row)).collect();
        let want: BTreeSet<RelationshipKey> = wanted.iter().map(Relationship::key).collect();
        let mut is_changed = false;
        for row in wanted {
            if have.get(&row.key()) != Some(&row) {
                is_changed = true;
                self.add(Operation::Touch, row);
            }
        }
        for (_, row) in have.iter().filter(|(key, _)| !want.contains(key)) {
            is_changed = true;
            self.add(Operation::Delete, row);
        }
        is_changed
    }

    fn add(&mut self, operation: Operation, row: &Relationship) {
        let is_taken = operation == Operation::Delete;
        let when = match (is_mark(row), is_taken) {
            (true, false) => &mut self.marked,
            (true, true) => &mut self.unmarked,
            (false, true) => &mut self.taken,
            (false, false) => match row.relation.as_str() {
                names::MATCHES | names::MATCHES_URL => &mut self.matched,
                names::OF_CLUSTER => &mut self.scoped,
                names::OF_RULE => &mut self.ruled,
                names::AGGREGATE => &mut self.aggregated,
                _ => &mut self.given,
            },
        };
        when.push(RelationshipUpdate {
            operation,
            relationship: row.clone(),
        });
    }

    fn in_order(self) -> Vec<RelationshipUpdate> {
        let phases = [
            self.taken,
            self.marked,
            self.matched,
            self.scoped,
            self.ruled,
            self.aggregated,
            self.given,
            self.unmarked,
        ];
        phases.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests;
