//! Why an operation failed: a kind that says what to do, a reason for programs, a message for people.

use std::error::Error as StdError;
use std::fmt;

use engine::eval::{EvalError, QueryError};
use model::RelationshipKey;

/// What a caller can do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Mend the request.
    InvalidArgument,
    /// What was asked for is not there.
    NotFound,
    /// What was to be made is there already.
    AlreadyExists,
    /// The state does not allow it; change the state first.
    FailedPrecondition,
    /// Say who you are.
    Unauthenticated,
    /// You may not.
    Forbidden,
    /// The revision is no longer kept, or was never made; take a newer one.
    RevisionGone,
    /// A limit was hit; ask for less.
    LimitExceeded,
    /// Something else changed meanwhile; try again.
    Conflict,
    /// The caller gave up.
    Cancelled,
    /// Time ran out.
    DeadlineExceeded,
    /// Too much is going on; try again later.
    Overloaded,
    /// The service cannot answer now; try again.
    Unavailable,
    /// The call is not there.
    Unimplemented,
    /// A fault of the service.
    Internal,
}

/// The reason of a failure, for programs. The names are those of the authzed API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each is named by what it says, and documented where the API is"
)]
pub enum Reason {
    Unspecified,
    SchemaParseError,
    SchemaTypeError,
    UnknownDefinition,
    UnknownRelationOrPermission,
    TooManyUpdatesInRequest,
    TooManyPreconditionsInRequest,
    WriteOrDeletePreconditionFailure,
    InvalidSubjectType,
    CaveatParameterTypeError,
    UpdatesOnSameRelationship,
    CannotUpdatePermission,
    CaveatEvaluationError,
    InvalidCursor,
    TooManyRelationshipsForTransactionalDelete,
    MaxRelationshipContextSize,
    AttemptToRecreateRelationship,
    MaximumDepthExceeded,
    SerializationFailure,
    ExceedsMaximumAllowableLimit,
    InvalidFilter,
    WildcardNotAllowed,
    TransactionMetadataTooLarge,
    CounterAlreadyRegistered,
    CounterNotRegistered,
}

/// A failed operation.
#[derive(Debug)]
pub struct Error {
    /// What to do about it.
    pub kind: Kind,
    /// The reason, where programs may want to know it.
    pub reason: Option<Reason>,
    /// What happened, for the caller.
    pub message: String,
    /// Details of the reason, by name.
    pub metadata: Vec<(&'static str, String)>,
    /// What lies behind it. For the log only: never sent to a caller.
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a reason for programs.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            reason: None,
            message: message.into(),
            metadata: Vec::new(),
            source: None,
        }
    }

    /// The error with a reason for programs.
    #[must_use]
    pub fn with_reason(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The error with one more detail.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.metadata.push((name, value.to_string()));
        self
    }

    /// The error with what lies behind it, for the log.
    #[must_use]
    pub fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    pub(crate) fn invalid(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidArgument, message).with_reason(reason)
    }

    pub(crate) fn unknown_definition(definition: &str) -> Self {
        Self::new(
            Kind::FailedPrecondition,
            format!("object definition `{definition}` not found"),
        )
        .with_reason(Reason::UnknownDefinition)
        .with("definition_name", definition)
    }

    pub(crate) fn unknown_member(definition: &str, member: &str) -> Self {
        let message =
            format!("relation/permission `{member}` not found under definition `{definition}`");
        Self::new(Kind::FailedPrecondition, message)
            .with_reason(Reason::UnknownRelationOrPermission)
            .with("definition_name", definition)
            .with("relation_or_permission_name", member)
    }

    pub(crate) fn limit_too_big(limit: u32, limit_max: u32) -> Self {
        let message =
            format!("provided limit {limit} is greater than maximum allowed of {limit_max}");
        Self::invalid(Reason::ExceedsMaximumAllowableLimit, message)
            .with("limit_provided", limit)
            .with("maximum_limit_allowed", limit_max)
    }

    pub(crate) fn already_exists(key: &RelationshipKey) -> Self {
        let message = format!(
            "could not CREATE relationship `{key}`, as it already existed. If this is persistent, please switch to \
             TOUCH operations or specify a precondition"
        );
        let subject_relation = key
            .subject
            .relation
            .as_ref()
            .map_or("", |name| name.as_str());
        Self::new(Kind::AlreadyExists, message)
            .with_reason(Reason::AttemptToRecreateRelationship)
            .with("relationship", key)
            .with("resource_type", &key.resource.definition)
            .with("resource_object_id", &key.resource.id)
            .with("resource_relation", &key.relation)
            .with("subject_type", &key.subject.definition)
            .with("subject_object_id", &key.subject.id)
            .with("subject_relation", subject_relation)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        match &error {
            QueryError::UnknownDefinition { definition } => Self::unknown_definition(definition),
            QueryError::UnknownMember { definition, member } => {
                Self::unknown_member(definition, member)
            }
            QueryError::WildcardSubject => Self::invalid(
                Reason::WildcardNotAllowed,
                format!("invalid argument: {error}"),
            )
            .with("field", "subject.object_id"),
        }
    }
}

impl From<EvalError> for Error {
    fn from(error: EvalError) -> Self {
        use schema::caveat::EvaluationError;
        let message = error.to_string();
        match error {
            EvalError::DepthExceeded { .. } => Self::new(
                Kind::FailedPrecondition,
                "max depth exceeded: this usually indicates a recursive or too deep data dependency",
            )
            .with_reason(Reason::MaximumDepthExceeded),
            EvalError::CyclicExclusion => {
                Self::new(Kind::FailedPrecondition, message)
                    .with_reason(Reason::Unspecified)
                    .with("cause", "cyclic exclusion")
            }
            EvalError::Caveat(EvaluationError::Parameter { caveat, parameter, .. }) => {
                Self::invalid(Reason::CaveatParameterTypeError, message)
                    .with("caveat_name", caveat)
                    .with("parameter_name", parameter)
            }
            EvalError::Caveat(EvaluationError::Evaluation { caveat, .. }) => {
                Self::invalid(Reason::CaveatEvaluationError, message).with("caveat_name", caveat)
            }
            EvalError::Caveat(EvaluationError::TooManySteps { caveat }) => {
                Self::invalid(Reason::CaveatEvaluationError, message).with("caveat_name", caveat)
            }
            EvalError::WorkExceeded { .. } => Self::new(Kind::LimitExceeded, message),
            EvalError::Interrupted => Self::new(Kind::Cancelled, message),
        }
    }
}
