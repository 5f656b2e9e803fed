//! What the store's records say, as of one revision. Each kind has a part that reads it; one that this version does not know stops
//! the node.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::RecordKey;

use crate::access;
use crate::counter::{self, Counters};

/// The records of one revision. A clone is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    pub(crate) counters: Counters,
    pub(crate) access: Arc<access::State>,
    /// All of them as they are stored, for whoever keeps a copy.
    stored: Arc<BTreeMap<RecordKey, Vec<u8>>>,
}

impl Records {
    /// Takes in what became of a record.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(crate) fn note(&mut self, key: &RecordKey, value: Option<&[u8]>) -> Result<(), String> {
        match key.kind() {
            counter::KIND => counter::note(&mut self.counters, key, value)?,
            access::KIND => Arc::make_mut(&mut self.access).note(key, value)?,
            access::KEY_KIND => Arc::make_mut(&mut self.access).note_key(key, value)?,
            access::LOCK_KIND => Arc::make_mut(&mut self.access).note_lock(key, value)?,
            _ => return Err("it is of an unknown kind".to_owned()),
        }
        let stored = Arc::make_mut(&mut self.stored);
        match value {
            Some(value) => drop(stored.insert(key.clone(), value.to_vec())),
            None => drop(stored.remove(key)),
        }
        Ok(())
    }

    /// All of them as they are stored, by kind and key.
    pub(crate) fn stored(&self) -> &BTreeMap<RecordKey, Vec<u8>> {
        &self.stored
    }
}
