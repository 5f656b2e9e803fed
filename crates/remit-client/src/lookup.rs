//! Look-ups: which resources may this subject have, and which subjects may have this resource?

use std::time::Duration;

use remit_proto::authzed::api::v1 as wire;
use remit_proto::authzed::api::v1::LookupPermissionship;
use remit_proto::authzed::api::v1::lookup_subjects_request::WildcardOption;
use remit_proto::authzed::api::v1::permissions_service_client::PermissionsServiceClient;
use tonic::codec::Streaming;
use tonic::{Request, Response, Status};

use crate::consistency::Consistency;
use crate::context::Context;
use crate::error::Error;
use crate::link::Link;
use crate::name::{self, NameError};
use crate::options::{Options, Principal};
use crate::results::Question;
use crate::trace::Traceparent;

/// Which resources of a definition does a subject have a permission on?
#[derive(Debug, Clone, PartialEq)]
pub struct LookupResources {
    pub(crate) request: wire::LookupResourcesRequest,
    pub(crate) options: Options,
}

/// Which subjects of a definition have a permission on a resource?
#[derive(Debug, Clone, PartialEq)]
pub struct LookupSubjects {
    pub(crate) request: wire::LookupSubjectsRequest,
    pub(crate) options: Options,
}

/// Whether what was found surely has the permission.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "what was found may have the permission on a condition alone"]
pub struct Membership {
    /// None where it is sure.
    missing: Option<Vec<String>>,
}

/// A resource that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundResource {
    /// Its id.
    pub id: String,
    /// Surely, or on a condition.
    pub membership: Membership,
}

/// What a look-up of subjects has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundSubject {
    /// One subject.
    One {
        /// Its id.
        id: String,
        /// Surely, or on a condition.
        membership: Membership,
    },
    /// Everybody, by a wildcard, but these.
    Everybody {
        /// Surely, or on a condition.
        membership: Membership,
        /// Who is left out: surely, or on a condition.
        excluded: Vec<(String, Membership)>,
    },
}

macro_rules! common {
    () => {
        /// With values for the parameters of caveats.
        #[must_use]
        pub fn with_context(mut self, context: Context) -> Self {
            self.request.context = context.into_wire();
            self
        }

        /// As fresh as that; [`Consistency::MinimizeLatency`] if nothing is said.
        #[must_use]
        pub fn with_consistency(mut self, consistency: Consistency) -> Self {
            self.options.consistency = consistency;
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

        /// The first result, and each after the one before, within that time instead of the client's.
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
    };
}

impl LookupResources {
    /// Asks for the `definition`s that `subject` has `permission` on.
    ///
    /// # Errors
    /// [`NameError`] for texts that no server takes.
    pub fn new(definition: &str, permission: &str, subject: &str) -> Result<Self, NameError> {
        let request = wire::LookupResourcesRequest {
            resource_object_type: name::definition(definition)?.to_owned(),
            permission: name::name(permission, "permission")?.to_owned(),
            subject: Some(name::subject(subject)?),
            ..wire::LookupResourcesRequest::default()
        };
        Ok(Self {
            request,
            options: Options::default(),
        })
    }

    /// At most so many results.
    #[must_use]
    pub fn with_limit(mut self, limit: u32) -> Self {
        self.request.optional_limit = limit;
        self
    }

    common!();

    /// What is sent, with what goes with it.
    pub(crate) fn into_parts(mut self) -> (wire::LookupResourcesRequest, Options) {
        self.request.consistency = self.options.consistency.to_wire();
        (self.request, self.options)
    }
}

impl LookupSubjects {
    /// Asks for the subjects of `definition` that have `permission` on `resource`; `group#member` asks for sets of them.
    ///
    /// # Errors
    /// [`NameError`] for texts that no server takes.
    pub fn new(resource: &str, permission: &str, definition: &str) -> Result<Self, NameError> {
        let (definition, relation) = match definition.split_once('#') {
            Some((definition, relation)) => (definition, name::name(relation, "relation")?),
            None => (definition, ""),
        };
        let request = wire::LookupSubjectsRequest {
            resource: Some(name::object(resource)?),
            permission: name::name(permission, "permission")?.to_owned(),
            subject_object_type: name::definition(definition)?.to_owned(),
            optional_subject_relation: relation.to_owned(),
            ..wire::LookupSubjectsRequest::default()
        };
        Ok(Self {
            request,
            options: Options::default(),
        })
    }

    /// At most so many subjects, besides everybody.
    #[must_use]
    pub fn with_limit(mut self, limit: u32) -> Self {
        self.request.optional_concrete_limit = limit;
        self
    }

    /// Without everybody where a wildcard grants.
    #[must_use]
    pub fn without_everybody(mut self) -> Self {
        self.request.wildcard_option = WildcardOption::ExcludeWildcards.into();
        self
    }

    common!();

    /// What is sent, with what goes with it.
    pub(crate) fn into_parts(mut self) -> (wire::LookupSubjectsRequest, Options) {
        self.request.consistency = self.options.consistency.to_wire();
        (self.request, self.options)
    }
}

impl Membership {
    /// Whether it surely has the permission. A condition that is not known to hold is a no.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        self.missing.is_none()
    }

    /// What the context lacks.
    #[must_use]
    pub fn missing(&self) -> &[String] {
        self.missing.as_deref().unwrap_or_default()
    }

    fn of(permissionship: i32, caveat: Option<wire::PartialCaveatInfo>) -> Result<Self, Error> {
        let permissionship = LookupPermissionship::try_from(permissionship)
            .map_err(|_| Error::malformed("a result is of an unknown kind"))?;
        let missing = match permissionship {
            LookupPermissionship::HasPermission => None,
            LookupPermissionship::ConditionalPermission => {
                let missing = caveat.map(|caveat| caveat.missing_required_context);
                Some(missing.unwrap_or_default())
            }
            LookupPermissionship::Unspecified => {
                return Err(Error::malformed("a result does not say how it was found"));
            }
        };
        Ok(Self { missing })
    }
}

