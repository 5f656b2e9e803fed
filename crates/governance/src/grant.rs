//! The relationships that requests cause: each is held by reasons, and goes with the last of them.
//!
//! A [`Holding`] is all that is on record of one relationship: its reasons, and whose the relationship in the graph is.
//! [`Holding::change`] makes of it, of what becomes of a reason and of what the graph has now, the next one and the change to
//! the graph. A relationship that was there before, or that somebody wrote over, is not ours: it is left as it is, and only once
//! it has expired is one of ours written in its place.
//!
//! INVARIANT: nothing is changed but what was written here and is still as it was written. A relationship of ours ends with
//! the latest end of its live reasons.
//!
//! The record, what is read of the graph and the change belong into one commit; a commit that lost a race is to be worked out anew.

use model::{RelationshipKey, Timestamp};
use serde::{Deserialize, Serialize};

use crate::names::RequestId;
use crate::record::{self, RecordError};
use crate::text;

/// Most reasons of one relationship.
pub const REASONS_MAX: usize = 256;

/// What is on record of one relationship.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holding {
    #[serde(with = "text::one")]
    relationship: RelationshipKey,
    held: Held,
    /// By request, each once.
    reasons: Vec<Reason>,
}

/// Whose the relationship in the graph is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Held {
    /// There is none.
    Absent,
    /// It was written here.
    Ours {
        /// With this end.
        #[serde(with = "text::one")]
        until: Timestamp,
    },
    /// It was there before, or somebody has written over it since.
    ByOthers {
        /// With this end; none for good.
        #[serde(with = "text::maybe")]
        until: Option<Timestamp>,
        /// Whether it is conditional.
        conditional: bool,
    },
}

/// Why a relationship is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The request.
    #[serde(with = "text::one")]
    pub request: RequestId,
    /// Until when.
    #[serde(with = "text::one")]
    pub until: Timestamp,
    /// Whether it holds nothing for now.
    pub suspended: bool,
    /// Whether it is an emergency.
    pub break_glass: bool,
}

/// What becomes of the reason that a request is for a relationship.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasonChange {
    /// Of which relationship.
    pub relationship: RelationshipKey,
    /// Which reason.
    pub request: RequestId,
    /// What.
    pub event: ReasonEvent,
}

/// What becomes of a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReasonEvent {
    /// It begins.
    Begin {
        /// Until when it holds.
        until: Timestamp,
        /// Whether it is an emergency.
        is_break_glass: bool,
    },
    /// It holds for longer.
    Extend {
        /// Until when.
        until: Timestamp,
    },
    /// It holds nothing for now.
    Suspend,
    /// It holds again.
    Resume,
    /// It is over.
    End,
}

/// The relationship that the graph has now, under the key of the holding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    /// Its end, if it has one.
    pub until: Option<Timestamp>,
    /// Whether it carries a caveat.
    pub conditional: bool,
}

/// A change to the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The relationship is to be there until then, without a caveat.
    Touch {
        /// Its expiration.
        until: Timestamp,
    },
    /// The relationship is to go.
    Delete,
}

/// What a step makes of a holding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The holding after it; to be dropped where it [`Holding::is_over`].
    pub holding: Holding,
    /// What is to be changed in the graph.
    pub change: Option<Change>,
    /// Whether somebody changed, outside of access requests, what was written here: for those who watch over that.
    pub is_drifted: bool,
}

/// Why a change to the reasons of a relationship makes no sense. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReasonError {
    /// The change is of another relationship.
    #[error("the reason is for another relationship")]
    OtherRelationship,
    /// The request is a reason for it already.
    #[error("request `{0}` is a reason for the relationship already")]
    Begun(RequestId),
    /// The request is no reason for it.
    #[error("request `{0}` is no reason for the relationship")]
    NotBegun(RequestId),
    /// A reason that would be over before it begins, or get shorter.
    #[error("a reason that ends at {until} is over already, or gets shorter by that")]
    Over {
        /// When.
        until: Timestamp,
    },
    /// Too many reasons.
    #[error("there are {REASONS_MAX} reasons for the relationship, which is as many as are kept")]
    TooMany,
}

impl Holding {
    /// A relationship of which nothing is on record.
    #[must_use]
    pub fn new(relationship: RelationshipKey) -> Self {
        Self {
            relationship,
            held: Held::Absent,
            reasons: Vec::new(),
        }
    }

    /// The relationship.
    #[must_use]
    pub fn relationship(&self) -> &RelationshipKey {
        &self.relationship
    }

    /// Whose the relationship in the graph is.
    #[must_use]
    pub fn held(&self) -> Held {
        self.held
    }

