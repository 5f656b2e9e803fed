//! What records say of access: whether it is enforced, and who is locked.

use std::collections::BTreeMap;

use identity::KeyHash;
use model::ObjectRef;
use store::{ChangeRequest, RecordKey, RecordKeyError};

/// The kinds of these records.
pub(crate) const KIND: &str = "access";
pub(crate) const LOCK_KIND: &str = "lock";
pub(crate) const KEY_KIND: &str = "preshared_key";
/// The record that says that rights are enforced.
const ENFORCED: &str = "enforced";

/// What the records of one revision say.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// Whether callers have only what they were given.
    pub(crate) is_enforced: bool,
    /// Who is locked, and why.
    pub(crate) locks: BTreeMap<ObjectRef, String>,
    /// The keys on record, by name.
    pub(crate) keys: BTreeMap<String, KeyHash>,
}

impl State {
    /// Takes in what became of a record of [`KIND`].
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(crate) fn note(&mut self, key: &RecordKey, value: Option<&[u8]>) -> Result<(), String> {
        if key.key() != ENFORCED {
            return Err("it is of an unknown name".to_owned());
        }
        self.is_enforced = value.is_some();
        Ok(())
    }

    /// Takes in what became of a record of [`KEY_KIND`].
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(crate) fn note_key(&mut self, key: &RecordKey, value: Option<&[u8]>) -> Result<(), String> {
        match value {
            None => drop(self.keys.remove(key.key())),
            Some(hash) => {
                let hash = KeyHash::try_from(hash).map_err(|error| error.to_string())?;
                self.keys.insert(key.key().to_owned(), hash);
            }
        }
        Ok(())
    }

    /// Takes in what became of a record of [`LOCK_KIND`].
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(crate) fn note_lock(
        &mut self,
        key: &RecordKey,
        value: Option<&[u8]>,
    ) -> Result<(), String> {
        let subject: ObjectRef = key.key().parse().map_err(|error| format!("{error}"))?;
        match value {
            None => drop(self.locks.remove(&subject)),
            Some(reason) => {
                let reason = std::str::from_utf8(reason).map_err(|error| error.to_string())?;
                self.locks.insert(subject, reason.to_owned());
            }
        }
        Ok(())
    }
}

/// The change after which rights are enforced.
///
/// # Errors
/// [`RecordKeyError`] never, as its name is short.
pub(crate) fn enforce() -> Result<ChangeRequest, RecordKeyError> {
    Ok(ChangeRequest::Record {
        key: RecordKey::new(KIND, ENFORCED)?,
        value: Some(Vec::new()),
    })
}
