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
    unnamed: Option<Unnamed>,
    /// Objects that everybody does not stand for, and that no relationship names; in the order of their ids.
    strangers: Vec<ObjectId>,
}

/// The object that was asked about, where it is among what was found and no relationship names it.
#[derive(Debug, Clone)]
struct Unnamed {
    /// Where it stands among all.
    place: usize,
    id: ObjectId,
    object: u32,
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
        let is_unnamed_found = members.remove(stand_in.object.0);
        let members = in_order(snapshot, definition, &members);
        let unnamed = is_unnamed_found.then(|| {
            let dictionary = snapshot.dictionary(definition);
            Unnamed {
                place: dictionary.lower_bound(&members, stand_in.id.as_str()),
                id: stand_in.id.clone(),
                object: stand_in.object.0,
            }
        });
        Self {
            definition,
            set,
            members,
            unnamed,
            strangers: Vec::new(),
        }
    }

    /// Nothing.
    #[must_use]
    pub fn nothing(definition: DefinitionIx) -> Self {
        Self {
            definition,
            set: Set::default(),
            members: Vec::new(),
            unnamed: None,
            strangers: Vec::new(),
        }
    }

    /// What was found without those objects, whatever grants to them.
    #[must_use]
    pub fn without<'i>(
        mut self,
        snapshot: &Snapshot,
        ids: impl IntoIterator<Item = &'i ObjectId>,
    ) -> Self {
        for id in ids {
            self.unnamed = self.unnamed.filter(|unnamed| unnamed.id != *id);
            let Some(object) = snapshot.object_ix(self.definition, id.as_str()) else {
                self.strangers.push(id.clone());
                continue;
            };
            self.set.yes.remove(object.0);
            self.set.other.remove(&object.0);
            self.set.no.insert(object.0);
            self.members.retain(|member| *member != object.0);
        }
        self.strangers.sort_unstable();
        self
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
        let named = in_order(snapshot, self.definition, &excluded);
        let named = named.into_iter().filter_map(|object| {
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
        });
        let strangers = self.strangers.iter().cloned();
        let mut excluded: Vec<_> = named
            .chain(strangers.map(|id| (id, Membership::Certain)))
            .collect();
        if !self.strangers.is_empty() {
            excluded.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        }
        excluded
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

    /// How many of the objects that were found on their own account have no id past `id`: the place of the one after it.
    #[must_use]
    pub fn place_after(&self, snapshot: &Snapshot, id: &str) -> usize {
        let dictionary = snapshot.dictionary(self.definition);
        let place = dictionary.lower_bound(&self.members, id);
        let at_place = self.members.get(place);
        let is_there = at_place
            .and_then(|object| dictionary.id(ObjectIx(*object)))
            .is_some_and(|own| own.as_str() == id);
        let unnamed = self.unnamed.as_ref();
        let is_past_unnamed = unnamed.is_some_and(|unnamed| unnamed.id.as_str() <= id);
        place + usize::from(is_there) + usize::from(is_past_unnamed)
    }

    /// The object at `place` among those that were found on their own account, in the byte order of their ids.
    #[must_use]
    pub fn member(&self, snapshot: &Snapshot, place: usize) -> Option<(ObjectId, Membership)> {
        let among_named = match &self.unnamed {
            Some(unnamed) => match place.cmp(&unnamed.place) {
                Ordering::Less => place,
                Ordering::Equal => {
                    return Some((unnamed.id.clone(), self.membership(unnamed.object)));
                }
                Ordering::Greater => place - 1,
            },
            None => place,
        };
        let object = *self.members.get(among_named)?;
        let id = snapshot.object_id(self.definition, ObjectIx(object))?;
        Some((id, self.membership(object)))
    }

    /// The objects that were found on their own account, in the byte order of their ids.
    pub fn members<'f>(
        &'f self,
        snapshot: &'f Snapshot,
    ) -> impl Iterator<Item = (ObjectId, Membership)> + use<'f> {
        (0..self.count()).filter_map(|place| self.member(snapshot, place))
    }

    pub(super) fn set(&self) -> &Set {
        &self.set
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
pub(super) fn in_order(
    snapshot: &Snapshot,
    definition: DefinitionIx,
    objects: &RoaringBitmap,
) -> Vec<u32> {
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