    /// Its reasons, by request.
    #[must_use]
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// Whether no reason is left: there is nothing to keep on record.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.reasons.is_empty()
    }

    /// Until when its live reasons want it; none where there are none.
    #[must_use]
    pub fn wanted_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.live(now).map(|reason| reason.until).max()
    }

    /// Whether it is there for emergencies alone: then it gives no right to approve, to grant or to change policy
    /// ([`Answer::ByBreakGlass`](crate::Answer::ByBreakGlass)).
    #[must_use]
    pub fn rests_on_break_glass(&self, now: Timestamp) -> bool {
        let is_ours = match self.held {
            Held::Ours { .. } => true,
            Held::Absent | Held::ByOthers { .. } => false,
        };
        is_ours && self.live(now).all(|reason| reason.break_glass)
    }

    fn live(&self, now: Timestamp) -> impl Iterator<Item = &Reason> {
        self.reasons
            .iter()
            .filter(move |reason| !reason.suspended && now < reason.until)
    }

    /// What becomes of it by a change to a reason, where the graph has `present` at `now`.
    ///
    /// # Errors
    /// [`ReasonError`] where the change makes no sense.
    pub fn change(
        &self,
        change: &ReasonChange,
        present: Option<Present>,
        now: Timestamp,
    ) -> Result<Changed, ReasonError> {
        if change.relationship != self.relationship {
            return Err(ReasonError::OtherRelationship);
        }
        let mut next = self.clone();
        next.reason(&change.request, &change.event, now)?;
        let gives = match change.event {
            ReasonEvent::Begin { .. } | ReasonEvent::Extend { .. } | ReasonEvent::Resume => true,
            ReasonEvent::Suspend | ReasonEvent::End => false,
        };
        Ok(next.settled(present, gives, now))
    }

    /// What becomes of it by time alone, when it is [`Holding::due`]: what others held has expired, and reasons are left.
    #[must_use]
    pub fn take_over(&self, present: Option<Present>, now: Timestamp) -> Changed {
        let gives = match self.held {
            Held::ByOthers {
                until: Some(until), ..
            } => until <= now,
            Held::Absent | Held::Ours { .. } | Held::ByOthers { until: None, .. } => false,
        };
        self.clone().settled(present, gives, now)
    }

    /// When it is to be [taken over](Holding::take_over); none if never.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        match self.held {
            Held::ByOthers {
                until: Some(until), ..
            } => self.wanted_until(now.max(until)).map(|_| until),
            Held::Absent | Held::Ours { .. } | Held::ByOthers { until: None, .. } => None,
        }
    }

    fn reason(
        &mut self,
        request: &RequestId,
        event: &ReasonEvent,
        now: Timestamp,
    ) -> Result<(), ReasonError> {
        let found = self
            .reasons
            .binary_search_by(|reason| reason.request.cmp(request));
        if let ReasonEvent::Begin {
            until,
            is_break_glass,
        } = event
        {
            let Err(at) = found else {
                return Err(ReasonError::Begun(request.clone()));
            };
            if *until <= now {
                return Err(ReasonError::Over { until: *until });
            }
            if self.reasons.len() >= REASONS_MAX {
                return Err(ReasonError::TooMany);
            }
            let reason = Reason {
                request: request.clone(),
                until: *until,
                suspended: false,
                break_glass: *is_break_glass,
            };
            self.reasons.insert(at, reason);
            return Ok(());
        }
        let at = found.ok();
        let Some((at, reason)) = at.and_then(|at| Some((at, self.reasons.get_mut(at)?))) else {
            return Err(ReasonError::NotBegun(request.clone()));
        };
        match event {
            ReasonEvent::Extend { until } if *until < reason.until || *until <= now => {
                return Err(ReasonError::Over { until: *until });
            }
            ReasonEvent::Extend { until } => reason.until = *until,
            ReasonEvent::Suspend => reason.suspended = true,
            ReasonEvent::Resume => reason.suspended = false,
            ReasonEvent::End => {
                self.reasons.remove(at);
            }
            ReasonEvent::Begin { .. } => {}
        }
        Ok(())
    }

    /// Brings the relationship in line with the reasons. It is written anew only where something `gives` access: what
    /// somebody deleted by hand stays deleted until a new decision.
    fn settled(mut self, present: Option<Present>, gives: bool, now: Timestamp) -> Changed {
        let present = present.filter(|present| present.until.is_none_or(|until| now < until));
        let found = self.found(present);
        let is_drifted = match self.held {
            Held::Ours { until } => found != self.held && now < until,
            Held::Absent | Held::ByOthers { .. } => false,
        };
        let wanted = self.wanted_until(now);
        let change = match (found, wanted) {
            (Held::ByOthers { .. }, _) | (Held::Absent, None) => None,
            (Held::Absent, Some(until)) => gives.then_some(Change::Touch { until }),
            (Held::Ours { until: is }, Some(until)) => {
                (is != until).then_some(Change::Touch { until })
            }
            (Held::Ours { .. }, None) => Some(Change::Delete),
        };
        self.held = match change {
            None => found,
            Some(Change::Touch { until }) => Held::Ours { until },
            Some(Change::Delete) => Held::Absent,
        };
        Changed {
            holding: self,
            change,
            is_drifted,
        }
    }

    /// Whose what the graph has is: ours only if it is as it was written here.
    fn found(&self, present: Option<Present>) -> Held {
        let Some(Present { until, conditional }) = present else {
            return Held::Absent;
        };
        let written = match self.held {
            Held::Ours { until } => Some(until),
            Held::Absent | Held::ByOthers { .. } => None,
        };
        match (written, until) {
            (Some(written), Some(until)) if written == until && !conditional => {
                Held::Ours { until }
            }
            (Some(_) | None, _) => Held::ByOthers { until, conditional },
        }
    }

    /// The record of it: versioned JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        record::write("holding", self)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`RecordError`] where it is none of this version, has a field that is not known, or breaks a rule.
    pub fn from_json(text: &str) -> Result<Self, RecordError> {
        let holding: Self = record::read("holding", text)?;
        if !holding
            .reasons
            .is_sorted_by(|left, right| left.request < right.request)
        {
            return Err(RecordError::Broken(
                "reasons stand by request, each once".to_owned(),
            ));
        }
        if holding.reasons.len() > REASONS_MAX {
            return Err(RecordError::Broken(format!(
                "at most {REASONS_MAX} reasons are kept"
            )));
        }
        Ok(holding)
    }
}
