//! How a replica does: whether it hears of its server, and how far behind it is.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::Revision;

/// How a replica does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether the server tells it of commits just now.
    pub is_connected: bool,
    /// The newest revision that it answers from.
    pub revision: Revision,
    /// The newest revision that the server told of; none before the first time.
    pub server_revision: Option<Revision>,
    /// How long ago it was confirmed to have all that the store had; none if it never was. Past `staleness_max` it does not answer.
    pub confirmed_ago: Option<Duration>,
    /// How often the connection was lost, or could not be made.
    pub interruptions: u64,
    /// What went wrong last; none if nothing did since the connection was made.
    pub trouble: Option<String>,
}

impl Health {
    /// How many commits the server told of that the replica does not answer from yet.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let told = self.server_revision.unwrap_or(self.revision);
        told.0.saturating_sub(self.revision.0)
    }
}

/// What is known of the connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    pub(crate) is_connected: bool,
    pub(crate) server_revision: Option<Revision>,
    pub(crate) interruptions: u64,
    pub(crate) trouble: Option<String>,
}

/// What the task that listens to the server notes for those who ask.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<Heard>);

impl Notes {
    pub(crate) fn read(&self) -> Heard {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn heard(&self, revision: Revision) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_connected = true;
        heard.trouble = None;
        heard.server_revision = Some(revision);
    }

    pub(crate) fn interrupted(&self, trouble: String) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_connected = false;
        heard.interruptions += 1;
        heard.trouble = Some(trouble);
    }
}
