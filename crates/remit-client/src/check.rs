//! Checks and their decisions: may this subject do this to that resource?

use std::time::Duration;

use prost_types::Struct;
use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::check_permission_response::Permissionship;
use tonic::Status;

use crate::consistency::{Consistency, Token};
use crate::context::Context;
use crate::error::Error;
use crate::name::{self, NameError};
use crate::options::{Options, Principal};
use crate::trace::Traceparent;

/// A question: may this subject do this to that resource?
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    pub(crate) item: wire::CheckBulkPermissionsRequestItem,
    pub(crate) options: Options,
}

/// The answer to a check. Only [`Decision::is_allowed`] lets anything happen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a decision that nobody looks at protects nothing"]
pub struct Decision {
    outcome: Outcome,
    checked_at: Token,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Allowed,
    Denied,
    /// Denied, unless the context had these.
    Conditional(Vec<String>),
}

/// Proof that a check allowed. Only an allowing decision makes one: a function that takes it cannot be called without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    checked_at: Token,
}

/// The subject may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It does not have the permission.
    #[error("the subject does not have the permission")]
    NoPermission,
    /// It depends on values that the context of the check lacks.
    #[error("the subject has the permission on a condition, and the context lacks `{}`", .missing.join("`, `"))]
    ContextMissing {
        /// The names of what is missing.
        missing: Vec<String>,
    },
}

impl Check {
    /// Asks whether `subject` (`user:ann`, `group:eng#member`) has `permission` on `resource` (`document:readme`).
    ///
    /// # Errors
    /// [`NameError`] for texts that no server takes.
    pub fn new(resource: &str, permission: &str, subject: &str) -> Result<Self, NameError> {
        let item = wire::CheckBulkPermissionsRequestItem {
            resource: Some(name::object(resource)?),
            permission: name::name(permission, "permission")?.to_owned(),
            subject: Some(name::subject(subject)?),
            context: None,
        };
        Ok(Self {
            item,
            options: Options::default(),
        })
    }

    /// With values for the parameters of caveats.
    #[must_use]
    pub fn with_context(mut self, context: Context) -> Self {
        self.item.context = context.into_wire();
        self
    }

    /// As fresh as that; [`Consistency::MinimizeLatency`] if nothing is said.
    #[must_use]
    pub fn with_consistency(mut self, consistency: Consistency) -> Self {
        self.options.consistency = consistency;
        self
    }

    /// In the name of another principal of the server, such as `remit/user:ann`, who has to let the caller do so.
    ///
    /// # Errors
    /// [`NameError`] for what is no object.
    pub fn on_behalf_of(mut self, principal: &str) -> Result<Self, NameError> {
        self.options.principal = Some(Principal::new(principal)?);
        Ok(self)
    }

    /// Answered within that time instead of the client's.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.options.deadline = Some(deadline);
        self
    }

    /// As part of the trace of that span, instead of what the client's provider says.
    #[must_use]
    pub fn with_traceparent(mut self, traceparent: Traceparent) -> Self {
        self.options.traceparent = Some(traceparent);
        self
    }

    /// As one question of its own.
    pub(crate) fn into_request(
        item: wire::CheckBulkPermissionsRequestItem,
        consistency: &Consistency,
    ) -> wire::CheckPermissionRequest {
        wire::CheckPermissionRequest {
            consistency: consistency.to_wire(),
            resource: item.resource,
            permission: item.permission,
            subject: item.subject,
            context: item.context,
            with_tracing: false,
        }
    }
}

