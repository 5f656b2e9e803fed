//! Access in an emergency in which Remit itself cannot be asked: a statement that was signed before, or is signed by somebody
//! who holds the key for it, and that is good by itself for a short time.
//!
//! Here is what is signed, and what it is good for. Signatures are made and verified elsewhere: this crate holds no keys.
//! Break-glass access while Remit answers is a request like others ([`Submission::break_glass`](crate::Submission)).

use model::{ObjectRef, RelationName, Timestamp, Token};
use serde::{Deserialize, Serialize};

use crate::Version;
use crate::names::{EntitlementName, RequestId};
use crate::record::{self, RecordError};
use crate::span::Span;
use crate::text;

/// How long such a statement is good at most.
pub const OFFLINE_MAX: Span = Span::of_hours(1);

/// What begins the bytes that are signed: no other statement is taken for one of these.
const PURPOSE: &[u8] = b"remit offline activation 1\0";

/// That `holder` has `permission` on `resource` for a short time, without Remit being asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfflineActivation {
    #[serde(with = "text::one")]
    id: RequestId,
    #[serde(with = "text::one")]
    holder: ObjectRef,
    #[serde(with = "text::one")]
    resource: ObjectRef,
    #[serde(with = "text::one")]
    permission: RelationName,
    #[serde(with = "text::one")]
    entitlement: EntitlementName,
    #[serde(with = "text::one")]
    version: Version,
    /// The commit at which the holder was found to be one of those who may.
    #[serde(with = "text::one")]
    committed: Token,
    #[serde(with = "text::one")]
    not_before: Timestamp,
    #[serde(with = "text::one")]
    not_after: Timestamp,
    reason: String,
}

/// Who may do what on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The id under which the use of it is put on record afterwards.
    pub id: RequestId,
    /// Who.
    pub holder: ObjectRef,
    /// On what.
    pub resource: ObjectRef,
    /// What.
    pub permission: RelationName,
    /// Why.
    pub reason: String,
}

/// By what it was found before that the holder may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eligibility {
    /// The entitlement whose glass it is.
    pub entitlement: EntitlementName,
    /// Its version.
    pub version: Version,
    /// The commit at which the holder was one of those who may.
    pub committed: Token,
}

/// Why a statement cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OfflineError {
    /// It ends before it begins.
    #[error("it ends before it begins")]
    Backwards,
    /// It is good for too long.
    #[error("it would be good for more than {OFFLINE_MAX}")]
    TooLong,
    /// It says no reason, or too long a one.
    #[error("a reason of 1 to {} bytes is needed", crate::REASON_BYTES_MAX)]
    Reason,
}

impl OfflineActivation {
    /// The statement, good from `not_before` to just before `not_after`.
    ///
    /// # Errors
    /// [`OfflineError`] where it would be good for longer than [`OFFLINE_MAX`], never, or without a reason.
    pub fn new(
        claim: Claim,
        eligibility: Eligibility,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> Result<Self, OfflineError> {
        let activation = Self {
            id: claim.id,
            holder: claim.holder,
            resource: claim.resource,
            permission: claim.permission,
            entitlement: eligibility.entitlement,
            version: eligibility.version,
            committed: eligibility.committed,
            not_before,
            not_after,
            reason: claim.reason,
        };
        activation.check().map(|()| activation)
    }

    fn check(&self) -> Result<(), OfflineError> {
        if self.not_after <= self.not_before {
            return Err(OfflineError::Backwards);
        }
        if self.not_after > OFFLINE_MAX.after(self.not_before) {
            return Err(OfflineError::TooLong);
        }
        if self.reason.trim().is_empty() || self.reason.len() > crate::REASON_BYTES_MAX {
            return Err(OfflineError::Reason);
        }
        Ok(())
    }

    /// Whether it lets `person` have `permission` on `resource` at `now`; its signature is for another to verify.
    #[must_use]
    pub fn lets(
        &self,
        person: &ObjectRef,
        permission: &RelationName,
        resource: &ObjectRef,
        now: Timestamp,
    ) -> bool {
        let is_good = self.not_before <= now && now < self.not_after;
        is_good
            && self.holder == *person
            && self.permission == *permission
            && self.resource == *resource
    }

    /// The bytes that are signed. Each part comes with its length, so that two statements never have the same.
    #[must_use]
    pub fn to_signed_bytes(&self) -> Vec<u8> {
        let parts = [
            self.id.to_string(),
            self.holder.to_string(),
            self.resource.to_string(),
            self.permission.to_string(),
            self.entitlement.to_string(),
            self.version.to_string(),
            self.committed.to_string(),
            self.not_before.as_micros().to_string(),
            self.not_after.as_micros().to_string(),
            self.reason.clone(),
        ];
        let mut bytes = PURPOSE.to_vec();
        for part in parts {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes
    }

    /// The record of it: versioned JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        record::write("offline_activation", self)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`RecordError`] where it is none of this version, has a field that is not known, or breaks a rule.
    pub fn from_json(text: &str) -> Result<Self, RecordError> {
        let activation: Self = record::read("offline_activation", text)?;
        let checked = activation.check();
        checked.map_err(|error| RecordError::Broken(error.to_string()))?;
        Ok(activation)
    }
}
