//! Whether a node can answer, whether it lives, and what it is set to while it does.

use std::time::Duration;

use model::Limits;

use super::{Node, stopped};
use crate::error::{Error, Kind};
use crate::live_settings::TooManyChanges;

impl Node {
    /// How long ago this node was last confirmed to be at the head of its store; [`Duration::MAX`] if it never was.
    #[must_use]
    pub fn confirmed_ago(&self) -> Duration {
        self.confirmed.ago(&*self.clock)
    }

    /// Whether nothing is wrong with what the node has and with its clock, however old what it has may be.
    pub(crate) fn sound(&self) -> Result<(), Error> {
        match self.stopped.get() {
            Some(why) => Err(stopped(why)),
            None => self.clock_offset.check(),
        }
    }

    /// Whether what keeps this node going does, however little it can answer just now; else why another process should take
    /// its place.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] for a node that stopped following its store, or whose following has not turned for minutes.
    pub fn alive(&self) -> Result<(), Error> {
        if let Some(why) = self.stopped.get() {
            return Err(stopped(why));
        }
        self.follower.check()
    }

    /// Whether the node can answer, else why it cannot.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] for a node that met something it does not know, or that is too far behind.
    pub fn ready(&self) -> Result<(), Error> {
        self.sound()?;
        let staleness_max = self.settings().staleness_max;
        let ago = self.confirmed_ago();
        if ago <= staleness_max {
            return Ok(());
        }
        let message = if ago == Duration::MAX {
            "this node has not confirmed yet that it is at the head of its store".to_owned()
        } else {
            format!(
                "this node has not confirmed for over {} s that it is at the head of its store",
                staleness_max.as_secs()
            )
        };
        Err(Error::new(Kind::Unavailable, message))
    }

    /// Sets other limits of requests, and for how long the node answers without having confirmed that it is at the head. Calls that are
    /// under way may go on by the old ones. To be called by one task alone.
    ///
    /// # Errors
    /// [`TooManyChanges`] once it was done too often.
    pub fn change_settings(
        &self,
        limits: Limits,
        staleness_max: Duration,
    ) -> Result<(), TooManyChanges> {
        self.settings.replace(limits, staleness_max)
    }
}
