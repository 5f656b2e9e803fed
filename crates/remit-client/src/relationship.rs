//! Relationships: writing, deleting and reading them.

use std::time::{Duration, SystemTime};

use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::permissions_service_client::PermissionsServiceClient;
use remit_proto::authzed::api::v1::precondition;
use remit_proto::authzed::api::v1::relationship_update::Operation;
use tonic::codec::Streaming;
use tonic::{Request, Response, Status};

use crate::consistency::{Consistency, Token};
use crate::context::Context;
use crate::error::Error;
use crate::link::Link;
use crate::name::{self, NameError};
use crate::options::{IdempotencyKey, Options, Principal};
use crate::results::Question;
use crate::trace::Traceparent;

/// One relationship: `document:readme#viewer@user:ann`, perhaps on a condition, perhaps until an instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Relationship(wire::Relationship);

/// Changes that are made together, or not at all.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Write {
    pub(crate) request: wire::WriteRelationshipsRequest,
    pub(crate) options: Options,
}

/// Deletes the relationships that match a filter.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Delete {
    pub(crate) request: wire::DeleteRelationshipsRequest,
    pub(crate) options: Options,
}

/// A deletion that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// The token of the commit.
    pub token: Token,
    /// How many relationships it deleted.
    pub count: u64,
}

/// Selects relationships; all that is set must match.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter(wire::RelationshipFilter);

/// Reads the relationships that match a filter, as they are stored. It decides nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Read {
    pub(crate) request: wire::ReadRelationshipsRequest,
    pub(crate) options: Options,
}

impl Relationship {
    /// The relationship `type:id#relation@type:id`.
    ///
    /// # Errors
    /// [`NameError`] for texts that no server takes.
    pub fn new(text: &str) -> Result<Self, NameError> {
        name::relationship(text).map(Self)
    }

    /// On the condition of that caveat, of which these values are known.
    ///
    /// # Errors
    /// [`NameError`] for what is no caveat's name.
    pub fn with_caveat(mut self, caveat: &str, context: Context) -> Result<Self, NameError> {
        self.0.optional_caveat = Some(wire::ContextualizedCaveat {
            caveat_name: name::definition(caveat)?.to_owned(),
            context: context.into_wire(),
        });
        Ok(self)
    }

    /// Until that instant, which is the first at which it is gone.
    #[must_use]
    pub fn until(mut self, expires_at: SystemTime) -> Self {
        self.0.optional_expires_at = Some(expires_at.into());
        self
    }

    /// What access is given to.
    #[must_use]
    pub fn resource(&self) -> String {
        self.0
            .resource
            .as_ref()
            .map(name::object_text)
            .unwrap_or_default()
    }

    /// The relation.
    #[must_use]
    pub fn relation(&self) -> &str {
        &self.0.relation
    }

    /// Who it is given to.
    #[must_use]
    pub fn subject(&self) -> String {
        self.0
            .subject
            .as_ref()
            .map(name::subject_text)
            .unwrap_or_default()
    }

    /// The caveat, if it is on a condition.
    #[must_use]
    pub fn caveat(&self) -> Option<&str> {
        self.0
            .optional_caveat
            .as_ref()
            .map(|caveat| caveat.caveat_name.as_str())
    }
}

impl Write {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a relationship; the write fails if it is there.
    #[must_use]
    pub fn create(self, relationship: Relationship) -> Self {
        self.update(Operation::Create, relationship)
    }

    /// Adds a relationship, or replaces its caveat and expiration.
    #[must_use]
    pub fn touch(self, relationship: Relationship) -> Self {
        self.update(Operation::Touch, relationship)
    }

    /// Removes a relationship if it is there.
    #[must_use]
    pub fn delete(self, relationship: Relationship) -> Self {
        self.update(Operation::Delete, relationship)
    }

    /// Only if something matches.
    #[must_use]
    pub fn must_match(mut self, filter: Filter) -> Self {
        let found = precondition::Operation::MustMatch;
        self.request
            .optional_preconditions
            .push(condition(found, filter));
        self
    }

    /// Only if nothing matches.
    #[must_use]
    pub fn must_not_match(mut self, filter: Filter) -> Self {
        let found = precondition::Operation::MustNotMatch;
        self.request
            .optional_preconditions
            .push(condition(found, filter));
        self
    }

    /// What is said about the change, for those who read the log.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Context) -> Self {
        self.request.optional_transaction_metadata = metadata.into_wire();
        self
    }

    /// Known again by that key, so that it can be sent again where its answer was lost. Only a Remit server knows keys: say it to
    /// no other.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: IdempotencyKey) -> Self {
        self.options.idempotency_key = Some(key);
        self
    }

    fn update(mut self, operation: Operation, relationship: Relationship) -> Self {
        self.request.updates.push(wire::RelationshipUpdate {
            operation: operation.into(),
            relationship: Some(relationship.0),
        });
        self
    }
}