impl Decision {
    /// Whether the subject surely has the permission. A condition that is not known to hold is a no.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        match self.outcome {
            Outcome::Allowed => true,
            Outcome::Denied | Outcome::Conditional(_) => false,
        }
    }

    /// What the context of the check lacks for the decision to be more than a no.
    #[must_use]
    pub fn missing(&self) -> &[String] {
        match &self.outcome {
            Outcome::Conditional(missing) => missing,
            Outcome::Allowed | Outcome::Denied => &[],
        }
    }

    /// The snapshot that the decision holds for.
    #[must_use]
    pub fn checked_at(&self) -> &Token {
        &self.checked_at
    }

    /// The proof that it was allowed, for `?` to end a handler that may not go on.
    ///
    /// # Errors
    /// [`Denied`] if it was not.
    pub fn require(self) -> Result<Allowed, Denied> {
        match self.outcome {
            Outcome::Allowed => Ok(Allowed {
                checked_at: self.checked_at,
            }),
            Outcome::Denied => Err(Denied::NoPermission),
            Outcome::Conditional(missing) => Err(Denied::ContextMissing { missing }),
        }
    }

    /// The decision of an answer to a check of its own.
    pub(crate) fn of(answer: wire::CheckPermissionResponse) -> Result<Self, Error> {
        let at = Token::of(answer.checked_at)?;
        Self::new(answer.permissionship, answer.partial_caveat_info, at)
    }

    /// The decision of one answer among many; `item` is what was asked there.
    pub(crate) fn of_pair(
        pair: wire::CheckBulkPermissionsPair,
        item: &wire::CheckBulkPermissionsRequestItem,
        at: &Token,
    ) -> Result<Self, Error> {
        use wire::check_bulk_permissions_pair::Response;
        // An answer to another question must not pass as one to this.
        if !pair.request.is_some_and(|asked| is_same(&asked, item)) {
            return Err(Error::malformed("an answer is to another question"));
        }
        match pair.response {
            Some(Response::Item(answer)) => Self::new(
                answer.permissionship,
                answer.partial_caveat_info,
                at.clone(),
            ),
            Some(Response::Error(error)) => {
                let status = Status::new(error.code.into(), error.message);
                Err(Error::of(status))
            }
            None => Err(Error::malformed("a question has no answer")),
        }
    }

    fn new(
        permissionship: i32,
        caveat: Option<wire::PartialCaveatInfo>,
        checked_at: Token,
    ) -> Result<Self, Error> {
        let permissionship = Permissionship::try_from(permissionship)
            .map_err(|_| Error::malformed("a decision is of an unknown kind"))?;
        let outcome = match permissionship {
            Permissionship::HasPermission => Outcome::Allowed,
            Permissionship::NoPermission => Outcome::Denied,
            Permissionship::ConditionalPermission => Outcome::Conditional(
                caveat
                    .map(|caveat| caveat.missing_required_context)
                    .unwrap_or_default(),
            ),
            Permissionship::Unspecified => {
                return Err(Error::malformed("a decision says nothing"));
            }
        };
        Ok(Self {
            outcome,
            checked_at,
        })
    }
}

impl Allowed {
    /// The snapshot that allowed it.
    #[must_use]
    pub fn checked_at(&self) -> &Token {
        &self.checked_at
    }
}

/// For a handler of tonic: the caller may not.
impl From<Denied> for Status {
    fn from(denied: Denied) -> Self {
        Self::permission_denied(denied.to_string())
    }
}

/// Whether both ask the same. What the context says is not compared: numbers may come back written otherwise.
fn is_same(
    asked: &wire::CheckBulkPermissionsRequestItem,
    item: &wire::CheckBulkPermissionsRequestItem,
) -> bool {
    let has_context =
        |context: &Option<Struct>| context.as_ref().is_some_and(|c| !c.fields.is_empty());
    asked.resource == item.resource
        && asked.permission == item.permission
        && asked.subject == item.subject
        && has_context(&asked.context) == has_context(&item.context)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Token {
        Token::new("t").unwrap()
    }

    #[test]
    fn only_one_of_all_numbers_allows() {
        for number in -2..100 {
            let is_allowed =
                Decision::new(number, None, at()).is_ok_and(|decision| decision.is_allowed());
            assert_eq!(is_allowed, number == Permissionship::HasPermission as i32);
        }
        let is_error = |number: i32| Decision::new(number, None, at()).is_err();
        assert!(is_error(Permissionship::Unspecified as i32) && is_error(4));
    }

    #[test]
    fn a_condition_is_a_no_that_names_what_is_missing() {
        let info = wire::PartialCaveatInfo {
            missing_required_context: vec!["ip".to_owned(), "hour".to_owned()],
        };
        let number = Permissionship::ConditionalPermission as i32;
        let decision = Decision::new(number, Some(info), at()).unwrap();
        assert!(!decision.is_allowed());
        assert_eq!(decision.missing(), ["ip", "hour"]);
        let denied = decision.require().unwrap_err();
        assert!(denied.to_string().ends_with("lacks `ip`, `hour`"));
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        let item = Check::new("document:a", "view", "user:ann").unwrap().item;
        let other = Check::new("document:b", "view", "user:ann").unwrap().item;
        let pair = |request, response| wire::CheckBulkPermissionsPair { request, response };
        let allowed = wire::check_bulk_permissions_pair::Response::Item(
            wire::CheckBulkPermissionsResponseItem {
                permissionship: Permissionship::HasPermission.into(),
                partial_caveat_info: None,
                debug_trace: None,
            },
        );
        for wrong in [
            pair(Some(other), Some(allowed.clone())),
            pair(None, Some(allowed.clone())),
            pair(Some(item.clone()), None),
        ] {
            assert!(Decision::of_pair(wrong, &item, &at()).is_err());
        }
        let right = pair(Some(item.clone()), Some(allowed));
        assert!(Decision::of_pair(right, &item, &at()).unwrap().is_allowed());
    }
}
