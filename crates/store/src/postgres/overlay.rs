//! The part of a table that a transaction has read, and what it has changed of it and not written yet.

use std::collections::HashMap;
use std::hash::Hash;

/// Values by key, as they are after the commits that were decided so far.
pub(super) struct Overlay<K, V> {
    slots: HashMap<K, Slot<V>>,
    /// What the commit that is being decided has changed: the slots as they were before it.
    undo: Vec<(K, Option<Slot<V>>)>,
    /// Keys among which are all that the table is yet to be told of.
    dirty: Vec<K>,
}

#[derive(Clone)]
struct Slot<V> {
    value: Option<V>,
    /// Whether the table has a row of that key.
    is_stored: bool,
    /// Whether the table is yet to be told.
    is_dirty: bool,
}

/// What the table is to be told of one key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Write<V> {
    /// A row where none is.
    Insert(V),
    /// Another row in place of the one that is there.
    Replace(V),
    Delete,
}

impl<K, V> Default for Overlay<K, V> {
    fn default() -> Self {
        Self {
            slots: HashMap::new(),
            undo: Vec::new(),
            dirty: Vec::new(),
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Overlay<K, V> {
    /// Notes what the table holds under `key`, unless more is known of it.
    pub(super) fn load(&mut self, key: K, value: Option<V>) {
        self.slots.entry(key).or_insert(Slot {
            is_stored: value.is_some(),
            value,
            is_dirty: false,
        });
    }

    /// The value; nothing at all if the table was not asked for it.
    pub(super) fn get(&self, key: &K) -> Option<Option<&V>> {
        self.slots.get(key).map(|slot| slot.value.as_ref())
    }

    /// Changes a value that was loaded.
    pub(super) fn set(&mut self, key: K, value: Option<V>) {
        let before = self.slots.get(&key).cloned();
        let is_stored = before.as_ref().is_some_and(|slot| slot.is_stored);
        self.slots.insert(
            key.clone(),
            Slot {
                value,
                is_stored,
                is_dirty: true,
            },
        );
        self.dirty.push(key.clone());
        self.undo.push((key, before));
    }

    /// The changes since the last [`Self::keep`] stay.
    pub(super) fn keep(&mut self) {
        self.undo.clear();
    }

    /// The changes since the last [`Self::keep`] go. What of them the table was told, it must be made to forget.
    pub(super) fn take_back(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(slot) => self.slots.insert(key, slot),
                None => self.slots.remove(&key),
            };
        }
    }

    /// What the table is yet to be told; it counts as told.
    pub(super) fn take_writes(&mut self) -> Vec<(K, Write<V>)> {
        let mut writes = Vec::new();
        for key in std::mem::take(&mut self.dirty) {
            let Some(slot) = self.slots.get_mut(&key).filter(|slot| slot.is_dirty) else {
                continue;
            };
            slot.is_dirty = false;
            let write = match (slot.value.clone(), slot.is_stored) {
                (Some(value), false) => Write::Insert(value),
                (Some(value), true) => Write::Replace(value),
                (None, true) => Write::Delete,
                (None, false) => continue,
            };
            slot.is_stored = slot.value.is_some();
            writes.push((key, write));
        }
        writes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_told_what_became_of_each_key() {
        let mut overlay = Overlay::default();
        overlay.load("there", Some(1));
        overlay.load("gone", None);
        overlay.set("there", Some(2));
        overlay.set("gone", Some(3));
        overlay.set("gone", None);
        overlay.keep();
        assert_eq!(overlay.take_writes(), [("there", Write::Replace(2))]);
        assert_eq!(overlay.take_writes(), []);
        overlay.set("there", None);
        assert_eq!(overlay.take_writes(), [("there", Write::Delete)]);
        overlay.set("there", Some(4));
        assert_eq!(overlay.take_writes(), [("there", Write::Insert(4))]);
    }

    #[test]
    fn what_a_refused_commit_changed_is_as_it_was() {
        let mut overlay = Overlay::default();
        overlay.load("one", Some(1));
        overlay.set("one", Some(2));
        overlay.keep();
        overlay.set("one", Some(3));
        overlay.set("two", Some(1));
        overlay.set("one", None);
        overlay.take_back();
        assert_eq!(overlay.get(&"one"), Some(Some(&2)));
        assert_eq!(overlay.get(&"two"), None);
        assert_eq!(overlay.take_writes(), [("one", Write::Replace(2))]);
    }

    /// The commit before is written, the refused one is taken back with the savepoint, and nothing is left to tell.
    #[test]
    fn what_was_written_before_a_refused_commit_stays_written() {
        let mut overlay = Overlay::default();
        overlay.load("one", None);
        overlay.set("one", Some(1));
        overlay.keep();
        assert_eq!(overlay.take_writes(), [("one", Write::Insert(1))]);
        overlay.set("one", None);
        assert_eq!(overlay.take_writes(), [("one", Write::Delete)]);
        overlay.take_back();
        assert_eq!(overlay.take_writes(), []);
        overlay.set("one", Some(2));
        assert_eq!(overlay.take_writes(), [("one", Write::Replace(2))]);
    }
}