impl Question for wire::LookupResourcesRequest {
    type Message = wire::LookupResourcesResponse;
    type Item = FoundResource;

    async fn ask(
        link: Link,
        request: Request<Self>,
    ) -> Result<Response<Streaming<Self::Message>>, Status> {
        let mut client = PermissionsServiceClient::new(link);
        client.lookup_resources(request).await
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

    fn item(message: Self::Message) -> Result<(FoundResource, bool), Error> {
        let membership = Membership::of(message.permissionship, message.partial_caveat_info)?;
        let found = FoundResource {
            id: message.resource_object_id,
            membership,
        };
        Ok((found, true))
    }
}

impl Question for wire::LookupSubjectsRequest {
    type Message = wire::LookupSubjectsResponse;
    type Item = FoundSubject;

    async fn ask(
        link: Link,
        request: Request<Self>,
    ) -> Result<Response<Streaming<Self::Message>>, Status> {
        let mut client = PermissionsServiceClient::new(link);
        client.lookup_subjects(request).await
    }

    fn go_on(&mut self, after: wire::Cursor) {
        self.optional_cursor = Some(after);
    }

    fn limit(&self) -> u32 {
        self.optional_concrete_limit
    }

    fn cursor(message: &mut Self::Message) -> Option<wire::Cursor> {
        message.after_result_cursor.take()
    }

    fn item(message: Self::Message) -> Result<(FoundSubject, bool), Error> {
        let found = message
            .subject
            .ok_or_else(|| Error::malformed("a result names no subject"))?;
        let (id, membership) = resolved(found)?;
        if id != "*" {
            return Ok((FoundSubject::One { id, membership }, true));
        }
        let excluded = message.excluded_subjects.into_iter().map(resolved);
        let excluded = excluded.collect::<Result<_, _>>()?;
        let everybody = FoundSubject::Everybody {
            membership,
            excluded,
        };
        Ok((everybody, false))
    }
}

fn resolved(subject: wire::ResolvedSubject) -> Result<(String, Membership), Error> {
    let membership = Membership::of(subject.permissionship, subject.partial_caveat_info)?;
    Ok((subject.subject_object_id, membership))
}