impl Delete {
    /// Of all that match.
    #[must_use]
    pub fn matching(filter: Filter) -> Self {
        let request = wire::DeleteRelationshipsRequest {
            relationship_filter: Some(filter.0),
            ..wire::DeleteRelationshipsRequest::default()
        };
        Self {
            request,
            options: Options::default(),
        }
    }

    /// Only if no more than so many match.
    #[must_use]
    pub fn at_most(mut self, limit: u32) -> Self {
        self.request.optional_limit = limit;
        self
    }
}

macro_rules! once {
    ($of:ty) => {
        impl $of {
            /// Within that time instead of the client's.
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

            /// In the name of another principal of the server, such as `remit/user:ann`.
            ///
            /// # Errors
            /// [`NameError`] for what is no object.
            pub fn on_behalf_of(mut self, principal: &str) -> Result<Self, NameError> {
                self.options.principal = Some(Principal::new(principal)?);
                Ok(self)
            }
        }
    };
}

once!(Write);
once!(Delete);
once!(Read);

impl Deleted {
    pub(crate) fn of(answer: wire::DeleteRelationshipsResponse) -> Result<Self, Error> {
        Ok(Self {
            token: Token::of(answer.deleted_at)?,
            count: answer.relationships_deleted_count,
        })
    }
}

impl Filter {
    /// All relationships of a definition's objects.
    ///
    /// # Errors
    /// [`NameError`] for what is no definition.
    pub fn of(definition: &str) -> Result<Self, NameError> {
        Ok(Self(wire::RelationshipFilter {
            resource_type: name::definition(definition)?.to_owned(),
            ..wire::RelationshipFilter::default()
        }))
    }

    /// All relationships of one object.
    ///
    /// # Errors
    /// [`NameError`] for what is no object.
    pub fn of_object(resource: &str) -> Result<Self, NameError> {
        let object = name::object(resource)?;
        Ok(Self(wire::RelationshipFilter {
            resource_type: object.object_type,
            optional_resource_id: object.object_id,
            ..wire::RelationshipFilter::default()
        }))
    }

    /// Of that relation alone.
    ///
    /// # Errors
    /// [`NameError`] for what is no relation.
    pub fn with_relation(mut self, relation: &str) -> Result<Self, NameError> {
        self.0.optional_relation = name::name(relation, "relation")?.to_owned();
        Ok(self)
    }

    /// Of that subject alone: `user:ann` without a relation, `group:eng#member` with it.
    ///
    /// # Errors
    /// [`NameError`] for what is no subject.
    pub fn with_subject(mut self, subject: &str) -> Result<Self, NameError> {
        let subject = name::subject_or_everybody(subject)?;
        let object = subject.object.unwrap_or_default();
        self.0.optional_subject_filter = Some(wire::SubjectFilter {
            subject_type: object.object_type,
            optional_subject_id: object.object_id,
            optional_relation: Some(wire::subject_filter::RelationFilter {
                relation: subject.optional_relation,
            }),
        });
        Ok(self)
    }
}

impl Read {
    /// Of all that match.
    #[must_use]
    pub fn matching(filter: Filter) -> Self {
        let request = wire::ReadRelationshipsRequest {
            relationship_filter: Some(filter.0),
            ..wire::ReadRelationshipsRequest::default()
        };
        Self {
            request,
            options: Options::default(),
        }
    }

    /// At most so many.
    #[must_use]
    pub fn with_limit(mut self, limit: u32) -> Self {
        self.request.optional_limit = limit;
        self
    }

    /// As fresh as that; [`Consistency::MinimizeLatency`] if nothing is said.
    #[must_use]
    pub fn with_consistency(mut self, consistency: Consistency) -> Self {
        self.options.consistency = consistency;
        self
    }

    /// What is sent, with what goes with it.
    pub(crate) fn into_parts(mut self) -> (wire::ReadRelationshipsRequest, Options) {
        self.request.consistency = self.options.consistency.to_wire();
        (self.request, self.options)
    }
}

impl Question for wire::ReadRelationshipsRequest {
    type Message = wire::ReadRelationshipsResponse;
    type Item = Relationship;

    async fn ask(
        link: Link,
        request: Request<Self>,
    ) -> Result<Response<Streaming<Self::Message>>, Status> {
        let mut client = PermissionsServiceClient::new(link);
        client.read_relationships(request).await
    }

    fn go_on(&mut self, after: wire::Cursor) {
        self.optional_cursor = Some(after);
    }

    fn limit(&self) -> u32 {
        self.optional_limit
    }

    fn cursor(message: &mut Self::Message) -> Option<wire::Cursor> {
        message.after_result_cursor.take()
    }

    fn item(message: Self::Message) -> Result<(Relationship, bool), Error> {
        let relationship = message.relationship;
        let relationship =
            relationship.ok_or_else(|| Error::malformed("a result has no relationship"))?;
        Ok((Relationship(relationship), true))
    }
}

fn condition(operation: precondition::Operation, filter: Filter) -> wire::Precondition {
    wire::Precondition {
        operation: operation.into(),
        filter: Some(filter.0),
    }
}
