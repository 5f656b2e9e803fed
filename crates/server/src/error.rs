//! What a failure is on the wire: the one table from kinds to codes and from reasons to names.

use http::StatusCode;
use ops::{Error, Kind, Reason};
use remit_proto::authzed::api::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of every reason, which clients of the API look for.
const DOMAIN: &str = "authzed.com";

/// The status of a failure. What lies behind it goes to the log alone.
pub(crate) fn status(error: Error) -> Status {
    let code = code(error.kind);
    if let Some(source) = &error.source {
        tracing::warn!(?code, message = error.message, cause = %chain(source.as_ref()), "a call failed");
    }
    let Some(reason) = error.reason else {
        return Status::new(code, error.message);
    };
    let metadata: Vec<(String, String)> = error
        .metadata
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let name = wire_reason(reason).as_str_name();
    let details = ErrorDetails::with_error_info(
        name,
        DOMAIN,
        metadata
            .into_iter()
            .collect::<std::collections::HashMap<_, _>>(),
    );
    Status::with_error_details(code, error.message, details)
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn code(kind: Kind) -> Code {
    match kind {
        Kind::InvalidArgument => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::FailedPrecondition => Code::FailedPrecondition,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::Forbidden => Code::PermissionDenied,
        Kind::RevisionGone => Code::OutOfRange,
        Kind::LimitExceeded | Kind::Overloaded => Code::ResourceExhausted,
        Kind::Conflict => Code::Aborted,
        Kind::Cancelled => Code::Cancelled,
        Kind::DeadlineExceeded => Code::DeadlineExceeded,
        Kind::Unavailable => Code::Unavailable,
        Kind::Unimplemented => Code::Unimplemented,
        Kind::Internal => Code::Internal,
    }
}

/// The one table from codes of gRPC to those of HTTP.
pub(crate) fn http_code(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        // The caller went away; no standard code says so.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
    }
}

fn wire_reason(reason: Reason) -> ErrorReason {
    match reason {
        Reason::Unspecified => ErrorReason::Unspecified,
        Reason::SchemaParseError => ErrorReason::SchemaParseError,
        Reason::SchemaTypeError => ErrorReason::SchemaTypeError,
        Reason::UnknownDefinition => ErrorReason::UnknownDefinition,
        Reason::UnknownRelationOrPermission => ErrorReason::UnknownRelationOrPermission,
        Reason::TooManyUpdatesInRequest => ErrorReason::TooManyUpdatesInRequest,
        Reason::TooManyPreconditionsInRequest => ErrorReason::TooManyPreconditionsInRequest,
        Reason::WriteOrDeletePreconditionFailure => ErrorReason::WriteOrDeletePreconditionFailure,
        Reason::InvalidSubjectType => ErrorReason::InvalidSubjectType,
        Reason::CaveatParameterTypeError => ErrorReason::CaveatParameterTypeError,
        Reason::UpdatesOnSameRelationship => ErrorReason::UpdatesOnSameRelationship,
        Reason::CannotUpdatePermission => ErrorReason::CannotUpdatePermission,
        Reason::CaveatEvaluationError => ErrorReason::CaveatEvaluationError,
        Reason::InvalidCursor => ErrorReason::InvalidCursor,
        Reason::TooManyRelationshipsForTransactionalDelete => {
            ErrorReason::TooManyRelationshipsForTransactionalDelete
        }
        Reason::MaxRelationshipContextSize => ErrorReason::MaxRelationshipContextSize,
        Reason::AttemptToRecreateRelationship => ErrorReason::AttemptToRecreateRelationship,
        Reason::MaximumDepthExceeded => ErrorReason::MaximumDepthExceeded,
        Reason::SerializationFailure => ErrorReason::SerializationFailure,
        Reason::ExceedsMaximumAllowableLimit => ErrorReason::ExceedsMaximumAllowableLimit,
        Reason::InvalidFilter => ErrorReason::InvalidFilter,
        Reason::WildcardNotAllowed => ErrorReason::WildcardNotAllowed,
        Reason::TransactionMetadataTooLarge => ErrorReason::TransactionMetadataTooLarge,
        Reason::CounterAlreadyRegistered => ErrorReason::CounterAlreadyRegistered,
        Reason::CounterNotRegistered => ErrorReason::CounterNotRegistered,
    }
}

/// The status of one item in an answer of many.
pub(crate) fn to_rpc(status: &Status) -> remit_proto::google::rpc::Status {
    use prost::Message as _;
    let details = tonic_types::pb::Status::decode(status.details()).map(|status| status.details);
    remit_proto::google::rpc::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: details.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_answer() {
        let table: Vec<u16> = (0..=16)
            .map(|code| http_code(Code::from_i32(code)).as_u16())
            .collect();
        assert_eq!(
            table,
            [
                200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401
            ]
        );
    }
}
