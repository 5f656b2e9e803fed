//! What people are told, as values: whoever sends them sends each id once.

use std::collections::BTreeSet;

use model::{SubjectRef, Timestamp};

use crate::names::RequestId;

/// Something that people are to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The same for the same notice, however often the step is made that tells it: `REQUEST/ENTRY/KIND`.
    pub id: String,
    /// What.
    pub kind: NoticeKind,
    /// Of which request.
    pub request: RequestId,
    /// Whom: people, and sets of them that the engine can list.
    pub to: BTreeSet<SubjectRef>,
    /// As of when.
    pub at: Timestamp,
}

/// What somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoticeKind {
    /// Approvers: a step waits for you.
    Asked,
    /// Approvers: it still waits.
    Reminder,
    /// Others: it waits for long.
    Escalated,
    /// Who asked: an approver left less of it.
    Narrowed,
    /// Who asked: it is approved.
    Approved,
    /// Who asked: somebody said no.
    Denied,
    /// Who asked: nobody decided, or activated it, in time.
    Expired,
    /// Who asked: it was taken back.
    Cancelled,
    /// Who asked: an owner had it begin anew.
    Restarted,
    /// Who asked: it gives access.
    Activated,
    /// Who asked, and owners: what was approved no longer held.
    ActivationFailed,
    /// Approvers: an extension waits for you.
    ExtensionAsked,
    /// Who asked: it is longer.
    Extended,
    /// Who asked: it does not get longer.
    ExtensionDenied,
    /// Who asked: it ends soon.
    EndsSoon,
    /// Who asked: its time was over.
    Ended,
    /// Who asked: it gives nothing for now.
    Suspended,
    /// Who asked: it gives access again.
    Resumed,
    /// Who asked: it was given back.
    Returned,
    /// Who asked: it was taken away.
    Revoked,
    /// Every approver that was passed over, and the owners: somebody took access in an emergency.
    GlassBroken,
}

impl NoticeKind {
    /// Its name within ids.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Reminder => "reminder",
            Self::Escalated => "escalated",
            Self::Narrowed => "narrowed",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Restarted => "restarted",
            Self::Activated => "activated",
            Self::ActivationFailed => "activation-failed",
            Self::ExtensionAsked => "extension-asked",
            Self::Extended => "extended",
            Self::ExtensionDenied => "extension-denied",
            Self::EndsSoon => "ends-soon",
            Self::Ended => "ended",
            Self::Suspended => "suspended",
            Self::Resumed => "resumed",
            Self::Returned => "returned",
            Self::Revoked => "revoked",
            Self::GlassBroken => "glass-broken",
        }
    }
}

impl Notice {
    /// The notice that the entry of that number in the history of a request causes.
    pub(crate) fn new(
        request: &RequestId,
        entry: usize,
        kind: NoticeKind,
        (to, at): (BTreeSet<SubjectRef>, Timestamp),
    ) -> Self {
        Self {
            id: format!("{request}/{entry}/{}", kind.name()),
            request: request.clone(),
            kind,
            to,
            at,
        }
    }
}
