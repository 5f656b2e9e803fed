//! What one look-up has found and an earlier one of the same question, on an earlier snapshot, has not.

use model::ObjectId;
use roaring::RoaringBitmap;
use schema::DefinitionIx;

use super::found::{Found, in_order};
use super::set::Set;
use crate::eval::query::UNKNOWN_SUBJECT;
use crate::eval::value::Value;
use crate::graph::{ObjectIx, Snapshot};

/// The difference of two look-ups.
pub(in crate::eval) struct Beyond {
    /// Objects that are found for certain, and were not.
    pub(in crate::eval) certain: RoaringBitmap,
    /// Objects that are found on a condition, and were not found at all.
    pub(in crate::eval) conditional: RoaringBitmap,
    /// Objects that are no longer found for certain.
    pub(in crate::eval) lost: RoaringBitmap,
    /// Whether everybody is found for certain now, and was not.
    pub(in crate::eval) everybody: bool,
}

impl Found {
    /// What `before` has not found. `renumbered` is the number that an asked object has now and had not before.
    pub(in crate::eval) fn beyond(&self, before: &Self, renumbered: Option<ObjectIx>) -> Beyond {
        let (before, after) = (before.set(), self.set());
        let was = |object: u32| match renumbered {
            Some(new) if new.0 == object => before.at(UNKNOWN_SUBJECT.0).0,
            Some(_) | None => before.at(object).0,
        };
        let (was_everybody, is_everybody) =
            (before.default == Value::Yes, after.default == Value::Yes);
        let candidates = if is_everybody {
            named(before)
        } else {
            after.yes.clone()
        };
        let candidates = if was_everybody || is_everybody {
            candidates
        } else {
            candidates - &before.yes
        };
        let certain = candidates
            .iter()
            .filter(|object| was(*object) != Value::Yes && after.at(*object).0 == Value::Yes)
            .collect();
        let conditional = after
            .other
            .iter()
            .filter(|(object, it)| it.flags.errors.is_empty() && was(**object) == Value::No)
            .map(|(object, _)| *object)
            .collect();
        let mut lost = &before.yes - &after.yes;
        if renumbered.is_some_and(|new| after.yes.contains(new.0)) {
            lost.remove(UNKNOWN_SUBJECT.0);
        }
        Beyond {
            certain,
            conditional,
            lost,
            everybody: is_everybody && !was_everybody,
        }
    }
}

/// The objects that are not found as a matter of course.
fn named(set: &Set) -> RoaringBitmap {
    let mut named = set.no.clone();
    named.extend(set.other.keys().copied());
    named
}

impl Beyond {
    /// The first of those found for certain, in the order of their ids.
    pub(in crate::eval) fn examples(
        &self,
        snapshot: &Snapshot,
        definition: DefinitionIx,
        examples_max: usize,
    ) -> Vec<ObjectId> {
        if examples_max == 0 {
            return Vec::new();
        }
        let objects = in_order(snapshot, definition, &self.certain).into_iter();
        let ids = objects.filter_map(|object| snapshot.object_id(definition, ObjectIx(object)));
        ids.take(examples_max).collect()
    }
}
