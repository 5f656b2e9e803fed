//! What a look-up has found, in the order of the ids, which is the same on every node.

use std::cmp::Ordering;

use model::ObjectId;
use roaring::RoaringBitmap;
use schema::DefinitionIx;

use super::set::Set;
use crate::eval::value::{EvalError, Flags, Value};
use crate::graph::{ObjectIx, Snapshot};

/// How an object is among what was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// For certain.
    Certain,
    /// Depending on caveat parameters that the context lacks.
    Conditional {
        /// Their names, sorted.
        missing: Vec<String>,
    },
}

/// The objects that a look-up has found, of one definition.
///
/// # Cost
/// Four bytes for each object, besides the sets that it was found with.
#[derive(Debug, Clone)]
pub struct Found {
    definition: DefinitionIx,
    set: Set,
    /// The objects that are in the set on their own account, in the order of their ids.
    members: Vec<u32>,
    /// The object that was asked about, if it is among what was found and no relationship names it.
    unnamed: Option<(ObjectId, u32)>,
}

/// The number that stands for an object which no relationship names.
pub(super) struct StandIn {
    pub(super) object: ObjectIx,
    pub(super) id: ObjectId,
}

impl Found {
    pub(super) fn new(
        snapshot: &Snapshot,
        definition: DefinitionIx,
        set: Set,
        stand_in: &StandIn,
    ) -> Self {
        let mut members = set.yes.clone();
        let own = set
            .other
            .iter()
            .filter(|(_, undecided)| undecided.is_own && undecided.flags.errors.is_empty());
        members.extend(own.map(|(object, _)| *object));
        let unnamed = members
            .remove(stand_in.object.0)
            .then(|| (stand_in.id.clone(), stand_in.object.0));
        Self {
            definition,
            members: in_order(snapshot, definition, &members),
            set,
            unnamed,
        }
    }

    /// How many objects were found on their own account: all, where there is no wildcard.
    #[must_use]
    pub fn count(&self) -> usize {
        self.members.len() + usize::from(self.unnamed.is_some())
    }

    /// How every object is among what was found, but for those [`Self::excluded`]; none without a wildcard that counts.
    #[must_use]
    pub fn everybody(&self) -> Option<Membership> {
        match &self.set.default {
            Value::No => None,
            Value::Yes => Some(Membership::Certain),
            Value::Undecided(flags) if flags.errors.is_empty() => Some(conditional(flags)),
            Value::Undecided(_) => None,
        }
    }

    /// The objects for which [`Self::everybody`] does not hold, surely or on a condition, in the order of their ids.
    #[must_use]
    pub fn excluded(&self, snapshot: &Snapshot) -> Vec<(ObjectId, Membership)> {
        if self.everybody().is_none() {
            return Vec::new();
        }
        let mut excluded = self.set.no.clone();
        excluded.extend(self.set.other.keys().copied());
        in_order(snapshot, self.definition, &excluded)
            .into_iter()
            .filter_map(|object| {
                let membership = match self.set.other.get(&object) {
                    Some(undecided) if undecided.flags.errors.is_empty() => {
                        conditional(&undecided.flags)
                    }
                    Some(_) | None => Membership::Certain,
                };
                Some((
                    snapshot.object_id(self.definition, ObjectIx(object))?,
                    membership,
                ))
            })
            .collect()
    }

    /// Why it is not known of some objects whether they belong here. Of several reasons the least.
    #[must_use]
    pub fn error(&self) -> Option<&EvalError> {
        let of_default = match &self.set.default {
            Value::Undecided(flags) => flags.errors.first(),
            Value::No | Value::Yes => None,
        };
        let of_objects = self
            .set
            .other
            .values()
            .filter_map(|undecided| undecided.flags.errors.first());
        of_objects.chain(of_default).min()
    }

    /// The objects that were found on their own account, in the byte order of their ids, from the one after `after` on.
    pub fn members<'f>(
        &'f self,
        snapshot: &'f Snapshot,
        after: Option<&str>,
    ) -> impl Iterator<Item = (ObjectId, Membership)> + use<'f> {
        let start = match after {
            None => 0,
            Some(after) => {
                let dictionary = snapshot.dictionary(self.definition);
                let place = dictionary.lower_bound(&self.members, after);
                let is_there = self
                    .members
                    .get(place)
                    .and_then(|object| dictionary.id(ObjectIx(*object)))
                    .is_some_and(|id| id == after);
                place + usize::from(is_there)
            }
        };
        let mut named = self
            .members
            .get(start..)
            .unwrap_or_default()
            .iter()
            .copied()
            .filter_map(move |object| {
                Some((
                    snapshot.object_id(self.definition, ObjectIx(object))?,
                    object,
                ))
            })
            .peekable();
        let mut unnamed = self
            .unnamed
            .clone()
            .filter(|(id, _)| after.is_none_or(|after| id.as_str() > after));
        std::iter::from_fn(move || {
            let is_unnamed_next = match (&unnamed, named.peek()) {
                (Some((id, _)), Some((next, _))) => {
                    id.as_str().cmp(next.as_str()) == Ordering::Less
                }
                (Some(_), None) => true,
                (None, _) => false,
            };
            if is_unnamed_next {
                unnamed.take()
            } else {
                named.next()
            }
        })
        .map(|(id, object)| (id, self.membership(object)))
    }

    fn membership(&self, object: u32) -> Membership {
        match self.set.other.get(&object) {
            Some(undecided) => conditional(&undecided.flags),
            None => Membership::Certain,
        }
    }
}

fn conditional(flags: &Flags) -> Membership {
    Membership::Conditional {
        missing: flags.missing.iter().cloned().collect(),
    }
}

/// Sorts a few by their ids; reads many from the list of all.
fn in_order(snapshot: &Snapshot, definition: DefinitionIx, objects: &RoaringBitmap) -> Vec<u32> {
    const ALL_PER_OBJECT: u64 = 16;
    let dictionary = snapshot.dictionary(definition);
    if objects.len().saturating_mul(ALL_PER_OBJECT) < dictionary.len() as u64 {
        let mut few: Vec<ObjectIx> = objects.iter().map(ObjectIx).collect();
        dictionary.sort(&mut few);
        return few.into_iter().map(|object| object.0).collect();
    }
    let all = dictionary.sorted();
    all.iter()
        .copied()
        .filter(|object| objects.contains(*object))
        .collect()
}
